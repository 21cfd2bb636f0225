// SPDX-License-Identifier: GPL-2.0

//! A segment of the list: while its records come, and as the report shows it.

use crate::{bank::Digest, list::claim::Claim};

/// The segment whose records come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Open {
    /// Its number, if it is known.
    pub(super) seq: Option<u64>,
    /// Index of its first record since cold boot, if that is known.
    pub(super) first: Option<u64>,
    /// Bytes before it since cold boot, in the sha1 view.
    pub(super) offset: Option<u64>,
    /// Its first record, by its place in the list.
    pub(super) start: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) violations: u64,
    /// Does it start with a checkpoint?
    pub(super) headed: bool,
    /// Is its beginning missing?
    pub(super) partial: bool,
    /// Did something else extend a PCR meanwhile?
    pub(super) broken: bool,
    /// Could a part of it not be read?
    pub(super) torn: bool,
    /// Are its bytes not known exactly, because it is in ASCII?
    pub(super) inexact: bool,
    /// SHA-256 of its bytes, once a checkpoint follows.
    pub(super) sealed: Option<Digest>,
}

impl Open {
    /// The one that starts with a checkpoint, at this place of the list.
    pub(super) fn at(claim: &Claim, start: u64) -> Self {
        Self {
            seq: Some(claim.header.sequence),
            first: Some(claim.header.record),
            offset: Some(claim.header.offset),
            start,
            headed: true,
            ..Self::default()
        }
    }

    /// Are all of its bytes here, and known?
    pub(super) fn is_exact(&self) -> bool {
        !self.partial && !self.torn && !self.inexact
    }

    #[inline]
    pub(super) fn count(&mut self, bytes: u64, violation: bool) {
        self.records += 1;
        self.bytes += bytes;
        self.violations += u64::from(violation);
    }

    pub(super) fn in_log(&self, record: u64) -> Option<u64> {
        Some(self.first? + record.checked_sub(self.start)?)
    }

    /// Records and bytes since cold boot before its end, as far as that is known.
    pub(super) fn end(&self) -> Option<(u64, u64)> {
        Some((self.first? + self.records, self.offset? + self.bytes))
    }

    pub(super) fn shown(&self, claimed: Option<Claimed>) -> Segment {
        Segment {
            seq: self.seq,
            first: self.first,
            start: self.start,
            records: self.records,
            bytes: self.bytes,
            violations: self.violations,
            broken: self.broken,
            partial: self.partial,
            sealed: self.sealed,
            claimed,
        }
    }
}

/// A segment of the list.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Its number, if the list says so.
    pub seq: Option<u64>,
    /// Index of its first record since cold boot, if that is known.
    pub first: Option<u64>,
    /// Its first record, by its place in the list.
    pub start: u64,
    /// Its records.
    pub records: u64,
    /// Their bytes, in the sha1 view.
    pub bytes: u64,
    /// Violations among them.
    pub violations: u64,
    /// Did something else extend a PCR meanwhile?
    pub broken: bool,
    /// Is its beginning missing?
    pub partial: bool,
    /// SHA-256 of its bytes in the sha1 view, if all of them are here and a checkpoint follows.
    pub sealed: Option<Digest>,
    /// What the checkpoint says that it starts with.
    pub claimed: Option<Claimed>,
}

/// What a checkpoint says of itself.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// SHA-256 of its buffer.
    pub digest: Digest,
    /// Its flags.
    pub flags: u32,
    /// Kexecs before it.
    pub generation: u32,
    /// Wall clock: nanoseconds since 1970-01-01 00:00 UTC.
    pub wall_ns: u64,
    /// Nanoseconds since boot.
    pub boot_ns: u64,
    /// The remark of whoever asked for it.
    pub label: String,
}

impl Claimed {
    pub(super) fn of(claim: &Claim) -> Self {
        Self {
            digest: Digest::new(&claim.digest),
            flags: claim.header.flags.bits(),
            generation: claim.header.generation,
            wall_ns: claim.header.wall_ns,
            boot_ns: claim.header.boot_ns,
            label: claim.label.clone(),
        }
    }
}
