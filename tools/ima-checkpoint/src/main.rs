// SPDX-License-Identifier: GPL-2.0

//! The program `ima-checkpoint`.

use clap::Parser;
use ima_checkpoint::{
    cli::Cli,
    commands::exit::Code,
    notify::{complain, Level},
};
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code.into(),
        Err(failure) => {
            complain(Level::Error, &failure);
            Code::from(&failure).into()
        }
    }
}
