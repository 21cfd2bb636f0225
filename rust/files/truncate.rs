// SPDX-License-Identifier: GPL-2.0

//! `truncate`: free every segment before the checkpoint that is written, which somebody may have
//! to sign.

use super::{
    text, //
};
use crate::{
    abstractions::securityfs::{
        Opening,
        SecurityFile, //
    },
    config::Setting,
    format::{
        consent::Signature,
        truncate::Reason, //
    },
    log::{
        Log,
        Target, //
    },
};
use kernel::prelude::*;

/// Truncates the list.
pub(super) struct Truncate(&'static Log);

#[vtable]
impl SecurityFile for Truncate {
    // A number, a digest, a signature, and what separates and ends them.
    const MAX_COMMAND: usize = 20 + 1 + 64 + 1 + 2 * Signature::MAX + 1;

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
        let signature = words.next().map(text::bytes).transpose()?;
        if words.next().is_some() {
            return Err(EINVAL);
        }
        let target = match (&digest, &signature) {
            (None, _) => Target::Number(seq),
            (Some(digest), None) => Target::Named(seq, digest),
            (Some(digest), Some(signature)) => Target::Signed(seq, digest, signature),
        };
        self.0.truncate(Reason::User, target)
    }
}
