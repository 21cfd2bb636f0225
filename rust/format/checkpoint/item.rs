// SPDX-License-Identifier: GPL-2.0

//! The items that follow the fixed part of a checkpoint: `u16` type, `u16` length, payload.

use super::super::{
    bytes::{
        Reader,
        Writer, //
    },
    ByteOrder,
    Error, //
};

/// Set in the type of an item that a reader must understand, or else refuse the checkpoint.
pub const CRITICAL: u16 = 0x8000;

/// Type of the label's item.
pub(super) const LABEL: u16 = 4;

/// Largest value of a PCR, in bytes.
pub const MAX_VALUE: usize = 64;

/// What the item of a PCR and bank says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// What the replay of the next segment starts from.
    Value = CRITICAL | 1,
    /// What the replay of the sealed segment gives, where the value differs.
    Shadow = CRITICAL | 2,
    /// What a PCR first used in the sealed segment held before.
    Before = CRITICAL | 3,
}

impl From<Kind> for u16 {
    fn from(kind: Kind) -> Self {
        kind as Self
    }
}

impl TryFrom<u16> for Kind {
    type Error = Error;

    fn try_from(kind: u16) -> Result<Self, Error> {
        [Self::Value, Self::Shadow, Self::Before]
            .into_iter()
            .find(|known| kind == (*known).into())
            .ok_or(Error::UnknownItem(kind))
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Read from the TPM; a value equals the replay.
    Match = 0,
    /// Read from the TPM; the replay gives another.
    Differs = 1,
    /// Read from the TPM; the kernel lacks the hash to replay it.
    Unshadowed = 2,
    /// The TPM could not be read: the replay's value, or zeros before the first use.
    Unreadable = 3,
    /// There is no TPM or it lacks the bank: the replay's value, or zeros before the first use.
    Virtual = 4,
}

impl TryFrom<u8> for State {
    type Error = ();

    fn try_from(state: u8) -> Result<Self, ()> {
        Ok(match state {
            0 => Self::Match,
            1 => Self::Differs,
            2 => Self::Unshadowed,
            3 => Self::Unreadable,
            4 => Self::Virtual,
            _ => return Err(()),
        })
    }
}

/// A value of a PCR in a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The PCR.
    pub pcr: u8,
    /// Where the value comes from.
    pub state: State,
    /// The bank, as TPM algorithm identifier.
    pub algorithm: u16,
    /// The value: 1 to [`MAX_VALUE`] bytes.
    pub value: &'a [u8],
}

impl<'a> Entry<'a> {
    pub(super) fn parse(kind: Kind, payload: &'a [u8]) -> Result<Self, Error> {
        let bad = Error::BadItem(kind.into());
        let mut reader = Reader::new(payload, ByteOrder::Little);
        let mut parse = || {
            Ok(Self {
                pcr: reader.u8()?,
                state: reader.u8()?.try_into().map_err(|()| bad)?,
                algorithm: reader.u16()?,
                value: reader.rest(),
            })
        };
        let entry = parse().map_err(|_: Error| bad)?;
        entry.check(kind)?;
        Ok(entry)
    }

    pub(super) fn write(&self, kind: Kind, writer: &mut Writer<'_>) -> Result<(), Error> {
        self.check(kind)?;
        writer.u16(kind.into())?;
        writer.len16(self.value.len().saturating_add(4))?;
        writer.bytes(&[self.pcr, self.state as u8])?;
        writer.u16(self.algorithm)?;
        writer.bytes(self.value)
    }

    fn check(&self, kind: Kind) -> Result<(), Error> {
        let states: &[State] = match kind {
            Kind::Value => return self.check_value(kind),
            Kind::Shadow => &[State::Differs],
            Kind::Before => &[State::Match, State::Unreadable, State::Virtual],
        };
        if !states.contains(&self.state) {
            return Err(Error::BadItem(kind.into()));
        }
        self.check_value(kind)
    }

    fn check_value(&self, kind: Kind) -> Result<(), Error> {
        match self.value.len() {
            1..=MAX_VALUE => Ok(()),
            _ => Err(Error::BadItem(kind.into())),
        }
    }
}

/// A remark by whoever asked for the checkpoint: at most 64 bytes, `0x20` to `0x7e`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Label<'a>(&'a str);

impl<'a> Label<'a> {
    /// Longest label, in bytes.
    pub const MAX: usize = 64;

    /// Takes bytes as a label.
    ///
    /// # Errors
    ///
    /// [`Error::BadLabel`].
    pub fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let printable = bytes.iter().all(|byte| matches!(byte, 0x20..=0x7e));
        if bytes.len() > Self::MAX || !printable {
            return Err(Error::BadLabel);
        }
        core::str::from_utf8(bytes)
            .map(Self)
            .map_err(|_| Error::BadLabel)
    }

    /// The label.
    pub fn as_str(&self) -> &'a str {
        self.0
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        writer.u16(LABEL)?;
        writer.len16(self.0.len())?;
        writer.bytes(self.0.as_bytes())
    }
}

/// Iterates over items: type and payload, or [`Error::Truncated`] once.
pub(super) struct Items<'a>(Reader<'a>);

impl<'a> Items<'a> {
    pub(super) fn new(reader: Reader<'a>) -> Self {
        Self(reader)
    }

    fn take(&mut self) -> Result<(u16, &'a [u8]), Error> {
        let kind = self.0.u16()?;
        let len = self.0.u16()?;
        Ok((kind, self.0.bytes(len.into())?))
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<(u16, &'a [u8]), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.rest().is_empty() {
            return None;
        }
        let item = self.take();
        if item.is_err() {
            self.0 = Reader::new(&[], ByteOrder::Little);
        }
        Some(item)
    }
}
