// SPDX-License-Identifier: GPL-2.0

//! What an auditor is told: the verdicts on all logs of a host as one document.
//!
//! [`Report`] is a pure function of verdicts and of what an archive says of itself. It is written
//! as JSON as it stands (`Documentation/report.rst` specifies it), and as a page by whoever has the
//! means: this library knows neither templates nor pictures, because the monitor and the agents
//! that are built on it need none. Its size is bounded, whatever lists and archives say.

mod log;
mod proof;
mod rows;
mod timeline;
mod words;

pub use self::{
    log::{Judged, Log, Violations},
    proof::{Endorsement, Pcr, Signed, Unknown},
    rows::{Broken, Checkpoint, Finding, Kernel, Missing, Truncation},
    timeline::{Bin, Stretch, Timeline},
    words::{clip, Level},
};

use super::{Code, Number};
use crate::verify::verdict::{Outcome, Verdict};
use serde::Serialize;
use std::collections::BTreeSet;

/// Logs that are told of in full.
const MAX_LOGS: usize = 20;

/// Rows of a table. What is left out is counted.
pub const MAX_ROWS: usize = 20;

/// Rows of a table, and how many more there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rows<T> {
    /// Those that are shown.
    pub shown: Vec<T>,
    /// How many are not.
    pub more: Number,
}

impl<T> Rows<T> {
    /// The first of these, and `more` that are not among them.
    fn first(all: impl IntoIterator<Item = T>, more: u64) -> Self {
        let mut shown: Vec<T> = all.into_iter().collect();
        let left = shown.len().saturating_sub(MAX_ROWS) as u64;
        shown.truncate(MAX_ROWS);
        let more = Number(more.saturating_add(left));
        Self { shown, more }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.more.0.saturating_add(self.shown.len() as u64)
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }
}

/// What an archive says of a log. None of it is proven.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Archived {
    /// The log's identifier: 32 hexadecimal digits.
    pub log_id: String,
    /// Files of segments.
    pub files: Number,
    /// When the first one of them was archived: nanoseconds since 1970-01-01 00:00 UTC.
    pub first_ns: Option<Number>,
    /// The same of the last one.
    pub last_ns: Option<Number>,
    /// Segments that were removed from the archive by its own rules.
    pub removed: Option<Removed>,
    /// Segments that were gone before they were archived, as the archiver noticed.
    pub gaps: Vec<Noticed>,
}

/// Segments that an archiver removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// All those before this one.
    pub before: Number,
    /// When: nanoseconds since 1970-01-01 00:00 UTC.
    pub at_ns: Number,
}

/// Segments that an archiver could not archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Noticed {
    /// The first one.
    pub from: Number,
    /// The last one.
    pub to: Number,
    /// When it noticed: nanoseconds since 1970-01-01 00:00 UTC.
    pub at_ns: Number,
}

/// What became of a log that was to be verified.
#[derive(Debug)]
pub enum Found {
    /// It was.
    Verdict(Box<Verdict>),
    /// What is there is no log that can be read. Says why, and what that is worth.
    Unreadable(Outcome, String),
}

/// A log, as far as it is told of. What is kept of a verdict is small.
#[derive(Debug)]
pub struct Entry {
    outcomes: Vec<Outcome>,
    log: Log,
}

impl Entry {
    /// Keeps what is told of a log.
    pub fn new(found: &Found, archived: Option<Archived>, code: Code) -> Self {
        let outcomes = match found {
            Found::Verdict(verdict) => verdict.outcomes(),
            Found::Unreadable(outcome, _) => vec![*outcome],
        };
        let log = Log::new(found, archived, code);
        Self { outcomes, log }
    }

    /// The gravest outcome.
    pub fn outcome(&self) -> Outcome {
        self.outcomes.first().copied().unwrap_or(Outcome::Tampered)
    }
}

/// Where a report is from.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The host, if an archive names it.
    pub host: Option<String>,
    /// What was verified: an archive, a file. It does a terminal no harm.
    pub source: String,
    /// Nanoseconds since 1970-01-01 00:00 UTC.
    pub made_ns: u64,
    /// The program that made it, and its version.
    pub made_by: String,
}

/// The whole document.
#[derive(Debug, Serialize)]
pub struct Report {
    schema: &'static str,
    /// The exit code.
    pub code: u8,
    /// All that apply, ascending.
    pub codes: Vec<u8>,
    /// The verdict in a word, as in the JSON of a single verdict.
    pub verdict: &'static str,
    /// The same in a word or two for a person.
    pub headline: &'static str,
    /// How it is shown.
    #[serde(skip)]
    pub level: Level,
    /// What the verdict means, in a sentence for a person.
    pub sentence: String,
    /// What to do about it.
    pub advice: &'static str,
    /// The host.
    pub host: Option<String>,
    /// What was verified.
    pub source: String,
    /// When: nanoseconds since 1970-01-01 00:00 UTC.
    pub made_ns: Number,
    /// By which program.
    pub made_by: String,
    /// The logs, in the order that was given.
    pub logs: Vec<Log>,
    /// How many more logs were verified.
    pub more_logs: Number,
}

impl Report {
    /// Makes it, with the exit codes of a program, of logs in the order in which they are to be
    /// told of. Of all of them the gravest outcome decides.
    pub fn new(context: Context, entries: impl IntoIterator<Item = Entry>, code: Code) -> Self {
        let (mut logs, mut outcomes) = (Vec::new(), Vec::new());
        let mut all: BTreeSet<Outcome> = BTreeSet::new();
        let mut more = 0;
        for entry in entries {
            outcomes.push(entry.outcome());
            all.extend(entry.outcomes);
            match logs.len() < MAX_LOGS {
                true => logs.push(entry.log),
                false => more += 1,
            }
        }
        // nothing at all proves nothing
        let outcome = outcomes.iter().max().copied();
        let outcome = outcome.unwrap_or(Outcome::Unanchored);
        let alike = outcomes.iter().filter(|one| **one == outcome).count();
        // what is verified elsewhere says nothing of the whole
        all.retain(|one| outcome <= Outcome::Accepted || *one > Outcome::Accepted);
        let mut codes: Vec<u8> = all.into_iter().map(code).collect();
        codes.sort_unstable();
        codes.dedup();
        let source = clip(&context.source);
        Self {
            schema: "ima-checkpoint/report/1",
            code: code(outcome),
            codes,
            verdict: super::json::word(outcome),
            headline: words::headline(outcome),
            level: Level::of(outcome),
            sentence: words::sentence(outcome, context.host.as_deref(), alike, outcomes.len()),
            advice: words::advice(outcome),
            host: context.host,
            source,
            made_ns: Number(context.made_ns),
            made_by: context.made_by,
            logs,
            more_logs: Number(more),
        }
    }

    /// How many logs were verified.
    pub fn count(&self) -> u64 {
        self.more_logs.0.saturating_add(self.logs.len() as u64)
    }
}
