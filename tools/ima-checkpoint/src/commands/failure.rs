// SPDX-License-Identifier: GPL-2.0

//! What keeps a command from giving a result.

use crate::{
    error::Error,
    escape::{self, Escaped},
    open_files,
};
use ima_log::endorsement::NotEndorsable;
use rustix::io::Errno;
use std::{fmt, path::PathBuf};

/// What keeps a command from giving a result. The text is one line that does a terminal no harm.
#[derive(Debug)]
pub enum Failure {
    /// The command line asks for what makes no sense.
    Usage(String),
    /// A checkpoint that the list was to be truncated to was freed.
    Freed {
        /// Its number.
        seq: u64,
        /// The checkpoint that the list starts with.
        first: u64,
    },
    /// Programs have the list open, and would lose their place in it.
    Held {
        /// Their names.
        programs: Vec<String>,
    },
    /// The list is truncated faster than it can be read. The last error of many.
    Restless(Box<Failure>),
    /// There is nothing to endorse.
    Unproven(NotEndorsable),
    /// The system does not let us mount.
    MountDenied {
        /// The directory.
        folder: PathBuf,
        /// The cause.
        error: Errno,
    },
    /// A mount is left whose program died.
    LeftMounted {
        /// The directory.
        folder: PathBuf,
    },
    /// The thread that serves a file system ended by a fault of this program.
    Crashed,
    /// What another part of the program could not do.
    Program(Error),
}

impl Failure {
    /// The command line asks for what makes no sense.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    fn text(&self, f: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::Usage(text) => f.write_str(text),
            Self::Freed { seq, first } => write!(
                f,
                "checkpoint {seq} was freed: the list starts with checkpoint {first}"
            ),
            Self::Held { programs } => f.write_str(&open_files::in_the_way(programs)),
            Self::Restless(error) => write!(
                f,
                "{error}: the list is truncated faster than it can be read; try again"
            ),
            Self::Unproven(why) => write!(f, "{why}"),
            Self::MountDenied { folder, error } => {
                let folder = Escaped::path(folder);
                write!(f, "cannot mount on {folder}: {error}: run this as root")
            }
            Self::LeftMounted { folder } => {
                let folder = Escaped::path(folder);
                write!(
                    f,
                    "{folder} is left over from a mount whose program died: run `umount {folder}` \
                     first"
                )
            }
            Self::Crashed => {
                f.write_str("the file system stopped because of a bug in this program")
            }
            Self::Program(error) => write!(f, "{error}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.text(&mut text)?;
        f.write_str(&escape::line(&text))
    }
}

impl std::error::Error for Failure {}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Program(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_harmless_line() {
        let error = Failure::usage("unknown variant `\x1b`").to_string();
        assert_eq!(error, "unknown variant `\\x1b`");
    }
}
