// SPDX-License-Identifier: GPL-2.0

//! `binary_runtime_measurements*` and `ascii_runtime_measurements*`: the live list.
//!
//! Offsets count from what was first when the file was opened, whatever is freed meanwhile.

use crate::abstractions::securityfs::{
    Opening,
    SecurityFile, //
};
use crate::{
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

/// The list as one bank's file shows it.
pub(super) struct List<const ASCII: bool>(Reader<'static>);

#[vtable]
impl<const ASCII: bool> SecurityFile for List<ASCII> {
    fn open(opening: &Opening<'_>) -> Result<Self> {
        let view = View {
            bank: opening.data(),
            encoding: if ASCII {
                Encoding::Ascii
            } else {
                Encoding::Binary
            },
        };
        let log = Log::get().ok_or(ENODEV)?;
        Reader::live(log.platform(), log.store(), view).map(Self)
    }

    fn read(&mut self, position: u64, out: &mut UserSliceWriter) -> Result<usize> {
        self.0.read(position, out)
    }
}
