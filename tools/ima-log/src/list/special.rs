// SPDX-License-Identifier: GPL-2.0

//! Checkpoints and truncations among the records of a list.

use crate::bank::Bank;
use ima_checkpoint_format::{
    checkpoint::{
        self,
        Checkpoint, //
    },
    record::Record,
    truncate::{
        self,
        Truncation, //
    },
    Error as FormatError, //
};
use std::fmt;

/// What segments add to a list. All that it says about the records before it is a claim.
#[derive(Clone, Copy, Debug)]
pub enum Special<'a> {
    /// Starts a segment.
    Checkpoint(Checkpoint<'a>),
    /// Segments were freed.
    Truncation(Truncation),
}

/// Why a record that has the event name of one is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impostor {
    /// The template is not `ima-buf`.
    Template,
    /// It is a violation: nothing of what it says was extended.
    Violation,
    /// The digest in `d-ng` is not that of the buffer, or is of an unknown algorithm.
    Digest,
    /// The buffer is malformed.
    Buffer(FormatError),
}

impl fmt::Display for Impostor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Template => f.write_str("its template is not ima-buf"),
            Self::Violation => f.write_str("it is a violation"),
            Self::Digest => f.write_str("its digest is not that of the buffer"),
            Self::Buffer(error) => error.fmt(f),
        }
    }
}

/// Is this record a checkpoint or a truncation? Nothing if it has another event name.
///
/// # Errors
///
/// It only has the event name of one.
pub fn special<'a>(record: &Record<'a>) -> Result<Option<Special<'a>>, Impostor> {
    let name = record.event_name();
    let Some(is_checkpoint) = name.and_then(|name| match name {
        checkpoint::EVENT_NAME => Some(true),
        truncate::EVENT_NAME => Some(false),
        _ => None,
    }) else {
        return Ok(None);
    };
    if record.template_name() != b"ima-buf" {
        return Err(Impostor::Template);
    }
    if record.is_violation() {
        return Err(Impostor::Violation);
    }
    if !digest_matches(record) {
        return Err(Impostor::Digest);
    }
    let buffer = record.buffer().unwrap_or_default();
    let parsed = if is_checkpoint {
        Checkpoint::parse(buffer).map(Special::Checkpoint)
    } else {
        Truncation::parse(buffer).map(Special::Truncation)
    };
    parsed.map(Some).map_err(Impostor::Buffer)
}

/// Is the digest that of the buffer? The template digest does not cover the template name, so a
/// signature could be passed off as a buffer otherwise.
pub fn digest_matches(record: &Record<'_>) -> bool {
    let matches = || {
        let (algorithm, digest) = record.file_digest()?;
        let bank = Bank::from_name(std::str::from_utf8(algorithm).ok()?)?;
        Some(bank.hash(&[record.buffer()?]).as_bytes() == digest)
    };
    matches().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ima_checkpoint_format::{
        checkpoint::{
            Builder,
            Header,
            Label, //
        },
        record::NewRecord,
        ByteOrder, //
    };

    /// What `special` says of a record with these fields.
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
        Ok(special(&record)?.map(|special| match special {
            Special::Checkpoint(_) => "checkpoint",
            Special::Truncation(_) => "truncation",
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
        for wrong in [wrong.as_slice(), b"md5:\0D", b"", b"sha256:"] {
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
}
