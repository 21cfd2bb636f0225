// SPDX-License-Identifier: GPL-2.0

//! What can be wrong with an object store.

use crate::escape::Escaped;
use std::{error, fmt, io, path::PathBuf};

/// Bytes that are shown of what a library says.
const MAX_TEXT: usize = 500;

/// What can be wrong with an object store, besides what can be wrong with any archive.
#[derive(Debug)]
pub enum Error {
    /// The URL names no store that can be used. The URL is not kept: it may hold a secret.
    Url(Unfit),
    /// The URL names a store where only a directory will do.
    NotADirectory {
        /// It.
        path: PathBuf,
    },
    /// The environment does not say how to reach the store.
    Setup {
        /// The store.
        path: PathBuf,
        /// What is wrong.
        error: Box<dyn error::Error + Send + Sync>,
    },
    /// The store, or what is between here and there, refused.
    Failed {
        /// What: "read", "list".
        what: &'static str,
        /// The object.
        path: PathBuf,
        /// Why.
        error: object_store::Error,
    },
    /// The store did not answer in time.
    Slow {
        /// What was asked for: "read", "list".
        what: &'static str,
        /// The object.
        path: PathBuf,
    },
    /// The store answered with something else than what was asked for.
    Absurd {
        /// The object.
        path: PathBuf,
        /// What is wrong with the answer.
        why: &'static str,
    },
    /// An object became another one while it was read.
    Changed {
        /// The object.
        path: PathBuf,
    },
    /// The store replaces objects although it was told not to.
    Overwrites {
        /// The store.
        path: PathBuf,
    },
    /// There is an object of that name, which holds something else.
    Differs {
        /// The object.
        path: PathBuf,
    },
    /// What was read back is not what was written.
    NotKept {
        /// The object.
        path: PathBuf,
    },
    /// A file is too large to be written at once.
    TooLarge {
        /// The object that it would become.
        path: PathBuf,
        /// Its bytes.
        bytes: u64,
        /// Bytes that can be written at once.
        limit: u64,
    },
}

/// What keeps a URL from naming a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It does not follow the syntax of URLs.
    Malformed(url::ParseError),
    /// It has a user name or a password.
    Credentials,
    /// It has a query, a fragment or a port.
    Extra,
    /// It is of no kind of store that is known.
    Scheme,
    /// It names no bucket, container or directory.
    NoBucket,
    /// Its path has parts that objects should not have in their names.
    Path,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "it is malformed: {error}"),
            Self::Credentials => f.write_str(
                "it has a user name or a password, which others can see in the list of processes: \
                 give credentials in the environment, or in the usual files",
            ),
            Self::Extra => f.write_str("it has a port, a query or a fragment: leave that out"),
            Self::Scheme => f.write_str("there are s3://, gs://, az:// and file://"),
            Self::NoBucket => {
                f.write_str("it names no bucket: write s3://BUCKET/PREFIX, or file:///DIRECTORY")
            }
            Self::Path => f.write_str("its path has empty parts, `.` or `..`: leave them out"),
        }
    }
}

impl Error {
    /// Is it what the store holds that is wrong? Else it could not be read.
    pub(crate) fn is_of_contents(&self) -> bool {
        matches!(self, Self::Absurd { .. } | Self::Differs { .. })
    }

    /// The same as an error of reading. What is wrong with the contents has the kind of damage,
    /// anything else has not.
    pub(super) fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::Absurd { .. } | Self::Differs { .. } => io::ErrorKind::InvalidData,
            Self::Slow { .. } => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::ConnectionAborted,
        };
        io::Error::new(kind, crate::error::Error::from(self))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(unfit) => write!(f, "the URL cannot be used: {unfit}"),
            Self::NotADirectory { path } => write!(
                f,
                "{} is a store, to which an archive can only be copied: name a directory by \
                 --archive, and the store by --copy-to",
                Escaped::path(path)
            ),
            Self::Setup { path, error } => write!(
                f,
                "cannot use {}: {error}: look at the environment and the configuration files",
                Escaped::path(path)
            ),
            Self::Failed { what, path, error } => {
                let error = error.to_string();
                let error = shortened(&error);
                write!(f, "cannot {what} {}: {error}", Escaped::path(path))
            }
            Self::Slow { what, path } => write!(
                f,
                "cannot {what} {}: the store did not answer in time",
                Escaped::path(path)
            ),
            Self::Absurd { path, why } => {
                write!(
                    f,
                    "{}: the store gave a wrong answer: {why}",
                    Escaped::path(path)
                )
            }
            Self::Changed { path } => write!(
                f,
                "{} was replaced while it was read: try again",
                Escaped::path(path)
            ),
            Self::Overwrites { path } => write!(
                f,
                "{} replaces objects although it was told not to (it ignores conditional writes), \
                 so that copies in it are not safe: use another store",
                Escaped::path(path)
            ),
            Self::Differs { path } => write!(
                f,
                "{} holds something else than the segment of that name here: nothing is freed that \
                 it should be a copy of. Find out by `verify` which one is true",
                Escaped::path(path)
            ),
            Self::NotKept { path } => write!(
                f,
                "{}: what was read back is not what was written",
                Escaped::path(path)
            ),
            Self::TooLarge { path, bytes, limit } => write!(
                f,
                "cannot write {}: it has {bytes} bytes, and {limit} can be written at once",
                Escaped::path(path)
            ),
        }
    }
}

/// What a library says may quote all that the server said.
fn shortened(text: &str) -> Escaped<'_> {
    let mut end = MAX_TEXT.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Escaped::new(text.get(..end).unwrap_or_default().as_bytes())
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Setup { error, .. } => Some(error.as_ref()),
            Self::Failed { error, .. } => Some(error),
            _ => None,
        }
    }
}
