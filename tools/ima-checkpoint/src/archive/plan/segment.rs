// SPDX-License-Identifier: GPL-2.0

//! What to do for each sealed segment of the kernel, so that the archive has it.

use super::{
    facts::{Facts, Relation, Sha256, Standing},
    Step,
};

/// The steps for all of them; tails are settled as soon as what replaces them was read.
pub(super) fn steps(facts: &Facts) -> Vec<Step> {
    let sealed = facts.sealed_segments();
    sealed
        .filter_map(|(segment, seal)| step(facts, segment.seq, seal.sha256))
        .collect()
}

/// The step for one that the next checkpoint seals with this digest.
fn step(facts: &Facts, seq: u64, sealed: Sha256) -> Option<Step> {
    let archive = &facts.archive;
    let forks = archive.forks.get(&seq);
    let has = archive.compared.get(&(seq, sealed));
    let mut known = [Some(&sealed), has].into_iter().flatten();
    let is_fork = known.any(|sha256| forks.is_some_and(|forks| forks.contains(sha256)));
    let Some((file, standing)) = archive.segments.get(&seq) else {
        // below what was removed it cannot be compared with the one that was there
        let fork = forks.is_some() || seq < archive.removed;
        let there = fork && is_fork;
        return (!there).then_some(Step::Store { seq, fork });
    };
    if file.sha256 != sealed {
        return match has {
            _ if is_fork => None,
            None => Some(Step::Compare { seq }),
            // the kernel has the same, and the next checkpoint claims something else
            Some(has) if *has == file.sha256 => None,
            Some(_) => Some(Step::Store { seq, fork: true }),
        };
    }
    if *standing == Standing::Unread {
        return Some(Step::Check { seq });
    }
    match archive.tails.get(&seq)?.1 {
        Relation::Beginning | Relation::All => Some(Step::DropTail { seq }),
        Relation::Other => Some(Step::ForkTail { seq }),
        Relation::Unread => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::plan::fixture::{digest, facts, fork, live, other, standing, with_tail};
    use std::collections::BTreeSet;

    const STORE: Option<Step> = Some(Step::Store {
        seq: 1,
        fork: false,
    });
    const FORK: Option<Step> = Some(Step::Store { seq: 1, fork: true });

    /// What is done for segment 1; `change` changes an archive that has it, and it is sound.
    fn step_for(change: impl FnOnce(&mut Facts)) -> Option<Step> {
        let mut facts = facts(live(1, 2), [0, 1]);
        change(&mut facts);
        step(&facts, 1, digest(1))
    }

    fn absent(facts: &mut Facts) {
        facts.archive.segments.remove(&1);
    }

    fn forked(facts: &mut Facts, sha256: Sha256) {
        let forks = facts.archive.forks.entry(1);
        forks.or_default().insert(sha256);
    }

    fn another(facts: &mut Facts) {
        *facts = std::mem::take(facts).other(1);
    }

    fn compared(facts: &mut Facts, has: Sha256) {
        facts.archive.compared.insert((1, digest(1)), has);
    }

    #[test]
    fn one_that_the_archive_lacks() {
        assert_eq!(step_for(absent), STORE);
        // the one that was there is gone, and cannot be compared
        assert_eq!(
            step_for(|facts| {
                absent(facts);
                facts.archive.removed = 2;
            }),
            FORK
        );
        // something unusable has its name
        assert_eq!(
            step_for(|facts| {
                absent(facts);
                facts.archive.forks.insert(1, BTreeSet::new());
            }),
            FORK
        );
        assert_eq!(
            step_for(|facts| {
                absent(facts);
                forked(facts, other(1));
            }),
            FORK
        );
        assert_eq!(
            step_for(|facts| {
                absent(facts);
                forked(facts, digest(1));
            }),
            None
        );
        // it is there, and is not what the next checkpoint claims
        assert_eq!(
            step_for(|facts| {
                absent(facts);
                forked(facts, other(1));
                compared(facts, other(1));
            }),
            None
        );
    }

    #[test]
    fn one_that_the_archive_has() {
        assert_eq!(step_for(|_| ()), None);
        let check = Some(Step::Check { seq: 1 });
        assert_eq!(
            step_for(|facts| standing(facts, 1, Standing::Unread)),
            check
        );
        assert_eq!(
            step_for(|facts| standing(facts, 1, Standing::Unsound)),
            None
        );
        // a fork beside it changes nothing
        assert_eq!(step_for(|facts| *facts = fork(facts.clone(), 1)), None);
    }

    #[test]
    fn another_one_of_its_number() {
        assert_eq!(step_for(another), Some(Step::Compare { seq: 1 }));
        let differs = |has| {
            step_for(|facts| {
                another(facts);
                compared(facts, has);
            })
        };
        assert_eq!(differs(digest(1)), FORK);
        assert_eq!(differs([9; 32]), FORK);
        // the kernel has the same, and contradicts itself
        assert_eq!(differs(other(1)), None);
        for known in [digest(1), [9; 32]] {
            let there = step_for(|facts| {
                another(facts);
                compared(facts, [9; 32]);
                forked(facts, known);
            });
            assert_eq!(there, None);
        }
        // what was found out for another claim is not what is asked now
        let stale = step_for(|facts| {
            another(facts);
            facts.archive.compared.insert((1, [7; 32]), other(1));
        });
        assert_eq!(stale, Some(Step::Compare { seq: 1 }));
    }

    #[test]
    fn its_tail() {
        for (relation, step) in [
            (Relation::Unread, None),
            (Relation::Beginning, Some(Step::DropTail { seq: 1 })),
            (Relation::All, Some(Step::DropTail { seq: 1 })),
            (Relation::Other, Some(Step::ForkTail { seq: 1 })),
        ] {
            assert_eq!(step_for(|facts| with_tail(facts, 1, relation)), step);
            // it is settled only when the segment is there
            let without = |facts: &mut Facts| {
                absent(facts);
                with_tail(facts, 1, relation);
            };
            assert_eq!(step_for(without), STORE);
        }
    }
}
