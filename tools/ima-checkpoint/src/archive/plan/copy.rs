// SPDX-License-Identifier: GPL-2.0

//! What is copied into the store, and what is read back from there before it is freed or removed.

use super::{
    facts::{Facts, File, Sha256, Standing},
    free, remove, Step,
};
use crate::archive::{
    meta::{Name, State},
    rules::{Copying, Rules},
};
use std::collections::BTreeSet;

/// A step for each file of which the store has no object, and for each that is about to be freed or
/// removed and must have a copy: what an object holds that was there before, only reading tells.
pub(super) fn steps(facts: &Facts, rules: &Rules) -> Vec<Step> {
    let copies = &facts.copies;
    if rules.copying == Copying::Nothing || copies.failed {
        return Vec::new();
    }
    let awaited = awaited(facts, rules);
    let files = files(facts).filter(|(log_id, name, file)| {
        let key = ((*log_id).to_owned(), *name);
        let missing = !copies.there.contains(&key);
        let awaited = awaited.contains(&file.sha256) && !copies.kept.contains(&file.sha256);
        (missing || awaited) && !copies.refused.contains(&key)
    });
    let copy = |(log_id, name, _): (&str, _, _)| Step::Copy {
        log_id: log_id.to_owned(),
        name,
    };
    files.map(copy).collect()
}

/// What a file holds that is to be copied.
pub(super) fn holds(facts: &Facts, log_id: &str, name: Name) -> Option<Sha256> {
    let mut files = files(facts);
    let (_, _, file) = files.find(|(log, file, _)| (*log, *file) == (log_id, name))?;
    Some(file.sha256)
}

/// What would be freed or removed if it had a copy.
fn awaited(facts: &Facts, rules: &Rules) -> BTreeSet<Sha256> {
    if rules.copying != Copying::Required {
        return BTreeSet::new();
    }
    // what lacks a receipt as well need not be read yet
    let mut all = BTreeSet::from_iter(free::released(facts, rules));
    all.extend(remove::due(facts, rules));
    all.retain(|sha256| facts.has_receipt(rules, sha256));
    all
}

/// The files that are to be copied. Of the kernel's log, these are sealed segments without a fork:
/// which of several is true, somebody has to find out. Of another log all that precedes a fork is
/// final, its tail as well.
fn files(facts: &Facts) -> impl Iterator<Item = (&str, Name, File)> {
    let archive = &facts.archive;
    let first_live = facts.first_live();
    let segments = archive.segments.iter();
    let segments = segments.filter(move |(seq, (_, standing))| {
        let verified = match standing {
            Standing::Sound => true,
            // the kernel does not have it any more: nothing is left to verify it with
            Standing::Unread => **seq < first_live,
            Standing::Unsound => false,
        };
        verified && !archive.forks.contains_key(seq)
    });
    let ours = segments.map(|(seq, (file, _))| {
        let name = Name::of(*seq, State::Sealed);
        (facts.log_id.as_str(), name, *file)
    });
    let others = facts.others.iter().flat_map(|log| {
        let files = log.files.iter();
        files.map(|(name, file)| (log.log_id.as_str(), *name, *file))
    });
    ours.chain(others)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{
        plan::{
            facts::{OtherLog, Outcome},
            fixture::{digest, facts, file, fork, live, standing},
            plan,
        },
        rules::{Keep, Remove},
    };
    use std::time::Duration;

    const NONE: [u64; 0] = [];

    const LOG: &str = "5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c";

    fn name(seq: u64) -> Name {
        Name::of(seq, State::Sealed)
    }

    fn rules(copying: Copying) -> Rules {
        Rules {
            copying,
            ..Rules::default()
        }
    }

    /// Frees all but the newest, and removes what was archived 8 seconds ago or longer.
    fn required() -> Rules {
        Rules {
            keep: Keep {
                segments: Some(1),
                ..Keep::default()
            },
            remove: Remove {
                age: Some(Duration::from_secs(8)),
                bytes: None,
            },
            ..rules(Copying::Required)
        }
    }

    /// The kernel has segments 4 to 6, of which 6 is active; the archive 0 to 5, and the store those
    /// of which `there` tells.
    fn with(there: impl IntoIterator<Item = u64>) -> Facts {
        let mut facts = facts(live(4, 6), 0..6);
        let there = there.into_iter().map(|seq| (LOG.to_owned(), name(seq)));
        facts.copies.there = there.collect();
        facts
    }

    /// The numbers of what is copied.
    fn copied(facts: &Facts, rules: &Rules) -> Vec<u64> {
        let seq = |step: Step| match step {
            Step::Copy { log_id, name } => {
                assert_eq!((log_id.as_str(), name), (LOG, self::name(name.seq)));
                name.seq
            }
            step => panic!("{step:?}"),
        };
        steps(facts, rules).into_iter().map(seq).collect()
    }

    #[test]
    fn what_the_store_lacks() {
        let sealed = rules(Copying::Sealed);
        assert_eq!(copied(&with([]), &rules(Copying::Nothing)), NONE);
        assert_eq!(copied(&with([]), &sealed), [0, 1, 2, 3, 4, 5]);
        assert_eq!(copied(&with([0, 3, 5]), &sealed), [1, 2, 4]);
        assert_eq!(copied(&with(0..6), &sealed), NONE);
        // an object of another log is none
        let mut facts = with([]);
        facts.copies.there = (0..6).map(|seq| ("a".repeat(32), name(seq))).collect();
        assert_eq!(copied(&facts, &sealed).len(), 6);
    }

    #[test]
    fn only_what_is_verified_and_not_disputed() {
        let sealed = rules(Copying::Sealed);
        let change = |change: &dyn Fn(&mut Facts)| {
            let mut facts = with([0, 1, 2]);
            change(&mut facts);
            copied(&facts, &sealed)
        };
        let set = |seq, to| move |facts: &mut Facts| standing(facts, seq, to);
        assert_eq!(change(&set(4, Standing::Unread)), [3, 5]);
        assert_eq!(change(&set(4, Standing::Unsound)), [3, 5]);
        // the kernel freed it long ago
        assert_eq!(change(&set(3, Standing::Unread)), [3, 4, 5]);
        assert_eq!(change(&|facts| *facts = fork(facts.clone(), 4)), [3, 5]);
    }

    #[test]
    fn a_store_that_refuses_or_fails_is_left_alone() {
        let sealed = rules(Copying::Sealed);
        let mut facts = with([]);
        let step = |seq| Step::Copy {
            log_id: LOG.to_owned(),
            name: name(seq),
        };
        facts.learn(&step(0), &Outcome::Copied(digest(0)));
        facts.learn(&step(1), &Outcome::NotCopied);
        assert_eq!(copied(&facts, &sealed), [2, 3, 4, 5]);
        facts.learn(&step(2), &Outcome::StoreFailed);
        assert_eq!(copied(&facts, &sealed), NONE);
        assert!(plan(&facts, &sealed).wait.store);
    }

    #[test]
    fn what_is_about_to_go_is_read_back() {
        // all are there, as an earlier run left them: 0 to 2 are due for removal, 4 to be freed
        let mut facts = with(0..6);
        assert_eq!(copied(&facts, &required()), [0, 1, 2, 4]);
        facts.copies.kept = [0, 2].map(digest).into();
        assert_eq!(copied(&facts, &required()), [1, 4]);
        // without the rule, nobody needs to know
        let mut rules = required();
        rules.copying = Copying::Sealed;
        assert_eq!(copied(&facts, &rules), NONE);
        // a receipt is lacking as well
        let mut rules = required();
        rules.acknowledge = true;
        facts.acknowledged = [4].map(digest).into();
        assert_eq!(copied(&facts, &rules), [4]);
    }

    #[test]
    fn nothing_goes_without_a_copy() {
        for failed in [false, true] {
            // nothing is left to be done with the store
            let mut facts = with(0..6);
            facts.copies.failed = failed;
            let key = |seq| (LOG.to_owned(), name(seq));
            facts.copies.refused = (0..6).map(key).collect();
            let goes = |facts: &Facts| plan(facts, &required()).steps;
            assert_eq!(goes(&facts), []);
            // each rule goes up to what has none
            facts.copies.kept = [0, 2, 5].map(digest).into();
            assert!(
                matches!(goes(&facts).as_slice(), [Step::Remove { before: 1, files, .. }]
                    if files.len() == 1)
            );
            facts.copies.kept.insert(digest(4));
            assert!(matches!(
                goes(&facts).as_slice(),
                [Step::Truncate { seq: 5, .. }]
            ));
        }
    }

    #[test]
    fn earlier_logs_with_their_tails() {
        let mut facts = with(0..6);
        let log_id = "a".repeat(32);
        let tail = Name::of(1, State::Tail);
        facts.others.push(OtherLog {
            log_id: log_id.clone(),
            files: vec![(name(0), file(0)), (tail, file(9))],
        });
        let wanted = [name(0), tail].map(|name| Step::Copy {
            log_id: log_id.clone(),
            name,
        });
        assert_eq!(steps(&facts, &rules(Copying::Sealed)), wanted);
        assert_eq!(holds(&facts, &log_id, tail), Some(digest(9)));
        assert_eq!(holds(&facts, LOG, tail), None);
    }
}
