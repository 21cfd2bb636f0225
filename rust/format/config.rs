// SPDX-License-Identifier: GPL-2.0

//! The buffer of a config record: settings that were changed, each with its old and new value.
//!
//! All numbers are little-endian, whatever the byte order of the list. Behind the fixed part comes
//! text, a line for each change: `NAME=OLD->NEW`.

use core::fmt::{
    self,
    Display,
    Write, //
};

use super::{
    bytes::{
        Reader,
        Writer, //
    },
    ByteOrder,
    Error, //
};

/// The event name of a config record.
pub const EVENT_NAME: &[u8] = b".ima/config";

/// Largest buffer, in bytes: as that of a checkpoint.
pub const MAX_BUFFER: usize = 3968;

/// Longest name or value of a setting, in bytes.
pub const MAX_WORD: usize = 64;

const MAGIC: &[u8; 8] = b"IMA-CONF";
const VERSION: u16 = 1;

/// When settings were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Reason {
    /// This kernel started with them; the old values are the defaults.
    Boot = 1,
    /// A write to the file `config`.
    User = 2,
}

impl TryFrom<u16> for Reason {
    type Error = Error;

    fn try_from(reason: u16) -> Result<Self, Error> {
        Ok(match reason {
            1 => Self::Boot,
            2 => Self::User,
            _ => return Err(Error::BadReason(reason)),
        })
    }
}

/// A change of a setting. Name and values are 1 to [`MAX_WORD`] bytes: lower-case letters, digits
/// and `_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The setting.
    pub name: &'a str,
    /// Its value before.
    pub old: &'a str,
    /// Its value from now on.
    pub new: &'a str,
}

impl<'a> Change<'a> {
    /// Parses a line without its newline.
    fn parse(line: &'a [u8]) -> Result<Self, Error> {
        let line = core::str::from_utf8(line).map_err(|_| Error::BadChange)?;
        let (name, values) = line.split_once('=').ok_or(Error::BadChange)?;
        let (old, new) = values.split_once("->").ok_or(Error::BadChange)?;
        if [name, old, new].into_iter().all(is_word) {
            Ok(Self { name, old, new })
        } else {
            Err(Error::BadChange)
        }
    }
}

fn is_word(word: &str) -> bool {
    let fits = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    (1..=MAX_WORD).contains(&word.len()) && word.bytes().all(fits)
}

/// Changes of settings that were made at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changes<'a> {
    reason: Reason,
    log_id: [u8; 16],
    // INVARIANT: lines that parse, at least one; each ends with a newline.
    lines: &'a [u8],
}

impl<'a> Changes<'a> {
    /// Bytes of the fixed part.
    pub const SIZE: usize = 32;

    /// Parses the buffer of a config record.
    ///
    /// The fixed part may be longer than this version's: what a later kernel appended to it is
    /// skipped.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`], [`Error::Truncated`], [`Error::BadMagic`], [`Error::BadVersion`],
    /// [`Error::BadReason`], [`Error::BadFixedLength`], or [`Error::BadChange`]: a line is
    /// malformed, or there is none.
    pub fn parse(buffer: &'a [u8]) -> Result<Self, Error> {
        if buffer.len() > MAX_BUFFER {
            return Err(Error::TooLong);
        }
        let mut reader = Reader::new(buffer, ByteOrder::Little);
        reader.preamble(MAGIC, VERSION)?;
        let reason = reader.u16()?.try_into()?;
        let size = reader.len32()?;
        let lines = buffer.get(size..).ok_or(Error::BadFixedLength)?;
        if size < Self::SIZE {
            return Err(Error::BadFixedLength);
        }
        let log_id = reader.array()?;
        let text = lines.strip_suffix(b"\n").ok_or(Error::BadChange)?;
        split(text).try_for_each(|line| Change::parse(line).map(|_| ()))?;
        Ok(Self {
            reason,
            log_id,
            lines,
        })
    }

    /// When they were made.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Random identifier of the list, as in its checkpoints.
    pub fn log_id(&self) -> &[u8; 16] {
        &self.log_id
    }

    /// The changes, at least one.
    pub fn iter(&self) -> impl Iterator<Item = Change<'a>> {
        let text = self.lines.strip_suffix(b"\n").unwrap_or(self.lines);
        split(text).filter_map(|line| Change::parse(line).ok())
    }
}

fn split(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

/// Writes the buffer of a config record.
#[derive(Debug)]
pub struct Builder<'b>(Writer<'b>);

impl<'b> Builder<'b> {
    /// Starts one in `out`, of which at most [`MAX_BUFFER`] bytes are used.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`].
    pub fn new(out: &'b mut [u8], reason: Reason, log_id: &[u8; 16]) -> Result<Self, Error> {
        let len = out.len().min(MAX_BUFFER);
        let out = out.get_mut(..len).unwrap_or_default();
        let mut writer = Writer::new(out, ByteOrder::Little);
        writer.bytes(MAGIC)?;
        writer.u16(VERSION)?;
        writer.u16(reason as u16)?;
        writer.len32(Changes::SIZE)?;
        writer.bytes(log_id)?;
        Ok(Self(writer))
    }

    /// Adds a change, see [`Change`].
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`], or [`Error::BadChange`]. Nothing was added.
    pub fn push(
        &mut self,
        name: impl Display,
        old: impl Display,
        new: impl Display,
    ) -> Result<(), Error> {
        let start = self.0.len();
        let written = writeln!(Text(&mut self.0), "{name}={old}->{new}");
        let result = match written {
            Err(fmt::Error) => Err(Error::NoSpace),
            Ok(()) => {
                let line = self.0.written().get(start..).unwrap_or_default();
                Change::parse(line.strip_suffix(b"\n").unwrap_or(line)).map(|_| ())
            }
        };
        if result.is_err() {
            self.0.truncate(start);
        }
        result
    }

    /// The finished buffer. Without a change it is none that a reader takes.
    pub fn finish(self) -> &'b [u8] {
        self.0.finish()
    }
}

struct Text<'a, 'b>(&'a mut Writer<'b>);

impl fmt::Write for Text<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.bytes(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(ima_checkpoint_config_record)
)]
#[cfg_attr(not(CONFIG_KUNIT = "y"), cfg(test))]
mod tests {
    use super::*;

    const LOG_ID: [u8; 16] = [7; 16];

    /// The buffer of a record with these two changes.
    fn example(out: &mut [u8]) -> Result<&[u8], Error> {
        let mut builder = Builder::new(out, Reason::User, &LOG_ID)?;
        builder.push("duplicate_scope", "log", "live")?;
        builder.push("retain_bytes", 0, 1_000_000_u64)?;
        Ok(builder.finish())
    }

    #[test]
    fn layout() -> Result<(), Error> {
        let mut out = [0xff; 200];
        let buffer = example(&mut out)?;
        assert!(buffer.starts_with(b"IMA-CONF\x01\0\x02\0\x20\0\0\0\x07\x07"));
        let text = b"\x07duplicate_scope=log->live\nretain_bytes=0->1000000\n";
        assert!(buffer.ends_with(text));
        assert_eq!(buffer.len(), Changes::SIZE + text.len() - 1);
        Ok(())
    }

    #[test]
    fn round_trip() -> Result<(), Error> {
        let mut out = [0; 200];
        let changes = Changes::parse(example(&mut out)?)?;
        assert_eq!(changes.reason(), Reason::User);
        assert_eq!(*changes.log_id(), LOG_ID);
        let scope = Change {
            name: "duplicate_scope",
            old: "log",
            new: "live",
        };
        let bytes = Change {
            name: "retain_bytes",
            old: "0",
            new: "1000000",
        };
        assert!(changes.iter().eq([scope, bytes]));
        Ok(())
    }

    #[test]
    fn lines() -> Result<(), Error> {
        let mut out = [0; 400];
        let fixed = Builder::new(&mut out, Reason::Boot, &LOG_ID)?
            .finish()
            .len();
        let mut count = |text: &[u8]| {
            let room = out.get_mut(fixed..fixed + text.len());
            room.ok_or(Error::NoSpace)?.copy_from_slice(text);
            let buffer = out.get(..fixed + text.len()).unwrap_or_default();
            Changes::parse(buffer).map(|changes| changes.iter().count())
        };
        assert_eq!(count(b"a=b->c\n"), Ok(1));
        assert_eq!(count(b"a_1=0->10\nb=x->x\n"), Ok(2));
        let bad: [&[u8]; 16] = [
            b"",
            b"\n",
            b"a=b->c",
            b"a=b->c\n\n",
            b"\na=b->c\n",
            b"a=b->c\r\n",
            b"a=b->c \n",
            b"a=b-c\n",
            b"a->b=c\n",
            b"=b->c\n",
            b"a=->c\n",
            b"a=b->\n",
            b"a=b->c->d\n",
            b"A=b->c\n",
            b"a=b=->c\n",
            b"a=\xff->c\n",
        ];
        for text in bad {
            assert_eq!(count(text), Err(Error::BadChange));
        }
        Ok(())
    }

    #[test]
    fn words_have_a_limit() -> Result<(), Error> {
        let mut out = [0; 400];
        let mut builder = Builder::new(&mut out, Reason::Boot, &LOG_ID)?;
        let word = core::str::from_utf8(&[b'w'; MAX_WORD + 1]).unwrap_or_default();
        let (longest, _) = word.split_at_checked(MAX_WORD).unwrap_or_default();
        assert_eq!(builder.push(word, 0, 1), Err(Error::BadChange));
        assert_eq!(builder.push("", 0, 1), Err(Error::BadChange));
        builder.push(longest, longest, longest)?;
        assert_eq!(builder.push(longest, longest, longest), Err(Error::NoSpace));
        builder.push("last", 0, 1)?;
        assert_eq!(Changes::parse(builder.finish())?.iter().count(), 2);
        Ok(())
    }

    #[test]
    fn refused() -> Result<(), Error> {
        let mut out = [0; 200];
        let len = example(&mut out)?.len();
        let with = |at: usize, byte: u8| {
            let mut bad = out;
            *bad.get_mut(at).ok_or(Error::NoSpace)? = byte;
            Changes::parse(bad.get(..len).unwrap_or_default()).map(|_| ())
        };
        assert_eq!(with(7, b'G'), Err(Error::BadMagic));
        assert_eq!(with(8, 2), Err(Error::BadVersion(2)));
        assert_eq!(with(10, 3), Err(Error::BadReason(3)));
        assert_eq!(with(12, 31), Err(Error::BadFixedLength));
        assert_eq!(with(15, 0xff), Err(Error::BadFixedLength));
        // The fixed part of a later version.
        assert_eq!(with(12, 35), Ok(()));
        for end in 0..len {
            let whole_line = end == Changes::SIZE + b"duplicate_scope=log->live\n".len();
            let result = Changes::parse(out.get(..end).unwrap_or_default());
            assert_eq!(result.is_ok(), whole_line);
        }
        let long = Changes::parse(&[0; MAX_BUFFER + 1]);
        assert_eq!(long.err(), Some(Error::TooLong));
        let mut short = [0; Changes::SIZE - 1];
        let result = Builder::new(&mut short, Reason::Boot, &LOG_ID);
        assert_eq!(result.err(), Some(Error::NoSpace));
        Ok(())
    }
}
