// SPDX-License-Identifier: GPL-2.0

//! Quotes that are records of the list: which prove something, up to where, and which do not.

mod common;

use common::{
    signer::{buffer, Held, Key, Moment},
    Host, LOG_ID, PCR,
};
use ima_checkpoint_format::ByteOrder;
use ima_log::{
    bank::{Bank, Digest},
    quote::{AttestationKey, Quote, TrustedKeys},
    replay::Register,
    report::text,
    verify::{
        finding::Kind,
        policy::{Policy, Told},
        verdict::{Outcome, Standing, Verdict},
        verify, Error, Input, Layouts,
    },
};

const BANKS: [Bank; 2] = [Bank::Sha1, Bank::Sha256];
const STRONG: Register = Register {
    pcr: PCR,
    bank: Bank::Sha256,
};

/// A host that has measured boot_aggregate and three files.
fn host() -> Host {
    let mut host = Host::new(ByteOrder::Little, &BANKS);
    host.file(b"boot_aggregate", b"PCRs");
    files(&mut host, 3);
    host
}

fn files(host: &mut Host, count: usize) {
    for _ in 0..count {
        let name = format!("/bin/{}", host.records.len());
        host.file(name.as_bytes(), name.as_bytes());
    }
}

/// What these PCRs hold, in all banks.
fn held(host: &Host, pcrs: &[u32]) -> Held {
    let banks = host.banks.iter();
    let registers = banks.flat_map(|bank| pcrs.iter().map(|pcr| (*pcr, *bank)));
    let held = registers.map(|(pcr, bank)| (Register { pcr, bank }, host.pcr(pcr, bank)));
    held.collect()
}

/// The number of the newest checkpoint, and its digest.
fn newest(host: &Host) -> (u64, Digest) {
    let made = host.checkpoints.last().expect("there is a checkpoint");
    let digest = Bank::Sha256.hash(&[&made.buffer]);
    (host.checkpoints.len() as u64, digest)
}

/// The record of a quote over the newest checkpoint, of what was held then.
fn append(host: &mut Host, key: &Key, held: &Held, at: Moment) {
    let (seq, digest) = newest(host);
    let evidence = key.evidence(digest.as_bytes(), held, at);
    let record = buffer(LOG_ID, seq, digest.as_bytes(), &evidence);
    host.own_record(b".ima/quote", &record);
}

/// A checkpoint and a quote over it.
fn seal(host: &mut Host, key: &Key, clock: u64) {
    host.checkpoint("").expect("a checkpoint fits");
    let held = held(host, &[PCR]);
    let at = Moment {
        clock,
        ..Moment::default()
    };
    append(host, key, &held, at);
}

fn policy(keys: &[&Key]) -> Policy {
    let mut policy = Policy::default();
    for key in keys {
        policy
            .keys
            .add(AttestationKey::parse(&key.public).expect("a key"));
    }
    policy
}

fn judge(list: &[u8], policy: &Policy) -> Verdict {
    judged(list, policy).expect("there is a verdict")
}

fn judged(list: &[u8], policy: &Policy) -> Result<Verdict, Error> {
    let layouts = Layouts {
        view: Some(Bank::Sha1),
        order: Some(ByteOrder::Little),
    };
    verify([Ok(Input::new("list", list))], policy, layouts)
}

fn list(host: &Host) -> Vec<u8> {
    host.view(Bank::Sha1).expect("it can be written")
}

fn of(host: &Host, range: std::ops::Range<usize>) -> Vec<u8> {
    host.view_of(Bank::Sha1, range).expect("it can be written")
}

/// Outcome, and how many records are proven of PCR 10 in sha256.
fn proven(verdict: &Verdict) -> (Outcome, Option<u64>) {
    let register = verdict.register(STRONG);
    let proven = register.and_then(|one| Some(one.proven?.1));
    (verdict.outcome(), proven)
}

fn kinds(verdict: &Verdict) -> Vec<Kind> {
    verdict.findings.kept().iter().map(|one| one.kind).collect()
}

#[test]
fn the_newest_proves_the_list_up_to_where_it_was_made() {
    let (mut host, key) = (host(), Key::new(1));
    seal(&mut host, &key, 1000);
    files(&mut host, 4);
    host.checkpoint("second").unwrap();
    files(&mut host, 2);
    let quoted = host.records.len() as u64;
    let second = held(&host, &[PCR]);
    // what comes between the quote and its record
    files(&mut host, 3);
    append(
        &mut host,
        &key,
        &second,
        Moment {
            clock: 2000,
            ..Moment::default()
        },
    );
    files(&mut host, 5);
    let verdict = judge(&list(&host), &policy(&[&key]));
    assert_eq!(
        proven(&verdict),
        (Outcome::Verified, Some(quoted)),
        "{}",
        text(&verdict)
    );
    assert_eq!(kinds(&verdict), []);
    assert_eq!(verdict.covered, Some(quoted));
    let one = verdict.register(STRONG).unwrap();
    assert_eq!(
        (one.standing, one.base),
        (Standing::Verified, Some(second[&STRONG]))
    );
    assert_eq!(one.later, 9);
    let shown = &verdict.quotes.shown;
    let proven: Vec<_> = shown
        .iter()
        .map(|one| (one.checkpoint, one.proven))
        .collect();
    assert_eq!(proven, [(1, Some((0, 5))), (2, Some((0, quoted)))]);
    let said = text(&verdict);
    let line = format!(
        "Proven to record {} by the quote in record {}",
        quoted - 1,
        quoted + 3
    );
    assert!(
        said.contains(&line) && said.contains("2 s of the TPM's clock"),
        "{said}"
    );
    assert!(said.contains("not fresh"), "{said}");

    // each segment says which quote covers it: the first is covered by the first, the second by the second
    let covering = verdict.log.shown.iter().map(|one| {
        let records = one.start..one.start + one.records;
        verdict.quotes.covering(&records)
    });
    let records: Vec<_> = shown.iter().map(|one| Some(one.record)).collect();
    assert_eq!(covering.collect::<Vec<_>>(), [records[0], records[1], None]);
}

#[test]
fn a_key_without_a_name() {
    let (mut host, key, other) = (host(), Key::new(1), Key::new(2));
    seal(&mut host, &other, 10);
    seal(&mut host, &key, 20);
    let mut policy = Policy::default();
    policy.keys.add(AttestationKey::parse(&key.pem).unwrap());
    let verdict = judge(&list(&host), &policy);
    assert_eq!(proven(&verdict).0, Outcome::Verified);
    let unknown: Vec<_> = verdict.quotes.unknown.iter().collect();
    assert_eq!(unknown, [(&other.name, &1)]);
}

#[test]
fn without_the_key_nothing_is_proven() {
    let (mut host, key, other) = (host(), Key::new(1), Key::new(2));
    seal(&mut host, &key, 10);
    for keys in [&[][..], &[&other]] {
        let verdict = judge(&list(&host), &policy(keys));
        assert_eq!(proven(&verdict), (Outcome::Unanchored, None));
        assert_eq!(kinds(&verdict), []);
        let said = text(&verdict);
        let name: String = key.name.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(
            said.contains(&format!("1 quote by the key {name}")),
            "{said}"
        );
        assert!(said.contains("none by a key that was given"), "{said}");
    }
    assert!(TrustedKeys::default().is_empty());
}

#[test]
fn several_keys() {
    let (mut host, key, other) = (host(), Key::new(1), Key::new(2));
    seal(&mut host, &key, 10);
    files(&mut host, 2);
    host.checkpoint("").unwrap();
    let (now, end) = (held(&host, &[PCR]), host.records.len() as u64);
    let at = Moment {
        reset: 77,
        restart: 3,
        clock: 5,
    };
    append(&mut host, &other, &now, at);
    append(
        &mut host,
        &key,
        &now,
        Moment {
            clock: 30,
            ..Moment::default()
        },
    );
    for keys in [&[&key][..], &[&other], &[&key, &other]] {
        let verdict = judge(&list(&host), &policy(keys));
        assert_eq!(proven(&verdict), (Outcome::Verified, Some(end)));
        assert_eq!(verdict.quotes.newest().len(), keys.len());
    }
}

/// All single changes of a list that an honest host made, by somebody on the way.
#[test]
fn a_changed_list_is_not_proven() {
    let (mut host, key) = (host(), Key::new(1));
    seal(&mut host, &key, 10);
    files(&mut host, 3);
    seal(&mut host, &key, 20);
    files(&mut host, 1);
    let end = host.records.len();
    let (first, second) = (5, 10);
    assert_eq!(host.records[first].fields[1], b".ima/quote\0");
    assert_eq!(host.records[second].fields[1], b".ima/quote\0");
    let policy = policy(&[&key]);
    for at in 0..second {
        let dropped = [of(&host, 0..at), of(&host, at + 1..end)].concat();
        let verdict = judge(&dropped, &policy);
        if at < 9 {
            // what the next checkpoint says that the TPM held is reached, which nobody vouches for
            assert!(verdict.outcome() >= Outcome::Missing, "{at}");
            let standing = verdict.register(STRONG).map(|one| one.standing);
            assert_eq!(standing, Some(Standing::Partial), "{at}");
        } else {
            // a quote over a checkpoint that is not there says nothing of this list
            assert_eq!(proven(&verdict), (Outcome::Verified, Some(5)), "{at}");
            assert_eq!(kinds(&verdict), [Kind::Claim]);
        }
    }
    // without the second quote the first one proves what it proved
    let dropped = [of(&host, 0..second), of(&host, second + 1..end)].concat();
    let verdict = judge(&dropped, &policy);
    assert_eq!(
        proven(&verdict),
        (Outcome::Verified, Some(5)),
        "{}",
        text(&verdict)
    );
    // a record that was put in between the last checkpoint and the quote
    let inserted = [of(&host, 0..10), of(&host, 6..7), of(&host, 10..end)].concat();
    let verdict = judge(&inserted, &policy);
    assert_eq!(proven(&verdict), (Outcome::Verified, Some(10)));
    // or changed, as if the quote had been made later
    let moved = [of(&host, 0..9), of(&host, 6..7), of(&host, 9..end)].concat();
    let verdict = judge(&moved, &policy);
    assert_eq!(verdict.outcome(), Outcome::Tampered);
}

#[test]
fn an_old_quote_proves_nothing_of_what_came_later() {
    let (mut host, key) = (host(), Key::new(1));
    seal(&mut host, &key, 10);
    files(&mut host, 3);
    let (quote, end) = (of(&host, 5..6), host.records.len());
    let policy = policy(&[&key]);
    // once more, at the end of its segment
    let again = [of(&host, 0..end), quote.clone()].concat();
    assert_eq!(
        proven(&judge(&again, &policy)),
        (Outcome::Verified, Some(5))
    );
    // moved there, it proves what it proved
    let moved = [of(&host, 0..5), of(&host, 6..end), quote.clone()].concat();
    let verdict = judge(&moved, &policy);
    assert_eq!(
        proven(&verdict),
        (Outcome::Verified, Some(5)),
        "{}",
        text(&verdict)
    );
    // to another segment: it is not over the checkpoint before it
    host.checkpoint("").unwrap();
    files(&mut host, 2);
    let moved = [of(&host, 0..5), of(&host, 6..host.records.len()), quote].concat();
    let verdict = judge(&moved, &policy);
    assert_eq!(proven(&verdict), (Outcome::Tampered, None));
    assert!(kinds(&verdict).contains(&Kind::Claim));
}

/// A record that the kernel extended may hold anything: the kernel checks its form only.
#[test]
fn quotes_that_are_none() {
    let key = Key::new(1);
    let now = held(&host(), &[PCR]);
    let (message, _) = key.sign(&[7; 32], &now, Moment::default());
    assert!(message.len() > 100);
    let forge = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut host = host();
        host.checkpoint("").unwrap();
        let (_, digest) = newest(&host);
        let now = held(&host, &[PCR]);
        let mut evidence = key.evidence(digest.as_bytes(), &now, Moment::default());
        change(&mut evidence);
        let record = buffer(LOG_ID, 1, digest.as_bytes(), &evidence);
        host.own_record(b".ima/quote", &record);
        files(&mut host, 1);
        host
    };
    let last = |bytes: &mut Vec<u8>| {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    };
    let host = forge(&last);
    let verdict = judge(&list(&host), &policy(&[&key]));
    assert_eq!(proven(&verdict), (Outcome::Tampered, None));
    assert_eq!(kinds(&verdict), [Kind::QuoteRecord]);
    // not covered, it influences nothing
    let mut good = self::host();
    seal(&mut good, &key, 10);
    let forged = of(&forge(&last), 5..6);
    let verdict = judge(&[list(&good), forged].concat(), &policy(&[&key]));
    assert_eq!(
        proven(&verdict),
        (Outcome::Verified, Some(5)),
        "{}",
        text(&verdict)
    );
    assert_eq!(kinds(&verdict), [Kind::QuoteRecord]);
    // what was signed once, with another signature
    let (seq, digest) = newest(&good);
    let now = good.records.len() - 1;
    assert_eq!(good.records[now].fields[1], b".ima/quote\0");
    let mut record = good.records[now].fields[2].clone();
    last(&mut record);
    assert_eq!((seq, &record[40..72]), (1, digest.as_bytes()));
    good.own_record(b".ima/quote", &record);
    let verdict = judge(&list(&good), &policy(&[&key]));
    assert_eq!(kinds(&verdict), [Kind::QuoteRecord]);
    // signed by another key, under the name of this one
    let other = Key::new(2);
    let host = forge(&|evidence: &mut Vec<u8>| {
        let message = evidence[36..evidence.len() - 72].to_vec();
        evidence.truncate(evidence.len() - 72);
        evidence.extend(other.signature(&message[2..]));
    });
    let verdict = judge(&list(&host), &policy(&[&key, &other]));
    assert_eq!(kinds(&verdict), [Kind::QuoteRecord]);
}

#[test]
fn what_the_tpm_held_is_nowhere_in_the_list() {
    let (mut host, key) = (host(), Key::new(1));
    seal(&mut host, &key, 10);
    files(&mut host, 2);
    host.checkpoint("").unwrap();
    // somebody else extends the PCR before the TPM is asked
    host.foreign_extend(PCR, Bank::Sha256, b"foreign");
    let now = held(&host, &[PCR]);
    append(
        &mut host,
        &key,
        &now,
        Moment {
            clock: 20,
            ..Moment::default()
        },
    );
    files(&mut host, 1);
    let verdict = judge(&list(&host), &policy(&[&key]));
    assert_eq!(
        proven(&verdict),
        (Outcome::Tampered, Some(5)),
        "{}",
        text(&verdict)
    );
    assert_eq!(kinds(&verdict), [Kind::QuoteMismatch]);

    // the next checkpoint finds out, and somebody accepts that
    host.checkpoint("").unwrap();
    let broken = newest(&host);
    assert_eq!(broken.0, 3);
    let now = held(&host, &[PCR]);
    append(
        &mut host,
        &key,
        &now,
        Moment {
            clock: 30,
            ..Moment::default()
        },
    );
    let verdict = judge(&list(&host), &policy(&[&key]));
    assert_eq!(verdict.outcome(), Outcome::Tampered);
    let mut policy = policy(&[&key]);
    policy.breaks.insert(2, broken.1);
    let verdict = judge(&list(&host), &policy);
    assert_eq!(verdict.outcome(), Outcome::Accepted, "{}", text(&verdict));
    assert!(kinds(&verdict).contains(&Kind::QuoteUnused));
}

/// A quote from outside of the list is of its boot, too: whoever booted another system can have the PCRs
/// of an honest list, and go on as it suits.
#[test]
fn a_quote_that_is_given_is_of_the_same_boot() {
    let key = Key::new(1);
    let mut host = host();
    let at = |reset| Moment {
        reset,
        ..Moment::default()
    };
    host.checkpoint("").unwrap();
    let now = held(&host, &[PCR]);
    append(&mut host, &key, &now, at(5));
    files(&mut host, 2);
    let now = held(&host, &[PCR]);
    let parsed = AttestationKey::parse(&key.public).unwrap();
    let judged = |reset| {
        let (message, signature) = key.sign(b"", &now, at(reset));
        let quote = Quote::verify(&message, &signature, &parsed, None, false).unwrap();
        let mut policy = policy(&[&key]);
        policy.anchor.told = Told::Quote(quote);
        judge(&list(&host), &policy)
    };
    let same = judged(5);
    assert_eq!((same.outcome(), kinds(&same)), (Outcome::Verified, vec![]));
    let other = judged(6);
    assert_eq!(
        (other.outcome(), kinds(&other)),
        (Outcome::Tampered, vec![Kind::QuoteBoot])
    );
}

#[test]
fn another_boot_is_told_apart() {
    let key = Key::new(1);
    let moments = |second: Moment| {
        let mut host = host();
        host.checkpoint("").unwrap();
        let now = held(&host, &[PCR]);
        let first = Moment {
            reset: 5,
            restart: 1,
            clock: 100,
        };
        append(&mut host, &key, &now, first);
        host.checkpoint("").unwrap();
        let now = held(&host, &[PCR]);
        append(&mut host, &key, &now, second);
        judge(&list(&host), &policy(&[&key]))
    };
    let good = moments(Moment {
        reset: 5,
        restart: 2,
        clock: 100,
    });
    assert_eq!((good.outcome(), kinds(&good)), (Outcome::Verified, vec![]));
    for bad in [
        Moment {
            reset: 6,
            restart: 0,
            clock: 200,
        },
        Moment {
            reset: 5,
            restart: 0,
            clock: 200,
        },
        Moment {
            reset: 5,
            restart: 1,
            clock: 99,
        },
    ] {
        let verdict = moments(bad);
        assert_eq!(verdict.outcome(), Outcome::Tampered, "{bad:?}");
        assert_eq!(kinds(&verdict), [Kind::QuoteBoot]);
    }
}

#[test]
fn other_pcrs_must_be_known() {
    let (mut host, key) = (host(), Key::new(1));
    let seven = Register {
        pcr: 7,
        bank: Bank::Sha256,
    };
    let eleven = Register {
        pcr: 11,
        bank: Bank::Sha256,
    };
    host.foreign_extend(7, Bank::Sha256, b"firmware");
    host.foreign_extend(11, Bank::Sha256, b"loader");
    host.checkpoint("").unwrap();
    let end = host.records.len() as u64;
    let mut now = Held::new();
    for register in [STRONG, seven, eleven] {
        now.insert(register, host.pcr(register.pcr, register.bank));
    }
    append(&mut host, &key, &now, Moment::default());
    let verdict = judge(&list(&host), &policy(&[&key]));
    assert_eq!(proven(&verdict), (Outcome::Unanchored, None));
    assert_eq!(kinds(&verdict), [Kind::QuoteUnused]);
    assert!(text(&verdict).contains("it also covers PCR 7 in sha256"));

    let mut known = policy(&[&key]);
    known.firmware.insert(seven, now[&seven]);
    known.firmware.insert(eleven, now[&eleven]);
    let verdict = judge(&list(&host), &known);
    assert_eq!(
        proven(&verdict),
        (Outcome::Verified, Some(end)),
        "{}",
        text(&verdict)
    );
    // a wrong value: the TPM held something else
    known.firmware.insert(seven, Bank::Sha256.hash(&[b"else"]));
    let verdict = judge(&list(&host), &known);
    assert_eq!(proven(&verdict), (Outcome::Tampered, None));
}

#[test]
fn a_list_that_goes_on_from_a_base() {
    let (mut host, key) = (host(), Key::new(1));
    seal(&mut host, &key, 10);
    files(&mut host, 2);
    let (from, base) = (host.records.len(), held(&host, &[PCR]));
    host.checkpoint("").unwrap();
    // the checkpoint is before the base, the quote is not
    let next = host.records.len();
    let after = held(&host, &[PCR]);
    append(
        &mut host,
        &key,
        &after,
        Moment {
            clock: 20,
            ..Moment::default()
        },
    );
    files(&mut host, 2);
    let end = host.records.len();
    let mut policy = policy(&[&key]);
    policy.base.extend(&base);
    let verdict = judge(&of(&host, from..end), &policy);
    assert_eq!(
        proven(&verdict),
        (Outcome::Verified, Some(1)),
        "{}",
        text(&verdict)
    );
    policy.base = after.into_iter().collect();
    let verdict = judge(&of(&host, next..end), &policy);
    assert_eq!(
        proven(&verdict),
        (Outcome::Verified, Some(0)),
        "{}",
        text(&verdict)
    );
    assert!(
        text(&verdict).contains("nothing new is proven"),
        "{}",
        text(&verdict)
    );
    // of a quote that is older than the base, nothing can be said
    let older = held(&host, &[PCR]);
    assert_eq!(older.len(), 2);
    policy.base = older.into_iter().collect();
    let quote = of(&host, next..next + 1);
    let verdict = judge(&quote, &policy);
    assert_eq!(verdict.outcome(), Outcome::Unanchored);
    assert_eq!(kinds(&verdict), [Kind::QuoteUnused]);
    // without a base, nobody vouches for the start
    policy.base.clear();
    let verdict = judge(&of(&host, from..end), &policy);
    assert_eq!(verdict.outcome(), Outcome::Missing, "{}", text(&verdict));
    let verdict = judge(&of(&host, next..end), &policy);
    assert_eq!(
        proven(&verdict),
        (Outcome::Missing, None),
        "{}",
        text(&verdict)
    );
    assert!(kinds(&verdict).contains(&Kind::Start));
}

/// A segment is missing before the newest quote: what precedes it does not make the list whole.
#[test]
fn a_gap_before_the_newest_quote() {
    let (mut host, key) = (host(), Key::new(1));
    for clock in [10, 20, 30] {
        seal(&mut host, &key, clock);
        files(&mut host, 2);
    }
    let (second, third) = (host.checkpoints[1].record, host.checkpoints[2].record);
    let list = [of(&host, 0..second), of(&host, third..host.records.len())].concat();
    let verdict = judge(&list, &policy(&[&key]));
    assert_eq!(verdict.outcome(), Outcome::Missing, "{}", text(&verdict));
    assert_eq!(
        verdict.register(STRONG).unwrap().standing,
        Standing::Partial
    );
    // the first quote covers segment 0, and the third what follows the gap
    let covering = |start, end| verdict.quotes.covering(&(start..end));
    assert_eq!(covering(0, 4), Some(5));
    assert_eq!(
        covering(second as u64, second as u64 + 1),
        Some(second as u64 + 1)
    );
}

#[test]
fn a_nonce_is_the_label_of_the_checkpoint() {
    let (mut host, key) = (host(), Key::new(1));
    host.checkpoint("00aa").unwrap();
    let now = held(&host, &[PCR]);
    append(&mut host, &key, &now, Moment::default());
    seal(&mut host, &key, 20);
    let mut policy = policy(&[&key]);
    policy.nonce = Some("00AA".parse().unwrap());
    let verdict = judge(&list(&host), &policy);
    assert_eq!(verdict.outcome(), Outcome::Verified);
    policy.nonce = Some("00ab".parse().unwrap());
    let verdict = judge(&list(&host), &policy);
    assert_eq!(verdict.outcome(), Outcome::Stale);
    assert!(text(&verdict).contains("--nonce 00ab"));
    // a checkpoint with this label that nobody quoted
    host.checkpoint("00ab").unwrap();
    assert_eq!(judge(&list(&host), &policy).outcome(), Outcome::Stale);
}

#[test]
fn banks_that_were_not_expected() {
    let mut host = Host::new(ByteOrder::Little, &[Bank::Sha256, Bank::Sha384]);
    host.file(b"boot_aggregate", b"PCRs");
    let key = Key::new(1);
    seal(&mut host, &key, 10);
    let mut policy = policy(&[&key]);
    let Err(Error::BanksNeeded(banks)) = judged(&list(&host), &policy) else {
        panic!("sha384 was not needed");
    };
    policy.banks = banks;
    let verdict = judge(&list(&host), &policy);
    assert_eq!(
        proven(&verdict),
        (Outcome::Verified, Some(2)),
        "{}",
        text(&verdict)
    );
}

/// Values that were given may be older than the quotes in the list: a PCR was zero then.
#[test]
fn older_values_contradict_nothing() {
    let (mut host, key) = (host(), Key::new(1));
    let older = held(&host, &[PCR, 11]);
    host.measure(common::Measured {
        pcr: 11,
        template: b"ima-ng".to_vec(),
        fields: vec![common::d_ng(b"x"), common::nul(b"/bin/x")],
        violation: false,
    });
    host.checkpoint("").unwrap();
    let (now, end) = (held(&host, &[PCR, 11]), host.records.len() as u64);
    append(&mut host, &key, &now, Moment::default());
    let mut policy = policy(&[&key]);
    policy.anchor.values = older.into_iter().collect();
    let verdict = judge(&list(&host), &policy);
    let seen = proven(&verdict);
    assert_eq!(seen, (Outcome::Verified, Some(end)), "{}", text(&verdict));
    // without the quote they prove what they proved
    policy.keys = TrustedKeys::default();
    let seen = proven(&judge(&list(&host), &policy));
    assert_eq!(seen, (Outcome::Verified, Some(4)));
}

/// Sha1 alone proves nothing, and neither does a PCR that is not IMA's.
#[test]
fn quotes_of_what_does_not_count() {
    let key = Key::new(1);
    let sha1 = Register {
        pcr: PCR,
        bank: Bank::Sha1,
    };
    let other = Register {
        pcr: 12,
        bank: Bank::Sha256,
    };
    for registers in [&[sha1][..], &[other], &[]] {
        let mut host = host();
        host.checkpoint("").unwrap();
        let value = |at: &Register| (*at, host.pcr(at.pcr, at.bank));
        let now: Held = registers.iter().map(value).collect();
        append(&mut host, &key, &now, Moment::default());
        let verdict = judge(&list(&host), &policy(&[&key]));
        assert_eq!(
            proven(&verdict),
            (Outcome::Unanchored, None),
            "{registers:?}"
        );
        assert_eq!(verdict.quotes.shown[0].proven, None);
    }
}

/// A quote that is appended long after it was made is found among the newest records.
#[test]
fn long_ago() {
    let (mut host, key) = (host(), Key::new(1));
    host.checkpoint("").unwrap();
    let end = host.records.len() as u64;
    let now = held(&host, &[PCR]);
    let start = host.records.len();
    files(&mut host, 200);
    let more = of(&host, start..host.records.len());
    append(&mut host, &key, &now, Moment::default());
    let all = list(&host);
    let (front, quote) =
        all.split_at(all.len() - of(&host, host.records.len() - 1..host.records.len()).len());
    let verdict = judge(&all, &policy(&[&key]));
    assert_eq!(proven(&verdict), (Outcome::Verified, Some(end)));
    // 200 records and 65 536 more
    let mut far = front.to_vec();
    for _ in 0..328 {
        far.extend(&more);
    }
    far.extend(quote);
    let verdict = judge(&far, &policy(&[&key]));
    assert_eq!(proven(&verdict), (Outcome::Unanchored, None));
    assert_eq!(kinds(&verdict), [Kind::QuoteUnused]);
}
