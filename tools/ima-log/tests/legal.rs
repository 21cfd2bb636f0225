// SPDX-License-Identifier: GPL-2.0

//! What hosts do and verifiers ask for, and what the verifier once refused although it is legal.

mod common;

use common::{
    d_ng,
    judge::{
        against, booted, both, code, expect, expect_verified, host, judge, pcrs, record_of_pcr_11,
        standing, BANKS, PCR_11, SHA256,
    },
    nul, Host, PCR,
};
use ima_checkpoint_format::{checkpoint::Flags, ByteOrder};
use ima_log::{
    bank::Bank,
    replay::{Register, Values},
    report,
    verify::{
        finding::Kind,
        verdict::{Outcome, Standing, Verdict},
        verify, Error as VerifyError, Input, Layouts,
    },
};
use std::{
    error::Error,
    io::{self, Read},
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn new_host() -> Host {
    Host::new(ByteOrder::Little, &BANKS)
}

fn texts(verdict: &Verdict) -> String {
    let found = verdict.findings.kept().iter();
    found.map(|found| format!("{found}\n")).collect()
}

/// A rule for files may have `template=ima-buf`: what it measures has no buffer.
#[test]
fn files_with_the_template_of_buffers() -> Result {
    let mut host = booted(&BANKS);
    let fields = vec![d_ng(b"content"), nul(b"/bin/a"), Vec::new()];
    host.append(b"ima-buf", fields, false);
    host.checkpoint("")?;
    host.file(b"/bin/b", b"b");
    for (what, policy) in both(&pcrs(&host)) {
        let verdict = judge(&[&host.view(Bank::Sha1)?], &policy)?;
        expect_verified(what, &verdict);
        assert!(verdict.findings.kept().is_empty());
    }
    Ok(())
}

/// What a boot loader extended before IMA is known from its event log, or has to be told.
#[test]
fn a_pcr_that_was_used_before_ima() -> Result {
    let mut host = new_host();
    for bank in [Bank::Sha1, Bank::Sha256] {
        host.foreign_extend(11, bank, b"a boot loader");
    }
    let before = host.pcr(11, Bank::Sha256);
    host.file(b"boot_aggregate", b"PCRs");
    host.measure(record_of_pcr_11(b"/bin/a"));
    host.file(b"/bin/b", b"b");
    for sealed in [false, true] {
        if sealed {
            host.checkpoint("")?;
            host.file(b"/bin/c", b"c");
        }
        let list = host.view(Bank::Sha1)?;
        let mut values = pcrs(&host);
        values.retain(|register, _| register.bank == Bank::Sha256);
        for (what, mut policy) in both(&values) {
            let verdict = judge(&[&list], &policy)?;
            expect(what, &verdict, 5, Kind::Start);
            assert!(
                texts(&verdict).contains("--event-log"),
                "{}",
                texts(&verdict)
            );
            assert_ne!(
                standing(&verdict, PCR_11),
                Some(Standing::Verified),
                "{what}"
            );

            policy.firmware = Values::from([(PCR_11, before)]);
            let verdict = judge(&[&list], &policy)?;
            expect_verified(what, &verdict);
            assert_eq!(
                standing(&verdict, PCR_11),
                Some(Standing::Verified),
                "{what}"
            );

            policy.firmware.clear();
            policy.base = Values::from([(PCR_11, before)]);
            expect_verified(what, &judge(&[&list], &policy)?);

            // what is known for sure, and does not fit
            policy.base.insert(PCR_11, Bank::Sha256.hash(&[b"another"]));
            let verdict = judge(&[&list], &policy)?;
            assert_eq!(code(&verdict), 1, "{what}: {}", texts(&verdict));
        }
    }
    Ok(())
}

/// Leaves out the values of PCR 11, as if they had not fitted.
fn leave_out_pcr_11(buffer: &mut Vec<u8>) {
    let (mut at, header) = (168, 168);
    let mut kept = buffer[..header].to_vec();
    while let Some(item) = buffer.get(at..at + 4) {
        let length = 4 + usize::from(u16::from_le_bytes([item[2], item[3]]));
        let is_value = item[1] == 0x80;
        let item = &buffer[at..at + length];
        if !(is_value && item[4] == 11) {
            kept.extend(item);
        }
        at += length;
    }
    kept[12] |= Flags::INCOMPLETE.bits() as u8;
    *buffer = kept;
}

/// A checkpoint without all PCRs is one to start with, for those that it has.
#[test]
fn an_incomplete_checkpoint_in_front() -> Result {
    let mut host = booted(&BANKS);
    host.measure(record_of_pcr_11(b"/bin/a"));
    host.forged_checkpoint("", leave_out_pcr_11)?;
    let mut before = pcrs(&host);
    before.retain(|register, _| register.pcr == 11);
    host.file(b"/bin/b", b"b");
    for goes_on in [false, true] {
        if goes_on {
            host.measure(record_of_pcr_11(b"/bin/c"));
            host.file(b"/bin/d", b"d");
        }
        let list = host.view_of(Bank::Sha1, host.first_of(1)..host.records.len())?;
        let pin = (1, Bank::Sha256.hash(&[&host.checkpoints[0].buffer]));
        for (what, mut policy) in both(&pcrs(&host)) {
            expect(what, &judge(&[&list], &policy)?, 5, Kind::Start);
            policy.start = Some(pin);
            let verdict = judge(&[&list], &policy)?;
            match goes_on {
                false => assert_eq!(verdict.outcome(), Outcome::Accepted, "{}", texts(&verdict)),
                // it does not say what PCR 11 held
                true => expect(what, &verdict, 5, Kind::Start),
            }
            policy.base = before.clone();
            let verdict = judge(&[&list], &policy)?;
            assert_eq!(
                verdict.outcome(),
                Outcome::Accepted,
                "{what}: {}",
                texts(&verdict)
            );
        }
    }
    Ok(())
}

/// Nothing was measured since the last round, or only after the values.
#[test]
fn a_round_of_a_monitor_without_news() -> Result {
    let host = host()?;
    let base = pcrs(&host);
    let mut later = host.clone();
    later.file(b"/bin/later", b"later");
    later.checkpoint("")?;
    let after = later.view_of(Bank::Sha1, host.records.len()..later.records.len())?;
    for (what, mut policy) in both(&base) {
        policy.base = base.clone();
        for list in [b"".as_slice(), &after] {
            let verdict = judge(&[list], &policy)?;
            expect_verified(what, &verdict);
            assert!(report::text(&verdict).contains("nothing new"), "{what}");
            // the next round starts where this one did
            for (register, value) in base.iter().filter(|(at, _)| at.bank == Bank::Sha256) {
                let one = verdict.register(*register).ok_or("it is known")?;
                assert_eq!(one.base, Some(*value), "{what}: {register}");
                assert_eq!(one.standing, Standing::Verified, "{what}: {register}");
            }
        }
    }
    // a round with news, as the next one after it
    let list = later.view_of(Bank::Sha1, host.records.len()..later.records.len())?;
    for (what, mut policy) in both(&pcrs(&later)) {
        policy.base = base.clone();
        let verdict = judge(&[&list], &policy)?;
        expect_verified(what, &verdict);
        let next = verdict.register(SHA256).ok_or("it is known")?;
        assert_eq!(next.base, Some(later.pcr(PCR, Bank::Sha256)), "{what}");
        assert!(!report::text(&verdict).contains("nothing new"), "{what}");
    }
    Ok(())
}

#[test]
fn a_round_of_a_monitor_that_is_not_true() -> Result {
    let host = host()?;
    let base = pcrs(&host);
    let mut other = base.clone();
    other.insert(SHA256, Bank::Sha256.hash(&[b"something else"]));
    for (what, mut policy) in both(&other) {
        // without a base, nothing is proven by nothing
        let empty = judge(&[b""], &policy);
        assert!(matches!(empty, Err(VerifyError::Empty)), "{what}");
        policy.base = base.clone();
        let verdict = judge(&[b""], &policy)?;
        assert_ne!(code(&verdict), 0, "{what}: {}", texts(&verdict));
    }
    // zeros that somebody says are held, and a list of nothing
    for (what, mut policy) in both(&Values::from([(SHA256, Bank::Sha256.zeros())])) {
        policy.base = Values::from([(PCR_11, Bank::Sha256.zeros())]);
        let verdict = judge(&[b""], &policy)?;
        assert_ne!(code(&verdict), 0, "{what}: {}", texts(&verdict));
    }
    Ok(())
}

/// A whole list from `boot_aggregate` on, of whose PCR 11 a base is given, is the rest of nothing.
#[test]
fn a_base_of_another_pcr_and_a_gap() -> Result {
    let host = host()?;
    let mut records = common::judge::split(&host.view(Bank::Sha1)?);
    records.drain(host.first_of(1)..host.first_of(2));
    let mut policy = against(pcrs(&host));
    policy.base = std::mem::take(&mut policy.firmware);
    expect(
        "a gap",
        &judge(&[&records.concat()], &policy)?,
        5,
        Kind::Gap,
    );
    Ok(())
}

/// Gives some bytes, and an error once; asked again, it pretends to be at its end.
struct Fails<'a>(&'a [u8], bool);

impl Read for Fails<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() && !std::mem::replace(&mut self.1, true) {
            return Err(io::Error::other("damaged"));
        }
        self.0.read(out)
    }
}

/// A record is whole, but the list cannot be read on after it: that is not its end.
#[test]
fn an_error_behind_a_whole_record() -> Result {
    let mut host = booted(&BANKS);
    for number in 0..3000 {
        host.file(format!("/bin/{number}").as_bytes(), b"content");
    }
    for records in [1, 3, 2999] {
        let list = host.view_of(Bank::Sha1, 0..records)?;
        let mut held = new_host();
        for record in &host.records[..records] {
            held.measure(record.clone());
        }
        let input = Input::new("list", Fails(&list, false));
        let verdict = verify([Ok(input)], &against(pcrs(&held)), Layouts::default())?;
        let told = verdict.findings.kept().iter();
        let told = told.filter(|found| found.kind == Kind::Malformed);
        assert_eq!(told.count(), 1, "{records}: {}", texts(&verdict));
    }
    Ok(())
}

/// What PCRs 0 to 9 hold, in a bank.
fn firmware(bank: Bank) -> Values {
    let pcrs = (0..10).map(|pcr| {
        let value = bank.hash(&[b"firmware", &[pcr as u8]]);
        (Register { pcr, bank }, value)
    });
    pcrs.collect()
}

/// The values that a boot aggregate is the hash of.
fn concat(values: &Values, pcrs: std::ops::Range<u32>) -> Vec<u8> {
    let hashed = values.iter().filter(|(at, _)| pcrs.contains(&at.pcr));
    hashed
        .flat_map(|(_, value)| value.as_bytes().to_vec())
        .collect()
}

#[test]
fn boot_aggregates() -> Result {
    let known = firmware(Bank::Sha256);
    let mut but_nine = known.clone();
    but_nine.remove(&Register { pcr: 9, ..SHA256 });
    let mut but_seven = known.clone();
    but_seven.remove(&Register { pcr: 7, ..SHA256 });
    let (right, old) = (concat(&known, 0..10), concat(&known, 0..8));
    for (what, hashed, told, wanted, kind) in [
        ("right", right.as_slice(), &known, 0, None),
        ("old", &old, &known, 0, Some(Kind::OldAggregate)),
        (
            "old, PCR 9 not known",
            &old,
            &but_nine,
            0,
            Some(Kind::OldAggregate),
        ),
        (
            "wrong",
            b"another machine",
            &known,
            1,
            Some(Kind::BootAggregate),
        ),
        ("not known", b"another machine", &but_nine, 0, None),
        ("not known", b"another machine", &but_seven, 0, None),
    ] {
        for name in [b"boot_aggregate".as_slice(), b"boot_aggregate_late"] {
            let mut host = Host::new(ByteOrder::Little, &[Bank::Sha256]);
            host.file(name, hashed);
            host.file(b"/bin/a", b"a");
            let list = host.view(Bank::Sha256)?;
            let mut values = pcrs(&host);
            values.extend(told.clone());
            for (by, policy) in both(&values) {
                let verdict = judge(&[&list], &policy)?;
                let what = format!("{what} by {by}");
                assert_eq!(code(&verdict), wanted, "{what}: {}", texts(&verdict));
                let found = verdict.findings.kept().first().map(|found| found.kind);
                assert_eq!(found, kind, "{what}");
            }
        }
    }
    Ok(())
}

/// As kernels before 3.13 wrote it.
#[test]
fn a_boot_aggregate_in_sha1() -> Result {
    let known = firmware(Bank::Sha1);
    let right = Bank::Sha1.hash(&[&concat(&known, 0..8)]);
    for (digest, wanted) in [(right, 0), (Bank::Sha1.hash(&[b"another"]), 1)] {
        let mut host = new_host();
        let fields = vec![digest.as_bytes().to_vec(), b"boot_aggregate".to_vec()];
        host.append(b"ima", fields, false);
        host.file(b"/bin/a", b"a");
        let mut values = pcrs(&host);
        values.extend(known.clone());
        for (by, policy) in both(&values) {
            let verdict = judge(&[&host.view(Bank::Sha1)?], &policy)?;
            assert_eq!(code(&verdict), wanted, "{by}: {}", texts(&verdict));
        }
    }
    Ok(())
}

/// Each kernel that a kexec starts hashes the PCRs again. Behind the values, anybody may have.
#[test]
fn a_second_boot_aggregate() -> Result {
    let known = firmware(Bank::Sha256);
    let right = concat(&known, 0..10);
    for (hashed, covered, wanted) in [
        (right.as_slice(), true, 0),
        (b"another machine", true, 1),
        (b"another machine", false, 0),
    ] {
        let mut host = new_host();
        host.file(b"boot_aggregate", &right);
        host.file(b"/bin/a", b"a");
        let mut values = pcrs(&host);
        host.file(b"boot_aggregate", hashed);
        host.file(b"/bin/b", b"b");
        if covered {
            values = pcrs(&host);
        }
        values.extend(known.clone());
        for (by, policy) in both(&values) {
            let verdict = judge(&[&host.view(Bank::Sha1)?], &policy)?;
            assert_eq!(code(&verdict), wanted, "{by}: {}", texts(&verdict));
            let told = verdict.findings.kept().iter();
            let told = told.filter(|found| found.kind == Kind::BootAggregate);
            assert_eq!(told.count() > 0, hashed != right, "{by}");
        }
    }
    Ok(())
}
