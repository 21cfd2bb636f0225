// SPDX-License-Identifier: GPL-2.0

//! Restoring the list that the previous kernel handed over, without extending anything.
//!
//! Segments, counters and shadows come from the replay. All that can fail is done before a record
//! is in the list: a restore that stops leaves the log as the records before made it.

mod belief;

use self::belief::candidate;
use super::{
    automatic::wake,
    error_name,
    invalid,
    shadow::{
        Before,
        Pcr,
        Pcrs,
        LAST_PCR, //
    },
    Identity,
    Log,
    State as LogState, //
};
use crate::{
    abstractions::ima::{
        self,
        Extend,
        MAX_DIGEST, //
    },
    format::{
        ascii,
        checkpoint::{
            Entry,
            Flags,
            Label,
            State, //
        },
        kexec::Header,
        record::Record, //
    },
    memory::{
        KVVec,
        KVec, //
    },
    platform::{
        Digest,
        SHA1_SIZE, //
    },
    store::{
        Seal,
        Segment,
        Span,
        Writer, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

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
        let parsed = Record::parse(self.bytes, SHA1_SIZE, self.log.platform().order());
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

/// What PCRs held before their first records, as the checkpoints that follow these tell.
struct FirstValues {
    /// By PCR, then by bank.
    values: KVVec<Option<Digest>>,
    banks: usize,
}

impl FirstValues {
    /// None is known.
    fn new(banks: usize) -> Result<Self> {
        let mut values = KVVec::new();
        values.resize(banks * (LAST_PCR as usize + 1), None, GFP_KERNEL)?;
        Ok(Self { values, banks })
    }

    fn place(&self, pcr: u32, bank: usize) -> Option<usize> {
        (pcr <= LAST_PCR && bank < self.banks).then(|| pcr as usize * self.banks + bank)
    }

    /// Notes a value, unless one is known.
    fn note(&mut self, pcr: u32, bank: usize, value: Digest) {
        let place = self.place(pcr, bank);
        if let Some(known) = place.and_then(|place| self.values.get_mut(place)) {
            known.get_or_insert(value);
        }
    }

    fn get(&self, pcr: u32, bank: usize) -> Option<Digest> {
        *self.values.get(self.place(pcr, bank)?)?
    }
}

impl Log {
    /// Restores the list from `buffer`, the kexec header included.
    ///
    /// EINVAL: the buffer is corrupted; the records before the fault are restored. ENOMEM.
    pub(crate) fn restore(&self, buffer: &[u8]) -> Result {
        let mut held = ima::lock();
        let result = self.restore_into(&mut held, buffer);
        if let Err(error) = result {
            pr_err!(
                "the previous kernel's list is corrupted after record {}: {}\n",
                self.store.end().records,
                error_name(error)
            );
        }
        let state = self.state.get(&mut held);
        if state.doubted > 0 {
            pr_warn!(
                "{} checkpoints of the previous kernel are not trusted: kept as ordinary records\n",
                state.doubted
            );
        }
        self.machine.set_violations(state.violations);
        result
    }

    pub(super) fn restore_into(&self, held: &mut Extend, buffer: &[u8]) -> Result {
        let (header, bytes) = Header::parse(buffer, self.platform.order()).map_err(invalid)?;
        let records = Records {
            log: self,
            bytes,
            left: header.count,
        };
        let first_values = self.first_values(records.clone())?;
        let result = records.into_iter().try_for_each(|raw| {
            let (record, raw) = raw?;
            self.restore_record(held, &first_values, &record, raw)
        });
        let state = self.state.get(held);
        if state.writer.end() != Span::default() {
            state.restored = true;
            state.identity.generation = state.identity.generation.saturating_add(1);
        }
        result
    }

    /// Once boot_aggregate is in the list: makes a checkpoint if the list is not what the TPM saw.
    pub(crate) fn compare_with_tpm(&self) {
        let result = self.try_compare(&mut ima::lock());
        if let Err(error) = result {
            pr_err!(
                "the list is not compared with the TPM: {}\n",
                error_name(error)
            );
        }
        self.measure_boot_settings();
        wake();
    }

    fn try_compare(&self, held: &mut Extend) -> Result {
        if !self.platform.has_tpm() {
            return Ok(());
        }
        let (state, proof) = self.state.get_with(held);
        if state.restored {
            let default = self.platform.pcr();
            let at = state.pcrs.position(default).ok_or(EIO)?;
            state
                .pcrs
                .measure(&*self.machine, proof, &self.platform, at)?;
            state.lost = state.pcrs.get(default).is_some_and(|pcr| pcr.differs());
        }
        if state.lost {
            pr_warn!("the default PCR was extended with values that are not in the list\n");
            self.seal(held, Label::default(), Flags::AUTOMATIC | Flags::LOG_LOST)?;
        }
        Ok(())
    }

    /// What checkpoints tell of PCRs before their first record.
    fn first_values(&self, records: Records<'_>) -> Result<FirstValues> {
        let mut values = FirstValues::new(self.platform.banks().len())?;
        for (record, _) in records.flatten() {
            let Some(checkpoint) = candidate(&record) else {
                continue;
            };
            for entry in checkpoint.before() {
                if let Some((bank, value)) = self.value_of(&entry) {
                    values.note(entry.pcr.into(), bank, value);
                }
            }
        }
        Ok(values)
    }

    /// Bank and value of a checkpoint's entry, if this kernel has the bank.
    fn value_of(&self, entry: &Entry<'_>) -> Option<(usize, Digest)> {
        let bank = self.platform.bank_of_alg(entry.algorithm)?;
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
        first_values: &FirstValues,
        record: &Record<'_>,
        raw: &[u8],
    ) -> Result {
        let state = self.state.get(held);
        let digests = self.digests(record)?;
        let checkpoint = candidate(record);
        let belief = match &checkpoint {
            Some(checkpoint) if self.is_sound(record, checkpoint, &digests) => {
                self.believe(state, checkpoint, record.buffer().unwrap_or_default())?
            }
            _ => None,
        };
        let pcrs = match &belief {
            None => self.with_pcr(state, first_values, record.pcr())?,
            Some(_) => None,
        };

        let active = state.writer.active().clone();
        let seal = belief.as_ref().map(|belief| belief.seal.clone());
        let is_head = state.writer.end() == Span::default();
        let result = match seal {
            // Nothing precedes it that could be sealed.
            Some(seal) if is_head => {
                self.restart(state, seal.next);
                self.restore_bytes(state, None, record, &digests, raw)
            }
            seal => self.restore_bytes(state, seal, record, &digests, raw),
        };
        if result.is_err() && is_head {
            self.restart(state, active);
        }
        result?;

        // From here on nothing fails.
        let seals = belief.is_some() && !is_head;
        if let Some(belief) = belief {
            state.identity = belief.identity;
            state.violations = belief.violations;
            state.pcrs = belief.pcrs;
            if is_head {
                state.pcrs.sealed();
            }
        } else if checkpoint.is_some() {
            state.doubted = state.doubted.wrapping_add(1);
        }
        if let Some((pcrs, base)) = pcrs {
            state.pcrs = pcrs;
            if record.pcr() == self.platform.pcr() {
                state.writer.active().set_base(base);
            }
        }
        if record.is_violation() {
            state.violations = state.violations.saturating_add(1);
        }
        let own = super::is_own(record);
        let _ = state.appended(self.config, seals, own, raw.len());
        let digest = |bank: usize| digests.get(bank).map(Digest::as_slice).unwrap_or_default();
        let (pcr, is_violation) = (record.pcr(), record.is_violation());
        state.pcrs.extend(&self.platform, pcr, is_violation, digest);
        Ok(())
    }

    /// Puts a record into the list, with the digest that its data have.
    fn restore_bytes(
        &self,
        state: &mut LogState,
        seal: Option<Seal>,
        record: &Record<'_>,
        digests: &[Digest],
        raw: &[u8],
    ) -> Result {
        let sha1 = digests.get(self.platform.sha1()).ok_or(EINVAL)?;
        let sha1 = sha1.get(..SHA1_SIZE).ok_or(EINVAL)?;
        state.writer.append(&self.store, seal, raw.len(), |out| {
            out.copy_from_slice(raw);
            out.get_mut(4..4 + SHA1_SIZE)
                .ok_or(EINVAL)?
                .copy_from_slice(sha1);
            Ok(ascii::ascii_len(record, SHA1_SIZE))
        })
    }

    /// Has the list, which is empty, start with segment `first`.
    fn restart(&self, state: &mut LogState, first: Arc<Segment>) {
        state.writer = Writer::new(first.clone());
        self.store.restart(first);
    }

    /// Template digests of a record, one per bank.
    fn digests(&self, record: &Record<'_>) -> Result<KVec<Digest>> {
        let mut digests = KVec::with_capacity(self.platform.banks().len(), GFP_KERNEL)?;
        for bank in self.platform.banks() {
            digests.push(self.platform.template_digest(record, bank)?, GFP_KERNEL)?;
        }
        Ok(digests)
    }

    /// The shadow PCRs with one more, and what it held before its first record. `None` if it is
    /// known already, or IMA can never extend it.
    fn with_pcr(
        &self,
        state: &LogState,
        first_values: &FirstValues,
        index: u32,
    ) -> Result<Option<(Pcrs, Arc<KVec<Digest>>)>> {
        if index > LAST_PCR || state.pcrs.get(index).is_some() {
            return Ok(None);
        }
        let mut base = KVec::with_capacity(self.platform.banks().len(), GFP_KERNEL)?;
        for bank in self.platform.banks() {
            let value = first_values.get(index, bank.index());
            base.push(value.unwrap_or([0; MAX_DIGEST]), GFP_KERNEL)?;
        }
        let mut pcrs = state.pcrs.copied()?;
        pcrs.add(self.pcr_from(index, &base)?)?;
        Ok(Some((pcrs, Arc::new(base, GFP_KERNEL)?)))
    }

    /// A PCR that held `values`, one per bank, before its first record, as far as anybody knows.
    fn pcr_from(&self, index: u32, values: &[Digest]) -> Result<Pcr> {
        let mut before = KVec::with_capacity(values.len(), GFP_KERNEL)?;
        for (bank, value) in self.platform.banks().iter().zip(values) {
            let state = if bank.in_tpm() {
                State::Unreadable
            } else {
                State::Virtual
            };
            let value = *value;
            before.push(Before { state, value }, GFP_KERNEL)?;
        }
        Pcr::new(index, before)
    }
}
