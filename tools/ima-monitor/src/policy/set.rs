// SPDX-License-Identifier: GPL-2.0

//! Which names go with which digests: two sorted tables of hashes, 40 bytes for each pair.

use ima_log::bank::Bank;

type Hash = [u8; 32];

/// Sorted.
#[derive(Debug, Default)]
pub(super) struct Set {
    /// Of a name and a digest, whole: a collision would hide a file.
    pairs: Vec<Hash>,
    /// Of a name, shortened: they only choose between two sentences.
    names: Vec<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Builder(Set);

fn pair(name: &[u8], digest: &[u8]) -> Hash {
    // the length keeps "a" with "bc" from being "ab" with "c"
    let length = (name.len() as u64).to_le_bytes();
    let hash = Bank::Sha256.hash(&[&length, name, digest]);
    hash.as_bytes().try_into().unwrap_or_default()
}

fn front(name: &[u8]) -> u64 {
    let hash = Bank::Sha256.hash(&[name]);
    let first = hash.as_bytes().first_chunk().copied();
    u64::from_le_bytes(first.unwrap_or_default())
}

impl Builder {
    pub(super) fn add(&mut self, name: &[u8], digest: &[u8]) {
        self.0.pairs.push(pair(name, digest));
        self.0.names.push(front(name));
    }

    pub(super) fn finish(mut self) -> Set {
        self.0.pairs.sort_unstable();
        self.0.pairs.dedup();
        self.0.names.sort_unstable();
        self.0.names.dedup();
        self.0
    }
}

impl Set {
    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    pub(super) fn has(&self, name: &[u8], digest: &[u8]) -> bool {
        self.pairs.binary_search(&pair(name, digest)).is_ok()
    }

    /// Is there any digest of this name?
    pub(super) fn knows(&self, name: &[u8]) -> bool {
        self.names.binary_search(&front(name)).is_ok()
    }
}
