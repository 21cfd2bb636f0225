// SPDX-License-Identifier: GPL-2.0

//! The header of the list that a kernel hands to the next one.
//!
//! ```text
//! u16 version = 1 | u16, u32 reserved | u64 bytes, header included | u64 records
//! ```
//!
//! The records follow as the sha1 bank shows them.

use super::{
    bytes::{
        Reader,
        Writer, //
    },
    ByteOrder,
    Error, //
};

const VERSION: u16 = 1;

/// The header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the header and of all records.
    pub size: u64,
    /// Number of records.
    pub count: u64,
}

impl Header {
    /// Bytes of the header.
    pub const SIZE: usize = 24;

    /// Parses the header at the front of `buffer`, and returns it with the bytes of the records.
    ///
    /// # Errors
    ///
    /// [`Error::BadVersion`]; [`Error::BadFixedLength`] if the size does not even cover the header;
    /// [`Error::Truncated`] if it exceeds `buffer`.
    pub fn parse(buffer: &[u8], order: ByteOrder) -> Result<(Self, &[u8]), Error> {
        let mut reader = Reader::new(buffer, order);
        let version = reader.u16()?;
        if version != VERSION {
            return Err(Error::BadVersion(version));
        }
        reader.bytes(size_of::<u16>() + size_of::<u32>())?;
        let header = Self {
            size: reader.u64()?,
            count: reader.u64()?,
        };
        let len = header
            .size
            .checked_sub(Self::SIZE as u64)
            .ok_or(Error::BadFixedLength)?;
        let len = usize::try_from(len).map_err(|_| Error::Truncated)?;
        Ok((header, reader.bytes(len)?))
    }

    /// Writes the header to the front of `out`.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`].
    pub fn encode(&self, out: &mut [u8], order: ByteOrder) -> Result<(), Error> {
        let mut writer = Writer::new(out, order);
        writer.u16(VERSION)?;
        writer.u16(0)?;
        writer.u32(0)?;
        writer.u64(self.size)?;
        writer.u64(self.count)
    }
}
