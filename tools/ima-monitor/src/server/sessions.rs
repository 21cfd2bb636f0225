// SPDX-License-Identifier: GPL-2.0

//! Sessions.

use super::{
    answer::{json, Refusal},
    is_name, small, App,
};
use crate::{
    session::{self, CHALLENGE, TOKEN},
    store::{Host, State},
    time,
};
use axum::{
    extract::{Path, Request, State as Shared},
    http::StatusCode,
    response::Response,
};
use ima_log::quote::{proves_possession, AttestationKey, Nonce};
use ima_push::{
    document::Document,
    session::{
        Method, Offer, Opened, Parameters, Proofs, Provided, Request as Wish, Requested, KIND,
    },
    Base64,
};
use std::{sync::Arc, time::Duration, time::Instant};

fn later(duration: Duration) -> String {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(0);
    time::rfc3339(time::now().saturating_add(seconds))
}

/// `POST /v3.0/sessions`
pub(super) async fn create(
    Shared(app): Shared<Arc<App>>,
    request: Request,
) -> Result<Response, Refusal> {
    let body = small(request).await?;
    let wish: Document<Wish> = serde_json::from_slice(&body)
        .map_err(|error| Refusal::malformed(format!("not a request for a session: {error}")))?;
    let wish = wish.data.attributes;
    if !is_name(&wish.agent_id) {
        return Err(Refusal::malformed("agent_id is not the name of a host"));
    }
    if !wish.authentication_supported.iter().any(Method::is_tpm) {
        let detail = "authentication_supported must include tpm_pop authentication type";
        return Err(Refusal::malformed(detail));
    }
    let (id, challenge) = match app.store.host(&wish.agent_id).await? {
        Some(host) => app.sessions.challenge(&host.id, Instant::now())?,
        // nobody learns by this who is known, and nothing is remembered
        None => (session::text(&session::random()?), session::random()?),
    };
    let offer = Offer {
        agent_id: wish.agent_id,
        authentication_requested: vec![Requested {
            method: Method::tpm(),
            chosen_parameters: Parameters {
                challenge: Base64(challenge),
            },
        }],
        created_at: Some(time::rfc3339(time::now())),
        challenges_expire_at: Some(later(CHALLENGE)),
    };
    let mut offer = Document::new(KIND, offer);
    offer.data.id = Some(id);
    Ok(json(StatusCode::OK, &offer))
}

/// `PATCH /v3.0/sessions/ID`
pub(super) async fn update(
    Shared(app): Shared<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let body = small(request).await?;
    let proofs: Document<Proofs> = serde_json::from_slice(&body)
        .map_err(|error| Refusal::malformed(format!("not a proof: {error}")))?;
    let proofs = proofs.data.attributes;
    let name = proofs.agent_id;
    let host = match is_name(&name) {
        true => app.store.host(&name).await?,
        false => None,
    };
    let nonce = app.sessions.answer(&name, &id, Instant::now());
    let proof = proofs.authentication_provided.into_iter();
    let proof = proof.into_iter().find(|proof| proof.method.is_tpm());
    let token = match (host, nonce, proof) {
        (Some(host), Some(nonce), Some(proof)) if proves(&host, &nonce, &proof) => {
            // it may know that it is not approved: nobody else could prove that
            match host.state {
                State::Approved => Some(app.sessions.open(&host.id, Instant::now())?),
                State::Pending => None,
            }
        }
        _ => None,
    };
    let opened = Opened {
        agent_id: name,
        evaluation: if token.is_some() { "pass" } else { "fail" }.to_owned(),
        token_expires_at: token.is_some().then(|| later(TOKEN)),
        token,
    };
    let mut opened = Document::new(KIND, opened);
    opened.data.id = Some(id);
    Ok(json(StatusCode::OK, &opened))
}

fn proves(host: &Host, nonce: &[u8], proof: &Provided) -> bool {
    let (message, signature) = (&proof.data.message.0, &proof.data.signature.0);
    let (Ok(key), Ok(nonce)) = (AttestationKey::parse(&host.key), Nonce::try_from(nonce)) else {
        return false;
    };
    proves_possession(message, signature, &key, &nonce).is_ok()
}
