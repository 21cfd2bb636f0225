// SPDX-License-Identifier: GPL-2.0

//! What is wrong with a log, or worth knowing, and where.

use crate::list::records::Position;
use std::{collections::BTreeMap, fmt};

/// How serious a finding is. The most serious one decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gravity {
    /// Worth knowing.
    Note,
    /// Something that should prove the log does not prove it.
    Unanchored,
    /// History is missing, or nobody vouches for where it starts.
    Missing,
    /// The quote answers another question.
    Stale,
    /// Tampered, mismatching or forked.
    Tampered,
}

/// What a finding is about. The names in JSON never change.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A template digest is not that of the template data.
    TemplateDigest,
    /// The `d-ng` of an `ima-buf` record is not the hash of its buffer.
    BufferDigest,
    /// The `d-ng` of an `ima-buf` record is of an unknown algorithm.
    BufferUnchecked,
    /// A record has the event name of a checkpoint or truncation, but is none.
    SpoofedName,
    /// A record can be read as one of another template, with the same digest.
    Ambiguous,
    /// A record is in a PCR that IMA cannot use.
    BadPcr,
    /// A record is malformed: nothing that follows can be read.
    Malformed,
    /// The list ends in the middle of a record.
    Cut,
    /// A file of an archive does not start with the checkpoint of its segment.
    Damaged,
    /// A checkpoint belongs to another log.
    OtherLog,
    /// A segment occurs twice, or after a later one.
    Order,
    /// The archive has another segment of the same number.
    Fork,
    /// A checkpoint does not name the one before as its predecessor.
    Previous,
    /// The bytes of a segment are not those that the next checkpoint claims.
    SegmentDigest,
    /// A number or flag of a checkpoint is not what the list has.
    Claim,
    /// A PCR value in a checkpoint is not what the replay gives.
    Value,
    /// Something else extended a PCR: a segment does not replay to what the TPM held.
    Broken,
    /// A truncation record is not true.
    Truncation,
    /// The PCR held something else than the list replays to.
    Mismatch,
    /// A boot aggregate is not the hash of the PCRs that it should be of.
    BootAggregate,
    /// The event log does not replay to what a PCR held.
    EventLog,
    /// The quote is not genuine.
    Quote,
    /// The quote answers another question.
    StaleQuote,
    /// A quote in the log was not signed by the key that it names.
    QuoteRecord,
    /// A quote in the log is over values of PCRs that the list reaches nowhere.
    QuoteMismatch,
    /// A quote in the log is from another boot of the TPM than the others.
    QuoteBoot,
    /// A quote in the log is genuine, and was not used.
    QuoteUnused,
    /// Two that are believed tell different histories of one log.
    TwoHistories,
    /// An endorsement does not count, or is of no use here.
    EndorsementUnused,
    /// The quote signs a SHA-1 digest.
    WeakQuote,
    /// In ASCII, what a record says is not what its template digest is of, and names may be why.
    AsciiUnchecked,
    /// A PCR is zero that records should have been extended into.
    NothingExtended,
    /// Segments are missing.
    Gap,
    /// What came before the first record is not known.
    Start,
    /// Records of an earlier kernel are missing.
    LogLost,
    /// A checkpoint leaves out PCRs.
    Incomplete,
    /// The kernel had no TPM.
    NoTpm,
    /// More violations were counted than the list has.
    Violations,
    /// A PCR held something before IMA used it, as a checkpoint claims.
    Before,
    /// A checkpoint has a bank that the checkpoints of an earlier kernel did not have.
    NewBank,
    /// A checkpoint has a bank that this program cannot hash.
    UnknownBank,
    /// A boot aggregate leaves PCRs 8 and 9 out, as old kernels do.
    OldAggregate,
    /// IMA has no template of that name.
    UnknownTemplate,
    /// In ASCII, the bytes that a checkpoint sealed are not known exactly.
    AsciiSegment,
    /// The kernel extends a bank with something else than most kernels do.
    PaddedBank,
    /// Other values than the quote's were given for what it covers.
    OtherValue,
    /// A broken segment or a start that was accepted.
    Accepted,
}

impl Kind {
    /// How serious it is, if the record that it is about is covered.
    pub fn gravity(self) -> Gravity {
        match self {
            Self::Gap | Self::Start | Self::LogLost => Gravity::Missing,
            Self::StaleQuote => Gravity::Stale,
            Self::WeakQuote | Self::NothingExtended | Self::AsciiUnchecked => Gravity::Unanchored,
            Self::Incomplete
            | Self::NoTpm
            | Self::Violations
            | Self::Before
            | Self::NewBank
            | Self::UnknownBank
            | Self::BufferUnchecked
            | Self::OldAggregate
            | Self::PaddedBank
            | Self::UnknownTemplate
            | Self::AsciiSegment
            | Self::OtherValue
            | Self::QuoteUnused
            | Self::EndorsementUnused
            | Self::Accepted => Gravity::Note,
            _ => Gravity::Tampered,
        }
    }
}

impl Kind {
    /// Whether a TPM signed what it is about, so that it counts whether or not its record is covered.
    pub(super) fn is_signed(self) -> bool {
        matches!(self, Self::QuoteMismatch | Self::QuoteBoot)
    }

    /// Whether it is about what a checkpoint or a truncation claims. These are covered by what the
    /// default PCR held, other records by what their own PCR held.
    pub(super) fn is_claim(self) -> bool {
        matches!(
            self,
            Self::OtherLog
                | Self::Order
                | Self::Previous
                | Self::SegmentDigest
                | Self::AsciiSegment
                | Self::Claim
                | Self::TwoHistories
                | Self::Value
                | Self::Broken
                | Self::Truncation
                | Self::Gap
                | Self::LogLost
                | Self::Incomplete
                | Self::NoTpm
                | Self::Violations
                | Self::Before
                | Self::NewBank
                | Self::UnknownBank
                | Self::Accepted
        )
    }
}

/// Something found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// The record in the whole list, if it is about one.
    pub record: Option<u64>,
    /// The file, if there is one to name, with nothing that could harm a terminal.
    pub source: String,
    /// The record in that file. The bytes are those of the binary list.
    pub at: Option<Position>,
    /// Is that file in ASCII?
    pub ascii: bool,
    /// The same record since cold boot, where the log says so.
    pub in_log: Option<u64>,
    /// The segment, if it is known.
    pub segment: Option<u64>,
    /// Whether the record comes after all that is proven. Then anybody may have written it.
    pub uncovered: bool,
    /// What it says to a person.
    pub text: String,
}

impl Finding {
    /// One about the log as a whole.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self {
            kind,
            record: None,
            source: String::new(),
            at: None,
            ascii: false,
            in_log: None,
            segment: None,
            uncovered: false,
            text: text.into(),
        }
    }

    /// How serious it is. What nothing proves influences nothing.
    pub fn gravity(&self) -> Gravity {
        match self.uncovered {
            true => Gravity::Note,
            false => self.kind.gravity(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.source.is_empty() {
            write!(f, "{}: ", self.source)?;
        }
        match &self.at {
            Some(at) if self.ascii => write!(f, "record {}: ", at.record)?,
            Some(at) => write!(f, "{at}: ")?,
            None => (),
        }
        f.write_str(&self.text)?;
        match self.uncovered {
            true => f.write_str(" (not covered by what the PCRs held)"),
            false => Ok(()),
        }
    }
}

/// Findings of a kind that are kept.
const KEPT: usize = 100;

/// Findings in the order of the list. Of each kind the first are kept, and the others counted, so
/// that a list cannot use up memory. What is covered comes first, so that none of it is lost to
/// what is not.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    kept: Vec<Finding>,
    counts: BTreeMap<Kind, u64>,
}

impl Findings {
    /// Adds one. The text is only made if it is kept.
    pub fn add(&mut self, kind: Kind, make: impl FnOnce() -> Finding) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= KEPT as u64 {
            self.kept.push(make());
        }
    }

    /// Those that were kept.
    pub fn kept(&self) -> &[Finding] {
        &self.kept
    }

    pub(crate) fn kept_mut(&mut self) -> &mut [Finding] {
        &mut self.kept
    }

    /// How many of a kind were only counted.
    pub fn more(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        let more = self.counts.iter();
        let more = more.map(|(kind, count)| (*kind, count.saturating_sub(KEPT as u64)));
        more.filter(|(_, more)| *more > 0)
    }
}
