// SPDX-License-Identifier: GPL-2.0

//! What a plan is made from, and what steps add to it.

pub(in crate::archive) use super::holdings::{
    sha256, File, Holdings, Relation, Sha256, Standing, Tail,
};

use super::Step;
use crate::{
    archive::{
        meta::Name,
        rules::{Copying, Rules},
    },
    kernel::Segment,
};
use std::collections::BTreeSet;

/// What the kernel and the archive hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::archive) struct Facts {
    /// The kernel's log.
    pub(in crate::archive) log_id: String,
    /// The live segments, oldest first; the last one is active.
    pub(in crate::archive) kernel: Vec<Live>,
    pub(in crate::archive) archive: Holdings,
    /// Other logs of the host, as far as removing needs them.
    pub(in crate::archive) others: Vec<OtherLog>,
    /// The bytes of all files of the host.
    pub(in crate::archive) total: u64,
    /// Segments that are acknowledged, of those that are in question.
    pub(in crate::archive) acknowledged: BTreeSet<Sha256>,
    /// What is known of the store that segments are copied to.
    pub(in crate::archive) copies: Copies,
    /// Does a program have the kernel's list open that would lose its place?
    pub(in crate::archive) readers: bool,
    /// Does the kernel free only what somebody signed?
    pub(in crate::archive) unsigned: bool,
    /// Was the kernel truncated by somebody else since it was looked at?
    pub(in crate::archive) overtaken: bool,
    /// The wall clock: nanoseconds since 1970-01-01 00:00 UTC.
    pub(in crate::archive) now_ns: u64,
}

/// A segment of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::archive) struct Live {
    pub(in crate::archive) segment: Segment,
    /// What the next checkpoint says of it; of the active segment, nothing.
    pub(in crate::archive) seal: Option<Seal>,
}

/// What a checkpoint says of the segment that it seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::archive) struct Seal {
    pub(in crate::archive) sha256: Sha256,
    /// When it was made: nanoseconds since 1970-01-01 00:00 UTC.
    pub(in crate::archive) sealed_ns: u64,
}

/// A log of the host that the kernel does not have any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::archive) struct OtherLog {
    pub(in crate::archive) log_id: String,
    /// What may be removed, in order: all that precedes a fork or an unusable file.
    pub(in crate::archive) files: Vec<(Name, File)>,
}

/// What is known of the store that segments are copied to. A file has a log and a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::archive) struct Copies {
    /// The files of which it has an object. What that holds, nobody knows.
    pub(in crate::archive) there: BTreeSet<(String, Name)>,
    /// What files hold whose object was read back: a copy.
    pub(in crate::archive) kept: BTreeSet<Sha256>,
    /// The files that cannot be copied, because the object holds something else, say.
    pub(in crate::archive) refused: BTreeSet<(String, Name)>,
    /// Did the store fail? Then it is left alone until the next pass.
    pub(in crate::archive) failed: bool,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::archive) enum Outcome {
    /// As it should.
    Done,
    /// A segment is in the archive, and was read back. Does it verify, and is the tail that was
    /// there, if there was one, its beginning?
    Archived {
        file: File,
        sound: bool,
        tail: Option<bool>,
    },
    /// A segment of the kernel has this digest.
    Compared(Sha256),
    /// Is the tail in the archive the beginning of the active segment, or all of it?
    ComparedTail {
        beginning: bool,
        all: bool,
    },
    KeptTail(File),
    /// The store has a copy of a file that holds this.
    Copied(Sha256),
    /// The file cannot be copied.
    NotCopied,
    /// The store failed.
    StoreFailed,
    /// Nothing was freed: programs would lose their place.
    Readers,
    /// Nothing was freed: the kernel demands a signature.
    Unsigned,
    /// Nothing was done: somebody else truncated the kernel.
    Overtaken,
}

impl Facts {
    /// The sealed segments of the kernel.
    pub(super) fn sealed_segments(&self) -> impl DoubleEndedIterator<Item = (&Segment, Seal)> {
        let live = self.kernel.iter();
        live.filter_map(|live| Some((&live.segment, live.seal?)))
    }

    /// The active segment.
    pub(super) fn active(&self) -> Option<&Segment> {
        let last = self.kernel.last()?;
        last.seal.is_none().then_some(&last.segment)
    }

    /// The segment of that number in the kernel.
    pub(in crate::archive) fn live(&self, seq: u64) -> Option<&Live> {
        let at = self
            .kernel
            .binary_search_by_key(&seq, |live| live.segment.seq);
        self.kernel.get(at.ok()?)
    }

    /// The first segment that the kernel has.
    pub(super) fn first_live(&self) -> u64 {
        self.kernel.first().map_or(0, |live| live.segment.seq)
    }

    /// The digest that the next checkpoint claims for a segment of the kernel.
    pub(super) fn sealed(&self, seq: u64) -> Option<Sha256> {
        Some(self.live(seq)?.seal?.sha256)
    }

    /// The kernel never brings back what it freed, and a sealed segment is never active again. If
    /// that seems so, this is another history under the same name: a snapshot of a virtual machine
    /// that was restored, or somebody who pretends. Gives up to where the archive has seen the log.
    pub(super) fn went_back(&self) -> Option<u64> {
        let active = self.kernel.last()?.segment.seq;
        let newest = self.archive.segments.keys().next_back();
        let seen = newest.map_or(0, |newest| newest.saturating_add(1));
        let seen = seen.max(self.archive.removed);
        let back = self.first_live() < self.archive.removed || active < seen;
        back.then_some(seen)
    }

    /// Segments that were archived, and that neither the archive nor the kernel has.
    pub(super) fn lost(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let end = self.first_live();
        let lost = self.archive.lost.iter();
        lost.filter(move |(from, _)| *from < end)
            .map(move |(from, to)| (from, to.min(end.saturating_sub(1))))
    }

    /// Is there a receipt for what has this digest, if there must be one?
    pub(super) fn has_receipt(&self, rules: &Rules, sha256: &Sha256) -> bool {
        !rules.acknowledge || self.acknowledged.contains(sha256)
    }

    /// Is there a copy of what has this digest, if there must be one?
    pub(super) fn has_copy(&self, rules: &Rules, sha256: &Sha256) -> bool {
        rules.copying != Copying::Required || self.copies.kept.contains(sha256)
    }

    /// What a file would say of itself that is not there yet.
    pub(super) fn hoped_file(&self, seq: u64) -> File {
        let live = self.live(seq);
        File {
            sha256: self.sealed(seq).unwrap_or_default(),
            archived_ns: self.now_ns,
            // not compressed: nobody knows yet how small it gets
            file_bytes: live.map_or(0, |live| live.segment.bytes),
        }
    }

    /// Adds what a step found out or did.
    pub(in crate::archive) fn learn(&mut self, step: &Step, outcome: &Outcome) {
        let claimed = match step {
            Step::Store { seq, .. } | Step::Compare { seq } => self.sealed(*seq),
            _ => None,
        };
        let archive = &mut self.archive;
        let copies = &mut self.copies;
        match (step, outcome) {
            (Step::Copy { log_id, name }, Outcome::Copied(sha256)) => {
                copies.there.insert((log_id.clone(), *name));
                copies.kept.insert(*sha256);
            }
            (Step::Copy { log_id, name }, Outcome::NotCopied) => {
                copies.refused.insert((log_id.clone(), *name));
            }
            (Step::Copy { .. }, Outcome::StoreFailed) => copies.failed = true,
            (_, Outcome::Overtaken) => self.overtaken = true,
            (_, Outcome::Readers) => self.readers = true,
            (_, Outcome::Unsigned) => self.unsigned = true,
            (Step::ReportGap { from, to }, _) => archive.gaps.insert(*from, *to),
            (
                Step::Store { seq, fork },
                Outcome::Archived {
                    file, sound, tail, ..
                },
            ) => {
                self.total = self.total.saturating_add(file.file_bytes);
                archive.found(*seq, claimed, file.sha256);
                if *fork {
                    archive.forks.entry(*seq).or_default().insert(file.sha256);
                } else {
                    archive.note(*seq, *file, *sound, *tail);
                }
            }
            (
                Step::Check { seq },
                Outcome::Archived {
                    file, sound, tail, ..
                },
            ) => archive.note(*seq, *file, *sound, *tail),
            (Step::Compare { seq }, Outcome::Compared(sha256)) => {
                archive.found(*seq, claimed, *sha256);
            }
            (Step::CompareTail { seq }, Outcome::ComparedTail { beginning, all }) => {
                archive.relate(
                    *seq,
                    match (beginning, all) {
                        (_, true) => Relation::All,
                        (true, false) => Relation::Beginning,
                        (false, false) => Relation::Other,
                    },
                );
            }
            (Step::KeepTail { seq }, Outcome::KeptTail(file)) => {
                let bytes = self.kernel.last().map_or(0, |active| active.segment.bytes);
                let tail = Tail { file: *file, bytes };
                archive.tails.insert(*seq, (tail, Relation::All));
            }
            (Step::DropTail { seq }, Outcome::Done) => {
                archive.tails.remove(seq);
            }
            (Step::ForkTail { seq }, Outcome::Done) => {
                if let Some((tail, _)) = archive.tails.remove(seq) {
                    let forks = archive.forks.entry(*seq).or_default();
                    forks.insert(tail.file.sha256);
                }
            }
            (Step::Truncate { seq, .. }, Outcome::Done) => {
                self.kernel.retain(|live| live.segment.seq >= *seq);
            }
            (
                Step::Remove {
                    log_id,
                    before,
                    files,
                    file_bytes,
                },
                Outcome::Done,
            ) => {
                self.total = self.total.saturating_sub(*file_bytes);
                let other = self.others.iter_mut().find(|log| log.log_id == *log_id);
                match other {
                    Some(log) => log.files.retain(|(name, _)| !files.contains(name)),
                    None => archive.forget(*before, files),
                }
            }
            (step, outcome) => debug_assert!(false, "{step:?} does not end with {outcome:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{
        meta::State,
        plan::fixture::{digest, facts, live, other, with_tail},
    };

    #[test]
    fn when_a_log_went_back() {
        for (first, active, archived, removed, back) in [
            (0, 3, 0..0, 0, None),
            (0, 3, 0..3, 0, None),
            (2, 3, 0..3, 0, None),
            (3, 3, 0..3, 3, None),
            // the kernel's list is all that is left
            (7, 7, 0..0, 7, None),
            // what is active was sealed already
            (0, 2, 0..3, 0, Some(3)),
            (3, 3, 0..9, 0, Some(9)),
            // what was removed is there again
            (0, 9, 3..9, 3, Some(9)),
            (2, 2, 0..0, 3, Some(3)),
        ] {
            let mut facts = facts(live(first, active), archived.clone());
            facts.archive.removed = removed;
            assert_eq!(
                facts.went_back(),
                back,
                "{first} to {active}, archived {archived:?}, removed {removed}"
            );
        }
        assert_eq!(facts(Vec::new(), 0..3).went_back(), None);
    }

    #[test]
    fn a_fork_is_learned_as_one() {
        let mut facts = facts(live(0, 2), []).other(0);
        let step = Step::Store { seq: 0, fork: true };
        let file = facts.hoped_file(0);
        let archived = Outcome::Archived {
            file,
            sound: true,
            tail: None,
        };
        facts.learn(&step, &archived);
        assert_eq!(facts.archive.segments[&0].0.sha256, other(0));
        assert_eq!(facts.archive.forks[&0], BTreeSet::from([digest(0)]));
        assert_eq!(facts.total, 100);
    }

    #[test]
    fn a_tail_becomes_a_fork() {
        let mut facts = facts(live(0, 2), [0]);
        with_tail(&mut facts, 0, Relation::Other);
        facts.learn(&Step::ForkTail { seq: 0 }, &Outcome::Done);
        assert!(facts.archive.tails.is_empty());
        assert_eq!(facts.archive.forks[&0], BTreeSet::from([other(0)]));
    }

    #[test]
    fn what_was_removed_is_forgotten() {
        let mut facts = facts(live(4, 5), 0..5);
        let step = Step::Remove {
            log_id: facts.log_id.clone(),
            before: 2,
            files: vec![Name::of(0, State::Sealed), Name::of(1, State::Sealed)],
            file_bytes: 20,
        };
        facts.learn(&step, &Outcome::Done);
        assert!(facts.archive.segments.keys().eq(&[2, 3, 4]));
        assert_eq!((facts.archive.removed, facts.total), (2, 30));
    }
}
