// SPDX-License-Identifier: GPL-2.0

//! Why there is no quote in the log.

use crate::{escape::Escaped, quote};
use std::{fmt, io, path::PathBuf};

/// Why there is no quote in the log.
#[derive(Debug)]
pub enum Error {
    /// A program is not there, or cannot be run.
    NoTool {
        /// Its name, or where it should be.
        tool: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// A program failed.
    Failed {
        /// Which one.
        tool: PathBuf,
        /// What it said, in one line.
        said: String,
    },
    /// A program does not end.
    Slow {
        /// Which one.
        tool: PathBuf,
        /// After so many seconds.
        seconds: u64,
    },
    /// The key cannot sign quotes that anybody should believe.
    Key(quote::Error),
    /// What the TPM gave is not a quote over the checkpoint by that key.
    NotAQuote(quote::Error),
    /// What the TPM gave is larger than a record can be.
    TooLarge,
    /// The checkpoint has no value of a PCR whose bank is known.
    NothingNamed,
    /// Other checkpoints came in between.
    Overtaken {
        /// So many times.
        attempts: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTool { tool, error } => write!(
                f,
                "cannot run {}: {error}: install tpm2-tools 5 or later",
                Escaped::path(tool)
            ),
            Self::Failed { tool, said } => write!(
                f,
                "{} failed: {said}: is there a TPM 2.0, and does --key name an attestation key in \
                 it? `tpm2_readpublic -c KEY` shows it",
                Escaped::path(tool)
            ),
            Self::Slow { tool, seconds } => write!(
                f,
                "{} did not end within {seconds} s, and was stopped: does the TPM answer other \
                 programs?",
                Escaped::path(tool)
            ),
            Self::Key(error) => write!(f, "--key: {error}"),
            Self::NotAQuote(error) => write!(
                f,
                "what the TPM gave is not a quote over the checkpoint, and was not appended: {error}"
            ),
            Self::TooLarge => f.write_str(
                "the quote does not fit into a record: use a key with a shorter signature",
            ),
            Self::NothingNamed => f.write_str(
                "it names no PCR of a bank that this program knows, so there is nothing to quote: \
                 does the kernel have a TPM?",
            ),
            Self::Overtaken { attempts } => write!(
                f,
                "each of {attempts} times, another checkpoint was made before the quote of this one \
                 could be appended: try again"
            ),
        }
    }
}

impl std::error::Error for Error {}
