// SPDX-License-Identifier: GPL-2.0

//! `create`: a label written appends a checkpoint, which reading then names.

use super::text::Text;
use crate::{
    abstractions::securityfs::{
        Opening,
        SecurityFile, //
    },
    format::checkpoint::Label,
    log::{
        Log,
        Sealed, //
    },
};
use kernel::{
    prelude::*,
    uaccess::UserSliceWriter, //
};

/// Creates checkpoints.
pub(super) struct Create {
    log: &'static Log,
    /// What the last write made.
    sealed: Option<Sealed>,
}

#[vtable]
impl SecurityFile for Create {
    fn open(opening: &Opening<'_>) -> Result<Self> {
        opening.require_admin()?;
        Ok(Self {
            log: Log::get().ok_or(ENODEV)?,
            sealed: None,
        })
    }

    fn write(&mut self, command: &[u8]) -> Result {
        self.sealed = None;
        let label = command.strip_suffix(b"\n").unwrap_or(command);
        let label = Label::new(label).map_err(|_| EINVAL)?;
        self.sealed = Some(self.log.checkpoint(label)?);
        Ok(())
    }

    fn read(&mut self, position: u64, out: &mut UserSliceWriter) -> Result<usize> {
        // Not rendered by the write: ENOMEM there means that nothing was appended.
        Text::sealed(self.sealed.as_ref().ok_or(EINVAL)?)?.read(position, out)
    }
}
