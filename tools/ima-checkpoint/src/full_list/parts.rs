// SPDX-License-Identifier: GPL-2.0

//! Which segment comes from where, and whether they follow each other without a gap.

use super::{live, Error, Extent};
use crate::{
    archive::{self, Contents, Log, Meta, Name, State},
    bank::Digest,
    error::Result,
    kernel::{Kernel, Segment},
    records::Position,
};
use std::io;

/// A segment of the whole log, in few bytes: there may be many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number.
    pub seq: u64,
    /// Index of its first record since cold boot.
    pub first: u64,
    /// Bytes before it since cold boot, in the sha1 view.
    pub offset: u64,
    /// Records, when it was listed.
    pub records: u64,
    /// Their bytes in the sha1 view.
    pub bytes: u64,
    /// Is it complete?
    pub sealed: bool,
    /// Bytes of its text in the sha1 bank, if the archive has it.
    pub(super) ascii_bytes: u64,
    /// The front of the SHA-256 of its checkpoint's buffer, zeros for segment 0.
    pub(super) checkpoint: [u8; 8],
    /// Does it come from the archive?
    pub(super) is_archived: bool,
}

/// The front of a digest.
fn front(digest: &Digest) -> [u8; 8] {
    digest.as_bytes().first_chunk().copied().unwrap_or_default()
}

impl Part {
    /// The file of the archive that it comes from; the kernel has it if there is none.
    pub fn archived(&self) -> Option<Name> {
        let state = match self.sealed {
            true => State::Sealed,
            false => State::Tail,
        };
        self.is_archived.then(|| Name::of(self.seq, state))
    }

    /// Opens it in the archive that it was listed in.
    pub(super) fn open(&self, log: &Log, name: Name) -> Result<(Meta, Contents)> {
        let (meta, contents) = log.read(name)?;
        match Self::from_archive(&meta) == *self {
            true => Ok((meta, contents)),
            false => {
                let path = log.path(name);
                Err(archive::Error::Exchanged { path }.into())
            }
        }
    }

    /// Index of the record that follows.
    pub fn end(&self) -> u64 {
        self.first + self.records
    }

    /// The error that its bytes could not be read.
    pub(crate) fn unreadable(&self, error: io::Error) -> Error {
        Error::Unreadable {
            seq: self.seq,
            file: self.archived().map(|name| name.to_string()),
            error,
        }
    }

    fn extent(&self) -> Extent {
        Extent {
            from: Position {
                record: self.first,
                offset: self.offset,
            },
            records: self.records,
            bytes: self.bytes,
        }
    }

    pub(super) fn end_offset(&self) -> u64 {
        self.offset + self.bytes
    }

    fn from_archive(meta: &Meta) -> Self {
        Self {
            seq: meta.seq,
            first: meta.first,
            offset: meta.offset,
            records: meta.records,
            bytes: meta.bytes,
            sealed: meta.state == State::Sealed,
            ascii_bytes: meta.ascii_bytes,
            checkpoint: front(&meta.checkpoint),
            is_archived: true,
        }
    }

    pub(super) fn from_kernel(segment: &Segment, offset: u64) -> Self {
        Self {
            seq: segment.seq,
            first: segment.first,
            offset,
            records: segment.records,
            bytes: segment.bytes,
            sealed: !segment.active,
            ascii_bytes: 0,
            checkpoint: front(&segment.digest),
            is_archived: false,
        }
    }

    /// Can this be the same segment, seen later?
    pub(super) fn continues(&self, earlier: &Self) -> bool {
        let place = |part: &Self| (part.seq, part.first, part.offset, part.checkpoint);
        let size = |part: &Self| (part.records, part.bytes);
        place(self) == place(earlier)
            && match earlier.sealed {
                true => self.sealed && size(self) == size(earlier),
                false => self.records >= earlier.records && self.bytes >= earlier.bytes,
            }
    }
}

/// The segments from the one with record `from` on.
pub(super) fn list(archive: Option<&Log>, kernel: Option<&Kernel>, from: u64) -> Result<Vec<Part>> {
    let mut archived = Vec::new();
    if let Some(log) = archive {
        let segments = log.segments()?;
        archived.reserve_exact(segments.len());
        for name in segments {
            archived.push(Part::from_archive(&log.meta(name)?));
        }
    }
    let mut live_parts = Vec::new();
    if let Some(kernel) = kernel {
        let (log_id, segments) = live(kernel)?;
        if let Some(log) = archive.filter(|log| log.name().log_id != log_id) {
            return Err(Error::OtherLog {
                archived: log.name().to_string(),
                live: log_id,
            }
            .into());
        }
        let parts = segments
            .iter()
            .map(|(segment, offset)| Part::from_kernel(segment, *offset));
        live_parts.extend(parts);
    }
    Ok(merge(archived, live_parts, from)?)
}

/// Puts archive and kernel together. What is archived and sealed comes from the archive.
fn merge(mut parts: Vec<Part>, live: Vec<Part>, from: u64) -> Result<Vec<Part>, Error> {
    // in ascending order, one of each number
    let archived = parts.len();
    for part in live {
        let known = parts.get_mut(..archived).unwrap_or_default();
        let at = known.binary_search_by_key(&part.seq, |known| known.seq);
        let Some(known) = at.ok().and_then(|at| known.get_mut(at)) else {
            parts.push(part);
            continue;
        };
        if !part.continues(known) {
            return Err(contradiction(known, &part));
        }
        if !known.sealed {
            *known = part;
        }
    }
    parts.sort_by_key(|part| part.seq);
    let needed = parts.partition_point(|part| part.end() <= from);
    // the last one is needed to tell that there is no such record
    parts.drain(..needed.min(parts.len().saturating_sub(1)));
    without_gap(&parts, from)?;
    Ok(parts)
}

fn contradiction(archived: &Part, live: &Part) -> Error {
    Error::Contradiction {
        seq: live.seq,
        file: archived
            .archived()
            .map(|name| name.to_string())
            .unwrap_or_default(),
        archived: archived.extent(),
        live: live.extent(),
    }
}

fn without_gap(parts: &[Part], from: u64) -> Result<(), Error> {
    let (mut next, mut offset) = (from, None);
    let mut after = None;
    for part in parts {
        if part.first > next {
            return Err(Error::Missing {
                from: next,
                to: part.first,
                after,
                before: part.seq,
            });
        }
        let overlaps = after.is_some() && part.first < next;
        if overlaps || offset.is_some_and(|offset| part.offset != offset) {
            return Err(Error::Overlap {
                seq: part.seq,
                starts: part.extent().from,
                ends: Position {
                    record: next,
                    offset: offset.unwrap_or_default(),
                },
            });
        }
        next = part.end();
        offset = Some(part.end_offset());
        after = Some(part.seq);
    }
    if parts.is_empty() {
        return Err(Error::Empty);
    }
    Ok(())
}

/// The segments between two, in words.
pub(super) fn missing(after: Option<u64>, before: u64) -> String {
    match (after.map_or(0, |seq| seq + 1), before.saturating_sub(1)) {
        (first, last) if first == last => format!("segment {first}"),
        (first, last) if first < last => format!("segments {first} to {last}"),
        (_, last) => format!("the rest of segment {last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ima_checkpoint_format::ByteOrder;

    /// Segment `seq` with ten records of ten bytes each, archived.
    fn archived(seq: u64, state: State) -> Part {
        let mut meta = Meta::new("h", &"0".repeat(32), seq, state, ByteOrder::Little);
        meta.first = seq * 10;
        meta.offset = seq * 100;
        (meta.records, meta.bytes) = (10, 100);
        Part::from_archive(&meta)
    }

    fn sealed(seqs: std::ops::Range<u64>) -> Vec<Part> {
        seqs.map(|seq| archived(seq, State::Sealed)).collect()
    }

    /// The same in the kernel; the last one is active and has more.
    fn live(seqs: std::ops::Range<u64>) -> Vec<Part> {
        let last = seqs.end - 1;
        let part = |seq| Part {
            sealed: seq != last,
            records: if seq == last { 15 } else { 10 },
            bytes: if seq == last { 150 } else { 100 },
            is_archived: false,
            ..archived(seq, State::Sealed)
        };
        seqs.map(part).collect()
    }

    /// Which comes from the archive.
    fn sources(parts: Result<Vec<Part>, Error>) -> Result<Vec<(u64, bool)>, Error> {
        let source = |part: &Part| (part.seq, part.archived().is_some());
        parts.map(|parts| parts.iter().map(source).collect())
    }

    /// What a gap is called.
    fn gap(parts: Result<Vec<Part>, Error>) -> String {
        let error = parts.expect_err("a gap");
        assert!(matches!(error, Error::Missing { .. }), "{error:?}");
        error.to_string()
    }

    #[test]
    fn the_archive_first_then_the_kernel() -> Result<(), Error> {
        let merged = merge(sealed(0..2), live(1..4), 0);
        assert_eq!(
            sources(merged)?,
            [(0, true), (1, true), (2, false), (3, false)]
        );
        assert_eq!(sources(merge(sealed(0..2), live(2..3), 0))?.len(), 3);
        assert_eq!(sources(merge(sealed(0..2), Vec::new(), 0))?.len(), 2);
        assert_eq!(sources(merge(Vec::new(), live(0..2), 0))?.len(), 2);
        Ok(())
    }

    #[test]
    fn a_tail_only_where_the_kernel_has_nothing() -> Result<(), Error> {
        let mut metas = sealed(0..1);
        metas.push(archived(1, State::Tail));
        assert_eq!(
            sources(merge(metas.clone(), live(1..2), 0))?,
            [(0, true), (1, false)]
        );
        assert_eq!(
            sources(merge(metas.clone(), Vec::new(), 0))?,
            [(0, true), (1, true)]
        );
        assert_eq!(sources(merge(metas, live(2..3), 0))?.len(), 3);
        Ok(())
    }

    #[test]
    fn gaps() {
        let text = gap(merge(sealed(0..2), live(4..5), 0));
        assert!(text.starts_with("records 20 to 39 are missing"), "{text}");
        assert!(text.contains("segments 2 to 3"), "{text}");
        let text = gap(merge(Vec::new(), live(1..2), 0));
        assert!(
            text.contains("records 0 to 9 ") && text.contains("segment 0."),
            "{text}"
        );
        let mut cut = archived(1, State::Tail);
        cut.records = 4;
        let metas = vec![archived(0, State::Sealed), cut];
        let text = gap(merge(metas, live(2..3), 0));
        assert!(
            text.contains("14 to 19") && text.contains("the rest of segment 1"),
            "{text}"
        );
        let nothing = merge(Vec::new(), Vec::new(), 0);
        assert!(matches!(nothing, Err(Error::Empty)));
    }

    #[test]
    fn from_behind_a_gap() -> Result<(), Error> {
        let mut metas = sealed(1..4);
        metas.remove(1);
        for (from, wanted) in [
            (30, vec![3, 4]),
            (39, vec![3, 4]),
            (40, vec![4]),
            (99, vec![4]),
        ] {
            let merged = sources(merge(metas.clone(), live(4..5), from))?;
            assert_eq!(
                merged.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
                wanted
            );
        }
        for from in [0, 9, 10, 20, 29] {
            gap(merge(metas.clone(), live(4..5), from));
        }
        Ok(())
    }

    #[test]
    fn contradictions() {
        for change in [
            |part: &mut Part| part.records = 9,
            |part: &mut Part| part.bytes = 99,
            |part: &mut Part| part.first = 9,
            |part: &mut Part| part.offset = 99,
            |part: &mut Part| part.checkpoint = [1; 8],
        ] {
            let mut metas = sealed(0..2);
            metas.iter_mut().skip(1).for_each(change);
            let refused = merge(metas, live(1..3), 0);
            assert!(matches!(refused, Err(Error::Contradiction { seq: 1, .. })));
        }
        // sealed in the archive, still growing in the kernel
        let refused = merge(sealed(0..2), live(1..2), 0);
        assert!(matches!(refused, Err(Error::Contradiction { .. })));
        let refused = merge(sealed(0..3), live(0..2), 0);
        assert!(matches!(
            refused,
            Err(Error::Overlap { .. } | Error::Contradiction { .. })
        ));
    }
}
