// SPDX-License-Identifier: GPL-2.0

//! The buffer of a quote record: what a TPM signed over the newest checkpoint.
//!
//! The numbers of the fixed part are little-endian, whatever the byte order of the list. The TPM's
//! structures follow as the TPM gave them, in its own byte order: `TPM2B_NAME` of the key,
//! `TPM2B_ATTEST`, `TPMT_SIGNATURE`. They are specified in the TPM 2.0 Library, Part 2.

use super::{
    bytes::{
        Reader,
        Writer, //
    },
    ByteOrder,
    Error, //
};

/// The event name of a quote record.
pub const EVENT_NAME: &[u8] = b".ima/quote";

/// Largest buffer, in bytes: as that of a checkpoint. An RSA key of 4096 bits needs about 800.
pub const MAX_BUFFER: usize = 3968;

const MAGIC: &[u8; 8] = b"IMA-QUOT";
const VERSION: u16 = 1;

/// `TPM_GENERATED_VALUE`: nothing that a TPM signs but did not make starts with it.
const GENERATED: u32 = 0xff54_4347;
/// `TPM_ST_ATTEST_QUOTE`.
const ATTEST_QUOTE: u16 = 0x8018;
/// `TPM_ALG_RSASSA`.
const RSASSA: u16 = 0x0014;
/// `TPM_ALG_RSAPSS`.
const RSAPSS: u16 = 0x0016;
/// `TPM_ALG_ECDSA`.
const ECDSA: u16 = 0x0018;
/// Longest Name of a key: an algorithm, and its digest of at most 64 bytes.
const MAX_NAME: usize = 66;

/// What a TPM gave: the Name of a key, a quote, and the key's signature of it. Only its form is
/// known to be right; who signed it, and whether at all, is for a verifier to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence<'a> {
    bytes: &'a [u8],
    name: &'a [u8],
    attest: &'a [u8],
    extra_data: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Evidence<'a> {
    /// Largest, in bytes.
    pub const MAX: usize = MAX_BUFFER - Quote::SIZE;

    /// Parses `TPM2B_NAME`, `TPM2B_ATTEST` and `TPMT_SIGNATURE`, concatenated.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`], or [`Error::BadQuote`]: a structure is cut, is none of a quote, or
    /// something follows the signature.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > Self::MAX {
            return Err(Error::TooLong);
        }
        Self::split(bytes).ok_or(Error::BadQuote)
    }

    fn split(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes, ByteOrder::Big);
        let name = sized(&mut reader)?;
        if !(3..=MAX_NAME).contains(&name.len()) {
            return None;
        }
        let attest = sized(&mut reader)?;
        let extra_data = extra_data(attest)?;
        let signature = reader.rest();
        is_signature(signature).then_some(Self {
            bytes,
            name,
            attest,
            extra_data,
            signature,
        })
    }

    /// The TPM Name of the key, as it was said: the algorithm and the digest.
    pub fn name(&self) -> &'a [u8] {
        self.name
    }

    /// `TPMS_ATTEST`, what was signed.
    pub fn attest(&self) -> &'a [u8] {
        self.attest
    }

    /// `extraData` of it: what the quote was asked to be over.
    pub fn extra_data(&self) -> &'a [u8] {
        self.extra_data
    }

    /// `TPMT_SIGNATURE`.
    pub fn signature(&self) -> &'a [u8] {
        self.signature
    }
}

/// Takes the content of a `TPM2B`.
fn sized<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let len = reader.u16().ok()?;
    reader.bytes(len.into()).ok()
}

/// `extraData` of a `TPMS_ATTEST`, if that is of a quote.
fn extra_data(attest: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(attest, ByteOrder::Big);
    if reader.u32().ok()? != GENERATED || reader.u16().ok()? != ATTEST_QUOTE {
        return None;
    }
    sized(&mut reader)?;
    sized(&mut reader)
}

/// Is it a `TPMT_SIGNATURE`, whole and nothing else?
fn is_signature(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes, ByteOrder::Big);
    let algorithm = reader.u16();
    let Ok(_hash) = reader.u16() else {
        return false;
    };
    let numbers = match algorithm {
        Ok(RSASSA | RSAPSS) => 1,
        Ok(ECDSA) => 2,
        _ => return false,
    };
    let filled = (0..numbers).all(|_| sized(&mut reader).is_some_and(|number| !number.is_empty()));
    filled && reader.rest().is_empty()
}

/// A quote over a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote<'a> {
    /// Random identifier of the list, as in its checkpoints.
    pub log_id: [u8; 16],
    /// The checkpoint, from 1.
    pub sequence: u64,
    /// SHA-256 of its buffer, which is `extraData` of the quote.
    pub digest: [u8; 32],
    /// What the TPM gave.
    pub evidence: Evidence<'a>,
}

impl<'a> Quote<'a> {
    /// Bytes of the fixed part.
    pub const SIZE: usize = 72;

    /// Parses the buffer of a quote record.
    ///
    /// The fixed part may be longer than this version's: what a later kernel appended to it is
    /// skipped.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`], [`Error::Truncated`], [`Error::BadMagic`], [`Error::BadVersion`],
    /// [`Error::BadFixedLength`], [`Error::BadSequence`], or [`Error::BadQuote`], also if the quote
    /// is not over the checkpoint.
    pub fn parse(buffer: &'a [u8]) -> Result<Self, Error> {
        if buffer.len() > MAX_BUFFER {
            return Err(Error::TooLong);
        }
        let mut reader = Reader::new(buffer, ByteOrder::Little);
        reader.preamble(MAGIC, VERSION)?;
        let _reserved = reader.u16()?;
        let size = reader.len32()?;
        let evidence = buffer.get(size..).ok_or(Error::BadFixedLength)?;
        if size < Self::SIZE {
            return Err(Error::BadFixedLength);
        }
        let quote = Self {
            log_id: reader.array()?,
            sequence: reader.u64()?,
            digest: reader.array()?,
            evidence: Evidence::parse(evidence)?,
        };
        quote.check().map(|()| quote)
    }

    fn check(&self) -> Result<(), Error> {
        if self.sequence == 0 {
            Err(Error::BadSequence)
        } else if self.evidence.extra_data != self.digest {
            Err(Error::BadQuote)
        } else {
            Ok(())
        }
    }

    /// Writes the buffer to the front of `out`, of which at most [`MAX_BUFFER`] bytes are used, and
    /// returns it.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`], [`Error::BadSequence`], or [`Error::BadQuote`]: the quote is not over
    /// the checkpoint.
    pub fn encode<'b>(&self, out: &'b mut [u8]) -> Result<&'b [u8], Error> {
        self.check()?;
        let len = out.len().min(MAX_BUFFER);
        let out = out.get_mut(..len).unwrap_or_default();
        let mut writer = Writer::new(out, ByteOrder::Little);
        writer.bytes(MAGIC)?;
        writer.u16(VERSION)?;
        writer.u16(0)?;
        writer.len32(Self::SIZE)?;
        writer.bytes(&self.log_id)?;
        writer.u64(self.sequence)?;
        writer.bytes(&self.digest)?;
        writer.bytes(self.evidence.bytes)?;
        Ok(writer.finish())
    }
}

#[cfg(any(CONFIG_KUNIT = "y", test))]
pub mod example {
    //! A quote whose form is right, for tests.

    use super::*;

    /// The Name of the key: SHA-256 of something.
    pub const NAME: [u8; 34] = {
        let mut name = [0x4e; 34];
        (name[0], name[1]) = (0, 0x0b);
        name
    };

    /// Bytes of [`evidence`].
    pub const LEN: usize = 2 + 34 + 2 + ATTEST + 4 + 2 * (2 + 32);

    const ATTEST: usize = 4 + 2 + 2 + 34 + 2 + 32 + 17 + 8 + 4;

    /// What a TPM gives for a quote over `extra_data` with a key on P-256. It selects no PCR, and
    /// the numbers of the signature are not a signature.
    pub fn evidence(extra_data: &[u8; 32]) -> Result<[u8; LEN], Error> {
        let mut out = [0; LEN];
        let mut writer = Writer::new(&mut out, ByteOrder::Big);
        writer.u16(34)?;
        writer.bytes(&NAME)?;
        writer.u16(ATTEST as u16)?;
        writer.bytes(b"\xffTCG\x80\x18")?;
        writer.u16(34)?;
        writer.bytes(&NAME)?;
        writer.u16(32)?;
        writer.bytes(extra_data)?;
        // Clock, reset and restart count, safe; firmware; no bank, no digest is quoted.
        writer.bytes(&[0; 17 + 8 + 4])?;
        writer.bytes(b"\0\x18\0\x0b")?;
        for byte in [0x52, 0x53] {
            writer.u16(32)?;
            writer.bytes(&[byte; 32])?;
        }
        Ok(out)
    }
}

#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(ima_checkpoint_quote_record)
)]
#[cfg_attr(not(CONFIG_KUNIT = "y"), cfg(test))]
mod tests {
    use super::*;

    const DIGEST: [u8; 32] = [3; 32];

    /// The quote with this evidence.
    fn quote(evidence: Evidence<'_>) -> Quote<'_> {
        Quote {
            log_id: [1; 16],
            sequence: 2,
            digest: DIGEST,
            evidence,
        }
    }

    #[test]
    fn layout() -> Result<(), Error> {
        let bytes = example::evidence(&DIGEST)?;
        let mut out = [0xff; MAX_BUFFER];
        let buffer = quote(Evidence::parse(&bytes)?).encode(&mut out)?;
        assert_eq!(buffer.len(), Quote::SIZE + bytes.len());
        assert!(buffer.starts_with(b"IMA-QUOT\x01\0\0\0\x48\0\0\0\x01\x01"));
        assert_eq!(
            buffer.get(32..42),
            Some(b"\x02\0\0\0\0\0\0\0\x03\x03".as_slice())
        );
        assert!(buffer.ends_with(&bytes));
        Ok(())
    }

    #[test]
    fn round_trip() -> Result<(), Error> {
        let bytes = example::evidence(&DIGEST)?;
        let evidence = Evidence::parse(&bytes)?;
        let mut out = [0; MAX_BUFFER];
        let parsed = Quote::parse(quote(evidence).encode(&mut out)?)?;
        assert_eq!(parsed, quote(evidence));
        assert_eq!(parsed.evidence.name(), example::NAME);
        assert_eq!(parsed.evidence.extra_data(), DIGEST);
        assert!(parsed.evidence.attest().starts_with(b"\xffTCG\x80\x18"));
        assert!(parsed
            .evidence
            .signature()
            .starts_with(b"\0\x18\0\x0b\0\x20"));
        Ok(())
    }

    #[test]
    fn evidence_is_whole_and_nothing_else() -> Result<(), Error> {
        let bytes = example::evidence(&DIGEST)?;
        for len in 0..bytes.len() {
            let cut = Evidence::parse(bytes.get(..len).unwrap_or_default());
            assert_eq!(cut.err(), Some(Error::BadQuote));
        }
        let mut longer = [0; example::LEN + 1];
        longer.split_at_mut(bytes.len()).0.copy_from_slice(&bytes);
        assert_eq!(Evidence::parse(&longer).err(), Some(Error::BadQuote));
        let huge = [0; Evidence::MAX + 1];
        assert_eq!(Evidence::parse(&huge).err(), Some(Error::TooLong));
        Ok(())
    }

    #[test]
    fn only_quotes_that_are_signed() -> Result<(), Error> {
        let bytes = example::evidence(&DIGEST)?;
        let with = |at: usize, byte: u8| {
            let mut bad = bytes;
            *bad.get_mut(at).ok_or(Error::NoSpace)? = byte;
            Evidence::parse(&bad).map(|_| ())
        };
        let signature = bytes.len() - (4 + 2 * 34);
        // The length of the Name, the magic, the type, the scheme, the length of the first number.
        for (at, byte) in [
            (1, 0),
            (1, 2),
            (1, 67),
            (38, 0),
            (43, 0x14),
            (signature + 1, 0x14),
            (signature + 1, 0x10),
            (signature + 5, 0),
        ] {
            assert_eq!(with(at, byte), Err(Error::BadQuote));
        }
        assert_eq!(with(signature + 3, 0x0c), Ok(()));
        assert!(is_signature(b"\0\x14\0\x0b\0\x01s"));
        assert!(is_signature(b"\0\x16\0\x0b\0\x01s"));
        assert!(!is_signature(b"\0\x16\0\x0b\0\x01st"));
        Ok(())
    }

    #[test]
    fn refused() -> Result<(), Error> {
        let bytes = example::evidence(&DIGEST)?;
        let whole = quote(Evidence::parse(&bytes)?);
        let mut out = [0; MAX_BUFFER];
        let len = whole.encode(&mut out)?.len();
        let with = |at: usize, byte: u8| {
            let mut bad = out;
            *bad.get_mut(at).ok_or(Error::NoSpace)? = byte;
            Quote::parse(bad.get(..len).unwrap_or_default()).map(|_| ())
        };
        assert_eq!(with(7, b'G'), Err(Error::BadMagic));
        assert_eq!(with(8, 2), Err(Error::BadVersion(2)));
        assert_eq!(with(12, 71), Err(Error::BadFixedLength));
        assert_eq!(with(15, 0xff), Err(Error::BadFixedLength));
        assert_eq!(with(32, 0), Err(Error::BadSequence));
        assert_eq!(with(40, 4), Err(Error::BadQuote));
        // Reserved.
        assert_eq!(with(10, 1), Ok(()));
        for end in 0..len {
            assert!(Quote::parse(out.get(..end).unwrap_or_default()).is_err());
        }
        let long = Quote::parse(&[0; MAX_BUFFER + 1]);
        assert_eq!(long.err(), Some(Error::TooLong));
        let mut short = [0; Quote::SIZE + example::LEN - 1];
        assert_eq!(whole.encode(&mut short).err(), Some(Error::NoSpace));
        let other = Quote {
            digest: [4; 32],
            ..whole
        };
        assert_eq!(other.encode(&mut out).err(), Some(Error::BadQuote));
        let zero = Quote {
            sequence: 0,
            ..whole
        };
        assert_eq!(zero.encode(&mut out).err(), Some(Error::BadSequence));
        Ok(())
    }

    #[test]
    fn longer_fixed_part_is_skipped() -> Result<(), Error> {
        let bytes = example::evidence(&DIGEST)?;
        let whole = quote(Evidence::parse(&bytes)?);
        let mut out = [0; MAX_BUFFER];
        let len = whole.encode(&mut out)?.len();
        out.copy_within(Quote::SIZE..len, Quote::SIZE + 8);
        *out.get_mut(12).ok_or(Error::NoSpace)? += 8;
        let longer = out.get(..len + 8).unwrap_or_default();
        assert_eq!(Quote::parse(longer), Ok(whole));
        Ok(())
    }
}
