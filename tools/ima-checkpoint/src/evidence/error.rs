// SPDX-License-Identifier: GPL-2.0

//! What can be wrong with what a verification is given.

use crate::{bank::Bank, escape::Escaped, input::Looks};
use ima_log::eventlog;
use std::{fmt, io, path::PathBuf};

/// What can be wrong with it, besides that the system refuses something.
#[derive(Debug)]
pub enum Error {
    /// A small file is no file.
    NotRegular {
        /// The path.
        path: PathBuf,
    },
    /// It is too large to be what is asked for.
    TooLarge {
        /// The path.
        path: PathBuf,
        /// The most bytes that it may have.
        max: u64,
    },
    /// A list is neither a file nor a pipe.
    NotAList {
        /// The path.
        path: PathBuf,
    },
    /// An input is no list.
    NotMeasured {
        /// What messages call it.
        name: String,
        /// What it may be.
        looks: Looks,
    },
    /// The list of the kernel cannot be opened.
    NoIma {
        /// The path.
        path: PathBuf,
        /// The cause.
        error: io::Error,
        /// Whether the privilege is missing.
        privilege: bool,
    },
    /// The kernel shows no PCRs.
    NoPcrs {
        /// The folder of the TPM.
        folder: PathBuf,
    },
    /// What it shows is not what a PCR can hold.
    NotAValue {
        /// The file.
        path: PathBuf,
        /// The bank.
        bank: Bank,
    },
    /// A directory of keys has none.
    NoKeys {
        /// The directory.
        folder: PathBuf,
    },
    /// It has too many.
    ManyKeys {
        /// The directory.
        folder: PathBuf,
        /// How many it may have.
        max: usize,
    },
    /// It is no event log of a firmware.
    EventLog {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: eventlog::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRegular { path } => write!(
                f,
                "{}: not a regular file: copy its contents to one, and give that",
                Escaped::path(path)
            ),
            Self::TooLarge { path, max } => write!(
                f,
                "{}: more than {} KiB, which cannot be the right file",
                Escaped::path(path),
                max >> 10
            ),
            Self::NotAList { path } => {
                write!(f, "{}: neither a file nor a pipe", Escaped::path(path))
            }
            Self::NotMeasured { name, looks } => {
                write!(f, "{name}: not a measurement list; {looks}")
            }
            Self::NoIma {
                path,
                error,
                privilege,
            } => {
                let hint = match privilege {
                    true => "run this as root",
                    false => {
                        "is securityfs mounted on /sys/kernel/security, and does the kernel have \
                         CONFIG_IMA=y?"
                    }
                };
                write!(f, "{}: {error}: {hint}", Escaped::path(path))
            }
            Self::NoPcrs { folder } => write!(
                f,
                "{} shows no PCRs: is there a TPM 2.0, and Linux 5.12 or later?",
                Escaped::path(folder)
            ),
            Self::NotAValue { path, bank } => {
                write!(f, "{}: not a value of {bank}", Escaped::path(path))
            }
            Self::NoKeys { folder } => write!(
                f,
                "{}: no key in it: put the TPM2B_PUBLIC of each key there, as `tpm2_readpublic -o` \
                 writes it",
                Escaped::path(folder)
            ),
            Self::ManyKeys { folder, max } => write!(
                f,
                "{}: more than {max} files: give a directory with the keys of the hosts in question",
                Escaped::path(folder)
            ),
            Self::EventLog { path, error } => write!(
                f,
                "{}: not an event log of the firmware: {error}",
                Escaped::path(path)
            ),
        }
    }
}

impl std::error::Error for Error {}
