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
    env::{
        Bank,
        Env,
        SHA1_SIZE, //
    },
    format::{
        ascii,
        record::Record,
        ByteOrder, //
    },
    memory::KVVec, //
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

enum Source {
    /// From what was first at the start, to whatever is there at each read.
    Live(&'static Store),
    /// One segment, which stays as long as the reader.
    Pinned(Arc<Segment>),
}

/// Where the last read ended: the next read need not walk through the chunk again.
#[derive(Clone, Copy)]
struct Cursor {
    /// Start of the chunk.
    chunk: Span,
    /// Offset in the chunk of the record at `at`.
    offset: usize,
    /// Counts only what the view's offsets are made of.
    at: Span,
}

/// Copies a view to user memory; one per open file, which keeps the position.
pub(crate) struct Reader {
    env: &'static Env,
    source: Source,
    view: ResolvedView,
    /// Position in the list of the file's byte 0.
    origin: Span,
    cursor: Option<Cursor>,
    /// A record as the view shows it.
    scratch: KVVec<u8>,
}

impl Reader {
    /// Reads the live list, from what is first now.
    pub(crate) fn live(env: &'static Env, store: &'static Store, view: View) -> Result<Self> {
        Self::new(env, view, store.start(), Source::Live(store))
    }

    /// Reads `segment`, and keeps it even if it is freed.
    pub(crate) fn segment(env: &'static Env, segment: Arc<Segment>, view: View) -> Result<Self> {
        Self::new(env, view, segment.start(), Source::Pinned(segment))
    }

    fn new(env: &'static Env, view: View, origin: Span, source: Source) -> Result<Self> {
        let bank = env.banks().get(view.bank).ok_or(EINVAL)?;
        Ok(Self {
            env,
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
    pub(crate) fn read(&mut self, position: u64, out: &mut UserSliceWriter) -> Result<usize> {
        let origin = self.view.position(&self.origin);
        let target = origin.checked_add(position).ok_or(EINVAL)?;
        let mut copied = 0usize;
        while !out.is_empty() {
            let result = match self.lookup(target.wrapping_add(copied as u64)) {
                Lookup::End => break,
                Lookup::Freed => Err(ESTALE),
                Lookup::Chunk(chunk) => {
                    self.copy_chunk(&chunk, target.wrapping_add(copied as u64), copied > 0, out)
                }
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

    /// Copies what `chunk` has from byte `target` of the view on.
    ///
    /// `some_copied`: this read has copied whole records already, and stops before one that does
    /// not fit.
    fn copy_chunk(
        &mut self,
        chunk: &Chunk,
        target: u64,
        mut some_copied: bool,
        out: &mut UserSliceWriter,
    ) -> Result<usize> {
        let env = self.env;
        let bank = env.banks().get(self.view.view.bank).ok_or(EINVAL)?;
        let records = chunk.records();
        let mut cursor = match self.cursor {
            Some(cursor)
                if cursor.chunk == chunk.start() && self.view.position(&cursor.at) <= target =>
            {
                cursor
            }
            _ => Cursor {
                chunk: chunk.start(),
                offset: 0,
                at: chunk.start(),
            },
        };
        let mut copied = 0usize;
        while let Some(rest) = records.get(cursor.offset..).filter(|rest| !rest.is_empty()) {
            let at = self.view.position(&cursor.at);
            let wanted = target.wrapping_add(copied as u64);
            let skip = usize::try_from(wanted.wrapping_sub(at)).map_err(|_| EINVAL)?;

            // Bytes go as they stand, as many whole records as fit.
            if self.is_stored(bank, env) && skip == 0 {
                let part = whole_records(rest, out.len(), env.order())?;
                if !part.is_empty() {
                    out.write_slice(part)?;
                    cursor.offset = cursor.offset.saturating_add(part.len());
                    cursor.at.bytes = cursor.at.bytes.wrapping_add(part.len() as u64);
                    self.cursor = Some(cursor);
                    return Ok(copied.saturating_add(part.len()));
                }
            }

            let (record, len) = Record::parse(rest, SHA1_SIZE, env.order()).map_err(|_| EIO)?;
            let ascii = match self.view.view.encoding {
                Encoding::Binary => 0,
                Encoding::Ascii => ascii::ascii_len(&record, SHA1_SIZE),
            };
            let next = Cursor {
                chunk: cursor.chunk,
                offset: cursor.offset.saturating_add(len),
                at: cursor.at.after(len as u64, ascii),
            };
            let size = self.view.position(&next.at).wrapping_sub(at);
            if skip as u64 >= size {
                cursor = next;
                continue;
            }
            let room = out.len();
            let left = usize::try_from(size).map_err(|_| EIO)?.saturating_sub(skip);
            if left > room && some_copied {
                break;
            }
            let stored = rest.get(..len).ok_or(EIO)?;
            let shown = if self.is_stored(bank, env) {
                stored
            } else {
                self.render(env, bank, &record, stored)?
            };
            let part = shown.get(skip..).ok_or(EIO)?;
            let part = part.get(..room).unwrap_or(part);
            out.write_slice(part)?;
            copied = copied.saturating_add(part.len());
            some_copied = true;
            if part.len() < left || out.is_empty() {
                if part.len() == left {
                    cursor = next;
                }
                break;
            }
            cursor = next;
        }
        self.cursor = Some(cursor);
        Ok(copied)
    }

    /// Chunks hold the very bytes of this view.
    fn is_stored(&self, bank: &Bank, env: &Env) -> bool {
        bank.index() == env.sha1() && self.view.view.encoding == Encoding::Binary
    }

    /// A record as this view shows it.
    fn render(
        &mut self,
        env: &Env,
        bank: &Bank,
        record: &Record<'_>,
        stored: &[u8],
    ) -> Result<&[u8]> {
        let computed;
        let digest = if bank.index() == env.sha1() {
            record.digest()
        } else {
            computed = env.template_digest(record, bank)?;
            bank.trim(&computed)
        };
        self.scratch.clear();
        match self.view.view.encoding {
            Encoding::Binary => {
                let (pcr, rest) = stored.split_at_checked(4).ok_or(EIO)?;
                let behind = rest.get(SHA1_SIZE..).ok_or(EIO)?;
                for part in [pcr, digest, behind] {
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
