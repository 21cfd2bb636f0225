// SPDX-License-Identifier: GPL-2.0

//! Making a checkpoint: seals the active segment and starts the next one.

use super::{
    automatic::wake,
    invalid,
    shadow::Pcr,
    Log, //
};
use crate::{
    abstractions::{
        ima::{
            self,
            Extend,
            Extended, //
        },
        sha256::sha256, //
    },
    format::{
        checkpoint::{
            Builder,
            Entry,
            Flags,
            Header,
            Kind,
            Label,
            State,
            MAX_BUFFER, //
        },
        Error as FormatError, //
    },
    memory::KVVec,
    platform::Platform,
    store::{
        Seal,
        Segment, //
    },
};
use kernel::{
    prelude::*,
    time::{
        BootTime,
        ClockSource,
        RealTime, //
    },
};

pub(super) const EVENT_NAME: &CStr = c".ima/checkpoint";

/// A checkpoint that was made.
#[derive(Clone, Copy)]
pub(crate) struct Sealed {
    pub(crate) seq: u64,
    /// SHA-256 of the checkpoint's buffer.
    pub(crate) digest: [u8; 32],
}

impl Log {
    /// Makes a checkpoint.
    ///
    /// EBUSY: measuring is suspended. EIO: the TPM failed. ENOMEM. Nothing was appended then,
    /// except that EIO is also returned when the TPM took no extend, as the kernel log says.
    pub(crate) fn checkpoint(&self, label: Label<'_>) -> Result<Sealed> {
        let mut held = ima::lock();
        if self.machine.is_suspended(&held) {
            return Err(EBUSY);
        }
        self.seal(&mut held, label, Flags::default())
    }

    /// Makes a checkpoint, whoever asked for it.
    pub(super) fn seal(&self, held: &mut Extend, label: Label<'_>, flags: Flags) -> Result<Sealed> {
        let result = self.try_seal(held, label, flags);
        self.note(held, result)
    }

    fn try_seal(&self, held: &mut Extend, label: Label<'_>, flags: Flags) -> Result<Sealed> {
        let mut buffer = KVVec::zeroed(MAX_BUFFER, GFP_KERNEL)?;
        let (made, buffer) = self.prepare(held, label, flags, &mut buffer)?;
        let result = self.machine.extend_buffer(self, held, EVENT_NAME, buffer);
        let extended = self.conclude(held, made, result)?;
        if let Extended::ListOnly = extended {
            pr_err!(
                "checkpoint {} is in the list, but the TPM refused it\n",
                made.seq
            );
            return Err(EIO);
        }
        Ok(made)
    }

    /// Reads the PCRs, writes the checkpoint's buffer to `out`, and has the next record start a
    /// segment.
    fn prepare<'b>(
        &self,
        held: &mut Extend,
        label: Label<'_>,
        flags: Flags,
        out: &'b mut [u8],
    ) -> Result<(Sealed, &'b [u8])> {
        {
            let (state, held) = self.state.get_with(held);
            for at in 0..state.pcrs.len() {
                state
                    .pcrs
                    .measure(&*self.machine, held, &self.platform, at)?;
            }
        }
        let buffer = self.describe(held, label, flags, out)?;
        let digest = sha256(buffer);
        let state = self.state.get(held);
        let default = state.pcrs.get(self.platform.pcr()).ok_or(EIO)?;
        let seq = state.identity.sequence.wrapping_add(1);
        let next = Segment::new(seq, digest, state.writer.end(), default.bases()?)?;
        let broken = default.differs();
        state.next = Some(Seal { next, broken });
        Ok((Sealed { seq, digest }, buffer))
    }

    /// Notes the checkpoint, unless its record was not appended.
    fn conclude<T>(&self, held: &mut Extend, made: Sealed, result: Result<T>) -> Result<T> {
        let state = self.state.get(held);
        // IMA may have failed before it came back with the record.
        state.next = None;
        let extended = result?;
        state.identity.sequence = made.seq;
        state.identity.digest = made.digest;
        self.events.notify();
        // Retention may have something to do.
        wake();
        Ok(extended)
    }

    /// Writes the checkpoint's buffer.
    fn describe<'b>(
        &self,
        held: &mut Extend,
        label: Label<'_>,
        flags: Flags,
        out: &'b mut [u8],
    ) -> Result<&'b [u8]> {
        let state = self.state.get(held);
        let size = state.writer.segment_len();
        let no_tpm = if self.platform.has_tpm() {
            Flags::default()
        } else {
            Flags::NO_TPM
        };
        let header = Header {
            flags: flags | no_tpm,
            log_id: state.identity.log_id,
            sequence: state.identity.sequence.wrapping_add(1),
            generation: state.identity.generation,
            default_pcr: self.platform.pcr(),
            record: state.writer.end().records,
            offset: state.writer.end().bytes,
            violations: state.violations,
            wall_ns: u64::try_from(RealTime::ktime_get()).unwrap_or_default(),
            boot_ns: u64::try_from(BootTime::ktime_get()).unwrap_or_default(),
            segment_records: size.records,
            segment_bytes: size.bytes,
            segment_digest: state.writer.sha256(),
            previous: state.identity.digest,
        };
        let mut builder = Builder::new(out, &header, label).map_err(invalid)?;
        let default = self.platform.pcr();
        let first = state.pcrs.iter().filter(|pcr| pcr.index() == default);
        let others = state.pcrs.iter().filter(|pcr| pcr.index() != default);
        for pcr in Iterator::chain(first, others) {
            push(&mut builder, &self.platform, pcr).map_err(invalid)?;
        }
        Ok(builder.finish())
    }
}

/// Adds what is to be said of a PCR.
fn push(
    builder: &mut Builder<'_>,
    platform: &Platform,
    pcr: &Pcr,
) -> core::result::Result<(), FormatError> {
    let index = u8::try_from(pcr.index()).map_err(|_| FormatError::TooLong)?;
    for (at, (bank, register)) in platform.banks().iter().zip(pcr.registers()).enumerate() {
        let Some(state) = register.state() else {
            continue;
        };
        let entry = |state, value| Entry {
            pcr: index,
            state,
            algorithm: bank.alg_id(),
            value,
        };
        builder.push(Kind::Value, &entry(state, bank.trim(register.base())))?;
        if state == State::Differs {
            builder.push(Kind::Shadow, &entry(state, bank.trim(register.value())))?;
        }
        if let Some(before) = pcr.before().and_then(|before| before.get(at)) {
            builder.push(Kind::Before, &entry(before.state, bank.trim(&before.value)))?;
        }
    }
    Ok(())
}
