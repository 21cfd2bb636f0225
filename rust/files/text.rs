// SPDX-License-Identifier: GPL-2.0

//! Text for people and programs: rendered into memory, and parsed strictly.

pub(super) use crate::config::decimal;

use crate::{
    log::Sealed,
    memory::KVVec, //
};
use core::fmt::{
    self,
    Display,
    Write, //
};
use kernel::{
    prelude::*,
    uaccess::UserSliceWriter, //
};

/// Rendered text.
#[derive(Default)]
pub(super) struct Text(KVVec<u8>);

impl Text {
    /// Renders a text. ENOMEM if there is no memory for it.
    pub(super) fn render(fill: impl FnOnce(&mut Self) -> fmt::Result) -> Result<Self> {
        let mut text = Self::default();
        fill(&mut text).map_err(|_| ENOMEM)?;
        Ok(text)
    }

    /// The line that names a checkpoint. ENOMEM.
    pub(super) fn sealed(sealed: &Sealed) -> Result<Self> {
        Self::render(|text| writeln!(text, "seq={} digest={}", sealed.seq, Hex(&sealed.digest)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Copies from byte `position` to `out` and returns the number of bytes, 0 at the end.
    pub(super) fn read(&self, position: u64, out: &mut UserSliceWriter) -> Result<usize> {
        out.write_slice_partial(&self.0, position.try_into().unwrap_or(usize::MAX))
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0
            .extend_from_slice(text.as_bytes(), GFP_KERNEL)
            .map_err(|_| fmt::Error)
    }
}

/// Shows bytes as lower-case hexadecimal digits.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The words of a command: one space between two of them, a newline may end the last.
pub(super) fn words(command: &[u8]) -> impl Iterator<Item = &[u8]> {
    command
        .strip_suffix(b"\n")
        .unwrap_or(command)
        .split(|&byte| byte == b' ')
}

/// A SHA-256 digest of 64 hexadecimal digits.
pub(super) fn digest(word: &[u8]) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if word.len() != 2 * digest.len() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(word.chunks_exact(2)) {
        *byte = hex_byte(pair)?;
    }
    Some(digest)
}

/// Bytes of hexadecimal digits, at least one. EINVAL for anything else, or ENOMEM.
pub(super) fn bytes(word: &[u8]) -> Result<KVVec<u8>> {
    let pairs = word.chunks_exact(2);
    if word.is_empty() || !pairs.remainder().is_empty() {
        return Err(EINVAL);
    }
    let mut bytes = KVVec::with_capacity(pairs.len(), GFP_KERNEL)?;
    for pair in pairs {
        bytes.push(hex_byte(pair).ok_or(EINVAL)?, GFP_KERNEL)?;
    }
    Ok(bytes)
}

/// The byte of two hexadecimal digits.
fn hex_byte(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0_u8, |byte, &digit| {
        let value = char::from(digit).to_digit(16)?;
        Some(byte << 4 | u8::try_from(value).ok()?)
    })
}

#[kunit_tests(ima_checkpoint_commands)]
mod tests {
    use super::*;

    fn is_words(command: &[u8], expected: &[&[u8]]) -> bool {
        words(command).eq(expected.iter().copied())
    }

    #[test]
    fn words_are_split_at_single_spaces() {
        assert!(is_words(b"3 ascii\n", &[b"3", b"ascii"]));
        assert!(is_words(b"3", &[b"3"]));
        assert!(is_words(b"", &[b""]));
        assert!(is_words(b" 3  4 ", &[b"", b"3", b"", b"4", b""]));
        assert!(is_words(b"3\n\n", &[b"3\n"]));
        assert!(is_words(b"3\t4", &[b"3\t4"]));
    }

    #[test]
    fn decimal_takes_every_u64() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"007"), Some(7));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
    }

    #[test]
    fn decimal_refuses_anything_else() {
        let refused: [&[u8]; 10] = [
            b"",
            b"+1",
            b"-1",
            b" 1",
            b"1 ",
            b"0x1",
            b"1_0",
            b"18446744073709551616",
            b"1\0",
            "\u{663}".as_bytes(),
        ];
        assert!(refused.iter().all(|word| decimal(word).is_none()));
    }

    #[test]
    fn digest_reads_what_hex_shows() -> Result {
        let mut expected = [0; 32];
        for (index, byte) in (0u8..).zip(expected.iter_mut()) {
            *byte = index.wrapping_mul(37);
        }
        let text = Text::render(|text| write!(text, "{}", Hex(&expected)))?;
        assert_eq!(text.0.len(), 64);
        assert!(text.0.starts_with(b"00254a6f94b9de"));
        assert_eq!(digest(&text.0), Some(expected));
        Ok(())
    }

    #[test]
    fn bytes_are_pairs_of_digits() -> Result {
        assert!(*bytes(b"00")? == [0]);
        assert!(*bytes(b"030204fFa0")? == [3, 2, 4, 0xff, 0xa0]);
        let refused: [&[u8]; 8] = [b"", b"0", b"030", b"0g", b"+1", b" 0", b"0\n", b"\xff\xff"];
        for word in refused {
            assert!(bytes(word).err() == Some(EINVAL));
        }
        Ok(())
    }

    #[test]
    fn digest_refuses_anything_else() {
        assert_eq!(digest(&[b'F'; 64]), Some([0xff; 32]));
        let mut word = [b'0'; 66];
        assert!(digest(b"").is_none());
        assert!(digest(&word[..63]).is_none());
        assert!(digest(&word[..65]).is_none());
        assert!(digest(&word).is_none());
        for bad in [b'g', b' ', b'+', b'\n', 0, 0xff] {
            word[5] = bad;
            assert!(digest(&word[..64]).is_none());
        }
    }
}
