// SPDX-License-Identifier: GPL-2.0

//! The duplicate check: was a digest measured by this kernel?
//!
//! An index leads from a digest's tag to the records that may have it. The digest itself is not
//! kept: it is computed again from the record, whose bytes the store has, and compared whole, as a
//! mere tag could hide a measurement. Of records that were freed, a worker computes the digests
//! once more before their bytes go, unless such records count as absent, see [`Scope`].

use super::{
    chunk::Chunk,
    index::{
        Entry,
        Index,
        Taken, //
    },
    queue::Queue,
    SealedSegment,
    Store, //
};
use crate::{
    abstractions::random,
    format::record::Record,
    memory::KVVec,
    platform::{
        Platform,
        SHA1_SIZE, //
    },
};
use core::mem;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Bytes of a digest that are kept; of a longer one the front.
const MAX_WIDTH: usize = 32;
/// Bytes of a block of digests, each preceded by its PCR.
const BLOCK_SIZE: usize = 65536;
/// What stands for the PCR of a record that is not to be found: no PCR has this number.
const NO_PCR: u8 = u8::MAX;

/// Which records a digest is compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All that this kernel measured, as upstream.
    Log,
    /// Those that are live. Of freed ones nothing is kept.
    Live,
}

/// A digest that is looked up or remembered.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) pcr: u32,
    /// Of the `ima_hash=` bank.
    pub(crate) digest: &'a [u8],
}

/// Digests of consecutive records that were freed.
#[derive(Default)]
pub(crate) struct Digests {
    /// The first of these records, counted since cold boot.
    first: u64,
    len: u64,
    blocks: KVVec<KVVec<u8>>,
}

impl Digests {
    fn end(&self) -> u64 {
        self.first.saturating_add(self.len)
    }

    /// A record's PCR and digest, of `width` bytes with the PCR.
    fn get(&self, record: u64, width: usize) -> Option<&[u8]> {
        let index = record.checked_sub(self.first).filter(|n| *n < self.len)?;
        let index = usize::try_from(index).ok()?;
        let per_block = BLOCK_SIZE / width;
        let start = (index % per_block) * width;
        self.blocks
            .get(index / per_block)?
            .get(start..start + width)
    }

    /// Adds what [`digest`] computed of the next records.
    fn extend(&mut self, digests: &[u8], width: usize) -> Result {
        let per_block = BLOCK_SIZE / width;
        for digest in digests.chunks_exact(width) {
            if self.len % per_block as u64 == 0 {
                let block = KVVec::with_capacity(per_block * width, GFP_KERNEL)?;
                self.blocks.push(block, GFP_KERNEL)?;
            }
            let block = self.blocks.last_mut().ok_or(ENOMEM)?;
            block.extend_from_slice(digest, GFP_KERNEL)?;
            self.len += 1;
        }
        Ok(())
    }
}

/// What the duplicate check knows.
pub(crate) struct Known {
    key: u64,
    /// Bytes of a PCR and a digest.
    width: usize,
    /// The first record that this kernel measured, counted since cold boot: number 0 of the index.
    origin: Option<u64>,
    index: Index,
    /// Being emptied into `index`.
    retiring: Index,
    digests: Digests,
    /// Freed, and not in `digests` yet, oldest first.
    freed: Queue<SealedSegment>,
}

impl Known {
    /// Remembers digests of `digest_size` bytes.
    pub(crate) fn new(digest_size: usize) -> Self {
        Self {
            key: u64::from_ne_bytes(random::bytes()) | 1,
            width: digest_size.min(MAX_WIDTH) + 1,
            origin: None,
            index: Index::default(),
            retiring: Index::default(),
            digests: Digests::default(),
            freed: Queue::default(),
        }
    }

    /// Entries of the index.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn len(&self) -> u64 {
        self.index.len() + self.retiring.len()
    }

    /// Bytes of memory that it occupies, freed segments aside.
    pub(crate) fn memory(&self) -> usize {
        self.index.memory()
            + self.retiring.memory()
            + self.digests.blocks.len() * BLOCK_SIZE
            + self.digests.blocks.capacity() * size_of::<KVVec<u8>>()
    }

    /// Was the digest measured?
    pub(crate) fn contains(
        &self,
        platform: &Platform,
        store: &Store,
        scope: Scope,
        wanted: Wanted<'_>,
    ) -> bool {
        let Some(origin) = self.origin else {
            return false;
        };
        let tag = self.tag(wanted);
        Iterator::chain(self.index.with_tag(tag), self.retiring.with_tag(tag))
            .map(|number| origin.wrapping_add(number.into()))
            .any(|record| self.is(platform, store, scope, record, wanted))
    }

    /// Is the wanted digest that of this record?
    fn is(
        &self,
        platform: &Platform,
        store: &Store,
        scope: Scope,
        record: u64,
        wanted: Wanted<'_>,
    ) -> bool {
        let compare = |bytes: &[u8]| is_digest_of(platform, bytes, wanted).unwrap_or(false);
        if let Some(found) = store.with_record(record, platform.order(), compare) {
            return found;
        }
        if scope == Scope::Live {
            return false;
        }
        if let Some(stored) = self.digests.get(record, self.width) {
            let front = wanted.digest.get(..self.width - 1);
            return stored.split_first().is_some_and(|(pcr, digest)| {
                u32::from(*pcr) == wanted.pcr && front == Some(digest)
            });
        }
        let starts_before = |sealed: &SealedSegment| sealed.segment.start().records <= record;
        self.freed
            .last_where(starts_before)
            .and_then(|sealed| {
                sealed
                    .segment
                    .with_record(record, platform.order(), compare)
            })
            .unwrap_or(false)
    }

    /// Remembers the digest of `record`, counted since cold boot, which was just appended. One that
    /// could not be remembered is merely measured again.
    pub(crate) fn insert(&mut self, record: u64, wanted: Wanted<'_>) -> Result {
        let origin = *self.origin.get_or_insert(record);
        let number = record.wrapping_sub(origin).try_into().map_err(|_| ENOSPC)?;
        let tag = self.tag(wanted);
        self.index.add(Entry { tag, number })
    }

    /// Makes room for `count` segments that [`Known::keep`] is to be given.
    pub(crate) fn reserve(&mut self, count: usize) -> Result {
        self.freed.reserve(count)
    }

    /// Takes segments that were just freed, to remember the digests in them. Those that have none
    /// are left.
    pub(crate) fn keep(&mut self, freed: &mut KVVec<SealedSegment>) {
        let Some(origin) = self.origin else {
            return;
        };
        freed.retain(|sealed| {
            let other = sealed.end.records <= origin;
            other || self.freed.push(sealed.clone()).is_err()
        });
    }

    /// Spreads digests. The key is random, so that nobody can choose files that all meet.
    fn tag(&self, wanted: Wanted<'_>) -> u32 {
        let mut word = [0u8; 8];
        for (to, from) in word.iter_mut().zip(wanted.digest) {
            *to = *from;
        }
        let word = u64::from_le_bytes(word) ^ u64::from(wanted.pcr).rotate_right(8) ^ self.key;
        let mixed = word.wrapping_mul(self.key);
        ((mixed ^ (mixed >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
    }
}

/// What a worker does, in steps that take turns with measurements.
impl Known {
    /// Starts a step. What is given out is to be dropped, or computed, without the extend mutex.
    pub(crate) fn next_step(&mut self, store: &Store, scope: Scope) -> Step {
        if scope == Scope::Live && (self.digests.len > 0 || !self.freed.is_empty()) {
            let digests = mem::take(&mut self.digests);
            return Step::Drop(Garbage::Freed(mem::take(&mut self.freed), digests));
        }
        let (Some(sealed), Some(origin)) = (self.freed.first(), self.origin) else {
            return self.shrink(store);
        };
        let segment = &sealed.segment;
        let start = segment.start().records.max(origin);
        if self.digests.len == 0 {
            self.digests.first = start;
        } else if self.digests.end() < start {
            // In between, freed records counted as absent for a while.
            return Step::Drop(Garbage::Digests(mem::take(&mut self.digests)));
        }
        let first = self.digests.end();
        Step::Digest(Undigested {
            chunk: segment.chunk_of(first),
            first,
            width: self.width,
        })
    }

    /// Takes in what a [`Step::Digest`] computed. If there was no memory, all is forgotten.
    pub(crate) fn digested(&mut self, digests: Result<KVVec<u8>>) -> Garbage {
        let width = self.width;
        let result = digests.and_then(|digests| self.digests.extend(&digests, width));
        if let Err(error) = result {
            pr_warn!(
                "no memory for digests of freed records ({}): files may be recorded twice\n",
                error.to_errno()
            );
            self.origin = None;
            return Garbage::All(
                [mem::take(&mut self.index), mem::take(&mut self.retiring)],
                mem::take(&mut self.digests),
                mem::take(&mut self.freed),
            );
        }
        let end = self.digests.end();
        if self.freed.first().is_some_and(|s| s.end.records <= end) {
            return self.freed.pop().map_or(Garbage::Nothing, Garbage::Segment);
        }
        Garbage::Nothing
    }

    /// The first record that can be found, counted since cold boot.
    fn first(&self, store: &Store) -> u64 {
        if self.digests.len > 0 {
            self.digests.first
        } else {
            self.freed
                .first()
                .map_or_else(|| store.start(), |sealed| sealed.segment.start())
                .records
        }
    }

    /// Once half of the index leads nowhere, the rest moves to a new one, bucket by bucket.
    fn shrink(&mut self, store: &Store) -> Step {
        let Some(origin) = self.origin else {
            return Step::Done;
        };
        let first = self.first(store);
        if let Some(taken) = self.retiring.take() {
            for entry in taken.entries() {
                if origin.wrapping_add(entry.number.into()) >= first {
                    let _ = self.index.add(*entry);
                }
            }
            return Step::Drop(Garbage::Bucket(taken));
        }
        let retired = mem::take(&mut self.retiring);
        let reachable = store.end().records.saturating_sub(first);
        let useless = self.index.len() / 2 > reachable;
        if useless {
            self.retiring = mem::take(&mut self.index);
        }
        if useless || retired.memory() > 0 {
            return Step::Drop(Garbage::Index(retired));
        }
        Step::Done
    }
}

/// What a step leaves to be done without the extend mutex.
pub(crate) enum Step {
    /// Drop this.
    Drop(Garbage),
    /// Compute these and hand them to [`Known::digested`].
    Digest(Undigested),
    /// Nothing is left to do.
    Done,
}

/// Memory that is given back when dropped.
#[allow(dead_code, reason = "it is only dropped")]
pub(crate) enum Garbage {
    Nothing,
    Segment(SealedSegment),
    Freed(Queue<SealedSegment>, Digests),
    Digests(Digests),
    Bucket(Taken),
    Index(Index),
    All([Index; 2], Digests, Queue<SealedSegment>),
}

/// Records whose digests are to be computed.
pub(crate) struct Undigested {
    chunk: Option<Arc<Chunk>>,
    /// The first of them, counted since cold boot.
    first: u64,
    /// Bytes of a PCR and a digest.
    width: usize,
}

impl Undigested {
    /// The records' PCRs and digests, in order.
    pub(crate) fn digest(self, platform: &Platform) -> Result<KVVec<u8>> {
        let chunk = self.chunk.ok_or(EIO)?;
        let bank = platform.banks().get(platform.hash_index()).ok_or(EINVAL)?;
        let mut digests = KVVec::new();
        let mut rest = chunk.records();
        let mut at = chunk.start().records;
        while !rest.is_empty() {
            let (record, len) =
                Record::parse(rest, SHA1_SIZE, platform.order()).map_err(|_| EIO)?;
            rest = rest.get(len..).ok_or(EIO)?;
            if at >= self.first {
                let digest = platform.template_digest(&record, bank)?;
                let pcr = u8::try_from(record.pcr()).unwrap_or(NO_PCR);
                let pcr = if record.is_violation() { NO_PCR } else { pcr };
                digests.push(pcr, GFP_KERNEL)?;
                digests
                    .extend_from_slice(digest.get(..self.width - 1).ok_or(EINVAL)?, GFP_KERNEL)?;
            }
            at += 1;
        }
        Ok(digests)
    }
}

/// Is the wanted digest that of the record at the front of `bytes`?
fn is_digest_of(platform: &Platform, bytes: &[u8], wanted: Wanted<'_>) -> Result<bool> {
    let (record, _) = Record::parse(bytes, SHA1_SIZE, platform.order()).map_err(|_| EIO)?;
    if record.pcr() != wanted.pcr || record.is_violation() {
        return Ok(false);
    }
    let bank = platform.banks().get(platform.hash_index()).ok_or(EINVAL)?;
    let digest = platform.template_digest(&record, bank)?;
    Ok(bank.trim(&digest) == wanted.digest)
}
