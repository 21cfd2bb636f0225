// SPDX-License-Identifier: GPL-2.0

//! Attestations.

use super::{
    answer::{json, Refusal},
    body, small, App, Begun,
};
use crate::{
    config::COPIES,
    host::{
        self,
        judge::{self, Asked, Evidence},
        Round,
    },
    session::{self, CHALLENGE},
    time,
};
use axum::{
    extract::{Path, Request, State as Shared},
    http::{header, HeaderValue, StatusCode},
    response::Response,
};
use ima_log::{
    bank::Bank,
    quote::{AttestationKey, Nonce},
};
use ima_push::{
    attestation::{
        Capabilities, Collected, Evidence as Sent, LogCapabilities, LogParameters,
        QuoteCapabilities, QuoteData, QuoteParameters, Request as Wanted, Requested, Supported,
        BINARY, KIND, TEXT,
    },
    document::Document,
    Base64,
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Banks that prove something, by preference.
const BANKS: [Bank; 3] = [Bank::Sha256, Bank::Sha384, Bank::Sha512];

/// PCRs that only a reset of the machine resets: IMA uses one or two of them, and a `boot_aggregate`
/// is of the first ten.
const PCRS: std::ops::RangeInclusive<u32> = 0..=15;

/// How long evidence may take to arrive.
const EVIDENCE_TIME: Duration = Duration::from_secs(120);

/// Longest text of a boot time.
const MAX_TIME: usize = 64;

/// `POST /v3.0/agents/ID/attestations`
pub(super) async fn create(
    Shared(app): Shared<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let before = app.authorised(&id, request.headers()).await?;
    let body = small(request).await?;
    let offered: Document<Capabilities> = serde_json::from_slice(&body)
        .map_err(|error| Refusal::malformed(format!("not what an agent can prove: {error}")))?;
    let offered = offered.data.attributes;
    let boot_time = offered
        .system_info
        .as_ref()
        .map(|info| info.boot_time.as_str());
    let boot_time = boot_time.filter(|text| text.len() <= MAX_TIME);
    let boot_time = boot_time.ok_or_else(|| Refusal::unprocessable("boot_time is required"))?;
    let (quote, log) = find(&offered)?;
    let (bank, pcrs) = select(quote)?;
    let entries = log.entry_count.unwrap_or(0);
    let from = match log.supports_partial_access {
        true => host::ask(before.proven.as_ref(), boot_time, entries, before.doubt),
        false => 0,
    };
    let binary = log.formats.iter().any(|format| format == BINARY);
    let nonce = session::random()?;
    let asked = Asked {
        nonce: Nonce::try_from(nonce.as_slice()).map_err(Refusal::failed)?,
        from,
        boot_time: boot_time.to_owned(),
        bank,
    };
    let parameters = parameters(quote, bank, pcrs, nonce)?;
    let wanted = Wanted {
        evidence_requested: vec![
            Requested::quote(parameters),
            Requested::log(LogParameters {
                starting_offset: log.supports_partial_access.then_some(from),
                entry_count: None,
                format: Some(if binary { BINARY } else { TEXT }.to_owned()),
            }),
        ],
        stage: Some("awaiting_evidence".to_owned()),
        system_info: offered.system_info.clone(),
    };
    let now = Instant::now();
    let begun = Begun {
        asked,
        before,
        binary,
        until: now + CHALLENGE + EVIDENCE_TIME,
    };
    let number = app.sessions.begin(&id, begun, now)?;
    let mut response = json(StatusCode::CREATED, &Document::new(KIND, wanted));
    let location = format!("/v3.0/agents/{id}/attestations/{number}");
    let location = HeaderValue::from_str(&location).map_err(Refusal::failed)?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// What the agent offers of the two kinds that are wanted.
fn find(offered: &Capabilities) -> Result<(&QuoteCapabilities, &LogCapabilities), Refusal> {
    let (mut quote, mut log) = (None, None);
    for supported in &offered.evidence_supported {
        match supported {
            Supported::TpmQuote { capabilities, .. } => quote = quote.or(Some(capabilities)),
            Supported::ImaLog { capabilities, .. } => log = log.or(Some(capabilities)),
            Supported::Other => (),
        }
    }
    let missing = || Refusal::unprocessable("evidence_supported must have tpm_quote and ima_log");
    quote.zip(log).ok_or_else(missing)
}

/// The bank to quote, and its PCRs. Keylime's agent quotes no other than that of the hash that its key
/// signs with, so such a bank is preferred.
fn select(quote: &QuoteCapabilities) -> Result<(Bank, Vec<u32>), Refusal> {
    let of = |bank: &Bank| {
        let pcrs = quote.available_subjects.get(bank.name())?.as_ref()?;
        let pcrs: Vec<u32> = PCRS.filter(|pcr| pcrs.contains(pcr)).collect();
        pcrs.contains(&10).then_some((*bank, pcrs))
    };
    let none = || Refusal::unprocessable("no PCR 10 in a bank of sha256, sha384 or sha512");
    let key = quote.certification_keys.first();
    let signed = key.and_then(|key| key.allowable_hash_algorithms.as_deref());
    let preferred = |bank: &&Bank| signed.is_some_and(|hashes| has(hashes, **bank));
    let found = BANKS.iter().filter(preferred).find_map(of);
    found.or_else(|| BANKS.iter().find_map(of)).ok_or_else(none)
}

fn has(hashes: &[String], bank: Bank) -> bool {
    hashes.iter().any(|hash| hash == bank.name())
}

fn parameters(
    quote: &QuoteCapabilities,
    bank: Bank,
    pcrs: Vec<u32>,
    nonce: Vec<u8>,
) -> Result<QuoteParameters, Refusal> {
    let key = quote.certification_keys.first().cloned();
    let key = key.ok_or_else(|| Refusal::unprocessable("certification_keys is empty"))?;
    let schemes = key
        .allowable_signature_schemes
        .as_ref()
        .unwrap_or(&quote.signature_schemes);
    let algorithm = key.key_algorithm.as_deref().unwrap_or("rsa");
    let fits = |scheme: &&String| match algorithm {
        "rsa" => ["rsassa", "rsapss"].contains(&scheme.as_str()),
        _ => scheme.as_str() == "ecdsa",
    };
    let scheme = schemes.iter().find(fits).cloned();
    let scheme = scheme.ok_or_else(|| Refusal::unprocessable("no scheme fits the key"))?;
    let mut selected: BTreeMap<String, Option<Vec<u32>>> = quote
        .available_subjects
        .keys()
        .map(|bank| (bank.clone(), None))
        .collect();
    selected.insert(bank.name().to_owned(), Some(pcrs));
    Ok(QuoteParameters {
        challenge: Base64(nonce),
        signature_scheme: scheme,
        hash_algorithm: Some(bank.name().to_owned()),
        selected_subjects: selected,
        certification_key: Some(key),
    })
}

/// `PATCH /v3.0/agents/ID/attestations/NUMBER`
pub(super) async fn update(
    Shared(app): Shared<Arc<App>>,
    Path((id, number)): Path<(String, u64)>,
    request: Request,
) -> Result<Response, Refusal> {
    app.authorised(&id, request.headers()).await?;
    let limit = app.config.max_request();
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let length = length.unwrap_or(limit);
    if length > limit {
        return Err(Refusal::too_large(limit));
    }
    // the bytes, and what is decoded from them
    let mebibytes = (length as u64).saturating_mul(COPIES).div_ceil(1 << 20);
    let mebibytes = u32::try_from(mebibytes).unwrap_or(u32::MAX);
    let _memory = app
        .memory
        .try_acquire_many(mebibytes)
        .map_err(|_| Refusal::busy(5))?;
    // taken before the body is read, so that there is one body for each that was begun
    let begun = app.sessions.take(&id, number);
    let begun = begun.filter(|begun| Instant::now() < begun.until);
    let begun =
        begun.ok_or_else(|| Refusal::forbidden("this attestation is over: begin another"))?;
    let body = body(request, length, EVIDENCE_TIME).await?;

    let before = begun.before.clone();
    let processor = app.processors.acquire().await.map_err(Refusal::failed)?;
    let shared = Arc::clone(&app);
    let judged = tokio::task::spawn_blocking(move || verify(&shared, begun, &body));
    let round = judged.await.map_err(Refusal::failed)??;
    drop(processor);

    let proven = round.proven.as_ref();
    app.store
        .keep(&before, proven, &round.findings, &app.actions)
        .await?;
    if !round.findings.is_empty() {
        app.wake.notify_one();
    }
    report(&id, &round);
    app.counters.round(proven.map(|_| round.new));
    let now = Instant::now();
    if proven.is_some() {
        app.sessions.extend(&id, now);
    }
    // a little early is early enough: clocks and networks differ
    app.sessions.welcome(&id, now + app.config.interval / 2);
    let mut answer = Document::new(
        KIND,
        serde_json::json!({
            "stage": "evaluating_evidence",
            "evidence_received_at": time::rfc3339(time::now()),
        }),
    );
    answer.data.id = Some(number.to_string());
    answer.meta.seconds_to_next_attestation = Some(app.interval());
    Ok(json(StatusCode::ACCEPTED, &answer))
}

/// Reads the evidence and judges it. It takes a processor for as long as the list is long.
fn verify(app: &App, begun: Begun, body: &[u8]) -> Result<Round, Refusal> {
    let sent: Document<Sent> = serde_json::from_slice(body)
        .map_err(|error| Refusal::malformed(format!("not evidence: {error}")))?;
    let (mut quote, mut log) = (None, None);
    for collected in sent.data.attributes.evidence_collected {
        match collected {
            Collected::TpmQuote { data, .. } => quote = Some(data),
            Collected::ImaLog { data, .. } => log = Some(data),
            Collected::Other => (),
        }
    }
    let missing = || Refusal::malformed("evidence_collected must have tpm_quote and ima_log");
    let (
        QuoteData {
            signed,
            subject_data,
        },
        log,
    ) = quote.zip(log).ok_or_else(missing)?;
    let entries = log.entries.unwrap_or_default();
    let list = match begun.binary {
        true => {
            Base64::decode(&entries)
                .ok_or_else(|| Refusal::malformed("entries is not in base64"))?
                .0
        }
        false => entries.into_bytes(),
    };
    let key = AttestationKey::parse(&begun.before.key).map_err(Refusal::failed)?;
    let evidence = Evidence {
        message: &signed.message.0,
        signature: &signed.signature.0,
        pcrs: &subject_data.0,
        list: &list,
    };
    let before = begun.before.proven.as_ref();
    Ok(judge::judge(
        &key,
        &begun.asked,
        before,
        evidence,
        &app.policy,
    ))
}

/// Says what came of a round, if it is more than nothing.
fn report(id: &str, round: &Round) {
    for finding in &round.findings {
        eprintln!("<4>{id}: {}: {}", finding.kind, finding.text);
    }
    if let Some(proven) = round.proven.as_ref().filter(|_| round.new > 0) {
        eprintln!(
            "<6>{id}: {} new records, proven up to {}",
            round.new, proven.records
        );
    }
}
