// SPDX-License-Identifier: GPL-2.0

//! `verify`: is this log what the TPM saw?

use super::{exit::Code, print, print_json, verdict::Options, Result};
use clap::Args;
use ima_log::report::{text, Json};

/// Verify a log: replay it, check every checkpoint, and compare the result with what the PCRs held
///
/// The exit code is 0 if the log is complete from a trusted start and the PCRs prove it, 1 if it
/// was tampered with or does not match, 3 if it is consistent but was not compared with a PCR, and
/// 5 if a part of it is missing. Nothing that a list says about itself is a trusted start.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    #[command(flatten)]
    options: Options,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Print nothing; the exit code tells the result
    #[arg(long, conflicts_with = "json")]
    quiet: bool,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<Code> {
    let verdict = arguments.options.verdict(arguments.quiet)?;
    if arguments.json {
        print_json(&Json::new(&verdict, |outcome| Code::from(outcome) as u8))?;
    } else if !arguments.quiet {
        print(&text(&verdict))?;
    }
    Ok(verdict.outcome().into())
}
