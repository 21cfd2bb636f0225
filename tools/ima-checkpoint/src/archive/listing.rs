// SPDX-License-Identifier: GPL-2.0

//! What files a log has, in few bytes each: there may be many millions. What a file says of itself
//! is read when its turn comes.

use super::meta::{Kind, Name};
use std::iter;

/// Names of segments and tails, in 8 bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    // INVARIANT: each is twice the number, which has at most ten digits, and one more for a tail.
    packed: Vec<u64>,
}

impl Names {
    /// Adds a name. Those of forks are not kept.
    pub(crate) fn push(&mut self, name: Name) {
        match name.kind {
            Kind::Sealed => self.packed.push(name.seq << 1),
            Kind::Tail => self.packed.push(name.seq << 1 | 1),
            Kind::Fork(_) => (),
        }
    }

    fn name(packed: u64) -> Name {
        Name {
            seq: packed >> 1,
            kind: match packed & 1 {
                0 => Kind::Sealed,
                _ => Kind::Tail,
            },
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.packed.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

    /// The names.
    pub fn iter(&self) -> impl Iterator<Item = Name> + '_ {
        self.packed.iter().map(|packed| Self::name(*packed))
    }
}

impl IntoIterator for Names {
    type Item = Name;
    type IntoIter = iter::Map<std::vec::IntoIter<u64>, fn(u64) -> Name>;

    fn into_iter(self) -> Self::IntoIter {
        self.packed.into_iter().map(Self::name)
    }
}

/// The files of a log.
#[derive(Clone, Debug, Default)]
pub(super) struct Listing {
    // INVARIANT: both ascend when the listing is done.
    segments: Names,
    forks: Vec<Name>,
}

impl Listing {
    /// Adds a file.
    pub(super) fn push(&mut self, name: Name) {
        match name.kind {
            Kind::Fork(_) => self.forks.push(name),
            _ => self.segments.push(name),
        }
    }

    /// Puts the files in order. A directory that is changed may name one twice.
    pub(super) fn sort(&mut self) {
        self.segments.packed.sort_unstable();
        self.segments.packed.dedup();
        self.forks.sort_unstable();
        self.forks.dedup();
    }

    /// The number of the first segment or tail that is no fork.
    pub(super) fn first(&self) -> Option<u64> {
        Some(self.segments.iter().next()?.seq)
    }

    /// Are there none?
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.forks.is_empty()
    }

    /// Is it there?
    pub(super) fn has(&self, name: Name) -> bool {
        let packed = match name.kind {
            Kind::Fork(_) => return self.forks.binary_search(&name).is_ok(),
            Kind::Sealed => name.seq << 1,
            Kind::Tail => name.seq << 1 | 1,
        };
        self.segments.packed.binary_search(&packed).is_ok()
    }

    /// All, in ascending order: of a segment the sealed one first, then the tail, then forks.
    pub(super) fn all(&self) -> impl Iterator<Item = Name> + '_ {
        let mut segments = self.segments.iter().peekable();
        let mut forks = self.forks.iter().copied().peekable();
        iter::from_fn(move || match (segments.peek(), forks.peek()) {
            (Some(segment), Some(fork)) if fork < segment => forks.next(),
            (None, _) => forks.next(),
            _ => segments.next(),
        })
    }

    /// The files of that number.
    pub(super) fn of(&self, seq: u64) -> impl Iterator<Item = Name> + '_ {
        let pair = [Kind::Sealed, Kind::Tail].map(|kind| Name { seq, kind });
        let there = pair.into_iter().filter(|name| self.has(*name));
        let first = self.forks.partition_point(|fork| fork.seq < seq);
        let forks = self.forks.iter().skip(first).copied();
        there.chain(forks.take_while(move |fork| fork.seq == seq))
    }

    /// One file of each number, forks left out: the sealed one, or else the tail.
    pub(super) fn into_segments(self) -> Names {
        let mut segments = self.segments;
        segments.packed.dedup_by_key(|packed| *packed >> 1);
        segments
    }

    /// The forks.
    pub(super) fn into_forks(self) -> Vec<Name> {
        self.forks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order() {
        let names = [
            "0000000002.tail.zst",
            "0000000001.fork-81a582e20c942308.zst",
            "9999999999.tail.zst",
            "0000000001.tail.zst",
            "0000000002.tail.zst",
            "0000000000.zst",
            "0000000001.zst",
            "0000000001.fork-01a582e20c942308.zst",
        ];
        let mut listing = Listing::default();
        for name in names.iter().filter_map(|name| Name::parse(name)) {
            listing.push(name);
        }
        listing.sort();
        let mut sorted: Vec<_> = names.iter().filter_map(|name| Name::parse(name)).collect();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(listing.all().collect::<Vec<_>>(), sorted);
        for name in names.iter().filter_map(|name| Name::parse(name)) {
            assert!(listing.has(name), "{name}");
        }
        assert_eq!(listing.of(1).count(), 4);
        assert_eq!(listing.of(3).count(), 0);
        let segments = listing.clone().into_segments();
        let shown: Vec<_> = segments.iter().map(|name| name.to_string()).collect();
        let wanted = [
            "0000000000.zst",
            "0000000001.zst",
            "0000000002.tail.zst",
            "9999999999.tail.zst",
        ];
        assert_eq!(shown, wanted);
        assert!(segments.clone().into_iter().eq(segments.iter()));
        assert_eq!(listing.into_forks().len(), 2);
    }
}
