// SPDX-License-Identifier: GPL-2.0

//! IMA's measurement list as a chain of checkpointed segments.
//!
//! With `ima_checkpoint=on` this crate owns IMA's measurement list. Data flows one way:
//!
//! ```text
//! IMA --exports--> log --> store --> files --> user space
//! ```
//!
//! - [`format`]: bytes of records, checkpoints and the kexec buffer; shared with the tool.
//! - [`store`]: holds records in chunks, lets readers copy them, remembers known digests.
//! - [`log`]: segments, shadow PCRs, checkpoints, truncation, kexec.
//! - [`files`]: the interface in securityfs.
//! - [`config`]: the administrator's settings.
//! - [`memory`]: vectors whose allocations a test can make fail.
//! - [`parameters`]: the settings on the kernel's command line.
//! - [`platform`]: what is fixed for this boot, the banks above all.
//! - [`exports`]: what IMA calls.
//! - [`abstractions`]: what is called in C: IMA, securityfs, hashes.

use kernel::prelude::*;

mod abstractions;
mod config;
mod exports;
mod files;
pub mod format;
mod log;
mod memory;
mod parameters;
mod platform;
mod store;

module! {
    type: ImaCheckpoint,
    name: "ima_checkpoint",
    authors: ["The ima-checkpoint maintainers"],
    description: "Checkpoints and truncation for the IMA measurement list",
    license: "GPL",
}

/// Gives the crate its name and licence.
///
/// Nothing is initialised here: IMA calls the store before it restores or measures anything, which
/// may be earlier or later than this initcall.
struct ImaCheckpoint;

impl kernel::Module for ImaCheckpoint {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}
