// SPDX-License-Identifier: GPL-2.0

//! What single records tell by themselves: which are checkpoints, truncations, changes of settings,
//! quotes or boot aggregates, and which are not what they are labelled.
//!
//! A template digest covers the template data, but not the name of the template. So whoever passes
//! a list on can relabel a record, and it replays as before. Our event names are therefore searched
//! for in the raw fields of every record, whatever its template is called. Only the event names:
//! nobody can have another record measured under them, while anybody who may add a key to a keyring
//! can have a buffer with our magic in it measured, and would break attestation by that.

use super::{algorithm, claim::Claim, detect::Layout, signed::Signed};
use crate::bank::{Bank, Digest};
use ima_checkpoint_format::{
    checkpoint::{self, Checkpoint},
    config::{self, Changes},
    quote::{self, Quote},
    record::Record,
    template::{Field, LEGACY_DIGEST_SIZE, LEGACY_MAX_EVENT_NAME},
    truncate::{self, Truncation},
    Error as FormatError,
};
use std::fmt;

/// Event names of what segments add to a list.
const OUR_NAMES: [&[u8]; 4] = [
    checkpoint::EVENT_NAME,
    truncate::EVENT_NAME,
    config::EVENT_NAME,
    quote::EVENT_NAME,
];

/// Event names of the record that IMA appends when it starts, early or late in the boot.
const BOOT_AGGREGATE: [&[u8]; 2] = [b"boot_aggregate", b"boot_aggregate_late"];

/// The highest PCR that an IMA policy can name. A forged record may name any.
pub const LAST_PCR: u32 = 63;

/// What segments add to a list. All that it says about the records before it is a claim.
#[derive(Clone, Copy, Debug)]
pub enum OwnRecord<'a> {
    /// Starts a segment.
    Checkpoint(Checkpoint<'a>),
    /// Segments were freed.
    Truncation(Truncation),
    /// Settings were changed.
    Config(Changes<'a>),
    /// A TPM signed something over a checkpoint. Nobody has checked the signature.
    Quote(Quote<'a>),
}

/// Why a record that has the event name of one is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impostor {
    /// The template is not `ima-buf`.
    Template,
    /// It is a violation: nothing of what it says was extended.
    Violation,
    /// The digest in `d-ng` is not that of the buffer.
    Digest,
    /// The buffer is malformed.
    Buffer(FormatError),
    /// A checkpoint is in another PCR than it says that IMA's default PCR is.
    Pcr {
        /// The PCR that it is in.
        is: u32,
        /// The PCR that it names.
        says: u32,
    },
}

impl fmt::Display for Impostor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Template => f.write_str("its template is not ima-buf"),
            Self::Violation => f.write_str("it is a violation"),
            Self::Digest => f.write_str("its digest is not that of the buffer"),
            Self::Buffer(error) => error.fmt(f),
            Self::Pcr { is, says } => {
                write!(f, "it is in PCR {is}, but IMA's default PCR is {says}")
            }
        }
    }
}

/// Is this record a checkpoint, a truncation or a change of settings? Nothing if it has another event
/// name.
///
/// # Errors
///
/// It only has the event name of one, whatever its template calls that field.
pub fn own_record<'a>(record: &Record<'a>) -> Result<Option<OwnRecord<'a>>, Impostor> {
    // where the kernel's own records have it, whatever the template calls it
    let second = record.fields().nth(1).unwrap_or_default();
    let raw = second.strip_suffix(b"\0").unwrap_or(second);
    let told = record.event_name().unwrap_or_default();
    // of an unknown template it may be any
    let unknown = (!record.template().is_known()).then(|| record.fields());
    let is = |name: &&[u8]| {
        let mut fields = unknown.clone().into_iter().flatten();
        [raw, told].contains(name) || fields.any(|field| is_name(field, name))
    };
    let Some(name) = OUR_NAMES.into_iter().find(is) else {
        return Ok(None);
    };
    if record.template_name() != b"ima-buf" || raw != told {
        return Err(Impostor::Template);
    }
    if record.is_violation() {
        return Err(Impostor::Violation);
    }
    // of an unknown algorithm nobody can tell; the name alone says whose record it is
    if buffer_fits(record) == Some(false) {
        return Err(Impostor::Digest);
    }
    let buffer = record.buffer().unwrap_or_default();
    let parsed = match name {
        checkpoint::EVENT_NAME => Checkpoint::parse(buffer).map(OwnRecord::Checkpoint),
        truncate::EVENT_NAME => Truncation::parse(buffer).map(OwnRecord::Truncation),
        quote::EVENT_NAME => Quote::parse(buffer).map(OwnRecord::Quote),
        _ => Changes::parse(buffer).map(OwnRecord::Config),
    };
    parsed.map(Some).map_err(Impostor::Buffer)
}

/// Is the digest in `d-ng` that of the buffer? Nothing if its algorithm is not known here.
fn buffer_fits(record: &Record<'_>) -> Option<bool> {
    let Some((algorithm, digest)) = record.file_digest() else {
        return Some(false);
    };
    let hash = algorithm::digest(algorithm, record.buffer().unwrap_or_default())?;
    Some(hash.as_bytes() == digest)
}

/// What a record tells by itself.
#[derive(Clone, Debug)]
pub enum Remark {
    /// It starts a segment.
    Checkpoint(Box<Claim>),
    /// Segments were freed.
    Truncation(Truncation),
    /// A TPM signed something over a checkpoint, or so the record says.
    Quote(Box<Signed>),
    /// IMA started, and hashed what firmware and boot loader had measured.
    BootAggregate(Aggregate),
    /// Its template digest is not that of its data, in the bank of the list.
    TemplateDigest(Bank),
    /// The same in a list in ASCII, of a record that a text may show otherwise than it was. What
    /// else it says is not looked at.
    Unchecked {
        /// The PCR that it is in.
        pcr: u32,
        /// How the list is written.
        layout: Layout,
    },
    /// A violation in a list in ASCII that a text may show otherwise than it was.
    Inexact,
    /// The digest in its `d-ng` is not that of its buffer.
    BufferDigest,
    /// Nobody can tell here whether that is so: the algorithm is not known.
    BufferUnchecked,
    /// It is in a PCR that IMA cannot use.
    BadPcr(u32),
    /// It has the event name of a checkpoint, a truncation or a change of settings and is none.
    Impostor(Impostor),
    /// It can be read as a record of another template with the same digest.
    Ambiguous(&'static str),
    /// IMA has no template of that name.
    UnknownTemplate(Box<[u8]>),
}

/// The hash of the PCRs that firmware and boot loader extend, as IMA computed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Aggregate {
    /// The PCR of its record.
    pub pcr: u32,
    /// The bank whose PCRs were hashed, by its own hash, if it is known here.
    pub bank: Option<Bank>,
    /// The hash.
    pub digest: Digest,
}

/// Does a record need a closer look?
#[inline]
pub(crate) fn needs_look(record: &Record<'_>) -> bool {
    if record.template().is_legacy() {
        return legacy_wants_look(record);
    }
    let mut fields = record.fields().skip(1);
    let name = fields.next().unwrap_or_default();
    // a signature that may be a buffer, or the reverse
    let mut third = || fields.next().is_some_and(|third| !third.is_empty());
    !record.template().is_known()
        || (10..=20).contains(&name.len()) && is_our_name(name)
        || third() && has_third_field(record.template_name())
        || record.pcr() > LAST_PCR
        || record.template().fields().first() != Some(&Field::DigestNg) && has_our_name(record)
}

/// Of templates in which the event name may be anywhere.
fn has_our_name(record: &Record<'_>) -> bool {
    record.event_name().is_some_and(is_our_name)
}

fn has_third_field(template: &[u8]) -> bool {
    matches!(template, b"ima-buf" | b"ima-sig" | b"ima-sigv2")
        || template.starts_with(b"d-ng|n-ng|")
}

fn is_our_name(field: &[u8]) -> bool {
    let mut names = OUR_NAMES.iter().chain(&BOOT_AGGREGATE);
    names.any(|name| is_name(field, name))
}

/// Is the field that name, with a NUL or without?
fn is_name(field: &[u8], name: &[u8]) -> bool {
    field.strip_suffix(b"\0").unwrap_or(field) == name
}

/// A digest that could be the length of a field; or one of our names.
fn legacy_wants_look(record: &Record<'_>) -> bool {
    let mut fields = record.fields();
    let digest = fields.next().unwrap_or_default();
    let length = digest
        .first_chunk()
        .map(|length| record.order().get_u32(*length));
    let small = length.is_some_and(|length| length as usize <= LEGACY_INPUT);
    small || record.pcr() > LAST_PCR || fields.any(is_our_name)
}

/// Bytes whose hash is the template digest of a legacy record.
const LEGACY_INPUT: usize = LEGACY_DIGEST_SIZE + LEGACY_MAX_EVENT_NAME + 1;

/// What a record tells by itself, but for its template digest. `put` gets each remark.
pub(crate) fn examine(record: &Record<'_>, mut put: impl FnMut(Remark)) {
    examine_labels(record, &mut put);
    if record.template().is_legacy() && reads_as_fields(record) {
        put(Remark::Ambiguous(
            "its digest and name are the fields of another template",
        ));
    }
    let recognised = recognise(record);
    let ours = matches!(recognised, Ok(Some(_)));
    match recognised {
        Ok(Some(Mark::Checkpoint(claim))) => put(Remark::Checkpoint(claim)),
        Ok(Some(Mark::Truncation(truncation))) => put(Remark::Truncation(truncation)),
        Ok(Some(Mark::Quote(signed))) => put(Remark::Quote(signed)),
        // it says nothing of other records
        Ok(Some(Mark::Config)) => (),
        Err(impostor) => put(Remark::Impostor(impostor)),
        Ok(None) => look_at_fields(record, &mut put),
    }
    if ours && buffer_fits(record).is_none() {
        put(Remark::BufferUnchecked);
    }
}

/// What no template digest covers tells: the PCR, and the name of the template.
pub(crate) fn examine_labels(record: &Record<'_>, mut put: impl FnMut(Remark)) {
    if record.pcr() > LAST_PCR {
        put(Remark::BadPcr(record.pcr()));
    }
    if !record.template().is_known() {
        put(Remark::UnknownTemplate(record.template_name().into()));
    }
}

/// Of a record that is none of ours.
fn look_at_fields(record: &Record<'_>, mut put: impl FnMut(Remark)) {
    if record.is_violation() {
        return;
    }
    if let Some((algorithm, digest)) = hashed_pcrs(record) {
        let pcr = record.pcr();
        put(Remark::BootAggregate(aggregate(pcr, algorithm, digest)));
    }
    match record.buffer() {
        // a rule for files may have this template: what it measures has no buffer
        Some(buffer) if !buffer.is_empty() => match buffer_fits(record) {
            Some(true) => (),
            Some(false) => put(Remark::BufferDigest),
            None => put(Remark::BufferUnchecked),
        },
        Some(_) => (),
        None if signs_itself(record) => put(Remark::Ambiguous(
            "what it calls a signature is what its digest is of, so that it is a buffer",
        )),
        None => (),
    }
}

/// The digest that a boot aggregate has, and its algorithm. In an unknown template one field has the
/// name, and another one, if it is as in `d-ng`, the digest.
fn hashed_pcrs<'a>(record: &Record<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let is_aggregate = |field: &[u8]| BOOT_AGGREGATE.iter().any(|name| is_name(field, name));
    if record.template().is_known() {
        let name = record.event_name()?;
        return BOOT_AGGREGATE
            .contains(&name)
            .then(|| record.file_digest())?;
    }
    if !record.fields().any(is_aggregate) {
        return None;
    }
    let digest = record.fields().find_map(|field| {
        let end = field.iter().position(|byte| *byte == 0)?;
        let (prefix, digest) = field.split_at_checked(end)?;
        let algorithm = prefix.strip_suffix(b":")?;
        let bank = Bank::from_name(std::str::from_utf8(algorithm).ok()?)?;
        let digest = digest.get(1..).filter(|digest| digest.len() == bank.size());
        Some((algorithm, digest?))
    });
    Some(digest.unwrap_or((b"unknown", b"")))
}

fn aggregate(pcr: u32, algorithm: &[u8], digest: &[u8]) -> Aggregate {
    let name = match algorithm {
        b"" => Some("sha1"),
        name => std::str::from_utf8(name).ok(),
    };
    Aggregate {
        pcr,
        bank: name.and_then(Bank::from_name),
        digest: Digest::new(digest),
    }
}

/// No file is the hash of its own signature, but a buffer can be told as the signature of a file.
fn signs_itself(record: &Record<'_>) -> bool {
    let third = record.fields().nth(2).unwrap_or_default();
    let fits = || {
        let (algorithm, digest) = record.file_digest()?;
        Some(algorithm::digest(algorithm, third)?.as_bytes() == digest)
    };
    !third.is_empty() && fits() == Some(true)
}

/// Are the bytes that a legacy digest is of the fields of another template as well? They are not
/// when a hash stands in front, unless somebody wants it so.
fn reads_as_fields(record: &Record<'_>) -> bool {
    let mut input = Vec::with_capacity(LEGACY_INPUT);
    record.digest_input(|piece| input.extend_from_slice(piece));
    let mut rest = input.as_slice();
    let mut fields = 0;
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = record.order().get_u32(*length) as usize;
        let Some(after) = after.get(length..) else {
            return false;
        };
        fields += 1;
        rest = after;
    }
    rest.is_empty() && fields > 1
}

/// The checkpoint, truncation or change of settings that a record is, with all conditions of
/// `Documentation/record-format.rst`.
///
/// # Errors
///
/// Why it only seems to be one.
pub fn recognise(record: &Record<'_>) -> Result<Option<Mark>, Impostor> {
    match own_record(record)? {
        None => Ok(None),
        Some(OwnRecord::Truncation(truncation)) => Ok(Some(Mark::Truncation(truncation))),
        Some(OwnRecord::Config(_)) => Ok(Some(Mark::Config)),
        Some(OwnRecord::Quote(quote)) => Ok(Some(Mark::Quote(Box::new(Signed::new(&quote))))),
        Some(OwnRecord::Checkpoint(checkpoint)) => {
            let buffer = record.buffer().unwrap_or_default();
            let claim = Claim::new(&checkpoint, buffer).map_err(Impostor::Buffer)?;
            if claim.header.default_pcr != record.pcr() {
                return Err(Impostor::Pcr {
                    is: record.pcr(),
                    says: claim.header.default_pcr,
                });
            }
            Ok(Some(Mark::Checkpoint(Box::new(claim))))
        }
    }
}

/// A record that segments add to a list.
#[derive(Clone, Debug)]
pub enum Mark {
    /// Starts a segment.
    Checkpoint(Box<Claim>),
    /// Segments were freed.
    Truncation(Truncation),
    /// Settings were changed.
    Config,
    /// A TPM signed something over a checkpoint, or so the record says.
    Quote(Box<Signed>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use ima_checkpoint_format::{
        checkpoint::{Builder, Header, Label},
        record::NewRecord,
        ByteOrder,
    };

    /// What `own_record` says of a record with these fields.
    fn judge(
        template: &[u8],
        digest: &[u8],
        fields: [&[u8]; 3],
    ) -> Result<Option<&'static str>, Impostor> {
        let new = NewRecord {
            pcr: 10,
            digest,
            template_name: template,
            fields: fields.into_iter(),
            order: ByteOrder::Little,
        };
        let mut out = vec![0; 8192];
        let encoded = new.encode(&mut out);
        let parsed = encoded.and_then(|_| Record::parse(&out, digest.len(), ByteOrder::Little));
        let (record, _) = parsed.map_err(Impostor::Buffer)?;
        Ok(own_record(&record)?.map(|own| match own {
            OwnRecord::Checkpoint(_) => "checkpoint",
            OwnRecord::Truncation(_) => "truncation",
            OwnRecord::Config(_) => "config",
            OwnRecord::Quote(_) => "quote",
        }))
    }

    fn d_ng(buffer: &[u8]) -> Vec<u8> {
        [b"sha256:\0", Bank::Sha256.hash(&[buffer]).as_bytes()].concat()
    }

    #[test]
    fn each_condition_counts() -> Result<(), FormatError> {
        let header = Header {
            sequence: 1,
            ..Header::default()
        };
        let mut out = [0; 4096];
        let buffer = Builder::new(&mut out, &header, Label::default())?.finish();
        let name = b".ima/checkpoint\0".as_slice();
        let good = d_ng(buffer);
        let with = |template, digest, fields| judge(template, digest, fields);

        let fields = [good.as_slice(), name, buffer];
        assert_eq!(with(b"ima-buf", &[1; 20], fields), Ok(Some("checkpoint")));
        assert_eq!(with(b"ima-sig", &[1; 20], fields), Err(Impostor::Template));
        assert_eq!(with(b"ima-buf", &[0; 20], fields), Err(Impostor::Violation));
        let other = [good.as_slice(), b".ima/checkpoint2\0", buffer];
        assert_eq!(with(b"ima-buf", &[1; 20], other), Ok(None));
        let wrong = d_ng(b"something else");
        for wrong in [wrong.as_slice(), b"", b"sha256:"] {
            let fields = [wrong, name, buffer];
            assert_eq!(with(b"ima-buf", &[1; 20], fields), Err(Impostor::Digest));
        }
        let short = &buffer[..100];
        let cut = [&*d_ng(short), name, short];
        let result = with(b"ima-buf", &[1; 20], cut);
        assert_eq!(result, Err(Impostor::Buffer(FormatError::BadFixedLength)));
        let swapped = [good.as_slice(), b".ima/truncate\0", buffer];
        let result = with(b"ima-buf", &[1; 20], swapped);
        assert_eq!(result, Err(Impostor::Buffer(FormatError::BadMagic)));
        Ok(())
    }

    #[test]
    fn changed_settings() -> Result<(), FormatError> {
        let mut out = [0; 200];
        let mut builder = config::Builder::new(&mut out, config::Reason::User, &[1; 16])?;
        builder.push("duplicate_scope", "log", "live")?;
        let buffer = builder.finish();
        let name = b".ima/config\0".as_slice();
        let good = d_ng(buffer);
        let with = |template, digest, fields| judge(template, digest, fields);

        let fields = [good.as_slice(), name, buffer];
        assert_eq!(with(b"ima-buf", &[1; 20], fields), Ok(Some("config")));
        assert_eq!(with(b"ima-sig", &[1; 20], fields), Err(Impostor::Template));
        assert_eq!(with(b"ima-buf", &[0; 20], fields), Err(Impostor::Violation));
        let cut = &buffer[..buffer.len() - 1];
        let cut = [&*d_ng(cut), name, cut];
        let result = with(b"ima-buf", &[1; 20], cut);
        assert_eq!(result, Err(Impostor::Buffer(FormatError::BadChange)));
        Ok(())
    }

    #[test]
    fn quotes() -> Result<(), FormatError> {
        // as a TPM marshals them: the Name of a key, a quote over zeros, an RSA signature of a byte
        let name = [b"\0\x22\0\x0b".as_slice(), &[7; 32]].concat();
        let attest = [b"\xffTCG\x80\x18\0\0\0\x20".as_slice(), &[0; 32], &[0; 29]].concat();
        let length = u16::try_from(attest.len()).unwrap().to_be_bytes();
        let signature = b"\0\x14\0\x0b\0\x01s";
        let evidence = [&name, length.as_slice(), &attest, signature].concat();
        let quote = Quote {
            log_id: [1; 16],
            sequence: 1,
            digest: [0; 32],
            evidence: quote::Evidence::parse(&evidence)?,
        };
        let mut out = [0; 400];
        let buffer = quote.encode(&mut out)?;
        let name = b".ima/quote\0".as_slice();
        let fields = [&*d_ng(buffer), name, buffer];
        assert_eq!(judge(b"ima-buf", &[1; 20], fields), Ok(Some("quote")));
        assert_eq!(judge(b"ima-sig", &[1; 20], fields), Err(Impostor::Template));
        let cut = &buffer[..buffer.len() - 1];
        let cut = [&*d_ng(cut), name, cut];
        let result = judge(b"ima-buf", &[1; 20], cut);
        assert_eq!(result, Err(Impostor::Buffer(FormatError::BadQuote)));
        Ok(())
    }

    /// The quick look at each record sees all of our names, with their NUL and without.
    #[test]
    fn our_names_are_looked_at() -> Result<(), FormatError> {
        for name in OUR_NAMES.into_iter().chain(BOOT_AGGREGATE) {
            for name in [name, &[name, b"\0"].concat()] {
                let new = NewRecord {
                    pcr: 10,
                    digest: &[1; 20],
                    template_name: b"ima-ng",
                    fields: [b"sha256:\0".as_slice(), name].into_iter(),
                    order: ByteOrder::Little,
                };
                let mut out = [0; 200];
                let length = new.encode(&mut out)?;
                let (record, _) = Record::parse(&out[..length], 20, ByteOrder::Little)?;
                assert!(needs_look(&record), "{name:?}");
            }
        }
        Ok(())
    }
}
