// SPDX-License-Identifier: GPL-2.0

//! Positions in the list.

use core::ops::Sub;

/// A position in the list, or a length of list, in the units that views are made of.
///
/// Positions count from cold boot. Counters of 64 bits do not wrap in practice; arithmetic wraps
/// rather than panics all the same.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// Records.
    pub(crate) records: u64,
    /// Bytes of the binary sha1 view.
    pub(crate) bytes: u64,
    /// Bytes of the ASCII sha1 view; counts from where this kernel's list starts.
    pub(crate) ascii: u64,
}

impl Span {
    /// The position after one more record.
    pub(crate) fn after(&self, bytes: u64, ascii: u64) -> Self {
        Self {
            records: self.records.wrapping_add(1),
            bytes: self.bytes.wrapping_add(bytes),
            ascii: self.ascii.wrapping_add(ascii),
        }
    }
}

impl Sub for Span {
    type Output = Self;

    fn sub(self, start: Self) -> Self {
        Self {
            records: self.records.wrapping_sub(start.records),
            bytes: self.bytes.wrapping_sub(start.bytes),
            ascii: self.ascii.wrapping_sub(start.ascii),
        }
    }
}
