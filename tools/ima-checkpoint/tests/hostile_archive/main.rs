// SPDX-License-Identifier: GPL-2.0

//! Archives that somebody prepared: each command comes to an end, in little memory, with a verdict
//! that fits, and without an escape sequence in what it says.

mod archive;
#[path = "../../../ima-log/tests/common/mod.rs"]
mod common;
mod contents;
mod index;
mod memory;
mod places;

use archive::{Archive, Result};

#[test]
fn good() -> Result {
    let archive = Archive::new()?;
    archive.expect(&["fsck", "cat", "reindex", "fsck"], 0, "")?;
    archive.expect(&["inspect"], 0, "ima-buf")?;
    archive.expect(&["verify"], 3, "NOT ANCHORED")
}
