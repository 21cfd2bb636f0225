// SPDX-License-Identifier: GPL-2.0

//! `create`: a label written appends a checkpoint, which reading then names.

use super::{
    securityfs::{
        Opening,
        SecurityFile, //
    },
    text::{
        Hex,
        Text, //
    },
};
use crate::{
    format::checkpoint::Label,
    log::Log, //
};
use core::fmt::Write;
use kernel::{
    prelude::*,
    uaccess::UserSliceWriter, //
};

/// Creates checkpoints.
pub(super) struct Create {
    log: &'static Log,
    /// Names the checkpoint that the last write made.
    answer: Option<Text>,
}

#[vtable]
impl SecurityFile for Create {
    fn open(opening: &Opening<'_>) -> Result<Self> {
        opening.require_admin()?;
        Ok(Self {
            log: Log::get().ok_or(ENODEV)?,
            answer: None,
        })
    }

    fn write(&mut self, command: &[u8]) -> Result {
        self.answer = None;
        let label = command.strip_suffix(b"\n").unwrap_or(command);
        let label = Label::new(label).map_err(|_| EINVAL)?;
        let sealed = self.log.checkpoint(&label)?;
        let answer = Text::render(|text| {
            writeln!(text, "seq={} digest={}", sealed.seq, Hex(&sealed.digest))
        })?;
        self.answer = Some(answer);
        Ok(())
    }

    fn read(&mut self, position: u64, out: &mut UserSliceWriter) -> Result<usize> {
        self.answer.as_ref().ok_or(EINVAL)?.read(position, out)
    }
}
