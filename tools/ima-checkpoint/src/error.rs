// SPDX-License-Identifier: GPL-2.0

//! What failed. Each part of the program has an enum of its own failures; this one has them all.
//! What the program ends with because of them is decided in [`crate::commands::exit`] alone.

use crate::{
    archive,
    escape::{self, Escaped},
    evidence, full_list, kernel, quoting,
    records::Fault,
    remote,
    view::Untold,
};
use ima_log::{endorsement, quote, verify};
use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// What failed. The text is one line that does a terminal no harm, whatever it was made of.
#[derive(Debug)]
pub enum Error {
    /// The system refused to do something with a file.
    Io {
        /// What: "read", "create".
        what: &'static str,
        /// The file, or what messages call it.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// The kernel.
    Kernel(kernel::Error),
    /// The archive.
    Archive(archive::Error),
    /// An object store.
    Store(remote::Error),
    /// Archive and kernel together.
    FullList(full_list::Error),
    /// What a verification is given.
    Evidence(evidence::Error),
    /// A list that cannot be verified.
    Verify(verify::Error),
    /// A record that cannot be read.
    Record(Fault),
    /// A record that cannot be shown as it is asked for.
    Untold(Untold),
    /// A quote, its key, or values of PCRs.
    Quote(quote::Error),
    /// An endorsement, or a key of one.
    Endorsement(endorsement::Error),
    /// A quote that was to be made.
    Quoting(quoting::Error),
    /// One of these, and during what it happened.
    During {
        /// What was done: "segment 7".
        what: String,
        /// What failed.
        error: Box<Error>,
    },
}

/// What most functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The system refused to do something (`what`: "read", "create") with a file.
    pub fn io(what: &'static str, path: impl AsRef<Path>, error: impl Into<io::Error>) -> Self {
        // what a store could not do goes through readers as an error of input
        match error.into().downcast::<Self>() {
            Ok(error) => error,
            Err(error) => Self::Io {
                what,
                path: path.as_ref().to_owned(),
                error,
            },
        }
    }

    /// Says first during what it happened.
    #[must_use]
    pub fn during(self, what: impl fmt::Display) -> Self {
        Self::During {
            what: what.to_string(),
            error: Box::new(self),
        }
    }

    /// What failed, during whatever it happened.
    pub fn cause(&self) -> &Self {
        match self {
            Self::During { error, .. } => error.cause(),
            error => error,
        }
    }

    /// Did the kernel free what was asked for?
    pub(crate) fn is_freed(&self) -> bool {
        use kernel::Refusal;
        matches!(
            self.cause(),
            Self::Kernel(kernel::Error::Refused {
                refusal: Refusal::Freed,
                ..
            })
        )
    }

    /// Does the kernel demand a signature that it was not given?
    pub(crate) fn is_unsigned(&self) -> bool {
        use kernel::Refusal;
        matches!(
            self.cause(),
            Self::Kernel(kernel::Error::Refused {
                refusal: Refusal::Unsigned,
                ..
            })
        )
    }

    /// Is there nothing of that name in the archive?
    pub fn is_absent(&self) -> bool {
        use archive::Error::{Absent, NoArchive, NoLog};
        matches!(
            self.cause(),
            Self::Archive(Absent { .. } | NoArchive { .. } | NoLog { .. })
        )
    }

    /// Is it what a file holds that is wrong? Else it could not be read.
    pub(crate) fn is_of_contents(&self) -> bool {
        match self.cause() {
            Self::Archive(error) => error.is_of_contents(),
            Self::Store(error) => error.is_of_contents(),
            Self::Record(fault) => !matches!(fault, Fault::Io(_)),
            _ => false,
        }
    }

    /// May it be gone when archive and kernel are looked at again? A segment that was freed in
    /// between is archived by then.
    pub(crate) fn may_pass(&self) -> bool {
        use full_list::Error::{Changed, Empty, Missing, OtherLog};
        let moved = matches!(
            self.cause(),
            Self::FullList(Changed | Empty | Missing { .. } | OtherLog { .. })
        );
        moved || self.is_freed() || self.is_absent()
    }

    fn text(&self, f: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::Io { what, path, error } => {
                write!(f, "cannot {what} {}: {error}", Escaped::path(path))
            }
            Self::Kernel(error) => write!(f, "{error}"),
            Self::Archive(error) => write!(f, "{error}"),
            Self::Store(error) => write!(f, "{error}"),
            Self::FullList(error) => write!(f, "{error}"),
            Self::Evidence(error) => write!(f, "{error}"),
            Self::Verify(error) => write!(f, "{error}"),
            Self::Record(error) => write!(f, "{error}"),
            Self::Untold(error) => write!(f, "{error}"),
            Self::Quote(error) => write!(f, "{error}"),
            Self::Endorsement(error) => write!(f, "{error}"),
            Self::Quoting(error) => write!(f, "{error}"),
            Self::During { what, error } => write!(f, "{what}: {error}"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.text(&mut text)?;
        f.write_str(&escape::line(&text))
    }
}

impl std::error::Error for Error {}

impl From<kernel::Error> for Error {
    fn from(error: kernel::Error) -> Self {
        Self::Kernel(error)
    }
}

impl From<archive::Error> for Error {
    fn from(error: archive::Error) -> Self {
        Self::Archive(error)
    }
}

impl From<remote::Error> for Error {
    fn from(error: remote::Error) -> Self {
        Self::Store(error)
    }
}

impl From<full_list::Error> for Error {
    fn from(error: full_list::Error) -> Self {
        Self::FullList(error)
    }
}

impl From<evidence::Error> for Error {
    fn from(error: evidence::Error) -> Self {
        Self::Evidence(error)
    }
}

impl From<verify::Error> for Error {
    fn from(error: verify::Error) -> Self {
        match error {
            // the sources are ours
            verify::Error::Source(error) => match error.downcast::<Self>() {
                Ok(error) => *error,
                Err(error) => Self::Verify(verify::Error::Source(error)),
            },
            error => Self::Verify(error),
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Record(fault)
    }
}

impl From<Untold> for Error {
    fn from(error: Untold) -> Self {
        Self::Untold(error)
    }
}

impl From<quoting::Error> for Error {
    fn from(error: quoting::Error) -> Self {
        Self::Quoting(error)
    }
}

impl From<endorsement::Error> for Error {
    fn from(error: endorsement::Error) -> Self {
        Self::Endorsement(error)
    }
}

impl From<quote::Error> for Error {
    fn from(error: quote::Error) -> Self {
        Self::Quote(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_harmless_line() {
        let path = Path::new("a\x1b[2J\nb\\");
        let error = Error::io("open", path, io::ErrorKind::NotFound);
        let shown = "cannot open a\\x1b[2J\\x0ab\\\\: entity not found";
        assert_eq!(error.to_string(), shown);
        let error = error.during("\u{202e}").to_string();
        assert_eq!(error, format!("\\u{{202e}}: {shown}"));
    }
}
