// SPDX-License-Identifier: GPL-2.0

//! DSSE envelopes: a payload, its type, and signatures over both.
//!
//! The format is that of "DSSE: Dead Simple Signing Envelope", version 1.0.2, protocol and envelope.

use super::Error;
use openssl::base64;
use serde::{Deserialize, Serialize};

/// The payload type of in-toto statements.
pub(super) const IN_TOTO: &str = "application/vnd.in-toto+json";
/// Signatures of an envelope that are looked at. Each endorser needs one.
const MAX_SIGNATURES: usize = 16;

/// An envelope as it is written.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    payload_type: String,
    payload: String,
    signatures: Vec<SignatureJson>,
}

#[derive(Debug, Deserialize, Serialize)]
struct SignatureJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyid: Option<String>,
    sig: String,
}

/// An envelope whose signatures were not verified.
#[derive(Debug)]
pub(super) struct Envelope {
    payload: Vec<u8>,
    /// What is signed.
    pub(super) message: Vec<u8>,
    pub(super) signatures: Vec<Vec<u8>>,
}

impl Envelope {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let malformed = |why: String| Error::NotAnEnvelope(why);
        let json: Json = serde_json::from_slice(bytes).map_err(|e| malformed(e.to_string()))?;
        if json.payload_type != IN_TOTO {
            return Err(Error::PayloadType(json.payload_type));
        }
        let payload = decode(&json.payload).ok_or_else(|| {
            let why = "its payload is not in base64";
            malformed(why.to_owned())
        })?;
        let signatures = json.signatures.iter().take(MAX_SIGNATURES);
        let signatures = signatures.filter_map(|one| decode(&one.sig));
        Ok(Self {
            message: encode(&payload),
            signatures: signatures.collect(),
            payload,
        })
    }

    /// The payload, for whoever verified a signature.
    pub(super) fn into_payload(self) -> Vec<u8> {
        self.payload
    }
}

/// What is signed of a payload: DSSE's "pre-authentication encoding".
pub(super) fn encode(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {IN_TOTO} {} ", IN_TOTO.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// An envelope with one signature, as JSON that ends with a newline.
pub(super) fn write(payload: &[u8], keyid: String, signature: &[u8]) -> Result<String, Error> {
    let json = Json {
        payload_type: IN_TOTO.to_owned(),
        payload: base64::encode_block(payload),
        signatures: vec![SignatureJson {
            keyid: Some(keyid),
            sig: base64::encode_block(signature),
        }],
    };
    let text = serde_json::to_string(&json).map_err(|error| Error::Crypto(error.to_string()))?;
    Ok(text + "\n")
}

/// Base64 in the usual alphabet or that of URLs, both of which DSSE allows.
fn decode(text: &str) -> Option<Vec<u8>> {
    let usual = |letter: char| match letter {
        '-' => '+',
        '_' => '/',
        letter => letter,
    };
    let mut text: String = text.trim_end_matches('=').chars().map(usual).collect();
    while text.len() % 4 != 0 {
        text.push('=');
    }
    base64::decode_block(&text).ok()
}
