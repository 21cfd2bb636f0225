// SPDX-License-Identifier: GPL-2.0

//! After which record the PCRs held what somebody says whom the verifier trusts.
//!
//! Each value is looked for after each record of its PCR, while the list is replayed: what is found
//! holds for the records up to there, and nothing that follows has any influence on it.

use super::{
    policy::{Policy, Told},
    Error,
};
use crate::{
    bank::{Bank, Digest},
    quote::{Pcr, PcrDigest, Quote, Slot},
    replay::{Hash, Origin, Register, Replay, Run, Start, LAST_PCR},
};

/// Where a value was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    /// Records of the list up to there.
    pub(crate) record: u64,
    /// What the replay had started from, and before which record.
    pub(crate) origin: Origin,
    pub(crate) since: u64,
    /// Records that were extended into the PCR.
    pub(crate) records: u64,
}

/// A value that is looked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) register: Register,
    pub(crate) value: Digest,
    hash: Hash,
    /// Where the bank is in the replay.
    bank: usize,
    pub(crate) reached: Option<Reached>,
}

impl Wanted {
    /// Its value was reached: for the first time, or from a start that counts more than the one before.
    /// Is it one of these?
    fn reach(&mut self, run: &Run, record: u64, records: u64) -> bool {
        let better = self
            .reached
            .is_none_or(|one| run.origin.weight() > one.origin.weight());
        if better {
            self.reached = Some(reached(run, record, records));
        }
        better
    }
}

/// What the PCRs held at the end of what is proven.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// Records of the list up to there.
    pub(crate) record: u64,
    pub(crate) held: Vec<Held>,
}

/// What a PCR in a bank held then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) register: Register,
    pub(crate) value: Digest,
    /// Records that were extended into it.
    pub(crate) records: u64,
}

/// A quote that is looked for.
#[derive(Debug)]
pub(crate) struct QuoteSearch {
    digest: PcrDigest,
    /// The quoted registers that can be replayed, their place in the digest and in the replay.
    slots: Vec<(Register, Slot, usize)>,
    /// What each quoted register held if the list does not use it, and whether anybody said so.
    pub(crate) outside: Vec<(Register, Digest, bool)>,
    /// Where the list reaches it: for each register that the list uses, or says something of.
    pub(crate) reached: Option<Vec<(Register, Reached)>>,
}

/// Looks for what the PCRs held.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) wanted: Vec<Wanted>,
    /// Indices of those of a PCR.
    // INVARIANT: one for each PCR up to `LAST_PCR`.
    of_pcr: Vec<Vec<usize>>,
    pub(crate) quote: Option<QuoteSearch>,
    /// Where the furthest value of the default PCR was reached, in a bank that counts.
    pub(crate) snapshot: Option<Snapshot>,
    default_pcr: u32,
    /// The banks that count.
    counting: Vec<Bank>,
}

impl Search {
    /// Prepares the search in the banks of a replay.
    ///
    /// # Errors
    ///
    /// A quote selects a bank that cannot be computed here.
    pub(crate) fn new(policy: &Policy, banks: &[Bank]) -> Result<Self, Error> {
        let anchor = &policy.anchor;
        let alone = matches!(anchor.told, Told::Values);
        let mut new = Self {
            wanted: Vec::new(),
            of_pcr: vec![Vec::new(); LAST_PCR as usize + 1],
            quote: None,
            snapshot: None,
            default_pcr: policy.default_pcr,
            counting: {
                let banks = banks.iter().copied();
                banks.filter(|bank| policy.counts(*bank)).collect()
            },
        };
        for (register, value) in &anchor.values {
            let bank = banks.iter().position(|bank| *bank == register.bank);
            let Some(bank) = bank.filter(|_| alone || anchor.demanded.contains(register)) else {
                continue;
            };
            if let Some(of_pcr) = new.of_pcr.get_mut(register.pcr as usize) {
                of_pcr.push(new.wanted.len());
            }
            new.wanted.push(Wanted {
                register: *register,
                value: *value,
                hash: Hash::new(register.bank, value),
                bank,
                reached: None,
            });
        }
        if let Told::Quote(quote) = &anchor.told {
            new.quote = Some(QuoteSearch::new(quote, policy, banks)?);
        }
        Ok(new)
    }

    fn counts(&self, register: Register) -> bool {
        register.pcr == self.default_pcr && self.counting.contains(&register.bank)
    }

    /// Before the first record: a monitor's round may bring nothing new. Only what the verifier knows
    /// can be reached without a record; zeros are no value that proves anything.
    pub(crate) fn begin(&mut self, start: impl Fn(Register) -> Start) {
        let given = |register| {
            let start = start(register);
            (start.origin == Origin::Given).then_some(start.value)
        };
        let none = |origin| Reached {
            record: 0,
            origin,
            since: 0,
            records: 0,
        };
        let mut proven = Vec::new();
        for wanted in &mut self.wanted {
            if given(wanted.register) == Some(wanted.value) {
                wanted.reached = Some(none(Origin::Given));
                proven.push((wanted.register, wanted.value));
            }
        }
        if let Some(quote) = &mut self.quote {
            quote.begin(&start);
            let known = quote.slots.iter();
            let mut known = known.filter_map(|(register, ..)| Some((*register, given(*register)?)));
            let based = known.any(|(register, _)| register.pcr == self.default_pcr);
            if based && quote.digest.matches() {
                let slots = quote.slots.iter();
                let values: Vec<_> = slots
                    .filter_map(|(register, ..)| Some((*register, given(*register)?)))
                    .collect();
                let at = values.iter().map(|(at, _)| (*at, none(Origin::Given)));
                quote.reached = Some(at.collect());
                proven.extend(values);
            }
        }
        if proven.iter().any(|(register, _)| self.counts(*register)) {
            self.snapshot = Some(Snapshot {
                record: 0,
                held: proven
                    .into_iter()
                    .map(|(register, value)| Held {
                        register,
                        value,
                        records: 0,
                    })
                    .collect(),
            });
        }
    }

    /// A checkpoint may have moved the replay, before `record`: a PCR that no record uses from there
    /// on may hold what it says.
    pub(crate) fn restarted(&mut self, record: u64, replay: &Replay) {
        for wanted in &mut self.wanted {
            let run = replay
                .get(wanted.register)
                .filter(|run| run.since == record);
            let Some(run) = run.filter(|run| run.value == wanted.hash) else {
                continue;
            };
            let records = replay.pcr(wanted.register.pcr).map_or(0, |pcr| pcr.records);
            wanted.reach(run, record, records);
        }
        if let Some(quote) = &mut self.quote {
            quote.restarted(record, replay);
        }
    }

    /// After a record: `record` are now in the list. Tells whether the default PCR proves them.
    #[inline]
    pub(crate) fn after(&mut self, pcr: u32, record: u64, replay: &Replay) -> bool {
        let Some(of_pcr) = self.of_pcr.get(pcr as usize) else {
            return false;
        };
        let mut anchored = false;
        if !of_pcr.is_empty() {
            let Some(replayed) = replay.pcr(pcr) else {
                return false;
            };
            for wanted in of_pcr {
                let Some(wanted) = self.wanted.get_mut(*wanted) else {
                    continue;
                };
                let bank = wanted.bank;
                let unmoved = replayed.unmoved.iter().filter(|(at, _)| *at == bank);
                let runs = replayed.runs.get(bank).into_iter();
                for run in runs.chain(unmoved.map(|(_, run)| run)) {
                    if run.value == wanted.hash && wanted.reach(run, record, replayed.records) {
                        anchored |= wanted.register.pcr == self.default_pcr
                            && self.counting.contains(&wanted.register.bank);
                    }
                }
            }
        }
        if let Some(quote) = &mut self.quote {
            if quote.after(pcr, record, replay) {
                let quoted = quote.slots.iter().map(|(register, ..)| *register);
                anchored |= quoted.into_iter().any(|register| {
                    register.pcr == self.default_pcr && self.counting.contains(&register.bank)
                });
            }
        }
        if anchored {
            let held = replay.registers().map(|(register, start)| Held {
                register,
                value: start.value,
                records: replay.pcr(register.pcr).map_or(0, |pcr| pcr.records),
            });
            self.snapshot = Some(Snapshot {
                record,
                held: held.collect(),
            });
        }
        anchored
    }
}

fn reached(run: &Run, record: u64, records: u64) -> Reached {
    Reached {
        record,
        origin: run.origin,
        since: run.since,
        records,
    }
}

impl QuoteSearch {
    fn new(quote: &Quote, policy: &Policy, banks: &[Bank]) -> Result<Self, Error> {
        let foreign: Vec<Pcr> = quote
            .pcrs()
            .filter(|pcr| pcr.bank.bank().is_none())
            .collect();
        if !foreign.is_empty() {
            return Err(Error::ForeignBanks(foreign));
        }
        let quoted = quote.pcrs().filter_map(|pcr| {
            let bank = pcr.bank.bank()?;
            let pcr = pcr.number;
            Some(Register { pcr, bank })
        });
        let outside: Vec<_> = quoted
            .map(|register| {
                let given = policy.anchor.values.get(&register);
                let given = given.or(policy.base.get(&register));
                let given = given.or(policy.firmware.get(&register));
                let value = given.copied().unwrap_or(register.bank.zeros());
                (register, value, given.is_some())
            })
            .collect();
        let value = |bank, pcr| {
            let mut all = outside.iter();
            let found = all.find(|(at, ..)| *at == Register { pcr, bank });
            found.map(|(_, value, _)| *value)
        };
        let digest = quote.search(value).map_err(Error::ForeignBanks)?;
        let slots = outside.iter().filter_map(|(register, ..)| {
            let slot = digest.slot(register.bank, register.pcr)?;
            let bank = banks.iter().position(|bank| *bank == register.bank)?;
            Some((*register, slot, bank))
        });
        Ok(Self {
            slots: slots.collect(),
            digest,
            outside,
            reached: None,
        })
    }

    /// Takes what the verifier knows of the PCRs before the first record.
    fn begin(&mut self, start: impl Fn(Register) -> Start) {
        for (register, slot, _) in &self.slots {
            let start = start(*register);
            if start.origin == Origin::Given {
                self.digest.set_slot(*slot, start.value.as_bytes());
            }
        }
    }

    fn restarted(&mut self, record: u64, replay: &Replay) {
        for (register, slot, _) in &self.slots {
            if let Some(run) = replay.get(*register).filter(|run| run.since == record) {
                self.digest.set_slot(*slot, run.value.digest().as_bytes());
            }
        }
    }

    /// Is it reached now?
    #[inline]
    fn after(&mut self, pcr: u32, record: u64, replay: &Replay) -> bool {
        if self.reached.is_some() {
            return false;
        }
        let mut changed = false;
        for (register, slot, bank) in &self.slots {
            if register.pcr == pcr {
                let run = replay.pcr(pcr).and_then(|pcr| pcr.runs.get(*bank));
                if let Some(run) = run {
                    self.digest.set_slot(*slot, run.value.digest().as_bytes());
                    changed = true;
                }
            }
        }
        if !changed || !self.digest.matches() {
            return false;
        }
        let used = self.slots.iter().filter_map(|(register, _, bank)| {
            let pcr = replay.pcr(register.pcr)?;
            Some((
                *register,
                reached(pcr.runs.get(*bank)?, record, pcr.records),
            ))
        });
        self.reached = Some(used.collect());
        true
    }
}
