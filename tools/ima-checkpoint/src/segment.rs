// SPDX-License-Identifier: GPL-2.0

//! Examines a stretch of records that starts with a checkpoint, or with the first record of a list.
//!
//! Nothing here depends on other segments, so that they can be examined in any order or at once.
//! [`chain`](crate::chain) joins the results.

use crate::{
    bank::{
        Bank,
        Digest, //
    },
    claim::Claim,
    detect::Layout,
    finding::Kind,
    outcome::{
        Code,
        Error,
        Result, //
    },
    records::{
        Entry,
        Fault,
        Position,
        Records, //
    },
    replay::{
        Replay,
        Values,
        LAST_PCR, //
    },
    special::{
        digest_matches,
        special,
        Special, //
    },
};
use ima_checkpoint_format::{
    record::Record,
    truncate::Truncation, //
};
use sha2::{
    Digest as _,
    Sha256, //
};
use std::{
    collections::BTreeMap,
    io::Read, //
};

/// Findings of a segment that are kept; more are counted.
const MAX_FINDINGS: usize = 20;

/// How to examine a segment.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// How the records are written.
    pub layout: Layout,
    /// Where the first one is.
    pub at: Position,
    /// The banks to replay.
    pub banks: &'a [Bank],
    /// What PCRs start from that the checkpoint at the front has no value of.
    pub base: &'a Values,
    /// Compute the SHA-256 of the segment? Only a checkpoint behind it says what it should be.
    pub digest: bool,
}

/// What a segment turned out to be.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The checkpoint that it starts with.
    pub head: Option<Claim>,
    /// Where it starts.
    pub start: Position,
    /// Where it ends.
    pub end: Position,
    /// Bytes in the sha1 view.
    pub bytes: u64,
    /// SHA-256 of these bytes, if the plan asked for it.
    pub digest: Option<Digest>,
    /// Records that are violations.
    pub violations: u64,
    /// What the replay started from.
    pub base: Values,
    /// What the PCRs hold at the end.
    pub values: Values,
    /// The PCRs in use, and the number of their records.
    pub used: BTreeMap<u32, u64>,
    /// What the segment says of truncations.
    pub truncations: Vec<(Position, Truncation)>,
    /// What is wrong with single records, and where.
    pub findings: Vec<(Position, Kind, String)>,
    /// How many more findings there are.
    pub more: u64,
}

impl Summary {
    /// Records in it.
    pub fn records(&self) -> u64 {
        self.end.record - self.start.record
    }

    fn find(&mut self, at: Position, kind: Kind, text: impl Into<String>) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push((at, kind, text.into()));
        } else {
            self.more += 1;
        }
    }

    /// Notes why nothing more can be read.
    ///
    /// # Errors
    ///
    /// The input could not be read at all.
    fn ended(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::Io(ref error) if error.raw_os_error().is_some() => return Err(fault.into()),
            Fault::Io(error) => {
                let text = format!("the file is damaged, and nothing behind can be read: {error}");
                self.find(self.end, Kind::Malformed, text);
            }
            Fault::Malformed(at, error) => {
                let text = format!("malformed, and nothing behind it can be read: {error}");
                self.find(at, Kind::Malformed, text);
            }
            Fault::Cut(at) => self.find(at, Kind::Cut, "the list ends in the middle of it"),
        }
        Ok(())
    }
}

/// The checkpoint that a record is, with all conditions of `Documentation/record-format.rst`.
///
/// # Errors
///
/// Why it only seems to be a checkpoint or truncation.
pub fn recognise(record: &Record<'_>) -> std::result::Result<Option<Mark>, String> {
    let mark = match special(record).map_err(|impostor| impostor.to_string())? {
        None => return Ok(None),
        Some(Special::Truncation(truncation)) => return Ok(Some(Mark::Truncation(truncation))),
        Some(Special::Checkpoint(_)) => Claim::parse(record.buffer().unwrap_or_default()),
    };
    let claim = mark.map_err(|error| error.to_string())?;
    if claim.header.default_pcr == record.pcr() {
        Ok(Some(Mark::Checkpoint(Box::new(claim))))
    } else {
        let (is, says) = (record.pcr(), claim.header.default_pcr);
        Err(format!(
            "it is in PCR {is}, but IMA's default PCR is {says}"
        ))
    }
}

/// A record that segments add to a list.
#[derive(Clone, Debug)]
pub enum Mark {
    /// Starts a segment.
    Checkpoint(Box<Claim>),
    /// Segments were freed.
    Truncation(Truncation),
}

/// Examines the records of `source`, which are one segment. `watch` sees the replay after each of
/// them, and where that is.
///
/// # Errors
///
/// The source cannot be read. [`Code::Busy`] if a second segment starts in it: it is not what it was
/// when it was cut into segments.
pub fn examine(
    source: impl Read,
    plan: &Plan<'_>,
    mut watch: impl FnMut(Position, &Replay),
) -> Result<Summary> {
    let mut records = Records::new(source, plan.layout.bank.size(), plan.layout.order, plan.at);
    let mut summary = Summary {
        head: None,
        start: plan.at,
        end: plan.at,
        bytes: 0,
        digest: None,
        violations: 0,
        base: plan.base.clone(),
        values: Values::new(),
        used: BTreeMap::new(),
        truncations: Vec::new(),
        findings: Vec::new(),
        more: 0,
    };
    let mut replay = Replay::new(plan.banks.iter().copied(), plan.base.clone());
    let mut sha256 = Sha256::new();
    loop {
        let entry = match records.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(fault) => {
                summary.ended(fault)?;
                break;
            }
        };
        let Entry {
            at,
            ref record,
            raw,
        } = entry;
        match recognise(record) {
            Ok(None) => check_buffer(&mut summary, at, record),
            Ok(Some(Mark::Checkpoint(claim))) if at == plan.at => {
                summary.base.extend(claim.base());
                replay = Replay::new(plan.banks.iter().copied(), summary.base.clone());
                summary.head = Some(*claim);
            }
            Ok(Some(Mark::Checkpoint(_))) => {
                let text = format!("{at} was no checkpoint before: the list is being written");
                return Err(Error::new(Code::Busy, text));
            }
            Ok(Some(Mark::Truncation(truncation))) => summary.truncations.push((at, truncation)),
            Err(why) => {
                let text = format!("it has the event name of a checkpoint record, but {why}");
                summary.find(at, Kind::SpoofedName, text);
            }
        }
        replay.extend(record);
        check_record(&mut summary, at, record, plan.layout.bank, &replay);
        summary.bytes += (raw.len() - plan.layout.bank.size() + Bank::Sha1.size()) as u64;
        if plan.digest {
            hash_sha1_view(&mut sha256, record, raw, plan.layout.bank, &replay);
        }
        summary.end = after(at, raw);
        watch(summary.end, &replay);
    }
    summary.digest = plan.digest.then(|| Digest::new(&sha256.finalize()));
    summary.values = replay.values();
    summary.used = replay.used();
    Ok(summary)
}

fn after(at: Position, raw: &[u8]) -> Position {
    Position {
        record: at.record + 1,
        offset: at.offset + raw.len() as u64,
    }
}

/// The template digest does not cover the template name: a signature could pass for a buffer.
fn check_buffer(summary: &mut Summary, at: Position, record: &Record<'_>) {
    if record.template_name() == b"ima-buf" && !record.is_violation() && !digest_matches(record) {
        let text = "the digest in d-ng is not that of the buffer, or of an unknown algorithm: \
                    the record may be of another template";
        summary.find(at, Kind::BufferDigest, text);
    }
}

fn check_record(
    summary: &mut Summary,
    at: Position,
    record: &Record<'_>,
    bank: Bank,
    replay: &Replay,
) {
    if record.pcr() > LAST_PCR {
        let text = format!("IMA cannot extend PCR {}", record.pcr());
        summary.find(at, Kind::BadPcr, text);
    }
    if record.is_violation() {
        summary.violations += 1;
    } else if replay.extended(bank).as_ref().map(Digest::as_bytes) != Some(record.digest()) {
        let text = format!("the {bank} template digest is not that of the data");
        summary.find(at, Kind::TemplateDigest, text);
    }
}

/// Hashes the record as the sha1 view shows it.
fn hash_sha1_view(
    sha256: &mut Sha256,
    record: &Record<'_>,
    raw: &[u8],
    bank: Bank,
    replay: &Replay,
) {
    if bank == Bank::Sha1 {
        sha256.update(raw);
        return;
    }
    let (pcr, rest) = raw.split_at(4);
    sha256.update(pcr);
    match replay.extended(Bank::Sha1) {
        Some(digest) if !record.is_violation() => sha256.update(digest.as_bytes()),
        _ => sha256.update(Bank::Sha1.zeros().as_bytes()),
    }
    sha256.update(&rest[bank.size()..]);
}
