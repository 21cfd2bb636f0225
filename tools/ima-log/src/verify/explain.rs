// SPDX-License-Identifier: GPL-2.0

//! What is said where a PCR is not proven: whether the list is not true, or only nobody knows what it
//! starts from, and what would help.

use super::{finding::Kind, judge::Judge, start, verdict::Standing};
use crate::{
    bank::Digest,
    replay::{Origin, Register},
};

impl Judge<'_> {
    pub(super) fn missed(
        &mut self,
        register: Register,
        origin: Origin,
        expected: Option<Digest>,
        replayed: Digest,
    ) -> Standing {
        if expected.is_some_and(|value| value.is_zero()) {
            let text = format!(
                "{register} is zero: nothing was ever extended into it, as if there had been no \
                 TPM when IMA measured, or the kernel had not used it"
            );
            let mut aggregates = self.chain.aggregates.keys();
            let fits = match aggregates.next() {
                Some(first) if first.digest.is_zero() => ". A boot_aggregate of zeros fits this",
                Some(_) => {
                    ". But boot_aggregate is not zero: IMA could read the TPM when it started"
                }
                None => "",
            };
            self.find(Kind::NothingExtended, text + fits);
            return Standing::Unanchored;
        }
        if let Some(text) = self.guessed(register, expected) {
            self.find(Kind::AsciiUnchecked, text);
            return Standing::Unanchored;
        }
        let held = match expected {
            Some(expected) => format!("held {expected}"),
            None => "is not as quoted".to_owned(),
        };
        let agreed = match self.chain.agreed.get(&register) {
            Some((seq, record)) => format!(
                "Checkpoint {seq}, record {record} of the log, still agrees with the records \
                 before it"
            ),
            None => "No checkpoint confirms any record".to_owned(),
        };
        let text = format!(
            "{register} {held}, but the list replays to {replayed}, and nowhere to that value"
        );
        let certain =
            self.uncertain().is_none() && start::is_certain(register, origin, self.policy);
        let used = self.replay.pcr(register.pcr).is_some();
        if !used && (certain || register.pcr != self.policy.default_pcr) {
            let text = format!("{register} {held}, but the list has no record of that PCR");
            self.find(Kind::Mismatch, text);
            return Standing::Mismatch;
        }
        if certain {
            let hint = "If the list is older than that value, read it again";
            let pcr = register.pcr;
            let other = match origin {
                Origin::Reset if !self.policy.firmware.contains_key(&register) => format!(
                    ". If something else, such as firmware, extended PCR {pcr} before IMA did, \
                     give --event-log, or what the PCR held then with --base {}:{pcr}=HEX",
                    register.bank
                ),
                _ => String::new(),
            };
            self.find(Kind::Mismatch, format!("{text}. {agreed}. {hint}{other}"));
        } else {
            let from = self.uncertain().unwrap_or(register.pcr);
            let hint = match from == self.policy.default_pcr {
                true => format!(
                    "The list does not start with boot_aggregate: it looks like the tail of one. \
                     Give what PCR {from} held before it with --base {}:{from}=HEX",
                    register.bank
                ),
                false => format!(
                    "Records are missing or changed, or PCR {from} held something before IMA used \
                     it: give --event-log or --base"
                ),
            };
            let text = format!("{text}. {hint}");
            if origin == Origin::Unknown {
                self.unknown.entry(register.pcr).or_insert(text);
                return Standing::Unanchored;
            }
            self.find(Kind::Start, text);
        }
        Standing::Mismatch
    }

    /// What is said of a PCR that the list might reach if it were not in ASCII. A quote that is reached
    /// nowhere does not tell which of its PCRs is the reason.
    fn guessed(&self, register: Register, expected: Option<Digest>) -> Option<String> {
        let quote = self.quote().filter(|quote| quote.reached.is_none());
        let quoted = quote.into_iter().flat_map(|quote| &quote.outside);
        let mut all = quoted.map(|(register, ..)| *register).chain([register]);
        let guessed = all.find(|register| !self.replay.is_sure(*register))?;
        let held = match expected {
            Some(expected) => format!("held {expected}"),
            None => "is not as quoted".to_owned(),
        };
        Some(format!(
            "{register} {held}. Whether the list replays to that cannot be checked in ASCII, because \
             not all digests of {guessed} are known: give the binary list"
        ))
    }

    /// A quoted PCR that the list uses, and of which nobody knows for sure what it started from: a
    /// quote that is reached nowhere does not tell which of its PCRs is at fault.
    pub(super) fn uncertain(&self) -> Option<u32> {
        let quote = self.quote().filter(|quote| quote.reached.is_none())?;
        let used = quote.outside.iter().filter_map(|(register, ..)| {
            let origin = match self.replay.get(*register) {
                Some(_) => self.origin(*register),
                None if register.pcr == self.policy.default_pcr => {
                    self.chain.start(*register).origin
                }
                None => return None,
            };
            let certain = start::is_certain(*register, origin, self.policy);
            (!certain).then_some(register.pcr)
        });
        used.min()
    }

    /// Of a list that was compared with nothing, whether its start is known at all.
    pub(super) fn says_where_it_starts(&mut self, pcr: u32) {
        let trusted = self.replay.registers().any(|(register, start)| {
            let known = start.origin.is_trusted() || matches!(start.origin, Origin::Accepted(_));
            register.pcr == pcr && known
        });
        if !trusted {
            self.nobody_vouches(pcr);
        }
    }

    pub(super) fn nobody_vouches(&mut self, pcr: u32) {
        let origins = self.verdict.registers.iter();
        let weak = |bank| self.policy.is_weak(bank);
        let origins = origins.filter(|one| one.register.pcr == pcr && !weak(one.register.bank));
        let claimed = origins
            .filter_map(|one| match one.origin {
                Origin::Claimed(seq) => Some(seq),
                _ => None,
            })
            .max();
        let head = self.verdict.log.shown.first();
        let head = head.filter(|first| first.start == 0 && first.claimed.is_some());
        let (text, hint) = match (claimed, head) {
            (Some(seq), Some(head)) if head.seq == Some(seq) => {
                let digest = head.claimed.as_ref().map(|claimed| claimed.digest);
                let digest = digest.map(|digest| digest.to_string()).unwrap_or_default();
                let text = format!(
                    "the list starts with checkpoint {seq}: {} records before it are missing, \
                     and nobody vouches for what PCR {pcr} held then",
                    head.first.unwrap_or(0)
                );
                let hint = format!(
                    "Verify with the segments before it, give --base, or accept it with \
                     --accept-start {seq}:{digest}"
                );
                (text, hint)
            }
            (Some(seq), _) => {
                let text =
                    format!("nobody vouches for what PCR {pcr} held before checkpoint {seq}");
                let hint = match pcr == self.policy.default_pcr {
                    true => "What is proven starts there",
                    false => "Give --event-log or --base",
                };
                (text, hint.to_owned())
            }
            (None, _) if pcr == self.policy.default_pcr => (
                format!("nobody vouches for what PCR {pcr} held before the list starts"),
                format!(
                    "It does not start with boot_aggregate: it looks like the tail of one. Give \
                     the full list, or what PCR {pcr} held before it with --base sha256:{pcr}=HEX"
                ),
            ),
            (None, _) => (
                format!("nobody vouches for what PCR {pcr} held before the list starts"),
                "Give --base".to_owned(),
            ),
        };
        self.find(Kind::Start, format!("{text}. {hint}"));
    }
}
