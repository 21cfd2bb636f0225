// SPDX-License-Identifier: GPL-2.0

//! Bounded reading of what a TPM marshals: big-endian, sizes in front (TCG, TPM 2.0 Library,
//! Part 1, "Data Marshaling", and the `TPM2B_` types of Part 2).

use std::{fmt, str::FromStr};

/// Why bytes are not the structure that was expected.
pub(super) type Malformed = String;

/// Takes fields from the front.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn take(&mut self, size: usize, what: &str) -> Result<&'a [u8], Malformed> {
        let field = self
            .at
            .checked_add(size)
            .and_then(|end| self.bytes.get(self.at..end));
        let cut = || {
            format!(
                "the {what} at byte {} needs {size} bytes, but only {} are left",
                self.at,
                self.left()
            )
        };
        let field = field.ok_or_else(cut)?;
        self.at += size;
        Ok(field)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self, what: &str) -> Result<u8, Malformed> {
        self.array(what).map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self, what: &str) -> Result<u16, Malformed> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, Malformed> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, Malformed> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// A `TPM2B_` type: a size of two bytes, then so many bytes, at most `max`.
    pub(super) fn sized(&mut self, max: usize, what: &str) -> Result<&'a [u8], Malformed> {
        let size = usize::from(self.u16(what)?);
        if size > max {
            return Err(format!("a {what} of {size} bytes; it has at most {max}"));
        }
        self.take(size, what)
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Nothing is left.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        match self.left() {
            0 => Ok(()),
            left => Err(format!("{left} bytes more than it should have")),
        }
    }
}

/// Some bytes, shown as lower-case hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hex(pub Vec<u8>);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for Hex {
    type Err = &'static str;

    /// From hexadecimal digits of either case, of one byte at least.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let byte = |pair: &[u8]| match pair {
            [high, low] => {
                let digit = |digit: u8| char::from(digit).to_digit(16);
                u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
            }
            _ => None,
        };
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
        let bytes = bytes.filter(|bytes| !bytes.is_empty());
        bytes
            .map(Self)
            .ok_or("not an even number of hexadecimal digits")
    }
}

impl serde::Serialize for Hex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() -> Result<(), Malformed> {
        let mut reader = Reader::new(b"\x01\x02\x03\0\x02ab\xff");
        assert_eq!((reader.u8("a")?, reader.u16("b")?), (1, 0x0203));
        assert_eq!(reader.sized(2, "c")?, b"ab");
        assert_eq!(reader.end(), Err("1 bytes more than it should have".into()));
        assert!(reader
            .u32("clock")
            .is_err_and(|error| error.contains("clock at byte 7")));
        assert_eq!(reader.take(1, "rest")?, b"\xff");
        reader.end()
    }

    #[test]
    fn sizes_are_bounded() {
        assert!(Reader::new(b"\0\x03abc").sized(2, "x").is_err());
        assert!(Reader::new(b"\0\x04abc").sized(9, "x").is_err());
        assert!(Reader::new(b"").take(usize::MAX, "x").is_err());
    }

    #[test]
    fn hex() {
        assert_eq!("00Fe".parse(), Ok(Hex(vec![0, 0xfe])));
        assert_eq!(Hex(vec![0, 0xfe]).to_string(), "00fe");
        for wrong in ["", "0", "0x00", "+1", "é"] {
            assert!(wrong.parse::<Hex>().is_err(), "{wrong}");
        }
    }
}
