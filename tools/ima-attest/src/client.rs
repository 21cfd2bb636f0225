// SPDX-License-Identifier: GPL-2.0

//! Speaks with a registrar and a verifier.

use crate::{
    error::{Error, Result},
    log::Log,
    state::Folder,
    tpm::{Attester, Scheme},
};
use ima_checkpoint::kernel::Format;
use ima_log::bank::{Bank, Digest};
use ima_push::{
    attestation::{
        self, Capabilities, Collected, Evidence, Key, LogCapabilities, LogData, LogParameters,
        QuoteCapabilities, QuoteData, QuoteParameters, Request, Requested, Supported, SystemInfo,
        BINARY, TEXT,
    },
    document::{Document, Errors, Meta},
    registrar::{Activation, Answer, Blob, Challenge, Registration},
    session::{self, Method, Offer, Opened, Proofs, Provided, Signed},
    Base64, MEDIA_TYPE, REGISTRAR, VERIFIER,
};
use openssl::{hash::MessageDigest, pkey::PKey, sign::Signer};
use reqwest::{header, Certificate, Client, RequestBuilder, Response, Url};
use serde::{de::DeserializeOwned, Serialize};
use std::{collections::BTreeMap, fs, path::Path, time::Duration};

/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 4 << 20;

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
    ///
    /// # Errors
    ///
    /// The address or the file makes no sense.
    pub fn new(url: &str, ca: Option<&Path>, id: &str, plain: Plain) -> Result<Self> {
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
        log: &Log,
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
        let evidence = Document::new(attestation::KIND, evidence);
        let answer = send(EVIDENCE, with(request, MEDIA_TYPE, &evidence)?).await?;
        let body = bytes(EVIDENCE, answer).await?;
        let answer: Document<serde_json::Value> = parse(EVIDENCE, &body)?;
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

fn quotable(tpm: &Attester, banks: &BTreeMap<Bank, Vec<u32>>) -> Result<QuoteCapabilities> {
    let (algorithm, scheme, size) = match tpm.scheme() {
        Scheme::Rsassa => ("rsa", "rsassa", 2048),
        Scheme::Ecdsa => ("ecc", "ecdsa", 256),
    };
    let names = || banks.keys().map(|bank| bank.name().to_owned());
    Ok(QuoteCapabilities {
        component_version: Some("2.0".to_owned()),
        hash_algorithms: names().collect(),
        signature_schemes: vec![scheme.to_owned()],
        available_subjects: banks
            .iter()
            .map(|(bank, pcrs)| (bank.name().to_owned(), Some(pcrs.clone())))
            .collect(),
        certification_keys: vec![Key {
            key_class: "asymmetric".to_owned(),
            key_algorithm: Some(algorithm.to_owned()),
            key_size: size,
            server_identifier: Some("ak".to_owned()),
            local_identifier: None,
            allowable_signature_schemes: Some(vec![scheme.to_owned()]),
            allowable_hash_algorithms: None,
            public: Some(Base64(tpm.public()?)),
        }],
    })
}

/// Quotes what is wanted, if the TPM has it.
fn quote(
    tpm: &mut Attester,
    banks: &BTreeMap<Bank, Vec<u32>>,
    wanted: &QuoteParameters,
) -> Result<QuoteData> {
    let mut selected = wanted.selected_subjects.iter();
    let selected = selected.find_map(|(name, pcrs)| {
        let pcrs = pcrs.as_ref().filter(|pcrs| !pcrs.is_empty())?;
        Some((Bank::from_name(name)?, pcrs))
    });
    let (bank, pcrs) = selected.ok_or(Error::NoBank)?;
    let has = banks.get(&bank).ok_or(Error::NoBank)?;
    let mut pcrs: Vec<u32> = pcrs
        .iter()
        .copied()
        .filter(|pcr| has.contains(pcr))
        .collect();
    pcrs.sort_unstable();
    pcrs.dedup();
    let (signed, values) = tpm.quote(&wanted.challenge.0, bank, &pcrs)?;
    Ok(QuoteData {
        signed: Signed {
            message: Base64(signed.message),
            signature: Base64(signed.signature),
        },
        subject_data: Base64(serialized(bank, &pcrs, &values)),
    })
}

/// Values of PCRs as `tpm2_quote -o` writes them: `TPML_PCR_SELECTION`, a number of lists, and so many
/// `TPML_DIGEST`, as they are in the memory of a little-endian machine.
fn serialized(bank: Bank, pcrs: &[u32], values: &[Digest]) -> Vec<u8> {
    const BANKS: usize = 16;
    const DIGESTS: usize = 8;
    let mut out = 1_u32.to_le_bytes().to_vec();
    let mut bitmap = [0_u8; 4];
    for pcr in pcrs {
        if let Some(byte) = bitmap.get_mut(*pcr as usize / 8) {
            *byte |= 1 << (pcr % 8);
        }
    }
    out.extend(bank.tpm_id().to_le_bytes());
    out.push(3);
    out.extend(bitmap);
    out.push(0);
    out.resize(4 + 8 * BANKS, 0);
    let lists = values.chunks(DIGESTS);
    out.extend((lists.len() as u32).to_le_bytes());
    for list in lists {
        let end = out.len() + 4 + DIGESTS * (2 + Digest::MAX);
        out.extend((list.len() as u32).to_le_bytes());
        for value in list {
            let bytes = value.as_bytes();
            out.extend((bytes.len() as u16).to_le_bytes());
            out.extend(bytes);
            out.resize(out.len() + Digest::MAX - bytes.len(), 0);
        }
        out.resize(end, 0);
    }
    out
}

fn list(log: &Log, wanted: &LogParameters) -> Result<LogData> {
    let from = wanted.starting_offset.unwrap_or(0);
    let binary = wanted.format.as_deref() == Some(BINARY);
    let format = match binary {
        true => Format::Binary,
        false => Format::Ascii,
    };
    let records = log.from(from, format)?;
    let entries = match binary {
        true => Base64(records.bytes).encode(),
        // names may have any bytes, and JSON has text
        false => String::from_utf8_lossy(&records.bytes).into_owned(),
    };
    Ok(LogData {
        entry_count: Some(records.count),
        entries: Some(entries),
    })
}

fn with(request: RequestBuilder, kind: &str, body: &impl Serialize) -> Result<RequestBuilder> {
    let body = serde_json::to_vec(body);
    let body = body.map_err(|error| Error::Option(error.to_string()))?;
    Ok(request.header(header::CONTENT_TYPE, kind).body(body))
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
    let body = bytes(what, answer).await.unwrap_or_default();
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
async fn bytes(what: &'static str, mut answer: Response) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        if body.len() + piece.len() > MAX_ANSWER {
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
    parse(what, &bytes(what, answer).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ima_log::quote::PcrValues;

    /// `tpm2_quote -o` is read by `ima-log`, which is tested with what that wrote.
    #[test]
    fn values_are_written_as_tpm2_tools_do() {
        for count in [1_u32, 8, 9, 16, 24] {
            let pcrs: Vec<u32> = (0..count).collect();
            let bank = Bank::Sha384;
            let values: Vec<_> = pcrs.iter().map(|pcr| bank.hash(&[&[*pcr as u8]])).collect();
            let bytes = serialized(bank, &pcrs, &values);
            assert_eq!(bytes.len(), 132 + 4 + 532 * (count as usize).div_ceil(8));
            let read = PcrValues::parse(&bytes, None, &[]).unwrap();
            for (pcr, value) in pcrs.iter().zip(&values) {
                assert_eq!(read.get(bank, *pcr), Some(*value));
            }
            assert_eq!(read.iter().count(), count as usize);
        }
    }

    #[test]
    fn nothing_without_tls() {
        let server = |url, plain| Server::new(url, None, "a", plain);
        assert!(server("http://localhost", Plain::No).is_err());
        assert!(server("http://localhost", Plain::Allowed).is_ok());
        assert!(server("https://localhost", Plain::No).is_ok());
        assert!(server("ftp://localhost", Plain::Allowed).is_err());
        assert!(server("localhost", Plain::No).is_err());
    }
}
