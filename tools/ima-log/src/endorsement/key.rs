// SPDX-License-Identifier: GPL-2.0

//! The keys that endorsements are signed and verified with: ECDSA on P-256 with SHA-256, and Ed25519.

use super::{
    envelope::{self, Envelope},
    statement::Statement,
    Believed, Endorsement, Error,
};
use crate::bank::{Bank, Digest};
use openssl::{
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{HasPublic, Id, PKey, PKeyRef, Private, Public},
    sign::{Signer, Verifier},
};

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Ecdsa,
    Ed25519,
}

impl Scheme {
    /// That of a key, or why it has none.
    fn of<T: HasPublic>(key: &PKeyRef<T>) -> Result<Self, String> {
        let p256 = || {
            let key = key.ec_key();
            key.is_ok_and(|key| key.group().curve_name() == Some(Nid::X9_62_PRIME256V1))
        };
        match key.id() {
            Id::ED25519 => Ok(Self::Ed25519),
            Id::EC if p256() => Ok(Self::Ecdsa),
            Id::EC => Err("it is on another curve than P-256".to_owned()),
            _ => Err("it is of another algorithm".to_owned()),
        }
    }
}

/// SHA-256 of a public key as SubjectPublicKeyInfo in DER: what messages call an endorser by.
fn fingerprint<T: HasPublic>(key: &PKeyRef<T>) -> Result<Digest, ErrorStack> {
    Ok(Bank::Sha256.hash(&[&key.public_key_to_der()?]))
}

/// Reads a private key in PEM that has no passphrase.
pub(super) fn private_key(pem: &[u8]) -> Result<PKey<Private>, ErrorStack> {
    // without a callback, the library would ask the terminal
    PKey::private_key_from_pem_callback(pem, |_| Err(ErrorStack::get()))
}

/// An endorser's public key.
#[derive(Clone, Debug)]
struct EndorserKey {
    key: PKey<Public>,
    scheme: Scheme,
    fingerprint: Digest,
}

impl EndorserKey {
    fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let verify = || match self.scheme {
            Scheme::Ed25519 => {
                Verifier::new_without_digest(&self.key)?.verify_oneshot(signature, message)
            }
            Scheme::Ecdsa => Verifier::new(MessageDigest::sha256(), &self.key)?
                .verify_oneshot(signature, message),
        };
        // an error of the library is that of what was given
        let verified: Result<bool, ErrorStack> = verify();
        verified.unwrap_or(false)
    }
}

/// Whose endorsements count.
#[derive(Clone, Debug, Default)]
pub struct Endorsers(Vec<EndorserKey>);

impl Endorsers {
    /// Nobody's.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a public key in PEM.
    ///
    /// # Errors
    ///
    /// [`Error::NotAKey`] if it is not one of P-256 or Ed25519.
    pub fn add(&mut self, pem: &[u8]) -> Result<(), Error> {
        let openssl = |error: ErrorStack| Error::NotAKey(error.to_string());
        let key = PKey::public_key_from_pem(pem).map_err(openssl)?;
        let scheme = Scheme::of(&key).map_err(Error::NotAKey)?;
        let fingerprint = fingerprint(&key).map_err(openssl)?;
        self.0.push(EndorserKey {
            key,
            scheme,
            fingerprint,
        });
        Ok(())
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Verifies an envelope, and reads what is signed.
    ///
    /// # Errors
    ///
    /// [`Error`]: it is no envelope, none of these keys signed it, or it is not an endorsement.
    pub fn open(&self, bytes: &[u8]) -> Result<Believed, Error> {
        let envelope = Envelope::parse(bytes)?;
        let signed = |key: &&EndorserKey| {
            let mut signatures = envelope.signatures.iter();
            signatures.any(|signature| key.has_signed(&envelope.message, signature))
        };
        let by = self.0.iter().find(signed).ok_or(Error::Unsigned)?;
        let payload = envelope.into_payload();
        Ok(Believed {
            id: Bank::Sha256.hash(&[&payload]),
            by: by.fingerprint,
            endorsement: Statement::parse(&payload)?,
        })
    }
}

/// A key that signs endorsements.
pub struct SigningKey {
    key: PKey<Private>,
    scheme: Scheme,
    fingerprint: Digest,
}

impl SigningKey {
    /// Reads a private key in PEM.
    ///
    /// # Errors
    ///
    /// [`Error::NotASigningKey`] if it is not one of P-256 or Ed25519, or has a passphrase.
    pub fn parse(pem: &[u8]) -> Result<Self, Error> {
        let refused = |error: ErrorStack| Error::NotASigningKey(error.to_string());
        let key = private_key(pem).map_err(refused)?;
        Ok(Self {
            scheme: Scheme::of(&key).map_err(Error::NotASigningKey)?,
            fingerprint: fingerprint(&key).map_err(refused)?,
            key,
        })
    }

    /// Signs an endorsement. Gives an envelope, as JSON that ends with a newline, and the ID by which it
    /// can be revoked.
    ///
    /// # Errors
    ///
    /// [`Error::Crypto`]: the library failed.
    pub fn sign(&self, endorsement: &Endorsement) -> Result<(String, Digest), Error> {
        let failed = |error: ErrorStack| Error::Crypto(error.to_string());
        let payload = Statement::write(endorsement)?;
        let message = envelope::encode(&payload);
        let mut signer = match self.scheme {
            Scheme::Ed25519 => Signer::new_without_digest(&self.key),
            Scheme::Ecdsa => Signer::new(MessageDigest::sha256(), &self.key),
        }
        .map_err(failed)?;
        let signature = signer.sign_oneshot_to_vec(&message).map_err(failed)?;
        let text = envelope::write(&payload, self.fingerprint.to_string(), &signature)?;
        Ok((text, Bank::Sha256.hash(&[&payload])))
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SigningKey")
            .field(&self.fingerprint)
            .finish()
    }
}
