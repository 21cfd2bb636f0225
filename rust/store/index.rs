// SPDX-License-Identifier: GPL-2.0

//! Numbers by tag: an extendible hash table that grows a bucket at a time.
//!
//! A full bucket is split in two, so that adding a number costs the same however many there are.
//! What grows by doubling is in parts, so that no single addition has much to copy. Nothing is
//! taken out again, except a whole bucket at a time, see [`Index::take`].

use crate::memory::{
    KBox,
    KVVec,
    KVec, //
};
use kernel::prelude::*;

/// Entries in a bucket: with its header it has 512 bytes.
const SLOTS: usize = 63;
/// Parts of the index, by the highest bits of the tag.
const PARTS: usize = 16;
/// Deepest directory: reached only by tags that agree in so many bits.
const MAX_DEPTH: u32 = 24;

/// A number and its tag.
#[derive(Clone, Copy, Zeroable)]
pub(super) struct Entry {
    pub(super) tag: u32,
    pub(super) number: u32,
}

/// The entries whose tags agree in the lowest `depth` bits.
#[derive(Zeroable)]
struct Bucket {
    depth: u32,
    used: u32,
    slots: [Entry; SLOTS],
}

impl Bucket {
    fn new(depth: u32) -> Result<KBox<Self>> {
        let mut bucket = KBox::init(pin_init::init_zeroed::<Self>(), GFP_KERNEL)?;
        bucket.depth = depth;
        Ok(bucket)
    }

    fn entries(&self) -> &[Entry] {
        self.slots.get(..self.used as usize).unwrap_or_default()
    }

    /// False if it is full.
    fn push(&mut self, entry: Entry) -> bool {
        let Some(slot) = self.slots.get_mut(self.used as usize) else {
            return false;
        };
        *slot = entry;
        self.used += 1;
        true
    }
}

/// Numbers by tag.
#[derive(Default)]
pub(crate) struct Index {
    /// None at first, then [`PARTS`].
    parts: KVec<Part>,
    len: u64,
}

impl Index {
    /// Entries in it.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of memory that it occupies.
    pub(super) fn memory(&self) -> usize {
        let parts = self.parts.capacity() * size_of::<Part>();
        self.parts.iter().map(Part::memory).sum::<usize>() + parts
    }

    /// The numbers that were added with `tag`.
    pub(super) fn with_tag(&self, tag: u32) -> impl Iterator<Item = u32> + '_ {
        let part = self.parts.get(part_of(tag));
        let bucket = part.and_then(|part| part.buckets.get(part.place(tag)?));
        let entries = bucket.map(|bucket| bucket.entries()).unwrap_or_default();
        entries
            .iter()
            .filter(move |entry| entry.tag == tag)
            .map(|entry| entry.number)
    }

    /// Adds an entry. ENOSPC if too many share its tag. ENOMEM.
    pub(super) fn add(&mut self, entry: Entry) -> Result {
        if self.parts.is_empty() {
            let mut parts = KVec::with_capacity(PARTS, GFP_KERNEL)?;
            for _ in 0..PARTS {
                let _ = parts.push_within_capacity(Part::default());
            }
            self.parts = parts;
        }
        let part = self.parts.get_mut(part_of(entry.tag)).ok_or(ENOMEM)?;
        part.add(entry)?;
        self.len += 1;
        Ok(())
    }

    /// Takes a bucket out of an index that nothing is added to any more; `None` if it is empty.
    pub(super) fn take(&mut self) -> Option<Taken> {
        let bucket = self.parts.iter_mut().find_map(|part| part.buckets.pop())?;
        self.len = self.len.saturating_sub(bucket.used.into());
        Some(Taken(bucket))
    }
}

fn part_of(tag: u32) -> usize {
    (tag >> 28) as usize
}

/// An extendible hash table.
#[derive(Default)]
struct Part {
    /// `2^depth` numbers of buckets, by the lowest bits of the tag; empty at first.
    directory: KVVec<u32>,
    depth: u32,
    buckets: KVVec<KBox<Bucket>>,
}

impl Part {
    fn memory(&self) -> usize {
        self.buckets.len() * size_of::<Bucket>()
            + self.buckets.capacity() * size_of::<KBox<Bucket>>()
            + self.directory.capacity() * size_of::<u32>()
    }

    fn add(&mut self, entry: Entry) -> Result {
        if self.directory.is_empty() {
            self.buckets.reserve(1, GFP_KERNEL)?;
            let first = Bucket::new(0)?;
            self.directory.push(0, GFP_KERNEL)?;
            let _ = self.buckets.push_within_capacity(first);
        }
        loop {
            let at = self.place(entry.tag).ok_or(ENOMEM)?;
            if self.buckets.get_mut(at).ok_or(ENOMEM)?.push(entry) {
                return Ok(());
            }
            self.split(at, entry.tag)?;
        }
    }

    fn place(&self, tag: u32) -> Option<usize> {
        let low = (1u32 << self.depth).wrapping_sub(1);
        let at = self.directory.get((tag & low) as usize)?;
        Some(*at as usize)
    }

    /// Splits the bucket at `at`, which is that of `tag`.
    fn split(&mut self, at: usize, tag: u32) -> Result {
        let full = self.buckets.get(at).ok_or(ENOMEM)?;
        let depth = full.depth;
        if depth >= MAX_DEPTH || full.entries().iter().all(|entry| entry.tag == tag) {
            return Err(ENOSPC);
        }
        let mut low = Bucket::new(depth + 1)?;
        let mut high = Bucket::new(depth + 1)?;
        let high_at = u32::try_from(self.buckets.len()).map_err(|_| ENOSPC)?;
        self.buckets.reserve(1, GFP_KERNEL)?;
        if depth == self.depth {
            self.double()?;
        }

        let old = self.buckets.get_mut(at).ok_or(ENOMEM)?;
        for entry in old.entries() {
            let half = if entry.tag >> depth & 1 == 0 {
                &mut low
            } else {
                &mut high
            };
            half.push(*entry);
        }
        *old = low;
        let _ = self.buckets.push_within_capacity(high);

        // Of the entries that led to the old bucket, those with the next bit set lead to the new.
        let bit = 1usize << depth;
        let first = (tag as usize & (bit - 1)) | bit;
        for place in (first..self.directory.len()).step_by(bit << 1) {
            if let Some(at) = self.directory.get_mut(place) {
                *at = high_at;
            }
        }
        Ok(())
    }

    /// Doubles the directory.
    fn double(&mut self) -> Result {
        let len = self.directory.len();
        let mut directory = KVVec::with_capacity(len.saturating_mul(2), GFP_KERNEL)?;
        for _ in 0..2 {
            directory.extend_from_slice(&self.directory, GFP_KERNEL)?;
        }
        self.directory = directory;
        self.depth += 1;
        Ok(())
    }
}

/// A bucket that was taken out.
pub(crate) struct Taken(KBox<Bucket>);

impl Taken {
    /// Its entries.
    pub(super) fn entries(&self) -> &[Entry] {
        self.0.entries()
    }
}

#[kunit_tests(ima_checkpoint_index)]
mod tests {
    use super::*;

    /// A tag that differs in all bits from that of the next number.
    fn entry(number: u32) -> Entry {
        let tag = number.wrapping_mul(0x9e37_79b1) ^ number.wrapping_mul(0x85eb_ca6b) >> 15;
        Entry { tag, number }
    }

    #[test]
    fn finds_what_was_added_and_nothing_else() -> Result {
        let mut index = Index::default();
        assert_eq!(index.with_tag(entry(0).tag).count(), 0);
        for n in 0..20_000 {
            index.add(entry(n))?;
        }
        assert_eq!(index.len(), 20_000);
        for n in 0..20_000 {
            assert!(index.with_tag(entry(n).tag).eq([n]));
            assert_eq!(index.with_tag(entry(n + 20_000).tag).count(), 0);
        }
        Ok(())
    }

    #[test]
    fn numbers_may_share_a_tag_but_not_too_many() -> Result {
        let mut index = Index::default();
        for number in 0..SLOTS as u32 {
            index.add(Entry { tag: 7, number })?;
        }
        assert!(index.with_tag(7).eq(0..SLOTS as u32));
        let number = 1000;
        assert!(index.add(Entry { tag: 7, number }).is_err());
        assert_eq!(index.with_tag(7).count(), SLOTS);
        index.add(Entry { tag: 6, number })?;
        assert!(index.with_tag(6).eq([1000]));
        Ok(())
    }

    #[test]
    fn what_is_taken_is_not_found_and_the_rest_is() -> Result {
        let mut index = Index::default();
        for n in 0..2000 {
            index.add(entry(n))?;
        }
        let mut left = 2000;
        while let Some(taken) = index.take() {
            left -= taken.entries().len() as u64;
            assert_eq!(index.len(), left);
            for entry in taken.entries() {
                assert_eq!(index.with_tag(entry.tag).count(), 0);
            }
        }
        assert_eq!(left, 0);
        Ok(())
    }

    #[test]
    fn memory_per_entry_is_bounded() -> Result {
        let mut index = Index::default();
        assert_eq!(index.memory(), 0);
        for n in 0..50_000 {
            index.add(entry(n))?;
        }
        assert!(index.memory() / 50_000 <= 14);
        while index.take().is_some() {}
        assert!(index.memory() / 50_000 <= 2);
        Ok(())
    }
}
