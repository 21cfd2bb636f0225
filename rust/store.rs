// SPDX-License-Identifier: GPL-2.0

//! The store: serialized records in chunks, chunks in segments.
//!
//! One writer appends, under IMA's extend mutex. Any number of readers look chunks up under a short
//! lock, take references, and copy with no lock held. What is freed goes away with its last
//! reference.

mod chunk;
mod index;
pub(crate) mod known;
mod reader;
mod segment;
mod span;
#[cfg(CONFIG_KUNIT = "y")]
mod tests;
mod writer;

pub(crate) use self::{
    reader::{
        Encoding,
        Reader,
        View, //
    },
    segment::Segment,
    span::Span,
    writer::Writer, //
};

use self::{
    chunk::{
        Chunk,
        Memory, //
    },
    reader::ResolvedView, //
};
use crate::format::ByteOrder;
use crate::memory::KVec;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
};

/// What readers see of the list.
#[pin_data]
pub(crate) struct Store {
    /// Live segments, oldest first, the active one last. Never empty.
    #[pin]
    segments: Mutex<KVec<Arc<Segment>>>,
    /// Memory for the next chunk, allocated outside of the append path.
    #[pin]
    spare: Mutex<Option<Memory>>,
    /// Bytes left in the chunk that is being filled; a hint for [`Store::prepare`].
    room: Atomic<usize>,
    /// Bytes that the chunk behind it will have; a hint too.
    next_size: Atomic<usize>,
}

/// Bytes of memory that all chunks occupy, freed ones that somebody still reads included.
pub(crate) fn allocated_bytes() -> u64 {
    chunk::allocated()
}

/// Bytes of records in all chunks, freed ones that somebody still reads included.
pub(crate) fn committed_bytes() -> u64 {
    chunk::committed()
}

/// Where in the list a view's byte was found.
enum Lookup {
    Chunk(Arc<Chunk>),
    End,
    Freed,
}

impl Store {
    /// A store whose only segment is `first`.
    pub(crate) fn new(first: Arc<Segment>) -> Result<impl PinInit<Self>> {
        let mut segments = KVec::with_capacity(8, GFP_KERNEL)?;
        segments.push(first, GFP_KERNEL)?;
        Ok(pin_init!(Self {
            segments <- new_mutex!(segments),
            spare <- new_mutex!(None),
            room: Atomic::new(0),
            next_size: Atomic::new(chunk::MIN_SIZE),
        }))
    }

    /// Allocates the next chunk's memory if a record of `size` bytes no longer fits.
    ///
    /// Best effort: the append path allocates for itself when this failed.
    pub(crate) fn prepare(&self, size: usize) {
        if self.room.load(Relaxed) >= size || self.spare.lock().is_some() {
            return;
        }
        if let Ok(memory) = Memory::new(self.next_size.load(Relaxed).max(size)) {
            let surplus = self.spare.lock().replace(memory);
            drop(surplus);
        }
    }

    /// The live segments, oldest first.
    pub(crate) fn segments(&self) -> Result<KVec<Arc<Segment>>> {
        // The copy is allocated without the lock, as the writer takes it.
        let mut copy = KVec::new();
        loop {
            let segments = self.segments.lock();
            if segments.len() <= copy.capacity() {
                for segment in segments.iter() {
                    if copy.push_within_capacity(segment.clone()).is_err() {
                        return Err(ENOMEM);
                    }
                }
                return Ok(copy);
            }
            let needed = segments.len();
            drop(segments);
            copy.reserve(needed, GFP_KERNEL)?;
        }
    }

    /// Number of live segments.
    pub(crate) fn count(&self) -> usize {
        self.segments.lock().len()
    }

    /// A live segment: ESTALE if it was freed, ENOENT if it does not exist yet.
    pub(crate) fn segment(&self, seq: u64) -> Result<Arc<Segment>> {
        let segments = self.segments.lock();
        let first = segments.first().ok_or(ENOENT)?.seq();
        let index = seq.checked_sub(first).ok_or(ESTALE)?;
        usize::try_from(index)
            .ok()
            .and_then(|index| segments.get(index))
            .cloned()
            .ok_or(ENOENT)
    }

    /// Number of the oldest live segment.
    pub(crate) fn first(&self) -> u64 {
        self.segments.lock().first().map_or(0, |first| first.seq())
    }

    /// Gives the bytes from record `index` on, counted since cold boot, to `look`. `None` if it is
    /// not live.
    fn with_record<R>(
        &self,
        index: u64,
        order: ByteOrder,
        look: impl FnOnce(&[u8]) -> R,
    ) -> Option<R> {
        let segment = {
            let segments = self.segments.lock();
            let after = segments.partition_point(|s| s.start().records <= index);
            segments.get(after.checked_sub(1)?)?.clone()
        };
        segment.with_record(index, order, look)
    }

    /// Where the live list starts.
    pub(crate) fn start(&self) -> Span {
        let segments = self.segments.lock();
        segments.first().map(|s| s.start()).unwrap_or_default()
    }

    /// Where the list ends: records and bytes since cold boot.
    pub(crate) fn end(&self) -> Span {
        let segments = self.segments.lock();
        segments.last().map(|s| s.end()).unwrap_or_default()
    }

    /// Size of the live list.
    pub(crate) fn live(&self) -> Span {
        let segments = self.segments.lock();
        match (segments.first(), segments.last()) {
            (Some(first), Some(last)) => last.end() - first.start(),
            _ => Span::default(),
        }
    }

    /// Starts with `first` instead, while nothing is in the list. Returns what it started with.
    pub(crate) fn restart(&self, first: Arc<Segment>) -> Option<Arc<Segment>> {
        let mut segments = self.segments.lock();
        let only = segments.first_mut()?;
        Some(core::mem::replace(only, first))
    }

    /// Makes room so that [`Store::seal`] cannot fail.
    pub(crate) fn reserve_segment(&self) -> Result {
        let needed = {
            let segments = self.segments.lock();
            if segments.len() < segments.capacity() {
                return Ok(());
            }
            segments.len().saturating_mul(2)
        };
        // Only the writer adds segments, so that the length cannot have grown meanwhile.
        let mut grown = KVec::with_capacity(needed, GFP_KERNEL)?;
        let mut segments = self.segments.lock();
        for segment in segments.drain_all() {
            let _ = grown.push_within_capacity(segment);
        }
        let old = core::mem::replace(&mut *segments, grown);
        drop(segments);
        drop(old);
        Ok(())
    }

    /// Makes `next` the active segment. Room was made with [`Store::reserve_segment`].
    fn seal(&self, next: Arc<Segment>) {
        let mut segments = self.segments.lock();
        if let Some(active) = segments.last() {
            active.seal();
        }
        let _ = segments.push_within_capacity(next);
    }

    /// Takes the segments before `seq` out of the list.
    ///
    /// `freed` has the capacity for them: the caller looked under the mutex that it still holds, so
    /// that only fewer can be there. The caller drops them when it holds no lock.
    pub(crate) fn remove_before(&self, seq: u64, freed: &mut KVec<Arc<Segment>>) {
        self.segments.lock().retain(|segment| {
            let keep = segment.seq() >= seq;
            keep || freed.push_within_capacity(segment.clone()).is_err()
        });
    }

    /// The chunk that holds byte `target` of the view, counted since cold boot.
    fn lookup(&self, view: &ResolvedView, target: u64) -> Lookup {
        let segments = self.segments.lock();
        let after = segments.partition_point(|s| view.position(&s.start()) <= target);
        let Some(segment) = after.checked_sub(1).and_then(|index| segments.get(index)) else {
            return Lookup::Freed;
        };
        match segment.lookup(view, target) {
            Some(chunk) => Lookup::Chunk(chunk),
            None => Lookup::End,
        }
    }
}
