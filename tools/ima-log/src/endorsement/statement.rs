// SPDX-License-Identifier: GPL-2.0

//! What is signed: an in-toto statement with a SLSA verification summary as its predicate.
//!
//! The formats are "in-toto Attestation Framework", Statement v1, and "SLSA Verification Summary
//! Attestation", v1. What a summary has no field for is in a member of its own, `imaCheckpoint`. As both
//! demand, members that are not known are ignored.

use super::{Endorsed, Endorsement, Error, Moment, Verifier};
use crate::{
    bank::{Bank, Digest},
    quote::KeyName,
    replay::{Register, LAST_PCR},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The type of statements.
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// The type of predicates.
const SUMMARY: &str = "https://slsa.dev/verification_summary/v1";
/// The version of [`Own`].
const SCHEMA: &str = "ima-checkpoint/endorsement/1";
/// The policy of a summary: the rule of `Documentation/security-model.rst`, and no other.
const RULE: &str = "ima-checkpoint:rule-of-trust";
const PASSED: &str = "PASSED";
const VERIFIED: &str = "IMA_CHECKPOINT_LOG_VERIFIED";
const ACCEPTED: &str = "IMA_CHECKPOINT_LOG_ACCEPTED";

/// Bytes of text that names something: a host, a verifier, a version.
const MAX_NAME: usize = 1024;
/// Values of PCRs: more than there are in all banks together.
const MAX_VALUES: usize = 1024;
/// Segments that are taken from a statement, and other subjects that are looked at.
const MAX_SUBJECTS: usize = 16_384;
/// Endorsements that one rests on.
const MAX_INPUTS: usize = 1024;

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: serde_json::Value,
}

#[derive(Debug, Deserialize, Serialize)]
struct Subject {
    #[serde(default)]
    name: String,
    digest: Sha256,
}

#[derive(Debug, Deserialize, Serialize)]
struct Sha256 {
    sha256: Digest,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    verifier: VerifierJson,
    time_verified: String,
    resource_uri: String,
    policy: Uri,
    #[serde(default)]
    input_attestations: Vec<Input>,
    verification_result: String,
    verified_levels: Vec<String>,
    ima_checkpoint: Own,
}

#[derive(Debug, Deserialize, Serialize)]
struct VerifierJson {
    id: String,
    #[serde(default)]
    version: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Uri {
    uri: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct Input {
    digest: Sha256,
}

/// What a summary has no member for.
#[derive(Debug, Deserialize, Serialize)]
struct Own {
    schema: String,
    host: Option<String>,
    log_id: Digest,
    checkpoint: Number,
    records: Number,
    pcrs: Vec<Pcr>,
    quote: Option<Quote>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Pcr {
    pcr: u32,
    bank: String,
    value: Digest,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Standing {
    Verified,
    Accepted,
}

#[derive(Debug, Deserialize, Serialize)]
struct Quote {
    key_name: Option<String>,
    reset_count: u32,
    restart_count: u32,
    clock: Number,
    safe: bool,
}

/// A number as a string, because many programs read JSON numbers as floating point.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
struct Number(u64);

impl TryFrom<String> for Number {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<Number> for String {
    fn from(number: Number) -> Self {
        number.0.to_string()
    }
}

impl Statement {
    /// The bytes that are signed.
    pub(super) fn write(endorsement: &Endorsement) -> Result<Vec<u8>, Error> {
        let failed = |error: serde_json::Error| Error::Crypto(error.to_string());
        let named = |name: String, sha256: &Digest| Subject {
            name,
            digest: Sha256 { sha256: *sha256 },
        };
        let (log_id, seq) = (&endorsement.log_id, endorsement.checkpoint);
        let checkpoint = named(checkpoint(log_id, seq), &endorsement.digest);
        let segments = endorsement.segments.iter();
        let segments = segments.map(|(seq, sha256)| named(segment(log_id, *seq), sha256));
        let statement = Self {
            kind: STATEMENT.to_owned(),
            subject: [checkpoint].into_iter().chain(segments).collect(),
            predicate_type: SUMMARY.to_owned(),
            predicate: serde_json::to_value(Summary::from(endorsement)).map_err(failed)?,
        };
        serde_json::to_vec(&statement).map_err(failed)
    }

    /// Reads what was signed.
    pub(super) fn parse(payload: &[u8]) -> Result<Endorsement, Error> {
        let malformed = |error: serde_json::Error| Error::NotAStatement(error.to_string());
        let statement: Self = serde_json::from_slice(payload).map_err(malformed)?;
        if statement.kind != STATEMENT {
            return Err(Error::PayloadType(statement.kind));
        }
        if statement.predicate_type != SUMMARY {
            return Err(Error::PredicateType(statement.predicate_type));
        }
        let summary: Summary = serde_json::from_value(statement.predicate).map_err(malformed)?;
        if summary.ima_checkpoint.schema != SCHEMA {
            return Err(Error::PredicateType(summary.ima_checkpoint.schema));
        }
        if summary.verification_result != PASSED {
            return Err(Error::NotPassed(summary.verification_result));
        }
        summary.endorsement(&statement.subject)
    }
}

impl From<&Endorsement> for Summary {
    fn from(endorsement: &Endorsement) -> Self {
        let values = endorsement.values.iter();
        let pcrs = values.map(|(register, endorsed)| Pcr {
            pcr: register.pcr,
            bank: register.bank.name().to_owned(),
            value: endorsed.value,
            standing: match endorsed.accepted {
                true => Standing::Accepted,
                false => Standing::Verified,
            },
        });
        let level = match endorsement.values.values().any(|one| one.accepted) {
            true => ACCEPTED,
            false => VERIFIED,
        };
        let time = humantime::format_rfc3339_seconds(endorsement.time);
        let version = endorsement.verifier.version.clone();
        let inputs = endorsement.inputs.iter();
        Self {
            verifier: VerifierJson {
                id: endorsement.verifier.id.clone(),
                version: BTreeMap::from([("ima-checkpoint".to_owned(), version)]),
            },
            time_verified: time.to_string(),
            resource_uri: format!("ima-checkpoint:{}", endorsement.log_id),
            policy: Uri {
                uri: RULE.to_owned(),
            },
            input_attestations: inputs
                .map(|id| Input {
                    digest: Sha256 { sha256: *id },
                })
                .collect(),
            verification_result: PASSED.to_owned(),
            verified_levels: vec![level.to_owned()],
            ima_checkpoint: Own {
                schema: SCHEMA.to_owned(),
                host: endorsement.host.clone(),
                log_id: endorsement.log_id,
                checkpoint: Number(endorsement.checkpoint),
                records: Number(endorsement.records),
                pcrs: pcrs.collect(),
                quote: endorsement.quote.as_ref().map(|moment| Quote {
                    key_name: moment.key_name.as_ref().map(KeyName::to_string),
                    reset_count: moment.reset_count,
                    restart_count: moment.restart_count,
                    clock: Number(moment.clock),
                    safe: moment.safe,
                }),
            },
        }
    }
}

impl Summary {
    fn endorsement(self, subjects: &[Subject]) -> Result<Endorsement, Error> {
        let own = self.ima_checkpoint;
        let wrong = |why| Err(Error::Contradictory(why));
        let number = own.checkpoint.0;
        let is_sha256 = |one: &Subject| one.digest.sha256.as_bytes().len() == Bank::Sha256.size();
        if !subjects.iter().all(is_sha256) || own.log_id.as_bytes().len() != 16 {
            return wrong("a digest or the log's identifier has not the size that it should have");
        }
        let by_name: BTreeMap<&str, Digest> = {
            let subjects = subjects.iter().take(MAX_SUBJECTS);
            subjects
                .map(|one| (one.name.as_str(), one.digest.sha256))
                .collect()
        };
        let Some(digest) = by_name.get(checkpoint(&own.log_id, number).as_str()) else {
            return wrong("none of its subjects is its checkpoint");
        };
        let names = [Some(&self.verifier.id), own.host.as_ref()];
        let version = self.verifier.version.get("ima-checkpoint");
        let is_long = |name: &String| name.len() > MAX_NAME;
        if names.into_iter().chain([version]).flatten().any(is_long) {
            return wrong("a name in it is too long");
        }
        if own.pcrs.len() > MAX_VALUES || self.input_attestations.len() > MAX_INPUTS {
            return wrong("it has more values or inputs than there can be");
        }
        let mut values = BTreeMap::new();
        for pcr in &own.pcrs {
            // as any member that is not known
            let Some(bank) = Bank::from_name(&pcr.bank) else {
                continue;
            };
            let register = Register { pcr: pcr.pcr, bank };
            let fits = pcr.value.as_bytes().len() == bank.size() && pcr.pcr <= LAST_PCR;
            let endorsed = Endorsed {
                value: pcr.value,
                accepted: matches!(pcr.standing, Standing::Accepted),
            };
            if !fits || values.insert(register, endorsed).is_some() {
                return wrong("it has two values of a PCR, or one that no PCR can hold");
            }
        }
        let inputs: BTreeSet<[u8; 32]> = {
            let all = self.input_attestations.iter();
            let all = all.map(|one| one.digest.sha256.as_bytes().try_into());
            all.filter_map(Result::ok).collect()
        };
        let quote = match own.quote {
            Some(quote) => Some(quote.moment()?),
            None => None,
        };
        Ok(Endorsement {
            host: own.host,
            log_id: own.log_id,
            checkpoint: number,
            digest: *digest,
            records: own.records.0,
            segments: segments(&own.log_id, number, &by_name),
            values,
            quote,
            verifier: Verifier {
                version: version.cloned().unwrap_or_default(),
                id: self.verifier.id,
            },
            time: seconds(&self.time_verified)?,
            inputs: inputs.iter().map(|id| Digest::new(id)).collect(),
        })
    }
}

/// The name of the checkpoint as a subject.
fn checkpoint(log_id: &Digest, seq: u64) -> String {
    format!("ima-checkpoint:{log_id}/checkpoint/{seq}")
}

/// The name of a segment as a subject.
fn segment(log_id: &Digest, seq: u64) -> String {
    format!("ima-checkpoint:{log_id}/segment/{seq}")
}

/// The segments before the checkpoint, of all subjects. Others are not known here.
fn segments(
    log_id: &Digest,
    checkpoint: u64,
    subjects: &BTreeMap<&str, Digest>,
) -> BTreeMap<u64, Digest> {
    let segments = subjects.iter().filter_map(|(name, sha256)| {
        let (_, seq) = name.rsplit_once('/')?;
        let seq = seq.parse().ok().filter(|seq| *seq < checkpoint)?;
        (*name == segment(log_id, seq)).then_some((seq, *sha256))
    });
    segments.collect()
}

impl Quote {
    fn moment(self) -> Result<Moment, Error> {
        let name = self.key_name.map(|name| name.parse()).transpose();
        let name = name.map_err(|_| Error::Contradictory("it names a key by what is no name"))?;
        Ok(Moment {
            key_name: name,
            reset_count: self.reset_count,
            restart_count: self.restart_count,
            clock: self.clock.0,
            safe: self.safe,
        })
    }
}

/// Whole seconds: what a statement says, and no more, is compared.
fn seconds(text: &str) -> Result<SystemTime, Error> {
    let time = humantime::parse_rfc3339(text);
    let time = time.map_err(|error| Error::NotAStatement(format!("timeVerified: {error}")))?;
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(UNIX_EPOCH + Duration::from_secs(since.as_secs()))
}
