// SPDX-License-Identifier: GPL-2.0

//! The program `ima-checkpoint`.

use clap::Parser;
use ima_checkpoint::{
    cli::Cli,
    notify::{
        complain,
        Level, //
    },
};
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code.into(),
        Err(error) => {
            complain(Level::Error, &error);
            error.code().into()
        }
    }
}
