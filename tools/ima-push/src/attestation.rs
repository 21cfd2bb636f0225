// SPDX-License-Identifier: GPL-2.0

//! Attestations: `POST /v3.0/agents/UUID/attestations`, then `PATCH` to what `Location` names.
//!
//! The first is answered by 201. The second is answered by 202, which says that evidence came, and
//! nothing of what it proves.

use super::{session::Signed, Base64};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The resource's type.
pub const KIND: &str = "attestation";

/// The list as text, in the view of the sha1 bank: all that Keylime knows.
pub const TEXT: &str = "text/plain";

/// The list as bytes, in the view of the sha1 bank, and in base64. Only `ima-monitor` asks for it.
pub const BINARY: &str = "application/octet-stream";

/// What the agent can prove.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Capabilities {
    /// Each kind of evidence.
    pub evidence_supported: Vec<Supported>,
    /// The host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_info: Option<SystemInfo>,
}

/// What is known of the host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SystemInfo {
    /// When it was switched on, RFC 3339. A list that goes on after a kexec keeps it.
    pub boot_time: String,
}

/// A kind of evidence, and what the agent can do there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "evidence_type", rename_all = "snake_case")]
pub enum Supported {
    /// Values of PCRs, signed.
    TpmQuote {
        /// Always `certification`.
        evidence_class: String,
        /// What can be quoted, and how.
        capabilities: QuoteCapabilities,
    },
    /// The measurement list.
    ImaLog {
        /// Always `log`.
        evidence_class: String,
        /// How much there is.
        capabilities: LogCapabilities,
    },
    /// Anything else.
    #[serde(other)]
    Other,
}

/// What can be quoted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QuoteCapabilities {
    /// The version of the TPM: `2.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_version: Option<String>,
    /// Hashes of signatures and banks.
    #[serde(default)]
    pub hash_algorithms: Vec<String>,
    /// `rsassa`, `rsapss`, `ecdsa`.
    #[serde(default)]
    pub signature_schemes: Vec<String>,
    /// PCRs by bank.
    #[serde(default)]
    pub available_subjects: BTreeMap<String, Option<Vec<u32>>>,
    /// Keys, of which there is one.
    #[serde(default)]
    pub certification_keys: Vec<Key>,
}

/// A key that signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// `asymmetric`.
    pub key_class: String,
    /// `rsa` or `ecc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_algorithm: Option<String>,
    /// Bits.
    pub key_size: u32,
    /// `ak`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_identifier: Option<String>,
    /// The Name of the key, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_identifier: Option<String>,
    /// The schemes that it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowable_signature_schemes: Option<Vec<String>>,
    /// The hashes that it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowable_hash_algorithms: Option<Vec<String>>,
    /// TPM2B_PUBLIC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<Base64>,
}

/// What there is of the list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogCapabilities {
    /// Records, counted from cold boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_count: Option<u64>,
    /// Can it begin with a later record?
    #[serde(default)]
    pub supports_partial_access: bool,
    /// May it grow?
    #[serde(default)]
    pub appendable: bool,
    /// [`TEXT`], [`BINARY`].
    #[serde(default)]
    pub formats: Vec<String>,
}

/// What the verifier wants.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// In the order in which it is to be sent. If it is empty, the verifier wants nothing.
    #[serde(default)]
    pub evidence_requested: Vec<Requested>,
    /// `awaiting_evidence`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// What the agent said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_info: Option<SystemInfo>,
}

/// A kind of evidence that is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "evidence_type", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "there is one of each")]
pub enum Requested {
    /// Values of PCRs, signed.
    TpmQuote {
        /// Always `certification`.
        evidence_class: String,
        /// Which ones, and over what.
        chosen_parameters: QuoteParameters,
    },
    /// The measurement list.
    ImaLog {
        /// Always `log`.
        evidence_class: String,
        /// From where on.
        chosen_parameters: LogParameters,
    },
    /// Anything else.
    #[serde(other)]
    Other,
}

/// What is to be quoted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QuoteParameters {
    /// The qualifying data.
    pub challenge: Base64,
    /// One that was offered.
    pub signature_scheme: String,
    /// Of the signature; by Keylime's choice of the bank, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_algorithm: Option<String>,
    /// PCRs by bank; nothing for a bank that is not wanted.
    #[serde(default)]
    pub selected_subjects: BTreeMap<String, Option<Vec<u32>>>,
    /// Which key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certification_key: Option<Key>,
}

/// What is wanted of the list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogParameters {
    /// The first record, counted from cold boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starting_offset: Option<u64>,
    /// Records at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_count: Option<u64>,
    /// One that was offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// What the agent sends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evidence {
    /// In the order in which it was asked for.
    pub evidence_collected: Vec<Collected>,
}

/// A kind of evidence.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "evidence_type", rename_all = "snake_case")]
pub enum Collected {
    /// Values of PCRs, signed.
    TpmQuote {
        /// Always `certification`.
        evidence_class: String,
        /// The quote.
        data: QuoteData,
    },
    /// The measurement list.
    ImaLog {
        /// Always `log`.
        evidence_class: String,
        /// The records.
        data: LogData,
    },
    /// Anything else.
    #[serde(other)]
    Other,
}

/// A quote.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QuoteData {
    /// TPMS_ATTEST and TPMT_SIGNATURE.
    #[serde(flatten)]
    pub signed: Signed,
    /// The values that were quoted, as `tpm2_quote -o` writes them.
    #[serde(default)]
    pub subject_data: Base64,
}

/// Records.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogData {
    /// How many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_count: Option<u64>,
    /// As text, or in base64: by the format that was chosen.
    #[serde(default)]
    pub entries: Option<String>,
}

impl Supported {
    /// A quote.
    pub fn quote(capabilities: QuoteCapabilities) -> Self {
        Self::TpmQuote {
            evidence_class: "certification".to_owned(),
            capabilities,
        }
    }

    /// The list.
    pub fn log(capabilities: LogCapabilities) -> Self {
        Self::ImaLog {
            evidence_class: "log".to_owned(),
            capabilities,
        }
    }
}

impl Requested {
    /// A quote.
    pub fn quote(chosen_parameters: QuoteParameters) -> Self {
        Self::TpmQuote {
            evidence_class: "certification".to_owned(),
            chosen_parameters,
        }
    }

    /// The list.
    pub fn log(chosen_parameters: LogParameters) -> Self {
        Self::ImaLog {
            evidence_class: "log".to_owned(),
            chosen_parameters,
        }
    }
}

impl Collected {
    /// A quote.
    pub fn quote(data: QuoteData) -> Self {
        Self::TpmQuote {
            evidence_class: "certification".to_owned(),
            data,
        }
    }

    /// The list.
    pub fn log(data: LogData) -> Self {
        Self::ImaLog {
            evidence_class: "log".to_owned(),
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;
    use serde_json::json;

    /// What Keylime's agent in Rust sends, and what its verifier answers.
    #[test]
    fn keylime_talks() {
        let sent = json!({"data": {"type": "attestation", "attributes": {
            "evidence_supported": [
                {"evidence_class": "certification", "evidence_type": "tpm_quote", "capabilities": {
                    "component_version": "2.0",
                    "hash_algorithms": ["sha1", "sha256"],
                    "signature_schemes": ["rsassa"],
                    "available_subjects": {"sha1": [10], "sha256": [0, 10]},
                    "certification_keys": [{
                        "key_class": "asymmetric", "key_algorithm": "rsa", "key_size": 2048,
                        "server_identifier": "ak", "local_identifier": "AAA="}]}},
                {"evidence_class": "log", "evidence_type": "uefi_log", "capabilities": {
                    "evidence_version": "2.1", "entry_count": 20, "supports_partial_access": false,
                    "appendable": false, "formats": ["application/octet-stream"]}},
                {"evidence_class": "log", "evidence_type": "ima_log", "capabilities": {
                    "entry_count": 20, "supports_partial_access": true, "appendable": true,
                    "formats": ["text/plain"]}}],
            "system_info": {"boot_time": "2026-06-01T00:00:00Z"}}}});
        let sent: Document<Capabilities> = serde_json::from_value(sent).unwrap();
        let attributes = sent.data.attributes;
        let [Supported::TpmQuote {
            capabilities: quote,
            ..
        }, Supported::Other, Supported::ImaLog {
            capabilities: log, ..
        }] = attributes.evidence_supported.as_slice()
        else {
            panic!("{attributes:?}");
        };
        assert_eq!(quote.available_subjects["sha256"], Some(vec![0, 10]));
        assert_eq!(
            (log.entry_count, log.formats.as_slice()),
            (Some(20), &[TEXT.to_owned()][..])
        );

        let answer = json!({"data": {"type": "attestation", "attributes": {
            "stage": "awaiting_evidence",
            "evidence_requested": [
                {"evidence_class": "certification", "evidence_type": "tpm_quote",
                 "chosen_parameters": {
                    "signature_scheme": "rsassa", "challenge": "AAEC", "hash_algorithm": "sha256",
                    "selected_subjects": {"sha1": null, "sha256": [10]}}},
                {"evidence_class": "log", "evidence_type": "ima_log", "chosen_parameters": {
                    "starting_offset": 7, "format": "text/plain"}}],
            "system_info": {"boot_time": "2026-06-01T00:00:00+00:00"}}}});
        let request: Document<Request> = serde_json::from_value(answer.clone()).unwrap();
        assert_eq!(serde_json::to_value(&request).unwrap(), answer);
    }

    /// Where Keylime's verifier looks for evidence.
    #[test]
    fn keylime_finds_it() {
        let evidence = Evidence {
            evidence_collected: vec![
                Collected::quote(QuoteData {
                    signed: Signed {
                        message: Base64(vec![0]),
                        signature: Base64(vec![1]),
                    },
                    subject_data: Base64(vec![2]),
                }),
                Collected::log(LogData {
                    entry_count: Some(1),
                    entries: Some("10 aa\n".into()),
                }),
            ],
        };
        let sent = serde_json::to_value(Document::new(KIND, evidence)).unwrap();
        let at = |pointer: &str| {
            let pointer = format!("/data/attributes/evidence_collected{pointer}");
            sent.pointer(&pointer).unwrap().clone()
        };
        assert_eq!(at("/0/evidence_class"), "certification");
        assert_eq!(at("/0/evidence_type"), "tpm_quote");
        assert_eq!(at("/0/data/message"), "AA==");
        assert_eq!(at("/0/data/signature"), "AQ==");
        assert_eq!(at("/0/data/subject_data"), "Ag==");
        assert_eq!(at("/1/evidence_class"), "log");
        assert_eq!(at("/1/data/entries"), "10 aa\n");
    }
}
