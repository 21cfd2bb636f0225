// SPDX-License-Identifier: GPL-2.0

//! Registration: `POST /v2.6/agents/UUID`, then `PUT` there.
//!
//! The registrar encrypts a secret so that only the TPM with the endorsement key can decrypt it, and
//! only while it holds an attestation key of the Name that was registered (TPM2_MakeCredential). The
//! agent proves that it could, by an HMAC with the secret.

use super::Base64;
use serde::{Deserialize, Serialize};

/// The agent says who it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Registration {
    /// TPM2B_PUBLIC of the endorsement key.
    pub ek_tpm: Base64,
    /// The certificate of the endorsement key, in DER, if the TPM has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ekcert: Option<Base64>,
    /// TPM2B_PUBLIC of the attestation key.
    pub aik_tpm: Base64,
}

/// The frame of the registrar's answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer<T> {
    /// The HTTP status.
    pub code: u16,
    /// In a few words.
    pub status: String,
    /// What was asked for.
    pub results: T,
}

/// The registrar's challenge.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Challenge {
    /// See [`Blob`].
    pub blob: Base64,
}

/// The agent could decrypt it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Activation {
    /// HMAC-SHA384 of the agent's identifier, in hexadecimal digits; its key is the secret in base64.
    pub auth_tag: String,
}

/// What `GET /version` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Versions {
    /// The newest.
    pub current_version: String,
    /// All.
    pub supported_versions: Vec<String>,
}

/// The secret for a TPM, as `tpm2_makecredential` writes it: a magic number, a version,
/// TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob<'a> {
    /// The contents of TPM2B_ID_OBJECT: the secret and what protects its integrity.
    pub credential: &'a [u8],
    /// The contents of TPM2B_ENCRYPTED_SECRET: the seed of both, for the endorsement key.
    pub secret: &'a [u8],
}

const MAGIC: u32 = 0xbadc_c0de;
const VERSION: u32 = 1;
/// More than any TPM writes.
const MAX: usize = 4096;

impl<'a> Blob<'a> {
    /// Reads it. Nothing if it is anything else.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
            let (size, rest) = bytes.split_first_chunk::<2>()?;
            rest.split_at_checked(u16::from_be_bytes(*size).into())
        }
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        if (u32::from_be_bytes(*magic), u32::from_be_bytes(*version)) != (MAGIC, VERSION) {
            return None;
        }
        let (credential, rest) = sized(rest)?;
        let (secret, rest) = sized(rest)?;
        rest.is_empty().then_some(Self { credential, secret })
    }

    /// Its bytes. Nothing if a part is longer than any TPM takes.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut out = [MAGIC.to_be_bytes(), VERSION.to_be_bytes()].concat();
        for part in [self.credential, self.secret] {
            let size = u16::try_from(part.len())
                .ok()
                .filter(|_| part.len() <= MAX)?;
            out.extend(size.to_be_bytes());
            out.extend(part);
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn blobs() {
        let bytes = b"\xba\xdc\xc0\xde\0\0\0\x01\0\x02ab\0\x01c";
        let blob = Blob::parse(bytes).unwrap();
        assert_eq!((blob.credential, blob.secret), (&b"ab"[..], &b"c"[..]));
        assert_eq!(blob.encode().unwrap(), bytes);
        for cut in 0..bytes.len() {
            assert_eq!(Blob::parse(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(Blob::parse(&[bytes.as_slice(), b"x"].concat()), None);
    }

    /// `keylime/web/base/controller.py` frames it so.
    #[test]
    fn keylime_answers() {
        let answer = json!({"code": 200, "status": "Success", "results": {"blob": "AA=="}});
        let answer: Answer<Challenge> = serde_json::from_value(answer).unwrap();
        assert_eq!(answer.results.blob.0, [0]);
    }
}
