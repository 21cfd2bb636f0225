// SPDX-License-Identifier: GPL-2.0

//! Readers: a bank's view of the live list or of one segment, copied to user memory.

use super::{
    chunk::Chunk,
    Lookup,
    Segment,
    Span,
    Store, //
};
use crate::{
    format::{
        ascii,
        record::Record,
        ByteOrder, //
    },
    memory::KVVec, //
    platform::{
        Bank,
        Platform,
        SHA1_SIZE, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc,
    uaccess::UserSliceWriter, //
};

/// How a view shows records.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Binary,
    Ascii,
}

/// The list as one of IMA's files shows it.
#[derive(Clone, Copy)]
pub(crate) struct View {
    /// Number of the bank whose template digests are shown.
    pub(crate) bank: usize,
    pub(crate) encoding: Encoding,
}

/// A view, and what it takes to turn a [`Span`] into an offset of it.
#[derive(Clone, Copy)]
pub(super) struct ResolvedView {
    view: View,
    /// Bytes that a record has more than in the sha1 view, modulo 2^64.
    surplus: u64,
}

impl ResolvedView {
    pub(super) fn new(view: View, digest_size: usize) -> Self {
        let surplus = (digest_size as u64).wrapping_sub(SHA1_SIZE as u64);
        Self {
            view,
            surplus: match view.encoding {
                Encoding::Binary => surplus,
                Encoding::Ascii => surplus.wrapping_mul(2),
            },
        }
    }

    /// Offset of `span` in this view.
    pub(super) fn position(&self, span: &Span) -> u64 {
        let base = match self.view.encoding {
            Encoding::Binary => span.bytes,
            Encoding::Ascii => span.ascii,
        };
        base.wrapping_add(span.records.wrapping_mul(self.surplus))
    }
}

/// What a view is copied to.
pub(crate) trait Output {
    /// Bytes that it still takes.
    fn room(&self) -> usize;

    /// Takes all of `bytes`, which are at most [`Output::room`]. EFAULT.
    fn put(&mut self, bytes: &[u8]) -> Result;
}

impl Output for UserSliceWriter {
    fn room(&self) -> usize {
        self.len()
    }

    fn put(&mut self, bytes: &[u8]) -> Result {
        self.write_slice(bytes)
    }
}

enum Source<'a> {
    /// From what was first at the start, to whatever is there at each read.
    Live(&'a Store),
    /// One segment, which stays as long as the reader.
    Pinned(Arc<Segment>),
}

/// A record of a chunk, or the chunk's end. The one where a read ended is kept: the next read need
/// not walk through the chunk again.
#[derive(Clone, Copy)]
struct Cursor {
    /// Start of the chunk.
    chunk: Span,
    /// Offset in the chunk of the record at `at`.
    offset: usize,
    /// Counts only what the view's offsets are made of.
    at: Span,
}

impl Cursor {
    /// The bytes from the record on; `None` at the end of the chunk, whose bytes are `records`.
    fn rest<'c>(&self, records: &'c [u8]) -> Option<&'c [u8]> {
        records.get(self.offset..).filter(|rest| !rest.is_empty())
    }
}

/// Copies a view to user memory; one per open file, which keeps the position.
pub(crate) struct Reader<'a> {
    platform: &'a Platform,
    bank: &'a Bank,
    source: Source<'a>,
    view: ResolvedView,
    /// Position in the list of the file's byte 0.
    origin: Span,
    cursor: Option<Cursor>,
    /// A record as the view shows it.
    scratch: KVVec<u8>,
}

impl<'a> Reader<'a> {
    /// Reads the live list, from what is first now. EINVAL if there is no such bank.
    pub(crate) fn live(platform: &'a Platform, store: &'a Store, view: View) -> Result<Self> {
        Self::new(platform, view, store.start(), Source::Live(store))
    }

    /// Reads `segment`, and keeps it even if it is freed. EINVAL if there is no such bank.
    pub(crate) fn segment(
        platform: &'a Platform,
        segment: Arc<Segment>,
        view: View,
    ) -> Result<Self> {
        Self::new(platform, view, segment.start(), Source::Pinned(segment))
    }

    fn new(platform: &'a Platform, view: View, origin: Span, source: Source<'a>) -> Result<Self> {
        let bank = platform.banks().get(view.bank).ok_or(EINVAL)?;
        Ok(Self {
            platform,
            bank,
            source,
            view: ResolvedView::new(view, bank.digest_size()),
            origin,
            cursor: None,
            scratch: KVVec::new(),
        })
    }

    /// Copies from byte `position` of the file to `out`.
    ///
    /// Returns the number of bytes, 0 at the end. Copies whole records if at least one fits.
    /// ESTALE: these bytes were freed. EFAULT, ENOMEM: nothing was copied.
    pub(crate) fn read(&mut self, position: u64, out: &mut impl Output) -> Result<usize> {
        let origin = self.view.position(&self.origin);
        let target = origin.checked_add(position).ok_or(EINVAL)?;
        let mut copied = 0usize;
        while out.room() > 0 {
            let target = target.wrapping_add(copied as u64);
            let result = match self.lookup(target) {
                Lookup::End => break,
                Lookup::Freed => Err(ESTALE),
                Lookup::Chunk(chunk) => self.copy(&chunk, target, copied > 0, out),
            };
            match result {
                Ok(0) => break,
                Ok(count) => copied = copied.saturating_add(count),
                Err(_) if copied > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(copied)
    }

    fn lookup(&self, target: u64) -> Lookup {
        match &self.source {
            Source::Live(store) => store.lookup(&self.view, target),
            Source::Pinned(segment) => match segment.lookup(&self.view, target) {
                Some(chunk) => Lookup::Chunk(chunk),
                None => Lookup::End,
            },
        }
    }

    /// Copies what `chunk` has from byte `target` of the view on, or a part of it. Returns 0 if
    /// there is nothing.
    ///
    /// `some_copied`: this read has copied whole records already, and returns 0 as well if the next
    /// one does not fit.
    fn copy(
        &mut self,
        chunk: &Chunk,
        target: u64,
        some_copied: bool,
        out: &mut impl Output,
    ) -> Result<usize> {
        let records = chunk.records();
        let (from, skip) = self.find(chunk.start(), records, target)?;
        let (copied, to) = if self.is_stored() {
            self.copy_stored(records, from, skip, some_copied, out)?
        } else {
            self.copy_rendered(records, from, skip, some_copied, out)?
        };
        self.cursor = Some(to);
        Ok(copied)
    }

    /// Finds the record of the chunk at `start` that byte `target` of the view is in. Returns that
    /// record and how many of its bytes precede `target`; the end, if the chunk ends before.
    fn find(&self, start: Span, records: &[u8], target: u64) -> Result<(Cursor, usize)> {
        let is_before = |cursor: &Cursor| self.view.position(&cursor.at) <= target;
        let last = self
            .cursor
            .filter(|last| last.chunk == start && is_before(last));
        let mut cursor = last.unwrap_or(Cursor {
            chunk: start,
            offset: 0,
            at: start,
        });
        // A read that goes on where the last one ended has nothing to parse here.
        while self.view.position(&cursor.at) != target {
            let Some(rest) = cursor.rest(records) else {
                break;
            };
            let (_, next) = self.step(cursor, rest)?;
            if !is_before(&next) {
                break;
            }
            cursor = next;
        }
        let skip = target.wrapping_sub(self.view.position(&cursor.at));
        let skip = usize::try_from(skip).map_err(|_| EINVAL)?;
        Ok((cursor, skip))
    }

    /// Copies bytes as they stand: as many whole records as fit, or the rest of one record after
    /// `skip` bytes, or the front of one that does not fit. Returns how many, and where they end.
    fn copy_stored(
        &self,
        records: &[u8],
        mut cursor: Cursor,
        skip: usize,
        some_copied: bool,
        out: &mut impl Output,
    ) -> Result<(usize, Cursor)> {
        let Some(rest) = cursor.rest(records) else {
            return Ok((0, cursor));
        };
        let order = self.platform.order();
        let whole = if skip == 0 {
            whole_records(rest, out.room(), order)?
        } else {
            &[]
        };
        let (part, passed) = if whole.is_empty() {
            let len = Record::skip(rest, SHA1_SIZE, order).map_err(|_| EIO)?;
            let left = rest.get(skip..len).ok_or(EIO)?;
            match left.get(..out.room()).unwrap_or(left) {
                part if part.len() == left.len() => (part, len),
                _ if some_copied => return Ok((0, cursor)),
                part => (part, 0),
            }
        } else {
            (whole, whole.len())
        };
        out.put(part)?;
        cursor.offset = cursor.offset.saturating_add(passed);
        cursor.at.bytes = cursor.at.bytes.wrapping_add(passed as u64);
        Ok((part.len(), cursor))
    }

    /// Renders records one by one and copies them: whole ones as long as they fit, the first one
    /// without `skip` bytes and, if nothing was copied yet, as far as it fits. Returns how many
    /// bytes, and where they end.
    fn copy_rendered(
        &mut self,
        records: &[u8],
        mut cursor: Cursor,
        mut skip: usize,
        some_copied: bool,
        out: &mut impl Output,
    ) -> Result<(usize, Cursor)> {
        let mut copied = 0usize;
        while let Some(rest) = cursor.rest(records) {
            let (record, next) = self.step(cursor, rest)?;
            let (at, end) = (self.view.position(&cursor.at), self.view.position(&next.at));
            let size = end.wrapping_sub(at);
            let left = usize::try_from(size).map_err(|_| EIO)?.saturating_sub(skip);
            let fits = left <= out.room();
            if !fits && (some_copied || copied > 0) {
                break;
            }
            let stored = next.offset.saturating_sub(cursor.offset);
            let stored = rest.get(..stored).ok_or(EIO)?;
            let shown = self.render(&record, stored)?.get(skip..).ok_or(EIO)?;
            let part = shown.get(..out.room()).unwrap_or(shown);
            out.put(part)?;
            copied = copied.saturating_add(part.len());
            if !fits {
                break;
            }
            cursor = next;
            skip = 0;
        }
        Ok((copied, cursor))
    }

    /// The record at `cursor`, at the front of `rest`, and where the next one is.
    fn step<'c>(&self, cursor: Cursor, rest: &'c [u8]) -> Result<(Record<'c>, Cursor)> {
        let (record, len) =
            Record::parse(rest, SHA1_SIZE, self.platform.order()).map_err(|_| EIO)?;
        let ascii = match self.view.view.encoding {
            Encoding::Binary => 0,
            Encoding::Ascii => ascii::ascii_len(&record, SHA1_SIZE),
        };
        let next = Cursor {
            chunk: cursor.chunk,
            offset: cursor.offset.saturating_add(len),
            at: cursor.at.after(len as u64, ascii),
        };
        Ok((record, next))
    }

    /// Chunks hold the very bytes of this view.
    fn is_stored(&self) -> bool {
        self.bank.index() == self.platform.sha1() && self.view.view.encoding == Encoding::Binary
    }

    /// A record as this view shows it.
    fn render(&mut self, record: &Record<'_>, stored: &[u8]) -> Result<&[u8]> {
        let computed;
        let digest = if self.bank.index() == self.platform.sha1() {
            record.digest()
        } else {
            computed = self.platform.template_digest(record, self.bank)?;
            self.bank.trim(&computed)
        };
        self.scratch.clear();
        match self.view.view.encoding {
            Encoding::Binary => {
                let (pcr, rest) = stored.split_at_checked(4).ok_or(EIO)?;
                let following = rest.get(SHA1_SIZE..).ok_or(EIO)?;
                for part in [pcr, digest, following] {
                    self.scratch.extend_from_slice(part, GFP_KERNEL)?;
                }
            }
            Encoding::Ascii => {
                let mut sink = Sink {
                    text: &mut self.scratch,
                    result: Ok(()),
                };
                ascii::write_ascii(record, digest, &mut sink);
                sink.result?;
            }
        }
        Ok(&self.scratch)
    }
}

/// As many whole records of `bytes` as fit `room`.
fn whole_records(bytes: &[u8], room: usize, order: ByteOrder) -> Result<&[u8]> {
    if bytes.len() <= room {
        return Ok(bytes);
    }
    let mut end = 0usize;
    while let Some(rest) = bytes.get(end..).filter(|rest| !rest.is_empty()) {
        let len = Record::skip(rest, SHA1_SIZE, order).map_err(|_| EIO)?;
        let next = end.saturating_add(len);
        if next > room {
            break;
        }
        end = next;
    }
    bytes.get(..end).ok_or(EIO)
}

/// Collects ASCII, and remembers that memory ran out.
struct Sink<'a> {
    text: &'a mut KVVec<u8>,
    result: Result,
}

impl ascii::Sink for Sink<'_> {
    fn put(&mut self, bytes: &[u8]) {
        if self.result.is_ok() {
            self.result = self
                .text
                .extend_from_slice(bytes, GFP_KERNEL)
                .map_err(Error::from);
        }
    }
}
