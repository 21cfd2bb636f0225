// SPDX-License-Identifier: GPL-2.0

//! Segments: a checkpoint and the records up to the next one.
//!
//! How far one has grown, and whether it is sealed, is in the table of live segments.

use super::{
    chunk::Chunk,
    reader::ResolvedView,
    Span, //
};
use crate::{
    format::ByteOrder,
    memory::{
        KVVec,
        KVec, //
    },
    platform::Digest,
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};

/// A segment of the list.
#[pin_data]
pub(crate) struct Segment {
    seq: u64,
    /// SHA-256 of the checkpoint's buffer; zeros for segment 0.
    digest: [u8; 32],
    start: Span,
    /// What the replay of the default PCR starts from, one per bank; empty while that is unknown.
    #[pin]
    base: Mutex<Arc<KVec<Digest>>>,
    /// Oldest first; no byte of a chunk belongs to another segment.
    #[pin]
    chunks: Mutex<KVVec<Arc<Chunk>>>,
}

impl Segment {
    /// An empty segment.
    pub(crate) fn new(
        seq: u64,
        digest: [u8; 32],
        start: Span,
        base: KVec<Digest>,
    ) -> Result<Arc<Self>> {
        crate::memory::ask()?;
        let base = Arc::new(base, GFP_KERNEL)?;
        Arc::pin_init(
            pin_init!(Self {
                seq,
                digest,
                start,
                base <- new_mutex!(base),
                chunks <- new_mutex!(KVVec::new()),
            }),
            GFP_KERNEL,
        )
    }

    /// Number of the checkpoint that it starts with; 0 if it starts with the first record.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// SHA-256 of the checkpoint's buffer; zeros for segment 0.
    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Where it starts.
    pub(crate) fn start(&self) -> Span {
        self.start
    }

    /// Index of its first record since cold boot.
    pub(crate) fn first_record(&self) -> u64 {
        self.start.records
    }

    /// What the replay of the default PCR starts from, one value per bank; none while that is
    /// unknown.
    pub(super) fn base(&self) -> Arc<KVec<Digest>> {
        self.base.lock().clone()
    }

    /// Sets the base; that of segment 0 is known only once a record is about to be extended.
    pub(crate) fn set_base(&self, base: Arc<KVec<Digest>>) {
        let old = core::mem::replace(&mut *self.base.lock(), base);
        drop(old);
    }

    /// Adds a chunk after the others. The writer is the only one to add chunks.
    pub(super) fn add_chunk(&self, chunk: Arc<Chunk>) -> Result {
        let needed = {
            let mut chunks = self.chunks.lock();
            if chunks.len() < chunks.capacity() {
                return chunks.push_within_capacity(chunk).map_err(|_| ENOMEM);
            }
            chunks.len().saturating_mul(2).max(2)
        };
        // Readers wait for the lock, so that it is not held while allocating.
        let mut grown = KVVec::with_capacity(needed, GFP_KERNEL)?;
        let old = {
            let mut chunks = self.chunks.lock();
            for chunk in chunks.drain_all() {
                let _ = grown.push_within_capacity(chunk);
            }
            let result = grown.push_within_capacity(chunk);
            let old = core::mem::replace(&mut *chunks, grown);
            result.map_err(|_| ENOMEM)?;
            old
        };
        drop(old);
        Ok(())
    }

    /// The last chunk that starts at or before byte `target` of the view.
    pub(super) fn lookup(&self, view: &ResolvedView, target: u64) -> Option<Arc<Chunk>> {
        let chunks = self.chunks.lock();
        let after = chunks.partition_point(|c| view.position(&c.start()) <= target);
        chunks.get(after.checked_sub(1)?).cloned()
    }

    /// The chunk that holds record `index`, counted since cold boot.
    pub(super) fn chunk_of(&self, index: u64) -> Option<Arc<Chunk>> {
        let chunks = self.chunks.lock();
        let after = chunks.partition_point(|c| c.start().records <= index);
        chunks.get(after.checked_sub(1)?).cloned()
    }

    /// Gives the bytes from record `index` on to `look`. `None` if it is not in this segment.
    pub(super) fn with_record<R>(
        &self,
        index: u64,
        order: ByteOrder,
        look: impl FnOnce(&[u8]) -> R,
    ) -> Option<R> {
        let chunk = self.chunk_of(index)?;
        chunk.following(index, order).map(look)
    }

    /// Calls `visit` with the records of each chunk, oldest first.
    pub(crate) fn for_each_chunk(&self, mut visit: impl FnMut(&[u8]) -> Result) -> Result {
        let chunks = self.chunks.lock();
        for chunk in chunks.iter() {
            visit(chunk.records())?;
        }
        Ok(())
    }
}
