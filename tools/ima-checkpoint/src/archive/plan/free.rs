// SPDX-License-Identifier: GPL-2.0

//! How far the kernel's list may be truncated.

use super::{
    facts::{Facts, Seal, Sha256, Standing},
    Step, Wait,
};
use crate::{
    archive::rules::{Keep, Rules},
    kernel::Segment,
};
use std::time::Duration;

/// The truncation that is due, if there is one, and what else would let segments go.
pub(super) fn step(facts: &Facts, rules: &Rules) -> (Option<Step>, Wait) {
    let keep = &rules.keep;
    let mut wait = Wait {
        age: next_expiry(keep, facts),
        ..Wait::default()
    };
    // which history is the right one, somebody has to find out
    if facts.went_back().is_some() {
        return (None, wait);
    }
    // nobody signs for the archiver, and the kernel does not change its mind
    if facts.unsigned {
        return (None, Wait::default());
    }
    let sealed: Vec<(&Segment, Seal)> = facts.sealed_segments().collect();
    let due = sealed.get(..due(keep, facts, &sealed)).unwrap_or_default();
    let may_go = due.iter().take_while(|(segment, seal)| {
        if !is_safe(facts, segment.seq, seal) {
            return false;
        }
        let receipt = facts.has_receipt(rules, &seal.sha256);
        wait.receipt |= !receipt;
        receipt && facts.has_copy(rules, &seal.sha256)
    });
    let may_go = may_go.count();
    let first_kept = facts.kernel.get(may_go).filter(|_| may_go > 0);
    let Some(first_kept) = first_kept else {
        return (None, wait);
    };
    if facts.readers {
        wait.readers = true;
        return (None, wait);
    }
    let freed = facts.kernel.iter().take(may_go);
    let (mut records, mut bytes) = (0_u64, 0_u64);
    for live in freed {
        records = records.saturating_add(live.segment.records);
        bytes = bytes.saturating_add(live.segment.bytes);
    }
    let step = Step::Truncate {
        seq: first_kept.segment.seq,
        digest: first_kept.segment.digest,
        records,
        bytes,
    };
    (Some(step), wait)
}

/// The sealed segments that no rule keeps.
pub(super) fn released(facts: &Facts, rules: &Rules) -> Vec<Sha256> {
    let sealed: Vec<(&Segment, Seal)> = facts.sealed_segments().collect();
    let due = sealed.get(..due(&rules.keep, facts, &sealed));
    let due = due.unwrap_or_default().iter();
    due.map(|(_, seal)| seal.sha256).collect()
}

/// Is it in the archive as the next checkpoint seals it, read back and verified, and the only one of
/// its number?
fn is_safe(facts: &Facts, seq: u64, seal: &Seal) -> bool {
    let archive = &facts.archive;
    let file = archive.segments.get(&seq);
    let sound = file
        .is_some_and(|(file, standing)| file.sha256 == seal.sha256 && *standing == Standing::Sound);
    sound && !archive.forks.contains_key(&seq)
}

/// How many of the oldest sealed segments no rule keeps.
fn due(keep: &Keep, facts: &Facts, sealed: &[(&Segment, Seal)]) -> usize {
    if !keep.frees() {
        return 0;
    }
    let mut newer_bytes = 0_u64;
    let mut due = sealed.len();
    for (at, (segment, seal)) in sealed.iter().enumerate().rev() {
        let newer = sealed.len().saturating_sub(at) as u64;
        newer_bytes = newer_bytes.saturating_add(segment.bytes);
        // a time in the future is no age
        let age = Duration::from_nanos(facts.now_ns.saturating_sub(seal.sealed_ns));
        if keep.segments.is_some_and(|keep| newer <= keep)
            || keep.bytes.is_some_and(|keep| newer_bytes <= keep)
            || keep.age.is_some_and(|keep| age < keep)
        {
            due = at;
        }
    }
    due
}

/// How long until age alone lets another segment go.
fn next_expiry(keep: &Keep, facts: &Facts) -> Option<Duration> {
    let (_, oldest) = facts.sealed_segments().next()?;
    let age = Duration::from_nanos(facts.now_ns.saturating_sub(oldest.sealed_ns));
    keep.age?.checked_sub(age).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::plan::fixture::{digest, facts, fork, live, standing, when, SECOND};

    fn by_segments(segments: u64) -> Keep {
        Keep {
            segments: Some(segments),
            ..Keep::default()
        }
    }

    fn by_bytes(bytes: u64) -> Keep {
        Keep {
            bytes: Some(bytes),
            ..Keep::default()
        }
    }

    fn by_age(seconds: u64) -> Keep {
        Keep {
            age: Some(Duration::from_secs(seconds)),
            ..Keep::default()
        }
    }

    /// Where the list starts then: segments 3 to 7 are sealed and safe, 7, 6, 5, 4 and 3 seconds ago.
    fn first_kept(keep: Keep, change: impl FnOnce(&mut Facts, &mut Rules)) -> Option<u64> {
        let mut facts = facts(live(3, 8), 0..8);
        let mut rules = Rules {
            keep,
            ..Rules::default()
        };
        change(&mut facts, &mut rules);
        match step(&facts, &rules).0? {
            Step::Truncate { seq, .. } => Some(seq),
            step => panic!("{step:?}"),
        }
    }

    fn none(_: &mut Facts, _: &mut Rules) {}

    #[test]
    fn nothing_is_freed_unasked() {
        assert_eq!(first_kept(Keep::default(), none), None);
    }

    #[test]
    fn each_rule_alone() {
        for (keep, first) in [
            (by_segments(0), Some(8)),
            (by_segments(2), Some(6)),
            (by_segments(5), None),
            (by_segments(u64::MAX), None),
            (by_bytes(0), Some(8)),
            (by_bytes(299), Some(6)),
            (by_bytes(300), Some(5)),
            (by_age(0), Some(8)),
            (by_age(5), Some(6)),
            (by_age(6), Some(5)),
        ] {
            assert_eq!(first_kept(keep, none), first, "{keep:?}");
        }
    }

    #[test]
    fn the_strictest_of_several() {
        let keep = Keep {
            segments: Some(1),
            bytes: Some(1000),
            age: Some(Duration::ZERO),
        };
        assert_eq!(first_kept(keep, none), None);
        let keep = Keep {
            bytes: Some(150),
            segments: Some(3),
            ..Keep::default()
        };
        assert_eq!(first_kept(keep, none), Some(5));
    }

    #[test]
    fn only_an_unbroken_run_of_what_is_safe() {
        let all = by_segments(0);
        for bad in [Standing::Unread, Standing::Unsound] {
            let kept = |seq| first_kept(all, |facts, _| standing(facts, seq, bad));
            assert_eq!(kept(5), Some(5));
            assert_eq!(kept(3), None);
        }
        let absent = |facts: &mut Facts, _: &mut Rules| {
            facts.archive.segments.remove(&5);
        };
        assert_eq!(first_kept(all, absent), Some(5));
        let forked = |facts: &mut Facts, _: &mut Rules| *facts = fork(facts.clone(), 5);
        assert_eq!(first_kept(all, forked), Some(5));
        // sound, but another than the kernel has
        let other = |facts: &mut Facts, _: &mut Rules| {
            *facts = facts.clone().other(5);
            facts.archive.segments.get_mut(&5).unwrap().1 = Standing::Sound;
        };
        assert_eq!(first_kept(all, other), Some(5));
    }

    #[test]
    fn only_what_is_acknowledged() {
        let with = |acknowledged: &[u64]| {
            let mut facts = facts(live(3, 8), 0..8);
            facts.acknowledged = acknowledged.iter().map(|seq| digest(*seq)).collect();
            let rules = Rules {
                keep: by_segments(1),
                acknowledge: true,
                ..Rules::default()
            };
            let (step, wait) = step(&facts, &rules);
            (step.is_some(), wait.receipt)
        };
        assert_eq!(with(&[]), (false, true));
        assert_eq!(with(&[4, 5, 6, 7]), (false, true));
        assert_eq!(with(&[3]), (true, true));
        // that the last one lacks keeps nothing: a rule does
        assert_eq!(with(&[3, 4, 5, 6]), (true, false));
    }

    #[test]
    fn nothing_if_the_kernel_demands_a_signature() {
        let mut facts = facts(live(3, 8), 0..8);
        let rules = Rules {
            keep: by_age(5),
            acknowledge: true,
            ..Rules::default()
        };
        assert!(step(&facts, &rules).1 != Wait::default());
        facts.unsigned = true;
        assert_eq!(step(&facts, &rules), (None, Wait::default()));
    }

    #[test]
    fn nothing_of_a_log_that_went_back() {
        let all = by_segments(0);
        // the archive has what is active still
        let ahead = |facts: &mut Facts, _: &mut Rules| standing(facts, 8, Standing::Sound);
        assert_eq!(first_kept(all, ahead), None);
        let removed = |facts: &mut Facts, _: &mut Rules| facts.archive.removed = 4;
        assert_eq!(first_kept(all, removed), None);
        let before = |facts: &mut Facts, _: &mut Rules| facts.archive.removed = 3;
        assert_eq!(first_kept(all, before), Some(8));
    }

    #[test]
    fn a_clock_in_the_future_keeps() {
        let at = |now_ns: u64| {
            let mut facts = facts(live(0, 1), [0]);
            facts.now_ns = now_ns;
            let rules = Rules {
                keep: by_age(1),
                ..Rules::default()
            };
            let (step, wait) = step(&facts, &rules);
            (step.is_some(), wait.age)
        };
        assert!(!at(when(0) - SECOND).0);
        assert_eq!(at(when(0) + SECOND), (true, None));
        let half = Some(Duration::from_millis(500));
        assert_eq!(at(when(0) + SECOND / 2), (false, half));
    }
}
