// SPDX-License-Identifier: GPL-2.0

//! What can be wrong with an event log.

use super::{MAX_ALGORITHMS, MAX_SIZE};
use crate::{bank::Digest, escape::Escaped};
use std::fmt;

/// Why these bytes are no event log. Each `at` is the offset in bytes, from the start of the log, of
/// what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no event, only padding at most.
    Empty,
    /// The log has more bytes than [`MAX_SIZE`].
    TooLarge {
        /// Bytes that it has.
        size: usize,
    },
    /// The log ends in the middle of something.
    Cut {
        /// Where that starts.
        at: usize,
        /// What it is.
        part: Part,
        /// Bytes that it says or needs to have.
        needed: u64,
        /// Bytes that are there.
        left: u64,
    },
    /// The first event names a version of the format that is unknown.
    Version {
        /// Where the signature is.
        at: usize,
        /// `Spec ID Event`, a number, and a NUL.
        signature: [u8; 16],
    },
    /// The first event of a crypto-agile log is not in PCR 0, or has a digest.
    Header {
        /// Where it starts.
        at: usize,
    },
    /// The header names no algorithm, or more than [`MAX_ALGORITHMS`].
    AlgorithmCount {
        /// Where the number is.
        at: usize,
        /// The number.
        count: u32,
    },
    /// The header gives digests a size that those of this algorithm do not have.
    AlgorithmSize {
        /// Where the algorithm is.
        at: usize,
        /// TPM algorithm identifier.
        algorithm: u16,
        /// The size in bytes.
        size: u16,
    },
    /// The header, or an event, names an algorithm twice.
    Repeated {
        /// Where it is named again.
        at: usize,
        /// TPM algorithm identifier.
        algorithm: u16,
    },
    /// An event has not one digest for each algorithm of the header.
    DigestCount {
        /// Where the number of digests is.
        at: usize,
        /// The number.
        count: u32,
        /// Algorithms that the header names.
        algorithms: usize,
    },
    /// An event has a digest of an algorithm that the header lacks, so that its size is unknown.
    UnknownDigest {
        /// Where the algorithm is.
        at: usize,
        /// TPM algorithm identifier.
        algorithm: u16,
    },
    /// An event has the type 0 and no data, which is where the kernel takes the log to end.
    Blank {
        /// Where the event starts.
        at: usize,
    },
    /// An event extends a PCR that no TPM has.
    Pcr {
        /// Where the event starts.
        at: usize,
        /// The PCR.
        pcr: u32,
    },
    /// A StartupLocality event is longer or shorter than such an event is.
    LocalitySize {
        /// Where the event starts.
        at: usize,
        /// Bytes of its data.
        size: usize,
    },
    /// The TPM cannot be started from this locality.
    Locality {
        /// Where the event starts.
        at: usize,
        /// The locality.
        locality: u8,
    },
    /// Two events disagree about the locality that the TPM was started from.
    Localities {
        /// Where the second event starts.
        at: usize,
        /// The locality that the first one tells.
        first: u8,
        /// The locality that the second one tells.
        second: u8,
    },
}

impl Error {
    /// Offset in bytes of what is wrong.
    pub fn at(&self) -> usize {
        match *self {
            Self::Empty => 0,
            Self::TooLarge { .. } => MAX_SIZE,
            Self::Cut { at, .. }
            | Self::Version { at, .. }
            | Self::Header { at }
            | Self::AlgorithmCount { at, .. }
            | Self::AlgorithmSize { at, .. }
            | Self::Repeated { at, .. }
            | Self::DigestCount { at, .. }
            | Self::UnknownDigest { at, .. }
            | Self::Blank { at }
            | Self::Pcr { at, .. }
            | Self::LocalitySize { at, .. }
            | Self::Locality { at, .. }
            | Self::Localities { at, .. } => at,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => return f.write_str("the event log has no events"),
            Self::TooLarge { size } => {
                return write!(f, "the event log has {size} bytes, more than {MAX_SIZE}");
            }
            _ => write!(f, "event log at byte {}: ", self.at())?,
        }
        match self {
            Self::Empty | Self::TooLarge { .. } => Ok(()),
            Self::Cut {
                part, needed, left, ..
            } => write!(f, "{part} of {needed} bytes, but only {left} are left"),
            Self::Version { signature, .. } => {
                let name = signature.strip_suffix(b"\0").unwrap_or(signature);
                write!(f, "unknown format \"{}\"", Escaped::new(name))
            }
            Self::Header { .. } => {
                f.write_str("the header is not in PCR 0, or has a digest that is not zero")
            }
            Self::AlgorithmCount { count, .. } => {
                write!(f, "{count} algorithms, not 1 to {MAX_ALGORITHMS}")
            }
            Self::AlgorithmSize {
                algorithm, size, ..
            } => write!(
                f,
                "algorithm {algorithm:#06x} has no digests of {size} bytes"
            ),
            Self::Repeated { algorithm, .. } => {
                write!(f, "algorithm {algorithm:#06x} occurs twice")
            }
            Self::DigestCount {
                count, algorithms, ..
            } => write!(
                f,
                "{count} digests, but the header names {algorithms} algorithms"
            ),
            Self::UnknownDigest { algorithm, .. } => write!(
                f,
                "a digest of algorithm {algorithm:#06x}, which the header does not name"
            ),
            Self::Blank { .. } => {
                f.write_str("an event without type and data, where the kernel would end the log")
            }
            Self::Pcr { pcr, .. } => write!(f, "extends PCR {pcr}, which no TPM has"),
            Self::LocalitySize { size, .. } => {
                write!(f, "a StartupLocality event with {size} bytes of data")
            }
            Self::Locality { locality, .. } => {
                write!(f, "the TPM cannot be started from locality {locality}")
            }
            Self::Localities { first, second, .. } => write!(
                f,
                "the TPM was started from locality {second}, but an earlier event says {first}"
            ),
        }
    }
}

impl std::error::Error for Error {}

/// A part of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What all events start with: PCR and type, and the number of digests or a digest.
    Event,
    /// The signature of the header, versions, number of algorithms.
    Header,
    /// The algorithms in the header.
    Algorithms,
    /// The algorithm of a digest.
    Algorithm,
    /// A digest.
    Digest,
    /// The size of an event's data.
    Size,
    /// An event's data.
    Data,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event => "the start of an event",
            Self::Header => "the header",
            Self::Algorithms => "the algorithms of the header",
            Self::Algorithm => "the algorithm of a digest",
            Self::Digest => "a digest",
            Self::Size => "the size of the data",
            Self::Data => "data",
        })
    }
}

/// Can digests of an unknown algorithm have that size?
pub(super) fn is_digest_size(size: usize) -> bool {
    (1..=Digest::MAX).contains(&size)
}
