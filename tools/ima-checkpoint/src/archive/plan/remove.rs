// SPDX-License-Identifier: GPL-2.0

//! What is removed from the archive: the oldest segments of a host, never from the middle of a log.
//!
//! Each file goes by what it says of itself. What the index says was removed is no reason.

use super::{
    facts::{Facts, File, Sha256},
    Step,
};
use crate::archive::{
    meta::{Name, State},
    rules::{Remove, Rules},
};
use std::time::Duration;

/// The files of a log in order, of which the first may be removed.
struct Candidates {
    /// Nothing for the kernel's log.
    log_id: Option<String>,
    files: Vec<(Name, File)>,
}

/// A step for each log that something is to be removed of.
pub(super) fn steps(facts: &Facts, rules: &Rules) -> Vec<Step> {
    let acknowledged = |File { sha256, .. }: &File| {
        facts.has_receipt(rules, sha256) && facts.has_copy(rules, sha256)
    };
    let mut total = facts.total;
    let logs = candidates(facts, &rules.remove).into_iter();
    logs.filter_map(|log| {
        let is_due = |(_, file): &&(Name, File)| {
            acknowledged(file) && take(&rules.remove, facts, file, &mut total)
        };
        let goes = log.files.iter().take_while(is_due).count();
        remove(&log, goes, facts)
    })
    .collect()
}

fn remove(log: &Candidates, goes: usize, facts: &Facts) -> Option<Step> {
    let (gone, left) = log.files.split_at_checked(goes)?;
    let last = gone.last()?.0.seq;
    let stays = left.first().is_some_and(|(name, _)| name.seq == last);
    Some(Step::Remove {
        log_id: log.log_id.clone().unwrap_or_else(|| facts.log_id.clone()),
        before: if stays { last } else { last.saturating_add(1) },
        files: gone.iter().map(|(name, _)| *name).collect(),
        file_bytes: gone.iter().map(|(_, file)| file.file_bytes).sum(),
    })
}

/// Do age or bytes let it go? If so, so many bytes are less.
fn take(remove: &Remove, facts: &Facts, file: &File, total: &mut u64) -> bool {
    // a time in the future is no age
    let age = Duration::from_nanos(facts.now_ns.saturating_sub(file.archived_ns));
    let goes = remove.age.is_some_and(|limit| age >= limit)
        || remove.bytes.is_some_and(|limit| *total > limit);
    if goes {
        *total = total.saturating_sub(file.file_bytes);
    }
    goes
}

/// The logs, by the age of their first file.
fn candidates(facts: &Facts, remove: &Remove) -> Vec<Candidates> {
    if !remove.removes() {
        return Vec::new();
    }
    let others = facts.others.iter().map(|log| Candidates {
        log_id: Some(log.log_id.clone()),
        files: log.files.clone(),
    });
    let mut logs: Vec<_> = others.chain([of_live_log(facts)]).collect();
    logs.sort_by_key(|log| log.files.first().map(|(_, file)| file.archived_ns));
    logs
}

/// Of the kernel's log: nothing that the kernel has, that is a fork, or that follows one; and nothing
/// at all if it went back.
fn of_live_log(facts: &Facts) -> Candidates {
    let archive = &facts.archive;
    let fork = archive.forks.keys().next().copied();
    let mut end = facts.first_live().min(fork.unwrap_or(u64::MAX));
    if facts.went_back().is_some() {
        end = 0;
    }
    let segments = archive.segments.range(..end);
    let segments = segments.map(|(seq, (file, _))| (Name::of(*seq, State::Sealed), *file));
    let tails = archive.tails.range(..end);
    let tails = tails.map(|(seq, (tail, _))| (Name::of(*seq, State::Tail), tail.file));
    let mut files: Vec<_> = segments.chain(tails).collect();
    files.sort_by_key(|(name, _)| *name);
    Candidates {
        log_id: None,
        files,
    }
}

/// The segments for which it matters whether they are acknowledged.
pub(in crate::archive) fn in_question(facts: &Facts, rules: &Rules) -> Vec<Sha256> {
    if !rules.acknowledge {
        return Vec::new();
    }
    let mut asked = Vec::new();
    // what is freed now may be removed in the same run
    if rules.keep.frees() {
        asked.extend(facts.sealed_segments().map(|(_, seal)| seal.sha256));
    }
    asked.extend(due(facts, rules));
    asked
}

/// The files that age or bytes let go, whoever else must have them.
pub(super) fn due(facts: &Facts, rules: &Rules) -> Vec<Sha256> {
    let mut all = Vec::new();
    for log in candidates(facts, &rules.remove) {
        // what is not acknowledged is no bytes less: more may have to go than it seems
        let is_due = |(_, file): &&(Name, File)| {
            let mut total = facts.total;
            take(&rules.remove, facts, file, &mut total)
        };
        let due = log.files.iter().take_while(is_due);
        all.extend(due.map(|(_, file)| file.sha256));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::plan::{
        facts::OtherLog,
        facts::Relation,
        fixture::{digest, facts, file, fork, live, with_tail},
    };

    fn by_age(seconds: u64) -> Rules {
        Rules {
            remove: Remove {
                age: Some(Duration::from_secs(seconds)),
                bytes: None,
            },
            ..Rules::default()
        }
    }

    fn by_bytes(bytes: u64) -> Rules {
        Rules {
            remove: Remove {
                age: None,
                bytes: Some(bytes),
            },
            ..Rules::default()
        }
    }

    /// What goes of the kernel's log, as `before (files)`: segments 0 to 5 are archived, 10 to 5
    /// seconds ago and with 10 bytes each; the kernel has 4 still.
    fn goes(rules: Rules, change: impl FnOnce(&mut Facts)) -> Option<(u64, usize)> {
        let mut facts = facts(live(4, 6), 0..6);
        change(&mut facts);
        let [step]: [Step; 1] = steps(&facts, &rules).try_into().ok()?;
        match step {
            Step::Remove { before, files, .. } => Some((before, files.len())),
            step => panic!("{step:?}"),
        }
    }

    fn none(_: &mut Facts) {}

    #[test]
    fn each_rule_alone() {
        for (rules, gone) in [
            (Rules::default(), None),
            (by_age(0), Some((4, 4))),
            (by_age(8), Some((3, 3))),
            (by_age(10), Some((1, 1))),
            (by_age(11), None),
            (by_bytes(0), Some((4, 4))),
            (by_bytes(30), Some((3, 3))),
            (by_bytes(59), Some((1, 1))),
            (by_bytes(60), None),
        ] {
            assert_eq!(goes(rules, none), gone, "{rules:?}");
        }
    }

    /// The index says that all were removed: each file says itself that it is young.
    #[test]
    fn what_the_index_says_is_no_reason() {
        let removed = |facts: &mut Facts| facts.archive.removed = 4;
        assert_eq!(goes(by_age(1000), removed), None);
        assert_eq!(goes(by_age(9), removed), Some((2, 2)));
    }

    #[test]
    fn never_from_the_middle() {
        let young = |facts: &mut Facts| {
            let first = facts.archive.segments.get_mut(&1).unwrap();
            first.0.archived_ns = u64::MAX;
        };
        assert_eq!(goes(by_age(5), young), Some((1, 1)));
    }

    #[test]
    fn nothing_that_is_forked_or_follows_a_fork() {
        let forked = |seq| move |facts: &mut Facts| *facts = fork(facts.clone(), seq);
        assert_eq!(goes(by_age(0), forked(2)), Some((2, 2)));
        assert_eq!(goes(by_age(0), forked(0)), None);
    }

    #[test]
    fn nothing_of_a_log_that_went_back() {
        // the kernel has segment 2 again
        let back = |facts: &mut Facts| {
            facts.kernel = live(2, 3);
        };
        assert_eq!(goes(by_age(0), back), None);
        let removed = |facts: &mut Facts| {
            facts.kernel = live(0, 9);
            facts.archive.removed = 1;
        };
        assert_eq!(goes(by_age(0), removed), None);
    }

    #[test]
    fn only_what_is_acknowledged() {
        let rules = Rules {
            acknowledge: true,
            ..by_age(0)
        };
        let acknowledged = |seqs: &'static [u64]| {
            move |facts: &mut Facts| {
                facts.acknowledged = seqs.iter().map(|seq| digest(*seq)).collect();
            }
        };
        assert_eq!(goes(rules, none), None);
        assert_eq!(goes(rules, acknowledged(&[0, 1, 3])), Some((2, 2)));
        assert_eq!(goes(rules, acknowledged(&[1, 2, 3])), None);
    }

    #[test]
    fn a_tail_goes_by_its_own_age() {
        let tail = |facts: &mut Facts| with_tail(facts, 1, Relation::Unread);
        assert_eq!(goes(by_age(8), tail), Some((3, 4)));
        let young = |facts: &mut Facts| {
            tail(facts);
            let tail = facts.archive.tails.get_mut(&1).unwrap();
            tail.0.file.archived_ns = u64::MAX;
        };
        // segment 1 is not gone as long as its tail is there
        assert_eq!(goes(by_age(8), young), Some((1, 2)));
    }

    /// A log that the kernel does not have goes first if it is older; both count.
    #[test]
    fn of_several_logs_the_oldest() {
        let mut facts = facts(live(0, 9), []);
        let old = |seq: u64| {
            let mut file = file(seq);
            file.archived_ns = seq;
            (Name::of(seq, State::Sealed), file)
        };
        for (log_id, from) in [("b", 10), ("a", 0)] {
            facts.others.push(OtherLog {
                log_id: log_id.to_owned(),
                files: (from..from + 3).map(old).collect(),
            });
        }
        facts.total = 60;
        let gone = |limit| -> Vec<(String, usize)> {
            let steps = steps(&facts, &by_bytes(limit)).into_iter();
            let gone = steps.filter_map(|step| match step {
                Step::Remove { log_id, files, .. } => Some((log_id, files.len())),
                _ => None,
            });
            gone.collect()
        };
        let named = |list: &[(&str, usize)]| -> Vec<(String, usize)> {
            let list = list.iter();
            list.map(|(log, files)| ((*log).to_owned(), *files))
                .collect()
        };
        assert_eq!(gone(60), []);
        assert_eq!(gone(35), named(&[("a", 3)]));
        assert_eq!(gone(15), named(&[("a", 3), ("b", 2)]));
    }

    #[test]
    fn whose_receipts_are_looked_for() {
        let facts = facts(live(4, 6), 0..6);
        let asked = |rules: Rules| in_question(&facts, &rules);
        assert_eq!(asked(by_age(8)), Vec::<Sha256>::new());
        let mut rules = by_age(8);
        rules.acknowledge = true;
        assert_eq!(asked(rules), [0, 1, 2].map(digest));
        rules.keep.segments = Some(1);
        assert_eq!(asked(rules), [4, 5, 0, 1, 2].map(digest));
        let mut rules = by_bytes(50);
        rules.acknowledge = true;
        assert_eq!(asked(rules), [0, 1, 2, 3].map(digest));
    }
}
