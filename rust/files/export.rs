// SPDX-License-Identifier: GPL-2.0

//! `export`: write which segment, then read it. It is kept until the file is closed.

use super::{
    text, //
};
use crate::{
    abstractions::securityfs::{
        Opening,
        SecurityFile, //
    },
    log::Log,
    store::{
        Encoding,
        Reader,
        View, //
    },
};
use kernel::{
    prelude::*,
    uaccess::UserSliceWriter, //
};

/// Exports a segment.
pub(super) struct Export {
    log: &'static Log,
    /// Of the segment that the last write chose.
    reader: Option<Reader<'static>>,
}

#[vtable]
impl SecurityFile for Export {
    fn open(opening: &Opening<'_>) -> Result<Self> {
        opening.require_admin()?;
        Ok(Self {
            log: Log::get().ok_or(ENODEV)?,
            reader: None,
        })
    }

    fn write(&mut self, command: &[u8]) -> Result {
        self.reader = None;
        let mut words = text::words(command).peekable();
        let seq = words.next().and_then(text::decimal).ok_or(EINVAL)?;
        let encoding = if words.next_if_eq(b"ascii").is_some() {
            Encoding::Ascii
        } else {
            words.next_if_eq(b"binary");
            Encoding::Binary
        };
        let platform = self.log.platform();
        let bank = match words.next() {
            Some(name) => platform.bank_named(name).ok_or(EINVAL)?,
            None => platform.sha1(),
        };
        if words.next().is_some() {
            return Err(EINVAL);
        }
        let segment = self.log.segment(seq)?;
        let view = View { bank, encoding };
        self.reader = Some(Reader::segment(platform, segment, view)?);
        Ok(())
    }

    fn read(&mut self, position: u64, out: &mut UserSliceWriter) -> Result<usize> {
        self.reader.as_mut().ok_or(EINVAL)?.read(position, out)
    }
}
