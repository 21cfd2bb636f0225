// SPDX-License-Identifier: GPL-2.0

//! Values of PCRs from a file.

use super::{
    attest::{numbers, HashId, Selected},
    error::Error,
    wire::Reader,
};
use crate::{
    bank::{Bank, Digest},
    replay::Register,
};
use std::{collections::BTreeMap, str::FromStr};

const UNKNOWN: &str = "not PCR values as tpm2_pcrread or tpm2_quote writes them, or of other PCRs";
const MAX_PCR: u32 = 31;

/// What one PCR holds, written `BANK:PCR=HEX`, as in `sha256:10=00ff...`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PcrValue {
    /// The PCR, 0 to 31.
    pub register: Register,
    /// As long as a digest of its bank.
    pub value: Digest,
}

impl FromStr for PcrValue {
    type Err = Error;

    /// The digits may have `0x` in front, as `tpm2_pcrread` prints them.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why: String| Err(Error::NotPcrValues(why));
        let parts = || {
            let (place, value) = text.split_once('=')?;
            let (bank, pcr) = place.split_once(':')?;
            Some((bank, pcr.parse().ok()?, value))
        };
        let Some((name, pcr, value)) = parts() else {
            return wrong("expected BANK:PCR=HEX, as in sha256:10=00ff...".into());
        };
        let Some(bank) = Bank::from_name(name) else {
            let names = Bank::ALL.map(Bank::name).join(", ");
            return wrong(format!("no such bank; the known banks are {names}"));
        };
        if pcr > MAX_PCR {
            return wrong(format!("there is no PCR {pcr}; the last is {MAX_PCR}"));
        }
        let value = Digest::from_hex(value.strip_prefix("0x").unwrap_or(value));
        let Some(value) = value.filter(|value| value.as_bytes().len() == bank.size()) else {
            let digits = 2 * bank.size();
            return wrong(format!("a value of {bank} has {digits} hexadecimal digits"));
        };
        let register = Register { pcr, bank };
        Ok(Self { register, value })
    }
}

/// Values of PCRs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PcrValues {
    // INVARIANT: a value is as long as a digest of its bank.
    values: BTreeMap<(Bank, u32), Digest>,
}

impl PcrValues {
    /// Reads what `tpm2_pcrread` prints; the lines `PCR-10: HEX` that `evmctl --pcrs` takes, which
    /// are of `bank`; lines as [`PcrValue`] is written; or what `tpm2_quote -o` and `tpm2_pcrread -o` write, in both formats, of
    /// which `--pcrs_format=values` holds the values of `selection` and nothing else.
    ///
    /// # Errors
    ///
    /// [`Error::NotPcrValues`] if it is none of these.
    pub fn parse(bytes: &[u8], bank: Option<Bank>, selection: &[Selected]) -> Result<Self, Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => Self::text(text, bank).map_err(Error::NotPcrValues),
            _ => serialized(bytes)
                .or_else(|| plain(bytes, selection))
                .ok_or_else(|| Error::NotPcrValues(UNKNOWN.into())),
        }
    }

    /// The value of a PCR.
    pub fn get(&self, bank: Bank, number: u32) -> Option<Digest> {
        self.values.get(&(bank, number)).copied()
    }

    /// All values.
    pub fn iter(&self) -> impl Iterator<Item = PcrValue> + '_ {
        self.values.iter().map(|((bank, pcr), value)| PcrValue {
            register: Register {
                pcr: *pcr,
                bank: *bank,
            },
            value: *value,
        })
    }

    fn text(text: &str, mut bank: Option<Bank>) -> Result<Self, String> {
        let mut new = Self::default();
        // below the name of a bank that cannot be computed
        let mut foreign = false;
        for (index, line) in text.lines().enumerate() {
            let wrong = |why: &str| format!("line {}: {why}", index + 1);
            let line = line.trim();
            if line.contains('=') {
                let PcrValue { register, value } =
                    line.parse().map_err(|why: Error| wrong(&why.to_string()))?;
                new.add(register.bank, register.pcr, value)
                    .map_err(|why| wrong(&why))?;
                continue;
            }
            let Some((key, value)) = line.split_once(':') else {
                if line.is_empty() {
                    continue;
                }
                return Err(wrong("neither the name of a bank nor a PCR with its value"));
            };
            let key = key.trim_end();
            let Ok(number) = key.strip_prefix("PCR-").unwrap_or(key).parse() else {
                if !value.trim().is_empty() {
                    return Err(wrong("neither the name of a bank nor a PCR with its value"));
                }
                bank = Bank::from_name(key);
                foreign = bank.is_none();
                continue;
            };
            if foreign {
                continue;
            }
            let bank = bank.ok_or_else(|| wrong("the bank of this value is not named"))?;
            let digits: String = value.split_whitespace().collect();
            let digits = digits.strip_prefix("0x").unwrap_or(&digits);
            let value = Digest::from_hex(digits)
                .ok_or_else(|| wrong("not a value in hexadecimal digits"))?;
            new.add(bank, number, value).map_err(|why| wrong(&why))?;
        }
        Ok(new)
    }

    fn add(&mut self, bank: Bank, number: u32, value: Digest) -> Result<(), String> {
        if number > MAX_PCR {
            return Err(format!("there is no PCR {number}"));
        }
        if value.as_bytes().len() != bank.size() {
            return Err(format!(
                "a value of {bank} has {} bytes, not {}",
                bank.size(),
                value.as_bytes().len()
            ));
        }
        match self.values.insert((bank, number), value) {
            Some(other) if other != value => {
                Err(format!("a second value for PCR {number} in {bank}"))
            }
            _ => Ok(()),
        }
    }
}

/// The values of a selection, concatenated.
fn plain(bytes: &[u8], selection: &[Selected]) -> Option<PcrValues> {
    let mut new = PcrValues::default();
    let mut reader = Reader::new(bytes);
    for selected in selection {
        let bank = selected.bank.bank()?;
        for number in &selected.pcrs {
            let value = Digest::new(reader.take(bank.size(), "value").ok()?);
            new.add(bank, *number, value).ok()?;
        }
    }
    reader.end().ok()?;
    Some(new)
}

/// `TPML_PCR_SELECTION`, a number of lists, and so many `TPML_DIGEST`, all as they are in the
/// memory of a little-endian machine, with room for 16 banks and 8 digests of 64 bytes.
fn serialized(bytes: &[u8]) -> Option<PcrValues> {
    const BANKS: usize = 16;
    const DIGESTS: usize = 8;
    let mut reader = Reader::new(bytes);
    let banks = little(&mut reader, 4)?;
    let mut selection = Vec::new();
    for index in 0..BANKS {
        let bank = HashId(u16::try_from(little(&mut reader, 2)?).ok()?);
        let size = little(&mut reader, 1)?;
        let bitmap = reader.take(4, "bitmap").ok()?.get(..size);
        reader.take(1, "padding").ok()?;
        if index < banks {
            let pcrs = numbers(bitmap?);
            selection.push(Selected { bank, pcrs });
        }
    }
    let mut values = Vec::new();
    for _ in 0..little(&mut reader, 4)? {
        let count = little(&mut reader, 4)?;
        for index in 0..DIGESTS {
            let size = little(&mut reader, 2)?;
            let value = reader.take(Digest::MAX, "value").ok()?;
            if index < count {
                values.extend_from_slice(value.get(..size)?);
            }
        }
    }
    reader.end().ok()?;
    plain(&values, &selection)
}

fn little(reader: &mut Reader<'_>, size: usize) -> Option<usize> {
    let bytes = reader.take(size, "number").ok()?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | usize::from(*byte)),
    )
}
