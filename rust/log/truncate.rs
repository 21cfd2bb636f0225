// SPDX-License-Identifier: GPL-2.0

//! Truncation: frees the segments before a checkpoint, once that is measured.

use super::{
    automatic::wake,
    consent::{
        Permitted,
        Target, //
    },
    shadow::require_answer,
    Log, //
};
use crate::{
    abstractions::ima::{
        self,
        Extend, //
    },
    format::truncate::{
        Reason,
        Truncation, //
    },
    memory::KVVec,
    store::{
        known::Scope,
        SealedSegment,
        Segment,
        Span, //
    },
};
use kernel::prelude::*;

pub(super) const EVENT_NAME: &CStr = c".ima/truncate";

impl Log {
    /// Truncates the list to a checkpoint.
    ///
    /// Changes nothing if the list starts with it already. ENOENT: there is no such checkpoint.
    /// EINVAL for 0, which is none. ESTALE: it was freed, or has another digest. EKEYREJECTED: as
    /// [`Log::permit`]. EBUSY: measuring is suspended. EIO: the TPM refused the record. ENOMEM.
    /// Nothing was freed then.
    pub(crate) fn truncate(&self, reason: Reason, target: Target<'_>) -> Result {
        let mut freed = KVVec::new();
        let permitted = self.permit(target);
        let result = {
            let mut held = ima::lock();
            let result = permitted
                .and_then(|permitted| self.try_truncate(&mut held, reason, permitted, &mut freed));
            self.note(&mut held, result)
        };
        // Memory goes without a lock held.
        drop(freed);
        let changed = result == Ok(true);
        let result = result.map(|_| ());
        if changed {
            self.events.notify();
            wake();
        }
        if changed || result.is_err() {
            self.audit_truncation(reason, result);
        }
        result
    }

    /// Tells whether anything was freed.
    pub(super) fn try_truncate(
        &self,
        held: &mut Extend,
        reason: Reason,
        permitted: Permitted<'_>,
        freed: &mut KVVec<SealedSegment>,
    ) -> Result<bool> {
        let Permitted {
            seq,
            digest,
            log_id,
        } = permitted;
        if seq == 0 {
            return Err(EINVAL);
        }
        if self.machine.is_suspended(held) {
            return Err(EBUSY);
        }
        let segment = self.store.segment(seq)?;
        if digest.is_some_and(|digest| segment.digest() != digest) {
            return Err(ESTALE);
        }
        // The mutex was not held while the signature was verified.
        if log_id.is_some_and(|log_id| self.state.get(held).identity.log_id != log_id) {
            return Err(ESTALE);
        }
        let count = seq.saturating_sub(self.store.first());
        let count = usize::try_from(count).map_err(|_| ENOMEM)?;
        if count == 0 {
            return Ok(false);
        }
        freed.reserve(count, GFP_KERNEL)?;
        self.state.get(held).known.reserve(count)?;

        // A record that the TPM does not take stays in the list, and is not true.
        require_answer(&*self.machine, held, &self.platform)?;
        let size = segment.start() - self.store.start();
        self.measure_truncation(held, reason, &segment, size)?;
        self.store.remove_before(seq, freed);
        if self.config.duplicate_scope() == Scope::Log {
            self.state.get(held).known.keep(freed);
        }
        // Retention goes on for years; each of its truncations is in the audit log.
        if reason != Reason::Retention {
            pr_info!(
                "truncated to checkpoint {seq}: {} records, {} bytes freed\n",
                size.records,
                size.bytes
            );
        }
        Ok(true)
    }

    /// Appends the record of a truncation to `segment`, of `size`.
    pub(super) fn measure_truncation(
        &self,
        held: &mut Extend,
        reason: Reason,
        segment: &Segment,
        size: Span,
    ) -> Result {
        let record = Truncation {
            reason,
            log_id: self.state.get(held).identity.log_id,
            sequence: segment.seq(),
            digest: *segment.digest(),
            records: size.records,
            bytes: size.bytes,
        };
        let mut buffer = [0; Truncation::SIZE];
        let buffer = record.encode(&mut buffer).map_err(super::invalid)?;
        self.append_own(held, EVENT_NAME, buffer)
    }

    /// Tells the audit log of a truncation. The extend mutex must not be held.
    pub(super) fn audit_truncation(&self, reason: Reason, result: Result) {
        let cause = match reason {
            Reason::User => c"user",
            Reason::Retention => c"retention",
            Reason::Kexec => c"kexec",
        };
        self.machine.audit(EVENT_NAME, c"truncate", cause, result);
    }
}
