// SPDX-License-Identifier: GPL-2.0

//! Lists in ASCII, as `ascii_runtime_measurements` and the files beside it show them.
//!
//! Each line is read as the record of the binary list that it was made from, so that nothing else
//! needs to know of them. A line does not say all that the record has: names are written as they are,
//! even if there is a newline in them, and whoever passes a text on may change what is not printable
//! in it. Where a line can be read in more than one way, the template digest in it decides. Where it
//! fits none of them, the record keeps that digest, and [`may_be_lossy`] tells whether the text can
//! be the reason.

mod choose;
mod error;
mod lines;
mod parse;

pub use self::error::{Error, Problem};

use self::{
    choose::{Chooser, MAX_CREDIT},
    lines::Lines,
    parse::is_record,
};
use super::{
    detect::{Layout, SAMPLE},
    records::MAX_RECORD,
};
use crate::bank::Bank;
use ima_checkpoint_format::{
    record::Record,
    template::{Field, LEGACY_DIGEST_SIZE},
};
use std::io::{self, Read};

/// Longest line, in bytes: two digits for each byte of the largest record.
pub const MAX_LINE: usize = 2 * MAX_RECORD;

/// Bytes of records that are made at once, unless one record needs more.
const PIECE: usize = 64 << 10;

/// Do these bytes, at the start of an input, look like a list in ASCII?
pub fn is_list(start: &[u8]) -> bool {
    bank_size(start).is_some()
}

/// Bytes of the template digests of a list in ASCII that starts like this.
pub(super) fn bank_size(start: &[u8]) -> Option<usize> {
    let start = start.trim_ascii_start();
    let line = start.split(|byte| *byte == b'\n').next()?;
    let mut sizes = Bank::ALL.map(Bank::size).into_iter();
    sizes.find(|size| is_record(line, *size))
}

/// The binary list at the start of one in ASCII, as far as it goes. A line that is cut is not in it.
pub(super) fn sample(start: &[u8], layout: Layout) -> Vec<u8> {
    let end = start.iter().rposition(|byte| *byte == b'\n');
    let whole = match end {
        Some(end) if start.len() >= SAMPLE => start.get(..end).unwrap_or_default(),
        _ => start,
    };
    let mut made = Vec::new();
    // what is wrong with it is told when it is read
    let _ = Binary::with_credit(whole, layout, 0).read_to_end(&mut made);
    made
}

/// Can the text of this record differ from what IMA measured, although nobody meant it to? All but
/// names is digits in ASCII, and comes through any text as it was.
pub fn may_be_lossy(record: &Record<'_>) -> bool {
    let template = record.template();
    if !template.is_known() {
        return true;
    }
    let mut fields = template.fields().iter().zip(record.fields());
    // an MD5 digest, which some kernels hash without the zeros after it
    let is_short = |digest: &[u8]| digest.get(LEGACY_DIGEST_SIZE - 4..) == Some(&[0; 4]);
    if template.is_legacy() && record.fields().next().is_none_or(is_short) {
        return true;
    }
    fields.any(|(field, data)| match field {
        Field::Name | Field::NameNg => {
            let name = data.strip_suffix(b"\0").unwrap_or(data);
            name.is_empty() || !name.iter().all(is_plain)
        }
        Field::XattrNames => {
            let names = data.strip_suffix(b"\0").unwrap_or(data);
            !names.iter().all(is_plain)
        }
        _ => false,
    })
}

/// Does a byte of a name come through any text? Programs that do not know one put a question mark there,
/// or write it as numbers after a backslash.
fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'?' | b'\\')
}

/// Reads a list in ASCII as the binary list that it was made from.
#[derive(Debug)]
pub struct Binary<R> {
    lines: Lines<R>,
    chooser: Chooser,
    /// Records, of which the bytes before `taken` were given.
    made: Vec<u8>,
    // INVARIANT: at most `made.len()`.
    taken: usize,
    failed: Option<Failed>,
}

/// Why nothing more comes.
#[derive(Debug)]
enum Failed {
    Text(Error),
    Io(io::Error),
}

impl Failed {
    /// The same as often as somebody asks.
    fn tell(&self) -> io::Error {
        match self {
            Self::Text(error) => io::Error::new(io::ErrorKind::InvalidData, *error),
            Self::Io(error) => match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(error.kind(), error.to_string()),
            },
        }
    }
}

impl<R: Read> Binary<R> {
    /// Reads a list whose template digests are those of this layout.
    pub fn new(source: R, layout: Layout) -> Self {
        Self::with_credit(source, layout, MAX_CREDIT)
    }

    fn with_credit(source: R, layout: Layout, credit: usize) -> Self {
        Self {
            lines: Lines::new(source),
            chooser: Chooser::new(layout, credit),
            made: Vec::new(),
            taken: 0,
            failed: None,
        }
    }

    /// Makes records until there are enough, or no more.
    fn fill(&mut self) {
        self.made.clear();
        self.taken = 0;
        while self.made.len() < PIECE {
            match self.make() {
                Ok(true) => (),
                Ok(false) => break,
                Err(failed) => {
                    self.failed = Some(failed);
                    break;
                }
            }
        }
    }

    /// Makes the next record. There is none at the end of the list.
    fn make(&mut self) -> Result<bool, Failed> {
        let Some(front) = self.lines.front()? else {
            return Ok(false);
        };
        let line = front.number;
        let chosen = self.chooser.choose(front, &mut self.made);
        let count = chosen.map_err(|problem| Failed::Text(Error { line, problem }))?;
        self.lines.skip(count);
        Ok(true)
    }
}

impl<R: Read> Read for Binary<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.made.len() && self.failed.is_none() {
            self.fill();
        }
        let left = self.made.get(self.taken..).unwrap_or_default();
        if let (true, Some(failed)) = (left.is_empty(), &self.failed) {
            return Err(failed.tell());
        }
        let mut left = left;
        let count = left.read(out)?;
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
