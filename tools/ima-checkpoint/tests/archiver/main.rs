// SPDX-License-Identifier: GPL-2.0

//! The archiver against a kernel that is none: what it keeps, frees and removes when something is not
//! as it should be.

#[path = "../../../ima-log/tests/common/mod.rs"]
mod common;
mod history;
mod index;
mod kernel;
mod machine;
mod rules;
mod store;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A directory that is not in memory, where no archive may be.
fn disk() -> std::io::Result<tempfile::TempDir> {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
}
