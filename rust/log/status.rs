// SPDX-License-Identifier: GPL-2.0

//! The log at a glance.

use super::Log;
use crate::{
    abstractions::ima,
    format::checkpoint::State,
    memory::KVec,
    store::{
        self,
        Span, //
    },
};
use kernel::prelude::*;

/// How a PCR in one bank compared with its shadow at the newest checkpoint.
pub(crate) struct PcrState {
    pub(crate) pcr: u32,
    /// Number of the bank.
    pub(crate) bank: usize,
    /// `None` before the first checkpoint.
    pub(crate) state: Option<State>,
}

/// What the file `status` shows.
pub(crate) struct Status {
    pub(crate) log_id: [u8; 16],
    /// Kexecs since cold boot.
    pub(crate) generation: u32,
    pub(crate) tpm: bool,
    /// Since cold boot.
    pub(crate) total: Span,
    pub(crate) live: Span,
    /// Since cold boot, what kexecs left behind included.
    pub(crate) freed: Span,
    pub(crate) segments: usize,
    /// Number of the newest checkpoint.
    pub(crate) checkpoints: u64,
    pub(crate) violations: u64,
    /// Bytes of records that were freed, but that a reader still holds.
    pub(crate) bytes_pinned: u64,
    /// Bytes of memory of all chunks.
    pub(crate) memory_chunks: u64,
    /// Bytes of memory of the known digests.
    pub(crate) memory_known: u64,
    pub(crate) suspended: bool,
    pub(crate) pcrs: KVec<PcrState>,
    pub(crate) last_error: Option<Error>,
}

impl Log {
    /// Waits for the extend mutex, so that all numbers belong together.
    pub(crate) fn status(&self) -> Result<Status> {
        let mut held = ima::lock();
        let suspended = self.machine.is_suspended(&held);
        let live = self.store.live();
        let segments = self.store.count();
        let state = self.state.get(&mut held);
        let mut pcrs = KVec::new();
        for pcr in state.pcrs.iter() {
            for (bank, register) in pcr.registers().iter().enumerate() {
                pcrs.push(
                    PcrState {
                        pcr: pcr.index(),
                        bank,
                        state: register.state(),
                    },
                    GFP_KERNEL,
                )?;
            }
        }
        Ok(Status {
            log_id: state.identity.log_id,
            generation: state.identity.generation,
            tpm: self.platform.has_tpm(),
            total: state.writer.end(),
            live,
            freed: self.store.start(),
            segments,
            checkpoints: state.identity.sequence,
            violations: state.violations,
            bytes_pinned: store::committed_bytes().saturating_sub(live.bytes),
            memory_chunks: store::allocated_bytes(),
            memory_known: state.known.memory() as u64,
            suspended,
            pcrs,
            last_error: state.last_error,
        })
    }
}
