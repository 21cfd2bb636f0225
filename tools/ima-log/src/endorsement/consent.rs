// SPDX-License-Identifier: GPL-2.0

//! The consent to a truncation: who endorses a checkpoint can let the segments before it be freed, where
//! the kernel demands that somebody signs that.
//!
//! What is signed, and the format of the signature, are in `Documentation/record-format.rst`, "The consent
//! to a truncation".

use super::{key::private_key, Endorsement, Error};
use crate::bank::Bank;
use ima_checkpoint_format::consent::Consent;
use openssl::{
    bn::BigNumContext,
    ec::PointConversionForm,
    error::ErrorStack,
    hash::MessageDigest,
    pkey::{Id, PKey, Private},
    sign::Signer,
};

/// Type, version and hash of a signature of IMA's: `EVM_IMA_XATTR_DIGSIG`, 2, SHA-256.
const HEADER: [u8; 3] = [3, 2, 4];

/// A key whose certificate is in the kernel's keyring `.ima`.
pub struct ConsentKey {
    key: PKey<Private>,
    /// The last bytes of its subject key identifier.
    id: [u8; 4],
}

impl ConsentKey {
    /// Reads a private key in PEM: RSA or ECDSA.
    ///
    /// Its certificate must have the usual subject key identifier, which is the SHA-1 of the public key
    /// (RFC 5280, 4.2.1.2, method 1).
    ///
    /// # Errors
    ///
    /// [`Error::NotAConsentKey`] if it is another one, or has a passphrase.
    pub fn parse(pem: &[u8]) -> Result<Self, Error> {
        let refused = |error: ErrorStack| Error::NotAConsentKey(error.to_string());
        let key = private_key(pem).map_err(refused)?;
        let public = match key.id() {
            Id::RSA => key.rsa().and_then(|key| key.public_key_to_der_pkcs1()),
            Id::EC => key.ec_key().and_then(|key| {
                let form = PointConversionForm::UNCOMPRESSED;
                let mut context = BigNumContext::new()?;
                key.public_key().to_bytes(key.group(), form, &mut context)
            }),
            _ => return Err(Error::NotAConsentKey("it is of another algorithm".into())),
        };
        let name = Bank::Sha1.hash(&[&public.map_err(refused)?]);
        let id = name.as_bytes().last_chunk().copied().unwrap_or_default();
        Ok(Self { key, id })
    }

    /// Consents that the segments before the endorsed checkpoint are freed. Gives the bytes of a
    /// signature in IMA's format.
    ///
    /// # Errors
    ///
    /// [`Error::Crypto`]: the library failed.
    pub fn sign(&self, endorsement: &Endorsement) -> Result<Vec<u8>, Error> {
        let failed = |error: ErrorStack| Error::Crypto(error.to_string());
        let (log_id, digest) = (endorsement.log_id, endorsement.digest);
        let wrong = |_| Error::Contradictory("a digest in it has another size than it should");
        let consent = Consent {
            log_id: log_id.as_bytes().try_into().map_err(wrong)?,
            sequence: endorsement.checkpoint,
            digest: digest.as_bytes().try_into().map_err(wrong)?,
        };
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key).map_err(failed)?;
        let signature = signer.sign_oneshot_to_vec(consent.message().as_bytes());
        let signature = signature.map_err(failed)?;
        let size = u16::try_from(signature.len());
        let size = size.map_err(|error| Error::Crypto(error.to_string()))?;
        Ok([&HEADER, self.id.as_slice(), &size.to_be_bytes(), &signature].concat())
    }
}

impl std::fmt::Debug for ConsentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ConsentKey").field(&self.id).finish()
    }
}
