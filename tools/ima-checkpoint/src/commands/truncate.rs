// SPDX-License-Identifier: GPL-2.0

//! `truncate`: free the segments before a checkpoint.

use super::print;
use crate::{
    cli::KernelOption,
    holders,
    kernel::Kernel,
    outcome::{
        Code,
        Error,
        Result, //
    },
};
use clap::Args;

/// Free the segments before a checkpoint. What nobody exported is lost
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The checkpoint that the list is to start with
    seq: u64,

    /// Only say what would be freed
    #[arg(long)]
    dry_run: bool,

    /// Truncate although a program has the kernel's list files open
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    kernel: KernelOption,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<Code> {
    let kernel = arguments.kernel.open()?;
    let seq = arguments.seq;
    let segments = kernel.segments()?;
    let target = segments.iter().find(|segment| segment.seq == seq);
    let Some(target) = target.filter(|_| seq > 0) else {
        return Err(no_such(seq, segments.first().map_or(0, |first| first.seq)));
    };
    let freed = segments.iter().filter(|segment| segment.seq < seq);
    let (records, bytes) = freed.fold((0_u64, 0_u64), |(records, bytes), segment| {
        (
            records.saturating_add(segment.records),
            bytes.saturating_add(segment.bytes),
        )
    });
    if arguments.dry_run {
        print(&format!("would free {records} records, {bytes} bytes\n"))?;
        return Ok(Code::Verified);
    }
    if !arguments.force {
        refuse_holders(&kernel)?;
    }
    kernel.truncate(seq, &target.digest)?;
    print(&format!("freed {records} records, {bytes} bytes\n"))?;
    Ok(Code::Verified)
}

fn no_such(seq: u64, first: u64) -> Error {
    if seq == 0 {
        Error::usage("the list cannot be truncated to segment 0: nothing is before it")
    } else if seq < first {
        let text = format!("checkpoint {seq} was freed: the list starts with checkpoint {first}");
        Error::new(Code::Stale, text)
    } else {
        Error::usage(format!("there is no checkpoint {seq} yet"))
    }
}

/// An agent that reads the kernel's own files would lose its place.
fn refuse_holders(kernel: &Kernel) -> Result<()> {
    let holders = holders::of_list_files(kernel);
    if holders.is_empty() {
        return Ok(());
    }
    let names = holders.join(", ");
    Err(Error::new(
        Code::Busy,
        format!(
            "{names} has the measurement list open and would lose its place in it. Let it read \
             `ima-checkpoint mount`, stop it, or use --force"
        ),
    ))
}
