// SPDX-License-Identifier: GPL-2.0

//! Digests that this kernel has measured, so that it measures each but once.
//!
//! Digests are kept whole in blocks; an extendible hash table of their numbers finds them. A bucket
//! that is full is split in two, so that adding a digest costs the same however many there are.
//! Digests are compared whole: a mere fingerprint could hide a measurement.

use crate::seam;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// Bytes of a digest that are kept; of a longer one the front.
const MAX_WIDTH: usize = 32;
/// Digests in a block.
const BLOCK: usize = 1024;
/// Numbers in a bucket. A power of two.
const BUCKET: usize = 256;
/// Numbers in a bucket that make it full.
const FULL: usize = BUCKET / 8 * 7;
/// Deepest directory: reached only by digests whose hashes agree in so many bits.
const MAX_DEPTH: u32 = 24;

/// Bytes that all sets occupy.
static ALLOCATED: Atomic<u64> = Atomic::new(0);

/// Bytes of memory that remembered digests occupy.
pub(crate) fn allocated() -> u64 {
    ALLOCATED.load(Relaxed)
}

/// Part of the index: an open-addressed table of digest numbers plus one; zero is empty.
struct Bucket {
    /// Directory bits that all its digests agree in.
    depth: u32,
    used: usize,
    slots: KVec<u32>,
}

impl Bucket {
    fn new(depth: u32) -> Result<Self> {
        let slots = KVec::from_elem(0u32, BUCKET, GFP_KERNEL)?;
        ALLOCATED.fetch_add((BUCKET * size_of::<u32>()) as u64, Relaxed);
        Ok(Self {
            depth,
            used: 0,
            slots,
        })
    }

    fn add(&mut self, hash: u64, number: u32) {
        let mut at = slot_of(hash);
        for _ in 0..BUCKET {
            match self.slots.get_mut(at) {
                Some(slot) if *slot == 0 => {
                    *slot = number.wrapping_add(1);
                    self.used += 1;
                    return;
                }
                _ => at = (at + 1) % BUCKET,
            }
        }
    }

    /// All its numbers.
    fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.slots.iter().filter_map(|slot| slot.checked_sub(1))
    }

    /// The numbers that `hash` may stand for.
    fn candidates(&self, hash: u64) -> impl Iterator<Item = u32> + '_ {
        let start = slot_of(hash);
        (0..BUCKET)
            .map_while(move |step| self.slots.get((start + step) % BUCKET))
            .map_while(|slot| slot.checked_sub(1))
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        ALLOCATED.fetch_sub((BUCKET * size_of::<u32>()) as u64, Relaxed);
    }
}

/// Bits of the hash that the directory does not use.
fn slot_of(hash: u64) -> usize {
    (hash >> 32) as usize % BUCKET
}

/// The digests of one PCR.
struct Set {
    pcr: u32,
    count: u32,
    blocks: KVVec<KVVec<u8>>,
    /// `2^depth` numbers of buckets, by the low bits of the hash.
    directory: KVVec<u32>,
    depth: u32,
    buckets: KVVec<Bucket>,
}

impl Set {
    fn new(pcr: u32) -> Result<Self> {
        let mut directory = KVVec::new();
        directory.push(0, GFP_KERNEL)?;
        let mut buckets = KVVec::new();
        buckets.push(Bucket::new(0)?, GFP_KERNEL)?;
        Ok(Self {
            pcr,
            count: 0,
            blocks: KVVec::new(),
            directory,
            depth: 0,
            buckets,
        })
    }

    fn bucket_of(&self, hash: u64) -> Option<usize> {
        let entry = hash & (1u64 << self.depth).wrapping_sub(1);
        self.directory.get(entry as usize).map(|&n| n as usize)
    }

    fn bucket(&mut self, hash: u64) -> Option<&mut Bucket> {
        let index = self.bucket_of(hash)?;
        self.buckets.get_mut(index)
    }

    /// Adds `digest` to the blocks, and returns its number.
    fn push(&mut self, digest: &[u8]) -> Result<u32> {
        let number = self.count;
        if number == u32::MAX - 1 {
            return Err(ENOSPC);
        }
        if number as usize / BLOCK == self.blocks.len() {
            let size = BLOCK * digest.len();
            let block = KVVec::with_capacity(size, GFP_KERNEL)?;
            self.blocks.push(block, GFP_KERNEL)?;
            ALLOCATED.fetch_add(size as u64, Relaxed);
        }
        let block = self.blocks.get_mut(number as usize / BLOCK).ok_or(ENOMEM)?;
        block.extend_from_slice(digest, GFP_KERNEL)?;
        self.count += 1;
        Ok(number)
    }

    /// Splits the bucket of `hash` in two.
    fn split(&mut self, hash: u64, key: u64, width: usize) -> Result {
        let index = self.bucket_of(hash).ok_or(ENOMEM)?;
        let depth = self.buckets.get(index).ok_or(ENOMEM)?.depth;
        if depth >= MAX_DEPTH {
            return Err(ENOSPC);
        }
        let mut low = Bucket::new(depth + 1)?;
        let mut high = Bucket::new(depth + 1)?;
        let high_index = u32::try_from(self.buckets.len()).map_err(|_| ENOSPC)?;
        self.buckets.reserve(1, GFP_KERNEL)?;
        if depth == self.depth {
            let entries = self.directory.len();
            self.directory.reserve(entries, GFP_KERNEL)?;
            for entry in 0..entries {
                let bucket = self.directory.get(entry).copied().unwrap_or_default();
                let _ = self.directory.push_within_capacity(bucket);
            }
            self.depth += 1;
        }

        let old = self.buckets.get(index).ok_or(ENOMEM)?;
        for number in old.numbers() {
            let hash = hash_with(key, self.digest(number, width).unwrap_or_default());
            let half = if hash >> depth & 1 == 0 {
                &mut low
            } else {
                &mut high
            };
            half.add(hash, number);
        }
        if let Some(bucket) = self.buckets.get_mut(index) {
            *bucket = low;
        }
        let _ = self.buckets.push_within_capacity(high);

        // Of the entries that led to the old bucket, those with the next bit set lead to the new.
        let bit = 1usize << depth;
        let first = (hash as usize & (bit - 1)) | bit;
        for entry in (first..self.directory.len()).step_by(bit << 1) {
            if let Some(bucket) = self.directory.get_mut(entry) {
                *bucket = high_index;
            }
        }
        Ok(())
    }

    fn digest(&self, number: u32, width: usize) -> Option<&[u8]> {
        let number = number as usize;
        let offset = (number % BLOCK) * width;
        self.blocks.get(number / BLOCK)?.get(offset..offset + width)
    }
}

/// The digests of all PCRs.
pub(crate) struct Known {
    width: usize,
    key: u64,
    sets: KVec<Set>,
}

impl Known {
    /// Remembers digests of `digest_size` bytes.
    pub(crate) fn new(digest_size: usize) -> Self {
        Self {
            width: digest_size.min(MAX_WIDTH),
            key: u64::from_ne_bytes(seam::random()) | 1,
            sets: KVec::new(),
        }
    }

    /// Digests remembered.
    pub(crate) fn len(&self) -> u64 {
        self.sets.iter().map(|set| u64::from(set.count)).sum()
    }

    pub(crate) fn contains(&self, pcr: u32, digest: &[u8]) -> bool {
        let Some(digest) = digest.get(..self.width) else {
            return false;
        };
        let Some(set) = self.sets.iter().find(|set| set.pcr == pcr) else {
            return false;
        };
        let hash = self.hash(digest);
        set.bucket_of(hash)
            .and_then(|n| set.buckets.get(n))
            .is_some_and(|bucket| {
                bucket
                    .candidates(hash)
                    .any(|number| set.digest(number, self.width) == Some(digest))
            })
    }

    /// Remembers a digest. One that could not be remembered is merely measured again.
    pub(crate) fn insert(&mut self, pcr: u32, digest: &[u8]) -> Result {
        let width = self.width;
        let digest = digest.get(..width).ok_or(EINVAL)?;
        let hash = self.hash(digest);
        let index = match self.sets.iter().position(|set| set.pcr == pcr) {
            Some(index) => index,
            None => {
                self.sets.push(Set::new(pcr)?, GFP_KERNEL)?;
                self.sets.len() - 1
            }
        };
        let set = self.sets.get_mut(index).ok_or(ENOMEM)?;
        while set.bucket(hash).ok_or(ENOMEM)?.used >= FULL {
            set.split(hash, self.key, width)?;
        }
        let number = set.push(digest)?;
        set.bucket(hash).ok_or(ENOMEM)?.add(hash, number);
        Ok(())
    }

    fn hash(&self, digest: &[u8]) -> u64 {
        hash_with(self.key, digest)
    }
}

/// Spreads digests. The key is random, so that nobody can choose files that all meet in a bucket.
fn hash_with(key: u64, digest: &[u8]) -> u64 {
    let mut word = [0u8; 8];
    for (to, from) in word.iter_mut().zip(digest) {
        *to = *from;
    }
    let mixed = (u64::from_le_bytes(word) ^ key).wrapping_mul(key);
    (mixed ^ (mixed >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Drop for Known {
    fn drop(&mut self) {
        let blocks: usize = self.sets.iter().map(|set| set.blocks.len()).sum();
        ALLOCATED.fetch_sub((blocks * BLOCK * self.width) as u64, Relaxed);
    }
}

#[kunit_tests(ima_checkpoint_known)]
mod tests {
    use super::*;

    fn digest(n: u32) -> [u8; 32] {
        crate::seam::sha256(&n.to_le_bytes())
    }

    #[test]
    fn remembers_what_was_inserted_and_nothing_else() -> Result {
        let mut known = Known::new(32);
        for n in 0..20_000 {
            assert!(!known.contains(10, &digest(n)));
            known.insert(10, &digest(n))?;
        }
        for n in 0..20_000 {
            assert!(known.contains(10, &digest(n)));
            assert!(!known.contains(11, &digest(n)));
            assert!(!known.contains(10, &digest(n + 20_000)));
        }
        assert_eq!(known.len(), 20_000);
        Ok(())
    }

    #[test]
    fn compares_whole_digests() -> Result {
        let mut known = Known::new(64);
        let mut first = [7u8; 64];
        known.insert(10, &first)?;
        first[31] ^= 1;
        assert!(!known.contains(10, &first));
        Ok(())
    }

    #[test]
    fn digests_that_share_a_hash_are_told_apart() -> Result {
        // The hash takes the first bytes only, so that these all meet in one bucket.
        let mut known = Known::new(20);
        let mut digest = [0u8; 20];
        for n in 0..200u8 {
            digest[19] = n;
            known.insert(10, &digest)?;
        }
        digest[19] = 199;
        assert!(known.contains(10, &digest));
        digest[19] = 200;
        assert!(!known.contains(10, &digest));
        Ok(())
    }

    #[test]
    fn memory_per_digest_is_bounded() -> Result {
        let before = allocated();
        {
            let mut known = Known::new(32);
            for n in 0..50_000 {
                known.insert(10, &digest(n))?;
            }
            assert!((allocated() - before) / 50_000 <= 42);
        }
        assert_eq!(allocated(), before);
        Ok(())
    }
}
