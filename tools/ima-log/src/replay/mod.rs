// SPDX-License-Identifier: GPL-2.0

//! What the PCRs hold after each record, in every bank that is asked for.
//!
//! [`run`] reads lists, each byte once, and computes template digests on as many threads as it may.
//! In the order of the list it extends the PCRs, and tells an [`Observer`] of each record. All that
//! is known of a list, whoever asks for it, is found out by such an observer.

mod digests;
mod hash;
mod pipeline;
mod seal;

pub use self::{
    pipeline::{run, Plan, Source},
    seal::Sealed,
};
pub use crate::list::own::LAST_PCR;

use self::digests::Digests;
pub(crate) use self::hash::Hash;
use crate::{
    bank::{Bank, Digest},
    list::{
        batch::{Batch, Item},
        detect::Layout,
        own::Remark,
        records::{Fault, Position},
    },
};
use ima_checkpoint_format::record::Record;
use std::{collections::BTreeMap, fmt, slice};

/// A PCR in a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Register {
    /// The PCR.
    pub pcr: u32,
    /// The bank.
    pub bank: Bank,
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PCR {} in {}", self.pcr, self.bank)
    }
}

/// What PCRs hold.
pub type Values = BTreeMap<Register, Digest>;

/// What the replay of a PCR in a bank starts from. Only the verifier's own knowledge is trusted;
/// what the list says never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Zeros, which the PCR holds after a reset of the TPM, and nothing else resets it.
    Reset,
    /// A base that the verifier gave.
    Given,
    /// What the firmware's event log replays to.
    EventLog,
    /// This checkpoint, at which somebody endorses it whom the verifier believes.
    Endorsed(u64),
    /// This checkpoint, which the verifier knows and accepts by its digest.
    Accepted(u64),
    /// This checkpoint, which nobody vouches for.
    Claimed(u64),
    /// Zeros, for want of anything better: nobody says what the PCR held.
    Unknown,
}

impl Origin {
    /// Does the verifier know of it from elsewhere than from the list, itself or by an endorsement?
    pub fn is_trusted(self) -> bool {
        self.weight() >= Weight::Endorsed
    }

    /// How much it counts.
    pub(crate) fn weight(self) -> Weight {
        match self {
            Self::Reset | Self::Given | Self::EventLog => Weight::Known,
            Self::Endorsed(_) => Weight::Endorsed,
            Self::Accepted(_) => Weight::Accepted,
            Self::Claimed(_) | Self::Unknown => Weight::Said,
        }
    }
}

/// How much an [`Origin`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// Only the list says so.
    Said,
    /// The list says so, and the verifier accepts it.
    Accepted,
    /// Somebody says so whom the verifier believes.
    Endorsed,
    /// The verifier knows it.
    Known,
}

/// Where the replay of a PCR in a bank starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// What it held.
    pub value: Digest,
    /// Who says so.
    pub origin: Origin,
}

/// The replay of a PCR in a bank, since it started last.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) value: Hash,
    pub(crate) origin: Origin,
    /// The record that it starts before, by its place in the list.
    pub(crate) since: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Pcr {
    pub(crate) index: u32,
    pub(crate) records: u64,
    // INVARIANT: one for each bank of the replay, in the same order.
    pub(crate) runs: Vec<Run>,
    /// Of banks whose replay a checkpoint moved away from a start that the verifier knows or accepts:
    /// the place in `runs`, and the replay as if nothing had been claimed.
    // INVARIANT: at most one for each bank and weight of its origin.
    pub(crate) unmoved: Vec<(usize, Run)>,
    /// The first record that was extended into it, if one was.
    pub(crate) first: Option<u64>,
}

/// What the PCRs hold.
#[derive(Clone, Debug)]
pub struct Replay {
    banks: Vec<Bank>,
    pcrs: Vec<Pcr>,
    /// The last record whose digest in a bank is only a guess.
    guessed: BTreeMap<Register, u64>,
}

impl Replay {
    fn new(banks: Vec<Bank>) -> Self {
        Self {
            banks,
            pcrs: Vec::new(),
            guessed: BTreeMap::new(),
        }
    }

    /// The digest of this record in a bank, by its place in the list, is only a guess.
    pub(crate) fn guess(&mut self, register: Register, record: u64) {
        self.guessed.insert(register, record);
    }

    /// Were all digests known that the replay of a PCR rests on? What it reaches is proven all the
    /// same; but not to reach a value proves nothing if one was not.
    pub(crate) fn is_sure(&self, register: Register) -> bool {
        let guessed = self.guessed.get(&register);
        let since = self.get(register).map_or(0, |run| run.since);
        guessed.is_none_or(|guessed| *guessed < since)
    }

    /// The banks that are replayed.
    pub fn banks(&self) -> &[Bank] {
        &self.banks
    }

    /// Where a bank's runs are in [`Pcr::runs`].
    pub(crate) fn bank(&self, bank: Bank) -> Option<usize> {
        self.banks.iter().position(|other| *other == bank)
    }

    pub(crate) fn pcrs(&self) -> &[Pcr] {
        &self.pcrs
    }

    pub(crate) fn pcr(&self, index: u32) -> Option<&Pcr> {
        self.pcrs.iter().find(|pcr| pcr.index == index)
    }

    pub(crate) fn get(&self, register: Register) -> Option<&Run> {
        let at = self.bank(register.bank)?;
        self.pcr(register.pcr)?.runs.get(at)
    }

    /// What a PCR holds now, if it was used, or a start of it is known.
    pub fn value(&self, register: Register) -> Option<Digest> {
        self.get(register).map(|run| run.value.digest())
    }

    /// All that is replayed: what it holds now, and where that replay started.
    pub fn registers(&self) -> impl Iterator<Item = (Register, Start)> + '_ {
        self.pcrs.iter().flat_map(|pcr| {
            let runs = self.banks.iter().zip(&pcr.runs);
            runs.map(|(bank, run)| {
                let register = Register {
                    pcr: pcr.index,
                    bank: *bank,
                };
                let value = run.value.digest();
                let origin = run.origin;
                (register, Start { value, origin })
            })
        })
    }

    /// The PCRs that records were extended into, and how many.
    pub fn used(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let used = self.pcrs.iter().filter(|pcr| pcr.records > 0);
        used.map(|pcr| (pcr.index, pcr.records))
    }

    /// Lets a PCR hold this from before a record on; if it was not used yet, `others` tells what it
    /// holds in other banks. Does nothing if its bank is not replayed.
    ///
    /// What the verifier knows or accepts is not given up for what a list claims: that replay goes on
    /// beside.
    pub fn restart(
        &mut self,
        register: Register,
        start: Start,
        since: u64,
        others: impl Fn(Register) -> Start,
    ) {
        let Some(bank) = self.bank(register.bank) else {
            return;
        };
        let at = self.place(register.pcr, since, others);
        let Some(pcr) = at.and_then(|at| self.pcrs.get_mut(at)) else {
            return;
        };
        let moved = Run {
            value: Hash::new(register.bank, &start.value),
            origin: start.origin,
            since,
        };
        let Some(run) = pcr.runs.get_mut(bank) else {
            return;
        };
        let before = std::mem::replace(run, moved);
        let (old, new) = (before.origin.weight(), start.origin.weight());
        if new > Weight::Said {
            // this one is meant instead
            pcr.unmoved
                .retain(|(at, run)| *at != bank || run.origin.weight() > new);
        }
        let mut unmoved = pcr.unmoved.iter();
        let has_one = unmoved.any(|(at, run)| *at == bank && run.origin.weight() == old);
        if old > new && !has_one {
            pcr.unmoved.push((bank, before));
        }
    }

    /// Where a PCR is in `pcrs`; it starts from `start` if it was not there.
    fn place(&mut self, index: u32, at: u64, start: impl Fn(Register) -> Start) -> Option<usize> {
        if let Some(at) = self.pcrs.iter().position(|pcr| pcr.index == index) {
            return Some(at);
        }
        if index > LAST_PCR {
            return None;
        }
        let run = |bank: &Bank| {
            let start = start(Register {
                pcr: index,
                bank: *bank,
            });
            Run {
                value: Hash::new(*bank, &start.value),
                origin: start.origin,
                since: at,
            }
        };
        self.pcrs.push(Pcr {
            index,
            records: 0,
            runs: self.banks.iter().map(run).collect(),
            unmoved: Vec::new(),
            first: None,
        });
        Some(self.pcrs.len() - 1)
    }

    /// Extends the PCR of a record, of which `at` is the place in the list.
    #[inline]
    fn extend(
        &mut self,
        item: Item,
        at: u64,
        digests: &Digests,
        number: usize,
        start: impl Fn(Register) -> Start,
    ) {
        let place = self.place(item.pcr(), at, start);
        let Some(pcr) = place.and_then(|place| self.pcrs.get_mut(place)) else {
            return;
        };
        pcr.records += 1;
        pcr.first.get_or_insert(at);
        let columns = digests.columns();
        digests::extend(&mut pcr.runs, columns, number);
        for (bank, run) in &mut pcr.unmoved {
            let column = columns.get(*bank..=*bank).unwrap_or_default();
            digests::extend(slice::from_mut(run), column, number);
        }
    }
}

/// Where a record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Records before it in the whole list.
    pub record: u64,
    /// Its place in its source.
    pub inner: Position,
}

/// A record that was extended.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Where it is.
    pub at: Place,
    batch: &'a Batch,
    item: Item,
}

impl<'a> Seen<'a> {
    /// The PCR that it was extended into.
    pub fn pcr(&self) -> u32 {
        self.item.pcr()
    }

    /// Is it a violation?
    pub fn is_violation(&self) -> bool {
        self.item.is_violation()
    }

    /// Its bytes.
    pub fn raw(&self) -> &'a [u8] {
        self.batch.raw(self.item)
    }

    /// How its list is written.
    pub fn layout(&self) -> Layout {
        self.batch.layout()
    }

    /// Bytes of it.
    pub fn length(&self) -> u64 {
        self.item.length()
    }

    /// Its bytes in the sha1 view.
    pub fn sha1_bytes(&self) -> u64 {
        let surplus = self.layout().bank.size() as u64;
        self.item.length() - surplus + Bank::Sha1.size() as u64
    }

    /// The record, parsed once more.
    pub fn record(&self) -> Option<Record<'a>> {
        self.batch.record(self.item)
    }
}

/// Is told of a list as it is replayed, in the order of its records.
pub trait Observer {
    /// What stops the replay.
    type Error;

    /// Records of this source come next, from this place in the list on.
    ///
    /// # Errors
    ///
    /// The replay is to stop.
    fn source(&mut self, _source: &Introduction, _record: u64) -> Result<(), Self::Error> {
        Ok(())
    }

    /// What a PCR holds when its first record is met.
    fn start(&self, register: Register) -> Start {
        Start {
            value: register.bank.zeros(),
            origin: Origin::Unknown,
        }
    }

    /// A record tells something by itself. It is not extended yet; `sealed` is what a checkpoint
    /// seals.
    ///
    /// # Errors
    ///
    /// The replay is to stop.
    fn remark(
        &mut self,
        _at: Place,
        _remark: &Remark,
        _sealed: &Sealed,
        _replay: &mut Replay,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    /// A record was extended.
    ///
    /// # Errors
    ///
    /// The replay is to stop.
    fn record(&mut self, _seen: &Seen<'_>, _replay: &Replay) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Nothing more of a source can be read.
    ///
    /// # Errors
    ///
    /// The replay is to stop.
    fn fault(&mut self, at: Place, fault: Fault) -> Result<(), Self::Error>;
}

/// What is known of a source before its first record.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// What messages call it.
    pub name: String,
    /// The segment that it is, if it is said to be one.
    pub segment: Option<u64>,
    /// How its records are written.
    pub layout: Layout,
}

#[cfg(test)]
mod tests;
