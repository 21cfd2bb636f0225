// SPDX-License-Identifier: GPL-2.0

//! `truncate`: free every segment before the checkpoint that is written.

use super::{
    text, //
};
use crate::{
    abstractions::securityfs::{
        Opening,
        SecurityFile, //
    },
    config::Setting,
    format::truncate::Reason,
    log::Log, //
};
use kernel::prelude::*;

/// Truncates the list.
pub(super) struct Truncate(&'static Log);

#[vtable]
impl SecurityFile for Truncate {
    fn open(opening: &Opening<'_>) -> Result<Self> {
        opening.require_admin()?;
        Log::get().map(Self).ok_or(ENODEV)
    }

    fn write(&mut self, command: &[u8]) -> Result {
        let mut words = text::words(command);
        let seq = words.next().and_then(text::decimal).ok_or(EINVAL)?;
        let digest = match words.next() {
            Some(word) => Some(text::digest(word).ok_or(EINVAL)?),
            None if self.0.config().get(Setting::TruncateNeedsDigest) == 0 => None,
            None => return Err(EINVAL),
        };
        if words.next().is_some() {
            return Err(EINVAL);
        }
        self.0.truncate(Reason::User, seq, digest.as_ref())
    }
}
