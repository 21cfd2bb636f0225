// SPDX-License-Identifier: GPL-2.0

//! Which of the previous kernel's checkpoints are believed.
//!
//! One is believed only if all that it says agrees with the replay of the records before it. The
//! first record of a truncated list is the one that nothing can contradict.

use super::{
    Identity,
    Log,
    LogState, //
};
use crate::{
    abstractions::{
        ima::MAX_DIGEST,
        sha256::sha256, //
    },
    format::{
        checkpoint::{
            self,
            Checkpoint,
            Entry,
            State, //
        },
        record::Record, //
    },
    log::shadow::{
        Pcrs,
        LAST_PCR, //
    },
    memory::KVec,
    platform::{
        Digest,
        SHA1_SIZE, //
    },
    store::{
        Seal,
        Segment,
        Span, //
    },
};
use kernel::prelude::*;

/// A checkpoint that is believed: what becomes true once its record is in the list.
pub(super) struct Belief {
    pub(super) seal: Seal,
    pub(super) identity: Identity,
    pub(super) pcrs: Pcrs,
    pub(super) violations: u64,
}

impl Log {
    /// Is the record what IMA would have made of the checkpoint?
    pub(super) fn is_sound(
        &self,
        record: &Record<'_>,
        checkpoint: &Checkpoint<'_>,
        digests: &[Digest],
    ) -> bool {
        let sha1 = digests
            .get(self.platform.sha1())
            .and_then(|d| d.get(..SHA1_SIZE));
        let right_pcr = record.pcr() == self.platform.pcr()
            && checkpoint.header().default_pcr == self.platform.pcr();
        right_pcr && sha1 == Some(record.digest()) && self.is_hashed(record).unwrap_or(false)
    }

    /// Does `d-ng` hold the hash of the buffer? Assumed of a hash that this kernel cannot compute.
    fn is_hashed(&self, record: &Record<'_>) -> Option<bool> {
        let (algorithm, expected) = record.file_digest()?;
        let named = self.platform.bank_named(algorithm);
        let bank = named.and_then(|index| self.platform.banks().get(index));
        let Some(bank) = bank.filter(|bank| bank.mapped()) else {
            return Some(true);
        };
        let mut digest = [0; MAX_DIGEST];
        bank.hash(record.buffer()?, &mut digest).ok()?;
        Some(bank.trim(&digest) == expected)
    }

    /// What is true of the log if the checkpoint is; `None` if it is not to be believed.
    ///
    /// The first record of the list has nothing to agree with. It must give what the log cannot go
    /// on without, and no position from which it could not go on.
    pub(super) fn believe(
        &self,
        state: &LogState,
        checkpoint: &Checkpoint<'_>,
        buffer: &[u8],
    ) -> Result<Option<Belief>> {
        let header = checkpoint.header();
        let is_head = state.writer.end() == Span::default();
        let acceptable = if is_head {
            header.leaves_room()
        } else {
            self.agrees(state, checkpoint)
        };
        if !acceptable {
            return Ok(None);
        }
        let pcrs = self.pcrs_at(state, checkpoint, is_head)?;
        let Some(default) = pcrs.get(self.platform.pcr()) else {
            return Ok(None);
        };
        let digest = sha256(buffer);
        let start = Span {
            records: header.record,
            bytes: header.offset,
            ascii: state.writer.end().ascii,
        };
        let (next, broken) = (
            Segment::new(header.sequence, digest, start, default.bases()?)?,
            default.differs(),
        );
        Ok(Some(Belief {
            seal: Seal { next, broken },
            identity: Identity {
                log_id: header.log_id,
                generation: header.generation,
                sequence: header.sequence,
                digest,
            },
            pcrs,
            violations: header.violations,
        }))
    }

    /// The shadow PCRs as the checkpoint has them. The first record may name any that IMA can
    /// extend.
    fn pcrs_at(
        &self,
        state: &LogState,
        checkpoint: &Checkpoint<'_>,
        is_head: bool,
    ) -> Result<Pcrs> {
        let mut pcrs = state.pcrs.copied()?;
        pcrs.assume();
        for entry in checkpoint.values() {
            let Some((bank, value)) = self.value_of(&entry) else {
                continue;
            };
            let index = u32::from(entry.pcr);
            if is_head && index <= LAST_PCR && pcrs.get(index).is_none() {
                let mut zeros = KVec::new();
                zeros.resize(self.platform.banks().len(), [0; MAX_DIGEST], GFP_KERNEL)?;
                pcrs.add(self.pcr_from(index, &zeros)?)?;
            }
            if let Some(pcr) = pcrs.get_mut(index) {
                pcr.recall(bank, entry.state, value);
            }
        }
        Ok(pcrs)
    }

    /// Does all that the checkpoint says agree with the records before it?
    fn agrees(&self, state: &LogState, checkpoint: &Checkpoint<'_>) -> bool {
        let header = checkpoint.header();
        let identity = &state.identity;
        let end = state.writer.end();
        let size = state.writer.segment_len();
        let follows = header.sequence == identity.sequence.wrapping_add(1)
            && (identity.sequence == 0 || header.log_id == identity.log_id)
            && header.previous == identity.digest
            && header.record == end.records
            && header.offset == end.bytes
            && header.violations == state.violations
            && header.segment_records == size.records
            && header.segment_bytes == size.bytes
            && header.segment_digest == state.writer.sha256();
        follows
            && checkpoint
                .values()
                .all(|entry| self.entry_agrees(state, checkpoint, &entry))
    }

    /// Is what an entry says of the replay what our replay gives?
    fn entry_agrees(
        &self,
        state: &LogState,
        checkpoint: &Checkpoint<'_>,
        entry: &Entry<'_>,
    ) -> bool {
        let Some(bank) = self.platform.bank_of_alg(entry.algorithm) else {
            return true;
        };
        // Only a PCR that some record extended has a value.
        let Some(pcr) = state.pcrs.get(entry.pcr.into()) else {
            return false;
        };
        let register = pcr.registers().get(bank.index());
        let Some(register) = register.filter(|_| bank.mapped()) else {
            return true;
        };
        // Last, for each looks at all items: there are few registers, and may be many items.
        let replayed = match entry.state {
            State::Unshadowed => return true,
            State::Differs => checkpoint.shadow(entry.pcr, entry.algorithm),
            State::Match | State::Unreadable | State::Virtual => Some(entry.value),
        };
        replayed == Some(bank.trim(register.value()))
    }
}

/// The checkpoint that a record claims to be.
pub(super) fn candidate<'a>(record: &Record<'a>) -> Option<Checkpoint<'a>> {
    if record.event_name() != Some(checkpoint::EVENT_NAME) || record.is_violation() {
        return None;
    }
    Checkpoint::parse(record.buffer()?).ok()
}
