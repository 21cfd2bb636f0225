// SPDX-License-Identifier: GPL-2.0

//! What a TPM signs in a quote.

use super::{
    error::{Error, Forgery, Part},
    wire::{Hex, Malformed, Reader},
};
use crate::bank::{Bank, Digest};
use std::fmt;

/// TPM_GENERATED_VALUE. A restricted key signs nothing that starts with it but what the TPM made.
pub(super) const MAGIC: u32 = 0xff54_4347;
/// TPM_ST_ATTEST_QUOTE.
pub(super) const QUOTE: u16 = 0x8018;
/// TPMT_HA, an algorithm and a digest of it, which bounds names and nonces.
pub(super) const MAX_NAME: usize = 2 + Digest::MAX;
/// Banks of a TPM, as the TCG's software stack bounds them.
const MAX_BANKS: usize = 16;
/// Bytes of a bitmap of PCRs: 24 PCRs on a PC, 32 at most.
const MAX_SELECT: usize = 4;

/// The hash of a bank, known to [`Bank`] or not. Shown as the kernel does: `sha256`, `tpm_alg_27`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashId(pub u16);

impl HashId {
    /// The bank, if its values can be computed.
    pub fn bank(self) -> Option<Bank> {
        Bank::from_tpm_id(self.0)
    }
}

impl fmt::Display for HashId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bank() {
            Some(bank) => bank.fmt(f),
            None => write!(f, "tpm_alg_{:x}", self.0),
        }
    }
}

impl serde::Serialize for HashId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// PCRs that were selected in a bank.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Selected {
    /// The bank.
    pub bank: HashId,
    /// The PCRs, ascending: 0 to 31.
    pub pcrs: Vec<u32>,
}

/// TPMS_ATTEST of a quote (Part 2, "TPMS_ATTEST" and "TPMS_QUOTE_INFO").
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Attest {
    /// The name of the key, mixed with those of its parents.
    pub qualified_signer: Hex,
    /// The nonce of whoever asked.
    pub extra_data: Hex,
    /// Milliseconds that the TPM was powered.
    #[serde(serialize_with = "text")]
    pub clock: u64,
    /// Resets of the TPM: boots of the machine.
    pub reset_count: u32,
    /// Resumes since the last reset.
    pub restart_count: u32,
    /// Has the TPM never told a later clock?
    pub safe: bool,
    /// The firmware, as its maker counts.
    #[serde(serialize_with = "text")]
    pub firmware_version: u64,
    /// What was quoted, in the order of [`Self::pcr_digest`].
    pub selection: Vec<Selected>,
    /// The hash of all selected values, in the hash of the signature.
    pub pcr_digest: Digest,
}

/// A number that may exceed 2^53.
fn text<S: serde::Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

impl Attest {
    /// Reads a message of `tpm2_quote -m`.
    ///
    /// # Errors
    ///
    /// [`Error::Forged`] if it is not from a TPM, or not a quote; [`Error::Malformed`] if it is
    /// cut, too long, or has a field that no TPM writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let malformed = |why| Error::Malformed {
            what: Part::Message,
            why,
        };
        let mut reader = Reader::new(bytes);
        let magic = reader.u32("magic number").map_err(malformed)?;
        if magic != MAGIC {
            return Err(Forgery::Magic(magic).into());
        }
        let kind = reader.u16("type").map_err(malformed)?;
        if kind != QUOTE {
            return Err(Forgery::Type(kind).into());
        }
        Self::body(reader).map_err(malformed)
    }

    /// What follows the type.
    fn body(mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let attest = Self {
            qualified_signer: Hex(reader.sized(MAX_NAME, "name of the key")?.to_vec()),
            extra_data: Hex(reader.sized(MAX_NAME, "nonce")?.to_vec()),
            clock: reader.u64("clock")?,
            reset_count: reader.u32("reset count")?,
            restart_count: reader.u32("restart count")?,
            safe: match reader.u8("flag safe")? {
                0 => false,
                1 => true,
                other => return Err(format!("the flag safe is {other}; it is 0 or 1")),
            },
            firmware_version: reader.u64("firmware version")?,
            selection: selection(&mut reader)?,
            pcr_digest: Digest::new(reader.sized(Digest::MAX, "PCR digest")?),
        };
        reader.end()?;
        Ok(attest)
    }
}

/// TPML_PCR_SELECTION.
fn selection(reader: &mut Reader<'_>) -> Result<Vec<Selected>, Malformed> {
    let count = reader.u32("number of banks")?;
    if usize::try_from(count).map_or(true, |count| count > MAX_BANKS) {
        return Err(format!(
            "it selects PCRs of {count} banks; a TPM has at most {MAX_BANKS}"
        ));
    }
    (0..count)
        .map(|_| {
            let bank = HashId(reader.u16("bank")?);
            let size = usize::from(reader.u8("size of a PCR selection")?);
            if size > MAX_SELECT {
                return Err(format!(
                    "a PCR selection of {size} bytes; it has at most {MAX_SELECT}"
                ));
            }
            let bitmap = reader.take(size, "PCR selection")?;
            Ok(Selected {
                bank,
                pcrs: numbers(bitmap),
            })
        })
        .collect()
}

/// The PCRs of a bitmap (Part 2, "TPMS_PCR_SELECT").
pub(super) fn numbers(bitmap: &[u8]) -> Vec<u32> {
    let is_set = |pcr: &u32| {
        let byte = bitmap.get(*pcr as usize / 8);
        byte.is_some_and(|byte| byte >> (pcr % 8) & 1 == 1)
    };
    (0..8 * MAX_SELECT as u32).filter(is_set).collect()
}
