// SPDX-License-Identifier: GPL-2.0

//! The PCR digest of a quote, computed for one set of values after the other.

use super::{
    Pcr,
    Quote, //
};
use crate::bank::{
    Bank,
    Digest, //
};
use std::ops::Range;

/// The values that a quote selects. A copy for each thread searches in parallel.
#[derive(Clone, Debug)]
pub struct PcrDigest {
    hash: Bank,
    wanted: Digest,
    values: Vec<u8>,
    // INVARIANT: each range is within `values`, and as long as a digest of its bank.
    places: Vec<(Bank, u32, Range<usize>)>,
}

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
        let bank = pcr.bank.bank()?;
        let value =
            values(bank, pcr.number).filter(|value| value.as_bytes().len() == bank.size())?;
        let start = self.values.len();
        self.values.extend_from_slice(value.as_bytes());
        self.places
            .push((bank, pcr.number, start..self.values.len()));
        Some(())
    }

    /// Changes the value of a PCR. Does nothing if it was not quoted.
    pub fn set(&mut self, bank: Bank, number: u32, value: &Digest) {
        for (_, _, range) in self
            .places
            .iter()
            .filter(|place| (place.0, place.1) == (bank, number))
        {
            if let Some(place) = self.values.get_mut(range.clone()) {
                if place.len() == value.as_bytes().len() {
                    place.copy_from_slice(value.as_bytes());
                }
            }
        }
    }

    /// Are the values what was quoted?
    pub fn matches(&self) -> bool {
        self.hash.hash(&[&self.values]) == self.wanted
    }
}
