// SPDX-License-Identifier: GPL-2.0

//! What the verifier knows and accepts. All trust comes from here.

use crate::{
    bank::{Bank, Content, Digest},
    endorsement::Endorsements,
    quote::{self, Nonce, Quote, TrustedKeys},
    replay::{Register, Values},
};
use std::collections::{BTreeMap, BTreeSet};

/// What the kernel extends into banks, where that is not the usual.
pub type Contents = BTreeMap<Bank, Content>;

/// What a verification rests on.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The PCR that IMA extends by default.
    pub default_pcr: u32,
    /// What PCRs held before the first record.
    pub base: Values,
    /// What the firmware's event log replays to, for every PCR that it tells of.
    pub firmware: Values,
    /// What the PCRs held later.
    pub anchor: Anchor,
    /// Keys whose quotes count that are found in the list.
    pub keys: TrustedKeys,
    /// What the label of a checkpoint must be of which such a quote proves something.
    pub nonce: Option<Nonce>,
    /// Banks that are replayed in addition, because quotes in the list are over them.
    pub banks: BTreeSet<Bank>,
    /// Segments that may be broken: by their number, the digest of the checkpoint after it, whose
    /// values are taken for true.
    pub breaks: BTreeMap<u64, Digest>,
    /// The checkpoint that the list may start with: number, and digest of its buffer.
    pub start: Option<(u64, Digest)>,
    /// What others say whom the verifier believes: checkpoints that a list may start with.
    pub endorsements: Endorsements,
    /// What the kernel extends into banks, where that is not the usual. See
    /// [`settle`](super::contents::settle), which finds it out.
    pub contents: Contents,
    /// May banks prove something that rest on SHA-1?
    pub allow_weak_bank: bool,
    /// Threads.
    pub jobs: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            default_pcr: 10,
            base: Values::new(),
            firmware: Values::new(),
            anchor: Anchor::default(),
            keys: TrustedKeys::default(),
            nonce: None,
            banks: BTreeSet::new(),
            breaks: BTreeMap::new(),
            start: None,
            endorsements: Endorsements::default(),
            contents: Contents::new(),
            allow_weak_bank: false,
            jobs: 1,
        }
    }
}

impl Policy {
    /// Does a bank count? Those that rest on SHA-1 do only if that is allowed.
    pub fn counts(&self, bank: Bank) -> bool {
        self.allow_weak_bank || !self.is_weak(bank)
    }

    /// Does a bank rest on SHA-1? Others than sha1 do if the kernel extends SHA-1 digests into them.
    pub fn is_weak(&self, bank: Bank) -> bool {
        bank == Bank::Sha1 || self.content(bank) != Content::Own
    }

    /// What the kernel extends into a bank.
    pub(crate) fn content(&self, bank: Bank) -> Content {
        let known = self.contents.get(&bank).copied();
        known.unwrap_or(Content::usual(bank))
    }

    /// The banks in which something is known, and those that most have.
    pub(crate) fn all_banks(&self) -> BTreeSet<Bank> {
        let known = self.base.keys().chain(self.anchor.values.keys());
        let mut banks: BTreeSet<Bank> = known.map(|register| register.bank).collect();
        if let Told::Quote(quote) = &self.anchor.told {
            banks.extend(quote.pcrs().filter_map(|pcr| pcr.bank.bank()));
        }
        banks.extend(&self.banks);
        banks.extend([Bank::Sha1, Bank::Sha256]);
        banks
    }
}

/// What the PCRs held, as somebody says whom the verifier trusts: the user, or by a quote the TPM.
#[derive(Clone, Debug, Default)]
pub struct Anchor {
    /// Who says it.
    pub told: Told,
    /// Values that the user gave. With a quote they say what PCRs held that the list does not use,
    /// unless they are demanded.
    pub values: Values,
    /// Those that the list must reach, whatever else there is.
    pub demanded: BTreeSet<Register>,
}

/// Who says what the PCRs held.
#[derive(Clone, Debug, Default)]
#[allow(clippy::large_enum_variant, reason = "there is one")]
pub enum Told {
    /// The user.
    #[default]
    Values,
    /// A quote whose signature was verified.
    Quote(Quote),
    /// A quote that proves nothing. Then nothing else does.
    Refused(quote::Error),
}
