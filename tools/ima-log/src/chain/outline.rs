// SPDX-License-Identifier: GPL-2.0

//! A log as a whole, in bounded memory however many segments it has: what a report shows of it.
//!
//! All of this is claimed. What the verifier has proven of it, the records' places tell.

use super::Segment;
use crate::list::claim::Claim;
use ima_checkpoint_format::truncate::{Reason, Truncation};
use std::collections::VecDeque;

/// Spans that are kept: neighbours become one when there are more.
const SPANS: usize = 512;

/// Events of a kind that are kept.
const EVENTS: usize = 100;

/// The outline of a log.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// Its segments in order, many in one span if there are many.
    pub spans: Vec<Span>,
    /// Segments in each span but the last.
    width: u64,
    /// The kernels that ran, the first ones.
    pub kernels: Kept<Kernel>,
    /// Where segments are missing, the first places.
    pub gaps: Kept<Gap>,
    /// The newest truncations.
    pub truncations: Kept<Truncated>,
    /// The first segments that are broken.
    pub broken: Kept<Broken>,
    /// Number and time of the newest segment.
    last: Option<(u64, Option<u64>)>,
    /// Truncations in the open segment.
    open: u64,
}

/// Some of many, and how many more there are.
#[derive(Clone, Debug)]
pub struct Kept<T> {
    /// Those that were kept, in the order of the list.
    pub items: VecDeque<T>,
    /// Those that were not.
    pub more: u64,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        let items = VecDeque::new();
        Self { items, more: 0 }
    }
}

impl<T> Kept<T> {
    /// Keeps it, unless there are enough.
    fn keep(&mut self, item: T) {
        if self.items.len() < EVENTS {
            self.items.push_back(item);
        } else {
            self.more += 1;
        }
    }

    /// Keeps it instead of the oldest one.
    fn keep_newest(&mut self, item: T) {
        if self.items.len() == EVENTS {
            self.items.pop_front();
            self.more += 1;
        }
        self.items.push_back(item);
    }

    /// All of them.
    pub fn count(&self) -> u64 {
        (self.items.len() as u64).saturating_add(self.more)
    }
}

/// Segments that follow each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The numbers of the first and the last one, if they are known.
    pub first: Option<u64>,
    /// The same of the last one.
    pub last: Option<u64>,
    /// Place of its first record in the list.
    pub start: u64,
    /// How many segments.
    pub segments: u64,
    /// Their records.
    pub records: u64,
    /// Their bytes, in the sha1 view.
    pub bytes: u64,
    /// Violations among them.
    pub violations: u64,
    /// How many of them are broken.
    pub broken: u64,
    /// Records of truncations among theirs.
    pub truncations: u64,
    /// Segments that are missing before it, or between those in it.
    pub missing: u64,
    /// When its first checkpoint was made: nanoseconds since 1970-01-01 00:00 UTC.
    pub since_ns: Option<u64>,
}

impl Span {
    /// Takes in the one that follows.
    pub fn join(&mut self, next: &Self) {
        self.last = next.last;
        self.segments += next.segments;
        self.records += next.records;
        self.bytes = self.bytes.saturating_add(next.bytes);
        self.violations += next.violations;
        self.broken += next.broken;
        self.truncations += next.truncations;
        self.missing = self.missing.saturating_add(next.missing);
        self.since_ns = self.since_ns.or(next.since_ns);
    }
}

/// A kernel that kept the log: the first after a cold boot, others after a kexec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Kexecs before it.
    pub generation: u32,
    /// The first checkpoint that it made.
    pub checkpoint: u64,
    /// The record of that, by its place in the list.
    pub record: u64,
    /// When that was made: nanoseconds since 1970-01-01 00:00 UTC.
    pub at_ns: u64,
}

/// Segments that are not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first one.
    pub from: u64,
    /// The last one.
    pub to: u64,
    /// Place in the list of the record that follows.
    pub record: u64,
    /// When the last checkpoint before it was made.
    pub after_ns: Option<u64>,
    /// When the first one that follows was made.
    pub before_ns: Option<u64>,
}

/// A truncation, as a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncated {
    /// Place of that record in the list.
    pub record: u64,
    /// Who wanted it.
    pub reason: Reason,
    /// The segment that the kernel's list starts with since.
    pub to: u64,
    /// Records that were freed.
    pub records: u64,
    /// Their bytes, in the sha1 view.
    pub bytes: u64,
    /// Whether the list shows that it is not true.
    pub is_false: bool,
    /// When the last checkpoint before it was made.
    pub after_ns: Option<u64>,
}

/// A segment in which something else extended a PCR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its number, if it is known.
    pub seq: Option<u64>,
    /// Place of its first record in the list.
    pub start: u64,
    /// When its own checkpoint was made.
    pub after_ns: Option<u64>,
}

impl Outline {
    /// A checkpoint comes, at this place of the list.
    pub(super) fn checkpoint(&mut self, claim: &Claim, record: u64) {
        let header = &claim.header;
        let newest = self.kernels.items.back();
        if newest.is_none_or(|kernel| kernel.generation != header.generation) {
            self.kernels.keep(Kernel {
                generation: header.generation,
                checkpoint: header.sequence,
                record,
                at_ns: header.wall_ns,
            });
        }
    }

    /// A segment is complete.
    pub(super) fn segment(&mut self, segment: &Segment) {
        let since_ns = segment.claimed.as_ref().map(|claimed| claimed.wall_ns);
        let missing = match (self.last, segment.seq) {
            (Some((last, after_ns)), Some(seq)) if seq > last.saturating_add(1) => {
                self.gaps.keep(Gap {
                    from: last + 1,
                    to: seq - 1,
                    record: segment.start,
                    after_ns,
                    before_ns: since_ns,
                });
                seq - last - 1
            }
            _ => 0,
        };
        if let Some(seq) = segment.seq {
            self.last = Some((seq, since_ns));
        }
        if segment.broken {
            self.broken.keep(Broken {
                seq: segment.seq,
                start: segment.start,
                after_ns: since_ns,
            });
        }
        let truncations = std::mem::take(&mut self.open);
        self.add(Span {
            first: segment.seq,
            last: segment.seq,
            start: segment.start,
            segments: 1,
            records: segment.records,
            bytes: segment.bytes,
            violations: segment.violations,
            broken: u64::from(segment.broken),
            truncations,
            missing,
            since_ns,
        });
    }

    fn add(&mut self, one: Span) {
        self.width = self.width.max(1);
        match self.spans.last_mut() {
            Some(last) if last.segments < self.width => return last.join(&one),
            _ => self.spans.push(one),
        }
        if self.spans.len() > SPANS {
            self.width = self.width.saturating_mul(2);
            let mut pairs = std::mem::take(&mut self.spans).into_iter();
            while let Some(mut span) = pairs.next() {
                if let Some(next) = pairs.next() {
                    span.join(&next);
                }
                self.spans.push(span);
            }
        }
    }

    /// The record of a truncation comes, at this place of the list.
    pub(super) fn truncation(
        &mut self,
        truncation: &Truncation,
        record: u64,
        is_false: bool,
        after_ns: Option<u64>,
    ) {
        self.open += 1;
        self.truncations.keep_newest(Truncated {
            record,
            reason: truncation.reason,
            to: truncation.sequence,
            records: truncation.records,
            bytes: truncation.bytes,
            is_false,
            after_ns,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(seq: u64) -> Segment {
        Segment {
            seq: Some(seq),
            first: None,
            start: seq * 10,
            records: 10,
            bytes: 100,
            violations: seq % 2,
            broken: seq % 10 == 3,
            partial: false,
            sealed: None,
            claimed: None,
        }
    }

    #[test]
    fn few_segments_are_kept_as_they_are() {
        let mut outline = Outline::default();
        for seq in [0, 1, 2, 5] {
            outline.segment(&segment(seq));
        }
        let seen: Vec<_> = outline
            .spans
            .iter()
            .map(|one| (one.first, one.missing))
            .collect();
        assert_eq!(
            seen,
            [(Some(0), 0), (Some(1), 0), (Some(2), 0), (Some(5), 2)]
        );
        let gap = &outline.gaps.items[0];
        assert_eq!((gap.from, gap.to, gap.record), (3, 4, 50));
    }

    #[test]
    fn many_take_no_more_memory() {
        for count in [511_u64, 512, 513, 1025, 8760, 100_000] {
            let mut outline = Outline::default();
            for seq in 0..count {
                outline.segment(&segment(seq));
            }
            let spans = &outline.spans;
            assert!(spans.len() <= SPANS && (count < 512 || spans.len() > SPANS / 2));
            let sum = |of: fn(&Span) -> u64| spans.iter().map(of).sum::<u64>();
            assert_eq!(sum(|one| one.segments), count);
            assert_eq!(sum(|one| one.records), 10 * count);
            assert_eq!(sum(|one| one.violations), count / 2);
            assert_eq!(sum(|one| one.broken), outline.broken.count());
            // they follow each other, and only the last one may be narrower
            for (one, next) in spans.iter().zip(&spans[1..]) {
                assert_eq!(one.segments, outline.width);
                assert_eq!(one.last.map(|last| last + 1), next.first);
                assert_eq!(one.start + one.records, next.start);
            }
            assert_eq!(
                outline.broken.items.len() as u64,
                outline.broken.count().min(100)
            );
        }
    }

    #[test]
    fn any_number_may_be_claimed() {
        let mut outline = Outline::default();
        for seq in [u64::MAX - 1, 0, u64::MAX, 3, 3, 2] {
            outline.segment(&Segment {
                start: 0,
                ..segment(seq % 1000)
            });
            outline.segment(&Segment {
                seq: Some(seq),
                ..segment(0)
            });
        }
        assert!(outline.gaps.count() > 0);
    }
}
