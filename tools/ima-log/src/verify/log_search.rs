// SPDX-License-Identifier: GPL-2.0

//! Quotes that are in the list itself. Each is a claim until its signature is verified with a key that
//! the verifier has from elsewhere; it is then what a TPM said, whoever put it there. What the PCRs held
//! according to it is looked for among the records between its checkpoint and its own record.
//!
//! What an old quote proves is what the list was then, wherever it is put: the values of PCRs that
//! later records changed are not what it signs. That it is recent, nothing says but the nonce in the
//! label of its checkpoint.

use super::{
    boots::Boots,
    finding::Kind,
    history::{self, Back, History},
    log_quotes::{LogQuote, LogQuotes},
    policy::Policy,
    search::{Held, Reached, Search, Snapshot},
    start, Error,
};
use crate::{
    bank::{Bank, Digest},
    chain::Chain,
    endorsement::Moment,
    list::{claim::Claim, signed::Signed},
    quote::{self, Checked, Pcr, PcrDigest, Quote, Slot},
    replay::{Origin, Place, Register, Replay},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Quotes that are kept for the report, the newest ones.
const SHOWN: usize = 1000;
/// Genuine quotes over one checkpoint that are looked for: one for each key of a host.
const OVER_ONE: usize = 16;
/// Quotes that may name a known key without being signed by it, before no more are verified.
const REFUSED: u64 = 256;
/// Names of unknown keys that are kept.
const UNKNOWN: usize = 16;

/// Where the PCRs held what was signed.
enum Found {
    /// After so many records: what it proves of which register, and what all held.
    At(u64, Vec<(Register, Reached)>, Vec<Held>),
    /// Nobody can tell, because of this.
    Unknown(Kind, String),
    /// Nowhere.
    Nowhere,
}

/// Looks at the quotes of a list as it is replayed.
#[derive(Debug)]
pub(crate) struct LogSearch<'p> {
    policy: &'p Policy,
    banks: Vec<Bank>,
    /// None if no key is known.
    history: Option<History>,
    /// Genuine quotes over the newest checkpoint that were looked for.
    looked: BTreeSet<Digest>,
    refused: u64,
    pub(crate) boots: Boots,
    /// The furthest place that a quote proves, for each register.
    pub(crate) reached: BTreeMap<Register, Reached>,
    /// Is a quote that proves something over a checkpoint with the verifier's nonce?
    pub(crate) is_fresh: bool,
    shown: VecDeque<LogQuote>,
    found: LogQuotes,
}

impl<'p> LogSearch<'p> {
    /// Prepares the search in the banks of a replay.
    pub(crate) fn new(policy: &'p Policy, banks: &[Bank]) -> Self {
        Self {
            policy,
            banks: banks.to_vec(),
            history: (!policy.keys.is_empty()).then(|| History::new(banks)),
            looked: BTreeSet::new(),
            refused: 0,
            boots: Boots::default(),
            reached: BTreeMap::new(),
            is_fresh: false,
            shown: VecDeque::new(),
            found: LogQuotes::default(),
        }
    }

    /// All that was found, for the report.
    pub(crate) fn take(&mut self) -> LogQuotes {
        self.found.shown = std::mem::take(&mut self.shown).into();
        std::mem::take(&mut self.found)
    }

    /// A checkpoint comes next. If it is endorsed, quotes over it and later ones are of the boot in
    /// which it was.
    pub(crate) fn checkpoint(&mut self, claim: &Claim) {
        for one in self.policy.endorsements.of(claim) {
            if let Some(moment) = &one.endorsement.quote {
                // that two are of different boots is told elsewhere
                let _ = self.boots.check(claim.header.sequence, moment);
            }
        }
        self.looked.clear();
        if let Some(history) = &mut self.history {
            history.restart();
        }
    }

    /// After a record.
    #[inline]
    pub(crate) fn record(&mut self, pcr: u32, replay: &Replay) {
        if let Some(history) = &mut self.history {
            history.record(pcr, replay);
        }
    }

    /// The record of a quote comes next.
    ///
    /// # Errors
    ///
    /// [`Error::BanksNeeded`] if it is over banks that are not replayed.
    pub(crate) fn quote(
        &mut self,
        at: Place,
        signed: &Signed,
        replay: &Replay,
        chain: &mut Chain<'_>,
        search: &mut Search,
    ) -> Result<(), Error> {
        if let Some(text) = is_over_another(signed, chain.head.as_deref()) {
            chain.note(Kind::Claim, at, text);
            return Ok(());
        }
        if self.history.is_none() {
            self.unknown(&signed.name);
            return Ok(());
        }
        let seq = signed.sequence;
        let id = Bank::Sha256.hash(&[&signed.name, &signed.message, &signed.signature]);
        if self.looked.contains(&id) {
            return Ok(());
        }
        if self.looked.len() == OVER_ONE || self.refused == REFUSED {
            let text =
                format!("the quote over checkpoint {seq} was not verified: there are too many");
            chain.note(Kind::QuoteUnused, at, text);
            return Ok(());
        }
        let Signed {
            name,
            message,
            signature,
            ..
        } = signed;
        let keys = &self.policy.keys;
        match keys.check(name, message, signature, self.policy.allow_weak_bank) {
            Checked::Unknown => self.unknown(name),
            Checked::Refused(error) => {
                self.refused += 1;
                let kind = match error {
                    quote::Error::Weak { .. } => Kind::QuoteUnused,
                    _ => Kind::QuoteRecord,
                };
                let text = format!("the quote over checkpoint {seq} proves nothing: {error}");
                chain.note(kind, at, text);
            }
            Checked::Genuine(quote) => {
                self.looked.insert(id);
                self.genuine(at, signed, quote, replay, chain, search)?;
            }
        }
        Ok(())
    }

    fn unknown(&mut self, name: &[u8]) {
        let unknown = &mut self.found.unknown;
        let is_full = unknown.len() == UNKNOWN;
        match unknown.get_mut(name) {
            Some(count) => *count += 1,
            None if is_full => self.found.others += 1,
            None => {
                unknown.insert(name.to_vec(), 1);
            }
        }
    }

    fn genuine(
        &mut self,
        at: Place,
        signed: &Signed,
        mut quote: Quote,
        replay: &Replay,
        chain: &mut Chain<'_>,
        search: &mut Search,
    ) -> Result<(), Error> {
        let seq = signed.sequence;
        let selected = quote.pcrs().filter_map(|pcr| pcr.bank.bank());
        let needed: BTreeSet<Bank> = selected.filter(|bank| !self.banks.contains(bank)).collect();
        if !needed.is_empty() {
            return Err(Error::BanksNeeded(needed));
        }
        if let Some(wrong) = self.boots.check(seq, &Moment::from(&quote)) {
            let text = format!(
                "the quote over checkpoint {seq} is from another boot than those before it by the same \
                 key, while a log is of one: {wrong}. One of them belongs to a history that was made up"
            );
            chain.note(Kind::QuoteBoot, at, text);
        }
        let label = chain.head.as_deref().map(|head| head.label.as_str());
        let nonce = self.policy.nonce.as_ref().map(ToString::to_string);
        quote.fresh = nonce.is_some() && nonce.as_deref() == label;
        let proven = match self.find(&quote, at.record, replay, chain) {
            Found::At(record, reached, held) => self.reach(&quote, record, reached, held, search),
            Found::Unknown(kind, why) => {
                let text = format!("the quote over checkpoint {seq} is genuine, but {why}");
                chain.note(kind, at, text);
                None
            }
            Found::Nowhere => {
                self.missed(at, seq, &quote, chain);
                None
            }
        };
        if proven.is_some() {
            self.found.marks.add(at.record);
        }
        if self.shown.len() == SHOWN {
            self.shown.pop_front();
            self.found.more += 1;
        }
        self.shown.push_back(LogQuote {
            record: at.record,
            checkpoint: seq,
            digest: Digest::new(&signed.digest),
            quote,
            proven,
        });
        Ok(())
    }

    /// What the quote proves, if that is more than another one does.
    fn reach(
        &mut self,
        quote: &Quote,
        record: u64,
        reached: Vec<(Register, Reached)>,
        held: Vec<Held>,
        search: &mut Search,
    ) -> Option<(u64, u64)> {
        let counts = |register: &Register| {
            register.pcr == self.policy.default_pcr && self.policy.counts(register.bank)
        };
        let anchoring = reached.iter().filter(|(register, _)| counts(register));
        let best = anchoring.clone().map(|(_, reached)| reached);
        if let Some(best) = best.max_by_key(|reached| reached.origin.weight()) {
            let stretches = &mut self.found.stretches;
            stretches.add(best.since, record, best.origin);
        }
        let since = anchoring.map(|(_, reached)| reached.since).min();
        let anchors = since.is_some();
        self.is_fresh |= anchors && quote.fresh;
        let before = search.snapshot.as_ref().map(|before| before.record);
        if anchors && before.is_none_or(|before| before < record) {
            search.snapshot = Some(Snapshot { record, held });
        }
        for (register, new) in reached {
            let best = self.reached.entry(register).or_insert(new);
            let worth = |one: &Reached| (one.record, one.origin.weight());
            if worth(&new) > worth(best) {
                *best = new;
            }
        }
        since.map(|since| (since, record))
    }

    /// The TPM signed what the list does not explain. Whether a record is covered does not matter: it
    /// is not the list that says so.
    fn missed(&self, at: Place, seq: u64, quote: &Quote, chain: &mut Chain<'_>) {
        let names: Vec<String> = quote.pcrs().map(|pcr| pcr.to_string()).collect();
        let names = names.join(", ");
        let segment = chain.segment();
        if let Some(segment) = segment.filter(|one| self.policy.breaks.contains_key(one)) {
            let text = format!(
                "the quote over checkpoint {seq} was not used: it is in the broken segment {segment}, \
                 which was accepted"
            );
            return chain.note(Kind::QuoteUnused, at, text);
        }
        let text = format!(
            "a TPM signed that {names} held something after checkpoint {seq} that the list replays to \
             nowhere up to here: records are missing, added or changed, or something else extended a \
             PCR"
        );
        chain.note(Kind::QuoteMismatch, at, text);
    }

    /// Looks for what was signed, from this record back to the checkpoint.
    fn find(&self, quote: &Quote, end: u64, replay: &Replay, chain: &Chain<'_>) -> Found {
        let Some(history) = &self.history else {
            return Found::Nowhere;
        };
        let bank = |bank: Bank| self.banks.iter().position(|one| *one == bank);
        let mut back = history.back();
        let held = |back: &Back<'_>, register: Register| {
            let value = bank(register.bank).and_then(|bank| back.value(register.pcr, bank));
            value.map_or_else(|| self.outside(register).0, Digest::new)
        };
        let digest = quote.search(|bank, pcr| Some(held(&back, Register { pcr, bank })));
        let mut digest = match digest {
            Ok(digest) => digest,
            Err(foreign) => {
                let names: Vec<String> = foreign.iter().map(Pcr::to_string).collect();
                let names = names.join(", ");
                let why = format!("it covers {names}, whose hash this program does not know");
                return Found::Unknown(Kind::QuoteUnused, why);
            }
        };
        let slots = self.slots(quote, &digest);
        let is_quoted = |pcr: u32| slots.iter().any(|(register, _)| register.pcr == pcr);
        loop {
            if digest.matches() {
                // records of other PCRs do not change what was signed
                while back.next().is_some_and(|step| !is_quoted(step.pcr)) {
                    back.step();
                }
                let record = end.saturating_sub(back.steps);
                let reached = self.reached_at(record, &back, &slots, replay);
                return Found::At(record, reached, self.all_at(&back, replay));
            }
            // to the next place at which a quoted PCR held something else
            let changed = loop {
                match back.step() {
                    Some(pcr) if is_quoted(pcr) => break pcr,
                    Some(_) => (),
                    None => return self.unknown_why(&back, &slots, history, replay, chain),
                }
            };
            for (register, slot) in slots.iter().filter(|(at, _)| at.pcr == changed) {
                digest.set_slot(*slot, held(&back, *register).as_bytes());
            }
        }
    }

    fn slots(&self, quote: &Quote, digest: &PcrDigest) -> Vec<(Register, Slot)> {
        let registers: BTreeSet<Register> = quote
            .pcrs()
            .filter_map(|pcr| {
                Some(Register {
                    pcr: pcr.number,
                    bank: pcr.bank.bank()?,
                })
            })
            .collect();
        let slots = registers.into_iter();
        let slots = slots.filter_map(|at| Some((at, digest.slot(at.bank, at.pcr)?)));
        slots.collect()
    }

    /// What a PCR held that the list does not use, and whether anybody said so.
    fn outside(&self, register: Register) -> (Digest, bool) {
        let policy = self.policy;
        let given = policy.base.get(&register);
        let given = given.or(policy.firmware.get(&register));
        let given = given.or(policy.anchor.values.get(&register));
        match given {
            Some(value) => (*value, true),
            None => (register.bank.zeros(), false),
        }
    }

    /// What is proven of each quoted register.
    fn reached_at(
        &self,
        record: u64,
        back: &Back<'_>,
        slots: &[(Register, Slot)],
        replay: &Replay,
    ) -> Vec<(Register, Reached)> {
        let reached = slots.iter().filter_map(|(register, _)| {
            let held = back.held(register.pcr);
            let run = held.and_then(|held| Some((held, replay.get(*register)?)));
            let reached = match run {
                Some((held, run)) => Reached {
                    record,
                    origin: run.origin,
                    since: run.since,
                    records: held.records,
                },
                // not changed since the verifier's base
                None => Reached {
                    record,
                    origin: self.policy.base.get(register).map(|_| Origin::Given)?,
                    since: 0,
                    records: 0,
                },
            };
            Some((*register, reached))
        });
        reached.collect()
    }

    /// What all registers held.
    fn all_at(&self, back: &Back<'_>, replay: &Replay) -> Vec<Held> {
        let all = replay.registers().filter_map(|(register, _)| {
            let bank = replay.bank(register.bank)?;
            Some(Held {
                register,
                value: Digest::new(back.value(register.pcr, bank)?),
                records: back.held(register.pcr)?.records,
            })
        });
        all.collect()
    }

    /// Why the values of a quote were found nowhere, if the list may be true all the same.
    fn unknown_why(
        &self,
        back: &Back<'_>,
        slots: &[(Register, Slot)],
        history: &History,
        replay: &Replay,
        chain: &Chain<'_>,
    ) -> Found {
        if back.is_exhausted() {
            let kept = history::KEPT;
            let why = format!("it is more than {kept} records old where it is appended");
            return Found::Unknown(Kind::QuoteUnused, why);
        }
        if chain.head.is_none() && chain.has_base() {
            let why = "its checkpoint is not in this list, so that it may be older than the base";
            return Found::Unknown(Kind::QuoteUnused, why.to_owned());
        }
        let now = history.back();
        for (register, _) in slots {
            let pcr = register.pcr;
            if now.held(pcr).is_none() && pcr != self.policy.default_pcr {
                if !self.outside(*register).1 {
                    let why = format!(
                        "it also covers {register}, which the list does not use before it: give the \
                         value with --pcrs or --pcr, or give --event-log"
                    );
                    return Found::Unknown(Kind::QuoteUnused, why);
                }
                continue;
            }
            if !replay.is_sure(*register) {
                let why = format!(
                    "not all digests of {register} can be checked in ASCII: give the binary list"
                );
                return Found::Unknown(Kind::QuoteUnused, why);
            }
            let run = replay.get(*register).map(|run| run.origin);
            let origin = run.unwrap_or_else(|| chain.start(*register).origin);
            if !start::is_certain(*register, origin, self.policy) {
                let why = format!(
                    "the list does not reach it from what {register} is supposed to have held before \
                     its first record here, which nobody knows: give --base or --event-log"
                );
                let kind = match origin {
                    Origin::Unknown => Kind::Start,
                    _ => Kind::QuoteUnused,
                };
                return Found::Unknown(kind, why);
            }
        }
        Found::Nowhere
    }
}

/// What is wrong if a quote is not over the newest checkpoint. A list that goes on from a base may
/// have the checkpoint no more.
fn is_over_another(signed: &Signed, head: Option<&Claim>) -> Option<String> {
    let head = head?;
    let newest = (head.header.log_id, head.header.sequence, head.digest);
    if (signed.log_id, signed.sequence, signed.digest) == newest {
        return None;
    }
    Some(format!(
        "the quote says that it is over checkpoint {}, but the newest one before it is checkpoint {}, \
         or another of this number",
        signed.sequence, head.header.sequence
    ))
}
