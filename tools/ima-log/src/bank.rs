// SPDX-License-Identifier: GPL-2.0

//! PCR banks: their names and hashes, and how a PCR is extended.

use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use sha3::{Sha3_256, Sha3_384, Sha3_512};
use sm3::Sm3;
use std::fmt;

/// A bank of PCRs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Bank {
    /// SHA-1, which does not resist collisions any more.
    Sha1 = 0x0004,
    /// SHA-256.
    Sha256 = 0x000b,
    /// SHA-384.
    Sha384 = 0x000c,
    /// SHA-512.
    Sha512 = 0x000d,
    /// SM3.
    Sm3 = 0x0012,
    /// SHA3-256.
    Sha3_256 = 0x0027,
    /// SHA3-384.
    Sha3_384 = 0x0028,
    /// SHA3-512.
    Sha3_512 = 0x0029,
}

impl Bank {
    /// All banks, by TPM algorithm identifier.
    pub const ALL: [Self; 8] = [
        Self::Sha1,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Sm3,
        Self::Sha3_256,
        Self::Sha3_384,
        Self::Sha3_512,
    ];

    /// The name, as in the kernel's file names and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Sm3 => "sm3",
            Self::Sha3_256 => "sha3-256",
            Self::Sha3_384 => "sha3-384",
            Self::Sha3_512 => "sha3-512",
        }
    }

    /// The bank of that name; `sm3-256`, `sm3_256` and `sha3_256` are understood too, as is the
    /// kernel's `tpm_alg_27` for a bank that it cannot hash.
    pub fn from_name(name: &str) -> Option<Self> {
        if let Some(id) = name.strip_prefix("tpm_alg_") {
            return Self::ALL
                .into_iter()
                .find(|bank| format!("{:x}", bank.tpm_id()) == id);
        }
        let name = name.replace('_', "-");
        let name = if name == "sm3-256" { "sm3" } else { &name };
        Self::ALL.into_iter().find(|bank| bank.name() == name)
    }

    /// TPM algorithm identifier (TCG Algorithm Registry).
    pub fn tpm_id(self) -> u16 {
        self as u16
    }

    /// The bank of that TPM algorithm identifier.
    pub fn from_tpm_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|bank| bank.tpm_id() == id)
    }

    /// Bytes of a digest: 20 to 64.
    pub fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 | Self::Sm3 | Self::Sha3_256 => 32,
            Self::Sha384 | Self::Sha3_384 => 48,
            Self::Sha512 | Self::Sha3_512 => 64,
        }
    }

    /// Does IMA know the hash? Into other banks it extends the SHA-1 digest, followed by zeros.
    pub fn mapped(self) -> bool {
        matches!(
            self,
            Self::Sha1 | Self::Sha256 | Self::Sha384 | Self::Sha512 | Self::Sm3
        )
    }

    /// The hash of these pieces, concatenated.
    pub fn hash(self, pieces: &[&[u8]]) -> Digest {
        fn with<H: sha2::Digest>(pieces: &[&[u8]]) -> Digest {
            let mut hash = H::new();
            for piece in pieces {
                hash.update(piece);
            }
            Digest::new(&hash.finalize())
        }
        match self {
            Self::Sha1 => with::<Sha1>(pieces),
            Self::Sha256 => with::<Sha256>(pieces),
            Self::Sha384 => with::<Sha384>(pieces),
            Self::Sha512 => with::<Sha512>(pieces),
            Self::Sm3 => with::<Sm3>(pieces),
            Self::Sha3_256 => with::<Sha3_256>(pieces),
            Self::Sha3_384 => with::<Sha3_384>(pieces),
            Self::Sha3_512 => with::<Sha3_512>(pieces),
        }
    }

    /// What a PCR of `value` holds after an extend with `digest`.
    pub fn extend(self, value: &Digest, digest: &Digest) -> Digest {
        self.hash(&[value.as_bytes(), digest.as_bytes()])
    }

    /// What a PCR holds after a reset.
    pub fn zeros(self) -> Digest {
        Digest::new(&[0; Digest::MAX][..self.size()])
    }
}

/// What a kernel extends into the PCRs of a bank. No list says it: it shows in what the PCRs held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Template digests of the bank's own hash; for a violation ones.
    Own,
    /// SHA-1 digests followed by zeros; for a violation the ones of a SHA-1 digest, and zeros.
    /// Kernels before 5.8 do so in all banks, later ones in those whose hash they do not know.
    Padded,
    /// SHA-1 digests followed by zeros, but for a violation nothing but ones. Kernels do so if
    /// they know the hash and cannot allocate it.
    Unallocated,
}

impl Content {
    /// What most kernels extend into a bank.
    pub fn usual(bank: Bank) -> Self {
        match bank.mapped() {
            true => Self::Own,
            false => Self::Padded,
        }
    }
}

impl fmt::Display for Bank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl serde::Serialize for Bank {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A digest, or the value of a PCR, of at most 64 bytes. Shown as lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    // INVARIANT: at most `MAX`; the bytes that follow are zero.
    len: u8,
    bytes: [u8; Self::MAX],
}

impl Digest {
    /// Largest digest, in bytes.
    pub const MAX: usize = 64;

    /// Takes the first 64 bytes at most.
    #[inline]
    pub fn new(from: &[u8]) -> Self {
        let mut bytes = [0; Self::MAX];
        let len = from.len().min(Self::MAX);
        bytes[..len].copy_from_slice(&from[..len]);
        Self {
            len: len as u8,
            bytes,
        }
    }

    /// From hexadecimal digits of either case.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() % 2 != 0 || digits.len() > 2 * Self::MAX {
            return None;
        }
        let mut bytes = [0; Self::MAX];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            for digit in pair {
                let value = char::from(*digit).to_digit(16)?;
                *byte = *byte << 4 | value as u8;
            }
        }
        Some(Self {
            len: (digits.len() / 2) as u8,
            bytes,
        })
    }

    /// The bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Is every byte zero?
    pub fn is_zero(&self) -> bool {
        self.bytes == [0; Self::MAX]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.as_bytes() {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let error = || serde::de::Error::custom("expected at most 64 bytes in hexadecimal digits");
        Self::from_hex(&text).ok_or_else(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digests of "abc" from FIPS 180-4, FIPS 202 and GB/T 32905.
    #[test]
    fn hashes() {
        let known = [
            (Bank::Sha1, "a9993e364706816a"),
            (Bank::Sha256, "ba7816bf8f01cfea"),
            (Bank::Sha384, "cb00753f45a35e8b"),
            (Bank::Sha512, "ddaf35a193617aba"),
            (Bank::Sm3, "66c7f0f462eeedd9"),
            (Bank::Sha3_256, "3a985da74fe225b2"),
            (Bank::Sha3_384, "ec01498288516fc9"),
            (Bank::Sha3_512, "b751850b1a57168a"),
        ];
        for (bank, start) in known {
            let digest = bank.hash(&[b"a", b"bc"]);
            assert!(digest.to_string().starts_with(start), "{bank}");
            assert_eq!(digest.as_bytes().len(), bank.size());
            assert_eq!(Bank::from_name(bank.name()), Some(bank));
            assert_eq!(Bank::from_tpm_id(bank.tpm_id()), Some(bank));
        }
    }

    #[test]
    fn names() {
        assert_eq!(Bank::from_name("sm3_256"), Some(Bank::Sm3));
        assert_eq!(Bank::from_name("tpm_alg_27"), Some(Bank::Sha3_256));
        assert_eq!(Bank::from_name("tpm_alg_+4"), None);
        assert_eq!(Bank::from_name("md5"), None);
    }

    #[test]
    fn hex() {
        let digest = Digest::new(b"\x00\xfe\x10");
        assert_eq!(digest.to_string(), "00fe10");
        assert_eq!(Digest::from_hex("00FE10"), Some(digest));
        assert_eq!(Digest::from_hex("00fe1"), None);
        assert_eq!(Digest::from_hex("+0"), None);
        assert_eq!(Digest::from_hex(&"0".repeat(130)), None);
        assert!(Bank::Sha512.zeros().is_zero());
    }
}
