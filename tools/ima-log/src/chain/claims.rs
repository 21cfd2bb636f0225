// SPDX-License-Identifier: GPL-2.0

//! What a checkpoint claims of the segment before it.

use super::Chain;
use crate::{
    bank::Digest,
    list::claim::Claim,
    replay::{Origin, Place, Replay},
    verify::{finding::Kind, start::Opening},
};
use ima_checkpoint_format::checkpoint::{Flags, State};

impl Chain<'_> {
    /// Does the list start with the first record since cold boot, as far as is known?
    pub(super) fn is_whole(&self) -> bool {
        self.first == Some(0) && self.opening != Opening::Checkpoint
    }

    /// Does the list go on from somewhere? A base of another PCR than IMA's default one may be what
    /// that held when IMA started.
    pub(super) fn is_tail(&self) -> bool {
        self.has_base() || self.opening == Opening::Other
    }

    /// Compares a checkpoint with the segments before it. `digest` is that of the open one.
    pub(super) fn join(
        &mut self,
        claim: &Claim,
        digest: Option<Digest>,
        at: Place,
        replay: &mut Replay,
    ) {
        let seq = claim.header.sequence;
        if !self.open.headed && self.segments == 0 {
            self.settle(claim);
        }
        let before = self.open.seq.unwrap_or(0);
        if self.log_id.is_some_and(|id| id != claim.header.log_id) {
            let ours = self.log_id().map(|id| id.to_string()).unwrap_or_default();
            let text = format!(
                "checkpoint {seq} belongs to log {}, not {ours}",
                claim.log_id()
            );
            self.note(Kind::OtherLog, at, text);
            self.restart(claim, at, replay);
        } else if seq <= before {
            let text =
                format!("segment {seq} follows segment {before}: give each segment once, in order");
            self.note(Kind::Order, at, text);
            self.restart(claim, at, replay);
        } else if seq > before.saturating_add(1) {
            self.check_gap(before, claim, at);
            self.restart(claim, at, replay);
        } else if self.open.torn {
            self.restart(claim, at, replay);
        } else {
            self.check_link(claim, at);
            self.check_digests(claim, digest, at);
            self.check_order(claim, at);
            self.check_flags(claim, at, replay);
            self.check_values(claim, at, replay);
        }
        self.violations = self.violations.max(claim.header.violations);
    }

    /// Finds out what a list starts with that starts with no checkpoint, by the first one in it:
    /// segment 0, or the rest of another segment.
    fn settle(&mut self, next: &Claim) {
        let header = &next.header;
        let before = header.record.saturating_sub(self.open.records);
        self.open.partial = before > 0 && self.is_tail();
        if self.open.partial {
            self.open.seq = header.sequence.checked_sub(1);
            self.open.first = Some(before);
            self.open.offset = Some(header.offset.saturating_sub(self.open.bytes));
        } else {
            (self.open.seq, self.open.first, self.open.offset) = (Some(0), Some(0), Some(0));
        }
        self.first = self.open.first;
    }

    fn check_gap(&mut self, before: u64, claim: &Claim, at: Place) {
        let seq = claim.header.sequence;
        let missing = match (before.saturating_add(1), seq.saturating_sub(1)) {
            (first, last) if first == last => format!("segment {first} is missing"),
            (first, last) => format!("segments {first} to {last} are missing"),
        };
        let Some((records, _)) = self.open.end() else {
            return self.note(Kind::Gap, at, missing);
        };
        let claimed = claim.header.record;
        if claimed <= records {
            let text = format!(
                "checkpoint {seq} says that it is record {claimed}, but {missing}, and there are \
                 {records} records before it"
            );
            self.note(Kind::Claim, at, text);
        }
        let count = claimed.saturating_sub(records);
        let text = format!("{missing}: {count} records before it, from record {records} on");
        self.note(Kind::Gap, at, text);
        self.check_order(claim, at);
    }

    /// Are its numbers those of the segment before?
    fn check_link(&mut self, claim: &Claim, at: Place) {
        let header = &claim.header;
        let mut wrong = Vec::new();
        let mut number = |what: &str, claimed: u64, found: u64| {
            if claimed != found {
                wrong.push(format!("{what} {claimed}, but the list has {found}"));
            }
        };
        let exact = !self.open.inexact;
        if let Some((records, bytes)) = self.open.end() {
            number("records before it:", header.record, records);
            if exact {
                number("bytes before it:", header.offset, bytes);
            }
        }
        if !self.open.partial {
            let (records, bytes) = (self.open.records, self.open.bytes);
            number(
                "records of the segment before:",
                header.segment_records,
                records,
            );
            if exact {
                number("bytes of the segment before:", header.segment_bytes, bytes);
            }
        }
        if header.violations < self.violations {
            number("violations before it:", header.violations, self.violations);
        }
        for wrong in wrong {
            let text = format!("checkpoint {} claims {wrong}", header.sequence);
            self.note(Kind::Claim, at, text);
        }
        if header.violations > self.violations && !self.open.partial {
            let (counted, seen) = (header.violations, self.violations);
            let text = format!("the kernel counted {counted} violations, the list has {seen}");
            self.note(Kind::Violations, at, text);
        }
    }

    fn check_digests(&mut self, claim: &Claim, digest: Option<Digest>, at: Place) {
        if self.open.partial {
            return;
        }
        let seq = claim.header.sequence;
        let name = self
            .open
            .seq
            .map_or("the segment before".to_owned(), |seq| {
                format!("segment {seq}")
            });
        let differs = digest.is_some_and(|digest| digest.as_bytes() != claim.header.segment_digest);
        match (differs, self.open.inexact) {
            (true, true) => {
                let text = format!(
                    "the bytes of {name} cannot be compared in ASCII with those that checkpoint {seq} \
                     sealed"
                );
                self.note(Kind::AsciiSegment, at, text);
            }
            (true, false) => {
                let text = format!(
                    "the bytes of {name} are not those that checkpoint {seq} sealed: their SHA-256 \
                     differs"
                );
                self.note(Kind::SegmentDigest, at, text);
            }
            (false, _) => (),
        }
        let previous = self.head.as_ref().map_or([0; 32], |head| head.digest);
        if previous != claim.header.previous {
            let text =
                format!("checkpoint {seq} names another predecessor than the checkpoint of {name}");
            self.note(Kind::Previous, at, text);
        }
    }

    /// Do generation and clock go on?
    fn check_order(&mut self, claim: &Claim, at: Place) {
        let header = &claim.header;
        let Some(before) = self.head.as_ref().map(|before| before.header) else {
            return;
        };
        let what = if header.generation < before.generation {
            "an earlier kernel"
        } else if header.generation == before.generation && header.boot_ns < before.boot_ns {
            "an earlier time"
        } else {
            return;
        };
        let (seq, earlier) = (header.sequence, before.sequence);
        let text = format!("checkpoint {seq} claims {what} than checkpoint {earlier}");
        self.note(Kind::Claim, at, text);
    }

    fn check_flags(&mut self, claim: &Claim, at: Place, replay: &Replay) {
        let (flags, seq) = (claim.header.flags, claim.header.sequence);
        let has = |flag| flags.contains(flag);
        let states = || claim.values.values().map(|(state, _)| *state);
        let differs = states().any(|state| state == State::Differs);
        if has(Flags::DIFFERS) && !differs && !has(Flags::INCOMPLETE) {
            let text = format!("checkpoint {seq} claims that a PCR differs, but lists none");
            self.note(Kind::Claim, at, text);
        }
        if has(Flags::NO_TPM) && states().any(|state| state != State::Virtual) {
            let text =
                format!("checkpoint {seq} claims values of a TPM, but also that there is none");
            self.note(Kind::Claim, at, text);
        }
        if has(Flags::INCOMPLETE) {
            let text = format!("checkpoint {seq} leaves out PCRs that did not fit");
            self.note(Kind::Incomplete, at, text);
        }
        let lost = !self.goes_on(claim, replay);
        self.check_kernel_flags(claim, at, lost);
    }

    /// Does the replay from the verifier's base reach what the checkpoint says, so that whatever the
    /// kernel misses came before that base?
    fn goes_on(&self, claim: &Claim, replay: &Replay) -> bool {
        let pcr = self.policy.default_pcr;
        claim.values.iter().any(|(register, (_, value))| {
            let run = replay.get(*register).filter(|_| register.pcr == pcr);
            run.is_some_and(|run| run.origin == Origin::Given && run.value.digest() == *value)
        })
    }

    /// Flags that say what the kernel had, also of the first checkpoint of a list.
    pub(super) fn check_kernel_flags(&mut self, claim: &Claim, at: Place, lost: bool) {
        let (flags, seq) = (claim.header.flags, claim.header.sequence);
        if flags.contains(Flags::LOG_LOST) && lost {
            let text = format!(
                "checkpoint {seq} says that records of an earlier kernel are missing before it"
            );
            self.note(Kind::LogLost, at, text);
        }
        if flags.contains(Flags::NO_TPM) {
            let text = format!("checkpoint {seq} was made without a TPM: nothing proves it");
            self.note(Kind::NoTpm, at, text);
        }
        if !claim.unknown.is_empty() {
            let ids: Vec<_> = claim
                .unknown
                .iter()
                .map(|id| format!("{id:#06x}"))
                .collect();
            let ids = ids.join(", ");
            let text = format!(
                "checkpoint {seq} has values of banks that this program does not know: {ids}"
            );
            self.note(Kind::UnknownBank, at, text);
        }
    }
}
