// SPDX-License-Identifier: GPL-2.0

//! The full list: what the archive has, followed by what the kernel still has.
//!
//! An archiver may seal, archive and truncate at any time. So the archive is listed before the
//! kernel, what the kernel has is kept from being freed by an open export, and a segment that
//! was freed in between is looked for again: it is in the archive by then.

mod cache;
mod error;
mod parts;
mod seekable;

pub use self::{
    error::{Error, Extent},
    parts::Part,
    seekable::Seekable,
};

use crate::{
    archive::{Log, Name, Names, State},
    bank::Bank,
    detect,
    error::{self as failure, Result},
    kernel::{Format, Kernel, Segment},
    records::{Position, Records},
    view::SHA1_SIZE,
};
use ima_checkpoint_format::ByteOrder;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
};

/// How often the parts are listed again because something was freed meanwhile.
const ATTEMPTS: usize = 5;

/// Where a segment of the whole log is.
#[derive(Debug)]
pub enum Source {
    /// In the archive, in the file of that name.
    Archived(Name),
    /// In the kernel: its number, and its export in the sha1 view.
    Live(u64, File),
}

/// A log from its first record, or a later one, to the newest, held so that it can be read.
#[derive(Debug)]
pub struct FullList<'a> {
    log: Option<&'a Log>,
    parts: Vec<Part>,
    order: ByteOrder,
    exports: BTreeMap<u64, File>,
}

impl<'a> FullList<'a> {
    /// Puts the whole log together. Without a kernel it ends with the archive.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if a record is in neither, [`Error::Contradiction`] if the two contradict
    /// each other, [`Error::OtherLog`] if they have different logs.
    pub fn assemble(archive: Option<&'a Log>, kernel: Option<&Kernel>) -> Result<Self> {
        Self::assemble_from(archive, kernel, 0)
    }

    /// Puts together what is needed from record `from` on, counted from cold boot.
    ///
    /// # Errors
    ///
    /// As [`FullList::assemble`], for these records.
    pub fn assemble_from(
        archive: Option<&'a Log>,
        kernel: Option<&Kernel>,
        from: u64,
    ) -> Result<Self> {
        retried(|| {
            let parts = parts::list(archive, kernel, from)?;
            let mut exports = BTreeMap::new();
            if let Some(kernel) = kernel {
                for part in parts.iter().filter(|part| part.archived().is_none()) {
                    exports.insert(part.seq, export(kernel, part.seq)?);
                }
            }
            let mut whole = Self {
                log: archive,
                parts,
                order: ByteOrder::NATIVE,
                exports,
            };
            whole.order = whole.byte_order()?;
            Ok(whole)
        })
    }

    /// The segments in order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What there is to read, in order. What is known of the segments is let go: it takes several
    /// times as much memory.
    pub fn into_sources(self) -> impl Iterator<Item = Source> {
        let Self {
            parts, mut exports, ..
        } = self;
        let mut names = Names::default();
        for part in parts {
            let state = match part.sealed {
                true => State::Sealed,
                false => State::Tail,
            };
            names.push(Name::of(part.seq, state));
        }
        let sources = names.into_iter();
        sources.map(move |name| match exports.remove(&name.seq) {
            Some(file) => Source::Live(name.seq, file),
            None => Source::Archived(name),
        })
    }

    /// The byte order of the list.
    pub fn order(&self) -> ByteOrder {
        self.order
    }

    /// The bytes of a segment in the sha1 view. Of the active one, those that it has when it is
    /// read to its end.
    ///
    /// # Errors
    ///
    /// The archive cannot be read.
    pub fn bytes(&self, part: &Part) -> Result<Box<dyn Read + '_>> {
        match (part.archived(), self.log, self.exports.get(&part.seq)) {
            (Some(name), Some(log), _) => Ok(Box::new(part.open(log, name)?.1)),
            (None, _, Some(file)) => Ok(Box::new(Exported { file, at: 0 })),
            _ => Err(Error::Foreign { seq: part.seq }.into()),
        }
    }

    /// The records of a segment.
    ///
    /// # Errors
    ///
    /// The archive cannot be read.
    pub fn records(&self, part: &Part) -> Result<Records<Box<dyn Read + '_>>> {
        let at = Position {
            record: part.first,
            offset: part.offset,
        };
        Ok(Records::new(self.bytes(part)?, SHA1_SIZE, self.order, at))
    }

    fn byte_order(&self) -> Result<ByteOrder> {
        let first = self
            .parts
            .iter()
            .find_map(|part| Some((part, part.archived()?)));
        if let (Some((part, name)), Some(log)) = (first, self.log) {
            return Ok(part.open(log, name)?.0.byte_order());
        }
        match self.parts.first() {
            Some(part) => detect_order(self.bytes(part)?),
            None => Ok(ByteOrder::NATIVE),
        }
    }
}

/// The byte order of a list that nothing tells of.
fn detect_order(list: impl Read) -> Result<ByteOrder> {
    let (layout, _) = detect::detect(list, Some(Bank::Sha1), None)
        .map_err(|error| failure::Error::io("read", "the kernel's list", error))?;
    Ok(layout.order)
}

/// Does something again as long as a segment was freed under it.
fn retried<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(error) if error.may_pass() => (),
            result => return result,
        }
    }
    attempt()
}

/// Opens a segment of the kernel in the sha1 view.
fn export(kernel: &Kernel, seq: u64) -> Result<File> {
    kernel.export(seq, Format::Binary, Bank::Sha1.name())
}

/// An export, read from its start however often.
struct Exported<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Exported<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(out, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// The segments that the kernel has, each with the bytes before it since cold boot.
fn live(kernel: &Kernel) -> Result<(String, Vec<(Segment, u64)>)> {
    let before = kernel.status()?;
    let segments = kernel.segments()?;
    let after = kernel.status()?;
    let [first, second] = [&before, &after].map(|status| {
        let freed = (status.number("records_freed"), status.number("bytes_freed"));
        (status.log_id().to_owned(), freed)
    });
    if first != second {
        return Err(Error::Changed.into());
    }
    let (log_id, (_, mut offset)) = first;
    let mut live = Vec::with_capacity(segments.len());
    for segment in segments {
        let next = offset + segment.bytes;
        live.push((segment, offset));
        offset = next;
    }
    Ok((log_id, live))
}
