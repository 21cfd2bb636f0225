// SPDX-License-Identifier: GPL-2.0

//! `quote`: reading names the checkpoint to quote over; what a TPM signed over it is then written,
//! and becomes a record.

use super::text::Text;
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

/// Takes quotes.
pub(super) struct Quote(&'static Log);

#[vtable]
impl SecurityFile for Quote {
    const MAX_COMMAND: usize = crate::format::quote::Evidence::MAX;

    fn open(opening: &Opening<'_>) -> Result<Self> {
        opening.require_admin()?;
        Log::get().map(Self).ok_or(ENODEV)
    }

    fn write(&mut self, evidence: &[u8]) -> Result {
        self.0.quote(evidence)
    }

    fn read(&mut self, position: u64, out: &mut UserSliceWriter) -> Result<usize> {
        Text::sealed(&self.0.newest()?)?.read(position, out)
    }
}
