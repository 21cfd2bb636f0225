// SPDX-License-Identifier: GPL-2.0

//! Facts for tests: segments of 10 records and 100 bytes, each sealed a second after the one before.

use super::{
    facts::{Facts, File, Holdings, Live, Outcome, Relation, Seal, Sha256, Standing, Tail},
    Step,
};
use crate::{bank::Digest, kernel::Segment};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const SECOND: u64 = 1_000_000_000;

/// When segment 0 was sealed, and archived.
pub(super) const START: u64 = 1000 * SECOND;

/// What segment `seq` holds.
pub(super) fn digest(seq: u64) -> Sha256 {
    [seq as u8 + 1; 32]
}

/// What another history holds in its place.
pub(super) fn other(seq: u64) -> Sha256 {
    [seq as u8 + 101; 32]
}

pub(super) fn when(seq: u64) -> u64 {
    START + seq * SECOND
}

/// The kernel's segments from `first` to `active`.
pub(super) fn live(first: u64, active: u64) -> Vec<Live> {
    let live = |seq: u64| Live {
        segment: Segment {
            seq,
            active: seq == active,
            first: 10 * seq,
            records: 10,
            bytes: 100,
            digest: Digest::new(&[seq as u8; 32]),
            broken: false,
            base: BTreeMap::new(),
        },
        seal: (seq < active).then_some(Seal {
            sha256: digest(seq),
            sealed_ns: when(seq),
        }),
    };
    (first..=active).map(live).collect()
}

pub(super) fn file(seq: u64) -> File {
    File {
        sha256: digest(seq),
        archived_ns: when(seq),
        file_bytes: 10,
    }
}

/// An archive that has these segments, which were read and are sound. Ten seconds have passed since
/// segment 0 was sealed.
pub(super) fn facts(kernel: Vec<Live>, archived: impl IntoIterator<Item = u64>) -> Facts {
    let archived = archived.into_iter();
    let segments: BTreeMap<_, _> = archived
        .map(|seq| (seq, (file(seq), Standing::Sound)))
        .collect();
    Facts {
        log_id: "5c".repeat(16),
        total: 10 * segments.len() as u64,
        archive: Holdings {
            segments,
            ..Holdings::default()
        },
        kernel,
        now_ns: when(10),
        ..Facts::default()
    }
}

pub(super) fn standing(facts: &mut Facts, seq: u64, standing: Standing) {
    facts.archive.segments.insert(seq, (file(seq), standing));
}

pub(super) fn with_tail(facts: &mut Facts, seq: u64, relation: Relation) {
    let tail = Tail {
        file: File {
            sha256: other(seq),
            ..file(seq)
        },
        bytes: 50,
    };
    facts.archive.tails.insert(seq, (tail, relation));
}

pub(super) fn tail(mut facts: Facts, seq: u64) -> Facts {
    with_tail(&mut facts, seq, Relation::Unread);
    facts
}

pub(super) fn fork(mut facts: Facts, seq: u64) -> Facts {
    let forks = BTreeSet::from([other(seq)]);
    facts.archive.forks.insert(seq, forks);
    facts
}

impl Facts {
    /// The archive has another segment of that number.
    pub(super) fn other(mut self, seq: u64) -> Self {
        let file = File {
            sha256: other(seq),
            ..file(seq)
        };
        let segments = &mut self.archive.segments;
        segments.insert(seq, (file, Standing::Unread));
        self
    }
}

/// How a step may end.
pub(super) fn outcome(facts: &Facts, step: &Step, good: bool) -> Outcome {
    match (step, good) {
        (Step::Check { seq } | Step::Store { seq, .. }, false) => {
            let held = facts.archive.segments.get(seq);
            let held = held.filter(|_| matches!(step, Step::Check { .. }));
            Outcome::Archived {
                // the kernel gives something else than the next checkpoint claims
                file: held.map_or(
                    File {
                        sha256: [200; 32],
                        ..file(*seq)
                    },
                    |(file, _)| *file,
                ),
                sound: false,
                tail: facts.archive.tails.contains_key(seq).then_some(false),
            }
        }
        (Step::Compare { seq }, false) => {
            Outcome::Compared(facts.archive.segments.get(seq).unwrap().0.sha256)
        }
        (Step::CompareTail { .. }, false) => Outcome::ComparedTail {
            beginning: false,
            all: false,
        },
        (Step::Copy { .. }, false) => Outcome::NotCopied,
        (Step::Truncate { .. }, false) => Outcome::Readers,
        _ => super::hoped(facts, step),
    }
}

/// Is all that precedes a checkpoint in the archive as it is in the kernel?
pub(super) fn safe_before(facts: &Facts, seq: u64) {
    let freed = facts.kernel.iter().filter(|live| live.segment.seq < seq);
    for live in freed {
        let (file, standing) = facts.archive.segments.get(&live.segment.seq).unwrap();
        assert_eq!(*standing, Standing::Sound, "{facts:?}");
        assert_eq!(Some(file.sha256), live.seal.map(|seal| seal.sha256));
        assert!(!facts.archive.forks.contains_key(&live.segment.seq));
    }
}
