// SPDX-License-Identifier: GPL-2.0

//! What is proven, and by whom.

use super::{clip, Number, Rows, MAX_ROWS};
use crate::{
    bank::Bank,
    quote::{Hex, Quote},
    report::{json, text},
    verify::{
        log_quotes::LogQuote,
        verdict::{PcrVerdict, Standing, Verdict},
    },
};
use serde::Serialize;
use std::collections::BTreeSet;

/// What is proven of a PCR in a bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pcr {
    /// The PCR.
    pub pcr: u32,
    /// The bank.
    pub bank: Bank,
    /// What can be said of it.
    pub standing: Standing,
    /// What its replay started from, in a word.
    pub start: &'static str,
    /// The same for a person.
    pub started: String,
    /// Index of the first record that is proven since cold boot, and of the last one.
    pub proven: Option<(Number, Number)>,
    /// How many of these records were extended into it.
    pub records: Number,
    /// How many came later: anybody may have written them.
    pub later: Number,
}

impl Pcr {
    pub(super) fn new(one: &PcrVerdict, verdict: &Verdict) -> Self {
        let proven = one.proven.filter(|(first, end)| first < end);
        Self {
            pcr: one.register.pcr,
            bank: one.register.bank,
            standing: one.standing,
            start: json::start(one.origin).0,
            started: text::origin(one.origin),
            proven: proven.map(|(first, end)| {
                let last = verdict.in_log(end - 1);
                (Number(verdict.in_log(first)), Number(last))
            }),
            records: Number(one.records),
            later: Number(one.later),
        }
    }

    /// What can be said of it, for a person.
    pub fn says(&self) -> &'static str {
        match self.standing {
            Standing::Verified => "proven",
            Standing::Accepted => "proven from what was accepted",
            Standing::Partial => "proven from a start that nobody vouches for",
            Standing::Weak => "fits, but rests on SHA-1",
            Standing::Unanchored => "compared with nothing",
            Standing::Mismatch => "does not match",
        }
    }
}

/// A genuine quote: what a TPM signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signed {
    /// Index of its record since cold boot; nothing if it was given beside the list.
    pub record: Option<Number>,
    /// The checkpoint that it is over.
    pub checkpoint: Option<Number>,
    /// Index of the first and the last record that it proves; nothing if it proves none.
    pub proven: Option<(Number, Number)>,
    /// Is it the one of its key that proves most?
    pub decides: bool,
    /// The TPM Name of the key.
    pub key_name: Option<String>,
    /// Was that compared with what the verifier knows?
    pub key_name_checked: bool,
    /// How it was signed.
    pub scheme: String,
    /// Resets of the TPM: boots of the machine.
    pub reset_count: u32,
    /// Resumes since.
    pub restart_count: u32,
    /// Milliseconds that the TPM was powered.
    pub clock_ms: Number,
    /// Was it asked for with the nonce that was given?
    pub fresh: bool,
    /// What does not follow from it although one may think so.
    pub caveats: Vec<String>,
}

impl Signed {
    fn new(quote: &Quote, caveats: Vec<String>) -> Self {
        let attest = &quote.attest;
        Self {
            record: None,
            checkpoint: None,
            proven: None,
            decides: true,
            key_name: quote.key_name.as_ref().map(ToString::to_string),
            key_name_checked: quote.key_name_checked,
            scheme: quote.scheme.to_string(),
            reset_count: attest.reset_count,
            restart_count: attest.restart_count,
            clock_ms: Number(attest.clock),
            fresh: quote.fresh,
            caveats,
        }
    }

    /// The quote that was given with the list.
    fn given(quote: &Quote, verdict: &Verdict) -> Self {
        // it proves all PCRs that it covers up to the same record
        let proven = verdict.registers.iter().filter(|one| {
            let bank = one.register.bank;
            let mut quoted = quote.pcrs();
            quoted.any(|pcr| pcr.bank.bank() == Some(bank) && pcr.number == one.register.pcr)
        });
        let proven = proven
            .filter_map(|one| one.proven)
            .filter(|(first, end)| first < end);
        let first = proven.clone().map(|(first, _)| first).min();
        let last = proven.map(|(_, end)| end - 1).max();
        let told = |record| Number(verdict.in_log(record));
        Self {
            proven: first
                .zip(last)
                .map(|(first, last)| (told(first), told(last))),
            ..Self::new(quote, quote.caveats())
        }
    }

    /// One in the list.
    fn logged(one: &LogQuote, decides: bool, verdict: &Verdict) -> Self {
        let proven = one.proven.filter(|(first, end)| first < end);
        Self {
            record: Some(Number(verdict.in_log(one.record))),
            checkpoint: Some(Number(one.checkpoint)),
            proven: proven.map(|(first, end)| {
                let last = verdict.in_log(end - 1);
                (Number(verdict.in_log(first)), Number(last))
            }),
            decides,
            ..Self::new(&one.quote, one.quote.caveats_in_log())
        }
    }
}

/// The quotes, those that decide first, then the newest.
pub(super) fn signed(verdict: &Verdict) -> Rows<Signed> {
    let newest = verdict.quotes.newest();
    let decide: BTreeSet<u64> = newest.iter().map(|one| one.record).collect();
    let given = verdict
        .quote
        .iter()
        .map(|quote| Signed::given(quote, verdict));
    let first = newest.iter().map(|one| Signed::logged(one, true, verdict));
    let others = verdict.quotes.shown.iter().rev();
    let others = others.filter(|one| !decide.contains(&one.record));
    let all = verdict.quotes.shown.len() as u64 + verdict.quotes.more;
    let others = others.map(|one| Signed::logged(one, false, verdict));
    let shown: Vec<Signed> = given.chain(first).chain(others).take(MAX_ROWS).collect();
    let all = all + u64::from(verdict.quote.is_some());
    let more = Number(all.saturating_sub(shown.len() as u64));
    Rows { shown, more }
}

/// A key whose quotes are in the list, and that was not given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// The TPM Name that they claim.
    pub key_name: String,
    /// How many quotes.
    pub quotes: Number,
}

pub(super) fn unknown(verdict: &Verdict) -> Vec<Unknown> {
    let unknown = verdict.quotes.unknown.iter();
    let unknown = unknown.map(|(name, count)| Unknown {
        key_name: clip(&Hex(name.clone()).to_string()),
        quotes: Number(*count),
    });
    unknown.collect()
}

/// A start of the proof that somebody vouches for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endorsement {
    /// The checkpoint.
    pub checkpoint: Number,
    /// Who vouches for it, and since when.
    pub by: String,
    /// The identifier of the endorsement, by which it can be revoked; nothing if the checkpoint was
    /// accepted without one.
    pub id: Option<String>,
}

/// Those that something is proven from.
pub(super) fn endorsements(verdict: &Verdict) -> Vec<Endorsement> {
    let endorsed = verdict.endorsements.iter();
    let endorsed = endorsed.map(|one| Endorsement {
        checkpoint: Number(one.endorsement.checkpoint),
        by: clip(&one.to_string()),
        id: Some(one.id.to_string()),
    });
    let mut all: Vec<Endorsement> = endorsed.take(MAX_ROWS).collect();
    let accepted = verdict.accepted().into_iter().map(Number);
    for checkpoint in accepted.take(MAX_ROWS) {
        if all.iter().all(|one| one.checkpoint != checkpoint) {
            all.push(Endorsement {
                checkpoint,
                by: "whoever made this report, who accepted it".to_owned(),
                id: None,
            });
        }
    }
    all
}
