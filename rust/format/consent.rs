// SPDX-License-Identifier: GPL-2.0

//! The consent to a truncation: what a key signs before a kernel with `truncate_needs_signature=1`
//! frees anything, and the form of the signature.
//!
//! What is signed is a line of text, so that a person can make it with ordinary tools. The
//! signature is that of a file with this line, as `evmctl ima_sign --sigfile -a sha256` writes
//! it: IMA's own format, which starts with `struct signature_v2_hdr` of
//! `security/integrity/integrity.h`.

use super::{
    bytes::Reader,
    text::{
        put_decimal,
        put_hex,
        Sink, //
    },
    ByteOrder,
    Error, //
};

/// What the line starts with. Nothing else that a key signs does, and the 1 is the version.
const PREFIX: &[u8] = b"ima-checkpoint truncate 1 ";

/// A consent: this checkpoint of this log may become the first of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Random identifier of the list, as in its checkpoints.
    pub log_id: [u8; 16],
    /// The checkpoint that the list is to start with, from 1.
    pub sequence: u64,
    /// SHA-256 of that checkpoint's buffer.
    pub digest: [u8; 32],
}

impl Consent {
    /// What is signed: `ima-checkpoint truncate 1 LOGID K DIGEST`, and a newline.
    ///
    /// LOGID has 32 and DIGEST 64 hexadecimal digits in lower case, and K is decimal without
    /// leading zeros.
    pub fn message(&self) -> Message {
        let mut message = Message {
            bytes: [0; Message::MAX],
            len: 0,
        };
        message.put(PREFIX);
        put_hex(&self.log_id, &mut message);
        message.put(b" ");
        put_decimal(self.sequence, &mut message);
        message.put(b" ");
        put_hex(&self.digest, &mut message);
        message.put(b"\n");
        message
    }
}

/// The line that is signed.
#[derive(Clone, Debug)]
pub struct Message {
    bytes: [u8; Self::MAX],
    len: usize,
}

impl Message {
    /// Longest, in bytes.
    pub const MAX: usize = PREFIX.len() + 32 + 1 + 20 + 1 + 64 + 1;

    /// The line, with its newline. Its SHA-256 is what a signature is made of.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Sink for Message {
    fn put(&mut self, bytes: &[u8]) {
        let rest = self.bytes.iter_mut().skip(self.len);
        for (to, from) in rest.zip(bytes) {
            *to = *from;
        }
        self.len += bytes.len();
    }
}

/// `EVM_IMA_XATTR_DIGSIG`.
const DIGSIG: u8 = 3;
/// `HASH_ALGO_SHA256` of `include/uapi/linux/hash_info.h`.
const SHA256: u8 = 4;

/// A signature in IMA's format, over a SHA-256. Only its form is known to be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    bytes: &'a [u8],
    key_id: u32,
}

impl<'a> Signature<'a> {
    /// Bytes of the header: type, version, hash, key, length.
    pub const HEADER: usize = 9;

    /// Longest, in bytes: the header, and a signature by ML-DSA-87. Those by RSA and ECDSA are
    /// shorter.
    pub const MAX: usize = Self::HEADER + 4627;

    /// Parses the bytes of a signature, which are one and nothing else.
    ///
    /// Version 2 is of the digest. Version 3 is of a structure with the digest in it. Version 1 is
    /// of an obsolete type of key, and of a SHA-1.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`], [`Error::TooLong`], [`Error::BadVersion`], or [`Error::BadSignature`]:
    /// it is not one of IMA's, not over a SHA-256, or not of the length that it says.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > Self::MAX {
            return Err(Error::TooLong);
        }
        let mut reader = Reader::new(bytes, ByteOrder::Big);
        if reader.u8()? != DIGSIG {
            return Err(Error::BadSignature);
        }
        match reader.u8()? {
            2 | 3 => (),
            version => return Err(Error::BadVersion(version.into())),
        }
        if reader.u8()? != SHA256 {
            return Err(Error::BadSignature);
        }
        let key_id = reader.u32()?;
        let len = usize::from(reader.u16()?);
        match reader.rest().len() {
            0 => Err(Error::Truncated),
            rest if rest < len => Err(Error::Truncated),
            rest if rest > len => Err(Error::BadSignature),
            _ => Ok(Self { bytes, key_id }),
        }
    }

    /// All of it, with the header.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The end of the key's identifier, by which IMA looks for the key.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }
}

#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(ima_checkpoint_consent)
)]
#[cfg_attr(not(CONFIG_KUNIT = "y"), cfg(test))]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_as_documented() {
        let consent = Consent {
            log_id: *b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef",
            sequence: 17,
            digest: [0xfe; 32],
        };
        let line = b"ima-checkpoint truncate 1 0123456789abcdef0123456789abcdef 17 \
            fefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefe\n";
        assert_eq!(consent.message().as_bytes(), line.as_slice());
    }

    #[test]
    fn the_longest_line_fits() {
        let consent = Consent {
            log_id: [0; 16],
            sequence: u64::MAX,
            digest: [0; 32],
        };
        let message = consent.message();
        assert_eq!(message.as_bytes().len(), Message::MAX);
        assert!(message.as_bytes().ends_with(b"0\n"));
        let shortest = Consent {
            sequence: 0,
            ..consent
        };
        assert_eq!(shortest.message().as_bytes().len(), Message::MAX - 19);
    }

    /// As evmctl writes it: RSA of 2048 bits would have 256 bytes, this has 5.
    const SIGNATURE: &[u8] = b"\x03\x02\x04\x99\x6c\x7d\xff\0\x05abcde";

    #[test]
    fn what_evmctl_writes_is_taken() -> Result<(), Error> {
        let signature = Signature::parse(SIGNATURE)?;
        assert_eq!(signature.key_id(), 0x996c_7dff);
        assert_eq!(signature.as_bytes(), SIGNATURE);
        assert_eq!(SIGNATURE.len(), Signature::HEADER + 5);
        Ok(())
    }

    #[test]
    fn other_forms_are_refused() {
        let with = |at: usize, byte: u8| {
            let mut bytes = [0; Signature::HEADER + 5];
            bytes.copy_from_slice(SIGNATURE);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            Signature::parse(&bytes).map(|_| ())
        };
        assert_eq!(with(1, 3), Ok(()));
        assert_eq!(with(0, 5), Err(Error::BadSignature));
        assert_eq!(with(0, 4), Err(Error::BadSignature));
        assert_eq!(with(1, 1), Err(Error::BadVersion(1)));
        assert_eq!(with(1, 4), Err(Error::BadVersion(4)));
        assert_eq!(with(2, 2), Err(Error::BadSignature));
        assert_eq!(with(2, 6), Err(Error::BadSignature));
        assert_eq!(with(7, 1), Err(Error::Truncated));
        assert_eq!(with(8, 4), Err(Error::BadSignature));
        assert_eq!(with(8, 6), Err(Error::Truncated));
    }

    #[test]
    fn every_beginning_is_truncated() {
        for len in 0..SIGNATURE.len() {
            let cut = SIGNATURE.get(..len).unwrap_or_default();
            assert_eq!(Signature::parse(cut), Err(Error::Truncated));
        }
        // A header that promises nothing has nothing to verify.
        assert_eq!(
            Signature::parse(b"\x03\x02\x04\x99\x6c\x7d\xff\0\0"),
            Err(Error::Truncated)
        );
    }

    /// Not on the stack, which is small in the kernel.
    static TOO_LONG: [u8; Signature::MAX + 1] = {
        let header = b"\x03\x03\x04\0\0\0\0\x12\x13";
        let mut bytes = [0; Signature::MAX + 1];
        let mut at = 0;
        while at < header.len() {
            bytes[at] = header[at];
            at += 1;
        }
        bytes
    };

    #[test]
    fn the_longest_is_taken_and_no_longer_one() {
        let longest = TOO_LONG.get(..Signature::MAX).unwrap_or_default();
        assert!(Signature::parse(longest).is_ok());
        assert_eq!(Signature::parse(&TOO_LONG), Err(Error::TooLong));
    }
}
