// SPDX-License-Identifier: GPL-2.0

//! What is proven, what is only claimed, and what is wrong.
//!
//! *Verified up to record n* holds for a PCR in a bank only if the records up to there, replayed from
//! a start that the verifier knows, give what the PCR held. Everything else follows from these
//! standings: which records and checkpoints are covered, which PCRs they name, and whether each of
//! those is verified in a bank that counts.

use super::{
    finding::{Finding, Findings, Gravity},
    log_quotes::LogQuotes,
    search::Reached,
};
use crate::{
    bank::Digest,
    chain::{outline::Outline, Segment},
    endorsement::{Believed, Endorsed},
    list::records::Position,
    quote::Quote,
    replay::{Origin, Register},
};
use std::collections::{BTreeMap, BTreeSet};

/// What can be said of a PCR in a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Proven from a trusted start.
    Verified,
    /// Proven from a checkpoint that the verifier accepts by its digest.
    Accepted,
    /// Proven, but from a start that nobody vouches for.
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
    /// The first record that is proven, and the one after the last, by their place in the list.
    pub proven: Option<(u64, u64)>,
    /// Records that were extended into it, of those that are proven.
    pub records: u64,
    /// Records of it that came later, if any are proven. Anybody may have written them.
    pub later: u64,
    /// What the list replays to.
    pub replayed: Digest,
    /// What the PCR held, if that was given.
    pub expected: Option<Digest>,
    /// What it held at the end of all that is proven, where the next verification can start.
    pub base: Option<Digest>,
}

/// A PCR that held something which the list has no record of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unexplained {
    /// Which one.
    pub register: Register,
    /// What it held.
    pub value: Digest,
}

/// How a verification ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Complete from a trusted start, and proven.
    Verified,
    /// Proven, from what the verifier accepted.
    Accepted,
    /// Something that should prove the log does not, or nothing was given that could.
    Unanchored,
    /// History is missing, or nobody vouches for where it starts.
    Missing,
    /// The quote answers another question.
    Stale,
    /// Tampered, mismatching or forked.
    Tampered,
}

/// What the log says of itself. All of it is claimed.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Its identifier.
    pub id: Option<Digest>,
    /// Index of its first record since cold boot.
    pub first: Option<u64>,
    /// Bytes, in the sha1 view.
    pub bytes: u64,
    /// Violations since cold boot.
    pub violations: u64,
    /// Violations among the records that are here.
    pub here: u64,
    /// The first of them: place in the list, and what it names, which does a terminal no harm.
    pub violated: Vec<(u64, String)>,
    /// Its segments.
    pub segments: u64,
    /// The newest of them, oldest first; at most 1000.
    pub shown: Vec<Segment>,
    /// What it looks like as a whole.
    pub outline: Outline,
}

/// A checkpoint that is proven, from a start that the verifier knows or accepts.
#[derive(Clone, Debug)]
pub struct ProvenCheckpoint {
    /// The log: 16 bytes.
    pub log_id: Digest,
    /// Its number.
    pub seq: u64,
    /// SHA-256 of its buffer.
    pub digest: Digest,
    /// Records since cold boot that precede it.
    pub records: u64,
    /// What PCRs held there, in banks that count.
    pub values: BTreeMap<Register, Endorsed>,
    /// Records that were extended into each PCR before it.
    pub(crate) used: BTreeMap<u32, u64>,
}

/// The result.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What can be said of each PCR and bank.
    pub registers: Vec<PcrVerdict>,
    /// PCRs that are not explained by this list.
    pub unexplained: Vec<Unexplained>,
    /// What is wrong, or worth knowing.
    pub findings: Findings,
    /// A PCR that covered records or checkpoints name is not proven in a bank that counts.
    pub(super) unanchored: BTreeSet<u32>,
    /// PCRs that are proven from what was accepted.
    pub(super) accepted: BTreeSet<u32>,
    /// The PCR that IMA extends by default, as the verifier says.
    pub default_pcr: u32,
    /// Records that are covered by what the default PCR held; nothing if none is.
    pub covered: Option<u64>,
    /// Where the list ends.
    pub end: Position,
    /// What the log says.
    pub log: Log,
    /// What the quote says of itself, if it is genuine.
    pub quote: Option<Quote>,
    /// The quotes in the list.
    pub quotes: LogQuotes,
    /// The newest checkpoint that is proven, if one is.
    pub checkpoint: Option<ProvenCheckpoint>,
    /// The endorsements that it rests on.
    pub endorsements: Vec<Believed>,
}

impl Verdict {
    /// Every outcome that holds, the gravest first.
    pub fn outcomes(&self) -> Vec<Outcome> {
        let mut all: BTreeSet<Outcome> = BTreeSet::new();
        for finding in self.findings.kept() {
            all.extend(match finding.gravity() {
                Gravity::Note => None,
                Gravity::Unanchored => Some(Outcome::Unanchored),
                Gravity::Missing => Some(Outcome::Missing),
                Gravity::Stale => Some(Outcome::Stale),
                Gravity::Tampered => Some(Outcome::Tampered),
            });
        }
        if !self.unanchored.is_empty() {
            all.insert(Outcome::Unanchored);
        }
        if all.is_empty() {
            all.insert(match self.accepted.is_empty() {
                true => Outcome::Verified,
                false => Outcome::Accepted,
            });
        }
        all.into_iter().rev().collect()
    }

    /// The one that decides.
    pub fn outcome(&self) -> Outcome {
        let outcomes = self.outcomes();
        outcomes.first().copied().unwrap_or(Outcome::Tampered)
    }

    /// What was accepted: nothing before these checkpoints is proven by it.
    pub fn accepted(&self) -> BTreeSet<u64> {
        let accepted = self.registers.iter().filter_map(|one| match one.origin {
            Origin::Accepted(seq) if one.standing == Standing::Accepted => Some(seq),
            _ => None,
        });
        accepted.collect()
    }

    /// Adds what was found elsewhere, such as forks in an archive.
    pub fn find(&mut self, finding: Finding) {
        self.findings.add(finding.kind, || finding);
    }

    /// A PCR in a bank.
    pub fn register(&self, register: Register) -> Option<&PcrVerdict> {
        let mut registers = self.registers.iter();
        registers.find(|one| one.register == register)
    }

    /// How a record of the list is called: by its number since cold boot, if that is known.
    pub fn in_log(&self, record: u64) -> u64 {
        let mut holding = self.log.shown.iter().rev();
        let holding = holding.find(|segment| segment.start <= record);
        let first = match holding {
            Some(holding) => holding.first.map(|first| first + (record - holding.start)),
            None => self.log.first.map(|first| first.saturating_add(record)),
        };
        first.unwrap_or(record)
    }
}

impl PcrVerdict {
    pub(super) fn proven_by(reached: Reached) -> (u64, u64) {
        (reached.since, reached.record)
    }
}
