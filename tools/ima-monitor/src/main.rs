// SPDX-License-Identifier: GPL-2.0

//! The program `ima-monitor`.

use clap::Parser;
use ima_monitor::commands::{Cli, Done};
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(Done::Well) => ExitCode::SUCCESS,
        Ok(Done::Findings) => ExitCode::from(1),
        Err(error) => {
            eprintln!("<3>ima-monitor: {error}");
            ExitCode::from(2)
        }
    }
}
