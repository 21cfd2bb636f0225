// SPDX-License-Identifier: GPL-2.0

//! Reading a measurement list record by record, in bounded memory.

use super::text;
use ima_checkpoint_format::{
    record::Record,
    template::{LEGACY_DIGEST_SIZE, LEGACY_NAME},
    ByteOrder, Error as FormatError,
};
use std::{
    fmt,
    io::{self, Read},
};

/// Largest record, in bytes. IMA's own are a few hundred, certificates and policies some thousand.
pub const MAX_RECORD: usize = 16 << 20;

const BUFFER: usize = 128 << 10;

/// A place in a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Position {
    /// Records before it.
    pub record: u64,
    /// Bytes before it.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {} at byte {}", self.record, self.offset)
    }
}

/// A record of a list.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Where it is.
    pub at: Position,
    /// What it says.
    pub record: Record<'a>,
    /// Its bytes.
    pub raw: &'a [u8],
}

/// Why there is no next record.
#[derive(Debug)]
pub enum Fault {
    /// The input could not be read.
    Io(io::Error),
    /// The list is malformed here: nothing after it can be read.
    Malformed(Position, FormatError),
    /// The list ends in the middle of this record.
    Cut(Position),
    /// A line of a list in ASCII is no record: nothing after it can be read.
    Ascii(text::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(line) => Self::Ascii(*line),
            None => Self::Io(error),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Malformed(at, error) => write!(f, "{at}: {error}"),
            Self::Cut(at) => write!(f, "{at}: the list ends in the middle of it"),
            Self::Ascii(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Fault {}

/// Reads records from a source of bytes. It holds one buffer, which grows to the largest record.
#[derive(Debug)]
pub struct Records<R> {
    source: R,
    digest_size: usize,
    order: ByteOrder,
    at: Position,
    buffer: Vec<u8>,
    // INVARIANT: `start <= end <= buffer.len()`; the bytes in between are read and not yet taken.
    start: usize,
    end: usize,
    ended: bool,
}

impl<R: Read> Records<R> {
    /// Reads a list whose template digests have `digest_size` bytes. The first record has the
    /// position `at`.
    pub fn new(source: R, digest_size: usize, order: ByteOrder, at: Position) -> Self {
        Self {
            source,
            digest_size,
            order,
            at,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            ended: false,
        }
    }

    /// Where the next record starts.
    pub fn position(&self) -> Position {
        self.at
    }

    /// The next record, or nothing at the end of the list.
    ///
    /// # Errors
    ///
    /// [`Fault`]. After one, so is every further call.
    #[allow(
        clippy::should_implement_trait,
        reason = "the record borrows from the buffer"
    )]
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, Fault> {
        // a first look spares parsing twice, as the borrow of what is returned would demand
        while !self.ended && self.lacks_bytes() {
            self.fill()?;
        }
        let at = self.at;
        let bytes = self.buffer.get(self.start..self.end).unwrap_or_default();
        let (record, length) = match Record::parse_any(bytes, self.digest_size, self.order) {
            Ok(parsed) => parsed,
            Err(FormatError::Truncated) if bytes.is_empty() => return Ok(None),
            Err(FormatError::Truncated) => return Err(Fault::Cut(at)),
            Err(error) => return Err(Fault::Malformed(at, error)),
        };
        let raw = bytes.get(..length).unwrap_or_default();
        self.start += length;
        self.at.record += 1;
        self.at.offset += length as u64;
        Ok(Some(Entry { at, record, raw }))
    }

    /// May the next record go on after what is there?
    fn lacks_bytes(&self) -> bool {
        let bytes = self.buffer.get(self.start..self.end).unwrap_or_default();
        let number = |at: usize| {
            let field = bytes.get(at..)?.first_chunk()?;
            usize::try_from(self.order.get_u32(*field)).ok()
        };
        let length = || {
            let name = 4_usize.checked_add(self.digest_size)?;
            let data = name.checked_add(4)?.checked_add(number(name)?)?;
            let is_legacy = bytes.get(name + 4..data) == Some(LEGACY_NAME);
            let skipped = if is_legacy { LEGACY_DIGEST_SIZE } else { 0 };
            let data = data.checked_add(skipped)?;
            data.checked_add(4)?.checked_add(number(data)?)
        };
        let lacks = length().is_none_or(|length| length > bytes.len());
        lacks && self.parses_so_far(bytes)
    }

    /// Is what is there the start of a record? Only then it is worth reading more.
    fn parses_so_far(&self, bytes: &[u8]) -> bool {
        let parsed = Record::parse_any(bytes, self.digest_size, self.order);
        matches!(parsed, Err(FormatError::Truncated))
    }

    /// Reads more, after what is there.
    fn fill(&mut self) -> Result<(), Fault> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            if self.end >= MAX_RECORD {
                return Err(Fault::Malformed(self.at, FormatError::TooLong));
            }
            self.buffer.resize(self.end * 2, 0);
        }
        loop {
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.source.read(room) {
                Ok(read) => {
                    self.end += read;
                    self.ended = read == 0;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NG: &[u8] =
        b"\x0a\0\0\0TTTTTTTTTTTTTTTTTTTT\x06\0\0\0ima-ng\x10\0\0\0\x06\0\0\0md5:\0D\x02\0\0\0n\0";

    /// Gives a byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.0.read(out.get_mut(..1).unwrap_or_default())
        }
    }

    fn read(source: impl Read) -> Result<Vec<Position>, Fault> {
        let mut records = Records::new(source, 20, ByteOrder::Little, Position::default());
        let mut seen = Vec::new();
        while let Some(entry) = records.next()? {
            assert_eq!(entry.raw, NG);
            assert_eq!(entry.record.event_name(), Some(b"n".as_slice()));
            seen.push(entry.at);
        }
        Ok(seen)
    }

    #[test]
    fn positions() -> Result<(), Fault> {
        let list = NG.repeat(3);
        let size = NG.len() as u64;
        for seen in [read(&*list)?, read(Slow(&list))?] {
            let offsets = seen.iter().map(|at| (at.record, at.offset));
            assert!(offsets.eq([(0, 0), (1, size), (2, 2 * size)]));
        }
        assert_eq!(read(io::empty())?, []);
        Ok(())
    }

    #[test]
    fn larger_than_the_buffer() -> Result<(), Fault> {
        let many = NG.repeat(2 * BUFFER / NG.len());
        assert_eq!(read(&*many)?.len(), 2 * BUFFER / NG.len());
        Ok(())
    }

    #[test]
    fn cut_anywhere() {
        for len in 1..NG.len() {
            assert!(matches!(read(&NG[..len]), Err(Fault::Cut(at)) if at.record == 0));
        }
    }

    #[test]
    fn a_length_of_4_gib_is_not_waited_for() {
        let mut list = NG.to_vec();
        list[34..38].fill(0xff);
        let endless = io::Read::chain(&*list, io::repeat(0));
        let fault = read(endless);
        assert!(matches!(
            fault,
            Err(Fault::Malformed(_, FormatError::TooLong))
        ));
    }
}
