// SPDX-License-Identifier: GPL-2.0

//! Segments that are in neither the kernel nor the archive, and of which nothing says why.

use super::{facts::Facts, Step};
use crate::archive::ranges::Ranges;

/// A step for each run of such segments.
pub(super) fn steps(facts: &Facts) -> Vec<Step> {
    let archive = &facts.archive;
    let end = facts.first_live();
    // a log that went back misses nothing: it is another one
    if end <= archive.removed {
        return Vec::new();
    }
    let mut explained = Ranges::default();
    for seq in archive
        .segments
        .range(archive.removed..end)
        .map(|(seq, _)| *seq)
    {
        explained.insert(seq, seq);
    }
    for (from, to) in archive.gaps.iter().chain(archive.lost.iter()) {
        explained.insert(from, to);
    }
    let mut steps = Vec::new();
    let mut next = archive.removed;
    for (from, to) in explained.iter().chain([(end, end)]) {
        let from = from.min(end);
        if next < from {
            let to = from.saturating_sub(1);
            steps.push(Step::ReportGap { from: next, to });
        }
        next = next.max(to.saturating_add(1));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::plan::fixture::{facts, live};

    /// The gaps, where the kernel starts with that segment and the archive has those.
    fn gaps(first: u64, archived: &[u64], change: impl FnOnce(&mut Facts)) -> Vec<(u64, u64)> {
        let mut facts = facts(live(first, first), archived.iter().copied());
        change(&mut facts);
        let steps = steps(&facts).into_iter();
        let gaps = steps.map(|step| match step {
            Step::ReportGap { from, to } => (from, to),
            step => panic!("{step:?}"),
        });
        gaps.collect()
    }

    #[test]
    fn what_nothing_explains() {
        let none = |_: &mut Facts| ();
        assert_eq!(gaps(0, &[], none), []);
        assert_eq!(gaps(3, &[], none), [(0, 2)]);
        assert_eq!(gaps(3, &[0, 1, 2], none), []);
        assert_eq!(gaps(9, &[1, 2, 5, 12], none), [(0, 0), (3, 4), (6, 8)]);
        let noted = |facts: &mut Facts| facts.archive.gaps.insert(0, 4);
        assert_eq!(gaps(9, &[5], noted), [(6, 8)]);
        let lost = |facts: &mut Facts| facts.archive.lost.insert(3, 20);
        assert_eq!(gaps(9, &[0], lost), [(1, 2)]);
        let removed = |facts: &mut Facts| facts.archive.removed = 5;
        assert_eq!(gaps(9, &[], removed), [(5, 8)]);
        let all = |facts: &mut Facts| facts.archive.gaps.insert(0, u64::MAX);
        assert_eq!(gaps(9, &[], all), []);
    }

    /// The kernel starts below what was removed: its log went back, and misses nothing.
    #[test]
    fn none_of_a_log_that_went_back() {
        for first in [0, 1, 5] {
            let removed = |facts: &mut Facts| facts.archive.removed = 5;
            assert_eq!(gaps(first, &[], removed), []);
        }
    }
}
