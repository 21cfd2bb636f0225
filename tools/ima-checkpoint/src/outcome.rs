// SPDX-License-Identifier: GPL-2.0

//! How a command ends: exit codes, and errors that say what was wrong and what to do.

use ima_log::{
    escape::{
        self,
        Escaped, //
    },
    list::records::Fault,
    quote,
    verify::{
        self,
        verdict::Outcome, //
    },
};
use rustix::io::Errno;
use std::{
    fmt,
    io,
    path::Path, //
};

/// Exit codes. When several hold, [`worst`] decides which one the program ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Code {
    /// Verified: complete from a trusted start, anchored. Or the command did what it should.
    Verified = 0,
    /// Tampered, mismatching or forked.
    Tampered = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Consistent, but anchored to nothing.
    Unanchored = 3,
    /// Against a policy: the permissions of an archive are wider than they should be, say.
    Policy = 4,
    /// History is missing: a gap, or a start that nobody vouches for.
    Missing = 5,
    /// Busy, try again.
    Busy = 6,
    /// The kernel lacks what is needed, or the privilege is missing.
    Kernel = 7,
    /// Input, output or internal error.
    Internal = 8,
    /// Stale: not of the state or the question that it should answer.
    Stale = 9,
}

impl Code {
    /// All, the one that decides first.
    pub(crate) const PRECEDENCE: [Self; 10] = [
        Self::Usage,
        Self::Kernel,
        Self::Internal,
        Self::Busy,
        Self::Tampered,
        Self::Stale,
        Self::Missing,
        Self::Policy,
        Self::Unanchored,
        Self::Verified,
    ];
}

impl From<Outcome> for Code {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Verified | Outcome::Accepted => Self::Verified,
            Outcome::Unanchored => Self::Unanchored,
            Outcome::Missing => Self::Missing,
            Outcome::Stale => Self::Stale,
            Outcome::Tampered => Self::Tampered,
        }
    }
}

impl From<Code> for std::process::ExitCode {
    fn from(code: Code) -> Self {
        (code as u8).into()
    }
}

/// The code that decides, [`Code::Verified`] if there is none.
pub fn worst(codes: impl IntoIterator<Item = Code> + Clone) -> Code {
    let holds = |code: &Code| codes.clone().into_iter().any(|held| held == *code);
    Code::PRECEDENCE
        .into_iter()
        .find(holds)
        .unwrap_or(Code::Verified)
}

/// What went wrong, for a person, and the exit code. The text is one line that does a terminal no
/// harm, whatever it was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: Code,
    text: String,
}

/// What most functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with the code that the program is to end with.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        let text = escape::line(&text.into());
        Self { code, text }
    }

    /// The command line asks for what makes no sense.
    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(Code::Usage, text)
    }

    /// The system refused to do something (`what`: "read", "create") with a file. Its path is
    /// escaped here.
    pub fn io(what: &str, path: impl AsRef<Path>, error: &io::Error) -> Self {
        let path = Escaped::path(path.as_ref());
        Self::new(Code::Internal, format!("cannot {what} {path}: {error}"))
    }

    /// The exit code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Says first during what it happened.
    #[must_use]
    pub fn during(self, what: impl fmt::Display) -> Self {
        Self::new(self.code, format!("{what}: {}", self.text))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

impl From<verify::Error> for Error {
    fn from(error: verify::Error) -> Self {
        let code = match error {
            verify::Error::Source(error) => {
                // the sources are ours
                return match error.downcast::<Self>() {
                    Ok(error) => *error,
                    Err(error) => Self::new(Code::Internal, error.to_string()),
                };
            }
            verify::Error::Read { ref error, .. } => {
                match error.raw_os_error().map(Errno::from_raw_os_error) {
                    Some(Errno::STALE) => Code::Stale,
                    _ => Code::Internal,
                }
            }
            verify::Error::Unsealed { .. } => Code::Internal,
            verify::Error::Empty
            | verify::Error::ValuesNeeded(_)
            | verify::Error::ForeignBanks(_) => Code::Usage,
        };
        Self::new(code, error.to_string())
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let code = match fault {
            Fault::Io(_) => Code::Internal,
            Fault::Malformed(..) | Fault::Cut(_) => Code::Tampered,
        };
        Self::new(code, fault.to_string())
    }
}

impl From<quote::Error> for Error {
    fn from(error: quote::Error) -> Self {
        let code = match error {
            quote::Error::Malformed { .. }
            | quote::Error::Forged(_)
            | quote::Error::UnfitKey { .. }
            | quote::Error::WeakKey
            | quote::Error::WrongKeyName { .. } => Code::Tampered,
            quote::Error::NoKeyName { .. } => Code::Usage,
            quote::Error::Stale { .. } => Code::Stale,
            quote::Error::Weak { .. } => Code::Unanchored,
            quote::Error::NotAKey(_) | quote::Error::NotPcrValues(_) => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_harmless_line() {
        let path = Path::new("a\x1b[2J\nb\\");
        let error = Error::io("open", path, &io::ErrorKind::NotFound.into());
        let shown = "cannot open a\\x1b[2J\\x0ab\\\\: entity not found";
        assert_eq!(error.to_string(), shown);
        let error = error.during("\u{202e}").to_string();
        assert_eq!(error, format!("\\u{{202e}}: {shown}"));
        let error = Error::usage("unknown variant `\x1b`");
        assert_eq!(error.to_string(), "unknown variant `\\x1b`");
    }

    #[test]
    fn the_gravest_decides() {
        assert_eq!(worst([]), Code::Verified);
        assert_eq!(worst([Code::Unanchored, Code::Missing]), Code::Missing);
        assert_eq!(
            worst([Code::Missing, Code::Tampered, Code::Stale]),
            Code::Tampered
        );
        assert_eq!(worst([Code::Tampered, Code::Usage]), Code::Usage);
    }

    #[test]
    fn codes_of_quotes() -> Result<(), Box<dyn std::error::Error>> {
        use quote::{
            Forgery,
            Hex,
            Part, //
        };
        let hash = crate::bank::Bank::Sha1;
        for (error, code) in [
            (
                quote::Error::Malformed {
                    what: Part::Message,
                    why: "cut".into(),
                },
                Code::Tampered,
            ),
            (
                quote::Error::Forged(Forgery::Signature),
                Code::Tampered, //
            ),
            (
                quote::Error::Stale {
                    expected: "01".parse()?,
                    found: Hex(vec![2]),
                },
                Code::Stale,
            ),
            (quote::Error::Weak { hash }, Code::Unanchored),
            (
                quote::Error::UnfitKey {
                    attributes: Vec::new(),
                },
                Code::Tampered,
            ),
            (quote::Error::WeakKey, Code::Tampered),
            (
                quote::Error::WrongKeyName {
                    expected: format!("000b{}", "0".repeat(64)).parse()?,
                    found: format!("000b{}", "f".repeat(64)).parse()?,
                },
                Code::Tampered,
            ),
            (
                quote::Error::NoKeyName {
                    expected: format!("000b{}", "0".repeat(64)).parse()?,
                },
                Code::Usage,
            ),
            (quote::Error::NotAKey("text".into()), Code::Internal),
            (quote::Error::NotPcrValues("text".into()), Code::Internal),
        ] {
            let text = error.to_string();
            assert_eq!(Error::from(error), Error::new(code, text));
        }
        Ok(())
    }
}
