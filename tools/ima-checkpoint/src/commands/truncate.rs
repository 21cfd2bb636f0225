// SPDX-License-Identifier: GPL-2.0

//! `truncate`: free the segments before a checkpoint.

use super::{exit::Code, failure::Failure, print, Result};
use crate::{
    cli::{KernelOption, ReadersOption},
    kernel::Kernel,
    open_files::{self, Readers},
};
use clap::Args;

/// Free the segments before a checkpoint. Segments that were not exported are lost
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The checkpoint that the list will start with
    seq: u64,

    /// Only print what would be freed
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    readers: ReadersOption,

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
    if Readers::from(arguments.readers) == Readers::Wait {
        refuse_open_files(&kernel)?;
    }
    kernel.truncate(seq, &target.digest)?;
    print(&format!("freed {records} records, {bytes} bytes\n"))?;
    Ok(Code::Verified)
}

fn no_such(seq: u64, first: u64) -> Failure {
    if seq == 0 {
        Failure::usage("the list cannot be truncated to segment 0: nothing precedes it")
    } else if seq < first {
        Failure::Freed { seq, first }
    } else {
        Failure::usage(format!("there is no checkpoint {seq} yet"))
    }
}

/// An agent that reads the kernel's own files would lose its place.
fn refuse_open_files(kernel: &Kernel) -> Result<()> {
    let programs = open_files::of_list_files(kernel);
    match programs.is_empty() {
        true => Ok(()),
        false => Err(Failure::Held { programs }),
    }
}
