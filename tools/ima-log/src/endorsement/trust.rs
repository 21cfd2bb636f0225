// SPDX-License-Identifier: GPL-2.0

//! The endorsements that a verification believes, and what they say of its list.
//!
//! An endorsement is a trusted start at exactly its checkpoint, in exactly its PCRs and banks. One that
//! does not count is not forgotten: the verdict says why it changed nothing.

use super::{Endorsed, Endorsement};
use crate::{bank::Digest, list::claim::Claim, quote::KeyName, replay::Register};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::SystemTime,
};

/// An endorsement whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Believed {
    /// SHA-256 of the signed statement, by which it can be revoked.
    pub id: Digest,
    /// SHA-256 of the public key that signed it, as SubjectPublicKeyInfo in DER.
    pub by: Digest,
    /// What was signed.
    pub endorsement: Endorsement,
}

/// Who endorsed it and when, for a report. Nothing in it can harm a terminal.
impl fmt::Display for Believed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = humantime::format_rfc3339_seconds(self.endorsement.time);
        let id = crate::escape::Escaped::word(self.endorsement.verifier.id.as_bytes());
        write!(f, "{id} with the key {} at {time}", self.by)
    }
}

/// What an endorsement must meet, besides its signature.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// The earliest time at which it may have been made.
    pub not_before: Option<SystemTime>,
    /// Those that were revoked, by SHA-256 of their statements.
    pub revoked: BTreeSet<Digest>,
    /// TPM Names of the keys whose quotes count. An endorsement that rests on the quote of another key
    /// says nothing of the TPM in question.
    pub keys: Option<Vec<KeyName>>,
}

/// The endorsements of a verification.
#[derive(Clone, Debug, Default)]
pub struct Endorsements {
    /// By the numbers of their checkpoints, so that a list is read in the same time however many there
    /// are.
    believed: BTreeMap<u64, Vec<Believed>>,
    /// What was given besides, and why it does not count.
    pub(crate) refused: Vec<String>,
}

impl Endorsements {
    /// Takes one if it meets the limits. `name` is what messages call it.
    pub fn add(&mut self, name: &str, believed: Believed, limits: &Limits) {
        match limits.refuse(&believed) {
            Some(why) => self.refuse(name, why),
            None => {
                let of_checkpoint = self.believed.entry(believed.endorsement.checkpoint);
                of_checkpoint.or_default().push(believed);
            }
        }
    }

    /// Notes that one does not count, and why.
    pub fn refuse(&mut self, name: &str, why: impl fmt::Display) {
        let text = format!("the endorsement {name} does not count: {why}");
        self.refused.push(text);
    }

    /// All that count.
    pub fn all(&self) -> impl Iterator<Item = &Believed> {
        self.believed.values().flatten()
    }

    /// Those of a checkpoint of this number.
    fn numbered(&self, claim: &Claim) -> impl Iterator<Item = &Believed> {
        let all = self.believed.get(&claim.header.sequence);
        all.into_iter().flatten()
    }

    /// Those of exactly this checkpoint.
    pub(crate) fn of<'a>(&'a self, claim: &'a Claim) -> impl Iterator<Item = &'a Believed> {
        let all = self.numbered(claim);
        all.filter(|one| one.endorsement.is_of(claim))
    }

    /// What is endorsed of a PCR at a checkpoint, if the checkpoint says the same: what counts most.
    pub(crate) fn at(&self, claim: &Claim, register: Register) -> Option<Endorsed> {
        let (_, value) = claim.values.get(&register)?;
        let all = self.of(claim);
        let all = all.filter_map(|one| one.endorsement.values.get(&register));
        let all = all.filter(|endorsed| endorsed.value == *value);
        all.copied().max_by_key(|endorsed| endorsed.weight())
    }

    /// One whose checkpoint has this number in this log, and is another one or held something else.
    pub(crate) fn contradicting<'a>(&'a self, claim: &'a Claim) -> Option<&'a Believed> {
        let mut all = self.numbered(claim);
        all.find(|one| {
            let endorsement = &one.endorsement;
            let same = endorsement.log_id == claim.log_id();
            same && (!endorsement.is_of(claim) || !endorsement.agrees(claim))
        })
    }

    /// The first two that cannot both be true of this log.
    pub(crate) fn disagreement(&self, log_id: &Digest) -> Option<(&Believed, &Believed)> {
        let of_log = || {
            let all = self.all().enumerate();
            all.filter(|(_, one)| one.endorsement.log_id == *log_id)
        };
        let mut pairs = of_log().flat_map(|(at, one)| {
            let others = of_log().filter(move |(other, _)| *other > at);
            others.map(move |(_, other)| (one, other))
        });
        pairs.find(|(one, other)| one.endorsement.disagrees(&other.endorsement))
    }
}

impl Limits {
    fn refuse(&self, believed: &Believed) -> Option<String> {
        let endorsement = &believed.endorsement;
        if self.revoked.contains(&believed.id) {
            return Some(format!("it was revoked, as {}", believed.id));
        }
        if self
            .not_before
            .is_some_and(|limit| endorsement.time < limit)
        {
            let time = humantime::format_rfc3339_seconds(endorsement.time);
            return Some(format!(
                "it was made at {time}, which is before --not-before"
            ));
        }
        let name = endorsement.quote.as_ref();
        let name = name.and_then(|quote| quote.key_name.as_ref());
        match (name, &self.keys) {
            (Some(name), Some(keys)) if !keys.contains(name) => Some(format!(
                "it rests on a quote by the key {name}, which is not one of those that were given: it \
                 may be about another TPM"
            )),
            _ => None,
        }
    }
}

impl Endorsement {
    fn is_of(&self, claim: &Claim) -> bool {
        let number = self.checkpoint == claim.header.sequence;
        number && self.log_id == claim.log_id() && self.digest.as_bytes() == claim.digest
    }

    /// Did the PCRs hold what the checkpoint says?
    fn agrees(&self, claim: &Claim) -> bool {
        self.values.iter().all(|(register, endorsed)| {
            let claimed = claim.values.get(register);
            claimed.is_some_and(|(_, value)| *value == endorsed.value)
        })
    }

    /// Can one of two about a log not be true?
    fn disagrees(&self, other: &Self) -> bool {
        let values = || {
            self.values.iter().any(|(register, endorsed)| {
                let theirs = other.values.get(register);
                theirs.is_some_and(|theirs| theirs.value != endorsed.value)
            })
        };
        let order = || {
            let by_number = self.checkpoint.cmp(&other.checkpoint);
            by_number != self.records.cmp(&other.records)
        };
        // a log is of one boot
        let reset = |one: &Self| {
            let quote = one.quote.as_ref();
            quote.map(|quote| (quote.key_name.clone(), quote.reset_count))
        };
        let boots = || {
            let both = reset(self).zip(reset(other));
            both.is_some_and(|((key, reset), (theirs, other))| key == theirs && reset != other)
        };
        let history = match self.checkpoint == other.checkpoint {
            true => self.digest != other.digest || self.records != other.records || values(),
            false => order(),
        };
        history || boots()
    }
}
