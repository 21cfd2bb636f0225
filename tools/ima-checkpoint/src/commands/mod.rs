// SPDX-License-Identifier: GPL-2.0

//! What the program does: a module for each command, with its options.

pub mod archive;
pub mod cat;
pub mod checkpoint;
pub mod endorse;
pub mod exit;
pub mod failure;
pub mod fsck;
pub mod generate;
pub mod inspect;
pub mod mount;
pub mod reindex;
mod replace;
pub mod report;
pub mod status;
pub mod truncate;
mod verdict;
pub mod verify;

use self::failure::Failure;
use crate::{error::Error, escape};
use std::io::{self, Write};

/// What commands return.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Writes lines to standard output. That nobody reads it any more is no error. What could move the
/// cursor is escaped, if that was forgotten where the text was made.
pub(crate) fn print(text: &str) -> Result<()> {
    write(&escape::lines(text))
}

fn write(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io("write", "standard output", error).into())
        }
        _ => Ok(()),
    }
}

/// Writes JSON to standard output. It does a terminal no harm either.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| Error::io("write", "standard output", error))?;
    write(&(escape::json(&text) + "\n"))
}
