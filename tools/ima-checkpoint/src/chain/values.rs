// SPDX-License-Identifier: GPL-2.0

//! The PCR values in a checkpoint against the replay, and where a replay has its start.

use super::{
    names,
    Chain,
    Origin,
    Run,
    Segment, //
};
use crate::{
    bank::{
        Bank,
        Digest, //
    },
    claim::Claim,
    finding::Kind,
    records::Position,
    replay::Register, //
};
use ima_checkpoint_format::checkpoint::{
    Flags,
    State, //
};
use std::collections::BTreeMap;

impl Chain {
    fn run(&mut self, register: Register, origin: Origin) {
        let run = Run {
            segment: self.segments.len(),
            origin,
        };
        self.runs.entry(register).or_default().push(run);
    }

    /// Continues from a checkpoint that does not follow what was before.
    pub(super) fn restart(&mut self, head: &Claim) {
        self.values.clear();
        for (register, value) in head.base() {
            self.values.insert(register, value);
            self.run(register, Origin::Claimed);
        }
    }

    /// The checkpoint at the start of the list.
    pub(super) fn start(&mut self, head: &Claim, at: Position) {
        self.violations = head.header.violations;
        self.check_kernel_flags(head, at);
        for (register, value) in head.base() {
            let origin = match self.trust.base.get(&register) {
                None => Origin::Claimed,
                Some(given) if *given == value => Origin::Given,
                Some(given) => {
                    let seq = head.header.sequence;
                    let text = format!(
                        "checkpoint {seq} starts {register} from {value}, but the base that was \
                         given is {given}"
                    );
                    self.note(Kind::Value, at, text);
                    Origin::Claimed
                }
            };
            self.values.insert(register, value);
            self.run(register, origin);
        }
    }

    /// PCRs that no segment before used, and no checkpoint has a value of.
    pub(super) fn first_uses(&mut self, segment: &Segment, next: Option<&Claim>) {
        let first = self.segments.is_empty();
        let banks = segment.summary.values.keys();
        let used = banks.filter(|register| segment.summary.used.contains_key(&register.pcr));
        for register in used {
            if self.values.contains_key(register) {
                continue;
            }
            let before = next.and_then(|next| next.before.get(register));
            let held = before
                .map(|(_, value)| *value)
                .unwrap_or(register.bank.zeros());
            let given = self.trust.base.get(register).filter(|_| first);
            let origin = match given {
                Some(_) => Origin::Given,
                None if segment.partial => Origin::Claimed,
                None if first && self.is_rest(segment, register.pcr) => Origin::Claimed,
                None if held.is_zero() => Origin::Reset,
                None => Origin::Before,
            };
            if let Some(given) =
                given.filter(|given| before.is_some() && !segment.partial && **given != held)
            {
                let text = format!(
                    "the next checkpoint says that {register} held {held} before, but the base \
                     that was given is {given}"
                );
                self.note(Kind::Value, segment.summary.start, text);
            }
            self.run(*register, origin);
        }
    }

    /// Does the replay reach what the checkpoint says?
    pub(super) fn check_values(&mut self, head: &Claim, at: Position) {
        let mut broken: BTreeMap<u32, Vec<Bank>> = BTreeMap::new();
        for (register, (state, value)) in &head.values {
            let replayed = self.values.get(register).copied();
            match judge(*state, value, head.shadows.get(register), replayed) {
                Verdict::Follows => (),
                Verdict::Broken => {
                    broken.entry(register.pcr).or_default().push(register.bank);
                    self.run(*register, Origin::Broken);
                }
                Verdict::New if self.is_unknown(*register) => {
                    self.run(*register, Origin::Claimed);
                }
                Verdict::New | Verdict::Wrong if self.is_new_bank(head, *register) => {
                    self.run(*register, Origin::Claimed);
                }
                Verdict::New => {
                    let text = format!(
                        "checkpoint {} has {register}, but no record before it uses that PCR",
                        head.header.sequence
                    );
                    self.note(Kind::Claim, at, text);
                    self.run(*register, Origin::Claimed);
                }
                Verdict::Wrong => {
                    self.wrong(head, *register, at);
                    self.run(*register, Origin::Claimed);
                }
            }
            self.values.insert(*register, *value);
        }
        for (pcr, banks) in broken {
            self.broken(head, pcr, &banks, at);
        }
        self.check_left_out(head, at);
        self.check_before(head, at);
    }

    /// Is it replayed from values that nobody gave?
    fn is_unknown(&self, register: Register) -> bool {
        let first = self.segments.first();
        first.is_some_and(|first| first.head().is_none() && self.is_rest(first, register.pcr))
    }

    /// A bank that an earlier kernel did not have, or that no TPM has, starts anywhere.
    fn is_new_bank(&self, head: &Claim, register: Register) -> bool {
        let before = self.segments.iter().rev().find_map(Segment::head);
        before.is_some_and(|before| {
            before.header.generation < head.header.generation
                && !before.values.contains_key(&register)
                && before.values.keys().any(|other| other.pcr == register.pcr)
        })
    }

    fn wrong(&mut self, head: &Claim, register: Register, at: Position) {
        let seq = head.header.sequence;
        let Some((state, value)) = head.values.get(&register) else {
            return;
        };
        let replayed = self
            .values
            .get(&register)
            .copied()
            .unwrap_or(Digest::new(&[]));
        let text = match (state, head.shadows.get(&register)) {
            (State::Differs, Some(shadow)) if *shadow == replayed => {
                format!("checkpoint {seq} claims that {register} differs, but it does not")
            }
            (State::Differs, Some(shadow)) => format!(
                "checkpoint {seq} says that {register} replays to {shadow}, but the list replays \
                 to {replayed}: records before it were changed, lost or moved"
            ),
            _ => format!(
                "checkpoint {seq} says that {register} held {value}, but the list replays to \
                 {replayed}: records before it were changed, lost or moved"
            ),
        };
        self.note(Kind::Value, at, text);
    }

    fn broken(&mut self, head: &Claim, pcr: u32, banks: &[Bank], at: Position) {
        let seq = head.header.sequence - 1;
        let banks = names(banks);
        let accepted = self.trust.breaks.contains(&seq);
        let text = format!(
            "segment {seq} is broken: something else than IMA extended PCR {pcr} in {banks} before \
             this checkpoint"
        );
        if accepted {
            self.note(Kind::Accepted, at, format!("{text} (accepted)"));
        } else {
            let hint = format!("{text}. To accept that: --accept-break {seq}");
            self.note(Kind::Broken, at, hint);
        }
        if let Some(last) = self.segments.last_mut() {
            last.broken = true;
        }
    }

    /// Has it a value of each PCR that was used?
    fn check_left_out(&mut self, head: &Claim, at: Position) {
        if head.header.flags.contains(Flags::INCOMPLETE) {
            return;
        }
        let has_bank = |bank| head.values.keys().any(|register| register.bank == bank);
        let left_out = self.values.keys().filter(|register| {
            self.used.contains_key(&register.pcr)
                && has_bank(register.bank)
                && !head.values.contains_key(register)
        });
        let left_out: Vec<_> = left_out.map(Register::to_string).collect();
        if !left_out.is_empty() {
            let (seq, left_out) = (head.header.sequence, left_out.join(", "));
            let text = format!("checkpoint {seq} does not say what {left_out} held");
            self.note(Kind::Claim, at, text);
        }
    }

    /// Is what it says of PCRs before their first use about such PCRs?
    fn check_before(&mut self, head: &Claim, at: Position) {
        let index = self.segments.len() - 1;
        for (register, (state, value)) in &head.before {
            let runs = self
                .runs
                .get(register)
                .map(Vec::as_slice)
                .unwrap_or_default();
            let fresh = runs.iter().all(|run| run.segment >= index);
            let seq = head.header.sequence;
            if !fresh {
                let text = format!(
                    "checkpoint {seq} claims that {register} was not used before the segment that \
                     it seals, but it was"
                );
                self.note(Kind::Claim, at, text);
            } else if *state == State::Match && !value.is_zero() {
                let text = format!("{register} held {value} before IMA used it");
                self.note(Kind::Before, at, text);
            }
        }
    }
}

enum Verdict {
    Follows,
    Broken,
    Wrong,
    /// There was no replay.
    New,
}

fn judge(
    state: State,
    value: &Digest,
    shadow: Option<&Digest>,
    replayed: Option<Digest>,
) -> Verdict {
    let Some(replayed) = replayed else {
        return Verdict::New;
    };
    let same = *value == replayed;
    match state {
        State::Differs if shadow == Some(&replayed) && !same => Verdict::Broken,
        State::Differs => Verdict::Wrong,
        State::Unshadowed if !same => Verdict::Broken,
        _ if same => Verdict::Follows,
        _ => Verdict::Wrong,
    }
}
