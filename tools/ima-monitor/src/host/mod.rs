// SPDX-License-Identifier: GPL-2.0

//! What is known of a host, and what a round of attestation makes of it. Nothing here does anything.
//!
//! [`ask`] says from which record on the list is wanted. [`judge()`](judge::judge) takes what came: it
//! verifies it from the base of the last round, and gives the new state and what was found. The state
//! advances only to the record that the quote covers, and only if that is proven.

pub mod judge;

use crate::finding::Finding;
use ima_log::{
    bank::Digest,
    quote::{Attest, PcrValue},
    replay::Values,
};
use serde::{de::Error as _, Deserialize, Deserializer, Serialize, Serializer};

/// How far a host is proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proven {
    /// Records since cold boot.
    pub records: u64,
    /// What the PCRs held then.
    #[serde(serialize_with = "write_values", deserialize_with = "read_values")]
    pub base: Values,
    /// What the TPM said of its clock.
    pub clock: Clock,
    /// When the host was switched on, as it says itself.
    pub boot_time: String,
    /// The last checkpoint among the records.
    pub checkpoint: Option<Checkpoint>,
}

/// A checkpoint that is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Its number.
    pub seq: u64,
    /// SHA-256 of its buffer.
    pub digest: Digest,
}

/// TPMS_CLOCK_INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Milliseconds that the TPM was powered.
    pub clock: u64,
    /// Resets of the TPM. A key outside the endorsement hierarchy shows another number, but the
    /// differences are true.
    pub reset: u32,
    /// Resumes since the last reset.
    pub restart: u32,
    /// Was the clock never later?
    pub safe: bool,
}

impl From<&Attest> for Clock {
    fn from(attest: &Attest) -> Self {
        Self {
            clock: attest.clock,
            reset: attest.reset_count,
            restart: attest.restart_count,
            safe: attest.safe,
        }
    }
}

/// How the TPM's clock relates to an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// The TPM was not reset: all PCRs go on.
    SameBoot,
    /// It was reset, and so many times before without any attestation.
    Rebooted {
        /// Boots of which nothing was seen.
        unseen: u32,
    },
    /// It is where it was before.
    Earlier,
}

impl Clock {
    /// How this one relates to an earlier one of the same key.
    pub fn since(&self, before: &Self) -> Since {
        // Obfuscated numbers may wrap around. A TPM is not reset two billion times.
        let resets = self.reset.wrapping_sub(before.reset);
        match resets {
            0 if self.restart == before.restart && self.clock < before.clock => Since::Earlier,
            0 if self.restart < before.restart => Since::Earlier,
            0 => Since::SameBoot,
            1..=0x7fff_ffff => Since::Rebooted { unseen: resets - 1 },
            _ => Since::Earlier,
        }
    }
}

/// From which record on the list is wanted, counted from cold boot: from where it is proven, unless the
/// host says that it was booted anew, has fewer records, or the last round failed (`doubt`). Then all
/// of it is needed to find out what happened.
pub fn ask(proven: Option<&Proven>, boot_time: &str, entries: u64, doubt: bool) -> u64 {
    let known = proven
        .filter(|proven| !doubt && proven.boot_time == boot_time && proven.records <= entries);
    known.map_or(0, |proven| proven.records)
}

/// What comes of a round.
#[derive(Clone, Debug)]
pub struct Round {
    /// How far the host is proven now; nothing if this round proves nothing.
    pub proven: Option<Proven>,
    /// Records that are proven and were not before.
    pub new: u64,
    /// What was found.
    pub findings: Vec<Finding>,
}

fn write_values<S: Serializer>(values: &Values, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|(register, value)| {
        let (bank, pcr) = (register.bank, register.pcr);
        format!("{bank}:{pcr}={value}")
    }))
}

fn read_values<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Values, D::Error> {
    let written = Vec::<String>::deserialize(deserializer)?;
    let read = written.iter().map(|text| {
        let value: PcrValue = text.parse().map_err(D::Error::custom)?;
        Ok((value.register, value.value))
    });
    read.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ima_log::{bank::Bank, replay::Register};

    fn clock(clock: u64, reset: u32, restart: u32) -> Clock {
        Clock {
            clock,
            reset,
            restart,
            safe: true,
        }
    }

    #[test]
    fn a_reboot_is_no_way_back() {
        let before = clock(1000, 7, 2);
        for (now, wanted) in [
            (clock(1000, 7, 2), Since::SameBoot),
            (clock(1001, 7, 2), Since::SameBoot),
            (clock(999, 7, 2), Since::Earlier),
            (clock(999, 7, 3), Since::SameBoot),
            (clock(2000, 7, 1), Since::Earlier),
            (clock(999, 8, 0), Since::Rebooted { unseen: 0 }),
            (clock(9999, 11, 0), Since::Rebooted { unseen: 3 }),
            (clock(9999, 6, 2), Since::Earlier),
        ] {
            assert_eq!(now.since(&before), wanted, "{now:?}");
        }
        let obfuscated = clock(1000, u32::MAX, 0);
        assert_eq!(
            clock(5, 0, 0).since(&obfuscated),
            Since::Rebooted { unseen: 0 }
        );
    }

    fn proven(records: u64) -> Proven {
        let bank = Bank::Sha256;
        Proven {
            records,
            base: [(Register { pcr: 10, bank }, bank.hash(&[b"x"]))].into(),
            clock: clock(1, 2, 3),
            boot_time: "then".into(),
            checkpoint: Some(Checkpoint {
                seq: 3,
                digest: bank.hash(&[b"y"]),
            }),
        }
    }

    #[test]
    fn only_what_is_new_is_asked_for() {
        let known = proven(20);
        assert_eq!(ask(None, "then", 30, false), 0);
        for (boot_time, entries, doubt, wanted) in [
            ("then", 30, false, 20),
            ("then", 20, false, 20),
            ("then", 19, false, 0),
            ("now", 30, false, 0),
            ("then", 30, true, 0),
        ] {
            assert_eq!(ask(Some(&known), boot_time, entries, doubt), wanted);
        }
    }

    #[test]
    fn the_state_survives_being_written() {
        let known = proven(20);
        let text = serde_json::to_string(&known).unwrap();
        assert!(text.contains("sha256:10="), "{text}");
        assert_eq!(serde_json::from_str::<Proven>(&text).unwrap(), known);
        let cut = text.replace("sha256:10=", "sha256:10=00");
        assert!(serde_json::from_str::<Proven>(&cut).is_err());
    }
}
