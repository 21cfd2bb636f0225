// SPDX-License-Identifier: GPL-2.0

//! What a quote was asked to contain.

use super::wire::Hex;
use std::{fmt, str::FromStr};

/// Bytes that whoever asked for a quote chose, and no one else could foresee: 1 to 64. An empty
/// one cannot be made, so that an unset variable does not pass for a question.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Nonce(
    // INVARIANT: 1 to `MAX` bytes.
    Hex,
);

/// Why something is no nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotANonce {
    /// It is empty.
    Empty,
    /// It has more than [`Nonce::MAX`] bytes: so many.
    Long(usize),
    /// It is no even number of hexadecimal digits.
    Digits,
}

impl Nonce {
    /// Largest nonce, in bytes: as long as the largest digest. TPMs take little more, many take less.
    pub const MAX: usize = 64;

    /// The bytes, as the TPM was given them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0 .0
    }
}

impl TryFrom<&[u8]> for Nonce {
    type Error = NotANonce;

    fn try_from(bytes: &[u8]) -> Result<Self, NotANonce> {
        match bytes.len() {
            0 => Err(NotANonce::Empty),
            1..=Self::MAX => Ok(Self(Hex(bytes.to_vec()))),
            long => Err(NotANonce::Long(long)),
        }
    }
}

impl FromStr for Nonce {
    type Err = NotANonce;

    /// From hexadecimal digits of either case.
    fn from_str(digits: &str) -> Result<Self, NotANonce> {
        if digits.is_empty() {
            return Err(NotANonce::Empty);
        }
        let Hex(bytes) = digits.parse().map_err(|_| NotANonce::Digits)?;
        Self::try_from(bytes.as_slice())
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for NotANonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str(
                "the nonce is empty: check the variable that should hold it. Without a nonce \
                 nothing says that the quote is recent",
            ),
            Self::Long(bytes) => write!(
                f,
                "the nonce has {bytes} bytes; it may have at most {}",
                Nonce::MAX
            ),
            Self::Digits => f.write_str(
                "the nonce is not an even number of hexadecimal digits: \
                 write it as `tpm2_quote -q` takes it",
            ),
        }
    }
}

impl std::error::Error for NotANonce {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_to_64_bytes() {
        assert_eq!(
            "00Fe".parse::<Nonce>().map(|nonce| nonce.to_string()),
            Ok("00fe".into())
        );
        for (digits, why) in [
            ("", NotANonce::Empty),
            ("0", NotANonce::Digits),
            ("0x00", NotANonce::Digits),
            (" ", NotANonce::Digits),
            (&"0".repeat(130), NotANonce::Long(65)),
        ] {
            assert_eq!(digits.parse::<Nonce>(), Err(why), "{digits}");
        }
        assert!("0".repeat(128).parse::<Nonce>().is_ok());
        assert_eq!(Nonce::try_from(b"".as_slice()), Err(NotANonce::Empty));
        assert!(NotANonce::Empty.to_string().contains("check the variable"));
    }
}
