// SPDX-License-Identifier: GPL-2.0

//! A log from its first record to its last, in a number of bins that fits on a page.

use super::{Number, MAX_ROWS};
use crate::{
    chain::outline::Span,
    replay::Origin,
    verify::verdict::{Standing, Verdict},
};
use serde::Serialize;

/// Bins of a timeline.
const MAX_BINS: usize = 48;

/// Stretches of a timeline.
const MAX_STRETCHES: usize = MAX_ROWS;

/// The segments of a log, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// Bins; if there are few segments, each is one of them.
    pub bins: Vec<Bin>,
    /// Segments that a bin stands for, at most.
    pub width: Number,
    /// What is proven of IMA's default PCR, in order. No record is in two of them.
    pub proven: Vec<Stretch>,
}

/// Records that follow each other, and are proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stretch {
    /// Index of the first one since cold boot.
    pub first: Number,
    /// Index of the last one.
    pub last: Number,
    /// The first one, by its place in the list.
    pub place: Number,
    /// How many.
    pub records: Number,
    /// What can be said of them: `verified`, `accepted`, `partial`.
    pub standing: Standing,
}

/// Segments that follow each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bin {
    /// The number of the first one.
    pub first: Option<Number>,
    /// The number of the last one.
    pub last: Option<Number>,
    /// How many.
    pub segments: Number,
    /// Index of the first record since cold boot, as far as checkpoints tell.
    pub record: Number,
    /// The same record, by its place in the list.
    pub place: Number,
    /// Their records.
    pub records: Number,
    /// Their bytes, in the sha1 view.
    pub bytes: Number,
    /// When the first checkpoint was made, as it claims: nanoseconds since 1970-01-01 00:00 UTC.
    pub since_ns: Option<Number>,
    /// Records that are proven from a start that somebody vouches for.
    pub proven: Number,
    /// Records that are proven from a start that nobody vouches for.
    pub partial: Number,
    /// Genuine quotes among their records that prove something; of many, every second, fourth and
    /// so on.
    pub quotes: Number,
    /// Truncations among their records.
    pub truncations: Number,
    /// Violations among their records.
    pub violations: Number,
    /// Segments that are broken.
    pub broken: Number,
    /// Segments that are missing before or between them.
    pub missing: Number,
    /// The kexec generation of a kernel whose first checkpoint is here.
    pub kernel: Option<u32>,
}

impl Timeline {
    pub(super) fn new(verdict: &Verdict) -> Self {
        let spans = &verdict.log.outline.spans;
        let together = spans.len().div_ceil(MAX_BINS).max(1);
        let joined: Vec<Span> = spans.chunks(together).filter_map(join).collect();
        let stretches = stretches(verdict);
        // a span without records, which is the last one, ends where it starts
        let ends: Vec<u64> = joined.iter().skip(1).map(|span| span.start).collect();
        let ends = ends.into_iter().chain([u64::MAX]);
        let bins = joined.iter().zip(ends);
        let bins = bins.map(|(span, next)| bin(span, next, &stretches, verdict));
        let bins: Vec<Bin> = bins.collect();
        let width = bins.iter().map(|bin| bin.segments).max();
        let proven = stretches.iter().map(|one| Stretch {
            first: Number(verdict.in_log(one.first)),
            last: Number(verdict.in_log(one.end - 1)),
            place: Number(one.first),
            records: Number(one.end - one.first),
            standing: one.standing,
        });
        Self {
            bins,
            width: width.unwrap_or_default(),
            proven: proven.collect(),
        }
    }
}

fn join(spans: &[Span]) -> Option<Span> {
    let (first, rest) = spans.split_first()?;
    let mut joined = first.clone();
    for next in rest {
        joined.join(next);
    }
    Some(joined)
}

/// A span, up to the place where the next one starts.
fn bin(span: &Span, next: u64, stretches: &[Proven], verdict: &Verdict) -> Bin {
    let within = |place: u64| place >= span.start && place < next;
    let stop = span.start.saturating_add(span.records);
    let proven = |is_partial: bool| {
        let alike = stretches.iter();
        let alike = alike.filter(|one| (one.standing == Standing::Partial) == is_partial);
        let overlap = alike.map(|one| {
            let from = one.first.max(span.start);
            one.end.min(stop).saturating_sub(from)
        });
        Number(overlap.sum())
    };
    let marks = verdict.quotes.marks.places.iter();
    let mut kernels = verdict.log.outline.kernels.items.iter();
    Bin {
        first: span.first.map(Number),
        last: span.last.map(Number),
        segments: Number(span.segments),
        record: Number(verdict.in_log(span.start)),
        place: Number(span.start),
        records: Number(span.records),
        bytes: Number(span.bytes),
        since_ns: span.since_ns.map(Number),
        proven: proven(false),
        partial: proven(true),
        quotes: Number(marks.filter(|place| within(**place)).count() as u64),
        truncations: Number(span.truncations),
        violations: Number(span.violations),
        broken: Number(span.broken),
        missing: Number(span.missing),
        kernel: kernels
            .find(|kernel| within(kernel.record))
            .map(|kernel| kernel.generation),
    }
}

/// Records that are proven, by their places: the first, and the one after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Proven {
    first: u64,
    end: u64,
    standing: Standing,
}

impl Proven {
    /// What is proven from a start that somebody vouches for counts more, then what is longer.
    fn worth(&self) -> (u8, u64) {
        let rank = match self.standing {
            Standing::Verified => 3,
            Standing::Accepted => 2,
            Standing::Partial => 1,
            Standing::Weak | Standing::Unanchored | Standing::Mismatch => 0,
        };
        (rank, self.end.saturating_sub(self.first))
    }

    /// What is left of it without the records of another one: before those, and after them.
    fn without(self, other: &Self) -> [Self; 2] {
        let before = Self {
            end: self.end.min(other.first),
            ..self
        };
        let after = Self {
            first: self.first.max(other.end),
            ..self
        };
        [before, after]
    }
}

/// What is proven of IMA's default PCR: by what was given, by the quotes in the list, and what is
/// proven by several of them once.
fn stretches(verdict: &Verdict) -> Vec<Proven> {
    let registers = verdict.registers.iter();
    let registers = registers.filter(|one| one.register.pcr == verdict.default_pcr);
    let given = registers.filter_map(|one| {
        let (first, end) = one.proven?;
        let standing = one.standing;
        Some(Proven {
            first,
            end,
            standing,
        })
    });
    let quoted = verdict.quotes.stretches.0.iter().map(|one| Proven {
        first: one.first,
        end: one.end,
        standing: match one.origin {
            origin if origin.is_trusted() => Standing::Verified,
            Origin::Accepted(_) => Standing::Accepted,
            _ => Standing::Partial,
        },
    });
    let mut all: Vec<Proven> = given.chain(quoted).collect();
    // a list without anything new is proven as well
    all.retain(|one| one.first < one.end);
    all.sort_by_key(|one| std::cmp::Reverse(one.worth()));
    let mut kept: Vec<Proven> = Vec::new();
    for one in all {
        let mut rest = vec![one];
        for other in &kept {
            rest = rest.iter().flat_map(|one| one.without(other)).collect();
            rest.retain(|one| one.first < one.end);
        }
        kept.extend(rest);
        if kept.len() >= MAX_STRETCHES {
            break;
        }
    }
    kept.sort_by_key(|one| one.first);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_record_is_proven_twice() {
        let one = |first, end, standing| Proven {
            first,
            end,
            standing,
        };
        let long = one(0, 20, Standing::Partial);
        let rest = long.without(&one(5, 10, Standing::Verified));
        assert_eq!(
            rest,
            [one(0, 5, Standing::Partial), one(10, 20, Standing::Partial)]
        );
        let [before, after] =
            one(5, 10, Standing::Partial).without(&one(0, 20, Standing::Verified));
        assert!(before.first >= before.end && after.first >= after.end);
    }
}
