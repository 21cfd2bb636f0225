// SPDX-License-Identifier: GPL-2.0

//! What can be wrong with a list in ASCII.

use super::MAX_LINE;
use crate::bank::Bank;
use std::fmt;

/// A line of a list that is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// Which one, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It has not the form of a record.
    NotARecord,
    /// Its template digest has not the size that those of this bank have, as the others do.
    OtherBank(Bank),
    /// It is longer than the line of any record.
    TooLong,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match self.problem {
            Problem::NotARecord => f.write_str(
                "this is not a record of a measurement list; remove what does not belong to the list",
            ),
            Problem::OtherBank(bank) => write!(
                f,
                "the template digest does not have {} bytes, as those of {bank} do: give lists of one \
                 bank",
                bank.size()
            ),
            Problem::TooLong => write!(
                f,
                "it has more than {} MiB, and no record is that long",
                MAX_LINE >> 20
            ),
        }
    }
}

impl std::error::Error for Error {}
