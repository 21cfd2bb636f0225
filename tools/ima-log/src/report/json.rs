// SPDX-License-Identifier: GPL-2.0

//! A verdict as JSON; `Documentation/verify.rst` specifies it. Numbers that may exceed 2^53 are
//! strings, because many programs read JSON numbers as floating point.

use super::Number;
use crate::{
    bank::{Bank, Digest},
    chain::Segment,
    endorsement::Believed,
    quote::{Hex, Quote},
    replay::Origin,
    verify::{
        finding::{Finding, Gravity, Kind},
        log_quotes::{LogQuote, LogQuotes},
        verdict::{Outcome, PcrVerdict, Standing, Unexplained, Verdict},
    },
};
use serde::Serialize;

/// The exit code of an outcome.
pub type Code = fn(Outcome) -> u8;

/// The whole document.
#[derive(Debug, Serialize)]
pub struct Json<'a> {
    schema: &'static str,
    code: u8,
    codes: Vec<u8>,
    verdict: &'static str,
    log: Log,
    pcrs: Vec<Pcr<'a>>,
    covered: Option<Number>,
    unexplained: Vec<Outside<'a>>,
    findings: Vec<Found<'a>>,
    more: Vec<More>,
    segments: Vec<Part<'a>>,
    quote: Option<&'a Quote>,
    quotes: Vec<Logged<'a>>,
    more_quotes: Number,
    unknown_keys: Vec<Unknown>,
    endorsements: Vec<Vouched<'a>>,
    checkpoint: Option<Newest<'a>>,
}

/// A genuine quote in the list.
#[derive(Debug, Serialize)]
struct Logged<'a> {
    record: Number,
    log_record: Number,
    checkpoint: Number,
    checkpoint_digest: &'a Digest,
    proven: Option<Range>,
    quote: &'a Quote,
}

/// An endorsement that the verdict rests on.
#[derive(Debug, Serialize)]
struct Vouched<'a> {
    id: &'a Digest,
    key: &'a Digest,
    verifier: &'a str,
    time: String,
    host: Option<&'a str>,
    checkpoint: Number,
}

/// The newest checkpoint that is proven, which can be endorsed.
#[derive(Debug, Serialize)]
struct Newest<'a> {
    seq: Number,
    digest: &'a Digest,
    log_record: Number,
}

/// A key that was not given, by the name that quotes claim.
#[derive(Debug, Serialize)]
struct Unknown {
    key_name: Hex,
    quotes: Number,
}

#[derive(Debug, Serialize)]
struct Log {
    id: Option<Digest>,
    records: Number,
    bytes: Number,
    violations: Number,
    first: Option<Number>,
    segments: Number,
}

#[derive(Debug, Serialize)]
struct Pcr<'a> {
    pcr: u32,
    bank: Bank,
    standing: Standing,
    start: &'static str,
    checkpoint: Option<Number>,
    proven: Option<Range>,
    replayed: &'a Digest,
    expected: Option<&'a Digest>,
    base: Option<&'a Digest>,
}

/// Records by their place in the input; `end` is one past the last.
#[derive(Debug, Serialize)]
struct Range {
    first: Number,
    end: Number,
}

#[derive(Debug, Serialize)]
struct Outside<'a> {
    pcr: u32,
    bank: Bank,
    value: &'a Digest,
}

#[derive(Debug, Serialize)]
struct Found<'a> {
    kind: Kind,
    code: u8,
    uncovered: bool,
    source: Option<&'a str>,
    record: Option<Number>,
    offset: Option<Number>,
    log_record: Option<Number>,
    segment: Option<Number>,
    text: &'a str,
}

/// Findings that were only counted.
#[derive(Debug, Serialize)]
struct More {
    kind: Kind,
    count: Number,
}

#[derive(Debug, Serialize)]
struct Part<'a> {
    seq: Option<Number>,
    first: Option<Number>,
    records: Number,
    bytes: Number,
    violations: Number,
    broken: bool,
    partial: bool,
    sha256: Option<&'a Digest>,
    quote: Option<Number>,
    claimed: Option<Claimed<'a>>,
}

/// What the checkpoint says that the segment starts with.
#[derive(Debug, Serialize)]
struct Claimed<'a> {
    digest: &'a Digest,
    flags: u32,
    generation: u32,
    wall_ns: Number,
    boot_ns: Number,
    label: &'a str,
}

impl<'a> Json<'a> {
    /// What is to be written, with the exit codes of a program.
    pub fn new(verdict: &'a Verdict, code: Code) -> Self {
        let log = &verdict.log;
        Self {
            schema: "ima-checkpoint/verify/2",
            code: code(verdict.outcome()),
            codes: codes(verdict, code),
            verdict: word(verdict.outcome()),
            log: Log {
                id: log.id,
                records: Number(verdict.end.record),
                bytes: Number(log.bytes),
                violations: Number(log.violations),
                first: log.first.map(Number),
                segments: Number(log.segments),
            },
            pcrs: verdict.registers.iter().map(pcr).collect(),
            covered: verdict.covered.map(Number),
            unexplained: verdict.unexplained.iter().map(outside).collect(),
            findings: {
                let kept = verdict.findings.kept().iter();
                kept.map(|finding| found(finding, code)).collect()
            },
            more: {
                let more = verdict.findings.more();
                let more = more.map(|(kind, count)| (kind, Number(count)));
                more.map(|(kind, count)| More { kind, count }).collect()
            },
            segments: {
                let shown = log.shown.iter();
                shown.map(|one| part(one, &verdict.quotes)).collect()
            },
            quote: verdict.quote.as_ref(),
            quotes: {
                let shown = verdict.quotes.shown.iter();
                shown.map(|one| logged(one, verdict)).collect()
            },
            more_quotes: Number(verdict.quotes.more),
            unknown_keys: {
                let unknown = verdict.quotes.unknown.iter();
                let unknown = unknown.map(|(name, count)| Unknown {
                    key_name: Hex(name.clone()),
                    quotes: Number(*count),
                });
                unknown.collect()
            },
            endorsements: verdict.endorsements.iter().map(vouched).collect(),
            checkpoint: verdict.checkpoint.as_ref().map(|newest| Newest {
                seq: Number(newest.seq),
                digest: &newest.digest,
                log_record: Number(newest.records),
            }),
        }
    }
}

fn vouched(one: &Believed) -> Vouched<'_> {
    let endorsement = &one.endorsement;
    Vouched {
        id: &one.id,
        key: &one.by,
        verifier: &endorsement.verifier.id,
        time: humantime::format_rfc3339_seconds(endorsement.time).to_string(),
        host: endorsement.host.as_deref(),
        checkpoint: Number(endorsement.checkpoint),
    }
}

fn logged<'a>(one: &'a LogQuote, verdict: &Verdict) -> Logged<'a> {
    Logged {
        record: Number(one.record),
        log_record: Number(verdict.in_log(one.record)),
        checkpoint: Number(one.checkpoint),
        checkpoint_digest: &one.digest,
        proven: one.proven.map(|(first, end)| Range {
            first: Number(first),
            end: Number(end),
        }),
        quote: &one.quote,
    }
}

fn codes(verdict: &Verdict, code: Code) -> Vec<u8> {
    let mut codes: Vec<u8> = verdict.outcomes().into_iter().map(code).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

pub(super) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Verified => "verified",
        Outcome::Accepted => "accepted",
        Outcome::Unanchored => "unanchored",
        Outcome::Missing => "missing",
        Outcome::Stale => "stale",
        Outcome::Tampered => "tampered",
    }
}

fn pcr(one: &PcrVerdict) -> Pcr<'_> {
    let (start, checkpoint) = start(one.origin);
    Pcr {
        pcr: one.register.pcr,
        bank: one.register.bank,
        standing: one.standing,
        start,
        checkpoint: checkpoint.map(Number),
        proven: one.proven.map(|(first, end)| Range {
            first: Number(first),
            end: Number(end),
        }),
        replayed: &one.replayed,
        expected: one.expected.as_ref(),
        base: one.base.as_ref(),
    }
}

/// The word for what a replay started from, and the number of the checkpoint.
pub(super) fn start(origin: Origin) -> (&'static str, Option<u64>) {
    match origin {
        Origin::Reset => ("reset", None),
        Origin::Given => ("given", None),
        Origin::EventLog => ("event-log", None),
        Origin::Endorsed(seq) => ("endorsed", Some(seq)),
        Origin::Accepted(seq) => ("accepted", Some(seq)),
        Origin::Claimed(seq) => ("claimed", Some(seq)),
        Origin::Unknown => ("unknown", None),
    }
}

fn outside(one: &Unexplained) -> Outside<'_> {
    Outside {
        pcr: one.register.pcr,
        bank: one.register.bank,
        value: &one.value,
    }
}

fn found(finding: &Finding, code: Code) -> Found<'_> {
    let code = match finding.gravity() {
        Gravity::Note => code(Outcome::Verified),
        Gravity::Unanchored => code(Outcome::Unanchored),
        Gravity::Missing => code(Outcome::Missing),
        Gravity::Stale => code(Outcome::Stale),
        Gravity::Tampered => code(Outcome::Tampered),
    };
    let source = Some(finding.source.as_str()).filter(|source| !source.is_empty());
    Found {
        kind: finding.kind,
        code,
        uncovered: finding.uncovered,
        source,
        record: finding.at.map(|at| Number(at.record)),
        offset: finding
            .at
            .filter(|_| !finding.ascii)
            .map(|at| Number(at.offset)),
        log_record: finding.in_log.map(Number),
        segment: finding.segment.map(Number),
        text: &finding.text,
    }
}

fn part<'a>(segment: &'a Segment, quotes: &LogQuotes) -> Part<'a> {
    let records = segment.start..segment.start.saturating_add(segment.records);
    Part {
        seq: segment.seq.map(Number),
        first: segment.first.map(Number),
        records: Number(segment.records),
        bytes: Number(segment.bytes),
        violations: Number(segment.violations),
        broken: segment.broken,
        partial: segment.partial,
        sha256: segment.sealed.as_ref(),
        quote: quotes.covering(&records).map(Number),
        claimed: segment.claimed.as_ref().map(|claimed| Claimed {
            digest: &claimed.digest,
            flags: claimed.flags,
            generation: claimed.generation,
            wall_ns: Number(claimed.wall_ns),
            boot_ns: Number(claimed.boot_ns),
            label: &claimed.label,
        }),
    }
}
