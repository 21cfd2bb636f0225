// SPDX-License-Identifier: GPL-2.0

//! Why a quote, or what belongs to it, proves nothing.

use super::{name::KeyName, nonce::Nonce, signature::Scheme, wire::Hex};
use crate::bank::Bank;
use std::fmt;

/// Why a quote, its key or PCR values were refused. Each text says what was wrong and, where
/// somebody can do something, what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A part of the quote is not what its file should hold.
    Malformed {
        /// Which one.
        what: Part,
        /// What about it.
        why: String,
    },
    /// All can be read, but no TPM made a quote of it with this key.
    Forged(Forgery),
    /// The quote is genuine, and answers another question.
    Stale {
        /// The nonce that was asked for.
        expected: Nonce,
        /// That of the quote.
        found: Hex,
    },
    /// The signature rests on a hash that does not resist collisions.
    Weak {
        /// The hash.
        hash: Bank,
    },
    /// The key's own attributes let it sign forged quotes.
    UnfitKey {
        /// Those that are wrong.
        attributes: Vec<Attribute>,
    },
    /// The key is too short, or of a kind or on a curve that is not taken.
    WeakKey,
    /// The key has another TPM name than the verifier expects.
    WrongKeyName {
        /// The one that is expected.
        expected: KeyName,
        /// That of the key.
        found: KeyName,
    },
    /// The key is in PEM or DER, and has no TPM name that could be compared.
    NoKeyName {
        /// The one that is expected.
        expected: KeyName,
    },
    /// These bytes are no public key, as is said here.
    NotAKey(String),
    /// These bytes are no values of PCRs, as is said here.
    NotPcrValues(String),
}

/// A file of a quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// What was signed.
    Message,
    /// The signature.
    Signature,
}

/// What gives a forged quote away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forgery {
    /// The message does not start as all that a TPM makes itself.
    Magic(u32),
    /// A TPM made the message, but for something else than a quote: TPM_ST.
    Type(u16),
    /// The key is bound to another scheme than the signature's.
    Scheme {
        /// That of the signature.
        found: Scheme,
        /// That of the key.
        expected: Scheme,
    },
    /// The signature is not that of the key over the message.
    Signature,
    /// The PCR digest is not as long as a digest of the signature's hash.
    DigestSize {
        /// Its bytes.
        found: usize,
        /// The hash.
        hash: Bank,
    },
}

/// An attribute of a key (Part 2, "TPMA_OBJECT") that it must not have, or lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attribute {
    /// As the specification names it.
    pub name: &'static str,
    /// Is it set, and must not be? Else it must be set, and is not.
    pub set: bool,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { what, why } => write!(f, "the quote's {what} is malformed: {why}"),
            Self::Forged(how) => how.fmt(f),
            Self::Stale { expected, found } => write!(
                f,
                "the quote answers another question: its nonce is '{found}', not '{expected}'. \
                 Ask for a new quote"
            ),
            Self::Weak { hash } => write!(
                f,
                "the quote signs a {hash} digest, which proves nothing any more; use a key that \
                 signs with sha256"
            ),
            Self::UnfitKey { attributes } => {
                f.write_str("the key could sign forged quotes: ")?;
                for (index, attribute) in attributes.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{attribute}")?;
                }
                f.write_str(". `tpm2_createak` makes one that cannot")
            }
            Self::WeakKey => f.write_str(
                "the key is too weak or of an unknown kind: RSA of 2048 bits or more, P-256, \
                 P-384 and P-521 are accepted",
            ),
            Self::WrongKeyName { expected, found } => write!(
                f,
                "this is not the expected key: its name is {found}, not {expected}"
            ),
            Self::NoKeyName { expected } => write!(
                f,
                "a key in PEM or DER has no name to compare with {expected}: give its \
                 TPM2B_PUBLIC, as `tpm2_createak -u` and `tpm2_readpublic -o` write it"
            ),
            Self::NotAKey(why) => write!(f, "not a public key: {why}"),
            Self::NotPcrValues(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Message => "message",
            Self::Signature => "signature",
        })
    }
}

impl fmt::Display for Forgery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic(found) => write!(
                f,
                "the quote's message starts with {found:08x} and not with {:08x}, so no TPM made \
                 it: give the file that `tpm2_quote -m` wrote",
                super::attest::MAGIC
            ),
            Self::Type(found) => write!(
                f,
                "the message is signed, but is not a quote: its type is {found:04x}, and that of \
                 a quote is {:04x}. Give the file that `tpm2_quote -m` wrote",
                super::attest::QUOTE
            ),
            Self::Scheme { found, expected } => write!(
                f,
                "the quote is signed with {found}, but its key can sign only with {expected}"
            ),
            Self::Signature => f.write_str(
                "this signature was not made with this key over this message: one of the three \
                 belongs to another quote, or was changed",
            ),
            Self::DigestSize { found, hash } => write!(
                f,
                "the quote's PCR digest has another size than its signature's hash: {found} bytes, \
                 while {hash} has {}",
                hash.size()
            ),
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.set { "set" } else { "clear" };
        write!(f, "{} is {state}", self.name)
    }
}

impl std::error::Error for Error {}

impl From<Forgery> for Error {
    fn from(how: Forgery) -> Self {
        Self::Forged(how)
    }
}
