// SPDX-License-Identifier: GPL-2.0

//! The signature of a quote.

use super::{
    error::{Error, Part},
    wire::{Malformed, Reader},
};
use crate::bank::Bank;
use openssl::{bn::BigNum, ecdsa::EcdsaSig, error::ErrorStack};
use std::fmt;

/// Largest RSA signature: that of a key of 16384 bits, the largest that OpenSSL takes.
const MAX_RSA: usize = 2048;
/// Largest number of an ECDSA signature: that of P-521.
const MAX_ECC: usize = 66;

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u16)]
pub enum Algorithm {
    /// RSA with PKCS #1 v1.5 padding.
    RsaSsa = 0x0014,
    /// RSA with probabilistic padding.
    RsaPss = 0x0016,
    /// ECDSA.
    EcDsa = 0x0018,
}

impl Algorithm {
    /// That of a TPM algorithm identifier.
    pub(super) fn from_tpm_id(id: u16) -> Option<Self> {
        [Self::RsaSsa, Self::RsaPss, Self::EcDsa]
            .into_iter()
            .find(|algorithm| *algorithm as u16 == id)
    }
}

/// How a key signs what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Scheme {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The hash of the message, and of the PCR digest in it.
    pub hash: Bank,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = match self.algorithm {
            Algorithm::RsaSsa => "rsassa",
            Algorithm::RsaPss => "rsapss",
            Algorithm::EcDsa => "ecdsa",
        };
        write!(f, "{algorithm} with {}", self.hash)
    }
}

/// A signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// What it says of itself; the plain formats say nothing.
    pub(super) scheme: Option<Scheme>,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Rsa(Vec<u8>),
    /// In DER.
    Ecdsa(Vec<u8>),
}

impl Signature {
    /// Reads a file of `tpm2_quote -s`: TPMT_SIGNATURE (Part 2, "TPMT_SIGNATURE"), or as
    /// `-f plain` writes it, an RSA signature as it is, or an ECDSA signature in DER.
    ///
    /// No format can pass for another: a plain RSA signature is as long as its key, and which
    /// format it was is settled by the verification.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if it is none of these.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let malformed = |why| Error::Malformed {
            what: Part::Signature,
            why,
        };
        marshalled(bytes).or_else(|why| plain(bytes).ok_or_else(|| malformed(why)))
    }
}

/// TPMT_SIGNATURE.
fn marshalled(bytes: &[u8]) -> Result<Signature, Malformed> {
    let mut reader = Reader::new(bytes);
    let id = reader.u16("signature algorithm")?;
    let algorithm = Algorithm::from_tpm_id(id).ok_or_else(|| {
        format!("its algorithm is {id:04x}; RSASSA, RSAPSS and ECDSA are supported")
    })?;
    let id = reader.u16("hash algorithm")?;
    let hash = Bank::from_tpm_id(id).ok_or_else(|| format!("its hash {id:04x} is unknown"))?;
    let value = match algorithm {
        Algorithm::RsaSsa | Algorithm::RsaPss => {
            Value::Rsa(reader.sized(MAX_RSA, "RSA signature")?.to_vec())
        }
        Algorithm::EcDsa => {
            let r = reader.sized(MAX_ECC, "ECDSA signature's r")?;
            let s = reader.sized(MAX_ECC, "ECDSA signature's s")?;
            Value::Ecdsa(der(r, s).map_err(|error| error.to_string())?)
        }
    };
    reader.end()?;
    Ok(Signature {
        scheme: Some(Scheme { algorithm, hash }),
        value,
    })
}

fn der(r: &[u8], s: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    EcdsaSig::from_private_components(BigNum::from_slice(r)?, BigNum::from_slice(s)?)?.to_der()
}

fn plain(bytes: &[u8]) -> Option<Signature> {
    // what OpenSSL reads must be all that is there
    let is_ecdsa = bytes.len() <= 2 * MAX_ECC + 16
        && EcdsaSig::from_der(bytes)
            .and_then(|signature| signature.to_der())
            .is_ok_and(|der| der == bytes);
    let value = if is_ecdsa {
        Value::Ecdsa(bytes.to_vec())
    } else if (128..=MAX_RSA).contains(&bytes.len()) && bytes.len() % 16 == 0 {
        Value::Rsa(bytes.to_vec())
    } else {
        return None;
    };
    Some(Signature {
        scheme: None,
        value,
    })
}
