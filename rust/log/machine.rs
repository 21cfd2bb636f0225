// SPDX-License-Identifier: GPL-2.0

//! What the log asks of the machine that it runs on: its TPM, and IMA, which appends records and
//! extends PCRs. Tests have machines of their own, whose TPMs fail.

use super::Log;
use crate::{
    abstractions::ima::{
        self,
        Extend,
        Extended, //
    },
    format::consent::Signature,
    platform::Digest,
};
use kernel::prelude::*;

/// A machine.
pub(crate) trait Machine: Send + Sync {
    /// Measuring is suspended, because the machine is about to reboot.
    fn is_suspended(&self, held: &Extend) -> bool;

    /// Reads `pcr` in bank number `bank`, which the TPM must have, into the front of `value`. EIO.
    fn read_pcr(&self, held: &Extend, bank: usize, pcr: u32, value: &mut Digest) -> Result;

    /// Appends an `ima-buf` record for the default PCR to `log` and extends it, whatever the policy
    /// says. An error means that nothing was appended.
    fn extend_buffer(
        &self,
        log: &Log,
        held: &mut Extend,
        event_name: &CStr,
        buffer: &[u8],
    ) -> Result<Extended>;

    /// Is it a signature by a key in `.ima` over this SHA-256? EOPNOTSUPP: this kernel cannot tell.
    /// ENOMEM. Any other error: it is not. The extend mutex must not be held.
    fn verify(&self, signature: &Signature<'_>, digest: &[u8; 32]) -> Result;

    /// Tells IMA how many violations are in the list, after a restore.
    fn set_violations(&self, count: u64);

    /// Writes an audit record about the event `name`. The extend mutex must not be held.
    fn audit(&self, name: &CStr, op: &CStr, cause: &CStr, result: Result);
}

/// The machine that this kernel runs on.
pub(super) struct ThisMachine;

impl Machine for ThisMachine {
    fn is_suspended(&self, held: &Extend) -> bool {
        ima::suspended(held)
    }

    fn read_pcr(&self, held: &Extend, bank: usize, pcr: u32, value: &mut Digest) -> Result {
        ima::read_pcr(held, bank, pcr, value)
    }

    // IMA comes back to the one log that it knows.
    fn extend_buffer(
        &self,
        _log: &Log,
        held: &mut Extend,
        event_name: &CStr,
        buffer: &[u8],
    ) -> Result<Extended> {
        ima::extend_buffer(held, event_name, buffer)
    }

    fn verify(&self, signature: &Signature<'_>, digest: &[u8; 32]) -> Result {
        ima::verify(signature.as_bytes(), digest)
    }

    fn set_violations(&self, count: u64) {
        ima::set_violations(count);
    }

    fn audit(&self, name: &CStr, op: &CStr, cause: &CStr, result: Result) {
        ima::audit(name, op, cause, result);
    }
}
