// SPDX-License-Identifier: GPL-2.0

//! The SHA-256 of each segment, in the sha1 view: what the checkpoint after it seals.

use super::digests::Digests;
use crate::{
    bank::{Bank, Digest},
    list::{batch::Batch, own::Remark},
};
use sha2::{Digest as _, Sha256};

/// What a checkpoint seals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sealed {
    /// The record is no checkpoint.
    #[default]
    Nothing,
    /// Records with this SHA-256.
    Segment(Digest),
    /// Records that were not hashed, because the source was given as one without checkpoints.
    Unknown,
}

/// Hashes segments, batch by batch in the order of the list.
#[derive(Debug, Default)]
pub(super) struct Sealer {
    hash: Sha256,
    /// Something since the last checkpoint was not hashed.
    skipped: bool,
}

impl Sealer {
    /// Gives what each checkpoint of the batch seals, by the index of its record.
    pub(super) fn pass(
        &mut self,
        batch: &Batch,
        digests: &Digests,
        seals: bool,
    ) -> Vec<(usize, Sealed)> {
        let checkpoints = digests.remarks.iter();
        let checkpoints = checkpoints.filter(|(_, told)| matches!(told, Remark::Checkpoint(_)));
        let mut sealed = Vec::new();
        let mut from = 0;
        for (at, _) in checkpoints {
            self.update(batch, digests, seals, from, *at);
            let digest = Digest::new(&self.hash.finalize_reset());
            let skipped = std::mem::take(&mut self.skipped);
            sealed.push((
                *at,
                if skipped {
                    Sealed::Unknown
                } else {
                    Sealed::Segment(digest)
                },
            ));
            from = *at;
        }
        self.update(batch, digests, seals, from, batch.items().len());
        sealed
    }

    fn update(&mut self, batch: &Batch, digests: &Digests, seals: bool, from: usize, to: usize) {
        let items = batch.items().get(from..to).unwrap_or_default();
        if items.is_empty() {
            return;
        }
        if !seals {
            self.skipped = true;
            return;
        }
        if batch.layout().bank == Bank::Sha1 {
            self.hash.update(batch.raw_of(items));
            return;
        }
        let size = batch.layout().bank.size();
        for (at, item) in (from..).zip(items) {
            let digest = match item.is_violation() {
                true => Bank::Sha1.zeros(),
                false => digests.digest(Bank::Sha1, at),
            };
            let raw = batch.raw(*item);
            self.hash.update(raw.get(..4).unwrap_or_default());
            self.hash.update(digest.as_bytes());
            self.hash.update(raw.get(4 + size..).unwrap_or_default());
        }
    }
}
