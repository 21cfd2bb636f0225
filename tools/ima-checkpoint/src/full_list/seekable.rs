// SPDX-License-Identifier: GPL-2.0

//! The whole log, read at any offset of any view while it grows and is truncated.
//!
//! A segment is cut into blocks of whole records when it is first read. Where a block starts in
//! one view tells where it starts in every other.

use super::{
    cache::Cache,
    detect_order, export,
    parts::{self, Part},
    retried, Error,
};
use crate::{
    archive::{Contents, Log},
    error::{self as failure, Result},
    kernel::{Format, Kernel, Segment},
    records::{Position, MAX_RECORD},
    view::{Span, View, SHA1_SIZE},
};
use ima_checkpoint_format::{record::Record, ByteOrder, Error as FormatError};
use std::{fs::File, os::unix::fs::FileExt};

/// Bytes of a block at least, in the sha1 view; of the last one at most.
const BLOCK: u64 = 64 << 10;

/// The log of the running kernel from its first record on.
pub struct Seekable {
    /// Looks for the log in the archive, which may come into being later.
    find: Box<dyn Fn() -> Result<Option<Log>> + Send>,
    log: Option<Log>,
    kernel: Kernel,
    order: ByteOrder,
    parts: Vec<Indexed>,
    cache: Cache<Contents>,
    /// A segment of the kernel, open as long as one read takes: it stays in memory until then.
    exported: Option<(u64, File)>,
}

/// A segment, and where its blocks start, counted from its own start.
#[derive(Debug)]
struct Indexed {
    part: Part,
    // INVARIANT: not empty, ascending, all at the start of a record and none after `scanned`.
    blocks: Vec<Span>,
    scanned: Span,
}

impl Indexed {
    fn new(part: Part) -> Self {
        let blocks = vec![Span::default()];
        let scanned = Span::default();
        Self {
            part,
            blocks,
            scanned,
        }
    }

    /// Start and end of the block that has byte `offset` of the view, which was scanned.
    fn block(&self, view: View, offset: u64) -> (Span, Span) {
        let after = self
            .blocks
            .partition_point(|start| view.length(*start) <= offset);
        let start = self.blocks.get(after.saturating_sub(1));
        let end = self.blocks.get(after).copied().unwrap_or(self.scanned);
        (start.copied().unwrap_or_default(), end)
    }

    /// Counts the whole records in these bytes, which follow those that were scanned. Gives how
    /// many bytes they are.
    fn scan(&mut self, bytes: &[u8], order: ByteOrder) -> Result<u64, FormatError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (record, length) = match Record::parse(rest, SHA1_SIZE, order) {
                Err(FormatError::Truncated) => break,
                parsed => parsed?,
            };
            let block = self.blocks.last().map_or(0, |start| start.bytes);
            if self.scanned.bytes - block >= BLOCK {
                self.blocks.push(self.scanned);
            }
            self.scanned = self.scanned + Span::of(&record, length);
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok((bytes.len() - rest.len()) as u64)
    }

    fn malformed(&self, error: impl std::fmt::Display) -> Error {
        let at = Position {
            record: self.part.first + self.scanned.records,
            offset: self.part.offset + self.scanned.bytes,
        };
        Error::Malformed {
            seq: self.part.seq,
            at,
            why: error.to_string(),
        }
    }
}

impl Seekable {
    /// The log of the kernel, with what the archive has of it; `find` looks for that.
    ///
    /// # Errors
    ///
    /// As [`FullList::assemble`](super::FullList::assemble).
    pub fn new(
        kernel: Kernel,
        find: impl Fn() -> Result<Option<Log>> + Send + 'static,
    ) -> Result<Self> {
        let mut new = Self {
            find: Box::new(find),
            log: None,
            kernel,
            order: ByteOrder::NATIVE,
            parts: Vec::new(),
            cache: Cache::new(),
            exported: None,
        };
        new.assemble()?;
        new.order = new.byte_order()?;
        Ok(new)
    }

    /// Records by now.
    ///
    /// # Errors
    ///
    /// As [`Seekable::read`].
    pub fn records(&mut self) -> Result<u64> {
        self.refresh()?;
        Ok(self.parts.last().map_or(0, |last| last.part.end()))
    }

    /// Bytes of a view by now.
    ///
    /// # Errors
    ///
    /// As [`Seekable::read`].
    pub fn size(&mut self, view: View) -> Result<u64> {
        self.retry(|whole| {
            whole.refresh()?;
            (0..whole.parts.len()).try_fold(0_u64, |size, index| {
                Ok(size.saturating_add(whole.length(index, view)?))
            })
        })
    }

    /// Bytes of a view from `offset` on: `size`, or as many as there are by now.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if they are in neither archive nor kernel, or what kept them from being
    /// read.
    pub fn read(&mut self, view: View, offset: u64, size: usize) -> Result<Vec<u8>> {
        self.retry(|whole| whole.try_read(view, offset, size))
    }

    /// Reads again what failed, as it may have been freed, or moved in the archive.
    fn retry<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T>) -> Result<T> {
        let result = read(self).or_else(|_| {
            self.exported = None;
            self.cache = Cache::new();
            // the archive may have been moved away, and another put in its place
            self.log = None;
            self.assemble()?;
            read(self)
        });
        self.exported = None;
        result
    }

    fn try_read(&mut self, view: View, offset: u64, size: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut refreshed = false;
        while out.len() < size {
            let at = offset.saturating_add(out.len() as u64);
            match self.find(view, at)? {
                Some((index, inside)) => {
                    let room = size - out.len();
                    self.copy(view, index, inside, room, &mut out)?;
                }
                None if refreshed => break,
                None => {
                    self.refresh()?;
                    refreshed = true;
                }
            }
        }
        Ok(out)
    }

    /// The segment that has this byte of a view, and where in it.
    fn find(&mut self, view: View, offset: u64) -> Result<Option<(usize, u64)>> {
        let mut inside = offset;
        for index in 0..self.parts.len() {
            let length = self.length(index, view)?;
            if inside < length {
                return Ok(Some((index, inside)));
            }
            inside -= length;
        }
        Ok(None)
    }

    /// Bytes of a segment in a view.
    fn length(&mut self, index: usize, view: View) -> Result<u64> {
        let Some(Indexed { part, scanned, .. }) = self.parts.get(index) else {
            return Ok(0);
        };
        let mut span = Span {
            records: part.records,
            bytes: part.bytes,
            ascii: scanned.ascii,
        };
        if view.format == Format::Ascii && *scanned != span {
            match part.archived() {
                Some(_) => span.ascii = part.ascii_bytes,
                None => span = self.scan(index, |_| false)?,
            }
        }
        Ok(view.length(span))
    }

    /// Appends what a view has from byte `inside` of a segment to the end of its block.
    fn copy(
        &mut self,
        view: View,
        index: usize,
        inside: u64,
        room: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.scan(index, |scanned| view.length(scanned) > inside)?;
        let Some(indexed) = self.parts.get(index) else {
            return Ok(());
        };
        let (start, end) = indexed.block(view, inside);
        let raw = self.raw(index, start.bytes, end.bytes)?;
        let mut shown = Vec::new();
        let mut rest = raw.as_slice();
        while !rest.is_empty() {
            let parsed = Record::parse(rest, SHA1_SIZE, self.order);
            let (record, length) = parsed.map_err(|error| self.malformed(index, error))?;
            view.render(&record, rest.get(..length).unwrap_or_default(), &mut shown);
            rest = rest.get(length..).unwrap_or_default();
        }
        let skip = inside - view.length(start);
        let shown = shown.get(skip as usize..).unwrap_or_default();
        let shown = shown.get(..room).unwrap_or(shown);
        if shown.is_empty() {
            return Err(self.malformed(index, "the index does not fit the records"));
        }
        out.extend_from_slice(shown);
        Ok(())
    }

    /// Cuts a segment into blocks until `enough` was scanned, or all. Gives what was scanned.
    fn scan(&mut self, index: usize, enough: impl Fn(Span) -> bool) -> Result<Span> {
        let mut size = BLOCK;
        loop {
            let Some(Indexed { part, scanned, .. }) = self.parts.get(index) else {
                return Ok(Span::default());
            };
            let (scanned, bytes) = (*scanned, part.bytes);
            if scanned.bytes == bytes {
                return self.scanned(index);
            }
            if enough(scanned) {
                return Ok(scanned);
            }
            let to = bytes.min(scanned.bytes + size);
            let raw = self.raw(index, scanned.bytes, to)?;
            let order = self.order;
            let result = match self.parts.get_mut(index) {
                Some(indexed) => indexed.scan(&raw, order),
                None => Ok(0),
            };
            match result {
                Ok(0) if to == bytes => {
                    return Err(self.malformed(index, "the segment ends in the middle of it"))
                }
                Ok(0) if size > MAX_RECORD as u64 => {
                    return Err(self.malformed(index, FormatError::TooLong))
                }
                Ok(0) => size *= 2,
                Ok(_) => size = BLOCK,
                Err(error) => return Err(self.malformed(index, error)),
            }
        }
    }

    /// What was scanned of a segment that was scanned to its end: it must be what was told.
    fn scanned(&self, index: usize) -> Result<Span> {
        let Some(Indexed { part, scanned, .. }) = self.parts.get(index) else {
            return Ok(Span::default());
        };
        let ascii = part.archived().map_or(scanned.ascii, |_| part.ascii_bytes);
        if (part.records, ascii) == (scanned.records, scanned.ascii) {
            return Ok(*scanned);
        }
        Err(Error::Told {
            seq: part.seq,
            has: (scanned.records, scanned.ascii),
            told: (part.records, ascii),
        }
        .into())
    }

    fn malformed(&self, index: usize, error: impl std::fmt::Display) -> failure::Error {
        match self.parts.get(index) {
            Some(indexed) => indexed.malformed(error).into(),
            None => Error::Empty.into(),
        }
    }

    /// Bytes `from` to `to` of a segment in the sha1 view.
    fn raw(&mut self, index: usize, from: u64, to: u64) -> Result<Vec<u8>> {
        let mut raw = Vec::new();
        let Some(Indexed { part, .. }) = self.parts.get(index) else {
            return Ok(raw);
        };
        match (part.archived(), &self.log) {
            (Some(name), Some(log)) => {
                let open = || Ok(part.open(log, name)?.1);
                self.cache.read(part, from..to, open, &mut raw)?;
            }
            _ => {
                if self.exported.as_ref().map(|(seq, _)| *seq) != Some(part.seq) {
                    self.exported = Some((part.seq, export(&self.kernel, part.seq)?));
                }
                raw.resize((to - from) as usize, 0);
                if let Some((seq, file)) = &self.exported {
                    let read = file.read_exact_at(&mut raw, from);
                    read.map_err(|error| {
                        failure::Error::io("read", format!("segment {seq} of the kernel"), error)
                    })?;
                }
            }
        }
        Ok(raw)
    }

    /// Looks what the kernel has by now.
    fn refresh(&mut self) -> Result<()> {
        let live = self.kernel.segments()?;
        if !live.iter().all(|segment| self.follow(segment)) {
            self.assemble()?;
        }
        Ok(())
    }

    /// Takes over what became of a segment; false if it does not follow what is known.
    fn follow(&mut self, segment: &Segment) -> bool {
        let Some(Indexed { part: last, .. }) = self.parts.last() else {
            return false;
        };
        if segment.seq < last.seq {
            return true;
        }
        let next = segment.seq != last.seq;
        let offset = if next { last.end_offset() } else { last.offset };
        let part = Part::from_kernel(segment, offset);
        if next {
            let follows = last.sealed && segment.seq == last.seq + 1 && segment.first == last.end();
            if follows {
                self.parts.push(Indexed::new(part));
            }
            return follows;
        }
        let continues = part.continues(last);
        if let Some(last) = self
            .parts
            .last_mut()
            .filter(|last| continues && last.part.archived().is_none())
        {
            last.part = part;
        }
        continues
    }

    /// Lists archive and kernel again. What is known of the segments stays.
    fn assemble(&mut self) -> Result<()> {
        if self.log.is_none() {
            self.log = (self.find)()?;
        }
        let listed = retried(|| parts::list(self.log.as_ref(), Some(&self.kernel), 0))?;
        let mut known = std::mem::take(&mut self.parts).into_iter();
        for part in listed {
            let mut indexed = Indexed::new(part);
            if let Some(earlier) = known
                .next()
                .filter(|earlier| indexed.part.continues(&earlier.part))
            {
                (indexed.blocks, indexed.scanned) = (earlier.blocks, earlier.scanned);
            }
            self.parts.push(indexed);
        }
        Ok(())
    }

    fn byte_order(&mut self) -> Result<ByteOrder> {
        let Some(Indexed { part, .. }) = self.parts.first() else {
            return Ok(ByteOrder::NATIVE);
        };
        match (part.archived(), &self.log) {
            (Some(name), Some(log)) => Ok(part.open(log, name)?.0.byte_order()),
            _ => {
                let sample = part.bytes.min(crate::detect::SAMPLE as u64);
                let order = detect_order(self.raw(0, 0, sample)?.as_slice());
                self.exported = None;
                order
            }
        }
    }
}
