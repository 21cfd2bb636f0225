// SPDX-License-Identifier: GPL-2.0

//! What keeps archive and kernel from being one list.

use super::parts::missing;
use crate::records::Position;
use std::{fmt, io};

/// Records and bytes from a place on.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Index of the first record since cold boot, and the bytes before it.
    pub from: Position,
    /// Records.
    pub records: u64,
    /// Their bytes in the sha1 view.
    pub bytes: u64,
}

/// What keeps archive and kernel from being one list, or it from being read.
#[derive(Debug)]
pub enum Error {
    /// Something was freed while the kernel was asked.
    Changed,
    /// Archive and kernel have different logs.
    OtherLog {
        /// That of the archive.
        archived: String,
        /// That of the kernel.
        live: String,
    },
    /// They have different segments of one number.
    Contradiction {
        /// The number.
        seq: u64,
        /// The file of the archive.
        file: String,
        /// What that has.
        archived: Extent,
        /// What the kernel has.
        live: Extent,
    },
    /// A segment does not start where the one before ends.
    Overlap {
        /// Its number.
        seq: u64,
        /// Where it starts.
        starts: Position,
        /// Where the one before ends.
        ends: Position,
    },
    /// Records are in neither.
    Missing {
        /// The first.
        from: u64,
        /// The record after the last.
        to: u64,
        /// The segment before them, if there is one.
        after: Option<u64>,
        /// The segment that follows them.
        before: u64,
    },
    /// There is nothing.
    Empty,
    /// A segment is of another list.
    Foreign {
        /// Its number.
        seq: u64,
    },
    /// A segment cannot be read.
    Unreadable {
        /// Its number.
        seq: u64,
        /// The file of the archive; the kernel has it if there is none.
        file: Option<String>,
        /// The cause.
        error: io::Error,
    },
    /// A segment ends elsewhere than it should.
    Ends {
        /// Its number.
        seq: u64,
        /// What is counted.
        unit: &'static str,
        /// Where it ends.
        at: u64,
        /// Where it should.
        wanted: u64,
    },
    /// A record cannot be read.
    Malformed {
        /// The segment that it is in.
        seq: u64,
        /// Where it is.
        at: Position,
        /// What is wrong.
        why: String,
    },
    /// A segment has not what was told.
    Told {
        /// Its number.
        seq: u64,
        /// Its records and the bytes of its text.
        has: (u64, u64),
        /// What was told of them.
        told: (u64, u64),
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => f.write_str("the list changed while it was read"),
            Self::OtherLog { archived, live } => write!(
                f,
                "the archive has log {archived}, but the kernel has log {live}"
            ),
            Self::Contradiction {
                seq,
                file,
                archived,
                live,
            } => write!(
                f,
                "segment {seq}: the archive has {} records, {} bytes from record {} in {file}, the \
                 kernel {} records, {} bytes from record {}: find out who changed the archive with \
                 `ima-checkpoint verify`",
                archived.records,
                archived.bytes,
                archived.from.record,
                live.records,
                live.bytes,
                live.from.record,
            ),
            Self::Overlap { seq, starts, ends } => write!(
                f,
                "segment {seq} starts with record {} at byte {}, but the previous one ends with \
                 record {} at byte {}: they do not belong to one list",
                starts.record, starts.offset, ends.record, ends.offset
            ),
            Self::Missing {
                from,
                to,
                after,
                before,
            } => {
                let segments = missing(*after, *before);
                let last = to.saturating_sub(1);
                write!(
                    f,
                    "records {from} to {last} are missing: neither the archive (--archive) nor \
                     the kernel has {segments}. Restore the files from a copy of the archive, or \
                     start after the gap: `ima-checkpoint cat --from {to}`"
                )
            }
            Self::Empty => f.write_str("the archive has no segment of this log"),
            Self::Foreign { seq } => write!(f, "segment {seq} belongs to another list"),
            Self::Unreadable { seq, file, error } => {
                let source = file.as_deref().unwrap_or("the kernel");
                write!(f, "cannot read segment {seq} from {source}: {error}")
            }
            Self::Ends {
                seq,
                unit,
                at,
                wanted,
            } => write!(
                f,
                "segment {seq} ends with {unit} {at}, not {wanted}: run `ima-checkpoint fsck`"
            ),
            Self::Malformed { seq, at, why } => {
                write!(f, "segment {seq}, {at}: {why}; run `ima-checkpoint verify`")
            }
            Self::Told { seq, has, told } => write!(
                f,
                "segment {seq} has {} records, {} bytes as text, not {} and {} as expected: run \
                 `ima-checkpoint fsck`",
                has.0, has.1, told.0, told.1
            ),
        }
    }
}

impl std::error::Error for Error {}
