// SPDX-License-Identifier: GPL-2.0

//! Registration, as with Keylime's registrar.

use super::{
    answer::{json, Refusal},
    is_name, small, App, Secret,
};
use crate::{
    credential::EndorsementKey,
    finding::Kind,
    session,
    store::{NewHost, State},
};
use axum::{
    extract::{Path, Request, State as Shared},
    http::StatusCode,
    response::Response,
};
use ima_log::quote::AttestationKey;
use ima_push::{
    registrar::{Activation, Answer, Challenge, Registration, Versions},
    Base64,
};
use openssl::{
    error::ErrorStack, hash::MessageDigest, memcmp, pkey::PKey, sha::sha256, sign::Signer,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a TPM may take to decrypt the secret, with all retries.
const ACTIVATION: Duration = Duration::from_secs(300);

fn success<T: serde::Serialize>(results: T) -> Response {
    let answer = Answer {
        code: 200,
        status: "Success".to_owned(),
        results,
    };
    json(StatusCode::OK, &answer)
}

/// `GET /version`
pub(super) async fn version() -> Response {
    success(Versions {
        current_version: "2.6".to_owned(),
        supported_versions: vec!["2.6".to_owned()],
    })
}

/// `POST /v2.6/agents/ID`
pub(super) async fn register(
    Shared(app): Shared<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let body = small(request).await?;
    let registration: Registration = serde_json::from_slice(&body)
        .map_err(|error| Refusal::malformed(format!("not a registration: {error}")))?;
    if !is_name(&id) {
        return Err(Refusal::malformed("this is not the name of a host"));
    }
    let refused = |why: &dyn std::fmt::Display| Refusal::malformed(why.to_string());
    let key = AttestationKey::parse(&registration.aik_tpm.0).map_err(|why| refused(&why))?;
    let key_name = key
        .name()
        .ok_or_else(|| refused(&"aik_tpm is not TPM2B_PUBLIC"))?;
    let endorsement = EndorsementKey::parse(&registration.ek_tpm.0).map_err(|why| refused(&why))?;
    let fingerprint = session::text(&sha256(&registration.ek_tpm.0));

    let known = app.store.host(&id).await?;
    if known.is_none() && app.store.pending().await? >= limit(&app) {
        return Err(Refusal::busy(60));
    }
    let new = NewHost {
        id: &id,
        key: &registration.aik_tpm.0,
        key_name: &key_name.to_string(),
        endorsement: &fingerprint,
    };
    let host = app.store.register(new.clone()).await?;
    if (host.key_name.as_str(), host.endorsement.as_str()) != (new.key_name, new.endorsement) {
        if host.state == State::Approved {
            let text = format!(
                "somebody registered under its name with the attestation key {key_name} and the \
                 endorsement key {fingerprint}; if the TPM was replaced, `ima-monitor forget` the host"
            );
            app.tell(&id, Kind::OtherKey, text).await?;
        }
        return Err(Refusal::forbidden(
            "another TPM has registered under this name",
        ));
    }

    let secret = session::random()?;
    let blob = endorsement
        .challenge(key_name.as_bytes(), &secret)
        .map_err(Refusal::failed)?;
    let mut secrets = app.secrets();
    let now = Instant::now();
    let most = usize::try_from(limit(&app)).unwrap_or(usize::MAX);
    secrets.retain(|_, secret| now < secret.until);
    if secrets.len() >= most && !secrets.contains_key(&id) {
        return Err(Refusal::busy(60));
    }
    let secret = Secret {
        key: Base64(secret).encode(),
        until: now + ACTIVATION,
    };
    secrets.insert(id, secret);
    Ok(success(Challenge { blob: Base64(blob) }))
}

fn limit(app: &App) -> i64 {
    i64::try_from(app.config.max_pending).unwrap_or(i64::MAX)
}

/// `PUT /v2.6/agents/ID`
pub(super) async fn activate(
    Shared(app): Shared<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let body = small(request).await?;
    let activation: Activation = serde_json::from_slice(&body)
        .map_err(|error| Refusal::malformed(format!("not an activation: {error}")))?;
    // there is one answer to each challenge
    let secret = app.secrets().remove(&id);
    let secret = secret.filter(|secret| Instant::now() < secret.until);
    let secret = secret.ok_or_else(|| Refusal::not_found("register first"))?;
    let expected = tag(&secret.key, &id).map_err(Refusal::failed)?;
    let (expected, told) = (expected.as_bytes(), activation.auth_tag.as_bytes());
    if expected.len() != told.len() || !memcmp::eq(expected, told) {
        return Err(Refusal::malformed("the auth_tag is wrong: register again"));
    }
    app.store.activated(&id).await?;
    Ok(success(serde_json::json!({})))
}

/// HMAC-SHA384 of the host's name.
fn tag(key: &str, id: &str) -> Result<String, ErrorStack> {
    let key = PKey::hmac(key.as_bytes())?;
    let mut signer = Signer::new(MessageDigest::sha384(), &key)?;
    signer.update(id.as_bytes())?;
    Ok(session::text(&signer.sign_to_vec()?))
}

#[cfg(test)]
mod tests {
    /// `keylime.crypto.do_hmac(b"key", "d432")`
    #[test]
    fn as_keylime_does() {
        let tag = super::tag("key", "d432").unwrap();
        let (front, back) = tag.split_at(48);
        assert_eq!(front, "23aa26249b82b7cd2da52f5d03b970d83e740c6a144f8d75");
        assert_eq!(back, "d8b649e7130384e252ffe63bfd4c9ff5d3985867675b85ac");
    }
}
