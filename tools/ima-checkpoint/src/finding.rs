// SPDX-License-Identifier: GPL-2.0

//! What is wrong with a log, or worth knowing, and where.

use crate::{
    outcome::Code,
    records::Position, //
};
use std::fmt;

/// What a finding is about. The names in JSON stay the same for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A template digest is not that of the template data.
    TemplateDigest,
    /// The `d-ng` of an `ima-buf` record is not the hash of its buffer.
    BufferDigest,
    /// A record has the event name of a checkpoint or truncation and is none.
    SpoofedName,
    /// A record is in a PCR that IMA cannot use.
    BadPcr,
    /// A record is malformed: nothing behind it can be read.
    Malformed,
    /// The list ends in the middle of a record.
    Cut,
    /// A checkpoint is of another log.
    OtherLog,
    /// A segment comes twice, or behind a later one.
    Order,
    /// The archive has another segment of the same number.
    Fork,
    /// A checkpoint does not name the one before as its predecessor.
    Previous,
    /// The bytes of a segment are not those that the checkpoint behind it claims.
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
    /// The quote is not genuine.
    Quote,
    /// The quote answers another question.
    StaleQuote,
    /// The quote signs a SHA-1 digest.
    WeakQuote,
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
    /// A PCR held something before IMA used it.
    Before,
    /// A checkpoint has a bank that this program cannot hash.
    UnknownBank,
    /// A broken segment or a start that was accepted.
    Accepted,
}

impl Kind {
    /// The exit code that it causes; [`Code::Verified`] if it is only worth knowing.
    pub fn code(self) -> Code {
        match self {
            Self::Gap | Self::Start | Self::LogLost => Code::Missing,
            Self::StaleQuote => Code::Stale,
            Self::WeakQuote => Code::Unanchored,
            Self::Incomplete
            | Self::NoTpm
            | Self::Violations
            | Self::Before
            | Self::UnknownBank
            | Self::Accepted => Code::Verified,
            _ => Code::Tampered,
        }
    }
}

/// Something found at a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// The file, if there is one to name.
    pub source: String,
    /// The record in that file, if it is about one.
    pub at: Option<Position>,
    /// The same record since cold boot, where the log says so.
    pub in_log: Option<u64>,
    /// The segment, if it is known.
    pub segment: Option<u64>,
    /// What it says to a person.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.source.is_empty() {
            write!(f, "{}: ", self.source)?;
        }
        if let Some(at) = &self.at {
            write!(f, "{at}: ")?;
        }
        f.write_str(&self.text)
    }
}
