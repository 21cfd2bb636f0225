// SPDX-License-Identifier: GPL-2.0

//! What others endorse whom the verifier believes, in the verdict: what it rests on, what is of no use
//! here, and what cannot all be true. And the other way round: what can be endorsed of the log.

use super::{
    finding::Kind,
    judge::Judge,
    policy::Told,
    verdict::{PcrVerdict, ProvenCheckpoint, Standing},
};
use crate::{
    endorsement::Believed,
    replay::{Origin, Register},
};

impl Judge<'_> {
    pub(super) fn endorsements(&mut self) {
        let policy = self.policy;
        for text in &policy.endorsements.refused {
            self.find(Kind::EndorsementUnused, text.clone());
        }
        let id = self.chain.log_id();
        let disagreement = id.and_then(|id| policy.endorsements.disagreement(&id));
        if let Some((one, other)) = disagreement {
            let text = format!(
                "{one} endorsed checkpoint {} of this log, and {other} checkpoint {}: both cannot be \
                 true, so somebody was shown a history that was made up",
                one.endorsement.checkpoint, other.endorsement.checkpoint
            );
            self.find(Kind::TwoHistories, text);
        }
        for one in policy.endorsements.all() {
            if self.chain.endorsed.contains(&one.id) {
                continue;
            }
            let endorsement = &one.endorsement;
            let (seq, log) = (endorsement.checkpoint, endorsement.log_id);
            let text = match id == Some(log) {
                true => format!(
                    "the list does not have checkpoint {seq}, which {one} endorsed, or has another one"
                ),
                false => format!("what {one} endorsed is about the log {log}"),
            };
            self.find(Kind::EndorsementUnused, text);
        }
        self.boot();
        self.before();
        self.verdict.endorsements = self.relied_on();
    }

    /// Is the quote that was given of another boot than what the log has, or others endorsed?
    fn boot(&mut self) {
        let Told::Quote(quote) = &self.policy.anchor.told else {
            return;
        };
        if let Some(wrong) = self.log.boots.other(quote) {
            let text = format!(
                "the quote is from another boot than one by the same key that the log has, or that was \
                 endorsed, while a log is of one: {wrong}"
            );
            self.find(Kind::QuoteBoot, text);
        }
    }

    /// Do the records before an endorsed checkpoint lead to its values? They do not if a part of their
    /// segment is missing, or something excuses that they lead elsewhere.
    fn before(&mut self) {
        let verified = || {
            let registers = self.verdict.registers.iter();
            registers.filter(|one| one.standing == Standing::Verified)
        };
        let is_led = |one: &PcrVerdict| match (one.origin, one.proven) {
            (Origin::Endorsed(_), Some((since, _))) => {
                since == 0 || self.chain.led.contains(&(one.register, since))
            }
            _ => true,
        };
        let led = |pcr| verified().any(|one| one.register.pcr == pcr && is_led(one));
        let astray = verified().filter(|one| !led(one.register.pcr));
        let places = astray.filter_map(|one| match (one.origin, one.proven) {
            (Origin::Endorsed(seq), Some((since, _))) => Some((one.register.pcr, since, seq)),
            _ => None,
        });
        if let Some((pcr, since, seq)) = places.min() {
            let text = format!(
                "nobody vouches for what PCR {pcr} was extended with among the {since} records before \
                 checkpoint {seq}, which was endorsed: from where the list starts, they do not lead there \
                 for sure. Leave them out, give the whole segment that they are of, or say what the PCR \
                 held before with --base or --event-log"
            );
            self.find(Kind::Start, text);
        }
    }

    fn relied_on(&self) -> Vec<Believed> {
        let relies = |seq: u64, register: Register| {
            let one = self.verdict.register(register);
            one.is_some_and(|one| match one.standing {
                Standing::Verified => one.origin == Origin::Endorsed(seq),
                Standing::Accepted => one.origin == Origin::Accepted(seq),
                _ => false,
            })
        };
        let endorsements = self.policy.endorsements.all();
        let here = endorsements.filter(|one| self.chain.endorsed.contains(&one.id));
        let endorsed = here.filter(|one| {
            let endorsement = &one.endorsement;
            let mut registers = endorsement.values.keys();
            registers.any(|register| relies(endorsement.checkpoint, *register))
        });
        endorsed.cloned().collect()
    }

    /// What is proven of the newest checkpoint that is covered.
    pub(super) fn checkpoint(&mut self, proven: Option<ProvenCheckpoint>) {
        let Some(mut proven) = proven else {
            return;
        };
        let verdict = &self.verdict;
        let used = &proven.used;
        proven.values.retain(|register, endorsed| {
            let Some(one) = verdict.register(*register) else {
                return false;
            };
            endorsed.accepted |= one.standing == Standing::Accepted;
            let stands = matches!(one.standing, Standing::Verified | Standing::Accepted);
            let before = used.get(&register.pcr).copied().unwrap_or(0);
            stands && before <= one.records
        });
        let mut registers = proven.values.keys();
        if registers.any(|register| register.pcr == self.policy.default_pcr) {
            self.verdict.checkpoint = Some(proven);
        }
    }
}
