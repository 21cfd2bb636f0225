// SPDX-License-Identifier: GPL-2.0

//! Why an endorsement, or a key, is not what it should be.

use std::fmt;

/// What is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// It is no DSSE envelope.
    NotAnEnvelope(String),
    /// What is signed is not an in-toto statement, but of this type.
    PayloadType(String),
    /// None of the keys that were given signed it.
    Unsigned,
    /// What is signed cannot be read.
    NotAStatement(String),
    /// What is signed is a statement of another kind.
    PredicateType(String),
    /// It says that the verification failed, or something else that this program does not know.
    NotPassed(String),
    /// What is signed contradicts itself.
    Contradictory(&'static str),
    /// It is no public key that endorsements are verified with.
    NotAKey(String),
    /// It is no private key that endorsements are signed with.
    NotASigningKey(String),
    /// It is no private key that lets segments be freed.
    NotAConsentKey(String),
    /// It was not signed, because the cryptographic library failed.
    Crypto(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnEnvelope(why) => write!(
                f,
                "not an endorsement: it should be a DSSE envelope, as `ima-checkpoint endorse` writes \
                 it: {why}"
            ),
            Self::PayloadType(found) => write!(
                f,
                "not an endorsement: the envelope is about {found:?}, not an in-toto statement"
            ),
            Self::Unsigned => f.write_str(
                "none of the keys that were given with --endorser signed it: it is by somebody else, \
                 or was changed",
            ),
            Self::NotAStatement(why) => {
                write!(f, "the statement in it cannot be read: {why}")
            }
            Self::PredicateType(found) => write!(
                f,
                "not an endorsement: it states {found:?}, not a verification summary of a log"
            ),
            Self::NotPassed(result) => {
                write!(f, "it says that the verification ended with {result:?}")
            }
            Self::Contradictory(why) => write!(f, "it contradicts itself: {why}"),
            Self::NotAKey(why) => write!(
                f,
                "not a public key of an endorser: it should be a P-256 or Ed25519 key in PEM, as \
                 `openssl pkey -pubout` writes it: {why}"
            ),
            Self::NotASigningKey(why) => write!(
                f,
                "not a signing key: it should be a P-256 or Ed25519 key in PEM without a passphrase, \
                 as `openssl genpkey -algorithm ed25519` writes it: {why}"
            ),
            Self::NotAConsentKey(why) => write!(
                f,
                "not a key that can let segments be freed: it should be an RSA or ECDSA key in PEM without \
                 a passphrase, whose certificate is in the kernel's keyring .ima: {why}"
            ),
            Self::Crypto(why) => write!(f, "cannot sign: {why}"),
        }
    }
}

impl std::error::Error for Error {}
