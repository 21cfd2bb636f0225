// SPDX-License-Identifier: GPL-2.0

//! Quotes in the list itself, as the report shows them.

use crate::{
    bank::Digest,
    quote::{KeyName, Quote},
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
    /// Quotes by other keys than those that were given, by the TPM Name that they claim.
    pub unknown: BTreeMap<Vec<u8>, u64>,
    /// Quotes by still others.
    pub others: u64,
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
