// SPDX-License-Identifier: GPL-2.0

//! The writer: appends records to the active segment, or as the first of a new one.

use super::{
    chunk::{
        self,
        ChunkWriter,
        Memory, //
    },
    Seal,
    Segment,
    Span,
    Store, //
};
use crate::abstractions::{
    sha256::Sha256, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
};

/// The one writer of a [`Store`]; IMA's extend mutex makes it the only one.
pub(crate) struct Writer {
    active: Arc<Segment>,
    chunk: Option<ChunkWriter>,
    end: Span,
    /// Over the bytes of the active segment.
    sha256: Sha256,
}

impl Writer {
    /// Writes to `active`, which is empty, and the active segment of the store.
    pub(crate) fn new(active: Arc<Segment>) -> Self {
        Self {
            end: active.start(),
            active,
            chunk: None,
            sha256: Sha256::new(),
        }
    }

    /// The segment that grows.
    pub(crate) fn active(&self) -> &Arc<Segment> {
        &self.active
    }

    /// Where the next record goes.
    pub(crate) fn end(&self) -> Span {
        self.end
    }

    /// SHA-256 of the active segment's bytes.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        self.sha256.digest()
    }

    /// Size of the active segment by now.
    pub(crate) fn segment_len(&self) -> Span {
        self.end - self.active.start()
    }

    /// Appends a record of `len` bytes, which `fill` writes; it returns the length of the record in
    /// the ASCII view.
    ///
    /// With a `seal` the active segment is sealed and the record becomes the first of the next one.
    /// ENOMEM, or the error of `fill`: nothing was appended and nothing sealed.
    pub(crate) fn append(
        &mut self,
        store: &Store,
        seal: Option<Seal>,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<u64>,
    ) -> Result {
        let first = seal.is_some();
        if first {
            store.reserve()?;
        }
        let mut fresh = match &self.chunk {
            Some(chunk) if !first && chunk.room() >= len => None,
            _ => Some(self.new_chunk(store, first, len)?),
        };
        let chunk = match &mut fresh {
            Some(fresh) => fresh,
            None => self.chunk.as_mut().ok_or(ENOMEM)?,
        };
        let ascii = fill(chunk.reserve(len).ok_or(ENOMEM)?)?;
        if let Some(fresh) = &fresh {
            let segment = seal.as_ref().map_or(&self.active, |seal| &seal.next);
            segment.add_chunk(fresh.chunk().clone())?;
        }

        // So far nothing has changed for the next record. From here on nothing fails.
        if let Some(seal) = &seal {
            self.active = seal.next.clone();
            self.sha256 = Sha256::new();
        }
        if fresh.is_some() {
            self.chunk = fresh;
        }
        if let Some(chunk) = &mut self.chunk {
            self.sha256.update(chunk.commit(len));
            store.room.store(chunk.room(), Relaxed);
        }
        self.end = self.end.after(len as u64, ascii);
        store.append(seal, self.end);
        store.next_size.store(self.next_size(), Relaxed);
        Ok(())
    }

    /// A chunk for a record of `len` bytes, the first of a segment or not.
    fn new_chunk(&self, store: &Store, first: bool, len: usize) -> Result<ChunkWriter> {
        let usual = if first {
            chunk::MIN_SIZE
        } else {
            self.next_size()
        };
        // The spare one is for a segment that has grown.
        let suits = |spare: &mut Memory| !first && spare.suits(len, usual);
        let spare = store.spare.lock().take_if(suits);
        let memory = match spare {
            Some(memory) => memory,
            None => Memory::new(usual.max(len))?,
        };
        ChunkWriter::new(memory, self.end)
    }

    /// Bytes of the next chunk: a quarter of what the segment has, so that a short one wastes
    /// little.
    fn next_size(&self) -> usize {
        let quarter = usize::try_from(self.segment_len().bytes / 4).unwrap_or(usize::MAX);
        let size = quarter.clamp(chunk::MIN_SIZE, chunk::MAX_SIZE);
        1 << size.ilog2()
    }
}
