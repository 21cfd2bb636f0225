// SPDX-License-Identifier: GPL-2.0

//! What a checkpoint claims of the segment before it.

use super::{
    Chain,
    Segment, //
};
use crate::{
    claim::Claim,
    finding::Kind,
    records::Position, //
};
use ima_checkpoint_format::checkpoint::{
    Flags,
    State, //
};

impl Chain {
    /// Compares a checkpoint with the segments before it.
    pub(super) fn join(&mut self, head: &Claim, at: Position) {
        let Some(last) = self.segments.last() else {
            return;
        };
        let seq = head.header.sequence;
        if let Some(log_id) = self.log_id().filter(|id| *id != head.log_id()) {
            let text = format!(
                "checkpoint {seq} is of the log {}, not {log_id}",
                head.log_id()
            );
            self.note(Kind::OtherLog, at, text);
            self.restart(head);
            return;
        }
        let before = last.seq.unwrap_or(0);
        if seq <= before {
            let text = format!(
                "segment {seq} comes behind segment {before}: give each segment once, in order"
            );
            self.note(Kind::Order, at, text);
            self.restart(head);
        } else if self.is_gap(head) {
            self.check_gap(before, head, at);
            self.restart(head);
        } else {
            self.check_link(head, at);
            self.check_order(head, at);
            self.check_flags(head, at);
            self.check_values(head, at);
        }
        self.violations = self.violations.max(head.header.violations);
    }

    fn check_gap(&mut self, before: u64, head: &Claim, at: Position) {
        let seq = head.header.sequence;
        let missing = match (before + 1, seq - 1) {
            (first, last) if first == last => format!("segment {first} is missing"),
            (first, last) => format!("segments {first} to {last} are missing"),
        };
        let Some((records, _)) = self.end() else {
            return self.note(Kind::Gap, at, missing);
        };
        let claimed = head.header.record;
        if claimed <= records {
            let text = format!(
                "checkpoint {seq} says that it is record {claimed}, but {missing} and there are \
                 {records} records before"
            );
            self.note(Kind::Claim, at, text);
        }
        let count = claimed.saturating_sub(records);
        let text = format!("{missing}: {count} records before it, from record {records} on");
        self.note(Kind::Gap, at, text);
        self.check_order(head, at);
    }

    /// Is all that it says of the segment before true?
    fn check_link(&mut self, head: &Claim, at: Position) {
        let header = &head.header;
        let Some(last) = self.segments.last() else {
            return;
        };
        let summary = &last.summary;
        let mut wrong = Vec::new();
        let mut number = |what: &str, claimed: u64, found: u64| {
            if claimed != found {
                wrong.push(format!("{what} {claimed}, but the list has {found}"));
            }
        };
        if let Some((records, bytes)) = self.end() {
            number("records before it:", header.record, records);
            number("bytes before it:", header.offset, bytes);
        }
        if !last.partial {
            number(
                "records of the segment before:",
                header.segment_records,
                summary.records(),
            );
            number(
                "bytes of the segment before:",
                header.segment_bytes,
                summary.bytes,
            );
        }
        if header.violations < self.violations {
            number("violations before it:", header.violations, self.violations);
        }
        for wrong in wrong {
            let text = format!("checkpoint {} claims {wrong}", header.sequence);
            self.note(Kind::Claim, at, text);
        }
        if header.violations > self.violations {
            let (counted, seen) = (header.violations, self.violations);
            let text = format!("the kernel counted {counted} violations, the list has {seen}");
            self.note(Kind::Violations, at, text);
        }
        self.check_digests(head, at);
    }

    fn check_digests(&mut self, head: &Claim, at: Position) {
        let (Some(last), seq) = (self.segments.last(), head.header.sequence) else {
            return;
        };
        let digest = last.summary.digest.filter(|_| !last.partial);
        let previous = match last.head() {
            Some(before) => Some(before.digest),
            None if last.partial => None,
            None => Some([0; 32]),
        };
        let name = last.name();
        if digest.is_some_and(|digest| digest.as_bytes() != head.header.segment_digest) {
            let text = format!(
                "the bytes of {name} are not those that checkpoint {seq} was made of: their \
                 SHA-256 differs"
            );
            self.note(Kind::SegmentDigest, at, text);
        }
        if previous.is_some_and(|previous| previous != head.header.previous) {
            let text =
                format!("checkpoint {seq} was made behind another checkpoint than that of {name}");
            self.note(Kind::Previous, at, text);
        }
    }

    /// Do generation and clock go on?
    fn check_order(&mut self, head: &Claim, at: Position) {
        let header = &head.header;
        let before = self.segments.iter().rev().find_map(Segment::head);
        let Some(before) = before.map(|before| before.header) else {
            return;
        };
        let what = if header.generation < before.generation {
            "an earlier kernel"
        } else if header.generation == before.generation && header.boot_ns < before.boot_ns {
            "an earlier time"
        } else if header.default_pcr != before.default_pcr {
            "another default PCR"
        } else {
            return;
        };
        let (seq, earlier) = (header.sequence, before.sequence);
        let text = format!("checkpoint {seq} claims {what} than checkpoint {earlier}");
        self.note(Kind::Claim, at, text);
    }

    fn check_flags(&mut self, head: &Claim, at: Position) {
        let (flags, seq) = (head.header.flags, head.header.sequence);
        let has = |flag| flags.contains(flag);
        let states = || head.values.values().map(|(state, _)| *state);
        let differs = states().any(|state| state == State::Differs);
        if has(Flags::DIFFERS) && !differs && !has(Flags::INCOMPLETE) {
            let text = format!("checkpoint {seq} claims that a PCR differs, but lists none");
            self.note(Kind::Claim, at, text);
        }
        if has(Flags::NO_TPM) && states().any(|state| state != State::Virtual) {
            let text = format!("checkpoint {seq} claims values of a TPM, and that there is none");
            self.note(Kind::Claim, at, text);
        }
        if has(Flags::INCOMPLETE) {
            let text = format!("checkpoint {seq} leaves out PCRs that did not fit");
            self.note(Kind::Incomplete, at, text);
        }
        self.check_kernel_flags(head, at);
    }

    /// Flags that say what the kernel had, also of the first checkpoint of a list.
    pub(super) fn check_kernel_flags(&mut self, head: &Claim, at: Position) {
        let (flags, seq) = (head.header.flags, head.header.sequence);
        if flags.contains(Flags::LOG_LOST) {
            let text = format!(
                "checkpoint {seq} says that records of an earlier kernel are missing before it"
            );
            self.note(Kind::LogLost, at, text);
        }
        if flags.contains(Flags::NO_TPM) {
            let text = format!("checkpoint {seq} was made without a TPM: nothing proves it");
            self.note(Kind::NoTpm, at, text);
        }
        if !head.unknown.is_empty() {
            let ids: Vec<_> = head.unknown.iter().map(|id| format!("{id:#06x}")).collect();
            let ids = ids.join(", ");
            let text =
                format!("checkpoint {seq} has values of banks that are not known here: {ids}");
            self.note(Kind::UnknownBank, at, text);
        }
    }
}
