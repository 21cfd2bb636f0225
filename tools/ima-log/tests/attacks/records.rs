// SPDX-License-Identifier: GPL-2.0

//! Records that were changed, moved, left out or added, and segments.

use crate::{
    common::{
        d_ng,
        judge::{against, code, codes, expect, host, judge, kinds, pcrs, rehash, split},
        nul, Host,
    },
    sha1_view, verdict, Result,
};
use ima_log::{
    bank::Bank,
    verify::{
        finding::{Finding, Kind},
        verdict::Verdict,
    },
};

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
        // the last one doubled is after what the PCRs cover
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
    // after what the PCRs cover: nobody knows who wrote it, and nothing rests on it
    let again = judged(&[0, 1, 2, 3, 0, 1])?;
    expect("all of it again", &again, 0, Kind::Order);
    assert!(again.findings.kept().iter().all(|found| found.uncovered));
    Ok(())
}
