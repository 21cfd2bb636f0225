// SPDX-License-Identifier: GPL-2.0

//! `config`: a `setting=value` a line, to read and to write.

use super::{
    text::Text, //
};
use crate::{
    abstractions::securityfs::{
        Opening,
        SecurityFile, //
    },
    log::Log, //
};
use kernel::{
    prelude::*,
    uaccess::UserSliceWriter, //
};

/// The settings.
pub(super) struct Settings {
    log: &'static Log,
    /// As of the last read from the start, so that a read in pieces fits together. Empty before.
    text: Text,
}

#[vtable]
impl SecurityFile for Settings {
    // All settings, each with its longest value, in one write.
    const MAX_COMMAND: usize = 512;

    fn open(opening: &Opening<'_>) -> Result<Self> {
        opening.require_admin()?;
        Ok(Self {
            log: Log::get().ok_or(ENODEV)?,
            text: Text::default(),
        })
    }

    fn write(&mut self, command: &[u8]) -> Result {
        self.log.configure(command)
    }

    fn read(&mut self, position: u64, out: &mut UserSliceWriter) -> Result<usize> {
        if position == 0 || self.text.is_empty() {
            self.text = Text::render(|text| self.log.config().write(text))?;
        }
        self.text.read(position, out)
    }
}
