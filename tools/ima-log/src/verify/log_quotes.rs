// SPDX-License-Identifier: GPL-2.0

//! Quotes in the list itself, as the report shows them.

use crate::{
    bank::Digest,
    quote::{KeyName, Quote},
    replay::Origin,
};
use std::{cmp::Reverse, collections::BTreeMap, ops::Range};

/// A genuine quote in the list.
#[derive(Clone, Debug)]
pub struct LogQuote {
    /// Its record, by its place in the list.
    pub record: u64,
    /// The number of the checkpoint that it is over.
    pub checkpoint: u64,
    /// SHA-256 of that checkpoint's buffer.
    pub digest: Digest,
    /// What was signed.
    pub quote: Quote,
    /// The records of the list that it proves of the default PCR in a bank that counts: the first,
    /// and the one after the last.
    pub proven: Option<(u64, u64)>,
}

/// What is known of the quotes in a list.
#[derive(Clone, Debug, Default)]
pub struct LogQuotes {
    /// The newest genuine ones, oldest first.
    pub shown: Vec<LogQuote>,
    /// Genuine ones that came before those.
    pub more: u64,
    /// Where genuine ones are that prove something: of many, every second, fourth and so on.
    pub marks: Marks,
    /// What all of them prove together.
    pub stretches: Stretches,
    /// Quotes by other keys than those that were given, by the TPM Name that they claim.
    pub unknown: BTreeMap<Vec<u8>, u64>,
    /// Quotes by still others.
    pub others: u64,
}

/// Records that follow each other, which quotes prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The first one, by its place in the list.
    pub first: u64,
    /// The one after the last.
    pub end: u64,
    /// What the replay started from.
    pub origin: Origin,
}

/// Stretches, the first ones.
#[derive(Clone, Debug, Default)]
pub struct Stretches(pub Vec<Stretch>);

/// Stretches that are kept: there is one more after each gap.
const STRETCHES: usize = 100;

impl Stretches {
    pub(super) fn add(&mut self, first: u64, end: u64, origin: Origin) {
        let is_full = self.0.len() == STRETCHES;
        let mut known = self.0.iter_mut();
        match known.find(|one| (one.first, one.origin) == (first, origin)) {
            Some(one) => one.end = one.end.max(end),
            None if is_full => (),
            None => self.0.push(Stretch { first, end, origin }),
        }
    }
}

/// Places in the list, spread over it if there are many.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    /// The places, in order.
    pub places: Vec<u64>,
    /// Those that were seen.
    seen: u64,
    /// Of so many one is kept, as a power of two.
    shift: u32,
}

/// Places that are kept.
const MARKS: usize = 1024;

impl Marks {
    pub(super) fn add(&mut self, place: u64) {
        if self.seen & ((1 << self.shift) - 1) == 0 {
            self.places.push(place);
        }
        self.seen += 1;
        // 2^63 quotes are not read in any time
        if self.places.len() > MARKS && self.shift < 63 {
            self.shift += 1;
            let mut number = 0;
            self.places.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
    }
}

impl LogQuote {
    /// Where what it proves ends; 0 if it proves nothing.
    fn end(&self) -> u64 {
        self.proven.map_or(0, |(_, end)| end)
    }
}

impl LogQuotes {
    /// The first quote that proves all of these records: the place of its own.
    pub fn covering(&self, records: &Range<u64>) -> Option<u64> {
        let mut shown = self.shown.iter();
        let covering = shown.find(|one| {
            let proven = one.proven;
            proven.is_some_and(|(first, end)| first <= records.start && end >= records.end)
        });
        covering.map(|one| one.record)
    }

    /// For each key the quote that proves most, the furthest first.
    pub fn newest(&self) -> Vec<&LogQuote> {
        let mut newest: BTreeMap<Option<&[u8]>, &LogQuote> = BTreeMap::new();
        for one in self.shown.iter().filter(|one| one.proven.is_some()) {
            let key = one.quote.key_name.as_ref().map(KeyName::as_bytes);
            let known = newest.entry(key).or_insert(one);
            if one.end() >= known.end() {
                *known = one;
            }
        }
        let mut newest: Vec<_> = newest.into_values().collect();
        newest.sort_by_key(|one| Reverse(one.end()));
        newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_grow() {
        let mut stretches = Stretches::default();
        for (first, end) in [(0, 5), (0, 9), (20, 30), (0, 7)] {
            stretches.add(first, end, Origin::Reset);
        }
        let seen: Vec<_> = stretches.0.iter().map(|one| (one.first, one.end)).collect();
        assert_eq!(seen, [(0, 9), (20, 30)]);
        for first in 0..1000 {
            stretches.add(first, first + 1, Origin::Unknown);
        }
        assert_eq!(stretches.0.len(), STRETCHES);
    }

    #[test]
    fn marks_are_spread() {
        let mut marks = Marks::default();
        for place in 0..100_000 {
            marks.add(place);
        }
        let places = &marks.places;
        assert!(places.len() <= MARKS && places.len() > MARKS / 2 - 1);
        let step = places[1];
        assert!(places
            .iter()
            .zip(0..)
            .all(|(place, at)| *place == at * step));
    }
}
