// SPDX-License-Identifier: GPL-2.0

//! Truncation: frees the segments before a checkpoint, once that is measured.

use super::Log;
use crate::{
    format::truncate::{
        Reason,
        Truncation, //
    },
    seam::{
        self,
        Extend,
        Extended, //
    },
    store::{
        Segment,
        Span, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

pub(super) const EVENT_NAME: &CStr = c".ima/truncate";

impl Log {
    /// Truncates the list to checkpoint `seq`, if `digest` is that of its buffer.
    ///
    /// Changes nothing if the list starts with it already. ENOENT: there is no such checkpoint.
    /// EINVAL for 0, which is none. ESTALE: it was freed, or has another digest. EBUSY: measuring
    /// is suspended. EIO: the TPM refused the record. ENOMEM. Nothing was freed then.
    pub(crate) fn truncate(&self, seq: u64, digest: &[u8; 32]) -> Result {
        let mut freed = KVec::new();
        let result = {
            let mut held = seam::lock();
            let result = self.try_truncate(&mut held, seq, digest, &mut freed);
            self.note(&mut held, result)
        };
        // Memory goes without a lock held.
        let count = freed.len();
        drop(freed);
        if count > 0 {
            self.events.notify();
        }
        if result.is_err() || count > 0 {
            audit(Reason::User, result);
        }
        result
    }

    fn try_truncate(
        &self,
        held: &mut Extend,
        seq: u64,
        digest: &[u8; 32],
        freed: &mut KVec<Arc<Segment>>,
    ) -> Result {
        if seq == 0 {
            return Err(EINVAL);
        }
        if seam::suspended(held) {
            return Err(EBUSY);
        }
        let segment = self.store.segment(seq)?;
        if segment.digest() != digest {
            return Err(ESTALE);
        }
        let count = seq.saturating_sub(self.store.first());
        let count = usize::try_from(count).map_err(|_| ENOMEM)?;
        if count == 0 {
            return Ok(());
        }
        freed.reserve(count, GFP_KERNEL)?;

        let size = segment.start() - self.store.start();
        self.measure_truncation(held, Reason::User, &segment, size)?;
        self.store.remove_before(seq, freed);
        pr_info!(
            "truncated to checkpoint {seq}: {} records, {} bytes freed\n",
            size.records,
            size.bytes
        );
        Ok(())
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
        match seam::extend_buffer(held, EVENT_NAME, buffer)? {
            Extended::Both => Ok(()),
            Extended::ListOnly => Err(EIO),
        }
    }
}

/// Tells the audit log of a truncation. The extend mutex must not be held.
pub(super) fn audit(reason: Reason, result: Result) {
    let cause = match reason {
        Reason::User => c"user",
        Reason::Retention => c"retention",
        Reason::Kexec => c"kexec",
    };
    seam::audit(EVENT_NAME, c"truncate", cause, result);
}
