// SPDX-License-Identifier: GPL-2.0

//! Reading a measurement list in batches: many whole records that own their bytes, so that they can
//! be handed to another thread.
//!
//! A list is read once and parsed once. Of each record a batch keeps where it is and what decides how
//! it is treated; only the few that need a closer look are parsed again.

use super::{
    detect::Layout,
    own,
    records::{Fault, Position, MAX_RECORD},
};
use ima_checkpoint_format::{record::Record, Error as FormatError};
use std::io::{self, Read};

/// Bytes of a batch, unless one record needs more.
pub const BATCH: usize = 64 << 10;

/// Where a record is in its batch, and what decides how it is treated.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    // INVARIANT: `start <= data <= end`, and `end` is within the bytes of the batch.
    start: u32,
    data: u32,
    end: u32,
    pcr: u32,
    violation: bool,
    legacy: bool,
    needs_look: bool,
}

impl Item {
    /// The PCR that it was extended into.
    pub fn pcr(self) -> u32 {
        self.pcr
    }

    /// Is it a violation? Its digest is then zero, but the PCR was extended with ones.
    pub fn is_violation(self) -> bool {
        self.violation
    }

    /// Is it of the legacy template, whose digest is not the hash of the data as they stand?
    pub(crate) fn is_legacy(self) -> bool {
        self.legacy
    }

    /// Does it need a closer look? See [`own::needs_look`].
    pub(crate) fn needs_look(self) -> bool {
        self.needs_look
    }

    /// Bytes of the record.
    pub fn length(self) -> u64 {
        u64::from(self.end - self.start)
    }
}

/// Records of one source, in order.
#[derive(Debug)]
pub struct Batch {
    layout: Layout,
    at: Position,
    bytes: Vec<u8>,
    items: Vec<Item>,
}

impl Batch {
    fn new(layout: Layout, at: Position) -> Self {
        Self {
            layout,
            at,
            bytes: Vec::new(),
            items: Vec::new(),
        }
    }

    /// How its records are written.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Where the first record is in its source.
    pub fn position(&self) -> Position {
        self.at
    }

    /// The records.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Bytes of memory that it holds.
    pub(crate) fn size(&self) -> usize {
        self.bytes.capacity()
    }

    fn slice(&self, from: u32, to: u32) -> &[u8] {
        let range = from as usize..to as usize;
        self.bytes.get(range).unwrap_or_default()
    }

    /// The bytes of a record.
    pub fn raw(&self, item: Item) -> &[u8] {
        self.slice(item.start, item.end)
    }

    /// The bytes of records that follow each other.
    pub(crate) fn raw_of(&self, items: &[Item]) -> &[u8] {
        match (items.first(), items.last()) {
            (Some(first), Some(last)) => self.slice(first.start, last.end),
            _ => &[],
        }
    }

    /// Its template data.
    pub fn data(&self, item: Item) -> &[u8] {
        self.slice(item.data, item.end)
    }

    /// Its template data, and what follows in the batch.
    pub(crate) fn data_and_rest(&self, item: Item) -> &[u8] {
        self.bytes.get(item.data as usize..).unwrap_or_default()
    }

    /// The template digest that the list has.
    pub fn digest(&self, item: Item) -> &[u8] {
        let size = self.layout.bank.size();
        self.raw(item).get(4..4 + size).unwrap_or_default()
    }

    /// The record, parsed once more.
    pub fn record(&self, item: Item) -> Option<Record<'_>> {
        let raw = self.raw(item);
        let parsed = Record::parse_any(raw, self.layout.bank.size(), self.layout.order);
        parsed.ok().map(|(record, _)| record)
    }
}

/// Reads batches from a source of bytes.
#[derive(Debug)]
pub struct Batches<R> {
    source: R,
    layout: Layout,
    at: Position,
    /// What was read and is not yet a whole record.
    rest: Vec<u8>,
    /// Why nothing more can be read, which is told after the last whole record.
    failed: Option<io::Error>,
    ended: bool,
}

impl<R: Read> Batches<R> {
    /// Reads a list that is written like this.
    pub fn new(source: R, layout: Layout) -> Self {
        Self {
            source,
            layout,
            at: Position::default(),
            rest: Vec::new(),
            failed: None,
            ended: false,
        }
    }

    /// Where the next record starts.
    pub fn position(&self) -> Position {
        self.at
    }

    /// The next records, at least one; nothing at the end of the list.
    ///
    /// # Errors
    ///
    /// [`Fault`], when all records before it were given. After one there is nothing more to read.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator may be asked again after an error"
    )]
    pub fn next(&mut self) -> Result<Option<Batch>, Fault> {
        let mut batch = Batch::new(self.layout, self.at);
        batch.bytes = std::mem::take(&mut self.rest);
        let mut room = BATCH;
        loop {
            self.fill(&mut batch.bytes, room).map_err(Fault::from)?;
            match self.parse(&mut batch) {
                Ok(()) if batch.bytes.is_empty() => return Ok(None),
                // a whole batch of bytes, and not one record
                Ok(()) if batch.items.is_empty() && !self.ended => {
                    if room >= MAX_RECORD {
                        return Err(Fault::Malformed(self.at, FormatError::TooLong));
                    }
                    room *= 2;
                }
                Ok(()) if batch.items.is_empty() => return Err(Fault::Cut(self.at)),
                Err(error) if batch.items.is_empty() => {
                    return Err(Fault::Malformed(self.at, error));
                }
                // a malformed record is met again as the first of the next batch
                Ok(()) | Err(_) => return Ok(Some(self.split(batch))),
            }
        }
    }

    /// Keeps what is after the last whole record for the next batch.
    fn split(&mut self, mut batch: Batch) -> Batch {
        let end = batch.items.last().map_or(0, |item| item.end as usize);
        self.rest = Vec::with_capacity(BATCH.max(batch.bytes.len() - end));
        self.rest
            .extend_from_slice(batch.bytes.get(end..).unwrap_or_default());
        batch.bytes.truncate(end);
        self.at.record += batch.items.len() as u64;
        self.at.offset += end as u64;
        batch
    }

    /// Reads until there are `room` bytes, or the source ends.
    fn fill(&mut self, bytes: &mut Vec<u8>, room: usize) -> io::Result<()> {
        let mut have = bytes.len();
        if have >= room || self.ended {
            return Ok(());
        }
        // asked again, the source might say that all is well
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        bytes.resize(room, 0);
        while have < room {
            match self.source.read(bytes.get_mut(have..).unwrap_or_default()) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(read) => have += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                // what came before is whole, and is given first
                Err(error) if self.has_record(bytes.get(..have).unwrap_or_default()) => {
                    self.failed = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(have);
        Ok(())
    }

    fn has_record(&self, bytes: &[u8]) -> bool {
        Record::parse_any(bytes, self.layout.bank.size(), self.layout.order).is_ok()
    }

    /// Finds the whole records in the bytes.
    fn parse(&self, batch: &mut Batch) -> Result<(), FormatError> {
        let mut start = batch.items.last().map_or(0, |item| item.end as usize);
        loop {
            let bytes = batch.bytes.get(start..).unwrap_or_default();
            let parsed = Record::parse_any(bytes, self.layout.bank.size(), self.layout.order);
            // by reference, because moving it would cost as much as half of the parsing
            let (record, length) = match &parsed {
                Ok((record, length)) => (record, *length),
                Err(FormatError::Truncated) => return Ok(()),
                Err(error) => return Err(*error),
            };
            let end = start + length;
            batch.items.push(Item {
                start: start as u32,
                data: (end - record.data().len()) as u32,
                end: end as u32,
                pcr: record.pcr(),
                violation: record.is_violation(),
                legacy: record.template().is_legacy(),
                needs_look: own::needs_look(record),
            });
            start = end;
        }
    }
}
