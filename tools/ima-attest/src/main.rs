// SPDX-License-Identifier: GPL-2.0

//! The program `ima-attest`.

use clap::Parser;
use ima_attest::{cli::Cli, error::Error};
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("<3>ima-attest: {error}");
            ExitCode::from(match error {
                Error::Option(_) => 2,
                _ => 1,
            })
        }
    }
}
