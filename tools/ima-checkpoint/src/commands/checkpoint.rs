// SPDX-License-Identifier: GPL-2.0

//! `checkpoint`: seal the active segment.

use super::{exit::Code, failure::Failure, print, print_json, Result};
use crate::cli::KernelOption;
use clap::Args;
use ima_checkpoint_format::checkpoint::Label;

/// Append a checkpoint to the measurement list, which seals the active segment
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// A remark that stays in the list: at most 64 printable ASCII characters
    #[arg(long, default_value = "", hide_default_value = true)]
    label: String,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    kernel: KernelOption,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<Code> {
    let label = &arguments.label;
    Label::new(label.as_bytes()).map_err(|error| Failure::usage(format!("--label: {error}")))?;
    let created = arguments.kernel.open()?.checkpoint(label)?;
    if arguments.json {
        print_json(&created)?;
    } else {
        let (seq, digest) = (created.seq, created.digest);
        print(&format!("checkpoint {seq} {digest}\n"))?;
    }
    Ok(Code::Verified)
}
