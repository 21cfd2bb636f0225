// SPDX-License-Identifier: GPL-2.0

//! The fixed part of a checkpoint.

use core::ops::BitOr;

use super::super::{
    bytes::{
        Reader,
        Writer, //
    },
    ByteOrder,
    Error, //
};

const MAGIC: &[u8; 8] = b"IMA-CKPT";
const VERSION: u16 = 1;

/// Largest number of a record or segment, and largest offset: that of a file.
const MAX_COUNT: u64 = i64::MAX as u64;

/// Bytes that a record has more in the widest view than in the sha1 view: the hexadecimal digits of
/// a digest of 64 bytes instead of one of 20.
const WIDEST_SURPLUS: u64 = 2 * (64 - 20);

/// What is special about a checkpoint. Unknown bits mean nothing and are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// Made by the kernel on its own.
    pub const AUTOMATIC: Self = Self(1);
    /// The last one before a kexec.
    pub const BEFORE_KEXEC: Self = Self(2);
    /// There is no TPM: all values are the replay's.
    pub const NO_TPM: Self = Self(4);
    /// PCRs held something that no record explains when this kernel started.
    pub const LOG_LOST: Self = Self(8);
    /// Some PCRs' items were left out.
    pub const INCOMPLETE: Self = Self(16);
    /// Some PCR differed from its replay.
    pub const DIFFERS: Self = Self(32);

    /// From the number in the buffer.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The number in the buffer.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Are all of these set?
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The fixed part of a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// What is special about it.
    pub flags: Flags,
    /// Random identifier of the list, kept across kexec.
    pub log_id: [u8; 16],
    /// Number of the checkpoint, from 1.
    pub sequence: u64,
    /// Kexecs since cold boot.
    pub generation: u32,
    /// IMA's default PCR, which the record itself is extended into.
    pub default_pcr: u32,
    /// Index of the record since cold boot, from 0.
    pub record: u64,
    /// Offset of the record since cold boot, in bytes of the sha1 view.
    pub offset: u64,
    /// Violations since cold boot.
    pub violations: u64,
    /// Wall clock, in nanoseconds since 1970-01-01 UTC.
    pub wall_ns: u64,
    /// Time since the boot of this kernel, in nanoseconds.
    pub boot_ns: u64,
    /// Records of the segment that it seals.
    pub segment_records: u64,
    /// Bytes of that segment in the sha1 view.
    pub segment_bytes: u64,
    /// SHA-256 of these bytes.
    pub segment_digest: [u8; 32],
    /// SHA-256 of the previous checkpoint's buffer, zeros in the first.
    pub previous: [u8; 32],
}

impl Header {
    /// Bytes of the fixed part.
    pub const SIZE: usize = 168;

    /// Largest count that a log may start with: 2^55.
    ///
    /// The offset of such a start is below 2^62 in every view, so that a file offset can be added
    /// to it, and 2^55 records or 2^61 bytes can follow before any number or offset is 2^63. At a
    /// million records and a gigabyte a second this takes seventy years; honest logs start lower.
    pub const MAX_START: u64 = 1 << 55;

    /// Can a log that starts with this checkpoint be continued?
    ///
    /// The records before it are gone, so that nothing contradicts what it says of their number. A
    /// kernel that believed any number could soon neither make a checkpoint nor show its list.
    pub fn leaves_room(&self) -> bool {
        let counts = [self.sequence, self.record, self.offset, self.violations];
        counts.iter().all(|count| *count <= Self::MAX_START)
    }

    /// Where the flags are.
    pub(super) const FLAGS_OFFSET: usize = 12;

    /// Parses it, and returns it with the bytes that follow it.
    pub(super) fn parse(buffer: &[u8]) -> Result<(Self, &[u8]), Error> {
        let mut reader = Reader::new(buffer, ByteOrder::Little);
        reader.preamble(MAGIC, VERSION)?;
        let size = usize::from(reader.u16()?);
        let items = buffer.get(size..).ok_or(Error::BadFixedLength)?;
        if size < Self::SIZE {
            return Err(Error::BadFixedLength);
        }
        let header = Self {
            flags: Flags(reader.u32()?),
            log_id: reader.array()?,
            sequence: reader.u64()?,
            generation: reader.u32()?,
            default_pcr: reader.u32()?,
            record: reader.u64()?,
            offset: reader.u64()?,
            violations: reader.u64()?,
            wall_ns: reader.u64()?,
            boot_ns: reader.u64()?,
            segment_records: reader.u64()?,
            segment_bytes: reader.u64()?,
            segment_digest: reader.array()?,
            previous: reader.array()?,
        };
        header.check()?;
        Ok((header, items))
    }

    /// Are the numbers possible? Those that count are small enough that two can be added.
    fn check(&self) -> Result<(), Error> {
        if self.sequence == 0 {
            return Err(Error::BadSequence);
        }
        let counts = [
            self.sequence,
            self.record,
            self.offset,
            self.violations,
            self.segment_records,
            self.segment_bytes,
        ];
        if counts.iter().any(|count| *count > MAX_COUNT) {
            return Err(Error::TooLarge);
        }
        Ok(())
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        self.check()?;
        writer.bytes(MAGIC)?;
        writer.u16(VERSION)?;
        writer.u16(Self::SIZE as u16)?;
        writer.u32(self.flags.0)?;
        writer.bytes(&self.log_id)?;
        writer.u64(self.sequence)?;
        writer.u32(self.generation)?;
        writer.u32(self.default_pcr)?;
        writer.u64(self.record)?;
        writer.u64(self.offset)?;
        writer.u64(self.violations)?;
        writer.u64(self.wall_ns)?;
        writer.u64(self.boot_ns)?;
        writer.u64(self.segment_records)?;
        writer.u64(self.segment_bytes)?;
        writer.bytes(&self.segment_digest)?;
        writer.bytes(&self.previous)
    }
}

// The widest offset of a start, and as much again.
const _: () = assert!(Header::MAX_START * (WIDEST_SURPLUS + 1) <= MAX_COUNT / 2);

#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(ima_checkpoint_header)
)]
#[cfg_attr(not(CONFIG_KUNIT = "y"), cfg(test))]
mod tests {
    use super::*;

    /// A header with the same number wherever the log as a whole is counted.
    fn counting(count: u64) -> Header {
        Header {
            sequence: count,
            record: count,
            offset: count,
            violations: count,
            ..Header::default()
        }
    }

    fn encodes(header: &Header) -> bool {
        let mut out = [0; Header::SIZE];
        let mut writer = Writer::new(&mut out, ByteOrder::Little);
        header.write(&mut writer).is_ok() && Header::parse(&out).is_ok_and(|(h, _)| h == *header)
    }

    #[test]
    fn what_a_log_may_start_with_can_be_continued() {
        let start = counting(Header::MAX_START);
        assert!(start.leaves_room() && encodes(&start));
        // 2^55 records of 64 bytes
        let later = Header {
            offset: start.offset + (1 << 61),
            ..counting(Header::MAX_START + (1 << 55))
        };
        assert!(encodes(&later));
        // ... and where they end in the files of a sha512 bank, binary and as text.
        let binary = later.offset + later.record * (64 - 20);
        let text = (1 << 61) + later.record * 2 * (64 - 20);
        assert!(binary.max(text) <= i64::MAX as u64);
    }

    #[test]
    fn a_forged_count_leaves_no_room() {
        let most = i64::MAX as u64;
        assert!(encodes(&counting(most)) && !encodes(&counting(most + 1)));
        let start = counting(1);
        let forged = [
            Header {
                sequence: most,
                ..start
            },
            Header {
                record: most,
                ..start
            },
            Header {
                offset: most,
                ..start
            },
            Header {
                violations: most,
                ..start
            },
            counting(Header::MAX_START + 1),
        ];
        for header in forged {
            assert!(encodes(&header) && !header.leaves_room());
        }
    }
}
