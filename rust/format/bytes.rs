// SPDX-License-Identifier: GPL-2.0

//! Numbers as bytes, and cursors over bytes.

use core::ffi::CStr;

use super::Error;

/// The order of a number's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// Least significant byte first: checkpoints, and the list with `ima_canonical_fmt`.
    Little,
    /// Most significant byte first: the list of a big-endian machine without `ima_canonical_fmt`.
    Big,
}

impl ByteOrder {
    /// The order of the machine that this code runs on.
    pub const NATIVE: Self = if cfg!(target_endian = "big") {
        Self::Big
    } else {
        Self::Little
    };

    /// Reads 16 bits.
    pub const fn get_u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    /// Reads 32 bits.
    pub const fn get_u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// Reads 64 bits.
    pub const fn get_u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        }
    }

    /// Writes 16 bits.
    pub const fn put_u16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    /// Writes 32 bits.
    pub const fn put_u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    /// Writes 64 bits.
    pub const fn put_u64(self, value: u64) -> [u8; 8] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }
}

/// Takes values from the front of bytes.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    order: ByteOrder,
}

impl<'a> Reader<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8], order: ByteOrder) -> Self {
        Self { rest: bytes, order }
    }

    /// What was not taken yet.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Error> {
        self.array().map(u8::from_ne_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(|bytes| self.order.get_u16(bytes))
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(|bytes| self.order.get_u32(bytes))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(|bytes| self.order.get_u64(bytes))
    }

    /// Takes the magic number and the version that a buffer of ours starts with.
    pub(super) fn preamble(&mut self, magic: &[u8; 8], version: u16) -> Result<(), Error> {
        if self.array()? != *magic {
            return Err(Error::BadMagic);
        }
        match self.u16()? {
            found if found == version => Ok(()),
            found => Err(Error::BadVersion(found)),
        }
    }

    /// Takes a 32-bit length.
    #[inline]
    pub(super) fn len32(&mut self) -> Result<usize, Error> {
        usize::try_from(self.u32()?).map_err(|_| Error::TooLong)
    }
}

/// Puts values into a buffer, one after the other.
#[derive(Debug)]
pub(super) struct Writer<'b> {
    out: &'b mut [u8],
    len: usize,
    order: ByteOrder,
}

impl<'b> Writer<'b> {
    pub(super) fn new(out: &'b mut [u8], order: ByteOrder) -> Self {
        Self { out, len: 0, order }
    }

    /// Bytes written so far.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What was written so far.
    pub(super) fn written(&self) -> &[u8] {
        self.out.get(..self.len).unwrap_or_default()
    }

    /// Forgets what was written beyond `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// What was written, for good.
    pub(super) fn finish(self) -> &'b mut [u8] {
        let Self { out, len, .. } = self;
        out.get_mut(..len).unwrap_or_default()
    }

    /// Writes all of `bytes`, or nothing.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let end = self.len.checked_add(bytes.len()).ok_or(Error::NoSpace)?;
        self.out
            .get_mut(self.len..end)
            .ok_or(Error::NoSpace)?
            .copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    pub(super) fn u16(&mut self, value: u16) -> Result<(), Error> {
        self.bytes(&self.order.put_u16(value))
    }

    pub(super) fn u32(&mut self, value: u32) -> Result<(), Error> {
        self.bytes(&self.order.put_u32(value))
    }

    pub(super) fn u64(&mut self, value: u64) -> Result<(), Error> {
        self.bytes(&self.order.put_u64(value))
    }

    /// Writes a length as 16 bits.
    pub(super) fn len16(&mut self, len: usize) -> Result<(), Error> {
        self.u16(u16::try_from(len).map_err(|_| Error::TooLong)?)
    }

    /// Writes a length as 32 bits.
    pub(super) fn len32(&mut self, len: usize) -> Result<(), Error> {
        self.u32(u32::try_from(len).map_err(|_| Error::TooLong)?)
    }
}

/// The bytes before the first NUL, or all.
pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    CStr::from_bytes_until_nul(bytes).map_or(bytes, CStr::to_bytes)
}

#[cfg_attr(CONFIG_KUNIT = "y", kernel::prelude::kunit_tests(ima_checkpoint_bytes))]
#[cfg_attr(not(CONFIG_KUNIT = "y"), cfg(test))]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        assert_eq!(ByteOrder::Little.put_u16(0x0102), [2, 1]);
        assert_eq!(ByteOrder::Big.put_u16(0x0102), [1, 2]);
        assert_eq!(ByteOrder::NATIVE.put_u16(0x0102), 0x0102_u16.to_ne_bytes());
        for order in [ByteOrder::Little, ByteOrder::Big] {
            assert_eq!(order.get_u16(order.put_u16(0x0102)), 0x0102);
            assert_eq!(order.get_u32(order.put_u32(0x0102_0304)), 0x0102_0304);
            assert_eq!(
                order.get_u64(order.put_u64(0x0102_0304_0506)),
                0x0102_0304_0506
            );
        }
    }

    #[test]
    fn reader_takes_all_or_nothing() {
        let mut reader = Reader::new(b"\x01\x02\x03", ByteOrder::Big);
        assert_eq!(reader.u32(), Err(Error::Truncated));
        assert_eq!(reader.bytes(usize::MAX), Err(Error::Truncated));
        assert_eq!(reader.u16(), Ok(0x0102));
        assert_eq!(reader.rest(), b"\x03");
        assert_eq!(reader.u8(), Ok(3));
        assert_eq!(reader.u8(), Err(Error::Truncated));
        assert_eq!(reader.bytes(0), Ok(b"".as_slice()));
    }

    #[test]
    fn writer_puts_all_or_nothing() {
        let mut out = [0; 3];
        let mut writer = Writer::new(&mut out, ByteOrder::Little);
        assert_eq!(writer.u16(0x0102), Ok(()));
        assert_eq!(writer.u16(0x0304), Err(Error::NoSpace));
        assert_eq!(writer.bytes(b"x"), Ok(()));
        assert_eq!(writer.len16(0x1_0000), Err(Error::TooLong));
        writer.truncate(9);
        assert_eq!(writer.len(), 3);
        writer.truncate(1);
        assert_eq!(writer.finish(), b"\x02");
        assert_eq!(out, *b"\x02\x01x");
    }
}
