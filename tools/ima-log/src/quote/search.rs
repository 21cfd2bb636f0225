// SPDX-License-Identifier: GPL-2.0

//! The PCR digest of a quote, computed for one set of values after the other.

use super::{Pcr, Quote};
use crate::bank::{Bank, Digest};

/// The values that a quote selects. A copy for each thread searches in parallel.
///
/// A replay changes one PCR with each record and asks each time: [`Self::set_slot`] and
/// [`Self::matches`] allocate nothing and look nothing up.
#[derive(Clone, Debug)]
pub struct PcrDigest {
    hash: Bank,
    wanted: Digest,
    /// All that is hashed, in the order of the selection.
    values: Vec<u8>,
    // INVARIANT: each PCR is in here once.
    places: Vec<Place>,
}

/// Where the value of a PCR is.
#[derive(Clone, Debug)]
struct Place {
    bank: Bank,
    number: u32,
    // INVARIANT: from here on, `values` has as many bytes as a digest of `bank`; at each of `more`
    // too.
    start: usize,
    /// Again, if the quote selects the PCR more than once.
    more: Vec<usize>,
}

/// The place of a PCR in a [`PcrDigest`] and its copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(usize);

impl PcrDigest {
    pub(super) fn new(
        quote: &Quote,
        values: impl Fn(Bank, u32) -> Option<Digest>,
    ) -> Result<Self, Vec<Pcr>> {
        let mut new = Self {
            hash: quote.scheme.hash,
            wanted: quote.attest.pcr_digest,
            values: Vec::new(),
            places: Vec::new(),
        };
        let missing: Vec<Pcr> = quote
            .pcrs()
            .filter(|pcr| new.push(*pcr, &values).is_none())
            .collect();
        if missing.is_empty() {
            Ok(new)
        } else {
            Err(missing)
        }
    }

    fn push(&mut self, pcr: Pcr, values: impl Fn(Bank, u32) -> Option<Digest>) -> Option<()> {
        let (bank, number) = (pcr.bank.bank()?, pcr.number);
        let value = values(bank, number).filter(|value| value.as_bytes().len() == bank.size())?;
        let start = self.values.len();
        self.values.extend_from_slice(value.as_bytes());
        let mut known = self.places.iter_mut();
        match known.find(|place| (place.bank, place.number) == (bank, number)) {
            Some(place) => place.more.push(start),
            None => self.places.push(Place {
                bank,
                number,
                start,
                more: Vec::new(),
            }),
        }
        Some(())
    }

    /// Where a PCR is; nowhere, if it was not quoted. A copy has it at the same place.
    pub fn slot(&self, bank: Bank, number: u32) -> Option<Slot> {
        let is_it = |place: &Place| (place.bank, place.number) == (bank, number);
        self.places.iter().position(is_it).map(Slot)
    }

    /// Changes the value of a PCR. Does nothing if that is not as long as a digest of its bank, or
    /// if the slot is that of another quote and not in this one.
    pub fn set_slot(&mut self, slot: Slot, value: &[u8]) {
        let Some(place) = self.places.get(slot.0) else {
            return;
        };
        if value.len() != place.bank.size() {
            return;
        }
        for start in [place.start].iter().chain(&place.more) {
            let end = start + value.len();
            if let Some(bytes) = self.values.get_mut(*start..end) {
                bytes.copy_from_slice(value);
            }
        }
    }

    /// Changes the value of a PCR. Does nothing if it was not quoted.
    pub fn set(&mut self, bank: Bank, number: u32, value: &Digest) {
        if let Some(slot) = self.slot(bank, number) {
            self.set_slot(slot, value.as_bytes());
        }
    }

    /// Are the values what was quoted?
    pub fn matches(&self) -> bool {
        self.hash.hash(&[&self.values]) == self.wanted
    }
}
