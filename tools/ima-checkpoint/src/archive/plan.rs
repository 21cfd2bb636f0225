// SPDX-License-Identifier: GPL-2.0

//! What the archiver does next, decided from facts alone.
//!
//! [`plan`] has no effects: what the kernel and the archive hold is looked up before
//! ([`super::observe`]), and each step is done after, by [`super::execute`]. What a step finds out
//! becomes a fact, and the next plan is made from that. So nothing is freed or removed because of what
//! was hoped for: a plan frees only what the facts say is safe.
//!
//! The stages of a plan follow each other: only when one has nothing left to do, the next is planned.

mod copy;
pub(super) mod facts;
#[cfg(test)]
mod fixture;
mod free;
mod gaps;
mod holdings;
mod remove;
mod segment;
mod tail;
mod words;

pub(super) use self::{remove::in_question, tail::plan_tail};

use self::facts::{Facts, Outcome};
use super::{meta::Name, rules::Rules};
use crate::bank::Digest;
use std::time::Duration;

/// Something that the executor does as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Write down that segments were freed in the kernel before they were archived.
    ReportGap { from: u64, to: u64 },
    /// Read a segment back that an earlier run archived, and verify it.
    Check { seq: u64 },
    /// Compute the digest of a segment in the kernel: the archive has another one than the next
    /// checkpoint claims.
    Compare { seq: u64 },
    /// Export a segment into the archive, read it back and verify it.
    Store { seq: u64, fork: bool },
    /// See whether a tail in the archive is the beginning of the active segment.
    CompareTail { seq: u64 },
    /// Export the active segment into the archive.
    KeepTail { seq: u64 },
    /// Remove the tail of a segment that is archived as a whole.
    DropTail { seq: u64 },
    /// Give a tail the name of a fork: it is not the beginning of what the kernel has.
    ForkTail { seq: u64 },
    /// Put a file into the store, unless it is there, and read it back from there.
    Copy { log_id: String, name: Name },
    /// Free the kernel's segments before a checkpoint.
    Truncate {
        seq: u64,
        digest: Digest,
        records: u64,
        bytes: u64,
    },
    /// Remove files of a log from the archive.
    Remove {
        log_id: String,
        /// No segment before this one is left.
        before: u64,
        files: Vec<Name>,
        file_bytes: u64,
    },
}

/// What somebody has to look at, as the facts show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// The log in the kernel is at an earlier place than the archive has seen it.
    WentBack {
        /// The first segment that the kernel has.
        first: u64,
        /// Its active segment.
        active: u64,
        /// The archive has had all segments before this one.
        seen: u64,
    },
    /// There is a fork of this segment, or something unusable has its name.
    ForkThere {
        /// The number of the segment.
        seq: u64,
    },
    /// Segments were archived and are not there any more.
    Lost {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
}

/// What may change without an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// A receipt would let the kernel free something.
    pub receipt: bool,
    /// Programs that close the kernel's list would.
    pub readers: bool,
    /// The store failed, and may work again.
    pub store: bool,
    /// By then, age alone would.
    pub age: Option<Duration>,
}

/// What to do, and what to wait for when that is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) alarms: Vec<Alarm>,
    pub(super) steps: Vec<Step>,
    pub(super) wait: Wait,
}

/// What is to be done next. Nothing is left to do when the plan has no steps.
pub(super) fn plan(facts: &Facts, rules: &Rules) -> Plan {
    let mut plan = Plan {
        alarms: alarms(facts),
        ..Plan::default()
    };
    // the kernel is not as it was looked up: the next pass looks again
    if facts.overtaken {
        return plan;
    }
    plan.steps = gaps::steps(facts);
    if plan.steps.is_empty() {
        plan.steps = segment::steps(facts);
    }
    if plan.steps.is_empty() {
        plan.steps = copy::steps(facts, rules);
    }
    if plan.steps.is_empty() {
        let (truncate, wait) = free::step(facts, rules);
        plan.steps.extend(truncate);
        plan.wait = wait;
        plan.wait.store = facts.copies.failed;
    }
    if plan.steps.is_empty() {
        plan.steps = remove::steps(facts, rules);
    }
    plan
}

/// All steps, if each of them ends as it should. For those who ask before anything is done.
pub(super) fn foresee(mut facts: Facts, rules: &Rules) -> Plan {
    let mut all = Plan::default();
    loop {
        let next = plan(&facts, rules);
        for alarm in next.alarms {
            if !all.alarms.contains(&alarm) {
                all.alarms.push(alarm);
            }
        }
        all.wait = next.wait;
        if next.steps.is_empty() {
            return all;
        }
        for step in next.steps {
            let hoped = hoped(&facts, &step);
            facts.learn(&step, &hoped);
            all.steps.push(step);
        }
    }
}

/// How a step ends if all is as it should be.
fn hoped(facts: &Facts, step: &Step) -> Outcome {
    match step {
        Step::Check { seq } | Step::Store { seq, .. } => {
            let held = facts.archive.segments.get(seq);
            let held = held.filter(|_| matches!(step, Step::Check { .. }));
            Outcome::Archived {
                file: held.map_or_else(|| facts.hoped_file(*seq), |(file, _)| *file),
                sound: true,
                tail: facts.archive.tails.contains_key(seq).then_some(true),
            }
        }
        Step::Compare { seq } => Outcome::Compared(facts.sealed(*seq).unwrap_or_default()),
        Step::CompareTail { .. } => Outcome::ComparedTail {
            beginning: true,
            all: false,
        },
        Step::KeepTail { seq } => Outcome::KeptTail(facts.hoped_file(*seq)),
        Step::Copy { log_id, name } => match copy::holds(facts, log_id, *name) {
            Some(sha256) => Outcome::Copied(sha256),
            None => Outcome::NotCopied,
        },
        Step::ReportGap { .. }
        | Step::DropTail { .. }
        | Step::ForkTail { .. }
        | Step::Truncate { .. }
        | Step::Remove { .. } => Outcome::Done,
    }
}

fn alarms(facts: &Facts) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    if let Some(seen) = facts.went_back() {
        let number = |live: Option<&facts::Live>| live.map_or(0, |live| live.segment.seq);
        alarms.push(Alarm::WentBack {
            first: number(facts.kernel.first()),
            active: number(facts.kernel.last()),
            seen,
        });
    }
    let forks = facts.archive.forks.keys();
    alarms.extend(forks.map(|seq| Alarm::ForkThere { seq: *seq }));
    let lost = facts.lost();
    alarms.extend(lost.map(|(from, to)| Alarm::Lost { from, to }));
    alarms
}

#[cfg(test)]
mod tests {
    use super::{
        facts::{Relation, Standing},
        fixture::{digest, facts, fork, live, standing, tail, with_tail},
        *,
    };
    use crate::{archive::rules::Keep, open_files::Readers};

    /// Frees all that is sealed, and removes nothing.
    fn frees() -> Rules {
        Rules {
            keep: Keep {
                segments: Some(0),
                ..Keep::default()
            },
            ..Rules::default()
        }
    }

    fn words(plan: &Plan) -> Vec<String> {
        plan.steps.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn stages_follow_each_other() {
        let mut known = facts(live(1, 3), [0]);
        known.archive.gaps.insert(9, 9);
        known.archive.segments.remove(&0);
        let mut stages = Vec::new();
        loop {
            let next = plan(&known, &frees());
            if next.steps.is_empty() {
                break;
            }
            stages.push(words(&next));
            for step in &next.steps {
                let outcome = hoped(&known, step);
                known.learn(step, &outcome);
            }
        }
        let expected: [&[&str]; 3] = [
            &["report a gap: segments 0 to 0 were freed in the kernel before they were archived"],
            &[
                "archive segment 1, read it back and verify it",
                "archive segment 2, read it back and verify it",
            ],
            &["truncate the kernel's list to checkpoint 3: 20 records, 200 B freed"],
        ];
        assert_eq!(stages, expected);
        assert_eq!(known.kernel, live(3, 3));
    }

    #[test]
    fn what_is_foreseen_is_all_of_it() {
        let mut known = facts(live(0, 4), [0, 1]);
        standing(&mut known, 0, Standing::Unread);
        with_tail(&mut known, 2, Relation::Unread);
        let plan = foresee(known, &frees());
        assert_eq!(
            words(&plan),
            [
                "read segment 0 back, which an earlier run archived, and verify it",
                "archive segment 2, read it back and verify it",
                "archive segment 3, read it back and verify it",
                "remove the tail of segment 2, which is now archived completely",
                "truncate the kernel's list to checkpoint 4: 40 records, 400 B freed",
            ]
        );
    }

    /// Whatever a step finds out, it is not planned again, and nothing is freed or removed that is not
    /// known to be safe.
    #[test]
    fn every_plan_comes_to_an_end() {
        let rules = Rules {
            remove: crate::archive::rules::Remove {
                age: Some(Duration::ZERO),
                bytes: None,
            },
            ..frees()
        };
        let starts = [
            facts(live(0, 3), []),
            facts(live(0, 3), [0, 1, 2]),
            facts(live(2, 3), [0]),
            facts(live(0, 2), [0, 1, 2, 3]),
            fork(facts(live(0, 3), [0, 1]), 1),
            tail(facts(live(0, 3), [0]), 1),
            facts(live(0, 3), [0]).other(0),
        ];
        for start in starts {
            for way in 0..64_u32 {
                let mut known = start.clone();
                let mut seen = Vec::new();
                let mut bits = way;
                for round in 0.. {
                    assert!(round < 10, "{seen:?}");
                    let next = plan(&known, &rules);
                    if next.steps.is_empty() {
                        break;
                    }
                    for step in next.steps {
                        assert!(!seen.contains(&step), "{step:?} after {seen:?}");
                        if let Step::Truncate { seq, .. } = step {
                            fixture::safe_before(&known, seq);
                        }
                        let good = bits & 1 == 0;
                        bits >>= 1;
                        let outcome = fixture::outcome(&known, &step, good);
                        known.learn(&step, &outcome);
                        seen.push(step);
                    }
                }
            }
        }
    }

    #[test]
    fn what_changed_meanwhile_ends_a_plan() {
        let mut known = facts(live(0, 3), []);
        let step = Step::Store {
            seq: 0,
            fork: false,
        };
        known.learn(&step, &Outcome::Overtaken);
        assert_eq!(plan(&known, &frees()).steps, []);
    }

    #[test]
    fn readers_are_waited_for() {
        let mut known = facts(live(0, 3), [0, 1, 2]);
        let [step] = plan(&known, &frees()).steps.try_into().unwrap();
        assert!(matches!(step, Step::Truncate { seq: 3, .. }), "{step:?}");
        known.learn(&step, &Outcome::Readers);
        let waits = plan(&known, &frees());
        assert_eq!(waits.steps, []);
        assert!(waits.wait.readers);
        let rules = Rules {
            readers: Readers::Ignore,
            ..frees()
        };
        assert!(!plan(&facts(live(0, 3), [0, 1, 2]), &rules).wait.readers);
    }

    #[test]
    fn alarms_of_forks_and_of_what_was_lost() {
        let mut known = fork(facts(live(4, 5), [0, 1, 4]), 4);
        known.archive.lost.insert(2, 3);
        // the kernel still has it: it is archived again
        known.archive.lost.insert(4, 7);
        assert_eq!(
            plan(&known, &Rules::default()).alarms,
            [Alarm::ForkThere { seq: 4 }, Alarm::Lost { from: 2, to: 3 },]
        );
        assert_ne!(digest(4), digest(5));
    }
}
