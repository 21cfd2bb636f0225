// SPDX-License-Identifier: GPL-2.0

//! The store: serialized records in chunks, chunks in segments.
//!
//! One writer appends, under IMA's extend mutex. Any number of readers look chunks up under a short
//! lock, take references, and copy with no lock held. What is freed goes away with its last
//! reference.

mod chunk;
mod index;
pub(crate) mod known;
mod queue;
mod reader;
mod segment;
mod span;
mod table;
#[cfg(CONFIG_KUNIT = "y")]
mod tests;
mod writer;

pub(crate) use self::{
    reader::{
        Encoding,
        Output,
        Reader,
        View, //
    },
    segment::Segment,
    span::Span,
    table::{
        Live,
        Seal,
        SealedSegment, //
    },
    writer::Writer, //
};

use self::{
    chunk::{
        Chunk,
        Memory, //
    },
    queue::Queue,
    reader::ResolvedView,
    table::Table, //
};
use crate::format::ByteOrder;
use crate::memory::KVVec;
use core::{
    iter,
    mem, //
};
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
    #[pin]
    table: Mutex<Table>,
    /// Memory for the next chunk, allocated outside of the append path.
    #[pin]
    spare: Mutex<Option<Memory>>,
    /// Bytes left in the chunk that is being filled; a hint for [`Store::prepare`].
    room: Atomic<usize>,
    /// Bytes that the next chunk will have; a hint too.
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
    /// A store whose only segment is `first`, which is empty.
    pub(crate) fn new(first: Arc<Segment>) -> impl PinInit<Self> {
        pin_init!(Self {
            table <- new_mutex!(Table::new(first)),
            spare <- new_mutex!(None),
            room: Atomic::new(0),
            next_size: Atomic::new(chunk::MIN_SIZE),
        })
    }

    /// Allocates the next chunk's memory if a record of `size` bytes no longer fits.
    ///
    /// Memory that waits already is kept if it is right for this record, and else replaced: it may
    /// be for a record that was never appended, a duplicate say. Best effort: the append path
    /// allocates for itself when this failed.
    pub(crate) fn prepare(&self, size: usize) {
        if self.room.load(Relaxed) >= size {
            return;
        }
        let usual = self.next_size.load(Relaxed);
        let suits = |spare: &Memory| spare.suits(size, usual);
        if self.spare.lock().as_ref().is_some_and(suits) {
            return;
        }
        if let Ok(memory) = Memory::new(usual.max(size)) {
            let replaced = self.spare.lock().replace(memory);
            drop(replaced);
        }
    }

    /// The live segments as they were at one moment, oldest first, the active one last. ENOMEM.
    pub(crate) fn segments(&self) -> Result<KVVec<Live>> {
        // The copy is allocated without the lock, as the writer takes it.
        let mut copy = KVVec::new();
        loop {
            let table = self.table.lock();
            let needed = table.len();
            if needed <= copy.capacity() {
                for live in table.live_from(0) {
                    copy.push_within_capacity(live).map_err(|_| ENOMEM)?;
                }
                return Ok(copy);
            }
            drop(table);
            copy.reserve(needed, GFP_KERNEL)?;
        }
    }

    /// The live segments from number `from` on, oldest first, each as it is when its turn comes.
    ///
    /// Allocates nothing and holds no lock in between: what was freed meanwhile is left out.
    pub(crate) fn walk(&self, from: u64) -> impl Iterator<Item = Live> + '_ {
        let mut from = Some(from);
        iter::from_fn(move || {
            let live = self.table.lock().live_from(from?).next()?;
            from = live.seq().checked_add(1);
            Some(live)
        })
    }

    /// Number of live segments.
    pub(crate) fn count(&self) -> usize {
        self.table.lock().len()
    }

    /// A live segment: ESTALE if it was freed, ENOENT if it does not exist yet.
    pub(crate) fn segment(&self, seq: u64) -> Result<Arc<Segment>> {
        self.table.lock().segment(seq).cloned()
    }

    /// The segment that grows.
    pub(crate) fn active(&self) -> Arc<Segment> {
        self.table.lock().active().clone()
    }

    /// Number of the oldest live segment.
    pub(crate) fn first(&self) -> u64 {
        self.table.lock().first().seq()
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
            let table = self.table.lock();
            table.last_where(|s| s.start().records <= index)?.clone()
        };
        segment.with_record(index, order, look)
    }

    /// Where the live list starts.
    pub(crate) fn start(&self) -> Span {
        self.table.lock().first().start()
    }

    /// Where the list ends: records and bytes since cold boot.
    pub(crate) fn end(&self) -> Span {
        self.table.lock().end()
    }

    /// Size of the live list.
    pub(crate) fn live(&self) -> Span {
        let table = self.table.lock();
        table.end() - table.first().start()
    }

    /// Starts with `first` instead, which is empty, before anything is in the list.
    pub(crate) fn restart(&self, first: Arc<Segment>) {
        let old = mem::replace(&mut *self.table.lock(), Table::new(first));
        drop(old);
    }

    /// Makes room for another segment, so that [`Store::append`] cannot fail.
    fn reserve(&self) -> Result {
        let needed = {
            let mut table = self.table.lock();
            if table.has_room() {
                return Ok(());
            }
            table.len().saturating_mul(2)
        };
        // Only the writer adds segments, so that the length cannot have grown meanwhile.
        let roomier = Queue::with_capacity(needed)?;
        let old = self.table.lock().move_to(roomier);
        drop(old);
        Ok(())
    }

    /// Shows that the list ends at `end` by now. With a `seal`, for which room was made with
    /// [`Store::reserve`], the active segment is sealed in the same moment.
    fn append(&self, seal: Option<Seal>, end: Span) {
        self.table.lock().append(seal, end);
    }

    /// Takes the segments before `seq` out of the list.
    ///
    /// `freed` has the capacity for them: the caller looked under the mutex that it still holds, so
    /// that only fewer can be there. The caller drops them when it holds no lock.
    pub(crate) fn remove_before(&self, seq: u64, freed: &mut KVVec<SealedSegment>) {
        self.table.lock().remove_before(seq, freed);
    }

    /// The chunk that holds byte `target` of the view, counted since cold boot.
    fn lookup(&self, view: &ResolvedView, target: u64) -> Lookup {
        let table = self.table.lock();
        let Some(segment) = table.last_where(|s| view.position(&s.start()) <= target) else {
            return Lookup::Freed;
        };
        match segment.lookup(view, target) {
            Some(chunk) => Lookup::Chunk(chunk),
            None => Lookup::End,
        }
    }
}
