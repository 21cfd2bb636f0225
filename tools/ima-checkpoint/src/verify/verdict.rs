// SPDX-License-Identifier: GPL-2.0

//! What is proven, what is only claimed, and what is wrong.

use super::{
    anchor::Anchored,
    pieces::List,
    Options, //
};
use crate::{
    bank::{
        Bank,
        Digest, //
    },
    chain::{
        Chain,
        Origin,
        Run, //
    },
    finding::{
        Finding,
        Kind, //
    },
    outcome::{
        worst,
        Code,
        Error, //
    },
    quote::Quote,
    records::Position,
    replay::Register,
};
use std::collections::BTreeSet;

/// What can be said of a PCR in a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Proven from a trusted start.
    Verified,
    /// Proven, but from a checkpoint that nobody vouches for.
    Partial,
    /// The values agree, but the bank rests on SHA-1.
    Weak,
    /// There is nothing to compare with.
    Unanchored,
    /// The PCR held something else.
    Mismatch,
}

/// A PCR in a bank.
#[derive(Clone, Debug)]
pub struct PcrVerdict {
    /// Which one.
    pub register: Register,
    /// What can be said of it.
    pub standing: Standing,
    /// What its replay started from.
    pub origin: Origin,
    /// Is it known what it held before the list starts?
    pub vouched_start: bool,
    /// The first record that is proven, and the one behind the last, by their place in the list.
    pub proven: Option<(u64, u64)>,
    /// What the list replays to.
    pub replayed: Digest,
    /// What the PCR held, if that was given.
    pub expected: Option<Digest>,
}

/// The result.
#[derive(Debug)]
pub struct Verdict {
    /// A PCR that the list uses was compared with nothing that counts.
    pub unanchored: bool,
    /// What can be said of each PCR and bank in use.
    pub registers: Vec<PcrVerdict>,
    /// What is wrong, or worth knowing.
    pub findings: Vec<Finding>,
    /// The log.
    pub chain: Chain,
    /// Records in the list.
    pub end: Position,
    /// What the quote says of itself.
    pub quote: Option<Quote>,
}

impl Verdict {
    pub(super) fn new(list: &List, chain: Chain, anchored: Anchored, options: &Options) -> Self {
        let mut verdict = Self {
            unanchored: chain.used.is_empty(),
            registers: Vec::new(),
            findings: Vec::new(),
            chain,
            end: list.end,
            quote: options.anchor.quote.clone(),
        };
        if let Some(error) = &options.anchor.refused {
            verdict.refuse_quote(error);
        }
        verdict.judge_registers(&anchored, options);
        let used: Vec<u32> = verdict.chain.used.keys().copied().collect();
        for pcr in used {
            verdict.unanchored |= !verdict.judge_pcr(pcr, options);
        }
        verdict.collect_notes(list);
        verdict
    }

    /// Notes the forks of an archive: segment and file.
    pub(super) fn add_forks(&mut self, forks: &[(u64, String)]) {
        for (seq, file) in forks {
            self.find(
                Kind::Fork,
                Some(*seq),
                format!(
                    "the archive has other bytes for segment {seq} in {file}: find out which is true"
                ),
            );
        }
    }

    fn refuse_quote(&mut self, error: &Error) {
        let kind = match error.code() {
            Code::Stale => Kind::StaleQuote,
            Code::Unanchored => Kind::WeakQuote,
            _ => Kind::Quote,
        };
        self.find(kind, None, error.to_string());
    }

    fn find(&mut self, kind: Kind, segment: Option<u64>, text: String) {
        self.findings.push(Finding {
            kind,
            source: String::new(),
            at: None,
            in_log: None,
            segment,
            text,
        });
    }

    /// Every exit code that holds.
    pub fn codes(&self) -> Vec<Code> {
        let found = self.findings.iter().map(|finding| finding.kind.code());
        let mut codes = Vec::new();
        for code in found.chain(self.unanchored.then_some(Code::Unanchored)) {
            if code != Code::Verified && !codes.contains(&code) {
                codes.push(code);
            }
        }
        if codes.is_empty() {
            codes.push(Code::Verified);
        }
        codes.sort_by_key(|code| *code as u8);
        codes
    }

    /// The code that decides.
    pub fn code(&self) -> Code {
        worst(self.codes())
    }

    fn judge_registers(&mut self, anchored: &Anchored, options: &Options) {
        let used = self.chain.values.keys();
        let used = used.filter(|register| self.chain.used.contains_key(&register.pcr));
        let registers: BTreeSet<Register> = used.chain(anchored.expected.keys()).copied().collect();
        for register in registers {
            let reached = anchored.reached.get(&register).copied();
            let runs = self.runs_before(register, reached.unwrap_or(self.end));
            let origin = runs.last().map_or(Origin::Reset, |run| run.origin);
            let vouched = runs.iter().all(|run| self.vouched(register, run.origin));
            let first = runs.last().map_or(0, |run| run.segment);
            let missing = runs
                .first()
                .is_some_and(|run| !self.vouched(register, run.origin));
            let first = self.chain.segments.get(first);
            let first = first.map_or(0, |segment| segment.summary.start.record);
            let standing = match (anchored.expected.get(&register), reached) {
                (None, _) => Standing::Unanchored,
                (Some(_), None) => Standing::Mismatch,
                (Some(_), Some(_)) if is_weak(register.bank) && !options.allow_weak_bank => {
                    Standing::Weak
                }
                // nothing is before it
                (Some(_), Some(at)) if at.record == 0 && self.end.record > 0 => {
                    Standing::Unanchored
                }
                (Some(_), Some(_)) if vouched => Standing::Verified,
                (Some(_), Some(_)) => Standing::Partial,
            };
            let proven = matches!(standing, Standing::Verified | Standing::Partial);
            let value = self.chain.values.get(&register);
            self.registers.push(PcrVerdict {
                register,
                standing,
                origin,
                vouched_start: !missing,
                proven: reached
                    .filter(|_| proven)
                    .map(|reached| (first, reached.record)),
                replayed: value.copied().unwrap_or(register.bank.zeros()),
                expected: anchored.expected.get(&register).copied().flatten(),
            });
            if standing == Standing::Mismatch {
                self.mismatch(
                    register,
                    anchored.expected.get(&register).copied().flatten(),
                );
            }
        }
    }

    /// Is it known what the PCR held at the start of the run?
    fn vouched(&self, register: Register, origin: Origin) -> bool {
        match origin {
            Origin::Reset | Origin::Given | Origin::Broken => true,
            Origin::Before => !self.is_default(register.pcr),
            Origin::Claimed => false,
        }
    }

    /// Is it IMA's default PCR, which only IMA uses?
    fn is_default(&self, pcr: u32) -> bool {
        let mut heads = self
            .chain
            .segments
            .iter()
            .filter_map(|segment| segment.head());
        heads
            .next()
            .map_or(pcr == 10, |head| head.header.default_pcr == pcr)
    }

    /// The runs that start before a place in the list, or at it.
    fn runs_before(&self, register: Register, at: Position) -> &[Run] {
        let runs = self.chain.runs.get(&register).map(Vec::as_slice);
        let runs = runs.unwrap_or_default();
        let before = |run: &Run| {
            let segment = self.chain.segments.get(run.segment);
            segment.is_some_and(|segment| segment.summary.start.record < at.record)
        };
        let count = runs.partition_point(before).max(1);
        runs.get(..count).unwrap_or_default()
    }

    /// Does any bank that counts anchor the PCR? Says so if nobody vouches for its start.
    fn judge_pcr(&mut self, pcr: u32, options: &Options) -> bool {
        let counts = |one: &&PcrVerdict| options.allow_weak_bank || !is_weak(one.register.bank);
        let all = self.registers.iter().filter(|one| one.register.pcr == pcr);
        let mut banks: Vec<_> = all.clone().filter(counts).collect();
        if banks.is_empty() {
            banks = all.collect();
        }
        let has = |standing| banks.iter().any(|one| one.standing == standing);
        if has(Standing::Verified) {
            return true;
        }
        let anchored = has(Standing::Partial);
        let vouched = banks
            .iter()
            .any(|one| one.vouched_start && (!anchored || one.standing == Standing::Partial));
        if !vouched {
            self.start(pcr, options);
        }
        anchored
    }

    fn start(&mut self, pcr: u32, options: &Options) {
        let first = self.chain.segments.first();
        let head = first.and_then(|first| first.head());
        let text = match head {
            Some(head) => format!(
                "the list starts with checkpoint {}: {} records before it are not here, and nobody \
                 vouches for what PCR {pcr} held then",
                head.header.sequence, head.header.record
            ),
            None => format!("nobody vouches for what PCR {pcr} held before the list starts"),
        };
        let (kind, text) = if options.accept_truncated {
            (Kind::Accepted, format!("{text} (accepted)"))
        } else {
            let hint = "Verify with the segments before it, give --base, or --accept-truncated";
            (Kind::Start, format!("{text}. {hint}"))
        };
        let segment = first.and_then(|first| first.seq);
        self.find(kind, segment, text);
    }

    fn mismatch(&mut self, register: Register, expected: Option<Digest>) {
        let replayed = self.chain.values.get(&register).copied();
        let replayed = replayed.unwrap_or(register.bank.zeros());
        let held = match expected {
            Some(expected) => format!("held {expected}"),
            None => "is not as quoted".to_owned(),
        };
        let runs = self
            .chain
            .runs
            .get(&register)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let segments = self.chain.segments.iter().enumerate().rev();
        let agreed = segments
            .filter(|(index, _)| *index > 0)
            .find_map(|(index, segment)| {
                let head = segment
                    .head()
                    .filter(|head| head.values.contains_key(&register))?;
                let restarted = runs.iter().any(|run| run.segment == index);
                (!restarted).then_some((head.header.sequence, head.header.record))
            });
        let agreed = match agreed {
            Some((seq, record)) => format!(
                "Checkpoint {seq}, record {record} of the log, still agrees with the records before"
            ),
            None => "No checkpoint confirms any record".to_owned(),
        };
        let text = format!(
            "{register} {held}, but the list replays to {replayed} and to that nowhere. {agreed}. \
             If the list was taken before that value, take it again"
        );
        self.find(Kind::Mismatch, None, text);
    }

    fn collect_notes(&mut self, list: &List) {
        for note in std::mem::take(&mut self.chain.notes) {
            let segment = self.chain.segments.get(note.segment);
            let place = note.at.map(|at| list.locate(at));
            let in_log = note.at.and_then(|at| {
                let segment = segment?;
                Some(segment.first? + at.record.checked_sub(segment.summary.start.record)?)
            });
            self.findings.push(Finding {
                kind: note.kind,
                source: place.map_or(String::new(), |(source, _)| source.to_owned()),
                at: place.map(|(_, at)| at),
                in_log,
                segment: segment.and_then(|segment| segment.seq),
                text: note.text,
            });
        }
    }
}

/// Does the bank rest on SHA-1? IMA extends SHA-1 digests into banks whose hash it does not know.
pub fn is_weak(bank: Bank) -> bool {
    bank == Bank::Sha1 || !bank.mapped()
}
