// SPDX-License-Identifier: GPL-2.0

//! Where a proof starts and ends: a base after a lost log, an event log, and the next round.

mod common;

use common::{
    judge::{against, booted, code, expect, expect_verified, judge, kinds, record_of_pcr_11},
    Host, Measured, PCR,
};
use ima_checkpoint_format::ByteOrder;
use ima_log::{
    bank::Bank,
    replay::{Origin, Register, Values},
    report,
    verify::{
        finding::Kind,
        policy::Policy,
        verdict::{Outcome, Standing},
    },
};
use std::error::Error;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const BANK: Bank = Bank::Sha256;

fn register(pcr: u32) -> Register {
    Register { pcr, bank: BANK }
}

fn held(host: &Host, pcr: u32) -> Values {
    Values::from([(register(pcr), host.pcr(pcr, BANK))])
}

/// A host whose default PCR was extended before its list starts.
fn after(what: &[u8]) -> (Host, Values) {
    let mut host = Host::new(ByteOrder::Little, &[BANK]);
    host.foreign_extend(PCR, BANK, what);
    let before = held(&host, PCR);
    host.file(b"boot_aggregate", b"PCRs");
    (host, before)
}

/// What the kernel misses came before the base that the verifier has.
#[test]
fn a_lost_log_behind_a_base() -> Result {
    let (mut host, before) = after(b"records of the first kernel");
    host.forged_checkpoint("", |buffer| buffer[12] = 8)?;
    host.file(b"/bin/a", b"a");
    let list = host.view(BANK)?;
    let mut policy = against(held(&host, PCR));
    expect("no base", &judge(&[&list], &policy)?, 5, Kind::LogLost);
    policy.base = before;
    let verdict = judge(&[&list], &policy)?;
    expect_verified("from the base", &verdict);
    assert_eq!(kinds(&verdict), []);
    policy.base = Values::from([(register(PCR), BANK.hash(&[b"another"]))]);
    assert_ne!(code(&judge(&[&list], &policy)?), 0);
    Ok(())
}

/// Whoever gives the event log decides what is told there, and not in the list.
#[test]
fn an_event_log_of_the_default_pcr_is_in_the_headline() -> Result {
    let (host, before) = after(b"an event of the firmware, or a record");
    let list = host.view(BANK)?;
    let policy = Policy {
        firmware: before,
        ..against(held(&host, PCR))
    };
    let verdict = judge(&[&list], &policy)?;
    expect_verified("from the event log", &verdict);
    let origin = verdict.register(register(PCR)).map(|one| one.origin);
    assert_eq!(origin, Some(Origin::EventLog));
    let text = report::text(&verdict);
    let headline = text.lines().next().unwrap_or_default();
    assert!(headline.contains("what the event log says"), "{headline}");
    Ok(())
}

/// A value of PCR 11 proves nothing of what came after it, and no later base has that in it.
#[test]
fn the_next_base_has_nothing_unproven_in_it() -> Result {
    let mut host = booted(&[BANK]);
    host.measure(record_of_pcr_11(b"/bin/a"));
    let mut values = held(&host, 11);
    let mut told = host.clone();
    told.measure(record_of_pcr_11(b"/bin/invented"));
    host.file(b"/bin/b", b"b");
    told.file(b"/bin/b", b"b");
    values.extend(held(&host, PCR));

    let mut policy = against(values);
    policy.firmware.clear();
    let verdict = judge(&[&host.view(BANK)?], &policy)?;
    let base = |verdict: &ima_log::verify::verdict::Verdict, pcr| {
        verdict.register(register(pcr)).and_then(|one| one.base)
    };
    for pcr in [PCR, 11] {
        assert_eq!(base(&verdict, pcr), Some(host.pcr(pcr, BANK)));
    }
    let verdict = judge(&[&told.view(BANK)?], &policy)?;
    assert_eq!(base(&verdict, PCR), Some(host.pcr(PCR, BANK)));
    assert_eq!(base(&verdict, 11), None);
    Ok(())
}

/// A record that nobody vouches for, of a PCR that IMA does not use, hides nothing of what firmware did
/// there.
#[test]
fn an_uncovered_record_of_a_firmware_pcr_changes_nothing() -> Result {
    let mut host = booted(&[BANK]);
    host.foreign_extend(7, BANK, b"an event of the firmware");
    let values: Values = held(&host, PCR).into_iter().chain(held(&host, 7)).collect();
    let honest = host.view(BANK)?;
    host.measure(Measured {
        pcr: 7,
        ..record_of_pcr_11(b"/bin/invented")
    });
    let told = host.view(BANK)?;
    let mut policy = against(values);
    for list in [&honest, &told] {
        policy.firmware.clear();
        let verdict = judge(&[list], &policy)?;
        expect_verified("without an event log", &verdict);
        assert_eq!(verdict.unexplained.len(), 1);
        policy.firmware = Values::from([(register(7), BANK.hash(&[b"another"]))]);
        expect("another one", &judge(&[list], &policy)?, 1, Kind::EventLog);
    }
    Ok(())
}

/// The host again, but with a checkpoint that claims another value of PCR 11 than it has. Both then
/// measure a record of that PCR.
fn with_another_claim(host: &mut Host) -> Result<Host> {
    let mut told = host.clone();
    let claimed = held(host, 11)[&register(11)];
    told.forged_checkpoint("", |buffer| {
        let mut places = buffer.windows(claimed.as_bytes().len());
        let at = places.position(|bytes| bytes == claimed.as_bytes());
        buffer[at.expect("the checkpoint has the value")] ^= 1;
    })?;
    for host in [host, &mut told] {
        host.measure(record_of_pcr_11(b"/bin/b"));
    }
    Ok(told)
}

/// Values of different moments: a checkpoint between them, which nothing covers, claims another value of
/// the PCR whose value is the later one.
#[test]
fn a_checkpoint_that_is_not_covered_lowers_nothing() -> Result {
    let mut host = booted(&[BANK]);
    host.measure(record_of_pcr_11(b"/bin/a"));
    host.file(b"/bin/covers", b"it");
    let mut values = held(&host, PCR);
    let told = with_another_claim(&mut host)?;
    values.extend(held(&host, 11));
    let mut policy = against(values);
    policy.firmware.clear();
    for (what, list) in [("honest", &host), ("told", &told)] {
        let verdict = judge(&[&list.view(BANK)?], &policy)?;
        expect_verified(what, &verdict);
        let one = verdict.register(register(11));
        assert_eq!(one.map(|one| one.origin), Some(Origin::Reset), "{what}");
        assert_eq!(one.map(|one| one.records), Some(2), "{what}");
        assert_eq!(one.and_then(|one| one.base), None, "{what}");
    }
    Ok(())
}

/// The same of a PCR that something else extended, which the verifier accepts.
#[test]
fn a_checkpoint_that_is_not_covered_lowers_nothing_that_was_accepted() -> Result {
    let mut host = booted(&[BANK]);
    host.measure(record_of_pcr_11(b"/bin/a"));
    host.foreign_extend(11, BANK, b"something else");
    host.checkpoint("")?;
    let digest = Bank::Sha256.hash(&[&host.checkpoints[0].buffer]);
    let mut values = held(&host, PCR);
    let told = with_another_claim(&mut host)?;
    values.extend(held(&host, 11));
    let mut policy = against(values);
    policy.firmware.clear();
    policy.breaks = [(0, digest)].into();
    for (what, list) in [("honest", &host), ("told", &told)] {
        let verdict = judge(&[&list.view(BANK)?], &policy)?;
        assert_eq!(verdict.outcome(), Outcome::Accepted, "{what}");
        let one = verdict.register(register(11));
        assert_eq!(
            one.map(|one| one.standing),
            Some(Standing::Accepted),
            "{what}"
        );
        assert_eq!(
            one.map(|one| one.origin),
            Some(Origin::Accepted(1)),
            "{what}"
        );
        assert_eq!(one.map(|one| one.records), Some(2), "{what}");
    }
    Ok(())
}
