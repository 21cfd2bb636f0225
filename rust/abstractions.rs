// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions of C interfaces, which know nothing of the log. They are written to move to
//! `rust/kernel/` when something else needs them.

#[cfg(CONFIG_KUNIT = "y")]
pub(crate) mod command_line;
pub(crate) mod ima;
pub(crate) mod random;
pub(crate) mod securityfs;
pub(crate) mod sha256;
