// SPDX-License-Identifier: GPL-2.0

//! What a checkpoint claims, kept when its record is gone.

use crate::{
    bank::{Bank, Digest},
    replay::{Register, Values},
};
use ima_checkpoint_format::{
    checkpoint::{Checkpoint, Entry, Header, State},
    Error as FormatError,
};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// A checkpoint. Until the records before it were replayed, all of it is claimed.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Its numbers.
    pub header: Header,
    /// SHA-256 of its buffer.
    pub digest: [u8; 32],
    /// The remark of whoever asked for it.
    pub label: String,
    /// What the replay of its segment starts from.
    pub values: BTreeMap<Register, (State, Digest)>,
    /// What the replay of the segment before gave, where a value differs from it.
    pub shadows: Values,
    /// What PCRs that were first used in the segment before held before that.
    pub before: BTreeMap<Register, (State, Digest)>,
    /// TPM identifiers of the banks that this program cannot hash.
    pub unknown: Vec<u16>,
}

impl Claim {
    /// Takes it out of the buffer of a checkpoint record.
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::parse`], and [`FormatError::BadItem`] for a value that has not the size of
    /// its bank.
    pub fn parse(buffer: &[u8]) -> Result<Self, FormatError> {
        Self::new(&Checkpoint::parse(buffer)?, buffer)
    }

    pub(super) fn new(checkpoint: &Checkpoint<'_>, buffer: &[u8]) -> Result<Self, FormatError> {
        let mut claim = Self {
            header: *checkpoint.header(),
            digest: Sha256::digest(buffer).into(),
            label: checkpoint.label().as_str().to_owned(),
            values: BTreeMap::new(),
            shadows: Values::new(),
            before: BTreeMap::new(),
            unknown: Vec::new(),
        };
        for entry in checkpoint.values() {
            let Some((register, value)) = known(&entry)? else {
                claim.unknown.push(entry.algorithm);
                continue;
            };
            claim.values.insert(register, (entry.state, value));
        }
        for entry in checkpoint.shadows() {
            if let Some((register, shadow)) = known(&entry)? {
                claim.shadows.insert(register, shadow);
            }
        }
        for entry in checkpoint.before() {
            if let Some((register, value)) = known(&entry)? {
                claim.before.insert(register, (entry.state, value));
            }
        }
        claim.unknown.sort_unstable();
        claim.unknown.dedup();
        Ok(claim)
    }

    /// What the replay of its segment starts from.
    pub fn base(&self) -> Values {
        let values = self.values.iter();
        values.map(|(at, (_, value))| (*at, *value)).collect()
    }

    /// The log id as text: 32 hexadecimal digits.
    pub fn log_id(&self) -> Digest {
        Digest::new(&self.header.log_id)
    }
}

/// The register and value of an item, unless it is of a bank that is not known.
fn known(entry: &Entry<'_>) -> Result<Option<(Register, Digest)>, FormatError> {
    let Some(bank) = Bank::from_tpm_id(entry.algorithm) else {
        return Ok(None);
    };
    if entry.value.len() != bank.size() {
        return Err(FormatError::BadItem(entry.algorithm));
    }
    let pcr = entry.pcr.into();
    Ok(Some((Register { pcr, bank }, Digest::new(entry.value))))
}
