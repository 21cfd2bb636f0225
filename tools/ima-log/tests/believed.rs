// SPDX-License-Identifier: GPL-2.0

//! Forged logs that the verifier once called verified, one test each, against values of PCRs and
//! against a quote of them.
//!
//! | what somebody forges | test |
//! |---|---|
//! | a history whose checkpoints lack the bank that a later one brings in | `a_new_bank_is_no_start` |
//! | what a PCR held, in a checkpoint after the quoted position | `a_start_from_after_the_quote`, `a_start_of_another_pcr_from_after_the_quote` |
//! | the templates of checkpoints and truncations | `relabelled_checkpoints_are_told` |
//! | bytes of a file, while it is verified | `bytes_that_change_are_told`, `an_input_is_read_once` |
//! | a PCR that the list does not name any more | `a_pcr_without_records_is_told` |
//! | the values beside a quote | `values_and_a_quote_that_contradict_each_other` |
//! | an empty nonce | `exit_codes.rs` of the program |
//! | what comes before a break that is accepted | `an_accepted_break_is_no_other_one` |
//! | a TPM's public key | `quote.rs`: `a_key_that_a_program_made` |
//! | a record of 276 bytes as a legacy one | `a_record_told_as_a_legacy_one` |

mod common;

use common::{
    d_ng,
    judge::{
        against, booted, both, code, expect, expect_verified, host, judge, pcrs, quoted,
        record_of_pcr_11, standing, PCR_11, SHA256,
    },
    nul, Host, Measured, PCR,
};
use ima_checkpoint_format::{checkpoint, ByteOrder};
use ima_log::{
    bank::{Bank, Digest},
    replay::{Register, Values},
    report,
    verify::{
        finding::Kind,
        verdict::{Outcome, Standing},
        verify, Error as VerifyError, Input, Layouts,
    },
};
use std::{
    cell::Cell,
    error::Error,
    io::{self, Read},
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// What the PCRs of one bank hold.
fn sha256_of(host: &Host) -> Values {
    let mut values = pcrs(host);
    values.retain(|register, _| register.bank == Bank::Sha256);
    values
}

/// Somebody who can extend PCR 10 invents a history whose checkpoints name only sha1. Behind a kexec
/// that never was, a checkpoint has sha256 with what the TPM truly holds.
#[test]
fn a_new_bank_is_no_start() -> Result {
    let mut honest = booted(&[Bank::Sha1, Bank::Sha256]);
    honest.file(b"/bin/trojan", b"trojan");
    let held = honest.pcr(PCR, Bank::Sha256);

    let mut forged = booted(&[Bank::Sha1]);
    forged.file(b"/bin/harmless", b"harmless");
    forged.checkpoint("")?;
    forged.file(b"/bin/harmless too", b"harmless");
    forged.kexec_with(Bank::Sha256, held);
    forged.checkpoint("")?;
    forged.file(b"/bin/later", b"later");
    let list = forged.view(Bank::Sha1)?;
    for (what, mut policy) in both(&sha256_of(&forged)) {
        let verdict = judge(&[&list], &policy)?;
        // it is reached, so that all that is missing is somebody who vouches for the start
        assert_eq!(
            standing(&verdict, SHA256),
            Some(Standing::Partial),
            "{what}"
        );
        expect(what, &verdict, 5, Kind::Start);

        // what a monitor knows is not thrown away for it
        for (first, base) in [
            (0, Bank::Sha256.zeros()),
            (1, Bank::Sha256.hash(&[b"what was verified"])),
        ] {
            let list = forged.view_of(Bank::Sha1, first..forged.records.len())?;
            policy.base = Values::from([(SHA256, base)]);
            let verdict = judge(&[&list], &policy)?;
            assert_ne!(code(&verdict), 0, "{what}: {:#?}", verdict.findings.kept());
            assert_ne!(
                standing(&verdict, SHA256),
                Some(Standing::Verified),
                "{what}"
            );
        }
    }
    Ok(())
}

/// What the host's PCRs held before a record.
fn held_before(host: &Host, record: usize) -> Host {
    let mut before = Host::new(host.order, &host.banks);
    for record in host.records.iter().take(record) {
        before.measure(record.clone());
    }
    before
}

/// A checkpoint that seals these records, and says that PCRs held what they held at `before`.
fn invented(before: &Host, records: &[Measured]) -> Result<Vec<u8>> {
    let mut forger = Host::new(before.order, &before.banks);
    forger.tpm = before.tpm.clone();
    for record in records {
        forger.measure(record.clone());
    }
    forger.checkpoint("")?;
    let made = forger.checkpoints.pop().ok_or("no checkpoint")?;
    Ok(made.buffer)
}

/// A list of these records, and after them a checkpoint in the PCR that it says is the default one.
fn with_checkpoint(records: &[Measured], mut buffer: Vec<u8>, pcr: u32) -> Result<Vec<u8>> {
    buffer[44..48].copy_from_slice(&pcr.to_le_bytes());
    let mut list = Host::new(ByteOrder::Little, &[Bank::Sha1]);
    for record in records {
        list.measure(record.clone());
    }
    list.measure(Measured {
        pcr,
        template: b"ima-buf".to_vec(),
        fields: vec![d_ng(&buffer), nul(checkpoint::EVENT_NAME), buffer],
        violation: false,
    });
    Ok(list.view(Bank::Sha1)?)
}

/// Somebody on the way cuts the start of a log, and lets a checkpoint after the quoted position say
/// what PCR 10 held there, and that IMA uses another PCR.
#[test]
fn a_start_from_after_the_quote() -> Result {
    let mut honest = booted(&[Bank::Sha256]);
    honest.file(b"/bin/trojan", b"trojan");
    honest.file(b"/bin/a", b"a");
    honest.file(b"/bin/b", b"b");
    let kept = &honest.records[2..];
    let buffer = invented(&held_before(&honest, 2), kept)?;
    for (what, policy) in both(&sha256_of(&honest)) {
        for default_pcr in [PCR, 11, 12] {
            let list = with_checkpoint(kept, buffer.clone(), default_pcr)?;
            let verdict = judge(&[&list], &policy)?;
            let what = format!("{what}, default PCR {default_pcr}");
            // a checkpoint of another PCR than it says is a finding of its own
            let wanted = if default_pcr == PCR { 5 } else { 1 };
            expect(&what, &verdict, wanted, Kind::Start);
            assert_ne!(
                standing(&verdict, SHA256),
                Some(Standing::Verified),
                "{what}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_start_of_another_pcr_from_after_the_quote() -> Result {
    let mut honest = booted(&[Bank::Sha256]);
    honest.measure(record_of_pcr_11(b"/bin/trojan"));
    honest.measure(record_of_pcr_11(b"/bin/b"));
    honest.file(b"/bin/a", b"a");
    let mut kept = honest.records.clone();
    kept.remove(1);
    // of PCR 10 it says what is true
    let mut before = held_before(&honest, 2);
    before.tpm.remove(&(PCR, Bank::Sha256));
    let list = with_checkpoint(&kept, invented(&before, &kept)?, PCR)?;
    for (what, policy) in both(&sha256_of(&honest)) {
        let verdict = judge(&[&list], &policy)?;
        expect(what, &verdict, 5, Kind::Start);
        assert_ne!(
            standing(&verdict, PCR_11),
            Some(Standing::Verified),
            "{what}"
        );
    }
    Ok(())
}

/// A template's name is in no digest: our event names are searched for in the fields.
#[test]
fn relabelled_checkpoints_are_told() -> Result {
    let honest = host()?;
    for template in [
        "d-ng|sig|buf",
        "d-ng|n-ng|buf",
        "d-ng|buf|n-ng",
        "sig|sig|sig",
        "ima-sig",
        "buf|buf|d-ng",
    ] {
        let mut forged = honest.clone();
        for record in &mut forged.records {
            if record.template == b"ima-buf" {
                record.template = template.as_bytes().to_vec();
            }
            // whose data only the digest of a segment tells
            if record.violation {
                record.fields[1] = nul(b"/something/else");
            }
        }
        let list = forged.view(Bank::Sha1)?;
        for (what, policy) in [
            ("values", against(pcrs(&honest))),
            ("a quote", quoted(pcrs(&honest))),
        ] {
            let verdict = judge(&[&list], &policy)?;
            expect(
                &format!("{what}, {template}"),
                &verdict,
                1,
                Kind::SpoofedName,
            );
        }
    }
    Ok(())
}

/// An input that was given as one without checkpoints, and has some: what they seal was not hashed,
/// so that there is no verdict.
#[test]
fn a_checkpoint_that_was_not_expected_is_no_verdict() -> Result {
    let host = host()?;
    let list = host.view(Bank::Sha1)?;
    let second = host.view_of(Bank::Sha1, 0..host.first_of(2))?.len();
    let (front, back) = list.split_at(second);
    for (inputs, sealed) in [
        ([(&*list, false), (b"", true)], false),
        ([(front, false), (back, true)], false),
        ([(front, true), (back, false)], false),
        ([(front, true), (back, true)], true),
    ] {
        let inputs = inputs.map(|(bytes, seals)| {
            Ok(Input {
                seals,
                ..Input::new("list", bytes)
            })
        });
        match verify(inputs, &against(pcrs(&host)), Layouts::default()) {
            Err(VerifyError::Unsealed { source }) => assert!(!sealed && source == "list"),
            Err(error) => return Err(error.into()),
            Ok(verdict) => {
                assert!(sealed);
                expect_verified("hashed", &verdict);
            }
        }
    }
    Ok(())
}

/// Counts what it gives, a few bytes at a time, and must not be asked again after its end.
struct Once<'a> {
    bytes: &'a [u8],
    given: &'a Cell<usize>,
    ended: bool,
}

impl Read for Once<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        assert!(!self.ended, "it is read again after its end");
        let some = out.len().min(4093);
        let read = self.bytes.read(&mut out[..some])?;
        self.ended = read == 0 && some > 0;
        self.given.set(self.given.get() + read);
        Ok(read)
    }
}

#[test]
fn an_input_is_read_once() -> Result {
    let mut host = host()?;
    for more in [0, 3000] {
        for number in 0..more {
            host.file(format!("/bin/{number}").as_bytes(), b"content");
        }
        let list = host.view(Bank::Sha256)?;
        for jobs in [1, 3] {
            let mut policy = against(pcrs(&host));
            policy.jobs = jobs;
            let given = Cell::new(0);
            let source = Once {
                bytes: &list,
                given: &given,
                ended: false,
            };
            let verdict = verify(
                [Ok(Input::new("list", source))],
                &policy,
                Layouts::default(),
            )?;
            expect_verified("read once", &verdict);
            assert_eq!(given.get(), list.len());
        }
    }
    Ok(())
}

/// All records of a PCR are left out. Where a value explains a quote, that value is not explained.
#[test]
fn a_pcr_without_records_is_told() -> Result {
    let mut honest = booted(&[Bank::Sha1, Bank::Sha256]);
    honest.measure(record_of_pcr_11(b"/bin/trojan"));
    honest.file(b"/bin/a", b"a");
    let mut forged = honest.clone();
    forged.records.remove(1);
    let list = forged.view(Bank::Sha1)?;
    let values = pcrs(&honest);
    for (what, policy) in both(&values) {
        let verdict = judge(&[&list], &policy)?;
        let unexplained = verdict.unexplained.iter();
        let unexplained: Vec<_> = unexplained.map(|one| (one.register, one.value)).collect();
        assert!(unexplained.contains(&(PCR_11, values[&PCR_11])), "{what}");
        assert_eq!(standing(&verdict, PCR_11), None, "{what}");
        let text = report::text(&verdict);
        assert!(
            text.contains("Not explained by this list"),
            "{what}: {text}"
        );
        assert!(text.contains("PCR 11 in sha256"), "{what}: {text}");
    }

    // where a covered checkpoint names the PCR, it has to be proven
    honest.checkpoint("")?;
    let mut forged = honest.clone();
    forged.records.remove(1);
    let list = forged.view(Bank::Sha1)?;
    for (what, policy) in both(&pcrs(&honest)) {
        let verdict = judge(&[&list], &policy)?;
        assert_eq!(code(&verdict), 1, "{what}: {:#?}", verdict.findings.kept());
    }
    Ok(())
}

/// A value that is demanded counts, whatever a quote says.
#[test]
fn values_and_a_quote_that_contradict_each_other() -> Result {
    let mut host = booted(&[Bank::Sha256]);
    let earlier = host.pcr(PCR, Bank::Sha256);
    host.file(b"/bin/a", b"a");
    let list = host.view(Bank::Sha1)?;
    let true_one = host.pcr(PCR, Bank::Sha256);
    for (what, value, wanted) in [
        ("the same", true_one, Outcome::Verified),
        ("an earlier one", earlier, Outcome::Verified),
        (
            "another",
            Bank::Sha256.hash(&[b"another"]),
            Outcome::Tampered,
        ),
        ("zeros", Bank::Sha256.zeros(), Outcome::Unanchored),
    ] {
        let mut policy = quoted(pcrs(&host));
        policy.anchor.values.insert(SHA256, value);
        policy.anchor.demanded.insert(SHA256);
        let verdict = judge(&[&list], &policy)?;
        let found = verdict.findings.kept();
        assert_eq!(verdict.outcome(), wanted, "{what}: {found:#?}");
    }

    // of a PCR that the list does not use, it explains the quote or it does not
    let mut held = pcrs(&host);
    let pcr_7 = Register { pcr: 7, ..SHA256 };
    held.insert(pcr_7, Bank::Sha256.hash(&[b"firmware"]));
    let mut policy = quoted(held);
    expect_verified("the quoted one", &judge(&[&list], &policy)?);
    policy
        .anchor
        .values
        .insert(pcr_7, Bank::Sha256.hash(&[b"another"]));
    policy.anchor.demanded.insert(pcr_7);
    expect("another", &judge(&[&list], &policy)?, 1, Kind::Mismatch);
    Ok(())
}

/// A host of which something else extended PCR 10 in its first segment.
fn broken(name: &[u8], held: Option<Digest>) -> Result<(Host, Digest)> {
    let mut host = booted(&[Bank::Sha256]);
    host.file(name, b"a");
    match held {
        Some(held) => drop(host.tpm.insert((PCR, Bank::Sha256), held)),
        None => host.foreign_extend(PCR, Bank::Sha256, b"something else"),
    }
    host.checkpoint("")?;
    let digest = Bank::Sha256.hash(&[&host.checkpoints[0].buffer]);
    host.file(b"/bin/later", b"later");
    Ok((host, digest))
}

/// What is accepted is a checkpoint, not a number: a prefix that somebody invents has another one.
#[test]
fn an_accepted_break_is_no_other_one() -> Result {
    let (honest, digest) = broken(b"/bin/a", None)?;
    let mut before = booted(&[Bank::Sha256]);
    before.file(b"/bin/a", b"a");
    before.foreign_extend(PCR, Bank::Sha256, b"something else");
    let (forged, _) = broken(b"/bin/harmless", Some(before.pcr(PCR, Bank::Sha256)))?;
    for (host, outcome, kind) in [
        (&honest, Outcome::Accepted, Kind::Accepted),
        (&forged, Outcome::Tampered, Kind::Broken),
    ] {
        let list = host.view(Bank::Sha1)?;
        let late = host.view_of(Bank::Sha1, host.first_of(1)..host.records.len())?;
        for (what, mut policy) in both(&pcrs(host)) {
            policy.breaks = [(0, digest)].into();
            let verdict = judge(&[&list], &policy)?;
            expect(what, &verdict, u8::from(kind == Kind::Broken), kind);
            assert_eq!(verdict.outcome(), outcome);
            let text = report::text(&verdict);
            assert!(!text.contains("complete from"), "{what}: {text}");
            let told = text.contains("Nothing that came before it is proven");
            assert_eq!(told, outcome == Outcome::Accepted, "{what}: {text}");

            // accepting a break is not accepting a start, nor the reverse
            let verdict = judge(&[&late], &policy)?;
            assert_eq!(verdict.outcome(), Outcome::Missing, "{what}");
            policy.breaks.clear();
            policy.start = Some((1, digest));
            let verdict = judge(&[&list], &policy)?;
            expect(what, &verdict, 1, Kind::Broken);
        }
    }
    Ok(())
}

/// The digest of a legacy record is of 276 bytes, which may be the fields of another template.
#[test]
fn a_record_told_as_a_legacy_one() -> Result {
    let mut honest = booted(&[Bank::Sha1, Bank::Sha256]);
    // with the lengths of both fields, 276 bytes
    let name = [b"/".as_slice(), &[b'x'; 226]].concat();
    honest.file(&name, b"content");
    honest.file(b"/bin/a", b"a");
    expect_verified(
        "as it is",
        &judge(&[&honest.view(Bank::Sha1)?], &against(pcrs(&honest)))?,
    );

    let mut forged = honest.clone();
    let record = &mut forged.records[1];
    let mut data = Vec::new();
    for field in &record.fields {
        data.extend((field.len() as u32).to_le_bytes());
        data.extend(field);
    }
    assert_eq!(data.len(), 276);
    record.template = b"ima".to_vec();
    record.fields = vec![data[..20].to_vec(), data[20..275].to_vec()];
    let list = forged.view(Bank::Sha1)?;
    for (what, policy) in both(&pcrs(&honest)) {
        expect(what, &judge(&[&list], &policy)?, 1, Kind::Ambiguous);
    }
    Ok(())
}
