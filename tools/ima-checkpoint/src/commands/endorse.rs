// SPDX-License-Identifier: GPL-2.0

//! `endorse`: verify a log, and sign what was found.

use super::{exit::Code, failure::Failure, print, replace::replace, verdict::Options, Result};
use crate::{error::Error, escape::Escaped, evidence::files};
use clap::Args;
use ima_log::{
    endorsement::{ConsentKey, Endorsement, NotEndorsable, SigningKey, Verifier, Words},
    report::text,
};
use std::{
    io::Write,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Verify a log, and sign that it was verified up to its newest checkpoint that is proven
///
/// The statement is a DSSE envelope with an in-toto statement and a SLSA verification summary. Whoever
/// believes the signer can verify what follows the checkpoint with it, and without anything that
/// precedes it: `verify --endorsement FILE --endorser KEY`. It is also a receipt for `archive
/// --require-ack`. The exit codes are those of `verify`; a log that is not verified is not endorsed.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    #[command(flatten)]
    options: Options,

    /// The private key to sign with: P-256 or Ed25519, in PEM, without a passphrase
    #[arg(long, value_name = "FILE")]
    signing_key: PathBuf,

    /// Where to write the statement [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Also write a signature that lets the kernel free the segments before the checkpoint
    ///
    /// For a kernel that was booted with ima_checkpoint.truncate_needs_signature=1: `truncate --signature`
    /// takes it. Store the segments first.
    #[arg(long, value_name = "FILE", requires = "truncate_key")]
    truncate: Option<PathBuf>,

    /// The private key for that, whose certificate is in the kernel's keyring .ima: RSA or ECDSA, in PEM
    #[arg(long, value_name = "FILE", requires = "truncate")]
    truncate_key: Option<PathBuf>,

    /// A URI that names whoever answers for the verification
    #[arg(long, value_name = "URI", default_value = "ima-checkpoint:verify", value_parser = uri)]
    verifier_id: String,

    /// Print nothing but the statement
    #[arg(long)]
    quiet: bool,
}

/// Longest name of a verifier, in bytes.
const MAX_ID: usize = 1024;

fn uri(text: &str) -> Result<String, String> {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(letter)
    };
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic()) && text.len() <= MAX_ID;
    match scheme.is_some_and(is_scheme) && is_plain {
        true => Ok(text.to_owned()),
        false => Err("expected a URI such as https://example.org/auditor".to_owned()),
    }
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<Code> {
    let path = &arguments.signing_key;
    let key = SigningKey::parse(&files::read(path)?);
    let key = key.map_err(|error| Error::from(error).during(Escaped::path(path)))?;
    let consent = consent_key(arguments)?;
    let host = arguments.options.source.log_host()?;
    let verdict = arguments.options.verdict(arguments.quiet)?;
    let words = Words {
        host,
        verifier: Verifier {
            id: arguments.verifier_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        time: SystemTime::now(),
    };
    let endorsement = match Endorsement::of(&verdict, words) {
        Ok(endorsement) => endorsement,
        Err(NotEndorsable::NotVerified) => {
            if !arguments.quiet {
                tell(&text(&verdict));
                tell(&format!("\n{}\n", NotEndorsable::NotVerified));
            }
            return Ok(verdict.outcome().into());
        }
        Err(error) => return Err(Failure::Unproven(error)),
    };
    let (envelope, id) = key.sign(&endorsement).map_err(Error::from)?;
    match &arguments.output {
        Some(path) => replace(path, envelope.as_bytes())?,
        None => print(&envelope)?,
    }
    if let Some((path, key)) = &consent {
        replace(path, &key.sign(&endorsement).map_err(Error::from)?)?;
    }
    if !arguments.quiet {
        tell(&format!(
            "endorsed checkpoint {} of log {}, and the {} records before it; the ID of this is {id}\n",
            endorsement.checkpoint, endorsement.log_id, endorsement.records
        ));
    }
    Ok(verdict.outcome().into())
}

/// Where to write a consent, and the key that signs it.
fn consent_key(arguments: &Arguments) -> Result<Option<(&Path, ConsentKey)>> {
    let files = arguments
        .truncate
        .as_ref()
        .zip(arguments.truncate_key.as_ref());
    let Some((out, path)) = files else {
        return Ok(None);
    };
    let key = ConsentKey::parse(&files::read(path)?);
    let key = key.map_err(|error| Error::from(error).during(Escaped::path(path)))?;
    Ok(Some((out, key)))
}

/// Tells somebody who is there, while standard output may be the statement.
fn tell(text: &str) {
    // that nobody reads it is no error
    let _ = std::io::stderr().write_all(crate::escape::lines(text).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_verifiers() {
        for good in [
            "ima-checkpoint:verify",
            "https://example.org/a?b#c",
            "urn:x:y",
        ] {
            assert_eq!(uri(good).as_deref(), Ok(good));
        }
        for bad in ["", "auditor", ":x", "1a:x", "a b:c", "a:b c", "a:\u{1b}[2J"] {
            assert!(uri(bad).is_err(), "{bad:?}");
        }
    }
}
