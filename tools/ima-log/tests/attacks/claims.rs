// SPDX-License-Identifier: GPL-2.0

//! What checkpoints and truncations claim.

use crate::{
    common::{
        d_ng,
        judge::{code, expect, host, rehash},
        Host,
    },
    sha1_view, verdict, Result,
};
use ima_log::{
    bank::{Bank, Digest},
    verify::finding::Kind,
};

/// What the default PCR holds after all records, the slow way.
pub(crate) fn replayed(host: &Host) -> Digest {
    let mut again = Host::new(host.order, &host.banks);
    for record in &host.records {
        again.measure(record.clone());
    }
    again.pcr(10, Bank::Sha256)
}

/// Makes the digests of a checkpoint's record fit its buffer again.
pub(crate) fn refit(record: &mut [u8]) -> Result {
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
        let mut host = Host::new(host()?.order, &[Bank::Sha1, Bank::Sha256]);
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
