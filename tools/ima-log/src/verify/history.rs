// SPDX-License-Identifier: GPL-2.0

//! What the PCRs held after each of the newest records: a quote in the log says what they held some
//! records before its own.
//!
//! For each record is kept what its PCR held before it, in all banks, so that one can go back from
//! what the PCRs hold now. That of all records since a checkpoint would take memory without bounds, so
//! the newest [`KEPT`] are kept. A TPM extends nothing while it quotes, and what it gives is appended
//! at once, so the place is usually a few records back.

use crate::replay::Replay;
use std::collections::BTreeMap;

/// Records whose effect can be taken back. With two banks they take 4 MiB.
pub(super) const KEPT: usize = 1 << 16;

/// What a PCR holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Its values, one bank after the other.
    values: Vec<u8>,
    /// Records that were extended into it.
    pub(super) records: u64,
}

impl Held {
    /// The value in a bank, by the bank's place in the replay.
    pub(super) fn value<'a>(&'a self, sizes: &[usize], bank: usize) -> Option<&'a [u8]> {
        let start: usize = sizes.get(..bank)?.iter().sum();
        self.values.get(start..start + sizes.get(bank)?)
    }
}

/// A record that can be taken back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) pcr: u32,
    /// Was the PCR not there before?
    is_first: bool,
}

/// The newest records, and what they changed.
#[derive(Debug)]
pub(super) struct History {
    /// Bytes of a value in each bank of the replay.
    sizes: Vec<usize>,
    /// Their sum.
    width: usize,
    /// What PCRs hold now.
    now: BTreeMap<u32, Held>,
    // INVARIANT: a ring. Each step has `width` bytes in `before`, at the same place: what its PCR
    // held before.
    steps: Vec<Step>,
    before: Vec<u8>,
    /// Records since it begins.
    records: u64,
    /// Does it begin anew after the next record?
    restarts: bool,
}

impl History {
    pub(super) fn new(banks: &[crate::bank::Bank]) -> Self {
        let sizes: Vec<usize> = banks.iter().map(|bank| bank.size()).collect();
        Self {
            width: sizes.iter().sum(),
            sizes,
            now: BTreeMap::new(),
            steps: Vec::new(),
            before: Vec::new(),
            records: 0,
            restarts: false,
        }
    }

    /// Begins anew after the record that comes next: it is a checkpoint, after which the PCRs may
    /// hold something else than before, and which a quote cannot be older than.
    pub(super) fn restart(&mut self) {
        self.restarts = true;
    }

    /// After a record that was extended into this PCR.
    pub(super) fn record(&mut self, pcr: u32, replay: &Replay) {
        if std::mem::take(&mut self.restarts) {
            self.begin(replay);
            return;
        }
        let Some(held) = replay.pcr(pcr) else {
            return;
        };
        let place = usize::try_from(self.records % KEPT as u64).unwrap_or(0);
        let is_first = !self.now.contains_key(&pcr);
        let now = self.now.entry(pcr).or_insert_with(|| Held {
            values: vec![0; self.width],
            records: 0,
        });
        let step = Step { pcr, is_first };
        let at = place * self.width;
        match self.steps.get_mut(place) {
            Some(old) => {
                *old = step;
                if let Some(before) = self.before.get_mut(at..at + self.width) {
                    before.copy_from_slice(&now.values);
                }
            }
            None => {
                self.steps.push(step);
                self.before.extend_from_slice(&now.values);
            }
        }
        write(&mut now.values, held);
        now.records = held.records;
        self.records += 1;
    }

    fn begin(&mut self, replay: &Replay) {
        self.steps.clear();
        self.before.clear();
        self.records = 0;
        let held = replay.pcrs().iter().map(|pcr| {
            let mut values = vec![0; self.width];
            write(&mut values, pcr);
            let records = pcr.records;
            (pcr.index, Held { values, records })
        });
        self.now = held.collect();
    }

    /// Goes back from here.
    pub(super) fn back(&self) -> Back<'_> {
        Back {
            history: self,
            held: self.now.clone(),
            steps: 0,
        }
    }
}

fn write(values: &mut [u8], pcr: &crate::replay::Pcr) {
    let mut rest = values;
    for run in &pcr.runs {
        let value = run.value.digest();
        let Some((to, after)) = rest.split_at_mut_checked(value.as_bytes().len()) else {
            return;
        };
        to.copy_from_slice(value.as_bytes());
        rest = after;
    }
}

/// What the PCRs held some records ago.
#[derive(Debug)]
pub(super) struct Back<'h> {
    history: &'h History,
    held: BTreeMap<u32, Held>,
    /// How many records ago.
    pub(super) steps: u64,
}

impl Back<'_> {
    /// What a PCR held; nothing if no record had been extended into it.
    pub(super) fn held(&self, pcr: u32) -> Option<&Held> {
        self.held.get(&pcr)
    }

    /// The value of a PCR in a bank, by the bank's place in the replay.
    pub(super) fn value(&self, pcr: u32, bank: usize) -> Option<&[u8]> {
        self.held(pcr)?.value(&self.history.sizes, bank)
    }

    /// The record that would be taken back next.
    pub(super) fn next(&self) -> Option<Step> {
        let number = self.history.records.checked_sub(self.steps + 1)?;
        let is_kept = self.steps < KEPT as u64;
        let place = usize::try_from(number % KEPT as u64).ok()?;
        self.history.steps.get(place).copied().filter(|_| is_kept)
    }

    /// Takes back one record. Tells its PCR; nothing if there is no more.
    pub(super) fn step(&mut self) -> Option<u32> {
        let step = self.next()?;
        let number = self.history.records.checked_sub(self.steps + 1)?;
        let at = usize::try_from(number % KEPT as u64).ok()? * self.history.width;
        self.steps += 1;
        if step.is_first {
            self.held.remove(&step.pcr);
            return Some(step.pcr);
        }
        let before = self.history.before.get(at..at + self.history.width)?;
        let held = self.held.get_mut(&step.pcr)?;
        held.values.copy_from_slice(before);
        held.records = held.records.saturating_sub(1);
        Some(step.pcr)
    }

    /// Is something too old to go back to it?
    pub(super) fn is_exhausted(&self) -> bool {
        self.steps == KEPT as u64 && self.history.records > self.steps
    }
}
