// SPDX-License-Identifier: GPL-2.0

//! The PCR values in a checkpoint against the replay, and where a replay goes on from them.
//!
//! A checkpoint whose values do not follow from the records is the only thing that may move the
//! replay, and what follows rests on that checkpoint from then on.

use super::Chain;
use crate::{
    bank::{Bank, Digest},
    list::claim::Claim,
    replay::{Origin, Place, Register, Replay, Run, Start, Weight},
    verify::finding::Kind,
};
use ima_checkpoint_format::checkpoint::{Flags, State};
use std::collections::BTreeMap;

impl Chain<'_> {
    /// What the replay of a list starts from that starts with a checkpoint. What the verifier gave is
    /// kept, whatever the checkpoint says.
    pub(super) fn begin(&mut self, claim: &Claim, at: Place, replay: &mut Replay) {
        self.violations = claim.header.violations;
        self.check_kernel_flags(claim, at, true);
        let seq = claim.header.sequence;
        let pin = (seq, Digest::new(&claim.digest));
        let pinned = self.policy.start == Some(pin);
        if pinned {
            let text = format!("the list starts with checkpoint {seq}, which was accepted");
            self.note(Kind::Accepted, at, text);
        }
        for (register, (_, value)) in &claim.values {
            let mut start = Start {
                value: *value,
                origin: match self.voucher(claim, *register) {
                    Origin::Claimed(seq) if pinned => Origin::Accepted(seq),
                    origin => origin,
                },
            };
            if let Some(given) = self.policy.base.get(register) {
                if given != value {
                    let text = format!(
                        "checkpoint {seq} starts {register} from {value}, but the base that was \
                         given is {given}"
                    );
                    self.note(Kind::Value, at, text);
                }
                start = Start {
                    value: *given,
                    origin: Origin::Given,
                };
            }
            replay.restart(*register, start, at.record, |other| self.start(other));
        }
    }

    /// Goes on from a checkpoint that does not follow what was before.
    pub(super) fn restart(&mut self, claim: &Claim, at: Place, replay: &mut Replay) {
        let all: Vec<(Register, Start)> = replay.registers().collect();
        for (register, _) in all {
            let unknown = Start {
                value: register.bank.zeros(),
                origin: Origin::Unknown,
            };
            replay.restart(register, unknown, at.record, |other| self.start(other));
        }
        for register in claim.values.keys() {
            self.go_on(claim, *register, at, replay);
        }
    }

    /// Who vouches for what a checkpoint says that a PCR held.
    fn voucher(&self, claim: &Claim, register: Register) -> Origin {
        let seq = claim.header.sequence;
        match self.policy.endorsements.at(claim, register) {
            Some(endorsed) if endorsed.accepted => Origin::Accepted(seq),
            Some(_) => Origin::Endorsed(seq),
            None => Origin::Claimed(seq),
        }
    }

    /// Lets a PCR go on from what the checkpoint says.
    fn go_on(&self, claim: &Claim, register: Register, at: Place, replay: &mut Replay) {
        if let Some((_, value)) = claim.values.get(&register) {
            let start = Start {
                value: *value,
                origin: self.voucher(claim, register),
            };
            replay.restart(register, start, at.record, |other| self.start(other));
        }
    }

    /// Does the replay reach what the checkpoint says?
    pub(super) fn check_values(&mut self, claim: &Claim, at: Place, replay: &mut Replay) {
        let mut broken: BTreeMap<u32, Vec<Bank>> = BTreeMap::new();
        for (register, (state, value)) in &claim.values {
            if replay.bank(register.bank).is_none() {
                continue;
            }
            let unsure = !replay.is_sure(*register) && replay.value(*register) != Some(*value);
            let known = match (unsure, state) {
                (false, _) => self.unless_known(claim, *register, at, replay),
                (true, State::Differs) => Some(Verdict::Broken),
                (true, _) => Some(Verdict::Unknown),
            };
            let verdict = match known {
                Some(verdict) => verdict,
                None => {
                    let lost = claim.header.flags.contains(Flags::LOG_LOST);
                    let shadow = claim.shadows.get(register);
                    match self.replayed(*register, at, replay) {
                        // of a log that it lost, the kernel knows less than the verifier
                        Some(replayed) if lost && replayed == *value => Verdict::Follows,
                        replayed => judge(*state, value, shadow, replayed),
                    }
                }
            };
            match verdict {
                Verdict::Follows => {
                    let header = &claim.header;
                    self.agreed
                        .insert(*register, (header.sequence, header.record));
                    let vouched = self.voucher(claim, *register).weight();
                    let Some(run) = replay.get(*register) else {
                        continue;
                    };
                    if run.origin.weight() >= vouched {
                        continue;
                    }
                    // all the way from where the list starts, or from what was accepted
                    if run.since == 0 || run.origin.weight() == Weight::Accepted {
                        self.led.insert((*register, at.record));
                    }
                }
                Verdict::Unknown => (),
                Verdict::Broken => broken.entry(register.pcr).or_default().push(register.bank),
                Verdict::New | Verdict::Wrong if self.is_new_bank(claim, *register) => {
                    let seq = claim.header.sequence;
                    let text = format!("{register} is in no checkpoint before checkpoint {seq}");
                    self.note(Kind::NewBank, at, text);
                }
                Verdict::New => self.new_register(claim, *register, at),
                Verdict::Wrong => self.wrong_value(claim, *register, at, replay),
            }
            self.go_on(claim, *register, at, replay);
        }
        for (pcr, banks) in broken {
            self.broken(claim, pcr, &banks, at, replay);
        }
        self.check_left_out(claim, at, replay);
    }

    /// What the records before this one give, or the base if there are none.
    fn replayed(&self, register: Register, at: Place, replay: &Replay) -> Option<Digest> {
        let run = before(register, at, replay).map(|run| run.value.digest());
        let start = self.start(register);
        run.or((start.origin == Origin::Given).then_some(start.value))
    }

    /// A verdict where nobody knows what the replay started from, or the checkpoint says that it
    /// was something else.
    fn unless_known(
        &mut self,
        claim: &Claim,
        register: Register,
        at: Place,
        replay: &mut Replay,
    ) -> Option<Verdict> {
        let Some(run) = before(register, at, replay) else {
            let start = self.start(register);
            if start.origin == Origin::Given {
                // it goes on from the base, without a record so far
                replay.restart(register, start, at.record, |other| self.start(other));
                return None;
            }
            return (self.open.partial || self.is_tail()).then_some(Verdict::Unknown);
        };
        if run.origin == Origin::Unknown {
            return Some(Verdict::Unknown);
        }
        self.before(claim, register, at, replay)
    }

    /// What the checkpoint says that the PCR held before its first use in the segment before.
    fn before(
        &mut self,
        claim: &Claim,
        register: Register,
        at: Place,
        replay: &Replay,
    ) -> Option<Verdict> {
        let (state, before) = claim.before.get(&register)?;
        if self.open.partial {
            // it may have been used in what is not here
            return None;
        }
        let seq = claim.header.sequence;
        let first = replay.pcr(register.pcr).and_then(|pcr| pcr.first);
        let fresh = first.is_some_and(|first| first >= self.open.start);
        if !fresh {
            let text = format!(
                "checkpoint {seq} claims that {register} was not used before the segment that it \
                 seals, but it was"
            );
            self.note(Kind::Claim, at, text);
            return None;
        }
        let start = self.start(register);
        if start.value == *before {
            return None;
        }
        match start.origin {
            Origin::Given | Origin::EventLog => {
                let text = format!(
                    "checkpoint {seq} says that {register} held {before} before IMA used it, but \
                     the value that was given is {}",
                    start.value
                );
                self.note(Kind::Value, at, text);
                None
            }
            _ if *state != State::Match => None,
            _ => {
                let text = format!(
                    "checkpoint {seq} says that {register} held {before} before IMA used it. \
                     Give --event-log or --base to prove what it held since"
                );
                self.note(Kind::Before, at, text);
                Some(Verdict::Unknown)
            }
        }
    }

    /// A bank that an earlier kernel did not have, or that no TPM has, starts anywhere.
    fn is_new_bank(&self, claim: &Claim, register: Register) -> bool {
        self.head.as_ref().is_some_and(|before| {
            before.header.generation < claim.header.generation
                && !before.values.contains_key(&register)
                && before.values.keys().any(|other| other.pcr == register.pcr)
        })
    }

    fn new_register(&mut self, claim: &Claim, register: Register, at: Place) {
        let seq = claim.header.sequence;
        let text =
            format!("checkpoint {seq} has {register}, but no record before it uses that PCR");
        self.note(Kind::Claim, at, text);
    }

    fn wrong_value(&mut self, claim: &Claim, register: Register, at: Place, replay: &Replay) {
        let seq = claim.header.sequence;
        let Some((state, value)) = claim.values.get(&register) else {
            return;
        };
        let replayed = replay.value(register).unwrap_or(register.bank.zeros());
        let text = match (state, claim.shadows.get(&register)) {
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

    fn broken(&mut self, claim: &Claim, pcr: u32, banks: &[Bank], at: Place, replay: &mut Replay) {
        let (seq, digest) = (claim.header.sequence, Digest::new(&claim.digest));
        let broken = seq.saturating_sub(1);
        let names: Vec<_> = banks.iter().map(|bank| bank.name()).collect();
        let names = names.join(", ");
        let text = format!(
            "segment {broken} is broken: something else than IMA extended PCR {pcr} in {names} \
             before this checkpoint"
        );
        if self.policy.breaks.get(&broken) == Some(&digest) {
            for bank in banks {
                let register = Register { pcr, bank: *bank };
                let value = claim.values.get(&register).map(|(_, value)| *value);
                let origin = Origin::Accepted(seq);
                let value = value.unwrap_or(bank.zeros());
                let start = Start { value, origin };
                replay.restart(register, start, at.record, |other| self.start(other));
            }
            self.note(Kind::Accepted, at, format!("{text} (accepted)"));
        } else {
            let hint = format!("{text}. To accept this: --accept-break {broken}:{digest}");
            self.note(Kind::Broken, at, hint);
        }
        self.open.broken = true;
    }

    /// Has it a value of each PCR that was used?
    fn check_left_out(&mut self, claim: &Claim, at: Place, replay: &Replay) {
        if claim.header.flags.contains(Flags::INCOMPLETE) {
            return;
        }
        let has_bank = |bank| claim.values.keys().any(|register| register.bank == bank);
        let used = |pcr| replay.pcr(pcr).is_some_and(|pcr| pcr.records > 0);
        let registers = replay.registers().map(|(register, _)| register);
        let left_out = registers.filter(|register| {
            used(register.pcr) && has_bank(register.bank) && !claim.values.contains_key(register)
        });
        let left_out: Vec<_> = left_out.map(|register| register.to_string()).collect();
        if !left_out.is_empty() {
            let (seq, left_out) = (claim.header.sequence, left_out.join(", "));
            let text = format!("checkpoint {seq} does not say what {left_out} held");
            self.note(Kind::Claim, at, text);
        }
    }
}

/// The replay of a register before this record. That of another bank may have begun with the record,
/// when one of the same PCR did.
fn before(register: Register, at: Place, replay: &Replay) -> Option<&Run> {
    replay.get(register).filter(|run| run.since < at.record)
}

enum Verdict {
    Follows,
    Broken,
    Wrong,
    /// There was no replay.
    New,
    /// Nobody knows what the replay should have started from.
    Unknown,
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
