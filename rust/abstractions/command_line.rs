// SPDX-License-Identifier: GPL-2.0

//! The kernel's command line.
//!
//! C header: `include/linux/init.h`

use kernel::{
    bindings,
    prelude::*,
    str::CStrExt, //
};

/// The value of the first word `name=value`, `name` with its equals sign.
pub(crate) fn value(name: &[u8]) -> Option<&'static [u8]> {
    // SAFETY: The command line ends with NUL, and is there and the same for as long as the kernel.
    let line = unsafe { CStr::from_char_ptr(bindings::saved_command_line) };
    let mut words = line.to_bytes().split(|byte| *byte == b' ');
    words.find_map(|word| word.strip_prefix(name))
}
