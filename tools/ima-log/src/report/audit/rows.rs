// SPDX-License-Identifier: GPL-2.0

//! What happened to a log, a row for each event.

use super::{clip, Archived, Number, Rows, MAX_ROWS};
use crate::{
    chain::{self, outline},
    verify::{
        finding::{self, Gravity, Kind},
        verdict::Verdict,
    },
};
use ima_checkpoint_format::truncate::Reason;
use serde::Serialize;

/// A kernel that kept the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kernel {
    /// Kexecs before it.
    pub generation: u32,
    /// The first checkpoint that it made.
    pub checkpoint: Number,
    /// Index of the record of that since cold boot.
    pub record: Number,
    /// When that was made: nanoseconds since 1970-01-01 00:00 UTC.
    pub at_ns: Number,
    /// Is that record proven?
    pub proven: bool,
}

/// Records that are not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The first segment, and the last one.
    pub segments: Option<(Number, Number)>,
    /// When the last checkpoint before it was made.
    pub after_ns: Option<Number>,
    /// When the first checkpoint that follows was made.
    pub before_ns: Option<Number>,
    /// When the archiver noticed.
    pub noticed_ns: Option<Number>,
    /// What is known of it.
    pub text: String,
}

/// A truncation of the list in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Truncation {
    /// Index of its record since cold boot.
    pub record: Number,
    /// Who wanted it, as the record says: `user`, `retention`, `kexec`.
    pub reason: &'static str,
    /// The segment that the kernel's list starts with since.
    pub to: Number,
    /// Records that were freed.
    pub records: Number,
    /// Their bytes, in the sha1 view.
    pub bytes: Number,
    /// When the last checkpoint before it was made: nanoseconds since 1970-01-01 00:00 UTC.
    pub after_ns: Option<Number>,
    /// Is the record proven?
    pub proven: bool,
    /// Does the list contradict it?
    pub is_false: bool,
    /// Are all the records that were freed up to it here?
    pub here: bool,
}

impl Truncation {
    /// Who wanted it, for a person.
    pub fn by(&self) -> &'static str {
        match self.reason {
            "user" => "a program on the host with the right to free records, such as the archiver",
            "retention" => "the kernel, because its settings limit what it keeps",
            _ => "the kernel, because the next kernel had no room for all records",
        }
    }
}

/// A segment in which something else than IMA extended a PCR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Its number.
    pub segment: Option<Number>,
    /// Index of its first record since cold boot.
    pub record: Number,
    /// When its checkpoint was made: nanoseconds since 1970-01-01 00:00 UTC.
    pub after_ns: Option<Number>,
}

/// A checkpoint. All of it is claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// Its number.
    pub checkpoint: Number,
    /// Index of its record since cold boot.
    pub record: Number,
    /// When it was made: nanoseconds since 1970-01-01 00:00 UTC.
    pub at_ns: Number,
    /// The remark of whoever asked for it.
    pub label: String,
    /// SHA-256 of its buffer.
    pub digest: String,
    /// Kexecs before it.
    pub generation: u32,
    /// Is its record proven?
    pub proven: bool,
}

/// Something that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// How grave: `tampered`, `stale`, `missing`, `unanchored`, `note`.
    pub gravity: &'static str,
    /// Is it about a record that is not proven?
    pub uncovered: bool,
    /// The file.
    pub source: String,
    /// Index of the record since cold boot, or else its number in the file.
    pub record: Option<Number>,
    /// The segment.
    pub segment: Option<Number>,
    /// For people.
    pub text: String,
}

/// Where the records end that the default PCR proves.
fn covered(verdict: &Verdict) -> u64 {
    verdict.covered.unwrap_or(0)
}

pub(super) fn kernels(verdict: &Verdict) -> Rows<Kernel> {
    let kernels = &verdict.log.outline.kernels;
    let rows = kernels.items.iter().map(|one| Kernel {
        generation: one.generation,
        checkpoint: Number(one.checkpoint),
        record: Number(verdict.in_log(one.record)),
        at_ns: Number(one.at_ns),
        proven: one.record < covered(verdict),
    });
    Rows::first(rows, kernels.more)
}

pub(super) fn missing(verdict: &Verdict, archived: Option<&Archived>) -> Rows<Missing> {
    let outline = &verdict.log.outline;
    let start = outline.spans.first().filter(|span| span.start == 0);
    let start = start.and_then(|span| Some((span.first?, span.since_ns)));
    let start = start.filter(|(first, _)| *first > 0);
    let start = start.map(|(first, since_ns)| {
        let text = "what the log had before the records that are here".to_owned();
        row((0, first - 1), None, since_ns, archived, text)
    });
    let gaps = outline.gaps.items.iter().map(|gap| {
        let text = match gap.record < covered(verdict) {
            true => "segments between those that are here".to_owned(),
            false => "segments before one that is not proven, and may be made up".to_owned(),
        };
        row(
            (gap.from, gap.to),
            gap.after_ns,
            gap.before_ns,
            archived,
            text,
        )
    });
    let lost = verdict.findings.kept().iter();
    let lost = lost
        .filter(|one| one.kind == Kind::LogLost)
        .map(|one| Missing {
            segments: None,
            after_ns: None,
            before_ns: None,
            noticed_ns: None,
            text: clip(&one.text),
        });
    Rows::first(start.into_iter().chain(gaps).chain(lost), outline.gaps.more)
}

fn row(
    (from, to): (u64, u64),
    after_ns: Option<u64>,
    before_ns: Option<u64>,
    archived: Option<&Archived>,
    mut text: String,
) -> Missing {
    let removed = archived.and_then(|archived| archived.removed);
    let removed = removed.filter(|removed| to < removed.before.0);
    if removed.is_some() {
        text += "; the archive says that its own rules removed them";
    }
    let gaps = archived.map(|archived| archived.gaps.as_slice());
    let noticed = gaps.unwrap_or_default().iter();
    let noticed = noticed.filter(|gap| gap.from.0 <= to && from <= gap.to.0);
    let noticed = noticed.map(|gap| gap.at_ns).min();
    Missing {
        segments: Some((Number(from), Number(to))),
        after_ns: after_ns.map(Number),
        before_ns: before_ns.map(Number),
        noticed_ns: noticed.or(removed.map(|removed| removed.at_ns)),
        text,
    }
}

/// The newest first.
pub(super) fn truncations(verdict: &Verdict) -> Rows<Truncation> {
    let outline = &verdict.log.outline;
    let starts = outline
        .spans
        .first()
        .is_some_and(|span| span.first == Some(0));
    let rows = outline.truncations.items.iter().rev().map(|one| {
        let mut before = outline.gaps.items.iter().filter(|gap| gap.from < one.to);
        Truncation {
            record: Number(verdict.in_log(one.record)),
            reason: match one.reason {
                Reason::User => "user",
                Reason::Retention => "retention",
                Reason::Kexec => "kexec",
            },
            to: Number(one.to),
            records: Number(one.records),
            bytes: Number(one.bytes),
            after_ns: one.after_ns.map(Number),
            proven: one.record < covered(verdict),
            is_false: one.is_false,
            here: starts && before.next().is_none() && outline.gaps.more == 0,
        }
    });
    Rows::first(rows, outline.truncations.more)
}

pub(super) fn broken(verdict: &Verdict) -> Rows<Broken> {
    let outline::Kept { items, more } = &verdict.log.outline.broken;
    let rows = items.iter().map(|one| Broken {
        segment: one.seq.map(Number),
        record: Number(verdict.in_log(one.start)),
        after_ns: one.after_ns.map(Number),
    });
    Rows::first(rows, *more)
}

/// The newest first.
pub(super) fn checkpoints(verdict: &Verdict) -> Rows<Checkpoint> {
    let log = &verdict.log;
    let rows = log
        .shown
        .iter()
        .rev()
        .filter_map(|one| checkpoint(one, verdict));
    let shown: Vec<Checkpoint> = rows.take(MAX_ROWS).collect();
    let headless = log.shown.iter().filter(|one| one.claimed.is_none()).count() as u64;
    let all = log.segments.saturating_sub(headless);
    let more = Number(all.saturating_sub(shown.len() as u64));
    Rows { shown, more }
}

fn checkpoint(segment: &chain::Segment, verdict: &Verdict) -> Option<Checkpoint> {
    let claimed = segment.claimed.as_ref()?;
    Some(Checkpoint {
        checkpoint: Number(segment.seq?),
        record: Number(verdict.in_log(segment.start)),
        at_ns: Number(claimed.wall_ns),
        label: clip(&claimed.label),
        digest: claimed.digest.to_string(),
        generation: claimed.generation,
        proven: segment.start < covered(verdict),
    })
}

/// The gravest first.
pub(super) fn findings(verdict: &Verdict) -> Rows<Finding> {
    let mut kept: Vec<&finding::Finding> = verdict.findings.kept().iter().collect();
    // those that are alike stay in the order of the list
    kept.sort_by_key(|one| (std::cmp::Reverse(one.gravity()), one.uncovered));
    let more: u64 = verdict.findings.more().map(|(_, more)| more).sum();
    let left = kept.len().saturating_sub(MAX_ROWS) as u64;
    let shown = kept.into_iter().take(MAX_ROWS).map(|one| Finding {
        kind: one.kind,
        gravity: gravity(one.gravity()),
        uncovered: one.uncovered,
        source: clip(&one.source),
        record: one.in_log.or(one.at.map(|at| at.record)).map(Number),
        segment: one.segment.map(Number),
        text: clip(&one.text),
    });
    Rows {
        shown: shown.collect(),
        more: Number(more + left),
    }
}

fn gravity(gravity: Gravity) -> &'static str {
    match gravity {
        Gravity::Note => "note",
        Gravity::Unanchored => "unanchored",
        Gravity::Missing => "missing",
        Gravity::Stale => "stale",
        Gravity::Tampered => "tampered",
    }
}
