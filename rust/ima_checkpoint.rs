// SPDX-License-Identifier: GPL-2.0

//! IMA's measurement list as a chain of checkpointed segments.
//!
//! With `ima_checkpoint=on` this crate owns IMA's measurement list. Data flows one way:
//!
//! ```text
//! IMA --seam--> log --> store --> files --> user space
//! ```
//!
//! - [`format`]: bytes of records, checkpoints and the kexec buffer; shared with the tool.
//! - [`store`]: holds records in chunks, lets readers copy them, remembers known digests.
//! - [`log`]: segments, shadow PCRs, checkpoints, truncation, kexec.
//! - [`files`]: the interface in securityfs.
//! - [`config`]: the administrator's settings.
//! - [`memory`]: vectors whose allocations a test can make fail.
//! - [`parameters`]: the settings on the kernel's command line.
//! - [`env`]: what is fixed for this boot, the banks above all.
//! - [`seam`]: every call to and from IMA's C code.

use kernel::prelude::*;

mod config;
mod env;
mod files;
pub mod format;
mod log;
mod memory;
mod parameters;
mod seam;
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
