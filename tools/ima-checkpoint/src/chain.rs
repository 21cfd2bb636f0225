// SPDX-License-Identifier: GPL-2.0

//! Joins segments to a log: does each start where the one before ends, and is what its checkpoint
//! claims of that one true?

mod claims;
mod values;

use crate::{
    bank::{
        Bank,
        Digest, //
    },
    claim::Claim,
    finding::Kind,
    records::Position,
    replay::{
        Register,
        Values, //
    },
    segment::Summary,
};
use ima_checkpoint_format::truncate::Truncation;
use std::collections::{
    BTreeMap,
    BTreeSet, //
};

/// What the user gives and accepts.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// What PCRs held before the first record.
    pub base: Values,
    /// Numbers of segments that may be broken.
    pub breaks: BTreeSet<u64>,
}

/// What the replay of a PCR in a bank started from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Zeros, and the first record of the log.
    Reset,
    /// A base that the user gave.
    Given,
    /// What the PCR held before IMA used it, as the next checkpoint says.
    Before,
    /// A checkpoint at the start of the list, or behind a gap, that nobody vouches for.
    Claimed,
    /// A checkpoint behind a segment that is broken.
    Broken,
}

/// From which segment on a PCR in a bank replays without a break.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Index of the segment in the chain.
    pub segment: usize,
    /// What it starts from.
    pub origin: Origin,
}

/// A segment of the log.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Its number, if the list says so.
    pub seq: Option<u64>,
    /// Index of its first record since cold boot, if that is known.
    pub first: Option<u64>,
    /// Bytes before it since cold boot, in the sha1 view.
    pub offset: Option<u64>,
    /// Is its beginning missing?
    pub partial: bool,
    /// Something else extended a PCR meanwhile.
    pub broken: bool,
    /// What its records are.
    pub summary: Summary,
}

impl Segment {
    /// The checkpoint that it starts with.
    pub fn head(&self) -> Option<&Claim> {
        self.summary.head.as_ref()
    }

    /// How messages call it.
    pub fn name(&self) -> String {
        let seq = self.seq.map_or("?".to_owned(), |seq| seq.to_string());
        format!("segment {seq}")
    }
}

/// Something that is wrong with the chain, or worth knowing.
#[derive(Clone, Debug)]
pub struct Note {
    /// What it is.
    pub kind: Kind,
    /// The record, by its place in the list.
    pub at: Option<Position>,
    /// Index of the segment in the chain.
    pub segment: usize,
    /// What it says to a person.
    pub text: String,
}

/// A log, as far as it was joined.
#[derive(Debug, Default)]
pub struct Chain {
    trust: Trust,
    /// The segments.
    pub segments: Vec<Segment>,
    /// The runs of each PCR and bank, oldest first.
    pub runs: BTreeMap<Register, Vec<Run>>,
    /// What is wrong or worth knowing.
    pub notes: Vec<Note>,
    /// What the PCRs hold at the end. Of a register that is missing, nothing is known.
    pub values: Values,
    /// Records of the list in each PCR.
    pub used: BTreeMap<u32, u64>,
    /// Violations since cold boot.
    pub violations: u64,
    /// The newest truncation.
    freed: Option<u64>,
}

impl Chain {
    /// An empty one.
    pub fn new(trust: Trust) -> Self {
        Self {
            trust,
            ..Self::default()
        }
    }

    /// What the replay of the next segment must start from, given the checkpoint at its front and
    /// the one behind it.
    pub fn base(&self, head: Option<&Claim>, next: Option<&Claim>) -> Values {
        let first = self.segments.is_empty();
        let mut base = match (first, head) {
            (true, _) => self.trust.base.clone(),
            (false, Some(head)) if self.is_gap(head) => Values::new(),
            (false, _) => self.values.clone(),
        };
        for (register, (_, value)) in next.into_iter().flat_map(|next| &next.before) {
            base.entry(*register).or_insert(*value);
        }
        if let Some(head) = head {
            base.extend(head.base());
        }
        base
    }

    /// The log id, once a checkpoint told it.
    pub fn log_id(&self) -> Option<Digest> {
        let mut heads = self.segments.iter().filter_map(Segment::head);
        heads.next().map(Claim::log_id)
    }

    /// The SHA-1 length of what the log has before its end, as far as that is known.
    fn end(&self) -> Option<(u64, u64)> {
        let last = self.segments.last()?;
        let (first, offset) = last.first.zip(last.offset)?;
        Some((first + last.summary.records(), offset + last.summary.bytes))
    }

    /// Does this checkpoint come behind segments that are missing?
    fn is_gap(&self, head: &Claim) -> bool {
        let before = self.segments.last().and_then(|last| last.seq);
        before.is_some_and(|before| head.header.sequence > before.saturating_add(1))
    }

    fn note(&mut self, kind: Kind, at: Position, text: impl Into<String>) {
        self.notes.push(Note {
            kind,
            at: Some(at),
            segment: self.segments.len(),
            text: text.into(),
        });
    }

    /// Adds the next segment. Its replay must have started from [`Self::base`]; `next` is the
    /// checkpoint behind it.
    pub fn push(&mut self, summary: Summary, next: Option<&Claim>) {
        let at = summary.start;
        let index = self.segments.len();
        let mut segment = match &summary.head {
            Some(head) => Segment {
                seq: Some(head.header.sequence),
                first: Some(head.header.record),
                offset: Some(head.header.offset),
                partial: false,
                broken: false,
                summary,
            },
            None => self.headless(summary, next),
        };
        match (&segment.summary.head, self.segments.last().is_some()) {
            (Some(head), true) => {
                let head = head.clone();
                self.join(&head, at);
            }
            (Some(head), false) => self.start(&head.clone(), at),
            (None, true) => {
                self.values.clear();
                self.note(
                    Kind::Order,
                    at,
                    "the records do not start with a checkpoint",
                );
            }
            (None, false) => (),
        }
        self.first_uses(&segment, next);
        for (pcr, records) in &segment.summary.used {
            *self.used.entry(*pcr).or_default() += records;
        }
        let truncations = segment.summary.truncations.clone();
        for (at, truncation) in truncations {
            self.check_truncation(&segment, at, &truncation);
        }
        self.violations += segment.summary.violations;
        self.values.extend(segment.summary.values.clone());
        if index == 0 && segment.summary.head.is_none() {
            let values = std::mem::take(&mut self.values).into_iter();
            let known = values.filter(|(register, _)| {
                self.trust.base.contains_key(register) || !self.is_rest(&segment, register.pcr)
            });
            self.values = known.collect();
        }
        for (at, kind, text) in std::mem::take(&mut segment.summary.findings) {
            let at = Some(at);
            self.notes.push(Note {
                kind,
                at,
                segment: index,
                text,
            });
        }
        if segment.summary.more > 0 {
            let text = format!(
                "and {} more like these in this segment",
                segment.summary.more
            );
            self.note(Kind::TemplateDigest, at, text);
        }
        self.segments.push(segment);
    }

    /// A segment that does not start with a checkpoint: number 0, or if a base is given and the next
    /// checkpoint knows of records before it, the rest of another one.
    fn headless(&self, summary: Summary, next: Option<&Claim>) -> Segment {
        let first = self.segments.is_empty();
        let before = next.map(|next| {
            let header = &next.header;
            let records = header.record.saturating_sub(summary.records());
            (records, header.offset.saturating_sub(summary.bytes))
        });
        let partial = !first || (!self.trust.base.is_empty() && before.is_some_and(|at| at.0 > 0));
        let (seq, start) = match (partial, next) {
            (false, _) => (Some(0), Some((0, 0))),
            (true, Some(next)) => (next.header.sequence.checked_sub(1), before),
            (true, None) => (None, None),
        };
        Segment {
            seq,
            first: start.map(|start| start.0),
            offset: start.map(|start| start.1),
            partial,
            broken: false,
            summary,
        }
    }

    /// Did the PCR hold something before a first segment, so that its replay must not start from
    /// zeros?
    fn is_rest(&self, segment: &Segment, pcr: u32) -> bool {
        segment.partial || self.trust.base.keys().any(|given| given.pcr == pcr)
    }

    /// What a truncation record says, as far as the list shows what it is about.
    fn check_truncation(&mut self, segment: &Segment, at: Position, truncation: &Truncation) {
        let seq = truncation.sequence;
        let heads = self.segments.iter().chain([segment]);
        let heads: Vec<&Claim> = heads.filter_map(Segment::head).collect();
        if heads.is_empty() && !self.trust.base.is_empty() {
            // it is about what is not here
            self.freed = Some(seq);
            return;
        }
        let from = match self.freed {
            None => self
                .segments
                .iter()
                .chain([segment])
                .next()
                .filter(|first| first.seq == Some(0) && !first.partial)
                .map(|_| (0, 0)),
            Some(freed) => place(&heads, freed),
        };
        let to = place(&heads, seq);
        let target = heads.iter().find(|head| head.header.sequence == seq);
        let newest = heads.last().map_or(0, |head| head.header.sequence);
        let log_id = heads.last().map(|head| head.header.log_id);
        let freed = from
            .zip(to)
            .map(|(from, to)| (to.0.saturating_sub(from.0), to.1.saturating_sub(from.1)));
        let wrong = if log_id.is_some_and(|id| id != truncation.log_id) {
            Some("it is of another log".to_owned())
        } else if seq > newest {
            Some(format!("there is no checkpoint {seq} before it"))
        } else if target.is_some_and(|head| head.digest != truncation.digest) {
            Some(format!("checkpoint {seq} has another digest"))
        } else if self.freed.is_some_and(|freed| seq <= freed) {
            Some(format!(
                "the list started with a later checkpoint than {seq} already"
            ))
        } else {
            let said = (truncation.records, truncation.bytes);
            freed
                .filter(|freed| *freed != said)
                .map(|(records, bytes)| {
                    format!(
                    "it says {} records, {} bytes, but there were {records} records, {bytes} bytes",
                    said.0, said.1
                )
                })
        };
        if let Some(wrong) = wrong {
            let text = format!("the truncation to checkpoint {seq} is not true: {wrong}");
            self.note(Kind::Truncation, at, text);
        }
        self.freed = Some(seq);
    }
}

/// Where a checkpoint is since cold boot.
fn place(heads: &[&Claim], seq: u64) -> Option<(u64, u64)> {
    let head = heads.iter().find(|head| head.header.sequence == seq)?;
    Some((head.header.record, head.header.offset))
}

/// Banks as a list of words.
fn names(banks: &[Bank]) -> String {
    let names: Vec<_> = banks.iter().map(|bank| bank.name()).collect();
    names.join(", ")
}
