// SPDX-License-Identifier: GPL-2.0

//! Which of several ways to read a line is right, as its template digest tells.

use super::{
    bank_size,
    lines::Front,
    parse::{is_record, Line},
    Problem,
};
use crate::list::detect::{matches, Layout};
use ima_checkpoint_format::record::Record;

/// Lines that a name with newlines in it may go on over, at most: that of a file has at most 4096 bytes.
const MAX_JOINED: usize = 64;

/// How often the bytes of a list may be looked at again, on average: whoever writes a list to make this
/// slow does not succeed.
const AGAIN: usize = 4;

/// Bytes that may be looked at again at any time, at most.
pub(super) const MAX_CREDIT: usize = 1 << 20;

/// Makes records of lines.
#[derive(Debug)]
pub(super) struct Chooser {
    layout: Layout,
    /// Bytes that may still be looked at again, and the most that it can become.
    credit: usize,
    max_credit: usize,
    /// Do lines end with a carriage return, as far as digests told?
    returns: bool,
}

impl Chooser {
    /// One that may look at so many bytes again at any time; without any, names have no newlines.
    pub(super) fn new(layout: Layout, max_credit: usize) -> Self {
        Self {
            layout,
            credit: max_credit,
            max_credit,
            returns: false,
        }
    }

    /// Appends the record that starts with the line in front, and gives the number of its lines.
    ///
    /// # Errors
    ///
    /// It is none.
    pub(super) fn choose(&mut self, front: Front<'_>, out: &mut Vec<u8>) -> Result<usize, Problem> {
        let size = self.layout.bank.size();
        let Some(line) = Line::parse(front.line, size) else {
            return Err(match bank_size(front.line) {
                Some(_) => Problem::OtherBank(self.layout.bank),
                None => Problem::NotARecord,
            });
        };
        let earned = front.line.len().saturating_mul(AGAIN);
        self.credit = self.credit.saturating_add(earned).min(self.max_credit);
        let start = out.len();
        let told = match line.is_violation() {
            true => None,
            false => self.by_digest(front, out),
        };
        let count = told.unwrap_or_else(|| self.as_it_stands(front, out));
        match out.len() > start {
            true => Ok(count),
            false => Err(Problem::NotARecord),
        }
    }

    /// Appends the record whose digest is that in the line, if there is a way to read one.
    fn by_digest(&mut self, front: Front<'_>, out: &mut Vec<u8>) -> Option<usize> {
        if self.append(front.line, out) {
            return Some(1);
        }
        let bare = without_return(front.line);
        if bare.len() < front.line.len() && self.append(bare, out) {
            self.returns = true;
            return Some(1);
        }
        if front.line.len() > self.credit {
            return None;
        }
        let mut joined = self.cut(front.line).to_vec();
        for (number, next) in front.following().enumerate().take(MAX_JOINED) {
            joined.push(b'\n');
            joined.extend_from_slice(self.cut(next));
            self.credit = self.credit.checked_sub(joined.len())?;
            if self.append(&joined, out) {
                return Some(number + 2);
            }
        }
        None
    }

    /// Appends the record where no digest tells what it is: a line that is none itself must belong to
    /// the one before it.
    fn as_it_stands(&self, front: Front<'_>, out: &mut Vec<u8>) -> usize {
        let size = self.layout.bank.size();
        let following = front.following().take(MAX_JOINED);
        let following: Vec<&[u8]> = following
            .take_while(|next| !is_record(next, size))
            .collect();
        let is_blank = |line: &&&[u8]| line.trim_ascii().is_empty();
        let blank = following.iter().rev().take_while(is_blank).count();
        let following = following.get(..following.len() - blank).unwrap_or_default();
        let first = self.cut(front.line);
        if following.is_empty() {
            self.encode(first, out);
            return 1;
        }
        let mut text = first.to_vec();
        for line in following {
            text.push(b'\n');
            text.extend_from_slice(self.cut(line));
        }
        self.encode(&text, out);
        1 + following.len()
    }

    /// A line without what is not part of it.
    fn cut<'t>(&self, line: &'t [u8]) -> &'t [u8] {
        match self.returns {
            true => without_return(line),
            false => line,
        }
    }

    /// Appends the record of a text if its digest is that of its data.
    fn append(&self, text: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        self.encode(text, out);
        let record = out.get(start..).unwrap_or_default();
        let parsed = Record::parse_any(record, self.layout.bank.size(), self.layout.order);
        let fits = parsed.is_ok_and(|(record, _)| matches(&record, self.layout));
        if !fits {
            out.truncate(start);
        }
        fits
    }

    /// Appends the record of a text, whatever its digest is.
    fn encode(&self, text: &[u8], out: &mut Vec<u8>) {
        if let Some(line) = Line::parse(text, self.layout.bank.size()) {
            line.encode(self.layout.order, out);
        }
    }
}

fn without_return(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\r").unwrap_or(text)
}
