// SPDX-License-Identifier: GPL-2.0

use super::*;
use crate::archive::{
    fixture::Work,
    live::{Claims, Live},
    meta::{Name, State as Kind},
};

type Change<T> = fn(&mut T);

/// Segment 1 of a log, what it is surveyed as, and the checkpoint that seals it.
fn segment() -> (Meta, Vec<u8>, Claim) {
    let mut work = Work::new(2);
    work.store(0..2);
    let meta = work.place.log().meta(Name::of(1, Kind::Sealed)).unwrap();
    let next = &work.kernel.segments().unwrap()[2];
    let claim = Claims::new(crate::kernel::byte_order())
        .of(&work.kernel, next)
        .unwrap();
    (meta, work.kernel.bytes(1), claim)
}

fn surveyed(meta: &Meta, bytes: &[u8], next: &Claim) -> Result<Survey> {
    survey(bytes, Reading::replaying(meta, Some(next)), |_| Ok(()))
}

fn disagreement(result: Result<()>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_segment_is_what_its_metadata_and_the_next_checkpoint_say() {
    let (meta, bytes, next) = segment();
    let seen = surveyed(&meta, &bytes, &next).unwrap();
    seen.agrees(&meta).unwrap();
    seen.holds(Some(&next)).unwrap();
    sealed_by(&meta, &next).unwrap();
    assert_eq!(seen.head.map(|head| head.header.sequence), Some(1));
}

#[test]
fn metadata_that_say_something_else() {
    let (meta, bytes, next) = segment();
    let seen = surveyed(&meta, &bytes, &next).unwrap();
    let changes: [(Change<Meta>, &str); 5] = [
        (|meta| meta.ascii_bytes += 1, "its metadata claim"),
        (
            |meta| meta.sha256 = Bank::Sha256.zeros(),
            "its metadata claim",
        ),
        (|meta| meta.first += 1, "it starts with checkpoint 1"),
        (|meta| meta.seq += 1, "it starts with checkpoint 1"),
        (
            |meta| meta.checkpoint = Bank::Sha256.zeros(),
            "the digest of its checkpoint",
        ),
    ];
    for (change, says) in changes {
        let mut meta = meta.clone();
        change(&mut meta);
        let text = disagreement(seen.agrees(&meta));
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn a_checkpoint_that_seals_something_else() {
    let (meta, _, next) = segment();
    let changes: [(Change<Claim>, &str); 4] = [
        (
            |next| next.header.segment_digest[0] ^= 1,
            "but checkpoint 2 claims",
        ),
        (
            |next| next.header.segment_records += 1,
            "but checkpoint 2 claims",
        ),
        (
            |next| next.header.previous[0] ^= 1,
            "follows another checkpoint",
        ),
        (
            |next| next.header.record += 1,
            "is not the one that follows it",
        ),
    ];
    for (change, says) in changes {
        let mut next = next.clone();
        change(&mut next);
        let text = disagreement(sealed_by(&meta, &next));
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn records_that_are_not_what_was_extended() {
    let (meta, mut bytes, next) = segment();
    // the last byte of the last record's name
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    let seen = surveyed(&meta, &bytes, &next).unwrap();
    let text = disagreement(seen.holds(Some(&next)));
    assert!(
        text.contains("the template digest is not that of the data"),
        "{text}"
    );
    bytes.pop();
    let error = surveyed(&meta, &bytes, &next).unwrap_err();
    assert!(error.is_of_contents(), "{error}");
}
