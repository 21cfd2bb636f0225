// SPDX-License-Identifier: GPL-2.0

//! What is wrong with the kernel, or what it refused.

use crate::{error, escape::Escaped};
use rustix::io::Errno;
use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// What is wrong with the kernel, or what it refused.
#[derive(Debug)]
pub enum Error {
    /// It has no checkpoints.
    Unsupported {
        /// The folder that is not there.
        folder: PathBuf,
        /// Whether it has IMA.
        has_ima: bool,
    },
    /// A file is not as expected.
    NotUnderstood {
        /// The file.
        path: PathBuf,
    },
    /// It takes no quotes.
    NoQuotes {
        /// The file that is not there.
        path: PathBuf,
    },
    /// It refused something.
    Refused {
        /// The file that was read or written.
        path: PathBuf,
        /// What that means.
        refusal: Refusal,
        /// As the system says it.
        error: io::Error,
    },
}

/// What an error of the extension's files means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Only root of the host may do this.
    Privilege,
    /// There is no such segment or checkpoint yet.
    NotYet,
    /// It was freed already, or is that of another log.
    Freed,
    /// Measuring is suspended.
    Suspended,
    /// The command is malformed.
    Invalid,
    /// Nothing is freed without a signature, and there is none that is valid.
    Unsigned,
    /// The TPM did not answer.
    Tpm,
    /// There was not enough memory.
    Memory,
}

impl Refusal {
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        match Errno::from_raw_os_error(error.raw_os_error()?) {
            Errno::PERM | Errno::ACCESS => Some(Self::Privilege),
            Errno::NOENT => Some(Self::NotYet),
            Errno::STALE => Some(Self::Freed),
            Errno::BUSY => Some(Self::Suspended),
            Errno::INVAL => Some(Self::Invalid),
            Errno::KEYREJECTED => Some(Self::Unsigned),
            Errno::IO => Some(Self::Tpm),
            Errno::NOMEM => Some(Self::Memory),
            _ => None,
        }
    }

    /// What to do.
    fn hint(self) -> &'static str {
        match self {
            Self::Privilege => "run this as root of the host, not of a container",
            Self::NotYet => {
                "there is no such segment or checkpoint yet; `ima-checkpoint status` lists them"
            }
            Self::Freed => {
                "it was already freed, or belongs to another log; `ima-checkpoint status` lists \
                 what is live"
            }
            Self::Suspended => "measuring is suspended because the machine is about to reboot",
            Self::Invalid => "the kernel does not accept this",
            Self::Unsigned => {
                "nothing was freed: this needs a signature by a key in the kernel's keyring .ima, \
                 over this checkpoint of this log. `ima-checkpoint truncate --message` prints what \
                 to sign, `--signature` takes the signature, and the kernel log says what is wrong \
                 with one"
            }
            Self::Tpm => "the TPM did not answer, and nothing was freed; see the kernel log",
            Self::Memory => "nothing was appended, freed or lost",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported { folder, has_ima } => {
                let why = match has_ima {
                    true => {
                        "was this kernel built with CONFIG_IMA_CHECKPOINT=y, and booted with \
                         ima_checkpoint=on?"
                    }
                    false => {
                        "is securityfs mounted on /sys/kernel/security, and does the kernel have \
                         CONFIG_IMA=y?"
                    }
                };
                write!(f, "{} not found: {why}", Escaped::path(folder))
            }
            Self::NotUnderstood { path } => write!(
                f,
                "{} has unexpected contents: this program is too old for this kernel",
                Escaped::path(path)
            ),
            Self::NoQuotes { path } => write!(
                f,
                "{} not found: this kernel takes no quotes; nothing was done",
                Escaped::path(path)
            ),
            Self::Refused {
                path,
                refusal,
                error,
            } => write!(f, "{}: {error}: {}", Escaped::path(path), refusal.hint()),
        }
    }
}

impl std::error::Error for Error {}

pub(super) fn not_understood(path: &Path) -> error::Error {
    let path = path.to_owned();
    Error::NotUnderstood { path }.into()
}

/// What an error of these files means.
pub(super) fn refused(path: &Path, error: io::Error) -> error::Error {
    match Refusal::of(&error) {
        None => error::Error::io("use", path, error),
        Some(refusal) => Error::Refused {
            path: path.to_owned(),
            refusal,
            error,
        }
        .into(),
    }
}
