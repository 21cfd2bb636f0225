// SPDX-License-Identifier: GPL-2.0

//! The report for an auditor says of a list what the host that made it did.

mod common;

use common::{
    signer::{buffer, Held, Key, Moment},
    Host, LOG_ID, PCR,
};
use ima_checkpoint_format::ByteOrder;
use ima_log::{
    bank::Bank,
    quote::AttestationKey,
    replay::Register,
    report::{
        audit::{Archived, Context, Entry, Found, Noticed, Removed, Report, MAX_ROWS},
        Number,
    },
    verify::{
        policy::Policy,
        verdict::{Outcome, Standing},
        verify, Input, Layouts,
    },
};

const BANKS: [Bank; 2] = [Bank::Sha1, Bank::Sha256];

fn code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Verified | Outcome::Accepted => 0,
        Outcome::Unanchored => 3,
        Outcome::Missing => 5,
        Outcome::Stale => 9,
        Outcome::Tampered => 1,
    }
}

fn quote(host: &mut Host, key: &Key, clock: u64) {
    let made = host.checkpoints.last().expect("there is a checkpoint");
    let digest = Bank::Sha256.hash(&[&made.buffer]);
    let held = BANKS.map(|bank| (Register { pcr: PCR, bank }, host.pcr(PCR, bank)));
    let at = Moment {
        reset: 3,
        restart: 1,
        clock,
    };
    let evidence = key.evidence(digest.as_bytes(), &Held::from(held), at);
    let seq = host.checkpoints.len() as u64;
    let record = buffer(LOG_ID, seq, digest.as_bytes(), &evidence);
    host.own_record(b".ima/quote", &record);
}

/// A host with three checkpoints, a quote over the second, a truncation, a violation and a kexec.
fn host(key: &Key) -> Host {
    let mut host = Host::new(ByteOrder::Little, &BANKS);
    host.file(b"boot_aggregate", b"PCRs");
    host.file(b"/bin/sh", b"sh");
    host.checkpoint("first").expect("it fits");
    host.violation(b"/var/log/<script>");
    host.generation = 1;
    host.checkpoint("<b>second</b>").expect("it fits");
    quote(&mut host, key, 90_061_000);
    host.truncation(0, 1).expect("it fits");
    host.checkpoint("third").expect("it fits");
    host.file(b"/bin/later", b"later");
    host
}

fn found(list: &[u8], keys: &[&Key]) -> Found {
    let mut policy = Policy::default();
    for key in keys {
        let key = AttestationKey::parse(&key.public).expect("it is a key");
        policy.keys.add(key);
    }
    let verdict = verify([Ok(Input::new("list", list))], &policy, Layouts::default());
    Found::Verdict(Box::new(verdict.expect("there is a verdict")))
}

fn report(entries: Vec<Entry>) -> Report {
    let context = Context {
        host: Some("web1".to_owned()),
        ..Context::default()
    };
    Report::new(context, entries, code)
}

fn view(host: &Host) -> Vec<u8> {
    host.view(Bank::Sha1).expect("it fits")
}

#[test]
fn what_the_host_did_is_told() {
    let key = Key::new(1);
    let host = host(&key);
    let report = report(vec![Entry::new(&found(&view(&host), &[&key]), None, code)]);
    assert_eq!((report.code, report.verdict), (0, "verified"));
    let judged = report.logs[0].judged.as_ref().expect("it was judged");
    let records = host.records.len() as u64;
    assert_eq!(judged.records, Number(records));
    assert_eq!(judged.bytes, Number(view(&host).len() as u64));
    assert_eq!(judged.segments, Number(4));
    // up to the record of the quote, which the quote itself is not over
    let second = host.checkpoints[1].record as u64;
    let proven = &judged.timeline.proven;
    assert_eq!(proven.len(), 1);
    assert_eq!(
        (proven[0].first, proven[0].last),
        (Number(0), Number(second))
    );
    assert_eq!(proven[0].standing, Standing::Verified);
    assert_eq!(judged.unproven, Number(records - second - 1));
    let one = &judged.quotes.shown[0];
    assert_eq!(
        (one.record, one.checkpoint),
        (Some(Number(second + 1)), Some(Number(2)))
    );
    assert_eq!((one.reset_count, one.restart_count), (3, 1));
    assert_eq!(one.clock_ms, Number(90_061_000));
    let freed = &judged.truncations.shown[0];
    assert_eq!(
        (freed.reason, freed.to, freed.records),
        ("user", Number(1), Number(2))
    );
    assert!(freed.here && !freed.proven && !freed.is_false);
    assert_eq!(judged.violations.claimed, Number(1));
    let (record, name) = &judged.violations.rows.shown[0];
    assert_eq!((*record, name.as_str()), (Number(3), "/var/log/<script>"));
    let kernels: Vec<_> = judged
        .kernels
        .shown
        .iter()
        .map(|one| one.generation)
        .collect();
    assert_eq!(kernels, [0, 1]);
    let labels: Vec<_> = judged
        .checkpoints
        .shown
        .iter()
        .map(|one| one.label.as_str())
        .collect();
    assert_eq!(labels, ["third", "<b>second</b>", "first"]);
    assert!(judged.missing.is_empty() && judged.broken.is_empty());
    // the bins are the segments
    let starts = [0, host.first_of(1), host.first_of(2), host.first_of(3)];
    let bins = &judged.timeline.bins;
    let seen: Vec<_> = bins.iter().map(|bin| bin.record).collect();
    assert_eq!(seen, starts.map(|start| Number(start as u64)));
    let proven: u64 = bins.iter().map(|bin| bin.proven.0).sum();
    assert_eq!(proven, second + 1);
    let quotes: Vec<_> = bins.iter().map(|bin| bin.quotes.0).collect();
    assert_eq!(quotes, [0, 0, 1, 0]);
    let kernels: Vec<_> = bins.iter().map(|bin| bin.kernel).collect();
    assert_eq!(kernels, [None, Some(0), Some(1), None]);
}

#[test]
fn without_the_key_all_is_claimed() {
    let key = Key::new(1);
    let list = view(&host(&key));
    let report = report(vec![Entry::new(&found(&list, &[&Key::new(2)]), None, code)]);
    assert_eq!((report.code, report.verdict), (3, "unanchored"));
    let judged = report.logs[0].judged.as_ref().expect("it was judged");
    assert!(judged.timeline.proven.is_empty());
    assert_eq!(judged.unproven, judged.records);
    assert_eq!(judged.unknown_keys[0].quotes, Number(1));
    assert!(judged
        .timeline
        .bins
        .iter()
        .all(|bin| bin.proven == Number(0)));
}

#[test]
fn what_is_missing_is_told_with_what_the_archive_noticed() {
    let key = Key::new(1);
    let host = host(&key);
    let end = host.records.len();
    let with = |from: usize, to: usize| {
        let parts = [
            host.view_of(Bank::Sha1, 0..host.first_of(from)),
            host.view_of(Bank::Sha1, host.first_of(to)..end),
        ];
        parts.map(|part| part.expect("it fits")).concat()
    };
    let archived = Archived {
        removed: Some(Removed {
            before: Number(1),
            at_ns: Number(5),
        }),
        gaps: vec![Noticed {
            from: Number(1),
            to: Number(1),
            at_ns: Number(7),
        }],
        ..Archived::default()
    };
    for (from, to, segments, noticed) in [(1, 2, (1, 1), 7), (0, 1, (0, 0), 5)] {
        let found = found(&with(from, to), &[&key]);
        let report = report(vec![Entry::new(&found, Some(archived.clone()), code)]);
        assert_eq!((report.code, report.verdict), (5, "missing"));
        let judged = report.logs[0].judged.as_ref().expect("it was judged");
        let missing = &judged.missing.shown[0];
        assert_eq!(
            missing.segments,
            Some((Number(segments.0), Number(segments.1)))
        );
        assert_eq!(missing.noticed_ns, Some(Number(noticed)));
        assert!(missing.before_ns.is_some());
        // what was freed is not all here
        assert_eq!(judged.truncations.shown[0].here, from > 0);
    }
}

#[test]
fn the_gravest_verdict_decides() {
    let key = Key::new(1);
    let list = view(&host(&key));
    let good = || Entry::new(&found(&list, &[&key]), None, code);
    let bad = |outcome| Entry::new(&Found::Unreadable(outcome, "why".to_owned()), None, code);
    for (entries, wanted, codes, says) in [
        (vec![good(), good()], 0, vec![0], "both boots of web1"),
        (
            vec![good(), bad(Outcome::Tampered), bad(Outcome::Missing)],
            1,
            vec![1, 5],
            "1 of the 3 boots of web1",
        ),
        (
            vec![bad(Outcome::Missing), good()],
            5,
            vec![5],
            "1 of the 2 boots of web1",
        ),
        (vec![bad(Outcome::Stale)], 9, vec![9], "of web1"),
        (vec![], 3, vec![], "of web1"),
    ] {
        let report = report(entries);
        assert_eq!((report.code, &report.codes), (wanted, &codes));
        assert!(report.sentence.contains(says), "{}", report.sentence);
    }
}

/// What an earlier quote proves stays proven, although nothing joins it to what follows.
#[test]
fn each_side_of_a_gap_is_proven_by_itself() {
    let key = Key::new(1);
    let mut host = Host::new(ByteOrder::Little, &BANKS);
    host.file(b"boot_aggregate", b"PCRs");
    for _ in 0..4 {
        host.checkpoint("").expect("it fits");
        quote(&mut host, &key, 1000);
        host.file(b"/bin/sh", b"sh");
    }
    let parts = [
        host.view_of(Bank::Sha1, 0..host.first_of(2)),
        host.view_of(Bank::Sha1, host.first_of(3)..host.records.len()),
    ];
    let list = parts.map(|part| part.expect("it fits")).concat();
    let report = report(vec![Entry::new(&found(&list, &[&key]), None, code)]);
    assert_eq!(report.code, 5);
    let judged = report.logs[0].judged.as_ref().expect("it was judged");
    let first = |segment| host.first_of(segment) as u64;
    let proven = judged.timeline.proven.iter();
    let proven: Vec<_> = proven
        .map(|one| (one.first.0, one.last.0, one.standing))
        .collect();
    let wanted = [
        (0, first(1), Standing::Verified),
        (first(3), first(4), Standing::Partial),
    ];
    assert_eq!(proven, wanted);
    let bins = judged.timeline.bins.iter();
    let bins: Vec<_> = bins.map(|bin| (bin.proven.0, bin.partial.0)).collect();
    assert_eq!(bins, [(1, 0), (1, 0), (0, 3), (0, 1)]);
}

/// A base without anything that follows it is verified, and proves no record.
#[test]
fn nothing_new() {
    let register = Register {
        pcr: PCR,
        bank: Bank::Sha256,
    };
    let value = Bank::Sha256.hash(&[b"what was proven before"]);
    let mut policy = Policy::default();
    policy.base.insert(register, value);
    policy.anchor.values.insert(register, value);
    let input = Input::new("list", &b""[..]);
    let verdict = verify([Ok(input)], &policy, Layouts::default()).expect("there is a verdict");
    let found = Found::Verdict(Box::new(verdict));
    let report = report(vec![Entry::new(&found, None, code)]);
    assert_eq!((report.code, report.verdict), (0, "verified"));
    let judged = report.logs[0].judged.as_ref().expect("it was judged");
    assert!(judged.timeline.proven.is_empty());
    assert_eq!((judged.records, judged.unproven), (Number(0), Number(0)));
}

/// However many logs and events there are, and however long their texts are.
#[test]
fn its_size_is_bounded() {
    let mut host = Host::new(ByteOrder::Little, &BANKS);
    host.file(b"boot_aggregate", b"PCRs");
    for number in 0..MAX_ROWS + 5 {
        host.violation(&[b'x'; 4000]);
        host.foreign_extend(PCR, Bank::Sha256, b"something");
        host.generation += 1;
        host.checkpoint("label").expect("it fits");
        if number > 0 {
            host.truncation(number - 1, number).expect("it fits");
        }
    }
    let list = view(&host);
    let entry = |_| Entry::new(&found(&list, &[]), None, code);
    let report = report((0..25).map(entry).collect());
    assert_eq!((report.logs.len(), report.more_logs), (20, Number(5)));
    let judged = report.logs[0].judged.as_ref().expect("it was judged");
    let all = MAX_ROWS as u64 + 5;
    let few = [
        (judged.kernels.shown.len(), judged.kernels.count(), all),
        (judged.broken.shown.len(), judged.broken.count(), all),
        (
            judged.truncations.shown.len(),
            judged.truncations.count(),
            all - 1,
        ),
        (
            judged.checkpoints.shown.len(),
            judged.checkpoints.count(),
            all,
        ),
    ];
    for (shown, count, wanted) in few {
        assert_eq!((shown, count), (MAX_ROWS, wanted));
    }
    assert_eq!(judged.violations.rows.count(), all);
    let names = judged.violations.rows.shown.iter();
    assert!(names
        .map(|(_, name)| name.len())
        .all(|length| length < 1000));
}
