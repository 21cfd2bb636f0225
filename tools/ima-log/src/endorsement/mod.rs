// SPDX-License-Identifier: GPL-2.0

//! Endorsements: somebody verified a log up to a checkpoint, and signs what was found.
//!
//! An endorsement is a DSSE envelope ([`envelope`]) around an in-toto statement whose predicate is a
//! SLSA verification summary ([`statement`]). It names one checkpoint by the SHA-256 of its buffer,
//! and says what the PCRs held there. Whoever believes the endorser needs nothing of what came before:
//! `Documentation/endorsement.rst` specifies the format, and what it is worth.
//!
//! Nothing of an envelope counts before its signature was verified, so an [`Endorsement`] comes from
//! [`Endorsers::open`] or from a [verdict](make) only.

mod consent;
mod envelope;
mod error;
mod key;
mod make;
mod statement;
mod trust;

pub use self::{
    consent::ConsentKey,
    error::Error,
    key::{Endorsers, SigningKey},
    make::{NotEndorsable, Words},
    trust::{Believed, Endorsements, Limits},
};

use crate::{
    bank::Digest,
    quote::KeyName,
    replay::{Register, Weight},
};
use std::{collections::BTreeMap, time::SystemTime};

/// Segments that an endorsement names.
pub const MAX_SEGMENTS: usize = 1000;
/// Largest envelope, in bytes: larger than one with that many segments.
pub const MAX_SIZE: u64 = 1 << 20;

/// What somebody found who verified a log up to a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endorsement {
    /// The host, as whoever verified it calls it.
    pub host: Option<String>,
    /// The log: 16 bytes.
    pub log_id: Digest,
    /// The number of the checkpoint.
    pub checkpoint: u64,
    /// SHA-256 of its buffer.
    pub digest: Digest,
    /// Records since cold boot that precede it.
    pub records: u64,
    /// SHA-256 of the whole segments before it that whoever verified it had at hand, the newest
    /// [`MAX_SEGMENTS`], by their numbers.
    pub segments: BTreeMap<u64, Digest>,
    /// What PCRs held at the checkpoint, and how that is known.
    pub values: BTreeMap<Register, Endorsed>,
    /// What proved it.
    pub quote: Option<Moment>,
    /// Who verified it.
    pub verifier: Verifier,
    /// When: whole seconds.
    pub time: SystemTime,
    /// SHA-256 of the statements of the endorsements that it rests on.
    pub inputs: Vec<Digest>,
}

/// What a PCR in a bank held at an endorsed checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endorsed {
    /// The value.
    pub value: Digest,
    /// Is it proven only from something that whoever verified it accepted, such as a break?
    pub accepted: bool,
}

impl Endorsed {
    /// How much a replay that starts from it counts.
    pub(crate) fn weight(self) -> Weight {
        match self.accepted {
            true => Weight::Accepted,
            false => Weight::Endorsed,
        }
    }
}

/// When a TPM signed what the PCRs held, as it counts itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The TPM Name of the key, unless the key was given in a form that has none.
    pub key_name: Option<KeyName>,
    /// Resets of the TPM: boots of the machine.
    pub reset_count: u32,
    /// Resumes since the last reset.
    pub restart_count: u32,
    /// Milliseconds that the TPM was powered.
    pub clock: u64,
    /// Has the TPM never told a later clock?
    pub safe: bool,
}

/// Who verified a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    /// A URI that names whoever answers for the verification.
    pub id: String,
    /// The version of the program.
    pub version: String,
}
