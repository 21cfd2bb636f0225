// SPDX-License-Identifier: GPL-2.0

//! `generate`: manual pages and shell completion, from the definition of the command line.

mod manual;

use super::{exit::Code, Result};
use crate::{cli::Cli, error::Error};
use clap::{Args, Command, CommandFactory, ValueEnum};
use clap_complete::Shell;
use std::{
    fs,
    path::{Path, PathBuf},
};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Manual pages, one for each command
    Man,
    /// Completion for bash, zsh and fish
    Completion,
}

/// Write the manual pages or the shell completion, for packages of this program
#[derive(Args, Clone, Debug)]
#[command(hide = true)]
pub struct Arguments {
    /// What to write
    what: What,

    /// The directory to write to, created if it does not exist
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<Code> {
    let directory = &arguments.directory;
    fs::create_dir_all(directory).map_err(|error| Error::io("create", directory, error))?;
    match arguments.what {
        What::Man => manual_pages(directory)?,
        What::Completion => completion(directory)?,
    }
    Ok(Code::Verified)
}

fn manual_pages(directory: &Path) -> Result<()> {
    for page in manual::pages(Cli::command()) {
        let path = directory.join(&page.file);
        fs::write(&path, page.text).map_err(|error| Error::io("write", &path, error))?;
    }
    Ok(())
}

fn completion(directory: &Path) -> Result<()> {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut command = without_hidden(&Cli::command());
        let name = command.get_name().to_owned();
        clap_complete::generate_to(shell, &mut command, name, directory)
            .map_err(|error| Error::io("write to", directory, error))?;
    }
    Ok(())
}

/// The scripts would offer hidden commands too.
fn without_hidden(command: &Command) -> Command {
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    Command::new(env!("CARGO_PKG_NAME"))
        .args(command.get_arguments())
        .subcommands(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bash script goes through states. A version of clap_complete had others in its table than
    /// it goes to, for a program with a hyphen in its name.
    #[test]
    fn bash_completion_knows_its_own_states() {
        let directory = tempfile::tempdir().unwrap();
        completion(directory.path()).unwrap();
        let text = fs::read_to_string(directory.path().join("ima-checkpoint.bash")).unwrap();
        let states = text.split("cmd=\"").skip(1);
        let states: Vec<_> = states.filter_map(|rest| rest.split('"').next()).collect();
        assert!(states.len() > 10);
        for state in states.iter().filter(|state| !state.is_empty()) {
            assert!(text.contains(&format!(" {state})\n")), "{state}");
        }
    }

    #[test]
    fn completion_offers_commands_and_options() {
        let directory = tempfile::tempdir().unwrap();
        completion(directory.path()).unwrap();
        for file in [
            "ima-checkpoint.bash",
            "_ima-checkpoint",
            "ima-checkpoint.fish",
        ] {
            let text = fs::read_to_string(directory.path().join(file)).unwrap();
            assert!(
                text.contains("truncate") && text.contains("dry-run"),
                "{file}"
            );
            assert!(!text.contains("generate"), "{file}");
        }
    }
}
