// SPDX-License-Identifier: GPL-2.0

//! What a record may be.
//!
//! A file is allowed if some policy has its path with its digest, or excludes its path. So is a buffer
//! by its event name; keyrings can be ignored. Our own records and `boot_aggregate` are allowed by
//! their nature: nobody can have another record measured under one of our names, and the verification
//! compares each `boot_aggregate` with the PCRs that it is of.
//!
//! Policies are read once, and compiled to one sorted set of digests that all hosts share.

mod runtime;
mod set;
mod sums;

use self::set::{Builder, Set};
use crate::finding::{Kind, Record as Named};
use ima_checkpoint_format::record::Record;
use ima_log::{
    bank::Digest,
    escape::Escaped,
    list::own::{own_record, OwnRecord},
};
use regex::Regex;
use std::{collections::BTreeSet, fmt};

/// Event names that IMA gives the record with which it starts.
const BOOT_AGGREGATE: [&[u8]; 2] = [b"boot_aggregate", b"boot_aggregate_late"];

/// All policies, compiled.
#[derive(Debug, Default)]
pub struct Policy {
    files: Set,
    buffers: Set,
    excludes: Vec<Regex>,
    ignored: BTreeSet<String>,
    /// Is there any? Without one, nothing is judged.
    given: bool,
}

/// Why a policy cannot be used.
#[derive(Debug)]
pub enum Error {
    /// It is not JSON, or has a member that is not known.
    Json(serde_json::Error),
    /// It asks for something that is not supported.
    Unsupported(&'static str),
    /// A digest is not hexadecimal.
    Digest(String),
    /// An exclude pattern cannot be compiled.
    Pattern(String, Box<regex::Error>),
    /// A line of a `sha256sum` list.
    Line(usize),
    /// It is not UTF-8.
    Text,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "not a runtime policy of Keylime: {error}"),
            Self::Unsupported(what) => write!(
                f,
                "it uses {what}, which this program does not support yet: remove it, or attest \
                 these hosts with Keylime"
            ),
            Self::Digest(digest) => write!(
                f,
                "'{}' is not a digest in hexadecimal digits",
                Escaped::new(digest.as_bytes())
            ),
            Self::Pattern(pattern, error) => write!(
                f,
                "the exclude pattern '{}' cannot be used: {error}",
                Escaped::new(pattern.as_bytes())
            ),
            Self::Line(line) => write!(f, "line {line}: not as sha256sum writes it"),
            Self::Text => f.write_str("not UTF-8"),
        }
    }
}

impl std::error::Error for Error {}

/// Why a record is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of finding that is.
    pub kind: Kind,
    /// Why, for a person.
    pub text: String,
}

/// Puts policies together.
#[derive(Debug, Default)]
pub struct Compiler {
    files: Builder,
    buffers: Builder,
    excludes: Vec<Regex>,
    ignored: BTreeSet<String>,
    given: bool,
}

impl Compiler {
    /// Adds a runtime policy of Keylime, version 1.
    ///
    /// # Errors
    ///
    /// It has something that would have to be ignored.
    pub fn keylime(&mut self, json: &[u8]) -> Result<(), Error> {
        self.given = true;
        runtime::read(json, self)
    }

    /// Adds what `sha256sum` writes.
    ///
    /// # Errors
    ///
    /// A line is something else.
    pub fn sums(&mut self, text: &[u8]) -> Result<(), Error> {
        self.given = true;
        sums::read(text, self)
    }

    fn file(&mut self, path: &[u8], digest: &str) -> Result<(), Error> {
        self.files.add(path, decode(digest)?.as_bytes());
        Ok(())
    }

    fn buffer(&mut self, name: &[u8], digest: &str) -> Result<(), Error> {
        self.buffers.add(name, decode(digest)?.as_bytes());
        Ok(())
    }

    fn exclude(&mut self, pattern: &str) -> Result<(), Error> {
        // as Python's re.match(), which looks at the start of the text and not at its end
        let compiled = Regex::new(&format!(r"\A(?:{pattern})"));
        let failed = |error| Error::Pattern(pattern.to_owned(), Box::new(error));
        self.excludes.push(compiled.map_err(failed)?);
        Ok(())
    }

    /// All that was added.
    pub fn finish(self) -> Policy {
        Policy {
            files: self.files.finish(),
            buffers: self.buffers.finish(),
            excludes: self.excludes,
            ignored: self.ignored,
            given: self.given,
        }
    }
}

fn decode(digest: &str) -> Result<Digest, Error> {
    let decoded = Digest::from_hex(digest).filter(|digest| !digest.as_bytes().is_empty());
    decoded.ok_or_else(|| Error::Digest(digest.to_owned()))
}

impl Policy {
    /// Is there any policy?
    pub fn is_given(&self) -> bool {
        self.given
    }

    /// Files and buffers that are allowed.
    pub fn len(&self) -> usize {
        self.files.len() + self.buffers.len()
    }

    /// Does it allow nothing?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Why this record is refused; nothing if it is allowed.
    pub fn refuses(&self, record: &Record<'_>) -> Option<Refusal> {
        if !self.given {
            return None;
        }
        let refusal = |kind, text: &str| {
            let text = text.to_owned();
            Some(Refusal { kind, text })
        };
        match own_record(record) {
            Ok(Some(
                OwnRecord::Checkpoint(_)
                | OwnRecord::Truncation(_)
                | OwnRecord::Config(_)
                | OwnRecord::Quote(_),
            )) => return None,
            Ok(None) => (),
            Err(why) => {
                return refusal(Kind::Buffer, &format!("not a record of the kernel: {why}"))
            }
        }
        let name = record.event_name().unwrap_or_default();
        let violation = record.is_violation();
        if !violation && BOOT_AGGREGATE.contains(&name) && record.buffer().is_none() {
            return None;
        }
        let path = String::from_utf8_lossy(name);
        if self.excludes.iter().any(|pattern| pattern.is_match(&path)) {
            return None;
        }
        if violation {
            return refusal(
                Kind::Violation,
                "it was written while it was open to be measured, so what was used is not known",
            );
        }
        let Some((_, digest)) = record.file_digest() else {
            return refusal(Kind::File, "its template has no digest of it");
        };
        let (set, kind) = match record.buffer() {
            Some(_) if self.ignored.contains("*") || self.ignored.contains(&*path) => return None,
            Some(_) => (&self.buffers, Kind::Buffer),
            None => (&self.files, Kind::File),
        };
        if set.has(name, digest) {
            return None;
        }
        match set.knows(name) {
            true => refusal(kind, "the policy has other digests of it"),
            false => refusal(kind, "the policy does not have it"),
        }
    }
}

/// How a record is called when it is told of.
pub fn name(record: &Record<'_>, index: u64) -> Named {
    let digest = record.file_digest().filter(|_| !record.is_violation());
    Named {
        index,
        pcr: record.pcr(),
        template: Escaped::new(record.template_name()).to_string(),
        path: Escaped::new(record.event_name().unwrap_or_default()).to_string(),
        digest: digest.map(|(algorithm, digest)| {
            format!("{}:{}", Escaped::new(algorithm), Digest::new(digest))
        }),
    }
}

#[cfg(test)]
mod tests;
