// SPDX-License-Identifier: GPL-2.0

//! Which key it is.

use super::wire::Hex;
use crate::bank::Bank;
use std::{fmt, str::FromStr};

/// The TPM Name of a key (Part 1, "Names"): the identifier of a hash, and the digest of all that is
/// public of the key. Two keys never share one, whatever they say of themselves.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct KeyName(
    // INVARIANT: the two bytes of a bank's identifier, and a digest of that bank.
    Hex,
);

/// Why something is no name of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAName {
    /// It is no even number of hexadecimal digits.
    Digits,
    /// It does not start with the identifier of a hash that is known.
    Hash,
    /// What follows the identifier is not as long as a digest of that hash.
    Size(Bank),
}

impl KeyName {
    /// The name of the key that this TPMT_PUBLIC is of.
    pub(super) fn of(hash: Bank, public: &[u8]) -> Self {
        let digest = hash.hash(&[public]);
        Self(Hex(
            [&hash.tpm_id().to_be_bytes(), digest.as_bytes()].concat()
        ))
    }

    /// The bytes, as `tpm2_createak -n` and `tpm2_readpublic -n` write them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0 .0
    }
}

impl TryFrom<&[u8]> for KeyName {
    type Error = NotAName;

    fn try_from(bytes: &[u8]) -> Result<Self, NotAName> {
        let (id, digest) = bytes.split_first_chunk().ok_or(NotAName::Hash)?;
        let hash = Bank::from_tpm_id(u16::from_be_bytes(*id)).ok_or(NotAName::Hash)?;
        if digest.len() != hash.size() {
            return Err(NotAName::Size(hash));
        }
        Ok(Self(Hex(bytes.to_vec())))
    }
}

impl FromStr for KeyName {
    type Err = NotAName;

    /// From hexadecimal digits of either case.
    fn from_str(digits: &str) -> Result<Self, NotAName> {
        let Hex(bytes) = digits.parse().map_err(|_| NotAName::Digits)?;
        Self::try_from(bytes.as_slice())
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for NotAName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digits => f.write_str("the name of a key is written in hexadecimal digits")?,
            Self::Hash => f.write_str(
                "the name of a key starts with its hash in 4 digits: 000b for sha256, 000c for \
                 sha384",
            )?,
            Self::Size(hash) => write!(
                f,
                "the name of a key with {hash} has {} digits after the first 4",
                2 * hash.size()
            )?,
        }
        f.write_str("; tpm2_readpublic shows it, tpm2_createak -n writes it to a file as bytes")
    }
}

impl std::error::Error for NotAName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_and_a_digest() -> Result<(), NotAName> {
        let digits = format!("000B{}", "0e".repeat(32));
        let name: KeyName = digits.parse()?;
        assert_eq!(name.to_string(), digits.to_lowercase());
        assert_eq!(KeyName::try_from(name.as_bytes()), Ok(name));
        for (digits, why) in [
            ("", NotAName::Digits),
            (&digits[1..], NotAName::Digits),
            ("0b", NotAName::Hash),
            ("0001aa", NotAName::Hash),
            (&digits[4..], NotAName::Hash),
            (&digits[..66], NotAName::Size(Bank::Sha256)),
            ("000c", NotAName::Size(Bank::Sha384)),
        ] {
            assert_eq!(digits.parse::<KeyName>(), Err(why), "{digits}");
        }
        Ok(())
    }
}
