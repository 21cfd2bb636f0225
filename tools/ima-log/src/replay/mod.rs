// SPDX-License-Identifier: GPL-2.0

//! What the PCRs hold after each record, in every bank that is asked for.

mod hash;

use self::hash::{
    Hash,
    Room, //
};
use crate::bank::{
    Bank,
    Digest, //
};
use ima_checkpoint_format::record::Record;
use std::{
    collections::BTreeMap,
    fmt, //
};

/// The highest PCR that an IMA policy can name. A forged record may name any.
pub const LAST_PCR: u32 = 63;

/// A PCR in a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Register {
    /// The PCR.
    pub pcr: u32,
    /// The bank.
    pub bank: Bank,
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PCR {} in {}", self.pcr, self.bank)
    }
}

/// What PCRs hold.
pub type Values = BTreeMap<Register, Digest>;

/// Replays records.
#[derive(Clone, Debug)]
pub struct Replay {
    banks: Vec<Bank>,
    // INVARIANT: a value for each of `banks`, in each of them.
    pcrs: Vec<Pcr>,
    /// Those that were not used yet start from here.
    base: Values,
    /// Template digests of the last record.
    // INVARIANT: one for each of `banks`, as long as that one's are.
    digests: Vec<Hash>,
    room: Room,
}

#[derive(Clone, Debug)]
struct Pcr {
    index: u32,
    records: u64,
    values: Vec<Hash>,
}

impl Replay {
    /// Starts from `base`; what is not in there starts from zeros.
    pub fn new(banks: impl IntoIterator<Item = Bank>, base: Values) -> Self {
        let banks: Vec<Bank> = banks.into_iter().collect();
        let digests = banks.iter().map(|bank| Hash::new(*bank, &bank.zeros()));
        Self {
            digests: digests.collect(),
            banks,
            pcrs: Vec::new(),
            base,
            room: Room::default(),
        }
    }

    /// Follows the extends of a record. Its PCR must be at most [`LAST_PCR`], or it is left out.
    pub fn extend(&mut self, record: &Record<'_>) {
        if record.is_violation() {
            for (digest, bank) in self.digests.iter_mut().zip(&self.banks) {
                *digest = Hash::new(*bank, &violation(*bank));
            }
        } else {
            let message = self.room.message(record);
            for (digest, bank) in self.digests.iter_mut().zip(&self.banks) {
                message.digest(*bank, digest);
            }
        }
        let pcr = self.pcr(record.pcr());
        let Some(pcr) = pcr.and_then(|pcr| self.pcrs.get_mut(pcr)) else {
            return;
        };
        pcr.records += 1;
        for ((value, bank), digest) in pcr.values.iter_mut().zip(&self.banks).zip(&self.digests) {
            value.extend(*bank, digest);
        }
    }

    /// The digest that the last record extended in this bank.
    pub fn extended(&self, bank: Bank) -> Option<Digest> {
        let at = self.banks.iter().position(|other| *other == bank)?;
        self.digests.get(at).map(Hash::digest)
    }

    /// Where the PCR is in `pcrs`.
    fn pcr(&mut self, index: u32) -> Option<usize> {
        if let Some(at) = self.pcrs.iter().position(|pcr| pcr.index == index) {
            return Some(at);
        }
        if index > LAST_PCR {
            return None;
        }
        let start = |bank: &Bank| {
            let register = Register {
                pcr: index,
                bank: *bank,
            };
            let value = self.base.get(&register).copied();
            Hash::new(*bank, &value.unwrap_or(bank.zeros()))
        };
        let values = self.banks.iter().map(start).collect();
        self.pcrs.push(Pcr {
            index,
            records: 0,
            values,
        });
        Some(self.pcrs.len() - 1)
    }

    /// What a PCR holds now.
    pub fn value(&self, register: Register) -> Digest {
        let pcr = self.pcrs.iter().find(|pcr| pcr.index == register.pcr);
        let bank = self.banks.iter().position(|bank| *bank == register.bank);
        let value = pcr.zip(bank).and_then(|(pcr, at)| pcr.values.get(at));
        let base = || self.base.get(&register).copied();
        value
            .map(Hash::digest)
            .or_else(base)
            .unwrap_or(register.bank.zeros())
    }

    /// What the PCRs hold now: those that were used, and those that the base names.
    pub fn values(&self) -> Values {
        let mut values = self.base.clone();
        for pcr in &self.pcrs {
            for (bank, value) in self.banks.iter().zip(&pcr.values) {
                let register = Register {
                    pcr: pcr.index,
                    bank: *bank,
                };
                values.insert(register, value.digest());
            }
        }
        values
    }

    /// The PCRs that were used, and by how many records.
    pub fn used(&self) -> BTreeMap<u32, u64> {
        let used = self.pcrs.iter().map(|pcr| (pcr.index, pcr.records));
        used.collect()
    }
}

/// What IMA extends for a violation: ones. In a bank whose hash it does not know, the ones of a
/// SHA-1 digest, and zeros behind them.
fn violation(bank: Bank) -> Digest {
    let ones = if bank.mapped() { bank } else { Bank::Sha1 };
    hash::with_zeros(bank, &[0xff; Digest::MAX][..ones.size()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use ima_checkpoint_format::{
        record::NewRecord,
        ByteOrder,
        Error, //
    };

    fn replayed(
        template: &[u8],
        digest: &[u8],
        fields: &[&[u8]],
        base: Values,
    ) -> Result<Replay, Error> {
        let new = NewRecord {
            pcr: 10,
            digest,
            template_name: template,
            fields: fields.iter().copied(),
            order: ByteOrder::Little,
        };
        let mut out = vec![0; new.encoded_len()?];
        new.encode(&mut out)?;
        let (record, _) = Record::parse(&out, digest.len(), ByteOrder::Little)?;
        let mut replay = Replay::new(Bank::ALL, base);
        replay.extend(&record);
        replay.extend(&record);
        Ok(replay)
    }

    /// Two extends of zeros, the slow way.
    fn twice(bank: Bank, digest: &Digest) -> Digest {
        bank.extend(&bank.extend(&bank.zeros(), digest), digest)
    }

    fn check(replay: &Replay, digest: impl Fn(Bank) -> Digest) {
        for bank in Bank::ALL {
            let register = Register { pcr: 10, bank };
            assert_eq!(replay.value(register), twice(bank, &digest(bank)), "{bank}");
            assert_eq!(replay.values()[&register], replay.value(register));
            assert_eq!(replay.extended(bank), Some(digest(bank)));
        }
        assert!(replay.used().into_iter().eq([(10, 2)]));
    }

    #[test]
    fn every_length_around_a_block() -> Result<(), Error> {
        for length in (0..300).chain([4000, 70_000]) {
            let name = vec![b'n'; length];
            let input = [
                b"\0\0\0\0".as_slice(),
                &(length as u32).to_le_bytes(),
                &name,
            ]
            .concat();
            let replay = replayed(b"ima-ng", &[1; 20], &[b"", &name], Values::new())?;
            check(&replay, |bank| match bank.mapped() {
                true => bank.hash(&[&input]),
                false => hash::with_zeros(bank, Bank::Sha1.hash(&[&input]).as_bytes()),
            });
        }
        Ok(())
    }

    #[test]
    fn the_legacy_template_hashes_the_padded_name() -> Result<(), Error> {
        let replay = replayed(b"ima", &[1; 20], &[&[7; 20], b"/bin/sh"], Values::new())?;
        let mut input = [0; 276];
        input[..20].fill(7);
        input[20..27].copy_from_slice(b"/bin/sh");
        check(&replay, |bank| match bank.mapped() {
            true => bank.hash(&[&input]),
            false => hash::with_zeros(bank, Bank::Sha1.hash(&[&input]).as_bytes()),
        });
        Ok(())
    }

    #[test]
    fn violations_extend_ones() -> Result<(), Error> {
        let replay = replayed(b"ima-ng", &[0; 20], &[b"", b""], Values::new())?;
        check(&replay, |bank| {
            let mut ones = [0xff; Digest::MAX];
            if !bank.mapped() {
                ones[20..].fill(0);
            }
            Digest::new(&ones[..bank.size()])
        });
        Ok(())
    }

    #[test]
    fn starts_from_the_base() -> Result<(), Error> {
        let register = |pcr| Register {
            pcr,
            bank: Bank::Sha256,
        };
        let value = Bank::Sha256.hash(&[b"base"]);
        let base = Values::from([(register(10), value), (register(11), value)]);
        let replay = replayed(b"ima-ng", &[0; 20], &[b"", b""], base)?;
        let ones = violation(Bank::Sha256);
        let expected = Bank::Sha256.extend(&value, &ones);
        let expected = Bank::Sha256.extend(&expected, &ones);
        assert_eq!(replay.value(register(10)), expected);
        assert_eq!(replay.value(register(11)), value);
        assert_eq!(replay.values().get(&register(11)), Some(&value));
        assert!(replay.value(register(12)).is_zero());
        Ok(())
    }
}
