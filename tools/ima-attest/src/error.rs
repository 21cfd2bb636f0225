// SPDX-License-Identifier: GPL-2.0

//! Why an attestation did not happen.

use ima_log::escape::Escaped;
use std::{fmt, io, path::PathBuf};

/// Why.
#[derive(Debug)]
pub enum Error {
    /// The TPM, while something was done.
    Tpm(&'static str, tss_esapi::Error),
    /// The TPM has no bank that proves anything, or no PCR 10 there.
    NoBank,
    /// The PCRs changed each time between a quote and reading them.
    Restless,
    /// A file.
    File(PathBuf, io::Error),
    /// A file of the state is not what this program wrote.
    State(PathBuf),
    /// The list.
    List(String),
    /// The server cannot be reached, or the connection broke.
    Network(reqwest::Error),
    /// The server answered with this status, and why.
    Status {
        /// What was asked.
        what: &'static str,
        /// The HTTP status.
        status: u16,
        /// After how many seconds it may be asked again.
        retry_after: Option<u64>,
        /// What it says.
        detail: String,
    },
    /// The server answered what the protocol does not know.
    Answer(&'static str, String),
    /// The server does not take the proof of possession.
    NotAccepted,
    /// An option makes no sense.
    Option(String),
    /// OpenSSL.
    OpenSsl(openssl::error::ErrorStack),
}

/// What nearly everything here gives.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tpm(what, error) => write!(f, "the TPM: cannot {what}: {error}"),
            Self::NoBank => f.write_str(
                "the TPM has no PCR 10 in a bank of sha256, sha384 or sha512: enable one in the \
                 firmware's settings",
            ),
            Self::Restless => f.write_str("the PCRs change too fast to be quoted; it is tried again"),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::State(path) => write!(
                f,
                "{} is damaged: remove the directory and run `ima-attest init` again",
                path.display()
            ),
            Self::List(why) => write!(f, "the measurement list: {why}"),
            Self::Network(error) => {
                write!(f, "the server cannot be reached: {error}")?;
                // what it is about is at the end of the chain
                let mut source = std::error::Error::source(error);
                while let Some(error) = source {
                    write!(f, ": {error}")?;
                    source = error.source();
                }
                Ok(())
            }
            Self::Status {
                what,
                status,
                detail,
                ..
            } => write!(
                f,
                "the server refused the {what} with status {status}: {}",
                Escaped::new(detail.as_bytes())
            ),
            Self::Answer(what, why) => write!(
                f,
                "the server's answer to the {what} is not understood: {}",
                Escaped::new(why.as_bytes())
            ),
            Self::NotAccepted => f.write_str(
                "the server does not accept this host yet: approve it there (`ima-monitor approve`, or \
                 `keylime_tenant -c add`)",
            ),
            Self::Option(what) => f.write_str(what),
            Self::OpenSsl(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        Self::Network(error)
    }
}

impl From<openssl::error::ErrorStack> for Error {
    fn from(error: openssl::error::ErrorStack) -> Self {
        Self::OpenSsl(error)
    }
}

impl From<ima_checkpoint::error::Error> for Error {
    fn from(error: ima_checkpoint::error::Error) -> Self {
        Self::List(error.to_string())
    }
}
