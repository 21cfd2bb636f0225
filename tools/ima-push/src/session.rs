// SPDX-License-Identifier: GPL-2.0

//! Sessions: `POST /v3.0/sessions`, then `PATCH /v3.0/sessions/ID`.
//!
//! The answer to the second has the status 200 whatever comes of it; [`Opened::evaluation`] tells. The
//! token authorises each attestation, as `Authorization: Bearer`.

use super::Base64;
use serde::{Deserialize, Serialize};

/// The resource's type.
pub const KIND: &str = "session";

/// The class of the proof.
pub const CLASS: &str = "pop";

/// The proof: a TPM2_Certify of the attestation key by itself, over the challenge.
pub const TYPE: &str = "tpm_pop";

/// The agent asks for a session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Which host it is.
    pub agent_id: String,
    /// How it can prove that.
    pub authentication_supported: Vec<Method>,
}

/// A kind of proof.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Method {
    /// [`CLASS`].
    pub authentication_class: String,
    /// [`TYPE`].
    pub authentication_type: String,
}

impl Method {
    /// The one that there is.
    pub fn tpm() -> Self {
        Self {
            authentication_class: CLASS.to_owned(),
            authentication_type: TYPE.to_owned(),
        }
    }

    /// Is it the one that there is?
    pub fn is_tpm(&self) -> bool {
        self.authentication_type == TYPE
    }
}

/// The verifier's answer, and its challenge.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Offer {
    /// Which host it is.
    pub agent_id: String,
    /// The proofs that are wanted.
    pub authentication_requested: Vec<Requested>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenges_expire_at: Option<String>,
}

/// A proof that is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Requested {
    /// What kind of proof.
    #[serde(flatten)]
    pub method: Method,
    /// Over what.
    pub chosen_parameters: Parameters,
}

/// Over what a proof is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Parameters {
    /// The qualifying data of TPM2_Certify.
    pub challenge: Base64,
}

/// The agent's proof.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Proofs {
    /// Which host it is.
    pub agent_id: String,
    /// One.
    pub authentication_provided: Vec<Provided>,
}

/// A proof.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Provided {
    /// What kind of proof.
    #[serde(flatten)]
    pub method: Method,
    /// It.
    pub data: Signed,
}

/// What a TPM signed, and the signature.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Signed {
    /// TPMS_ATTEST.
    pub message: Base64,
    /// TPMT_SIGNATURE.
    pub signature: Base64,
}

/// The verifier's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Opened {
    /// Which host it is.
    pub agent_id: String,
    /// `pass` or `fail`.
    pub evaluation: String,
    /// What authorises attestations, if the proof holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expires_at: Option<String>,
}

impl Opened {
    /// The token, if the proof was accepted.
    pub fn token(self) -> Option<String> {
        self.token.filter(|_| self.evaluation == "pass")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;
    use serde_json::json;

    /// What Keylime's verifier answers, from `keylime/web/verifier/session_controller.py`.
    #[test]
    fn keylime_offers_and_opens() {
        let answer = json!({"data": {"type": "session", "id": "5c0c", "attributes": {
            "agent_id": "d432",
            "authentication_requested": [{
                "authentication_class": "pop", "authentication_type": "tpm_pop",
                "chosen_parameters": {"challenge": "AAEC"}}],
            "created_at": "2026-06-01T00:00:00+00:00",
            "challenges_expire_at": "2026-06-01T00:01:00+00:00"}}});
        let offer: Document<Offer> = serde_json::from_value(answer.clone()).unwrap();
        assert_eq!(offer.data.id.as_deref(), Some("5c0c"));
        let requested = &offer.data.attributes.authentication_requested[0];
        assert!(requested.method.is_tpm());
        assert_eq!(requested.chosen_parameters.challenge.0, [0, 1, 2]);
        assert_eq!(serde_json::to_value(&offer).unwrap(), answer);

        let opened = |evaluation| {
            let answer = json!({"data": {"type": "session", "id": "5c0c", "attributes": {
                "agent_id": "d432", "evaluation": evaluation, "token": "5c0c.x",
                "authentication": []}}});
            let opened: Document<Opened> = serde_json::from_value(answer).unwrap();
            opened.data.attributes.token()
        };
        assert_eq!(opened("pass").as_deref(), Some("5c0c.x"));
        assert_eq!(opened("fail"), None);
    }

    /// Where Keylime's verifier looks for what the agent says.
    #[test]
    fn keylime_finds_it() {
        let request = Request {
            agent_id: "d432".into(),
            authentication_supported: vec![Method::tpm()],
        };
        let sent = serde_json::to_value(Document::new(KIND, request)).unwrap();
        let at = |pointer: &str| sent.pointer(&format!("/data/attributes{pointer}")).unwrap();
        assert_eq!(at("/agent_id"), "d432");
        assert_eq!(
            at("/authentication_supported/0/authentication_type"),
            "tpm_pop"
        );

        let proofs = Proofs {
            agent_id: "d432".into(),
            authentication_provided: vec![Provided {
                method: Method::tpm(),
                data: Signed {
                    message: Base64(vec![0]),
                    signature: Base64(vec![1]),
                },
            }],
        };
        let sent = serde_json::to_value(Document::new(KIND, proofs)).unwrap();
        let at = |pointer: &str| sent.pointer(&format!("/data/attributes{pointer}")).unwrap();
        assert_eq!(at("/authentication_provided/0/data/message"), "AA==");
        assert_eq!(
            at("/authentication_provided/0/authentication_type"),
            "tpm_pop"
        );
    }
}
