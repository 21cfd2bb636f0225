// SPDX-License-Identifier: GPL-2.0

//! Where the checkpoints of a list were, in 56 bytes each: what truncations are about.

use crate::list::claim::Claim;

/// Allocated at once, so that growing never copies.
const CHUNK: usize = 4096;

/// A checkpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    seq: u64,
    /// Records since cold boot before it.
    pub(super) record: u64,
    /// Bytes since cold boot before it, in the sha1 view.
    pub(super) offset: u64,
    pub(super) digest: [u8; 32],
}

/// Checkpoints in ascending order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Heads {
    // INVARIANT: numbers ascend; all chunks but the last have `CHUNK` of them.
    chunks: Vec<Vec<Head>>,
}

impl Heads {
    fn last(&self) -> Option<&Head> {
        self.chunks.last()?.last()
    }

    /// Adds one, unless its number is not the highest: that is told elsewhere.
    pub(super) fn push(&mut self, claim: &Claim) {
        let seq = claim.header.sequence;
        if self.last().is_some_and(|last| last.seq >= seq) {
            return;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(Head {
                seq,
                record: claim.header.record,
                offset: claim.header.offset,
                digest: claim.digest,
            });
        }
    }

    /// The number of the newest one, zero if there is none.
    pub(super) fn newest(&self) -> u64 {
        self.last().map_or(0, |head| head.seq)
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Head> {
        let starts_before = |chunk: &Vec<Head>| chunk.first().is_some_and(|head| head.seq <= seq);
        let chunk = self.chunks.partition_point(starts_before).checked_sub(1)?;
        let chunk = self.chunks.get(chunk)?;
        let at = chunk.binary_search_by_key(&seq, |head| head.seq).ok()?;
        chunk.get(at)
    }
}
