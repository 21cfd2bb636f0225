// SPDX-License-Identifier: GPL-2.0

//! Restoring the list that the previous kernel handed over, without extending anything.
//!
//! Segments, counters and shadows come from the replay. A checkpoint is believed only if all that
//! it says agrees with it; the first record of a truncated list is the one that nothing can
//! contradict.

use super::{
    automatic::wake,
    error_name,
    invalid,
    shadow::{
        Before,
        Pcr,
        LAST_PCR, //
    },
    Identity,
    Log,
    State as LogState,
    VIOLATION, //
};
use crate::{
    env::{
        Bank,
        Digest,
        SHA1_SIZE, //
    },
    format::{
        ascii,
        checkpoint::{
            self,
            Checkpoint,
            Entry,
            Flags,
            Label,
            State, //
        },
        kexec::Header,
        record::Record, //
    },
    seam::{
        self,
        sha256,
        Extend,
        MAX_DIGEST, //
    },
    store::{
        Segment,
        Span,
        Writer, //
    },
};
use kernel::prelude::*;

/// The previous kernel's records, one by one.
#[derive(Clone)]
struct Records<'a> {
    log: &'a Log,
    bytes: &'a [u8],
    left: u64,
}

/// A record and its bytes.
type Raw<'a> = (Record<'a>, &'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<Raw<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let parsed = Record::parse(self.bytes, SHA1_SIZE, self.log.env().order());
        let item = parsed.map_err(invalid).and_then(|(record, len)| {
            let (raw, rest) = self.bytes.split_at_checked(len).ok_or(EINVAL)?;
            self.bytes = rest;
            Ok((record, raw))
        });
        if item.is_err() {
            self.left = 0;
        }
        Some(item)
    }
}

/// What a PCR held before its first record, as a checkpoint behind that tells.
struct Told {
    pcr: u32,
    bank: usize,
    value: Digest,
}

impl Log {
    /// Restores the list from `buffer`, the kexec header included.
    ///
    /// EINVAL: the buffer is corrupted; the records before the fault are restored. ENOMEM.
    pub(crate) fn restore(&self, buffer: &[u8]) -> Result {
        let mut held = seam::lock();
        let result = self.restore_into(&mut held, buffer);
        if let Err(error) = result {
            pr_err!(
                "the previous kernel's list is corrupted behind record {}: {}\n",
                self.store.end().records,
                error_name(error)
            );
        }
        let state = self.state.get(&mut held);
        if state.doubted > 0 {
            pr_warn!(
                "{} of the previous kernel's checkpoints are not believed: taken as any record\n",
                state.doubted
            );
        }
        seam::set_violations(state.restored_violations);
        result
    }

    pub(super) fn restore_into(&self, held: &mut Extend, buffer: &[u8]) -> Result {
        let (header, bytes) = Header::parse(buffer, self.env.order()).map_err(invalid)?;
        let records = Records {
            log: self,
            bytes,
            left: header.count,
        };
        let told = self.told(records.clone())?;
        let result = records.into_iter().try_for_each(|raw| {
            let (record, raw) = raw?;
            self.restore_record(held, &told, &record, raw)
        });
        let state = self.state.get(held);
        if state.writer.end() != Span::default() {
            state.restored = true;
            state.identity.generation = state.identity.generation.saturating_add(1);
        }
        result
    }

    /// Once boot_aggregate is in the list: makes a checkpoint if the list is not what the TPM saw.
    pub(crate) fn begin(&self) {
        let result = self.try_begin(&mut seam::lock());
        if let Err(error) = result {
            pr_err!(
                "the list is not compared with the TPM: {}\n",
                error_name(error)
            );
        }
        self.measure_boot_settings();
        wake();
    }

    fn try_begin(&self, held: &mut Extend) -> Result {
        if !self.env.has_tpm() {
            return Ok(());
        }
        let (state, proof) = self.state.get_with(held);
        if state.restored {
            let default = self.env.pcr();
            let at = state.pcrs.position(default).ok_or(EIO)?;
            state.pcrs.measure(proof, &self.env, at)?;
            state.lost = state.pcrs.get(default).is_some_and(|pcr| pcr.differs());
        }
        if state.lost {
            pr_warn!("the default PCR holds extends that the list does not explain\n");
            self.seal(held, Label::default(), Flags::AUTOMATIC | Flags::LOG_LOST)?;
        }
        Ok(())
    }

    /// What checkpoints tell of PCRs before their first record.
    fn told(&self, records: Records<'_>) -> Result<KVec<Told>> {
        let mut told = KVec::new();
        for (record, _) in records.flatten() {
            let Some(checkpoint) = candidate(&record) else {
                continue;
            };
            for entry in checkpoint.before() {
                if let Some((bank, value)) = self.value_of(&entry) {
                    let pcr = entry.pcr.into();
                    told.push(Told { pcr, bank, value }, GFP_KERNEL)?;
                }
            }
        }
        Ok(told)
    }

    /// Bank and value of a checkpoint's entry, if this kernel has the bank.
    fn value_of(&self, entry: &Entry<'_>) -> Option<(usize, Digest)> {
        let bank = self.env.bank_of_alg(entry.algorithm)?;
        let mut value = [0; MAX_DIGEST];
        value
            .get_mut(..bank.digest_size())
            .filter(|value| value.len() == entry.value.len())?
            .copy_from_slice(entry.value);
        Some((bank.index(), value))
    }

    /// Restores a record.
    fn restore_record(
        &self,
        held: &mut Extend,
        told: &[Told],
        record: &Record<'_>,
        raw: &[u8],
    ) -> Result {
        let state = self.state.get(held);
        let digests = self.digests(record)?;
        if let Some(checkpoint) = candidate(record) {
            let believed = self.is_sound(record, &checkpoint, &digests)
                && self.adopt(state, &checkpoint, record.buffer().unwrap_or_default())?;
            if believed {
                state.restored_violations = checkpoint.header().violations;
            } else {
                state.doubted = state.doubted.wrapping_add(1);
            }
        }
        if record.is_violation() {
            state.restored_violations = state.restored_violations.wrapping_add(1);
        }
        self.restore_pcr(state, told, record.pcr())?;

        let sha1 = digests.get(self.env.sha1()).ok_or(EINVAL)?;
        let next = state.next.clone();
        let sealed = state.writer.active().clone();
        state.writer.append(&self.store, next, raw.len(), |out| {
            out.copy_from_slice(raw);
            out.get_mut(4..4 + SHA1_SIZE)
                .ok_or(EINVAL)?
                .copy_from_slice(sha1.get(..SHA1_SIZE).ok_or(EINVAL)?);
            Ok(ascii::ascii_len(record, SHA1_SIZE))
        })?;
        let own = super::is_own(record);
        let _ = state.appended(&self.env, self.config, &sealed, own, raw.len());
        let Some(pcr) = state.pcrs.get_mut(record.pcr()) else {
            return Ok(());
        };
        pcr.extend(&self.env, |bank: &Bank| {
            if record.is_violation() {
                return VIOLATION.as_slice();
            }
            digests
                .get(bank.index())
                .map(Digest::as_slice)
                .unwrap_or_default()
        })
    }

    /// Template digests of a record, one per bank.
    fn digests(&self, record: &Record<'_>) -> Result<KVec<Digest>> {
        let mut digests = KVec::with_capacity(self.env.banks().len(), GFP_KERNEL)?;
        for bank in self.env.banks() {
            digests.push(self.env.template_digest(record, bank)?, GFP_KERNEL)?;
        }
        Ok(digests)
    }

    /// Starts the shadow of a PCR that was not used before, if IMA can extend it at all.
    fn restore_pcr(&self, state: &mut LogState, told: &[Told], index: u32) -> Result {
        if index > LAST_PCR || state.pcrs.get(index).is_some() {
            return Ok(());
        }
        let mut before = KVec::with_capacity(self.env.banks().len(), GFP_KERNEL)?;
        let mut base = KVec::with_capacity(self.env.banks().len(), GFP_KERNEL)?;
        for bank in self.env.banks() {
            let told = told
                .iter()
                .find(|told| told.pcr == index && told.bank == bank.index());
            let value = told.map_or([0; MAX_DIGEST], |told| told.value);
            let state = if bank.in_tpm() {
                State::Unreadable
            } else {
                State::Virtual
            };
            before.push(Before { state, value }, GFP_KERNEL)?;
            base.push(value, GFP_KERNEL)?;
        }
        if index == self.env.pcr() {
            state.writer.active().set_base(base);
        }
        state.pcrs.add(Pcr::new(index, before)?)
    }

    /// Is the record what IMA would have made of the checkpoint?
    fn is_sound(
        &self,
        record: &Record<'_>,
        checkpoint: &Checkpoint<'_>,
        digests: &[Digest],
    ) -> bool {
        let sha1 = digests
            .get(self.env.sha1())
            .and_then(|d| d.get(..SHA1_SIZE));
        let right_pcr =
            record.pcr() == self.env.pcr() && checkpoint.header().default_pcr == self.env.pcr();
        right_pcr && sha1 == Some(record.digest()) && self.is_hashed(record).unwrap_or(false)
    }

    /// Does `d-ng` hold the hash of the buffer? Assumed of a hash that this kernel does not use.
    fn is_hashed(&self, record: &Record<'_>) -> Option<bool> {
        let (algorithm, expected) = record.file_digest()?;
        let Some(index) = self.env.bank_named(algorithm) else {
            return Some(true);
        };
        let bank = self.env.banks().get(index)?;
        let mut digest = [0; MAX_DIGEST];
        bank.hash(record.buffer()?, &mut digest).ok()?;
        Some(bank.trim(&digest) == expected)
    }

    /// Believes a checkpoint if it agrees with the replay: its segment starts with the next record.
    fn adopt(
        &self,
        state: &mut LogState,
        checkpoint: &Checkpoint<'_>,
        buffer: &[u8],
    ) -> Result<bool> {
        let header = checkpoint.header();
        let head = state.writer.end() == Span::default();
        if !head && !self.agrees(state, checkpoint) {
            return Ok(false);
        }
        state.pcrs.assume();
        for entry in checkpoint.values() {
            let Some((bank, value)) = self.value_of(&entry) else {
                continue;
            };
            let pcr = entry.pcr.into();
            if state.pcrs.get(pcr).is_none() {
                self.restore_pcr(state, &[], pcr)?;
            }
            if let Some(pcr) = state.pcrs.get_mut(pcr) {
                pcr.recall(bank, entry.state, value);
            }
        }

        let default = state.pcrs.get(self.env.pcr()).ok_or(EINVAL)?;
        let digest = sha256(buffer);
        let start = Span {
            records: header.record,
            bytes: header.offset,
            ascii: state.writer.end().ascii,
        };
        let segment = Segment::new(header.sequence, digest, start, default.bases()?)?;
        if head {
            self.store.restart(segment.clone())?;
            state.writer = Writer::new(segment);
            state.pcrs.sealed();
        } else {
            self.store.reserve_segment()?;
            state.next = Some(segment);
        }
        state.identity = Identity {
            log_id: header.log_id,
            generation: header.generation,
            sequence: header.sequence,
            digest,
        };
        Ok(true)
    }

    /// Does all that the checkpoint says agree with the records before it?
    fn agrees(&self, state: &LogState, checkpoint: &Checkpoint<'_>) -> bool {
        let header = checkpoint.header();
        let identity = &state.identity;
        let end = state.writer.end();
        let size = state.writer.active().len();
        let follows = header.sequence == identity.sequence.wrapping_add(1)
            && (identity.sequence == 0 || header.log_id == identity.log_id)
            && header.previous == identity.digest
            && header.record == end.records
            && header.offset == end.bytes
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
        let Some(bank) = self.env.bank_of_alg(entry.algorithm) else {
            return true;
        };
        let register = state
            .pcrs
            .get(entry.pcr.into())
            .and_then(|pcr| pcr.registers().get(bank.index()));
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
fn candidate<'a>(record: &Record<'a>) -> Option<Checkpoint<'a>> {
    if record.event_name() != Some(checkpoint::EVENT_NAME) || record.is_violation() {
        return None;
    }
    Checkpoint::parse(record.buffer()?).ok()
}
