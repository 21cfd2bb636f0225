// SPDX-License-Identifier: GPL-2.0

//! What is fixed for this boot: the banks, the default PCR, the list's byte order.

use crate::{
    abstractions::ima::{
        self,
        MAX_DIGEST, //
    },
    format::{
        record::Record,
        ByteOrder, //
    },
    memory::KVec,
};
use kernel::prelude::*;

/// Room for a digest of any bank; only the front, of the bank's digest size, is used.
pub(crate) type Digest = [u8; MAX_DIGEST];

/// A bank of template digests, in the order of IMA's list files.
#[derive(PartialEq)]
pub(crate) struct Bank {
    index: usize,
    alg_id: u16,
    digest_size: usize,
    in_tpm: bool,
    mapped: bool,
    name: KVec<u8>,
}

/// What IMA tells of a bank.
pub(crate) struct NewBank<'a> {
    /// TPM algorithm identifier.
    pub(crate) alg_id: u16,
    /// Bytes of a digest.
    pub(crate) digest_size: usize,
    /// The TPM has it.
    pub(crate) in_tpm: bool,
    /// The kernel has the hash.
    pub(crate) is_mapped: bool,
    pub(crate) name: &'a [u8],
}

impl Bank {
    fn new(index: usize, told: &NewBank<'_>) -> Result<Self> {
        if told.digest_size == 0 || told.digest_size > MAX_DIGEST {
            return Err(EINVAL);
        }
        core::str::from_utf8(told.name).map_err(|_| EINVAL)?;
        let mut name = KVec::new();
        name.extend_from_slice(told.name, GFP_KERNEL)?;
        Ok(Self {
            index,
            alg_id: told.alg_id,
            digest_size: told.digest_size,
            in_tpm: told.in_tpm,
            mapped: told.is_mapped,
            name,
        })
    }

    /// Its place among the banks.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// TPM algorithm identifier.
    pub(crate) fn alg_id(&self) -> u16 {
        self.alg_id
    }

    /// Bytes of a digest.
    pub(crate) fn digest_size(&self) -> usize {
        self.digest_size
    }

    /// The TPM extends this bank, and can be asked for its PCRs.
    pub(crate) fn in_tpm(&self) -> bool {
        self.in_tpm
    }

    /// The kernel has the hash, so that this bank can be replayed.
    pub(crate) fn mapped(&self) -> bool {
        self.mapped
    }

    /// As in the names of the list files, `sha256` say.
    pub(crate) fn name(&self) -> &str {
        core::str::from_utf8(&self.name).unwrap_or_default()
    }

    /// Hashes `data`. EINVAL if the bank is not mapped.
    pub(crate) fn hash(&self, data: &[u8], out: &mut Digest) -> Result {
        if !self.mapped {
            return Err(EINVAL);
        }
        ima::hash_bank(self.index, data, out)
    }

    /// The part of `digest` that this bank uses.
    pub(crate) fn trim<'a>(&self, digest: &'a Digest) -> &'a [u8] {
        digest.get(..self.digest_size).unwrap_or(digest)
    }
}

/// What is fixed for this boot.
#[derive(PartialEq)]
pub(crate) struct Platform {
    banks: KVec<Bank>,
    sha1: usize,
    hash: usize,
    pcr: u32,
    has_tpm: bool,
    order: ByteOrder,
    unique: bool,
}

/// What IMA tells besides the banks.
pub(crate) struct Facts {
    /// Number of the bank that the list is kept in.
    pub(crate) sha1: usize,
    /// Number of the `ima_hash=` bank.
    pub(crate) hash: usize,
    /// The default PCR.
    pub(crate) pcr: u32,
    pub(crate) has_tpm: bool,
    /// Numbers in the list are little-endian, else native.
    pub(crate) is_canonical: bool,
    /// Known digests are remembered.
    pub(crate) is_unique: bool,
}

impl Platform {
    /// EINVAL: what IMA tells makes no sense. ENOMEM.
    pub(crate) fn new<'a>(facts: &Facts, told: impl Iterator<Item = NewBank<'a>>) -> Result<Self> {
        let mut banks = KVec::new();
        for (index, bank) in told.enumerate() {
            banks.push(Bank::new(index, &bank)?, GFP_KERNEL)?;
        }
        let (sha1, hash) = (facts.sha1, facts.hash);
        let sha1_bank: &Bank = banks.get(sha1).ok_or(EINVAL)?;
        if !sha1_bank.mapped || sha1_bank.digest_size != SHA1_SIZE || banks.get(hash).is_none() {
            return Err(EINVAL);
        }
        Ok(Self {
            banks,
            sha1,
            hash,
            pcr: facts.pcr,
            has_tpm: facts.has_tpm,
            order: if facts.is_canonical {
                ByteOrder::Little
            } else {
                ByteOrder::NATIVE
            },
            unique: facts.is_unique,
        })
    }

    /// The same banks; those that can be replayed are in a TPM, or none is.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn with_tpm(other: &Self, has_tpm: bool) -> Result<Self> {
        let mut banks = KVec::new();
        for bank in &other.banks {
            let mut name = KVec::new();
            name.extend_from_slice(&bank.name, GFP_KERNEL)?;
            let in_tpm = has_tpm && bank.mapped;
            banks.push(
                Bank {
                    name,
                    in_tpm,
                    ..*bank
                },
                GFP_KERNEL,
            )?;
        }
        Ok(Self {
            banks,
            has_tpm,
            ..*other
        })
    }

    /// The same banks, without a TPM, and with no hash for that of the name.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn without_hash(other: &Self, name: &[u8]) -> Result<Self> {
        let mut platform = Self::with_tpm(other, false)?;
        let index = platform.bank_named(name).ok_or(EINVAL)?;
        platform.banks.get_mut(index).ok_or(EINVAL)?.mapped = false;
        Ok(platform)
    }

    pub(crate) fn banks(&self) -> &[Bank] {
        &self.banks
    }

    pub(crate) fn bank_named(&self, name: &[u8]) -> Option<usize> {
        self.banks
            .iter()
            .position(|bank| bank.name().as_bytes() == name)
    }

    pub(crate) fn bank_of_alg(&self, alg_id: u16) -> Option<&Bank> {
        self.banks.iter().find(|bank| bank.alg_id == alg_id)
    }

    /// Number of the bank that the list is kept in.
    pub(crate) fn sha1(&self) -> usize {
        self.sha1
    }

    /// Bytes of a digest of the `ima_hash=` bank.
    pub(crate) fn hash_size(&self) -> usize {
        self.banks
            .get(self.hash)
            .map_or(SHA1_SIZE, Bank::digest_size)
    }

    /// Number of the `ima_hash=` bank, whose digests tell duplicates.
    pub(crate) fn hash_index(&self) -> usize {
        self.hash
    }

    /// The default PCR.
    pub(crate) fn pcr(&self) -> u32 {
        self.pcr
    }

    pub(crate) fn has_tpm(&self) -> bool {
        self.has_tpm
    }

    /// Byte order of the list.
    pub(crate) fn order(&self) -> ByteOrder {
        self.order
    }

    /// A digest that is in the list already is not measured again.
    pub(crate) fn unique(&self) -> bool {
        self.unique
    }

    /// The template digest of `record` in `bank`, computed from the record's data as IMA does:
    /// zeros for a violation, the padded SHA-1 for a bank that is not mapped.
    pub(crate) fn template_digest(&self, record: &Record<'_>, bank: &Bank) -> Result<Digest> {
        let mut digest = [0; MAX_DIGEST];
        if record.is_violation() {
            return Ok(digest);
        }
        let sha1 = self.banks.get(self.sha1).ok_or(EINVAL)?;
        let hashing = if bank.mapped { bank } else { sha1 };
        if !record.template().is_legacy() {
            hashing.hash(record.data(), &mut digest)?;
            return Ok(digest);
        }
        let mut input = KVec::new();
        let mut result = Ok(());
        record.digest_input(|part| {
            result = result.and(
                input
                    .extend_from_slice(part, GFP_KERNEL)
                    .map_err(Error::from),
            );
        });
        result?;
        hashing.hash(&input, &mut digest)?;
        Ok(digest)
    }
}

/// Bytes of a digest in the list's own view.
pub(crate) const SHA1_SIZE: usize = 20;

#[cfg(CONFIG_KUNIT = "y")]
#[kunit_tests(ima_checkpoint_platform)]
mod tests {
    use super::*;
    use crate::log::Log;

    /// A record of the template `ima` for a file whose MD5 digest, padded, is 16 times `5`. Its
    /// template digest is the SHA-1, by another program, of that and `/name` with 251 zeros.
    #[test]
    fn the_padding_of_a_legacy_record_is_hashed() -> Result {
        let platform = Log::get().ok_or(ENODEV)?.platform();
        let raw = b"\x0a\0\0\0....................\x03\0\0\0ima\
            5555555555555555\0\0\0\0\x05\0\0\0/name";
        let (record, _) = Record::parse(raw, SHA1_SIZE, ByteOrder::Little).map_err(|_| EINVAL)?;
        let digest = platform.template_digest(&record, &platform.banks()[platform.sha1()])?;
        assert!(digest.starts_with(
            b"\xa3\x23\x30\x67\xc1\xc0\x17\x69\xde\x55\x0d\x8c\x52\x19\x86\xf0\x0c\x73\x39\x2c"
        ));
        Ok(())
    }
}
