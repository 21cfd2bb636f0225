// SPDX-License-Identifier: GPL-2.0

//! Sets of numbers of segments, which may be large: an archive says what it likes.

use std::collections::BTreeMap;

/// Ranges of numbers. Those that touch are one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    /// The last number of each by its first. They neither overlap nor touch.
    ends: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Adds the numbers `from` to `to`.
    pub(super) fn insert(&mut self, from: u64, to: u64) {
        let (mut first, mut last) = (from, to);
        // each range that is merged is gone after it: all insertions together are quick
        let touching = |ends: &BTreeMap<u64, u64>, last: u64| {
            let before = ends.range(..=last.saturating_add(1)).next_back()?;
            let (start, end) = (*before.0, *before.1);
            (end.saturating_add(1) >= from).then_some((start, end))
        };
        while let Some((start, end)) = touching(&self.ends, last) {
            self.ends.remove(&start);
            first = first.min(start);
            last = last.max(end);
        }
        self.ends.insert(first, last);
    }

    /// Are all the numbers `from` to `to` in it?
    pub(super) fn covers(&self, from: u64, to: u64) -> bool {
        let before = self.ends.range(..=from).next_back();
        before.is_some_and(|(_, end)| *end >= to)
    }

    /// The ranges in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ends.iter().map(|(from, to)| (*from, *to))
    }

    /// How many ranges there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The highest number.
    pub(super) fn last(&self) -> Option<u64> {
        self.ends.last_key_value().map(|(_, to)| *to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn ranges(list: &[(u64, u64)]) -> Ranges {
        let mut ranges = Ranges::default();
        list.iter().for_each(|(from, to)| ranges.insert(*from, *to));
        ranges
    }

    #[test]
    fn up_to_the_largest_number() {
        let all = ranges(&[(0, 5), (7, u64::MAX), (6, 6)]);
        assert_eq!(all, ranges(&[(0, u64::MAX)]));
        assert!(all.covers(0, u64::MAX));
        assert_eq!(all.last(), Some(u64::MAX));
        assert_eq!(ranges(&[]).last(), None);
        assert!(!ranges(&[]).covers(0, 0));
    }

    proptest! {
        #[test]
        fn as_a_set_of_numbers(list: Vec<(u8, u8)>, from: u8, to: u8) {
            let list = list.into_iter().map(|(a, b)| (u64::from(a.min(b)), u64::from(a.max(b))));
            let list: Vec<(u64, u64)> = list.collect();
            let set: BTreeSet<u64> = list.iter().flat_map(|(from, to)| *from..=*to).collect();
            let ranges = ranges(&list);
            let (from, to) = (u64::from(from.min(to)), u64::from(from.max(to)));
            prop_assert_eq!(ranges.covers(from, to), (from..=to).all(|seq| set.contains(&seq)));
            prop_assert_eq!(ranges.last(), set.last().copied());
            let runs = set.iter().filter(|seq| !seq.checked_sub(1).is_some_and(|b| set.contains(&b)));
            prop_assert_eq!(ranges.len(), runs.count());
            let back: BTreeSet<u64> = ranges.iter().flat_map(|(from, to)| from..=to).collect();
            prop_assert_eq!(back, set);
        }
    }
}
