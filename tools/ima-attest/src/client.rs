// SPDX-License-Identifier: GPL-2.0

//! Speaks with a registrar and a verifier.

use crate::{
    error::{Error, Result},
    evidence::{list, quotable, quote},
    log::Log,
    state::Folder,
    tpm::Attester,
};
use ima_push::{
    attestation::{
        self, Capabilities, Collected, Evidence, LogCapabilities, Request, Requested, Supported,
        SystemInfo, BINARY, TEXT,
    },
    document::{Document, Errors, Meta},
    registrar::{Activation, Answer, Blob, Challenge, Registration},
    session::{self, Method, Offer, Opened, Proofs, Provided, Signed},
    Base64, MEDIA_TYPE, REGISTRAR, VERIFIER,
};
use openssl::{hash::MessageDigest, pkey::PKey, sign::Signer};
use reqwest::{header, Certificate, Client, RequestBuilder, Response, Url};
use serde::{
    de::{DeserializeOwned, IgnoredAny},
    Serialize,
};
use std::{fs, path::Path, time::Duration};

/// Largest answer that is read, in bytes, beside what it repeats of the request.
const MAX_ANSWER: usize = 4 << 20;

/// Keylime's verifier answers evidence with all of it. It writes letters beyond ASCII as `\u` and four
/// digits, which takes up to three times as much.
const REPEATED: usize = 3;

/// How long a request may take. Evidence of a long list takes a while to arrive and to be verified.
const TIMEOUT: Duration = Duration::from_secs(300);

/// A server, and the name by which it knows this host.
#[derive(Clone, Debug)]
pub struct Server {
    client: Client,
    base: String,
    id: String,
}

/// Whether the host may speak with the server without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// Never.
    No,
    /// As Keylime's registrar demands it: what is sent there is not secret, and the challenge can only be
    /// decrypted by the TPM.
    Allowed,
}

impl Server {
    /// A server at this address. With `ca`, only certificates are accepted that lead to one in that file.
    /// With `socket`, that Unix socket leads to it.
    ///
    /// # Errors
    ///
    /// The address or the file makes no sense.
    pub fn new(
        url: &str,
        ca: Option<&Path>,
        socket: Option<&Path>,
        id: &str,
        plain: Plain,
    ) -> Result<Self> {
        let parsed = Url::parse(url).map_err(|error| Error::Option(format!("{url}: {error}")))?;
        let safe = match parsed.scheme() {
            "https" => true,
            "http" => plain == Plain::Allowed,
            _ => false,
        };
        if !safe {
            return Err(Error::Option(format!("{url}: use https")));
        }
        let mut builder = Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(path) = ca {
            let pem = fs::read(path).map_err(|error| Error::File(path.to_owned(), error))?;
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(&pem)?);
        }
        if let Some(path) = socket {
            builder = builder.unix_socket(path);
        }
        Ok(Self {
            client: builder.build()?,
            base: url.trim_end_matches('/').to_owned(),
            id: id.to_owned(),
        })
    }

    /// Registers the host, and proves that its TPM has both keys.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn register(&self, tpm: &mut Attester) -> Result<()> {
        const WHAT: &str = "registration";
        let registration = Registration {
            ek_tpm: Base64(tpm.endorsement()?),
            ekcert: tpm.certificate().map(Base64),
            aik_tpm: Base64(tpm.public()?),
        };
        let url = format!("{}{REGISTRAR}/agents/{}", self.base, self.id);
        let request = self.client.post(&url);
        let answer = send(WHAT, with(request, "application/json", &registration)?).await?;
        let challenge: Answer<Challenge> = read(WHAT, answer).await?;
        let blob = &challenge.results.blob.0;
        let blob = Blob::parse(blob).ok_or(Error::Answer(WHAT, "not a credential".into()))?;
        let secret = tpm.activate(blob.credential, blob.secret)?;
        let activation = Activation {
            auth_tag: tag(&secret, &self.id)?,
        };
        let request = self.client.put(&url);
        send(WHAT, with(request, "application/json", &activation)?).await?;
        Ok(())
    }

    /// Opens a session. Gives its token.
    ///
    /// # Errors
    ///
    /// [`Error::NotAccepted`] if the server does not want the host to attest; [`Error`].
    pub async fn open(&self, tpm: &mut Attester) -> Result<String> {
        const WHAT: &str = "session";
        let wish = session::Request {
            agent_id: self.id.clone(),
            authentication_supported: vec![Method::tpm()],
        };
        let url = format!("{}{VERIFIER}/sessions", self.base);
        let request = with(
            self.client.post(&url),
            MEDIA_TYPE,
            &Document::new(session::KIND, wish),
        )?;
        let offer: Document<Offer> = read(WHAT, send(WHAT, request).await?).await?;
        let id = offer
            .data
            .id
            .ok_or(Error::Answer(WHAT, "it has no id".into()))?;
        if !id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Err(Error::Answer(WHAT, "its id is not one".into()));
        }
        let mut requested = offer.data.attributes.authentication_requested.into_iter();
        let requested = requested.find(|requested| requested.method.is_tpm());
        let requested = requested.ok_or(Error::Answer(WHAT, "it wants no tpm_pop".into()))?;
        let signed = tpm.certify(&requested.chosen_parameters.challenge.0)?;
        let proofs = Proofs {
            agent_id: self.id.clone(),
            authentication_provided: vec![Provided {
                method: Method::tpm(),
                data: Signed {
                    message: Base64(signed.message),
                    signature: Base64(signed.signature),
                },
            }],
        };
        let mut proofs = Document::new(session::KIND, proofs);
        proofs.data.id = Some(id.clone());
        let request = with(
            self.client.patch(format!("{url}/{id}")),
            MEDIA_TYPE,
            &proofs,
        )?;
        let opened = match send(WHAT, request).await {
            Err(Error::Status { status: 401, .. }) => return Err(Error::NotAccepted),
            opened => read::<Document<Opened>>(WHAT, opened?).await?,
        };
        opened.data.attributes.token().ok_or(Error::NotAccepted)
    }

    /// Attests once.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn attest(
        &self,
        token: &str,
        tpm: &mut Attester,
        log: &mut Log,
        state: &Folder,
    ) -> Result<Meta> {
        const OFFER: &str = "offer of evidence";
        const EVIDENCE: &str = "evidence";
        let banks = tpm.banks()?;
        // a signature that nobody needs, but the TPM tells its resets in nothing that costs less
        let boot = state.boot(tpm.certify(b"boot")?.resets)?;
        let offer = Capabilities {
            evidence_supported: vec![
                Supported::quote(quotable(tpm, &banks)?),
                Supported::log(LogCapabilities {
                    entry_count: Some(log.count()?),
                    supports_partial_access: true,
                    appendable: true,
                    formats: vec![TEXT.to_owned(), BINARY.to_owned()],
                }),
            ],
            system_info: Some(SystemInfo {
                boot_time: boot.rfc3339(),
            }),
        };
        let url = format!("{}{VERIFIER}/agents/{}/attestations", self.base, self.id);
        let request = self.client.post(&url).bearer_auth(token);
        let offer = Document::new(attestation::KIND, offer);
        let answer = send(OFFER, with(request, MEDIA_TYPE, &offer)?).await?;
        let location = answer.headers().get(header::LOCATION);
        let location = location.and_then(|value| value.to_str().ok());
        // only its last part, so that no server sends evidence elsewhere
        let number = location.and_then(|location| location.rsplit('/').next()?.parse::<u64>().ok());
        let number = number.ok_or(Error::Answer(OFFER, "no Location with a number".into()))?;
        let request: Document<Request> = read(OFFER, answer).await?;

        let mut collected = Vec::new();
        for requested in request.data.attributes.evidence_requested {
            collected.push(match requested {
                Requested::TpmQuote {
                    chosen_parameters, ..
                } => Collected::quote(quote(tpm, &banks, &chosen_parameters)?),
                // after the quote, so that the quote is somewhere in it
                Requested::ImaLog {
                    chosen_parameters, ..
                } => Collected::log(list(log, &chosen_parameters)?),
                Requested::Other => {
                    let why = "it wants evidence that was not offered";
                    return Err(Error::Answer(OFFER, why.into()));
                }
            });
        }
        let evidence = Evidence {
            evidence_collected: collected,
        };
        let request = self
            .client
            .patch(format!("{url}/{number}"))
            .bearer_auth(token);
        let evidence = serialize(&Document::new(attestation::KIND, evidence))?;
        let limit = MAX_ANSWER.saturating_add(evidence.len().saturating_mul(REPEATED));
        let request = request.header(header::CONTENT_TYPE, MEDIA_TYPE);
        let answer = send(EVIDENCE, request.body(evidence)).await?;
        let body = bytes(EVIDENCE, answer, limit).await?;
        let answer: Document<IgnoredAny> = parse(EVIDENCE, &body)?;
        Ok(answer.meta)
    }
}

/// HMAC-SHA384 of the host's name; its key is the secret in base64.
fn tag(secret: &[u8], id: &str) -> Result<String> {
    let key = PKey::hmac(Base64::from(secret).encode().as_bytes())?;
    let mut signer = Signer::new(MessageDigest::sha384(), &key)?;
    signer.update(id.as_bytes())?;
    let tag = signer.sign_to_vec()?;
    Ok(tag.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn with(request: RequestBuilder, kind: &str, body: &impl Serialize) -> Result<RequestBuilder> {
    let request = request.header(header::CONTENT_TYPE, kind);
    Ok(request.body(serialize(body)?))
}

fn serialize(body: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(body).map_err(|error| Error::Option(error.to_string()))
}

/// Sends a request, and takes the answer if it is a good one.
async fn send(what: &'static str, request: RequestBuilder) -> Result<Response> {
    let answer = request.send().await?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let retry_after = answer.headers().get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
    let body = bytes(what, answer, MAX_ANSWER).await.unwrap_or_default();
    let errors: Errors = serde_json::from_slice(&body).unwrap_or_default();
    let first = errors.errors.into_iter().next();
    Err(Error::Status {
        what,
        status: status.as_u16(),
        retry_after,
        detail: first.map_or_else(|| status.to_string(), |error| error.detail),
    })
}

/// The body of an answer, if it is not too long.
async fn bytes(what: &'static str, mut answer: Response, limit: usize) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        if body.len() + piece.len() > limit {
            return Err(Error::Answer(what, "it is too long".into()));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

fn parse<T: DeserializeOwned>(what: &'static str, body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| Error::Answer(what, error.to_string()))
}

async fn read<T: DeserializeOwned>(what: &'static str, answer: Response) -> Result<T> {
    parse(what, &bytes(what, answer, MAX_ANSWER).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_without_tls() {
        let server = |url, plain| Server::new(url, None, None, "a", plain);
        assert!(server("http://localhost", Plain::No).is_err());
        assert!(server("http://localhost", Plain::Allowed).is_ok());
        assert!(server("https://localhost", Plain::No).is_ok());
        assert!(server("ftp://localhost", Plain::Allowed).is_err());
        assert!(server("localhost", Plain::No).is_err());
    }
}
