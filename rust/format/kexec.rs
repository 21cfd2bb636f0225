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

#[cfg_attr(CONFIG_KUNIT = "y", kernel::prelude::kunit_tests(ima_checkpoint_kexec))]
#[cfg_attr(not(CONFIG_KUNIT = "y"), cfg(test))]
mod tests {
    use super::*;

    const HEADER: Header = Header { size: 27, count: 2 };

    #[test]
    fn layout() -> Result<(), Error> {
        let mut out = [0xff; Header::SIZE];
        HEADER.encode(&mut out, ByteOrder::Little)?;
        assert_eq!(
            out,
            *b"\x01\0\0\0\0\0\0\0\x1b\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0"
        );
        HEADER.encode(&mut out, ByteOrder::Big)?;
        assert_eq!(
            out,
            *b"\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\x1b\0\0\0\0\0\0\0\x02"
        );
        let short = HEADER.encode(out.get_mut(..23).unwrap_or_default(), ByteOrder::Big);
        assert_eq!(short, Err(Error::NoSpace));
        Ok(())
    }

    #[test]
    fn size_bounds_the_records() -> Result<(), Error> {
        let mut buffer = *b"************************abcd";
        HEADER.encode(&mut buffer, ByteOrder::NATIVE)?;
        let records: &[u8] = b"abc";
        assert_eq!(
            Header::parse(&buffer, ByteOrder::NATIVE)?,
            (HEADER, records)
        );

        for (size, error) in [
            (23, Error::BadFixedLength),
            (29, Error::Truncated),
            (u64::MAX, Error::Truncated),
        ] {
            Header { size, ..HEADER }.encode(&mut buffer, ByteOrder::Big)?;
            assert_eq!(Header::parse(&buffer, ByteOrder::Big).err(), Some(error));
        }
        for len in 0..Header::SIZE {
            let short = buffer.get(..len).unwrap_or_default();
            assert_eq!(
                Header::parse(short, ByteOrder::Big).err(),
                Some(Error::Truncated)
            );
        }
        let wrong_order = Header::parse(&buffer, ByteOrder::Little);
        assert_eq!(wrong_order.err(), Some(Error::BadVersion(0x100)));
        Ok(())
    }
}
