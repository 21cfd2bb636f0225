// SPDX-License-Identifier: GPL-2.0

//! What kernels extend into a bank: not all of them digests of its own hash.

use crate::{
    bank::{Bank, Digest},
    record::Record,
};

/// A kernel, by the banks that it pads: into these it extends SHA-1 digests followed by zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// Pads none.
    Usual,
    /// One before 5.8: pads all.
    Old,
    /// Pads the bank whose hash it could not allocate. Its violations are ones all the same.
    Lacks(Bank),
}

impl Kernel {
    fn pads(self, bank: Bank) -> bool {
        match self {
            Self::Usual => false,
            Self::Old => bank != Bank::Sha1,
            Self::Lacks(lacking) => bank == lacking,
        }
    }

    /// Does all that a PCR of this bank holds rest on SHA-1?
    pub(crate) fn is_weak(self, bank: Bank) -> bool {
        bank.is_weak() || self.pads(bank)
    }

    /// The template digest of a record.
    pub(crate) fn digest(self, record: &Record, bank: Bank) -> Digest {
        let hash = if self.pads(bank) { Bank::Sha1 } else { bank };
        padded(hash.hash(&record.data), bank)
    }

    /// What a record's PCR is extended with.
    pub(crate) fn extended(self, record: &Record, bank: Bank) -> Digest {
        if !record.violation {
            return self.digest(record, bank);
        }
        let ones = match self {
            Self::Old => Bank::Sha1.size(),
            Self::Usual | Self::Lacks(_) => bank.size(),
        };
        padded(vec![0xff; ones], bank)
    }
}

fn padded(mut digest: Digest, bank: Bank) -> Digest {
    digest.resize(bank.size(), 0);
    digest
}
