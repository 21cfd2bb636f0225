// SPDX-License-Identifier: GPL-2.0

//! The key that signs quotes.

use super::{
    error::{Error, Forgery},
    name::KeyName,
    public::Template,
    signature::{Algorithm, Scheme, Signature, Value},
};
use crate::bank::{Bank, Digest};
use openssl::{
    base64,
    ecdsa::EcdsaSig,
    error::ErrorStack,
    md::Md,
    nid::Nid,
    pkey::{Id, PKey, Public},
    pkey_ctx::PkeyCtx,
    rsa::Padding,
    sign::RsaPssSaltlen,
};

const MIN_RSA_BITS: u32 = 2048;
const CURVES: [Nid; 3] = [Nid::X9_62_PRIME256V1, Nid::SECP384R1, Nid::SECP521R1];
const NOT_PEM: &str = "it is PEM, but damaged or not a PUBLIC KEY; `openssl x509 -pubkey -noout` \
                       extracts the key from a certificate";
/// For a signature in a plain format, which does not name its hash.
const HASHES: [Bank; 4] = [Bank::Sha256, Bank::Sha384, Bank::Sha512, Bank::Sha1];

/// A public key that quotes are verified with.
#[derive(Clone, Debug)]
pub struct AttestationKey {
    // INVARIANT: RSA of `MIN_RSA_BITS` at least, or of one of `CURVES`.
    key: PKey<Public>,
    scheme: Option<Scheme>,
    name: Option<KeyName>,
    name_checked: bool,
}

impl AttestationKey {
    /// Reads SubjectPublicKeyInfo in PEM or DER; or TPM2B_PUBLIC or TPMT_PUBLIC, as
    /// `tpm2_createak -u` and `tpm2_readpublic -o` write them.
    ///
    /// # Errors
    ///
    /// [`Error::NotAKey`] if it is none of these; [`Error::WeakKey`] for one that is too short;
    /// [`Error::UnfitKey`] if its attributes let it sign forged quotes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let openssl = |error: ErrorStack| Error::NotAKey(error.to_string());
        let key = if bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
            let der = pem(bytes).ok_or_else(|| Error::NotAKey(NOT_PEM.into()))?;
            Self::bare(PKey::public_key_from_der(&der).map_err(openssl)?)
        } else if bytes.starts_with(b"\x30") {
            Self::bare(PKey::public_key_from_der(bytes).map_err(openssl)?)
        } else {
            Self::described(Template::parse(bytes).map_err(Error::NotAKey)?)?
        };
        key.check_strength()?;
        Ok(key)
    }

    fn bare(key: PKey<Public>) -> Self {
        Self {
            key,
            scheme: None,
            name: None,
            name_checked: false,
        }
    }

    fn described(template: Template) -> Result<Self, Error> {
        let attributes = template.unfit();
        if !attributes.is_empty() {
            return Err(Error::UnfitKey { attributes });
        }
        Ok(Self {
            key: template.key,
            scheme: template.scheme,
            name: Some(template.name),
            name_checked: false,
        })
    }

    /// Its TPM name, as `tpm2_readpublic` shows it. A key in PEM does not tell.
    pub fn name(&self) -> Option<&KeyName> {
        self.name.as_ref()
    }

    /// The only scheme that its TPM lets it sign with, if it is bound to one.
    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// Takes it only if it has this name, which somebody told whom the verifier trusts. That, and
    /// not what the key says of itself, makes sure that it is in a TPM.
    ///
    /// # Errors
    ///
    /// [`Error::WrongKeyName`] if it has another; [`Error::NoKeyName`] if it is in PEM or DER.
    pub fn expect_name(self, expected: &KeyName) -> Result<Self, Error> {
        let expected = expected.clone();
        match self.name {
            Some(ref found) if *found == expected => Ok(Self {
                name_checked: true,
                ..self
            }),
            Some(found) => Err(Error::WrongKeyName { expected, found }),
            None => Err(Error::NoKeyName { expected }),
        }
    }

    /// Was its name compared, by [`Self::expect_name`]?
    pub fn is_name_checked(&self) -> bool {
        self.name_checked
    }

    fn check_strength(&self) -> Result<(), Error> {
        let strong = match self.key.id() {
            Id::RSA => {
                self.key.bits() >= MIN_RSA_BITS
                    && self
                        .key
                        .rsa()
                        .is_ok_and(|rsa| rsa.e().is_bit_set(0) && rsa.e().num_bits() > 1)
            }
            Id::EC => self.key.ec_key().is_ok_and(|key| {
                let curve = key.group().curve_name();
                curve.is_some_and(|curve| CURVES.contains(&curve)) && key.check_key().is_ok()
            }),
            _ => false,
        };
        if strong {
            return Ok(());
        }
        Err(Error::WeakKey)
    }

    /// Is this the key's signature over the message? Tells the scheme that it was made with.
    ///
    /// # Errors
    ///
    /// [`Error::Forged`] if it is not.
    pub(super) fn verify(&self, message: &[u8], signature: &Signature) -> Result<Scheme, Error> {
        if let (Some(found), Some(expected)) = (signature.scheme, self.scheme) {
            if found != expected {
                return Err(Forgery::Scheme { found, expected }.into());
            }
        }
        let schemes: Vec<Scheme> = match signature.scheme.or(self.scheme) {
            Some(scheme) => vec![scheme],
            None => every_scheme(),
        };
        let verifies = |scheme: &Scheme| {
            let digest = scheme.hash.hash(&[message]);
            self.verify_digest(&digest, signature, *scheme)
                .unwrap_or(false)
        };
        let found = schemes.into_iter().find(verifies);
        found.ok_or(Error::Forged(Forgery::Signature))
    }

    fn verify_digest(
        &self,
        digest: &Digest,
        signature: &Signature,
        scheme: Scheme,
    ) -> Result<bool, ErrorStack> {
        let padding = match (scheme.algorithm, &signature.value, self.key.id()) {
            (Algorithm::RsaSsa, Value::Rsa(_), Id::RSA) => Padding::PKCS1,
            (Algorithm::RsaPss, Value::Rsa(_), Id::RSA) => Padding::PKCS1_PSS,
            (Algorithm::EcDsa, Value::Ecdsa(der), Id::EC) => {
                return EcdsaSig::from_der(der)?.verify(digest.as_bytes(), &*self.key.ec_key()?);
            }
            _ => return Ok(false),
        };
        let (Value::Rsa(bytes), Some(hash)) = (&signature.value, Md::from_nid(nid(scheme.hash)))
        else {
            return Ok(false);
        };
        let mut context = PkeyCtx::new(&self.key)?;
        context.verify_init()?;
        context.set_rsa_padding(padding)?;
        context.set_signature_md(hash)?;
        if padding == Padding::PKCS1_PSS {
            // TPMs differ; to a verification, OpenSSL's "maximum" means any length
            context.set_rsa_pss_saltlen(RsaPssSaltlen::MAXIMUM_LENGTH)?;
        }
        context.verify(digest.as_bytes(), bytes)
    }
}

/// The contents of a PEM file. OpenSSL's own reader asks for a password if the file says so.
fn pem(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?.trim_ascii();
    let text = text.strip_prefix("-----BEGIN PUBLIC KEY-----")?;
    let text = text.strip_suffix("-----END PUBLIC KEY-----")?;
    let digits: String = text.split_ascii_whitespace().collect();
    base64::decode_block(&digits).ok()
}

fn every_scheme() -> Vec<Scheme> {
    let algorithms = [Algorithm::RsaSsa, Algorithm::RsaPss, Algorithm::EcDsa];
    let with = |hash| algorithms.map(|algorithm| Scheme { algorithm, hash });
    HASHES.into_iter().flat_map(with).collect()
}

fn nid(hash: Bank) -> Nid {
    match hash {
        Bank::Sha1 => Nid::SHA1,
        Bank::Sha256 => Nid::SHA256,
        Bank::Sha384 => Nid::SHA384,
        Bank::Sha512 => Nid::SHA512,
        Bank::Sm3 => Nid::SM3,
        Bank::Sha3_256 => Nid::SHA3_256,
        Bank::Sha3_384 => Nid::SHA3_384,
        Bank::Sha3_512 => Nid::SHA3_512,
    }
}
