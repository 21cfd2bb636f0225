// SPDX-License-Identifier: GPL-2.0

//! The live segments: sealed ones, oldest first, and then the one active segment.
//!
//! What is said of a segment here changes under one lock, so that whoever looks sees all segments
//! as they were at one moment.

use super::{
    queue::Queue,
    Segment,
    Span, //
};
use crate::memory::{
    KVVec,
    KVec, //
};
use crate::platform::{
    Digest,
    Platform, //
};
use core::ops::Deref;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A segment that does not grow any more.
#[derive(Clone)]
pub(crate) struct SealedSegment {
    pub(super) segment: Arc<Segment>,
    /// Where it ends.
    pub(super) end: Span,
    /// The default PCR was extended behind IMA's back while it grew.
    pub(super) broken: bool,
}

/// What a checkpoint does: it seals the active segment and is the first record of the next one.
#[derive(Clone)]
pub(crate) struct Seal {
    /// Is empty, and starts where the list ends.
    pub(crate) next: Arc<Segment>,
    /// The default PCR was extended behind IMA's back while the active segment grew.
    pub(crate) broken: bool,
}

/// A live segment as it was at one moment.
pub(crate) struct Live {
    segment: Arc<Segment>,
    base: Arc<KVec<Digest>>,
    end: Span,
    /// Only one that is sealed can be known to be broken.
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Active,
    Sealed { broken: bool },
}

impl Live {
    fn new(segment: &Arc<Segment>, end: Span, state: State) -> Self {
        Self {
            segment: segment.clone(),
            base: segment.base(),
            end,
            state,
        }
    }

    /// It does not grow any more.
    pub(crate) fn is_sealed(&self) -> bool {
        matches!(self.state, State::Sealed { .. })
    }

    /// The default PCR was extended behind IMA's back while it grew.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self.state, State::Sealed { broken: true })
    }

    /// Its size.
    pub(crate) fn len(&self) -> Span {
        self.end - self.segment.start()
    }

    /// Value of the default PCR in bank number `bank` that its replay starts from.
    ///
    /// `None` for a bank that cannot be replayed, and before the first record of the default PCR.
    pub(crate) fn base(&self, platform: &Platform, bank: usize) -> Option<&Digest> {
        platform.banks().get(bank).filter(|bank| bank.mapped())?;
        self.base.get(bank)
    }
}

impl Deref for Live {
    type Target = Segment;

    fn deref(&self) -> &Segment {
        &self.segment
    }
}

/// The live segments. There always is exactly one active segment, the last.
pub(super) struct Table {
    /// Oldest first. Their numbers are consecutive, and that of the active segment follows.
    sealed: Queue<SealedSegment>,
    active: Arc<Segment>,
    /// Where the active segment ends by now.
    end: Span,
}

impl Table {
    /// A table whose only segment is `active`, which is empty.
    pub(super) fn new(active: Arc<Segment>) -> Self {
        Self {
            sealed: Queue::default(),
            end: active.start(),
            active,
        }
    }

    /// Number of segments.
    pub(super) fn len(&self) -> usize {
        self.sealed.len().saturating_add(1)
    }

    /// The oldest segment.
    pub(super) fn first(&self) -> &Segment {
        self.sealed
            .first()
            .map_or(&self.active, |sealed| &sealed.segment)
    }

    /// The segment that grows.
    pub(super) fn active(&self) -> &Arc<Segment> {
        &self.active
    }

    /// Where the list ends.
    pub(super) fn end(&self) -> Span {
        self.end
    }

    /// Segment number `seq`: ESTALE if it was freed, ENOENT if it does not exist yet.
    pub(super) fn segment(&self, seq: u64) -> Result<&Arc<Segment>> {
        let index = seq.checked_sub(self.first().seq()).ok_or(ESTALE)?;
        if seq == self.active.seq() {
            return Ok(&self.active);
        }
        usize::try_from(index)
            .ok()
            .and_then(|index| self.sealed.get(index))
            .map(|sealed| &sealed.segment)
            .ok_or(ENOENT)
    }

    /// The last segment that `is_before` what is looked for, as all before it are.
    pub(super) fn last_where(&self, is_before: impl Fn(&Segment) -> bool) -> Option<&Arc<Segment>> {
        if is_before(&self.active) {
            return Some(&self.active);
        }
        let sealed = self.sealed.last_where(|s| is_before(&s.segment))?;
        Some(&sealed.segment)
    }

    /// The segments from number `seq` on.
    pub(super) fn live_from(&self, seq: u64) -> impl Iterator<Item = Live> + '_ {
        let skipped = seq.saturating_sub(self.first().seq());
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let sealed = self.sealed.iter_from(skipped).map(|sealed| {
            let broken = sealed.broken;
            Live::new(&sealed.segment, sealed.end, State::Sealed { broken })
        });
        let active = (seq <= self.active.seq()).then_some(&self.active);
        let active = active
            .into_iter()
            .map(|active| Live::new(active, self.end, State::Active));
        Iterator::chain(sealed, active)
    }

    /// Tells whether there is room for another sealed segment.
    pub(super) fn has_room(&mut self) -> bool {
        self.sealed.has_room()
    }

    /// Moves the sealed segments to `roomier`, which is empty. Returns what held them.
    pub(super) fn move_to(&mut self, mut roomier: Queue<SealedSegment>) -> Queue<SealedSegment> {
        while let Some(sealed) = self.sealed.pop() {
            let _ = roomier.push(sealed);
        }
        core::mem::replace(&mut self.sealed, roomier)
    }

    /// The list now ends at `end`, with the first record of a new segment if there is a `seal`; for
    /// that there has to be room.
    pub(super) fn append(&mut self, seal: Option<Seal>, end: Span) {
        if let Some(Seal { next, broken }) = seal {
            let sealed = SealedSegment {
                segment: core::mem::replace(&mut self.active, next),
                end: self.end,
                broken,
            };
            let _ = self.sealed.push(sealed);
        }
        self.end = end;
    }

    /// Moves the segments before `seq` to `freed`, as far as it has the capacity for them.
    pub(super) fn remove_before(&mut self, seq: u64, freed: &mut KVVec<SealedSegment>) {
        let is_old = |sealed: &SealedSegment| sealed.segment.seq() < seq;
        while freed.len() < freed.capacity() && self.sealed.first().is_some_and(is_old) {
            let Some(sealed) = self.sealed.pop() else {
                return;
            };
            let _ = freed.push_within_capacity(sealed);
        }
    }
}
