// SPDX-License-Identifier: GPL-2.0

//! The buffer of a truncate record: what was freed, or left behind by a kexec, and why.
//!
//! All numbers are little-endian, whatever the byte order of the list.

use super::{
    bytes::{
        Reader,
        Writer, //
    },
    ByteOrder,
    Error, //
};

/// The event name of a truncate record.
pub const EVENT_NAME: &[u8] = b".ima/truncate";

const MAGIC: &[u8; 8] = b"IMA-TRUN";
const VERSION: u16 = 1;

/// Who wanted a truncation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Reason {
    /// A write to the file `truncate`.
    User = 1,
    /// The configured retention.
    Retention = 2,
    /// The list was too large for the next kernel.
    Kexec = 3,
}

impl TryFrom<u16> for Reason {
    type Error = Error;

    fn try_from(reason: u16) -> Result<Self, Error> {
        Ok(match reason {
            1 => Self::User,
            2 => Self::Retention,
            3 => Self::Kexec,
            _ => return Err(Error::BadReason(reason)),
        })
    }
}

/// A truncation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// Who wanted it.
    pub reason: Reason,
    /// Random identifier of the list, as in its checkpoints.
    pub log_id: [u8; 16],
    /// The checkpoint that the list starts with now, from 1.
    pub sequence: u64,
    /// SHA-256 of that checkpoint's buffer.
    pub digest: [u8; 32],
    /// Records freed.
    pub records: u64,
    /// Bytes freed, in the sha1 view.
    pub bytes: u64,
}

impl Truncation {
    /// Bytes of the buffer.
    pub const SIZE: usize = 88;

    /// Parses the buffer of a truncate record.
    ///
    /// The fixed part may be longer than this version's: what a later kernel appended to it is
    /// skipped. It is the whole buffer.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`], [`Error::BadMagic`], [`Error::BadVersion`], [`Error::BadReason`],
    /// [`Error::BadFixedLength`], [`Error::BadSequence`].
    pub fn parse(buffer: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(buffer, ByteOrder::Little);
        reader.preamble(MAGIC, VERSION)?;
        let reason = reader.u16()?.try_into()?;
        let size = reader.len32()?;
        if size < Self::SIZE || size != buffer.len() {
            return Err(Error::BadFixedLength);
        }
        let truncation = Self {
            reason,
            log_id: reader.array()?,
            sequence: reader.u64()?,
            digest: reader.array()?,
            records: reader.u64()?,
            bytes: reader.u64()?,
        };
        if truncation.sequence == 0 {
            return Err(Error::BadSequence);
        }
        Ok(truncation)
    }

    /// Writes the buffer to the front of `out` and returns it.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`], or [`Error::BadSequence`].
    pub fn encode<'b>(&self, out: &'b mut [u8]) -> Result<&'b [u8], Error> {
        if self.sequence == 0 {
            return Err(Error::BadSequence);
        }
        let mut writer = Writer::new(out, ByteOrder::Little);
        writer.bytes(MAGIC)?;
        writer.u16(VERSION)?;
        writer.u16(self.reason as u16)?;
        writer.len32(Self::SIZE)?;
        writer.bytes(&self.log_id)?;
        writer.u64(self.sequence)?;
        writer.bytes(&self.digest)?;
        writer.u64(self.records)?;
        writer.u64(self.bytes)?;
        Ok(writer.finish())
    }
}

#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(ima_checkpoint_truncate)
)]
#[cfg_attr(not(CONFIG_KUNIT = "y"), cfg(test))]
mod tests {
    use super::*;

    const TRUNCATION: Truncation = Truncation {
        reason: Reason::Retention,
        log_id: [1; 16],
        sequence: 2,
        digest: [3; 32],
        records: 4,
        bytes: 5,
    };

    #[test]
    fn layout() -> Result<(), Error> {
        let mut out = [0xff; 100];
        let buffer = TRUNCATION.encode(&mut out)?;
        assert_eq!(buffer.len(), Truncation::SIZE);
        assert!(buffer.starts_with(b"IMA-TRUN\x01\0\x02\0\x58\0\0\0\x01\x01"));
        assert_eq!(
            buffer.get(32..42),
            Some(b"\x02\0\0\0\0\0\0\0\x03\x03".as_slice())
        );
        assert!(buffer.ends_with(b"\x03\x04\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0"));
        Ok(())
    }

    #[test]
    fn round_trip() -> Result<(), Error> {
        for reason in [Reason::User, Reason::Retention, Reason::Kexec] {
            let mut out = [0; Truncation::SIZE];
            let truncation = Truncation {
                reason,
                ..TRUNCATION
            };
            assert_eq!(
                Truncation::parse(truncation.encode(&mut out)?),
                Ok(truncation)
            );
        }
        Ok(())
    }

    #[test]
    fn refused() -> Result<(), Error> {
        let mut out = [0; Truncation::SIZE];
        TRUNCATION.encode(&mut out)?;
        let with = |at: usize, byte: u8| {
            let mut bad = out;
            *bad.get_mut(at).ok_or(Error::NoSpace)? = byte;
            Truncation::parse(&bad)
        };
        assert_eq!(with(7, b'C'), Err(Error::BadMagic));
        assert_eq!(with(8, 2), Err(Error::BadVersion(2)));
        assert_eq!(with(10, 4), Err(Error::BadReason(4)));
        assert_eq!(with(12, 87), Err(Error::BadFixedLength));
        assert_eq!(with(15, 0xff), Err(Error::BadFixedLength));
        assert_eq!(with(32, 0), Err(Error::BadSequence));
        for len in 0..out.len() {
            assert!(Truncation::parse(out.get(..len).unwrap_or_default()).is_err());
        }
        let mut short = [0; Truncation::SIZE - 1];
        assert_eq!(TRUNCATION.encode(&mut short), Err(Error::NoSpace));
        let zero = Truncation {
            sequence: 0,
            ..TRUNCATION
        };
        assert_eq!(zero.encode(&mut out), Err(Error::BadSequence));
        Ok(())
    }

    #[test]
    fn longer_fixed_part_is_skipped() -> Result<(), Error> {
        let mut out = [0; Truncation::SIZE + 8];
        TRUNCATION.encode(&mut out)?;
        *out.get_mut(12).ok_or(Error::NoSpace)? += 8;
        assert_eq!(Truncation::parse(&out), Ok(TRUNCATION));
        Ok(())
    }
}
