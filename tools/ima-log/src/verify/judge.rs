// SPDX-License-Identifier: GPL-2.0

//! From what was found to a verdict: a pure function of the policy and of what observers saw.

use super::{
    finding::{Finding, Kind},
    log_search::LogSearch,
    policy::{Policy, Told},
    search::{QuoteSearch, Reached, Search},
    verdict::{Log, PcrVerdict, ProvenCheckpoint, Standing, Verdict},
};
use crate::{
    bank::Digest,
    chain::Chain,
    list::records::Position,
    quote,
    replay::{Origin, Register, Replay},
};
use std::collections::{BTreeMap, BTreeSet};

/// What a PCR in a bank was compared with.
enum Compared {
    /// Nothing.
    Not,
    /// The list reaches what it held.
    Reached(Reached),
    /// It does not.
    Missed,
}

pub(super) struct Judge<'a> {
    pub(super) policy: &'a Policy,
    pub(super) chain: Chain<'a>,
    pub(super) search: Search,
    /// What quotes in the list prove.
    pub(super) log: LogSearch<'a>,
    pub(super) replay: Replay,
    pub(super) verdict: Verdict,
    /// What to say of a PCR of which nobody knows what it started from, if no bank proves it.
    pub(super) unknown: BTreeMap<u32, String>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        policy: &'a Policy,
        mut chain: Chain<'a>,
        search: Search,
        mut log: LogSearch<'a>,
        replay: Replay,
        end: Position,
    ) -> Self {
        let verdict = Verdict {
            registers: Vec::new(),
            unexplained: Vec::new(),
            findings: std::mem::take(&mut chain.findings),
            unanchored: BTreeSet::new(),
            accepted: BTreeSet::new(),
            default_pcr: policy.default_pcr,
            covered: search.snapshot.as_ref().map(|at| at.record),
            end,
            log: Log {
                id: chain.log_id(),
                first: chain.first,
                bytes: chain.bytes,
                violations: chain.violations,
                here: chain.here,
                violated: std::mem::take(&mut chain.violated),
                segments: chain.segments,
                shown: std::mem::take(&mut chain.shown).into(),
                outline: std::mem::take(&mut chain.outline),
            },
            quote: match &policy.anchor.told {
                Told::Quote(quote) => Some(quote.clone()),
                _ => None,
            },
            quotes: log.take(),
            checkpoint: None,
            endorsements: Vec::new(),
        };
        Self {
            policy,
            chain,
            search,
            log,
            replay,
            verdict,
            unknown: BTreeMap::new(),
        }
    }

    /// `proven` is the newest checkpoint before the place that the default PCR proves.
    pub(super) fn judge(mut self, proven: Option<ProvenCheckpoint>) -> Verdict {
        if let Told::Refused(error) = &self.policy.anchor.told {
            self.refuse(error);
        }
        self.registers();
        self.endorsements();
        self.checkpoint(proven);
        self.nonce();
        self.outside();
        self.aggregates();
        self.firmware();
        for pcr in self.required() {
            self.pcr(pcr);
        }
        // what nothing covers influences nothing
        if let (Some(claims), Some(records)) = (self.verdict.covered, self.covered()) {
            for finding in self.verdict.findings.kept_mut() {
                let covered = if finding.kind.is_claim() {
                    claims
                } else {
                    records
                };
                let beyond = finding.record.is_some_and(|record| record >= covered);
                finding.uncovered = beyond && !finding.kind.is_signed();
            }
        }
        self.verdict
    }

    pub(super) fn find(&mut self, kind: Kind, text: String) {
        self.verdict.find(Finding::new(kind, text));
    }

    fn refuse(&mut self, error: &quote::Error) {
        let kind = match error {
            quote::Error::Stale { .. } => Kind::StaleQuote,
            quote::Error::Weak { .. } => Kind::WeakQuote,
            _ => Kind::Quote,
        };
        self.find(kind, error.to_string());
    }

    /// Is a quote in the list as recent as the verifier wants?
    fn nonce(&mut self) {
        let Some(nonce) = &self.policy.nonce else {
            return;
        };
        if self.log.is_fresh {
            return;
        }
        let text = format!(
            "no quote in the log that proves something is over a checkpoint with the label '{nonce}': \
             ask for one, made with `ima-checkpoint checkpoint --quote --nonce {nonce}`"
        );
        self.find(Kind::StaleQuote, text);
    }

    pub(super) fn quote(&self) -> Option<&QuoteSearch> {
        self.search.quote.as_ref()
    }

    /// Is anything known of what PCRs held?
    pub(super) fn compares(&self) -> bool {
        let quoted = self.search.quote.is_some() || !self.log.reached.is_empty();
        quoted || !self.search.wanted.is_empty()
    }

    /// The records before this one are covered by what some PCR held, in a bank that counts.
    fn covered(&self) -> Option<u64> {
        let logged = self.log.reached.iter();
        let logged = logged.filter(|(register, _)| self.policy.counts(register.bank));
        let logged = logged.map(|(_, reached)| reached.record).max();
        self.covered_by_given().max(logged)
    }

    /// The same by what was given, without the quotes in the list: these may be from a later time.
    fn covered_by_given(&self) -> Option<u64> {
        let wanted = self.search.wanted.iter();
        let wanted = wanted.filter_map(|wanted| Some((wanted.register, wanted.reached?)));
        let quoted = self.quote().and_then(|quote| quote.reached.as_ref());
        let all = wanted.chain(quoted.into_iter().flatten().copied());
        let counts = all.filter(|(register, _)| self.policy.counts(register.bank));
        counts.map(|(_, reached)| reached.record).max()
    }

    /// The PCRs that have to be proven: IMA's default one, and those that covered records use or
    /// covered checkpoints name.
    fn required(&self) -> BTreeSet<u32> {
        let mut required = BTreeSet::from([self.policy.default_pcr]);
        // without any anchor, all that is here should be
        let covered = self.covered().unwrap_or(u64::MAX);
        let claims = self.verdict.covered.unwrap_or(u64::MAX);
        let used = self.replay.pcrs().iter();
        let used = used.filter(|pcr| pcr.first.is_some_and(|first| first < covered));
        required.extend(used.map(|pcr| pcr.index));
        let named = self.chain.named.iter();
        let named = named.filter(|(_, record)| **record < claims);
        required.extend(named.map(|(pcr, _)| *pcr));
        required
    }

    fn registers(&mut self) {
        let mut registers: BTreeSet<Register> = self
            .replay
            .registers()
            .map(|(register, _)| register)
            .collect();
        registers.extend(self.search.wanted.iter().filter_map(|wanted| {
            let demanded = self.policy.anchor.demanded.contains(&wanted.register)
                || wanted.register.pcr == self.policy.default_pcr;
            (demanded && !wanted.value.is_zero() || wanted.reached.is_some())
                .then_some(wanted.register)
        }));
        let missed = self.quote().filter(|quote| quote.reached.is_none());
        let missed = missed.iter().flat_map(|quote| &quote.outside);
        let missed = missed.map(|(register, ..)| *register);
        registers.extend(missed.filter(|register| register.pcr == self.policy.default_pcr));
        let quoted = self.quote().and_then(|quote| quote.reached.as_ref());
        registers.extend(quoted.into_iter().flatten().map(|(register, _)| *register));
        registers.extend(self.log.reached.keys());
        if let Some(quote) = self.quote() {
            let based = self.policy.base.keys();
            registers.extend(based.filter(|at| self.untouched(quote, **at).is_some()));
        }
        for register in registers {
            let one = self.register(register);
            self.verdict.registers.push(one);
        }
    }

    /// What the replay of a register rests on at the end of the list. What a checkpoint claims that
    /// nothing covers is not among it, unless the list starts with it.
    pub(super) fn origin(&self, register: Register) -> Origin {
        let start = self.chain.start(register).origin;
        let run = self.replay.get(register);
        let run = run.filter(|run| !self.is_unproven(run.origin, run.since) || run.since == 0);
        run.map_or(start, |run| run.origin)
    }

    /// Is this a checkpoint that nothing covers? What it claims may be a lie. And where one belongs that
    /// is endorsed, nobody knows: records may have been left out before it.
    fn is_unproven(&self, origin: Origin, since: u64) -> bool {
        let covered = self.verdict.covered.is_some_and(|end| since < end);
        matches!(origin, Origin::Claimed(_) | Origin::Endorsed(_)) && !covered
    }

    fn register(&mut self, register: Register) -> PcrVerdict {
        let run = self.replay.get(register);
        let start = self.chain.start(register);
        let now = self.origin(register);
        let replayed = run.map_or(start.value, |run| run.value.digest());
        let compared = self.compared(register);
        let expected = self.search.wanted.iter();
        let expected = expected
            .filter(|wanted| wanted.register == register)
            .map(|wanted| wanted.value)
            .next();
        let (standing, reached) = match compared {
            Compared::Not => (Standing::Unanchored, None),
            Compared::Missed => (self.missed(register, now, expected, replayed), None),
            Compared::Reached(reached) => (self.reached(register, reached), Some(reached)),
        };
        let proven = matches!(
            standing,
            Standing::Verified | Standing::Accepted | Standing::Partial
        );
        let proven = reached.filter(|_| proven);
        PcrVerdict {
            register,
            standing,
            origin: reached.map_or(now, |reached| reached.origin),
            proven: proven.map(PcrVerdict::proven_by),
            records: proven.map_or(0, |reached| reached.records),
            later: proven.map_or(0, |reached| {
                let all = self.replay.pcr(register.pcr).map_or(0, |pcr| pcr.records);
                all.saturating_sub(reached.records)
            }),
            replayed,
            expected,
            base: self.base(
                register,
                reached.filter(|_| standing != Standing::Unanchored),
            ),
        }
    }

    /// What a register held where the proof ends, if that is where it was compared: in a weak bank,
    /// too, which may be quoted again.
    fn base(&self, register: Register, reached: Option<Reached>) -> Option<Digest> {
        let snapshot = self.search.snapshot.as_ref()?;
        let reached = reached?;
        let mut wanted = self.search.wanted.iter();
        let wanted = wanted.find(|one| one.register == register && one.reached == Some(reached));
        let mut held = snapshot.held.iter();
        match held.find(|held| held.register == register) {
            // what came between was compared with nothing
            Some(held) => {
                let value = wanted.map_or(held.value, |wanted| wanted.value);
                (held.records == reached.records).then_some(value)
            }
            None if reached.records == 0 => self.policy.base.get(&register).copied(),
            None => None,
        }
    }

    fn compared(&self, register: Register) -> Compared {
        // the default PCR must be explained even by a list that has no record of it
        let uses = |register: Register| {
            self.used_when_given(register.pcr) || register.pcr == self.policy.default_pcr
        };
        let mut result = Compared::Not;
        if let Some(quote) = self.quote() {
            let quoted = quote.outside.iter().any(|(at, ..)| *at == register);
            match &quote.reached {
                None if quoted && uses(register) => return Compared::Missed,
                None => (),
                Some(reached) => {
                    let found = reached.iter().find(|(at, _)| *at == register);
                    if let Some((_, reached)) = found.or(self.untouched(quote, register).as_ref()) {
                        result = Compared::Reached(*reached);
                    }
                }
            }
        }
        let mut wanted = self.search.wanted.iter();
        if let Some(wanted) = wanted.find(|wanted| wanted.register == register) {
            let demanded = self.policy.anchor.demanded.contains(&register);
            // by a checkpoint that anybody may have written
            let reached = wanted.reached;
            let reached = reached.filter(|one| !self.is_unproven(one.origin, one.since));
            match (reached, &result) {
                (Some(reached), Compared::Not) => result = Compared::Reached(reached),
                (Some(_), _) => (),
                // to be zero is to be unused, as far as all is covered
                (None, _) if wanted.value.is_zero() && !self.used_when_given(register.pcr) => (),
                (None, _) if self.policy.firmware.get(&register) == Some(&wanted.value) => (),
                (None, _) if demanded || uses(register) => return Compared::Missed,
                (None, _) => (),
            }
        }
        // the newest of what proves a register counts
        match (self.log.reached.get(&register), &result) {
            (Some(reached), Compared::Reached(other)) if other.record >= reached.record => result,
            (Some(reached), _) => Compared::Reached(*reached),
            (None, _) => result,
        }
    }

    /// Is there a record of the PCR among those that are covered?
    pub(super) fn used_when_covered(&self, pcr: u32) -> bool {
        let covered = self.covered().unwrap_or(u64::MAX);
        let first = self.replay.pcr(pcr).and_then(|pcr| pcr.first);
        first.is_some_and(|first| first < covered)
    }

    /// The same among those that are covered by what was given.
    fn used_when_given(&self, pcr: u32) -> bool {
        let covered = self.covered_by_given().unwrap_or(u64::MAX);
        let first = self.replay.pcr(pcr).and_then(|pcr| pcr.first);
        first.is_some_and(|first| first < covered)
    }

    /// A quoted PCR that has not changed since the verifier's base.
    fn untouched(&self, quote: &QuoteSearch, register: Register) -> Option<(Register, Reached)> {
        let at = quote
            .reached
            .as_ref()?
            .first()
            .map(|(_, reached)| reached.record)?;
        let base = self.policy.base.get(&register)?;
        let held = quote.outside.iter().find(|(at, ..)| *at == register)?.1;
        (held == *base).then_some((
            register,
            Reached {
                record: at,
                origin: Origin::Given,
                since: 0,
                records: 0,
            },
        ))
    }

    fn reached(&self, register: Register, reached: Reached) -> Standing {
        if !self.policy.counts(register.bank) {
            return Standing::Weak;
        }
        match reached.origin {
            // the checkpoint itself must be covered
            origin if self.is_unproven(origin, reached.since) => Standing::Unanchored,
            origin if origin.is_trusted() => Standing::Verified,
            Origin::Accepted(_) => Standing::Accepted,
            _ => Standing::Partial,
        }
    }

    /// Is a PCR proven in a bank that counts?
    fn pcr(&mut self, pcr: u32) {
        let all = self.verdict.registers.iter();
        let all =
            all.filter(|one| one.register.pcr == pcr && self.policy.counts(one.register.bank));
        let standings: Vec<Standing> = all.map(|one| one.standing).collect();
        let has = |standing| standings.contains(&standing);
        if has(Standing::Verified) {
            return;
        }
        if has(Standing::Accepted) {
            self.verdict.accepted.insert(pcr);
        } else if has(Standing::Partial) {
            self.nobody_vouches(pcr);
        } else {
            self.verdict.unanchored.insert(pcr);
            if let Some(text) = self.unknown.remove(&pcr) {
                self.find(Kind::Start, text);
            } else if !self.compares() {
                self.says_where_it_starts(pcr);
            }
        }
    }
}
