// SPDX-License-Identifier: GPL-2.0

//! Showing hostile bytes on a terminal.
//!
//! An event name is whatever bytes somebody named a file. Shown as they are, they could move the
//! cursor, end the line, or turn the order of characters around. What is shown here says exactly
//! which bytes there were, and is harmless: `\\` is a backslash, `\xNN` a byte, `\u{N}` a character.
//!
//! Names, paths and what a file says are shown by [`Escaped`] where they enter a text. The texts
//! that people and programs get go through [`line`], [`lines`] or [`json`] besides: what was
//! forgotten, or comes from a library that quotes its input, does no harm either.
//!
//! ```
//! use ima_log::escape::{line, Escaped};
//! use std::path::Path;
//!
//! let path = Path::new("/archive/\u{1b}[2J");
//! assert_eq!(Escaped::path(path).to_string(), r"/archive/\x1b[2J");
//! assert_eq!(line("cannot read a\nb"), r"cannot read a\x0ab");
//! ```

use std::{
    fmt::{self, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
};

/// Shows bytes, as text as far as that is harmless.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a> {
    bytes: &'a [u8],
    blanks: bool,
}

impl<'a> Escaped<'a> {
    /// Shows blanks as they are.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            blanks: false,
        }
    }

    /// Shows a path: it is whatever bytes somebody chose.
    pub fn path(path: &'a Path) -> Self {
        Self::new(path.as_os_str().as_bytes())
    }

    /// Shows blanks as `\x20`, so that it is one word.
    pub fn word(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            blanks: true,
        }
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.bytes.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\\' => f.write_str("\\\\")?,
                    ' ' if self.blanks => f.write_str("\\x20")?,
                    _ if is_harmless(character) => f.write_char(character)?,
                    _ => escape(character, f)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

fn escape(character: char, out: &mut impl fmt::Write) -> fmt::Result {
    let code = u32::from(character);
    match character.is_ascii() {
        true => write!(out, "\\x{code:02x}"),
        false => write!(out, "\\u{{{code:x}}}"),
    }
}

/// Makes a text of one line harmless. Its backslashes stay, so that what is escaped in it is not
/// escaped again.
pub fn line(text: &str) -> String {
    harmless(text, |_| false, escape)
}

/// Makes a text of several lines harmless.
pub fn lines(text: &str) -> String {
    harmless(text, |character| character == '\n', escape)
}

/// Makes JSON harmless without changing what it says. Between its strings there must be nothing
/// but ASCII, as serde_json and all others write it.
pub fn json(text: &str) -> String {
    let escape = |character: char, out: &mut String| {
        let mut units = [0; 2];
        let mut units = character.encode_utf16(&mut units).iter();
        units.try_for_each(|unit| write!(out, "\\u{unit:04x}"))
    };
    harmless(text, |character| matches!(character, '\n' | '\t'), escape)
}

/// Escapes what is neither harmless nor allowed.
fn harmless(
    text: &str,
    allowed: impl Fn(char) -> bool,
    escape: impl Fn(char, &mut String) -> fmt::Result,
) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_harmless(character) || allowed(character) {
            out.push(character);
        } else {
            // writing to a string cannot fail
            let _ = escape(character, &mut out);
        }
    }
    out
}

/// The bytes as text, if they are UTF-8 without anything that would have to be escaped.
pub fn clean(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.chars().all(is_harmless).then_some(text)
}

/// Is it neither a control character, nor invisible, nor does it change the direction of others?
fn is_harmless(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{ad}'                        // soft hyphen
            | '\u{34f}'                     // combining grapheme joiner
            | '\u{61c}'                     // Arabic letter mark
            | '\u{115f}'..='\u{1160}'       // Hangul fillers
            | '\u{17b4}'..='\u{17b5}'       // Khmer inherent vowels
            | '\u{180b}'..='\u{180f}'       // Mongolian separators
            | '\u{200b}'..='\u{200f}'       // zero width, direction marks
            | '\u{2028}'..='\u{202e}'       // line separators, direction embeddings
            | '\u{2060}'..='\u{206f}'       // invisible operators, direction isolates
            | '\u{3164}'                    // Hangul filler
            | '\u{fe00}'..='\u{fe0f}'       // variation selectors
            | '\u{feff}'                    // byte order mark
            | '\u{ffa0}'                    // Hangul filler
            | '\u{fff0}'..='\u{fffb}'       // interlinear annotation
            | '\u{1bca0}'..='\u{1bca3}'     // shorthand format
            | '\u{1d173}'..='\u{1d17a}'     // musical format
            | '\u{e0000}'..='\u{e0fff}'     // tags
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_safe() {
        for (bytes, shown) in [
            (b"/bin/sh".as_slice(), "/bin/sh"),
            (
                "/\u{fc}ber/\u{65e5}\u{672c}".as_bytes(),
                "/\u{fc}ber/\u{65e5}\u{672c}",
            ),
            (b"\x1b[2J\x1b]0;x\x07", "\\x1b[2J\\x1b]0;x\\x07"),
            (b"a\nb\rc\td\x7f", "a\\x0ab\\x0dc\\x09d\\x7f"),
            (b"\xff\xc3(\xc3", "\\xff\\xc3(\\xc3"),
            (b"\xc2\x9b2J", "\\u{9b}2J"),
            (
                "a\u{202e}b\u{2066}\u{200b}".as_bytes(),
                "a\\u{202e}b\\u{2066}\\u{200b}",
            ),
            (br"a\x0ab", r"a\\x0ab"),
            (b"a b", "a b"),
            (b"", ""),
        ] {
            assert_eq!(Escaped::new(bytes).to_string(), shown);
        }
        assert_eq!(Escaped::word(b"a b").to_string(), "a\\x20b");
    }

    #[test]
    fn whole_texts_are_made_harmless() {
        assert_eq!(
            line("a\\x1b \x1b[2J\n\u{9b}"),
            "a\\x1b \\x1b[2J\\x0a\\u{9b}"
        );
        assert_eq!(lines("a\n\tb\r\n"), "a\n\\x09b\\x0d\n");
        let path = Path::new("/a b/\u{202e}\n\\");
        assert_eq!(Escaped::path(path).to_string(), "/a b/\\u{202e}\\x0a\\\\");
    }

    #[test]
    fn json_says_the_same() {
        let said = "\x1b\u{7f}\u{9b}\u{202e}\u{e0041}\n\"\\ \u{fc}";
        let shown = json(&format!("{{\n\t{said}\n}}").replace('\x1b', "\\u001b"));
        let expected = "{\n\t\\u001b\\u007f\\u009b\\u202e\\udb40\\udc41\n\"\\ \u{fc}\n}";
        assert_eq!(shown, expected);
    }

    #[test]
    fn only_harmless_text_is_clean() {
        assert_eq!(clean(br"/a b\c"), Some(r"/a b\c"));
        for bytes in [b"\xff".as_slice(), b"\x1b", b"\n", "\u{202e}".as_bytes()] {
            assert_eq!(clean(bytes), None);
        }
    }

    /// Undoes it.
    fn unescape(shown: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut rest = shown;
        while let Some(character) = rest.chars().next() {
            let code = |text: &str| u32::from_str_radix(text, 16).ok();
            if let Some(tail) = rest.strip_prefix("\\x") {
                bytes.push(code(tail.get(..2)?)? as u8);
                rest = tail.get(2..)?;
            } else if let Some(tail) = rest.strip_prefix("\\u{") {
                let (digits, tail) = tail.split_once('}')?;
                let escaped = char::from_u32(code(digits)?)?.to_string();
                bytes.extend(escaped.as_bytes());
                rest = tail;
            } else {
                bytes.extend(character.to_string().as_bytes());
                let escaped = rest.strip_prefix("\\\\").map(|_| 2);
                rest = rest.get(escaped.unwrap_or(character.len_utf8())..)?;
            }
        }
        Some(bytes)
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost(bytes: Vec<u8>, text: String, word: bool) {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                let escaped = Escaped { bytes, blanks: word };
                let shown = escaped.to_string();
                proptest::prop_assert!(shown.chars().all(is_harmless));
                proptest::prop_assert!(!(word && shown.contains(' ')));
                let again = unescape(&shown);
                proptest::prop_assert_eq!(again.as_deref(), Some(bytes));
            }
        }
    }
}
