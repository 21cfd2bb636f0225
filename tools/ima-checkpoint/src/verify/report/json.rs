// SPDX-License-Identifier: GPL-2.0

//! A verdict as JSON; `Documentation/verify.rst` specifies it. Numbers that may exceed 2^53 are
//! strings, because many programs read JSON numbers as floating point.

use super::super::verdict::{
    PcrVerdict,
    Standing,
    Verdict, //
};
use crate::{
    bank::{
        Bank,
        Digest, //
    },
    chain::{
        Origin,
        Segment, //
    },
    finding::{
        Finding,
        Kind, //
    },
    outcome::Code,
    quote::Quote,
};
use serde::{
    Serialize,
    Serializer, //
};

/// The whole document.
#[derive(Debug, Serialize)]
pub struct Json<'a> {
    schema: &'static str,
    code: u8,
    codes: Vec<u8>,
    verdict: Code,
    log: Log,
    pcrs: Vec<Pcr<'a>>,
    findings: Vec<Found<'a>>,
    segments: Vec<Part>,
    quote: Option<&'a Quote>,
}

#[derive(Debug, Serialize)]
struct Log {
    id: Option<Digest>,
    records: Text,
    bytes: Text,
    violations: Text,
    first: Option<Text>,
}

#[derive(Debug, Serialize)]
struct Pcr<'a> {
    pcr: u32,
    bank: Bank,
    standing: Standing,
    start: Origin,
    proven: Option<Range>,
    replayed: &'a Digest,
    expected: Option<&'a Digest>,
}

/// Records by their place in the input, `end` is behind the last.
#[derive(Debug, Serialize)]
struct Range {
    first: Text,
    end: Text,
}

#[derive(Debug, Serialize)]
struct Found<'a> {
    kind: Kind,
    code: u8,
    source: Option<&'a str>,
    record: Option<Text>,
    offset: Option<Text>,
    log_record: Option<Text>,
    segment: Option<Text>,
    text: &'a str,
}

#[derive(Debug, Serialize)]
struct Part {
    seq: Option<Text>,
    first: Option<Text>,
    records: Text,
    bytes: Text,
    violations: Text,
    broken: bool,
    partial: bool,
    claimed: Option<Claimed>,
}

/// What the checkpoint says that the segment starts with.
#[derive(Debug, Serialize)]
struct Claimed {
    digest: Digest,
    flags: u32,
    generation: u32,
    wall_ns: Text,
    boot_ns: Text,
    label: String,
}

/// A number as a string.
#[derive(Clone, Copy, Debug)]
struct Text(u64);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'a> Json<'a> {
    /// What is to be written.
    pub fn new(verdict: &'a Verdict) -> Self {
        let chain = &verdict.chain;
        Self {
            schema: "ima-checkpoint/verify/1",
            code: verdict.code() as u8,
            codes: verdict.codes().into_iter().map(|code| code as u8).collect(),
            verdict: verdict.code(),
            log: Log {
                id: chain.log_id(),
                records: Text(verdict.end.record),
                bytes: Text(
                    chain
                        .segments
                        .iter()
                        .map(|segment| segment.summary.bytes)
                        .sum(),
                ),
                violations: Text(chain.violations),
                first: chain
                    .segments
                    .first()
                    .and_then(|first| first.first)
                    .map(Text),
            },
            pcrs: verdict.registers.iter().map(pcr).collect(),
            findings: verdict.findings.iter().map(found).collect(),
            segments: chain.segments.iter().map(part).collect(),
            quote: verdict.quote.as_ref(),
        }
    }
}

fn pcr(one: &PcrVerdict) -> Pcr<'_> {
    Pcr {
        pcr: one.register.pcr,
        bank: one.register.bank,
        standing: one.standing,
        start: one.origin,
        proven: one.proven.map(|(first, end)| Range {
            first: Text(first),
            end: Text(end),
        }),
        replayed: &one.replayed,
        expected: one.expected.as_ref(),
    }
}

fn found(finding: &Finding) -> Found<'_> {
    Found {
        kind: finding.kind,
        code: finding.kind.code() as u8,
        source: Some(finding.source.as_str()).filter(|source| !source.is_empty()),
        record: finding.at.map(|at| Text(at.record)),
        offset: finding.at.map(|at| Text(at.offset)),
        log_record: finding.in_log.map(Text),
        segment: finding.segment.map(Text),
        text: &finding.text,
    }
}

fn part(segment: &Segment) -> Part {
    let summary = &segment.summary;
    Part {
        seq: segment.seq.map(Text),
        first: segment.first.map(Text),
        records: Text(summary.records()),
        bytes: Text(summary.bytes),
        violations: Text(summary.violations),
        broken: segment.broken,
        partial: segment.partial,
        claimed: segment.head().map(|head| Claimed {
            digest: Digest::new(&head.digest),
            flags: head.header.flags.bits(),
            generation: head.header.generation,
            wall_ns: Text(head.header.wall_ns),
            boot_ns: Text(head.header.boot_ns),
            label: head.label.clone(),
        }),
    }
}
