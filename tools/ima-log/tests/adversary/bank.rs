// SPDX-License-Identifier: GPL-2.0

//! The banks of the simulated TPM.

use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384};

/// As many bytes as a digest of its bank has.
pub(crate) type Digest = Vec<u8>;

/// A bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bank {
    Sha1,
    Sha256,
    Sha384,
}

/// A PCR in a bank.
pub(crate) type Register = (u32, Bank);

impl Bank {
    /// The TPM's algorithm identifier.
    pub(crate) fn tpm_id(self) -> u16 {
        match self {
            Self::Sha1 => 4,
            Self::Sha256 => 11,
            Self::Sha384 => 12,
        }
    }

    pub(crate) fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    pub(crate) fn hash(self, bytes: &[u8]) -> Digest {
        match self {
            Self::Sha1 => Sha1::digest(bytes).to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
        }
    }

    pub(crate) fn zeros(self) -> Digest {
        vec![0; self.size()]
    }

    /// What a PCR holds after an extend.
    pub(crate) fn extend(self, value: &[u8], digest: &[u8]) -> Digest {
        self.hash(&[value, digest].concat())
    }

    /// Does nobody trust it any more?
    pub(crate) fn is_weak(self) -> bool {
        self == Self::Sha1
    }
}
