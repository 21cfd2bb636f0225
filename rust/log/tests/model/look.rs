// SPDX-License-Identifier: GPL-2.0

//! All that can be seen of the log, compared with the plain list.

use super::{
    super::shadows_match,
    check,
    world::{
        Held,
        World, //
    },
    Check, //
};
use crate::{
    abstractions::{
        ima,
        sha256::sha256, //
    },
    format::{
        checkpoint::{
            Checkpoint,
            EVENT_NAME, //
        },
        record::Record, //
    },
    log::Log,
    memory::KVVec,
    store::{
        Live,
        Span, //
    },
};
use kernel::prelude::*;

impl World {
    /// All that can be seen of the log.
    pub(super) fn check_all(&self) -> Check {
        let log = &self.rig.log;
        let mut held = ima::lock();
        let segments = log.segments().map_err(|_| "no memory for the test")?;
        self.rig.machine.with_list(|list| {
            let end = list.ends.len() as u64;
            let live = list.from(self.first);
            let at = Span {
                records: self.first,
                bytes: list.start(self.first) as u64,
                ascii: log.store().start().ascii,
            };
            check(log.store().start() == at, "the list starts elsewhere")?;
            check(log.store().end().records == end, "records are missing")?;
            check(
                log.store().end().bytes == list.bytes.len() as u64,
                "bytes are missing",
            )?;
            let mut seen = 0;
            for segment in &segments {
                segment
                    .for_each_chunk(|bytes| {
                        let same = live.get(seen..seen + bytes.len()) == Some(bytes);
                        seen += bytes.len();
                        same.then_some(()).ok_or(EIO)
                    })
                    .map_err(|_| "the list has other bytes")?;
            }
            check(seen == live.len(), "the list ends early")?;
            check_segments(&segments)?;
            self.held
                .iter()
                .try_for_each(|one| check_held(one, list.from(one.first)))
        })?;
        check_checkpoints(log, &segments)?;
        let matches = shadows_match(&self.rig, &mut held).map_err(|_| "the TPM is broken")?;
        check(!self.clean || matches, "the shadow PCRs are wrong")
    }
}

/// One is active, the last; numbers and places follow each other.
fn check_segments(segments: &[Live]) -> Check {
    let (active, sealed) = segments.split_last().ok_or("there is no segment")?;
    check(!active.is_sealed(), "the active segment is sealed")?;
    check(
        sealed.iter().all(|segment| segment.is_sealed()),
        "an old segment is not sealed",
    )?;
    let follows = |pair: &[Live]| {
        pair[0].seq() + 1 == pair[1].seq() && pair[1].start() - pair[0].start() == pair[0].len()
    };
    check(
        segments.windows(2).all(follows),
        "segments do not follow each other",
    )
}

/// A segment that is held has the bytes that it had, freed or not.
fn check_held(held: &Held, expected: &[u8]) -> Check {
    let mut seen = 0;
    held.segment
        .for_each_chunk(|bytes| {
            let same = expected.get(seen..seen + bytes.len()) == Some(bytes);
            seen += bytes.len();
            same.then_some(()).ok_or(EIO)
        })
        .map_err(|_| "a segment that is held has other bytes")
}

/// Each checkpoint says the truth about the segment that it sealed, and about the violations.
fn check_checkpoints(log: &Log, segments: &[Live]) -> Check {
    let order = log.platform().order();
    let mut previous: Option<(KVVec<u8>, u64)> = None;
    let mut violations = None;
    for segment in segments {
        let mut bytes = KVVec::new();
        segment
            .for_each_chunk(|part| Ok(bytes.extend_from_slice(part, GFP_KERNEL)?))
            .map_err(|_| "no memory for the test")?;
        let mut rest: &[u8] = &bytes;
        let mut count = 0;
        while !rest.is_empty() {
            let (record, len) =
                Record::parse(rest, 20, order).map_err(|_| "a record is not whole")?;
            rest = rest.get(len..).unwrap_or_default();
            let starts = record.event_name() == Some(EVENT_NAME);
            check(
                starts == (count == 0 && segment.seq() > 0),
                "a checkpoint is not where a segment starts",
            )?;
            if starts {
                let checkpoint = record.buffer().and_then(|b| Checkpoint::parse(b).ok());
                let checkpoint = checkpoint.ok_or("a checkpoint cannot be read")?;
                let header = checkpoint.header();
                check(header.sequence == segment.seq(), "a wrong number")?;
                check(header.record == segment.first_record(), "a wrong place")?;
                if let Some((bytes, count)) = &previous {
                    check(
                        header.segment_digest == sha256(bytes),
                        "a wrong segment digest",
                    )?;
                    check(header.segment_records == *count, "a wrong record count")?;
                }
                let counted = *violations.get_or_insert(header.violations);
                check(header.violations == counted, "a wrong violation count")?;
            }
            if let Some(counted) = &mut violations {
                *counted += u64::from(record.is_violation());
            }
            count += 1;
        }
        previous = Some((bytes, count));
    }
    Ok(())
}
