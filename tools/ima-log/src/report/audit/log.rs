// SPDX-License-Identifier: GPL-2.0

//! What is told of one log.

use super::{
    clip, proof, rows, words, Archived, Broken, Checkpoint, Code, Endorsement, Finding, Found,
    Kernel, Level, Missing, Number, Pcr, Rows, Signed, Timeline, Truncation, Unknown,
};
use crate::{
    report::{json, text},
    verify::verdict::{Outcome, Verdict},
};
use serde::Serialize;

/// A log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Log {
    /// Its identifier, as the archive or its checkpoints say.
    pub id: Option<String>,
    /// The exit code for it alone.
    pub code: u8,
    /// The verdict in a word.
    pub verdict: &'static str,
    /// The same in a word or two for a person.
    pub headline: &'static str,
    /// How it is shown.
    #[serde(skip)]
    pub level: Level,
    /// What it comes from.
    pub reason: String,
    /// What the archive says of it.
    pub archived: Option<Archived>,
    /// What was found out; nothing if it cannot be read.
    pub judged: Option<Box<Judged>>,
}

/// What was found out about a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// Its records.
    pub records: Number,
    /// Their bytes, in the sha1 view.
    pub bytes: Number,
    /// Its segments.
    pub segments: Number,
    /// Index of the first record since cold boot, as far as checkpoints tell.
    pub first: Option<Number>,
    /// Records that are only claimed: of IMA's default PCR nothing proves them.
    pub unproven: Number,
    /// When the first and the last checkpoint were made that are here, as they claim: nanoseconds
    /// since 1970-01-01 00:00 UTC.
    pub claimed_ns: Option<(Number, Number)>,
    /// What is proven of each PCR in each bank.
    pub pcrs: Vec<Pcr>,
    /// PCRs that were quoted or given and that the list does not explain, as `PCR 7 in sha256`.
    pub unexplained: Vec<String>,
    /// What TPMs signed.
    pub quotes: Rows<Signed>,
    /// Keys that were not given.
    pub unknown_keys: Vec<Unknown>,
    /// Starts that somebody vouches for.
    pub endorsements: Vec<Endorsement>,
    /// The kernels that kept it.
    pub kernels: Rows<Kernel>,
    /// What is not there.
    pub missing: Rows<Missing>,
    /// What was freed in the kernel.
    pub truncations: Rows<Truncation>,
    /// Segments in which something else extended a PCR.
    pub broken: Rows<Broken>,
    /// Files that could be written to while they were measured.
    pub violations: Violations,
    /// What is wrong, or worth knowing.
    pub findings: Rows<Finding>,
    /// The newest checkpoints.
    pub checkpoints: Rows<Checkpoint>,
    /// From the first record to the last.
    pub timeline: Timeline,
}

/// Violations of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Violations {
    /// Since cold boot, as far as is known.
    pub claimed: Number,
    /// Index of the record since cold boot, and what it names, of those that are here.
    pub rows: Rows<(Number, String)>,
}

impl Log {
    pub(super) fn new(found: &Found, archived: Option<Archived>, code: Code) -> Self {
        let (outcome, reason, judged) = match found {
            Found::Verdict(verdict) => {
                let outcome = verdict.outcome();
                let judged = Judged::new(verdict, archived.as_ref());
                (outcome, text::why(verdict, outcome), Some(judged))
            }
            Found::Unreadable(outcome, why) => (*outcome, clip(why), None),
        };
        let claimed = match found {
            Found::Verdict(verdict) => verdict.log.id.map(|id| id.to_string()),
            Found::Unreadable(..) => None,
        };
        let id = archived.as_ref().map(|archived| archived.log_id.clone());
        Self {
            id: id.or(claimed),
            code: code(outcome),
            verdict: json::word(outcome),
            headline: words::headline(outcome),
            level: Level::of(outcome),
            reason,
            archived,
            judged: judged.map(Box::new),
        }
    }

    /// Is it as it should be?
    pub fn is_verified(&self) -> bool {
        self.verdict == json::word(Outcome::Verified)
    }
}

impl Judged {
    fn new(verdict: &Verdict, archived: Option<&Archived>) -> Self {
        let log = &verdict.log;
        let timeline = Timeline::new(verdict);
        let proven: u64 = timeline.proven.iter().map(|one| one.records.0).sum();
        let told = |record| Number(verdict.in_log(record));
        let spans = log.outline.spans.iter();
        let since = spans.filter_map(|span| span.since_ns).next();
        let until = log.shown.iter().rev();
        let until = until
            .filter_map(|one| Some(one.claimed.as_ref()?.wall_ns))
            .next();
        let violated = log.violated.iter();
        let violated = violated.map(|(record, name)| (told(*record), clip(name)));
        let counted = log.here.saturating_sub(log.violated.len() as u64);
        Self {
            records: Number(verdict.end.record),
            bytes: Number(log.bytes),
            segments: Number(log.segments),
            first: log.first.map(Number),
            unproven: Number(verdict.end.record.saturating_sub(proven)),
            claimed_ns: since
                .zip(until)
                .map(|(since, until)| (Number(since), Number(until))),
            pcrs: {
                let registers = verdict.registers.iter();
                registers.map(|one| Pcr::new(one, verdict)).collect()
            },
            unexplained: {
                let outside = verdict.unexplained.iter();
                outside.map(|one| one.register.to_string()).collect()
            },
            quotes: proof::signed(verdict),
            unknown_keys: proof::unknown(verdict),
            endorsements: proof::endorsements(verdict),
            kernels: rows::kernels(verdict),
            missing: rows::missing(verdict, archived),
            truncations: rows::truncations(verdict),
            broken: rows::broken(verdict),
            violations: Violations {
                claimed: Number(log.violations),
                rows: Rows::first(violated, counted),
            },
            findings: rows::findings(verdict),
            checkpoints: rows::checkpoints(verdict),
            timeline,
        }
    }
}
