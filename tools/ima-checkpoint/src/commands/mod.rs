// SPDX-License-Identifier: GPL-2.0

//! What the program does: a module for each command, with its options.

pub mod archive;
pub mod cat;
pub mod checkpoint;
pub mod fsck;
pub mod generate;
pub mod inspect;
pub mod mount;
pub mod reindex;
pub mod status;
pub mod truncate;
pub mod verify;

use crate::outcome::{
    Error,
    Result, //
};
use std::io::{
    self,
    Write, //
};

/// Writes to standard output. That nobody reads it any more is no error.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io("write", "standard output", &error))
        }
        _ => Ok(()),
    }
}

/// Writes JSON to standard output.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| Error::io("write", "standard output", &error.into()))?;
    print(&(text + "\n"))
}
