// SPDX-License-Identifier: GPL-2.0

use super::*;
use crate::archive::{
    fixture::{host, Work},
    plan::facts::sha256,
};
use std::fs;

const FIRST: &str = "0000000000.zst";
const TAIL: &str = "0000000001.tail.zst";

fn store(seq: u64) -> Step {
    Step::Store { seq, fork: false }
}

#[test]
fn a_segment_is_stored_and_checked() {
    let mut work = Work::new(2);
    let stored = work.execute(&store(0)).unwrap();
    assert_eq!(work.names(), [FIRST]);
    let bytes = work.kernel.bytes(0);
    let Outcome::Archived {
        file,
        sound: true,
        tail: None,
    } = stored
    else {
        panic!("{stored:?}");
    };
    let expected = crate::bank::Bank::Sha256.hash(&[&bytes]);
    assert_eq!(file.sha256, sha256(&expected));
    let size = fs::metadata(work.path(FIRST)).unwrap().len();
    assert_eq!(file.file_bytes, size);
    let check = Step::Check { seq: 0 };
    assert_eq!(work.execute(&check).unwrap(), stored);
    work.damage(FIRST);
    let outcome = work.execute(&check).unwrap();
    assert!(matches!(outcome, Outcome::Archived { sound: false, .. }));
    assert!(work
        .said
        .borrow()
        .iter()
        .any(|said| said.contains("is kept in the kernel")));
}

#[test]
fn another_one_is_stored_as_a_fork() {
    let mut work = Work::new(2);
    work.store(0..1);
    work.kernel.host.replace(host("b", 2));
    let other = crate::bank::Bank::Sha256.hash(&[&work.kernel.bytes(0)]);
    let compared = work.execute(&Step::Compare { seq: 0 }).unwrap();
    assert_eq!(compared, Outcome::Compared(sha256(&other)));
    work.execute(&Step::Store { seq: 0, fork: true }).unwrap();
    let fork = Name::fork(0, &sha256(&other)).to_string();
    assert_eq!(work.names(), [fork.as_str(), FIRST]);
    let said = work.said.take();
    assert!(
        said.iter()
            .any(|said| said.contains("Both are kept, this one as")),
        "{said:?}"
    );
    // if the first one is gone, that is not said
    fs::remove_file(work.path(FIRST)).unwrap();
    fs::remove_file(work.path(&fork)).unwrap();
    work.execute(&Step::Store { seq: 0, fork: true }).unwrap();
    let said = work.said.take();
    assert!(
        said.iter().any(|said| said.contains("cannot be compared")),
        "{said:?}"
    );
}

#[test]
fn a_tail_is_kept_compared_and_settled() {
    let mut work = Work::new(1);
    let keep = Step::KeepTail { seq: 1 };
    assert!(matches!(work.execute(&keep).unwrap(), Outcome::KeptTail(_)));
    assert_eq!(work.names(), [TAIL]);
    let compare = Step::CompareTail { seq: 1 };
    let compared = |beginning, all| Outcome::ComparedTail { beginning, all };
    assert_eq!(work.execute(&compare).unwrap(), compared(true, true));
    work.kernel.host.borrow_mut().file(b"/more", b"more");
    assert_eq!(work.execute(&compare).unwrap(), compared(true, false));
    // sealed, it is the beginning of what replaces it
    work.kernel.host.borrow_mut().checkpoint("").unwrap();
    let stored = work.execute(&store(1)).unwrap();
    assert!(
        matches!(
            stored,
            Outcome::Archived {
                tail: Some(true),
                ..
            }
        ),
        "{stored:?}"
    );
    work.execute(&Step::DropTail { seq: 1 }).unwrap();
    assert_eq!(work.names(), ["0000000001.zst"]);
}

#[test]
fn another_tail_becomes_a_fork() {
    let mut work = Work::new(1);
    work.execute(&Step::KeepTail { seq: 1 }).unwrap();
    let tail = crate::bank::Bank::Sha256.hash(&[&work.kernel.bytes(1)]);
    work.kernel.host.replace(host("b", 1));
    let compared = work.execute(&Step::CompareTail { seq: 1 }).unwrap();
    let other = Outcome::ComparedTail {
        beginning: false,
        all: false,
    };
    assert_eq!(compared, other);
    work.execute(&Step::ForkTail { seq: 1 }).unwrap();
    assert_eq!(work.names(), [Name::fork(1, &sha256(&tail)).to_string()]);
}

fn truncate(work: &mut Work, seq: u64) -> Step {
    let facts = work.facts();
    let live = facts.kernel.iter().find(|live| live.segment.seq == seq);
    Step::Truncate {
        seq,
        digest: live.unwrap().segment.digest,
        records: 1,
        bytes: 1,
    }
}

#[test]
fn the_kernel_is_truncated_when_nobody_reads() {
    let mut work = Work::new(2);
    let step = truncate(&mut work, 2);
    work.kernel.readers.replace(vec!["agent (7)".to_owned()]);
    assert_eq!(work.execute(&step).unwrap(), Outcome::Readers);
    assert_eq!(work.kernel.first(), 0);
    work.readers = Readers::Ignore;
    assert_eq!(work.execute(&step).unwrap(), Outcome::Done);
    assert_eq!(work.kernel.first(), 2);
}

#[test]
fn somebody_else_was_faster() {
    let mut work = Work::new(3);
    let facts = work.facts();
    let step = truncate(&mut work, 2);
    work.kernel.set_first(2).unwrap();
    for step in [step, store(1)] {
        let outcome = work.execute_with(&step, &facts).unwrap();
        assert_eq!(outcome, Outcome::Overtaken, "{step:?}");
    }
    assert_eq!(work.names(), [""; 0]);
}

#[test]
fn only_what_is_named_is_removed() {
    let mut work = Work::new(3);
    work.store(0..3);
    let step = Step::Remove {
        log_id: work.place.name.log_id.clone(),
        before: 1,
        files: vec![Name::of(0, State::Sealed)],
        file_bytes: 0,
    };
    assert_eq!(work.execute(&step).unwrap(), Outcome::Done);
    assert_eq!(work.names(), ["0000000001.zst", "0000000002.zst"]);
    let index = Index::read(work.place.folder.directory()).unwrap();
    assert_eq!(index.removed, 1);
}

#[test]
fn a_gap_is_written_down() {
    let mut work = Work::new(1);
    work.execute(&Step::ReportGap { from: 2, to: 4 }).unwrap();
    let index = Index::read(work.place.folder.directory()).unwrap();
    assert!(index.gaps.covers(2, 4));
    assert!(work.said.borrow()[0].starts_with("GAP: segments 2 to 4"));
}
