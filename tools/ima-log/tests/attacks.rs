// SPDX-License-Identifier: GPL-2.0

//! Attacks on a log, and the verdict that each must get.
//!
//! | attack | exit code | test |
//! |---|---|---|
//! | a byte flipped | 1 | `any_byte_flipped` |
//! | a record dropped, doubled, swapped | 1; 5 for a checkpoint | `any_record_dropped_doubled_or_swapped` |
//! | a template or PCR relabelled | 1 | `relabelled` |
//! | two logs spliced | 1 | `two_logs_spliced` |
//! | a base forged | 1 | `bases` |
//! | a list that starts with a checkpoint | 5 | `bases` |
//! | a checkpoint's claims forged | 1 | `claims`, `counts_at_the_limit`, `a_clock_or_a_generation_that_goes_back` |
//! | a truncation forged | 1 | `truncations` |
//! | rewound to an older checkpoint | 1 | `rewound` |
//! | an old quote | 9 | `exit_codes.rs` |
//! | a quote changed, or of another key | 1 | `quote.rs` of ima-log, `exit_codes.rs` |
//! | a quote that lacks a bank or a PCR | 3 | `values_of_too_few_pcrs_or_banks` |
//! | a violation hidden | 1 | `a_violation_hidden` |
//! | cut in a record, a length of 4 GiB | 1 | `cut_and_malformed` |
//! | the event name of a checkpoint on another record | 1 | `event_names_that_are_not_theirs` |
//! | segments missing | 5 | `segments_missing_moved_or_doubled` |
//! | segments moved or doubled | 1 | `segments_missing_moved_or_doubled` |
//! | something else extends the PCR | 1 | `a_foreign_extend` |

mod common;

use common::{
    d_ng,
    judge::{
        against,
        code,
        codes,
        expect,
        host,
        judge,
        kinds,
        pcrs,
        rehash,
        split,
        standing, //
    },
    nul,
    Host, //
};
use ima_log::{
    bank::{
        Bank,
        Digest, //
    },
    replay::{
        Register,
        Values, //
    },
    verify::{
        finding::{
            Finding,
            Kind, //
        },
        policy::Policy,
        verdict::{
            Outcome,
            Standing,
            Verdict, //
        }, //
    },
};
use std::error::Error;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const SHA256: Register = Register {
    pcr: 10,
    bank: Bank::Sha256,
};

/// The verdict on records, against what the TPM of the host holds.
fn verdict(records: &[Vec<u8>], host: &Host) -> Result<Verdict> {
    Ok(judge(&[&records.concat()], &against(pcrs(host)))?)
}

fn sha1_view(host: &Host) -> Result<Vec<Vec<u8>>> {
    Ok(split(&host.view(Bank::Sha1)?))
}

#[test]
fn untouched() -> Result {
    let host = host()?;
    for bank in [Bank::Sha1, Bank::Sha256] {
        let verdict = judge(&[&host.view(bank)?], &against(pcrs(&host)))?;
        assert_eq!(codes(&verdict), [0], "{:#?}", verdict.findings.kept());
        assert_eq!(kinds(&verdict), []);
        assert_eq!(standing(&verdict, SHA256), Some(Standing::Verified));
        assert_eq!(verdict.log.segments, 4);
    }
    let verdict = judge(&[&host.view(Bank::Sha1)?], &against(Values::new()))?;
    assert_eq!(codes(&verdict), [3]);
    Ok(())
}

/// Of a violation in the last segment, nothing proves the data. Here it is in the first. The name of a
/// template there is covered by nothing either, but if it is none of IMA's, that is told.
#[test]
fn any_byte_flipped() -> Result {
    let host = host()?;
    let list = host.view(Bank::Sha1)?;
    let sealed = host.view_of(Bank::Sha1, 0..host.first_of(3))?.len();
    for at in (0..list.len()).step_by(3) {
        let mut list = list.clone();
        list[at] ^= 1 << (at % 8);
        let verdict = judge(&[&list], &against(pcrs(&host)))?;
        let found = verdict.findings.kept();
        if let [Finding { kind, .. }] = found {
            if *kind == Kind::UnknownTemplate {
                assert!(at > sealed, "byte {at}");
                continue;
            }
        }
        assert_eq!(code(&verdict), 1, "byte {at}: {found:#?}");
        assert!(!kinds(&verdict).is_empty());
    }
    Ok(())
}

#[test]
fn any_record_dropped_doubled_or_swapped() -> Result {
    let host = host()?;
    let records = sha1_view(&host)?;
    for at in 0..records.len() {
        let mut dropped = records.clone();
        dropped.remove(at);
        let mut doubled = records.clone();
        doubled.insert(at, records[at].clone());
        let mut attacks = vec![("dropped", dropped)];
        // the last one doubled is behind what the PCRs cover
        if at + 1 < records.len() {
            let mut swapped = records.clone();
            swapped.swap(at, at + 1);
            attacks.extend([("doubled", doubled), ("swapped", swapped)]);
        }
        for (what, records) in attacks {
            let verdict = verdict(&records, &host)?;
            // without its checkpoint a segment is missing, and without boot_aggregate the start
            let head = (1..3).any(|number| at == host.first_of(number));
            let missing = what == "dropped" && (head || at == 0);
            let wanted = if missing { 5 } else { 1 };
            let found = verdict.findings.kept();
            assert_eq!(code(&verdict), wanted, "record {at} {what}: {found:#?}");
        }
    }
    Ok(())
}

/// The template digest covers neither the template name nor the PCR.
#[test]
fn relabelled() -> Result {
    let host = host()?;
    let records = sha1_view(&host)?;
    let mut relabelled = records.clone();
    let at = 3;
    let name = relabelled[at]
        .windows(7)
        .position(|name| name == b"ima-sig");
    let name = name.ok_or("no ima-sig")?;
    relabelled[at][name..name + 7].copy_from_slice(b"ima-buf");
    let judged = verdict(&relabelled, &host)?;
    expect("as ima-buf", &judged, 1, Kind::BufferDigest);
    expect("as ima-buf", &judged, 1, Kind::SegmentDigest);

    let head = host.first_of(2);
    let mut hidden = records.clone();
    let name = hidden[head].windows(7).position(|name| name == b"ima-buf");
    let name = name.ok_or("no ima-buf")?;
    hidden[head][name..name + 7].copy_from_slice(b"ima-sig");
    expect(
        "a checkpoint",
        &verdict(&hidden, &host)?,
        1,
        Kind::SpoofedName,
    );

    let mut moved = records;
    moved[1][0] = 11;
    expect("into PCR 11", &verdict(&moved, &host)?, 1, Kind::Value);
    moved[1][0] = 64;
    expect("into PCR 64", &verdict(&moved, &host)?, 1, Kind::BadPcr);
    Ok(())
}

#[test]
fn two_logs_spliced() -> Result {
    let good = host()?;
    let mut other = Host::new(good.order, &good.banks);
    other.file(b"boot_aggregate", b"PCRs");
    other.forged_checkpoint("", |buffer| buffer[16] ^= 1)?;
    other.file(b"/bin/x", b"x");
    other.forged_checkpoint("", |buffer| buffer[16] ^= 1)?;
    let mut records = split(&good.view_of(Bank::Sha1, 0..good.first_of(2))?);
    records.extend(split(
        &other.view_of(Bank::Sha1, other.first_of(2)..other.records.len())?,
    ));
    expect("spliced", &verdict(&records, &other)?, 1, Kind::OtherLog);
    Ok(())
}

#[test]
fn bases() -> Result {
    let host = host()?;
    let from = host.first_of(2);
    let list = host.view_of(Bank::Sha1, from..host.records.len())?;
    let base = |first: u8| -> Result<Values> {
        let mut earlier = host.clone();
        earlier.records.truncate(from);
        let mut value = replayed(&earlier).as_bytes().to_vec();
        value[0] ^= first;
        Ok(Values::from([(SHA256, Digest::new(&value))]))
    };
    let mut policy = against(pcrs(&host));
    // what firmware extended long ago is no start of a list that goes on from there
    policy.firmware.clear();
    expect("nobody vouches", &judge(&[&list], &policy)?, 5, Kind::Start);

    let digest = Bank::Sha256.hash(&[&host.checkpoints[1].buffer]);
    policy.start = Some((2, digest));
    let accepted = judge(&[&list], &policy)?;
    expect("accepted", &accepted, 0, Kind::Accepted);
    assert_eq!(accepted.outcome(), Outcome::Accepted);
    for wrong in [(2, Bank::Sha256.hash(&[b"another"])), (1, digest)] {
        policy.start = Some(wrong);
        expect(
            "another accepted",
            &judge(&[&list], &policy)?,
            5,
            Kind::Start,
        );
    }
    policy.start = None;
    policy.base = base(0)?;
    let pcr_11 = Register { pcr: 11, ..SHA256 };
    let verdict = judge(&[&list], &policy)?;
    assert_eq!(standing(&verdict, SHA256), Some(Standing::Verified));
    assert_eq!(standing(&verdict, pcr_11), Some(Standing::Partial));
    let mut earlier = Host::new(host.order, &host.banks);
    earlier.foreign_extend(11, Bank::Sha256, b"before IMA");
    for record in &host.records[..from] {
        earlier.measure(record.clone());
    }
    policy.base.insert(pcr_11, earlier.pcr(11, Bank::Sha256));
    let verdict = judge(&[&list], &policy)?;
    assert_eq!(codes(&verdict), [0], "{:#?}", verdict.findings.kept());
    policy.base.insert(SHA256, base(1)?[&SHA256]);
    expect("another base", &judge(&[&list], &policy)?, 1, Kind::Value);

    // a head that starts from values that the PCRs never had
    for (segment, kind) in [(2, Kind::Value), (3, Kind::Mismatch)] {
        let from = host.first_of(segment);
        let mut records = split(&host.view_of(Bank::Sha1, from..host.records.len())?);
        let head = &mut records[0];
        let end = head.len();
        head[end - 1] ^= 1;
        refit(head)?;
        let mut policy = against(pcrs(&host));
        policy.firmware.clear();
        let forged = judge(&[&records.concat()], &policy)?;
        expect("forged base", &forged, 1, kind);
    }
    Ok(())
}

/// Whoever verified up to a record needs only those behind it, and the values in one bank.
#[test]
fn only_what_is_new() -> Result {
    let host = host()?;
    for from in 1..=host.records.len() {
        let mut before = Host::new(host.order, &host.banks);
        before.foreign_extend(11, Bank::Sha256, b"before IMA");
        for record in &host.records[..from] {
            before.measure(record.clone());
        }
        let mut options = against(pcrs(&host));
        for pcr in [10, 11] {
            let value = before.pcr(pcr, Bank::Sha256);
            options.base.insert(Register { pcr, ..SHA256 }, value);
        }
        let list = host.view_of(Bank::Sha1, from..host.records.len())?;
        let verdict = judge(&[&list], &options)?;
        let found = verdict.findings.kept();
        assert_eq!(codes(&verdict), [0], "from {from}: {found:#?}");
        assert_eq!(standing(&verdict, SHA256), Some(Standing::Verified));

        let wrong = Bank::Sha256.hash(&[b"wrong"]);
        options.base.insert(SHA256, wrong);
        assert_eq!(code(&judge(&[&list], &options)?), 1, "from {from}");
    }
    Ok(())
}

/// What the default PCR holds after all records, the slow way.
fn replayed(host: &Host) -> Digest {
    let mut again = Host::new(host.order, &host.banks);
    for record in &host.records {
        again.measure(record.clone());
    }
    again.pcr(10, Bank::Sha256)
}

/// Makes the digests of a checkpoint's record fit its buffer again.
fn refit(record: &mut [u8]) -> Result {
    let at = record.windows(8).position(|magic| magic == b"IMA-CKPT");
    let (before, buffer) = record.split_at_mut(at.ok_or("no magic")?);
    let digest = d_ng(buffer);
    let field = before
        .windows(8)
        .position(|start| start == b"sha256:\0")
        .ok_or("no d-ng")?;
    before[field..field + digest.len()].copy_from_slice(&digest);
    rehash(record);
    Ok(())
}

/// Root can have the kernel's records measured with other numbers in them: the PCRs agree, so the
/// list must contradict.
#[test]
fn claims() -> Result {
    let forge = |at: usize, byte: u8| {
        let mut host = Host::new(common::judge::host()?.order, &[Bank::Sha1, Bank::Sha256]);
        host.file(b"boot_aggregate", b"PCRs");
        host.violation(b"/bin/v");
        host.checkpoint("")?;
        host.file(b"/bin/a", b"a");
        host.forged_checkpoint("", |buffer| buffer[at] = byte)?;
        host.file(b"/bin/b", b"b");
        verdict(&sha1_view(&host)?, &host)
    };
    for (what, at, byte, wanted, kind) in [
        ("differs", 12, 32, 1, Kind::Claim),
        ("no TPM", 12, 4, 1, Kind::Claim),
        ("log lost", 12, 8, 5, Kind::LogLost),
        ("incomplete", 12, 16, 0, Kind::Incomplete),
        ("log id", 16, 0, 1, Kind::OtherLog),
        ("sequence, again", 32, 1, 1, Kind::Order),
        ("sequence, later", 32, 3, 1, Kind::Claim),
        ("default PCR", 44, 11, 1, Kind::SpoofedName),
        ("record", 48, 3, 1, Kind::Claim),
        ("offset", 56, 3, 1, Kind::Claim),
        ("fewer violations", 64, 0, 1, Kind::Claim),
        ("more violations", 64, 2, 0, Kind::Violations),
        ("since boot", 87, 0, 0, Kind::Violations),
        ("records of the segment", 88, 9, 1, Kind::Claim),
        ("bytes of the segment", 96, 0, 1, Kind::Claim),
        ("SHA-256 of the segment", 104, 0, 1, Kind::SegmentDigest),
        ("previous checkpoint", 136, 0, 1, Kind::Previous),
        ("value in sha1", 176, 0, 1, Kind::Value),
        ("value in sha256", 204, 0, 1, Kind::Value),
        ("state", 173, 3, 0, Kind::Violations),
        ("PCR of a value", 172, 12, 1, Kind::Claim),
    ] {
        let verdict = forge(at, byte)?;
        let found = verdict.findings.kept();
        assert_eq!(code(&verdict), wanted, "{what}: {found:#?}");
        let quiet = wanted == 0 && kind == Kind::Violations && byte != 2;
        let has = found.iter().any(|found| found.kind == kind);
        assert!(has != quiet, "{what}: {found:#?}");
    }
    Ok(())
}

/// Numbers that no sum may overflow, also where they are all that is known.
#[test]
fn counts_at_the_limit() -> Result {
    let counts = [32, 48, 56, 64, 88, 96];
    for (high, at) in [0x7f, 0x80, 0xff]
        .iter()
        .flat_map(|high| counts.map(|at| (*high, at)))
    {
        let mut host = Host::new(host()?.order, &[Bank::Sha256]);
        host.file(b"boot_aggregate", b"PCRs");
        host.forged_checkpoint("", |buffer| {
            buffer[at..at + 7].fill(0xff);
            buffer[at + 7] = high;
        })?;
        host.violation(b"/bin/v");
        host.checkpoint("")?;
        host.file(b"/bin/a", b"a");
        let records = sha1_view(&host)?;
        for first in 0..2 {
            let verdict = verdict(&records[first..], &host)?;
            let found = verdict.findings.kept();
            assert_ne!(code(&verdict), 0, "{at} {high:#x}: {found:#?}");
        }
    }
    Ok(())
}

#[test]
fn a_clock_or_a_generation_that_goes_back() -> Result {
    for (at, name) in [(40, "generation"), (86, "since boot")] {
        let mut host = Host::new(host()?.order, &[Bank::Sha256]);
        host.file(b"boot_aggregate", b"PCRs");
        host.forged_checkpoint("", |buffer| buffer[at] = 0xff)?;
        host.checkpoint("")?;
        let verdict = verdict(&sha1_view(&host)?, &host)?;
        expect(name, &verdict, 1, Kind::Claim);
    }
    Ok(())
}

#[test]
fn truncations() -> Result {
    for (what, at, wanted) in [
        ("log id", 16, 1),
        ("checkpoint", 32, 1),
        ("digest", 40, 1),
        ("records", 72, 1),
        ("bytes", 80, 1),
        ("reason", 10, 1),
    ] {
        let mut host = Host::new(host()?.order, &[Bank::Sha1, Bank::Sha256]);
        host.file(b"boot_aggregate", b"PCRs");
        host.checkpoint("")?;
        host.forged_truncation(0, 1, |buffer| buffer[at] = 9)?;
        let verdict = verdict(&sha1_view(&host)?, &host)?;
        let kind = match what {
            "reason" => Kind::SpoofedName,
            _ => Kind::Truncation,
        };
        expect(what, &verdict, wanted, kind);
    }
    Ok(())
}

#[test]
fn rewound() -> Result {
    let host = host()?;
    let records = sha1_view(&host)?;
    for end in 1..records.len() {
        let verdict = verdict(&records[..end], &host)?;
        expect("rewound", &verdict, 1, Kind::Mismatch);
    }
    let older = records[..host.first_of(3)].to_vec();
    let verdict = verdict(&older, &host)?;
    let text: Vec<&str> = verdict
        .findings
        .kept()
        .iter()
        .map(|found| found.text.as_str())
        .collect();
    assert!(
        text.iter().any(|text| text.contains("Checkpoint 2")),
        "{text:?}"
    );
    Ok(())
}

/// Values from before: what came later is neither trusted nor an error.
#[test]
fn records_behind_the_values() -> Result {
    let mut host = host()?;
    let then = pcrs(&host);
    let covered = host.records.len() as u64;
    host.file(b"/bin/later", b"later");
    let mut records = sha1_view(&host)?;
    records[covered as usize][60] ^= 1;
    rehash(&mut records[covered as usize]);
    let verdict = judge(&[&records.concat()], &against(then))?;
    assert_eq!(codes(&verdict), [0], "{:#?}", verdict.findings.kept());
    let proven = verdict.registers.iter().find(|one| one.register == SHA256);
    assert_eq!(proven.and_then(|one| one.proven), Some((0, covered)));
    Ok(())
}

#[test]
fn values_of_too_few_pcrs_or_banks() -> Result {
    let host = host()?;
    let list = host.view(Bank::Sha1)?;
    let only = |keep: fn(&Register) -> bool| -> Policy {
        against(pcrs(&host).into_iter().filter(|(at, _)| keep(at)).collect())
    };
    for (options, wanted) in [
        (only(|at| at.bank == Bank::Sha1), Standing::Weak),
        (only(|at| at.pcr != 10), Standing::Unanchored),
        (only(|at| at.pcr != 11), Standing::Verified),
    ] {
        let verdict = judge(&[&list], &options)?;
        assert_eq!(codes(&verdict), [3], "{:#?}", verdict.findings.kept());
        let register = match wanted {
            Standing::Weak => Register {
                bank: Bank::Sha1,
                ..SHA256
            },
            _ => SHA256,
        };
        assert_eq!(standing(&verdict, register), Some(wanted));
    }
    let mut weak = only(|at| at.bank == Bank::Sha1);
    weak.allow_weak_bank = true;
    assert_eq!(codes(&judge(&[&list], &weak)?), [0]);

    // all records of a PCR hidden
    let mut demanded = against(pcrs(&host));
    demanded.anchor.demanded = demanded.anchor.values.keys().copied().collect();
    let mut short = Host::new(host.order, &host.banks);
    short.file(b"boot_aggregate", b"PCRs");
    let list = short.view(Bank::Sha1)?;
    let mut values = pcrs(&short);
    let pcr_11 = Register { pcr: 11, ..SHA256 };
    values.insert(pcr_11, Bank::Sha256.hash(&[b"used"]));
    let mut options = against(values);
    assert_eq!(codes(&judge(&[&list], &options)?), [0]);
    options.anchor.demanded.insert(pcr_11);
    expect("hidden PCR", &judge(&[&list], &options)?, 1, Kind::Mismatch);
    Ok(())
}

#[test]
fn a_violation_hidden() -> Result {
    let host = host()?;
    let mut records = sha1_view(&host)?;
    rehash(&mut records[2]);
    let judged = verdict(&records, &host)?;
    expect("hidden", &judged, 1, Kind::Value);
    expect("hidden", &judged, 1, Kind::Violations);

    // its data, of which no PCR tells
    let mut records = sha1_view(&host)?;
    let end = records[2].len();
    records[2][end - 2] ^= 1;
    expect(
        "changed",
        &verdict(&records, &host)?,
        1,
        Kind::SegmentDigest,
    );
    Ok(())
}

#[test]
fn cut_and_malformed() -> Result {
    let host = host()?;
    let list = host.view(Bank::Sha1)?;
    for at in [1, 30, list.len() / 2, list.len() - 1] {
        let verdict = judge(&[&list[..at]], &against(pcrs(&host)))?;
        let has = kinds(&verdict)
            .iter()
            .any(|kind| matches!(kind, Kind::Cut | Kind::Mismatch));
        assert!(code(&verdict) == 1 && has, "{:#?}", verdict.findings.kept());
    }
    let cut = judge(&[&list[..list.len() - 1]], &against(pcrs(&host)))?;
    expect("cut", &cut, 1, Kind::Cut);

    let mut records = sha1_view(&host)?;
    records[1][34..38].fill(0xff);
    expect("4 GiB", &verdict(&records, &host)?, 1, Kind::Cut);
    records[1][24..28].fill(0xff);
    expect(
        "a template name of 4 GiB",
        &verdict(&records, &host)?,
        1,
        Kind::Malformed,
    );
    Ok(())
}

#[test]
fn event_names_that_are_not_theirs() -> Result {
    let good = host()?;
    let name = nul(b".ima/checkpoint");
    let buffer = good.checkpoints[0].buffer.clone();
    let fields = [d_ng(&buffer), name.clone(), buffer.clone()];
    type Forged<'a> = (&'a str, &'a [u8], Vec<Vec<u8>>);
    let attacks: [Forged<'_>; 6] = [
        ("a file", b"ima-ng", vec![d_ng(b"x"), name.clone()]),
        ("a signature", b"ima-sig", fields.to_vec()),
        (
            "another digest",
            b"ima-buf",
            vec![d_ng(b"x"), name.clone(), buffer],
        ),
        (
            "no magic",
            b"ima-buf",
            vec![d_ng(b"x"), name.clone(), b"x".to_vec()],
        ),
        (
            "a truncation",
            b"ima-buf",
            vec![d_ng(b""), nul(b".ima/truncate"), Vec::new()],
        ),
        (
            "a setting",
            b"ima-buf",
            vec![d_ng(b"x"), nul(b".ima/config"), b"x".to_vec()],
        ),
    ];
    for (what, template, fields) in attacks {
        let mut host = good.clone();
        host.append(template, fields, false);
        expect(
            what,
            &verdict(&sha1_view(&host)?, &host)?,
            1,
            Kind::SpoofedName,
        );
    }
    let mut replayed = good;
    replayed.append(b"ima-buf", fields.to_vec(), false);
    expect(
        "again",
        &verdict(&sha1_view(&replayed)?, &replayed)?,
        1,
        Kind::Order,
    );
    Ok(())
}

#[test]
fn segments_missing_moved_or_doubled() -> Result {
    let host = host()?;
    let segment =
        |number| host.view_of(Bank::Sha1, host.first_of(number)..host.first_of(number + 1));
    let segments = [segment(0)?, segment(1)?, segment(2)?, segment(3)?];
    let judged = |order: &[usize]| -> Result<Verdict> {
        let files: Vec<&[u8]> = order.iter().map(|at| segments[*at].as_slice()).collect();
        Ok(judge(&files, &against(pcrs(&host)))?)
    };
    assert_eq!(codes(&judged(&[0, 1, 2, 3])?), [0]);
    for gap in [[0, 2, 3].as_slice(), &[0, 3], &[1, 3]] {
        let verdict = judged(gap)?;
        assert_eq!(code(&verdict), 5, "{gap:?}: {:#?}", verdict.findings.kept());
        assert!(kinds(&verdict).contains(&Kind::Gap));
    }
    expect("moved", &judged(&[0, 2, 1, 3])?, 1, Kind::Order);
    expect("doubled", &judged(&[0, 1, 1, 2, 3])?, 1, Kind::Order);
    // behind what the PCRs cover: nobody knows who wrote it, and nothing rests on it
    let again = judged(&[0, 1, 2, 3, 0, 1])?;
    expect("all of it again", &again, 0, Kind::Order);
    assert!(again.findings.kept().iter().all(|found| found.uncovered));
    Ok(())
}

#[test]
fn a_foreign_extend() -> Result {
    let mut host = host()?;
    host.foreign_extend(10, Bank::Sha256, b"foreign");
    let records = sha1_view(&host)?;
    expect("at the end", &verdict(&records, &host)?, 1, Kind::Mismatch);
    host.checkpoint("after")?;
    host.file(b"/bin/i", b"i");
    let list = host.view(Bank::Sha1)?;
    let mut options = against(pcrs(&host));
    expect(
        "before a checkpoint",
        &judge(&[&list], &options)?,
        1,
        Kind::Broken,
    );
    let digest = Bank::Sha256.hash(&[&host.checkpoints[3].buffer]);
    for another in [(2, digest), (3, Bank::Sha256.hash(&[b"another"]))] {
        options.breaks = [another].into();
        let verdict = judge(&[&list], &options)?;
        expect("another accepted", &verdict, 1, Kind::Broken);
    }
    options.breaks = [(3, digest)].into();
    let verdict = judge(&[&list], &options)?;
    expect("accepted", &verdict, 0, Kind::Accepted);
    assert_eq!(verdict.outcome(), Outcome::Accepted);
    let proven = verdict.registers.iter().find(|one| one.register == SHA256);
    let start = host.first_of(4) as u64;
    assert_eq!(
        proven.and_then(|one| one.proven).map(|range| range.0),
        Some(start)
    );

    // accepting the break vouches for the checkpoint behind it, not for what is before
    let late = host.view_of(Bank::Sha1, host.first_of(2)..host.records.len())?;
    let verdict = judge(&[&late], &options)?;
    assert_eq!(verdict.outcome(), Outcome::Missing);
    Ok(())
}

/// PCRs that the list says nothing of are told, unless they hold what a reset leaves in them: ones in
/// those of a dynamic launch.
#[test]
fn other_pcrs_are_told() -> Result {
    let host = host()?;
    let list = host.view(Bank::Sha1)?;
    let (ones, other) = (Digest::new(&[0xff; 32]), Bank::Sha256.hash(&[b"other"]));
    let mut values = pcrs(&host);
    for (pcr, value) in [
        (7, other),
        (12, ones),
        (17, ones),
        (18, other),
        (23, Bank::Sha256.zeros()),
    ] {
        values.insert(Register { pcr, ..SHA256 }, value);
    }
    let verdict = judge(&[&list], &against(values))?;
    assert_eq!(codes(&verdict), [0]);
    let told: Vec<u32> = verdict
        .unexplained
        .iter()
        .map(|one| one.register.pcr)
        .collect();
    assert_eq!(told, [7, 12, 18]);
    Ok(())
}
