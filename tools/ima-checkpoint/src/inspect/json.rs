// SPDX-License-Identifier: GPL-2.0

//! Records for programs: `Documentation/inspect-json.rst` is the schema.

use super::{
    bank_name, change_reason_name, fields, flag_names, id, reason_name, shadows, state_name,
};
use crate::{
    bank::Bank,
    escape::clean,
    own::{Impostor, OwnRecord},
    records::Entry,
};
use ima_checkpoint_format::{
    checkpoint::{self, Checkpoint},
    config::Changes,
    quote::Quote,
    record::Record,
    truncate::Truncation,
};
use serde::{Serialize, Serializer};
use std::{
    fmt,
    io::{self, Write},
};

/// The name and version of the schema.
pub const SCHEMA: &str = "ima-checkpoint/record/1";

/// Bytes as lower-case hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A number of 64 bits, as a string: many readers of JSON keep 53 only.
struct Long(u64);

impl Serialize for Long {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    record: Long,
    offset: Long,
    length: Long,
    pcr: u32,
    bank: Bank,
    digest: Hex<'a>,
    violation: bool,
    template: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_hex: Option<Hex<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_digest: Option<FileDigest<'a>>,
    fields: Vec<FieldData<'a>>,
    #[serde(flatten)]
    own: Option<Claims<'a>>,
}

#[derive(Serialize)]
struct FileDigest<'a> {
    algorithm: &'a str,
    digest: Hex<'a>,
}

#[derive(Serialize)]
struct FieldData<'a> {
    id: &'static str,
    hex: Hex<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Claims<'a> {
    #[serde(rename = "checkpoint_claims")]
    Checkpoint(Box<CheckpointClaims<'a>>),
    #[serde(rename = "truncation_claims")]
    Truncation(TruncationClaims<'a>),
    #[serde(rename = "config_claims")]
    Config(ConfigClaims<'a>),
    #[serde(rename = "quote_claims")]
    Quote(QuoteClaims<'a>),
    Impostor(String),
}

#[derive(Serialize)]
struct CheckpointClaims<'a> {
    sequence: Long,
    label: &'a str,
    flags: Vec<&'static str>,
    flag_bits: u32,
    log_id: Hex<'a>,
    generation: u32,
    default_pcr: u32,
    record: Long,
    offset: Long,
    violations: Long,
    wall_ns: Long,
    boot_ns: Long,
    segment_records: Long,
    segment_bytes: Long,
    segment_sha256: Hex<'a>,
    previous: Hex<'a>,
    buffer_sha256: crate::bank::Digest,
    values: Vec<Value<'a>>,
    before: Vec<Value<'a>>,
}

#[derive(Serialize)]
struct Value<'a> {
    pcr: u8,
    bank: String,
    state: &'static str,
    value: Hex<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<Hex<'a>>,
}

#[derive(Serialize)]
struct TruncationClaims<'a> {
    sequence: Long,
    reason: &'static str,
    log_id: Hex<'a>,
    buffer_sha256: Hex<'a>,
    records: Long,
    bytes: Long,
}

#[derive(Serialize)]
struct ConfigClaims<'a> {
    reason: &'static str,
    log_id: Hex<'a>,
    changes: Vec<Change<'a>>,
}

#[derive(Serialize)]
struct QuoteClaims<'a> {
    sequence: Long,
    log_id: Hex<'a>,
    buffer_sha256: Hex<'a>,
    key_name: Hex<'a>,
    message: Hex<'a>,
    signature: Hex<'a>,
}

#[derive(Serialize)]
struct Change<'a> {
    setting: &'a str,
    old: &'a str,
    new: &'a str,
}

/// Writes a record as an object, and a newline.
pub(super) fn write(
    entry: &Entry<'_>,
    bank: Bank,
    own: &Result<Option<OwnRecord<'_>>, Impostor>,
    out: &mut impl Write,
) -> io::Result<()> {
    let record = &entry.record;
    let name = record.event_name();
    let fields = fields(record).map(|(field, data)| FieldData {
        id: id(field),
        hex: Hex(data),
    });
    let line = Line {
        schema: SCHEMA,
        record: Long(entry.at.record),
        offset: Long(entry.at.offset),
        length: Long(entry.raw.len() as u64),
        pcr: record.pcr(),
        bank,
        digest: Hex(record.digest()),
        violation: record.is_violation(),
        template: clean(record.template_name()).unwrap_or_default(),
        name: name.and_then(clean),
        name_hex: name.map(Hex),
        file_digest: file_digest(record),
        fields: fields.collect(),
        own: match own {
            Ok(None) => None,
            Ok(Some(OwnRecord::Checkpoint(checkpoint))) => Some(Claims::Checkpoint(Box::new(
                checkpoint_claims(record, checkpoint),
            ))),
            Ok(Some(OwnRecord::Truncation(truncation))) => {
                Some(Claims::Truncation(truncation_claims(truncation)))
            }
            Ok(Some(OwnRecord::Config(changes))) => Some(Claims::Config(config_claims(changes))),
            Ok(Some(OwnRecord::Quote(quote))) => Some(Claims::Quote(quote_claims(quote))),
            Err(why) => Some(Claims::Impostor(why.to_string())),
        },
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// Left out if its algorithm is not clean text; the field has it all the same.
fn file_digest<'a>(record: &Record<'a>) -> Option<FileDigest<'a>> {
    let (algorithm, digest) = record.file_digest()?;
    Some(FileDigest {
        algorithm: clean(algorithm)?,
        digest: Hex(digest),
    })
}

fn checkpoint_claims<'c, 'a: 'c>(
    record: &Record<'_>,
    checkpoint: &'c Checkpoint<'a>,
) -> CheckpointClaims<'c> {
    let header = checkpoint.header();
    let value = |entry: checkpoint::Entry<'a>, replay: Option<&'a [u8]>| Value {
        pcr: entry.pcr,
        bank: bank_name(entry.algorithm),
        state: state_name(entry.state),
        value: Hex(entry.value),
        replay: replay.map(Hex),
    };
    let shadows = shadows(checkpoint);
    let values = checkpoint.values().map(|entry| {
        let shadow = shadows.get(&(entry.pcr, entry.algorithm)).copied();
        value(entry, shadow)
    });
    CheckpointClaims {
        sequence: Long(header.sequence),
        label: checkpoint.label().as_str(),
        flags: flag_names(header.flags).collect(),
        flag_bits: header.flags.bits(),
        log_id: Hex(&header.log_id),
        generation: header.generation,
        default_pcr: header.default_pcr,
        record: Long(header.record),
        offset: Long(header.offset),
        violations: Long(header.violations),
        wall_ns: Long(header.wall_ns),
        boot_ns: Long(header.boot_ns),
        segment_records: Long(header.segment_records),
        segment_bytes: Long(header.segment_bytes),
        segment_sha256: Hex(&header.segment_digest),
        previous: Hex(&header.previous),
        buffer_sha256: Bank::Sha256.hash(&[record.buffer().unwrap_or_default()]),
        values: values.collect(),
        before: checkpoint
            .before()
            .map(|entry| value(entry, None))
            .collect(),
    }
}

fn truncation_claims(truncation: &Truncation) -> TruncationClaims<'_> {
    TruncationClaims {
        sequence: Long(truncation.sequence),
        reason: reason_name(truncation.reason),
        log_id: Hex(&truncation.log_id),
        buffer_sha256: Hex(&truncation.digest),
        records: Long(truncation.records),
        bytes: Long(truncation.bytes),
    }
}

fn quote_claims<'a>(quote: &'a Quote<'a>) -> QuoteClaims<'a> {
    QuoteClaims {
        sequence: Long(quote.sequence),
        log_id: Hex(&quote.log_id),
        buffer_sha256: Hex(&quote.digest),
        key_name: Hex(quote.evidence.name()),
        message: Hex(quote.evidence.attest()),
        signature: Hex(quote.evidence.signature()),
    }
}

fn config_claims<'c>(changes: &'c Changes<'_>) -> ConfigClaims<'c> {
    ConfigClaims {
        reason: change_reason_name(changes.reason()),
        log_id: Hex(changes.log_id()),
        changes: changes
            .iter()
            .map(|change| Change {
                setting: change.name,
                old: change.old,
                new: change.new,
            })
            .collect(),
    }
}
