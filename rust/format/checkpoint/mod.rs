// SPDX-License-Identifier: GPL-2.0

//! The buffer of a checkpoint record: a [`Header`], then [items](item) until its end.
//!
//! All numbers are little-endian, whatever the byte order of the list.

mod builder;
mod check;
mod header;
pub mod item;

pub use self::{
    builder::Builder,
    check::MAX_BANKS,
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
    /// [`Error::BadSequence`], [`Error::TooLarge`], [`Error::Truncated`] (an item),
    /// [`Error::UnknownItem`], [`Error::BadLabel`], or [`Error::BadItem`]: malformed, present
    /// twice, of another size than the others of its bank, of one bank more than [`MAX_BANKS`], a
    /// value that differs without its shadow or the reverse, or without its flag.
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

    /// What replay gives, for each value that differs from it.
    pub fn shadows(&self) -> impl Iterator<Item = Entry<'a>> {
        self.entries(Kind::Shadow)
    }

    /// What replay gives, where it differs from the value. Each call reads all items.
    pub fn shadow(&self, pcr: u8, algorithm: u16) -> Option<&'a [u8]> {
        self.find(Kind::Shadow, pcr, algorithm)
            .map(|entry| entry.value)
    }

    /// What the replay of this PCR and bank starts from. Each call reads all items.
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

    fn all_entries(&self) -> impl Iterator<Item = (Kind, Entry<'a>)> {
        self.items().flatten().filter_map(|(kind, payload)| {
            let kind = Kind::try_from(kind).ok()?;
            Some((kind, Entry::parse(kind, payload).ok()?))
        })
    }

    fn find(&self, kind: Kind, pcr: u8, algorithm: u16) -> Option<Entry<'a>> {
        self.entries(kind)
            .find(|entry| entry.pcr == pcr && entry.algorithm == algorithm)
    }
}

#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(ima_checkpoint_checkpoint)
)]
#[cfg_attr(not(CONFIG_KUNIT = "y"), cfg(test))]
mod tests {
    use super::*;

    const SHA256: u16 = 0x000b;

    /// Builds a checkpoint with something of everything.
    fn build(out: &mut [u8]) -> Result<&[u8], Error> {
        let header = Header {
            sequence: 1,
            default_pcr: 10,
            ..Header::default()
        };
        let mut builder = Builder::new(out, &header, Label::new(b"a label")?)?;
        let mut push = |kind, pcr, state, value: &[u8]| {
            let entry = Entry {
                pcr,
                state,
                algorithm: SHA256,
                value,
            };
            builder.push(kind, &entry)
        };
        push(Kind::Value, 10, State::Match, &[1; 32])?;
        push(Kind::Value, 11, State::Differs, &[2; 32])?;
        push(Kind::Shadow, 11, State::Differs, &[3; 32])?;
        push(Kind::Before, 11, State::Virtual, &[0; 32])?;
        Ok(builder.finish())
    }

    #[test]
    fn round_trip() -> Result<(), Error> {
        let mut out = [0; 512];
        let checkpoint = Checkpoint::parse(build(&mut out)?)?;
        let expected = Header {
            flags: Flags::DIFFERS,
            sequence: 1,
            default_pcr: 10,
            ..Header::default()
        };
        assert_eq!(*checkpoint.header(), expected);
        assert_eq!(checkpoint.label().as_str(), "a label");
        assert!(checkpoint.values().map(|entry| entry.pcr).eq([10, 11]));
        assert!(checkpoint
            .before()
            .map(|entry| entry.state)
            .eq([State::Virtual]));
        let value = checkpoint.value(11, SHA256).map(|entry| entry.value);
        assert_eq!(value, Some([2; 32].as_slice()));
        assert_eq!(checkpoint.shadow(11, SHA256), Some([3; 32].as_slice()));
        assert_eq!(checkpoint.shadow(10, SHA256), None);
        assert_eq!(checkpoint.value(10, 4), None);
        Ok(())
    }

    #[test]
    fn fixed_part() -> Result<(), Error> {
        let mut out = [0; 512];
        let len = build(&mut out)?.len();
        let with = |at: usize, byte: u8| {
            let mut bad = out;
            *bad.get_mut(at).ok_or(Error::NoSpace)? = byte;
            Checkpoint::parse(bad.get(..len).unwrap_or_default()).map(|_| ())
        };
        assert_eq!(with(0, b'i'), Err(Error::BadMagic));
        assert_eq!(with(8, 2), Err(Error::BadVersion(2)));
        assert_eq!(with(9, 1), Err(Error::BadVersion(0x101)));
        assert_eq!(with(10, 167), Err(Error::BadFixedLength));
        assert_eq!(with(11, 0xff), Err(Error::BadFixedLength));
        assert_eq!(with(32, 0), Err(Error::BadSequence));
        for high in [39, 55, 63, 71, 95, 103] {
            assert_eq!(with(high, 0x7f), Ok(()));
            assert_eq!(with(high, 0x80), Err(Error::TooLarge));
        }
        assert_eq!(with(12, 0), Err(Error::BadItem(Kind::Value.into())));
        assert_eq!(with(15, 0xff), Ok(()));
        Ok(())
    }

    #[test]
    fn longer_fixed_part_is_skipped() -> Result<(), Error> {
        let mut out = [0; 512];
        let label = Label::new(b"skipped")?;
        let header = Header {
            sequence: 1,
            ..Header::default()
        };
        let len = Builder::new(&mut out, &header, label)?.finish().len();
        *out.get_mut(10).ok_or(Error::NoSpace)? = len as u8;
        let checkpoint = Checkpoint::parse(out.get(..len).unwrap_or_default())?;
        assert_eq!(checkpoint.label(), Label::default());
        Ok(())
    }

    #[test]
    fn truncated_everywhere() -> Result<(), Error> {
        let mut out = [0; 512];
        let buffer = build(&mut out)?;
        for len in 0..buffer.len() {
            let result = Checkpoint::parse(buffer.get(..len).unwrap_or_default());
            // Whole items can be missing, but not the shadow of the last value.
            assert_eq!(result.is_ok(), [168, 179, 219, 299].contains(&len));
        }
        let long = Checkpoint::parse(&[0; MAX_BUFFER + 1]);
        assert_eq!(long.err(), Some(Error::TooLong));
        Ok(())
    }

    #[test]
    fn every_byte_changed() -> Result<(), Error> {
        let mut out = [0; 512];
        let len = build(&mut out)?.len();
        for at in 0..len {
            for mask in [0x01, 0x80, 0xff] {
                let mut bad = out;
                if let Some(byte) = bad.get_mut(at) {
                    *byte ^= mask;
                }
                if let Ok(checkpoint) = Checkpoint::parse(bad.get(..len).unwrap_or_default()) {
                    checkpoint.label();
                    assert!(checkpoint.values().count() <= 2);
                    assert!(checkpoint.before().count() <= 1);
                }
            }
        }
        Ok(())
    }
}
