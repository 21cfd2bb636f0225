// SPDX-License-Identifier: GPL-2.0

//! Chunks: memory that one writer fills while readers copy what is committed.
//!
//! This is the one place that publishes memory from the writer to readers.

use super::Span;
use crate::{
    format::{
        record::Record,
        ByteOrder, //
    },
    memory::KVVec, //
    platform::SHA1_SIZE,
};
use core::slice;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc, //
    },
};

/// Bytes of a segment's first chunk. A segment of few records costs no more than that.
pub(super) const MIN_SIZE: usize = 1024;
/// Bytes of a chunk of a segment that has grown. Larger records get a chunk of their own.
pub(super) const MAX_SIZE: usize = 65536;

/// Bytes that chunks occupy, freed ones that are still referenced included.
static ALLOCATED: Atomic<u64> = Atomic::new(0);
/// Bytes of records in them.
static COMMITTED: Atomic<u64> = Atomic::new(0);

/// Bytes of memory that all chunks occupy.
pub(crate) fn allocated() -> u64 {
    ALLOCATED.load(Relaxed)
}

/// Bytes of records that all chunks hold.
pub(crate) fn committed() -> u64 {
    COMMITTED.load(Relaxed)
}

/// Zeroed memory for a chunk.
///
/// # Invariants
///
/// `data` and `size` are pointer and capacity of a `KVVec<u8>`, all of whose bytes are initialised.
pub(super) struct Memory {
    data: *mut u8,
    size: usize,
}

// SAFETY: It owns its memory, which is not tied to a thread.
unsafe impl Send for Memory {}

impl Memory {
    pub(super) fn new(size: usize) -> Result<Self> {
        let vec = KVVec::<u8>::zeroed(size, GFP_KERNEL)?;
        let (data, _, size) = vec.into_raw_parts();
        ALLOCATED.fetch_add(size as u64, Relaxed);
        // INVARIANT: The vector was zeroed, and is forgotten.
        Ok(Self { data, size })
    }

    /// Bytes.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Is it right for a chunk that starts with a record of `len` bytes, and has `usual` bytes
    /// otherwise? In a chunk of more than twice that too much would lie idle.
    pub(super) fn suits(&self, len: usize, usual: usize) -> bool {
        let most = usual.max(len).saturating_mul(2);
        (len..=most).contains(&self.size)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, these are the parts of a vector; bytes need no drop, so
        // that its length does not matter.
        drop(unsafe { KVVec::<u8>::from_raw_parts(self.data, 0, self.size) });
        ALLOCATED.fetch_sub(self.size as u64, Relaxed);
    }
}

/// Whole records, one after the other, as the binary sha1 view shows them.
///
/// # Invariants
///
/// - `committed` is at most `memory.size`, and only grows.
/// - The bytes below `committed` never change.
/// - The bytes from `committed` on are accessed through the one [`ChunkWriter`] only.
pub(crate) struct Chunk {
    start: Span,
    memory: Memory,
    committed: Atomic<usize>,
}

// SAFETY: By the type invariants, shared access reads bytes that do not change any more.
unsafe impl Sync for Chunk {}
// SAFETY: It owns its memory, which is not tied to a thread.
unsafe impl Send for Chunk {}

impl Chunk {
    /// Position of its first record.
    pub(super) fn start(&self) -> Span {
        self.start
    }

    /// The records in it by now.
    pub(super) fn records(&self) -> &[u8] {
        let committed = self.committed.load(Acquire);
        // SAFETY: By the type invariants, these bytes are initialised and never change again; the
        // acquire load orders their reads after the writes that preceded the release store.
        unsafe { slice::from_raw_parts(self.memory.data, committed) }
    }

    /// The bytes from record `index` on, counted since cold boot. `None` if it is not in here.
    pub(super) fn following(&self, index: u64, order: ByteOrder) -> Option<&[u8]> {
        let mut rest = self.records();
        for _ in 0..index.checked_sub(self.start.records)? {
            let len = Record::skip(rest, SHA1_SIZE, order).ok()?;
            rest = rest.get(len..)?;
        }
        (!rest.is_empty()).then_some(rest)
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        COMMITTED.fetch_sub(self.committed.load(Relaxed) as u64, Relaxed);
    }
}

/// The writer's end of a chunk.
///
/// # Invariants
///
/// There is one for each chunk at most.
pub(super) struct ChunkWriter(Arc<Chunk>);

impl ChunkWriter {
    /// An empty chunk at `start`.
    pub(super) fn new(memory: Memory, start: Span) -> Result<Self> {
        crate::memory::ask()?;
        let chunk = Arc::new(
            // INVARIANT: Nothing is committed, and nobody else has the chunk.
            Chunk {
                start,
                memory,
                committed: Atomic::new(0),
            },
            GFP_KERNEL,
        )?;
        // INVARIANT: The chunk is new.
        Ok(Self(chunk))
    }

    /// What readers use.
    pub(super) fn chunk(&self) -> &Arc<Chunk> {
        &self.0
    }

    /// Bytes left.
    pub(super) fn room(&self) -> usize {
        self.0.memory.size - self.0.committed.load(Relaxed)
    }

    /// The next `len` bytes, to be filled; readers do not see them yet.
    pub(super) fn reserve(&mut self, len: usize) -> Option<&mut [u8]> {
        if len > self.room() {
            return None;
        }
        let committed = self.0.committed.load(Relaxed);
        // SAFETY: The bytes lie within the memory and are initialised. By the invariants of `Chunk`
        // they are accessed through the only writer only, which is borrowed mutably.
        Some(unsafe { slice::from_raw_parts_mut(self.0.memory.data.add(committed), len) })
    }

    /// Shows `len` more bytes to readers, and returns these.
    pub(super) fn commit(&mut self, len: usize) -> &[u8] {
        let len = len.min(self.room());
        let committed = self.0.committed.load(Relaxed);
        COMMITTED.fetch_add(len as u64, Relaxed);
        // INVARIANT: It grows, to the memory's size at most. The release store orders the writes of
        // these bytes before it, and `reserve` hands out bytes after them only.
        self.0.committed.store(committed + len, Release);
        self.0.records().get(committed..).unwrap_or_default()
    }
}
