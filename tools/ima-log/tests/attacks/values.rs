// SPDX-License-Identifier: GPL-2.0

//! Values of PCRs: what the list starts from, and what it is compared with.

use crate::{
    claims::{refit, replayed},
    common::{
        judge::{against, code, codes, expect, host, judge, pcrs, rehash, split, standing, SHA256},
        Host,
    },
    sha1_view, verdict, Result,
};
use ima_log::{
    bank::{Bank, Digest},
    replay::{Register, Values},
    verify::{
        finding::Kind,
        policy::Policy,
        verdict::{Outcome, Standing},
    },
};

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

/// Whoever verified up to a record needs only those after it, and the values in one bank.
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

/// Values from before: what came later is neither trusted nor an error.
#[test]
fn records_after_the_values() -> Result {
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

    // accepting the break vouches for the checkpoint after it, not for what is before
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
