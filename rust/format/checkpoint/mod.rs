// SPDX-License-Identifier: GPL-2.0

//! The buffer of a checkpoint record: a [`Header`], then [items](item) until its end.
//!
//! All numbers are little-endian, whatever the byte order of the list.

mod builder;
mod header;
pub mod item;

pub use self::{
    builder::Builder,
    header::{
        Flags,
        Header, //
    },
    item::{
        Entry,
        Kind,
        Label,
        State, //
    },
};

use self::item::{
    Items,
    CRITICAL,
    LABEL, //
};
use super::{
    bytes::Reader,
    ByteOrder,
    Error, //
};

/// The event name of a checkpoint record.
pub const EVENT_NAME: &[u8] = b".ima/checkpoint";

/// Largest buffer of a checkpoint, in bytes. With the fields around it, it stays below the 4096
/// bytes of template data that programs accept.
pub const MAX_BUFFER: usize = 3968;

/// A checkpoint that was parsed.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint<'a> {
    header: Header,
    // INVARIANT: well-formed items, none of them critical and unknown.
    items: &'a [u8],
}

impl<'a> Checkpoint<'a> {
    /// Parses the buffer of a checkpoint record.
    ///
    /// The fixed part may be longer than this version's: what a later kernel appended to it is
    /// skipped, as are unknown items that are not critical.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`], [`Error::BadMagic`], [`Error::BadVersion`], [`Error::BadFixedLength`],
    /// [`Error::BadSequence`], [`Error::Truncated`] (an item), [`Error::UnknownItem`],
    /// [`Error::BadLabel`], or [`Error::BadItem`]: malformed, present twice, a value that differs
    /// without its shadow or the reverse, or without its flag.
    pub fn parse(buffer: &'a [u8]) -> Result<Self, Error> {
        if buffer.len() > MAX_BUFFER {
            return Err(Error::TooLong);
        }
        let (header, items) = Header::parse(buffer)?;
        let checkpoint = Self { header, items };
        checkpoint.check_items()?;
        Ok(checkpoint)
    }

    /// The fixed part.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What the replay of the next segment starts from, for each PCR in use and bank.
    pub fn values(&self) -> impl Iterator<Item = Entry<'a>> {
        self.entries(Kind::Value)
    }

    /// What PCRs first used in the sealed segment held before.
    pub fn before(&self) -> impl Iterator<Item = Entry<'a>> {
        self.entries(Kind::Before)
    }

    /// What replay gives, where it differs from the value.
    pub fn shadow(&self, pcr: u8, algorithm: u16) -> Option<&'a [u8]> {
        self.find(Kind::Shadow, pcr, algorithm)
            .map(|entry| entry.value)
    }

    /// What the replay of this PCR and bank starts from.
    pub fn value(&self, pcr: u8, algorithm: u16) -> Option<Entry<'a>> {
        self.find(Kind::Value, pcr, algorithm)
    }

    /// The label, empty if there is none.
    pub fn label(&self) -> Label<'a> {
        let label = self.items().flatten().find(|(kind, _)| *kind == LABEL);
        label
            .and_then(|(_, payload)| Label::new(payload).ok())
            .unwrap_or_default()
    }

    fn items(&self) -> Items<'a> {
        Items::new(Reader::new(self.items, ByteOrder::Little))
    }

    fn entries(&self, wanted: Kind) -> impl Iterator<Item = Entry<'a>> {
        self.items().flatten().filter_map(move |(kind, payload)| {
            let matches = kind == wanted.into();
            matches
                .then(|| Entry::parse(wanted, payload).ok())
                .flatten()
        })
    }

    fn find(&self, kind: Kind, pcr: u8, algorithm: u16) -> Option<Entry<'a>> {
        self.entries(kind)
            .find(|entry| entry.pcr == pcr && entry.algorithm == algorithm)
    }

    fn check_items(&self) -> Result<(), Error> {
        let mut labels = 0_usize;
        for item in self.items() {
            let (kind, payload) = item?;
            if let Ok(kind) = Kind::try_from(kind) {
                self.check_entry(kind, Entry::parse(kind, payload)?)?;
            } else if kind == LABEL {
                labels = labels.saturating_add(1);
                if labels > 1 || payload.is_empty() {
                    return Err(Error::BadItem(kind));
                }
                Label::new(payload)?;
            } else if kind & CRITICAL != 0 {
                return Err(Error::UnknownItem(kind));
            }
        }
        Ok(())
    }

    /// Does an entry agree with the others?
    fn check_entry(&self, kind: Kind, entry: Entry<'a>) -> Result<(), Error> {
        let same = |other: &Entry<'a>| other.pcr == entry.pcr && other.algorithm == entry.algorithm;
        let differs = entry.state == State::Differs;
        let partner = match kind {
            Kind::Value => Kind::Shadow,
            Kind::Shadow => Kind::Value,
            Kind::Before => Kind::Before,
        };
        let paired = match self.find(partner, entry.pcr, entry.algorithm) {
            Some(other) => {
                kind == Kind::Before
                    || (differs
                        && other.state == State::Differs
                        && other.value.len() == entry.value.len()
                        && self.header.flags.contains(Flags::DIFFERS))
            }
            None => !differs,
        };
        if paired && self.entries(kind).filter(same).count() == 1 {
            Ok(())
        } else {
            Err(Error::BadItem(kind.into()))
        }
    }
}
