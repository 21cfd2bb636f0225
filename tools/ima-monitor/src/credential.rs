// SPDX-License-Identifier: GPL-2.0

//! A secret that only a TPM with one endorsement key can decrypt, and only while it holds the attestation
//! key of one Name: TPM2_MakeCredential, in software (TCG, TPM 2.0 Library, Part 1, "Credential
//! Protection").

use ima_push::registrar::Blob;
use openssl::{
    bn::BigNum,
    encrypt::Encrypter,
    error::ErrorStack,
    hash::MessageDigest,
    pkey::{PKey, Public},
    rand::rand_bytes,
    rsa::{Padding, Rsa},
    sign::Signer,
    symm::{encrypt, Cipher},
};
use std::fmt;

/// Why there is no challenge for an endorsement key.
#[derive(Debug)]
pub enum Error {
    /// It is not a key that is supported.
    Key,
    /// OpenSSL says so.
    OpenSsl(ErrorStack),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str(
                "the endorsement key is not RSA 2048 with SHA-256 and AES-128, the TCG's default",
            ),
            Self::OpenSsl(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<ErrorStack> for Error {
    fn from(error: ErrorStack) -> Self {
        Self::OpenSsl(error)
    }
}

/// TPMT_PUBLIC of the TCG's default template for RSA 2048, up to the modulus ("EK Credential Profile
/// for TPM Family 2.0", B.3.3, template L-1): an endorsement key has exactly this.
const TEMPLATE: &[u8] = b"\x00\x01\x00\x0b\x00\x03\x00\xb2\x00\x20\
    \x83\x71\x97\x67\x44\x84\xb3\xf8\x1a\x90\xcc\x8d\x46\xa5\xd7\x24\
    \xfd\x52\xd7\x6e\x06\x52\x0b\x64\xf2\xa1\xda\x1b\x33\x14\x69\xaa\
    \x00\x06\x00\x80\x00\x43\x00\x10\x08\x00\x00\x00\x00\x00\x01\x00";

/// An endorsement key.
#[derive(Debug)]
pub struct EndorsementKey(PKey<Public>);

impl EndorsementKey {
    /// Reads TPM2B_PUBLIC.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if it is of any other kind than the TCG's default one.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let (size, area) = bytes.split_first_chunk::<2>().ok_or(Error::Key)?;
        let modulus = area.strip_prefix(TEMPLATE).ok_or(Error::Key)?;
        if usize::from(u16::from_be_bytes(*size)) != area.len() || modulus.len() != 256 {
            return Err(Error::Key);
        }
        let exponent = BigNum::from_u32(65537)?;
        let key = Rsa::from_public_components(BigNum::from_slice(modulus)?, exponent)?;
        Ok(Self(PKey::from_rsa(key)?))
    }

    /// Encrypts a secret for the TPM that has this key, and an attestation key of this Name.
    ///
    /// # Errors
    ///
    /// OpenSSL fails.
    pub fn challenge(&self, name: &[u8], secret: &[u8]) -> Result<Vec<u8>, Error> {
        let mut seed = [0; 32];
        rand_bytes(&mut seed)?;
        let mut oaep = Encrypter::new(&self.0)?;
        oaep.set_rsa_padding(Padding::PKCS1_OAEP)?;
        oaep.set_rsa_oaep_md(MessageDigest::sha256())?;
        oaep.set_rsa_mgf1_md(MessageDigest::sha256())?;
        oaep.set_rsa_oaep_label(b"IDENTITY\0")?;
        let mut encrypted = vec![0; oaep.encrypt_len(&seed)?];
        let length = oaep.encrypt(&seed, &mut encrypted)?;
        encrypted.truncate(length);

        let size = u16::try_from(secret.len()).map_err(|_| Error::Key)?;
        let plain = [&size.to_be_bytes(), secret].concat();
        let storage = kdf_a(&seed, b"STORAGE", name, 128)?;
        let hidden = encrypt(Cipher::aes_128_cfb128(), &storage, Some(&[0; 16]), &plain)?;
        let integrity = kdf_a(&seed, b"INTEGRITY", b"", 256)?;
        let hmac = hmac(&integrity, &[&hidden, name])?;
        let size = u16::try_from(hmac.len()).map_err(|_| Error::Key)?;
        let credential = [&size.to_be_bytes(), hmac.as_slice(), &hidden].concat();
        let blob = Blob {
            credential: &credential,
            secret: &encrypted,
        };
        blob.encode().ok_or(Error::Key)
    }
}

fn hmac(key: &[u8], pieces: &[&[u8]]) -> Result<Vec<u8>, ErrorStack> {
    let key = PKey::hmac(key)?;
    let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
    for piece in pieces {
        signer.update(piece)?;
    }
    signer.sign_to_vec()
}

/// KDFa with SHA-256, of at most 256 bits (Part 1, "KDFa()").
fn kdf_a(key: &[u8], label: &[u8], context: &[u8], bits: u32) -> Result<Vec<u8>, ErrorStack> {
    let counter = 1_u32.to_be_bytes();
    let bits_there = bits.to_be_bytes();
    let mut out = hmac(key, &[&counter, label, b"\0", context, &bits_there])?;
    out.truncate(bits as usize / 8);
    Ok(out)
}
