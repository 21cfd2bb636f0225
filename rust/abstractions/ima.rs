// SPDX-License-Identifier: GPL-2.0

//! IMA: its extend mutex, its record path, and the TPM and the hashes that it uses.
//!
//! C header: `include/linux/ima_store.h`

use core::{
    cell::UnsafeCell,
    ops::{
        Deref,
        DerefMut, //
    },
};
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sync::{
        Mutex,
        MutexGuard, //
    },
    types::NotThreadSafe, //
};

/// Bytes of the longest digest of any bank.
pub(crate) const MAX_DIGEST: usize = bindings::IMA_STORE_MAX_DIGEST as usize;

/// Proof that the current thread holds IMA's extend mutex.
///
/// # Invariants
///
/// While a value exists, the thread that made it holds `ima_extend_list_mutex`.
pub(crate) struct Extend(NotThreadSafe);

impl Extend {
    /// # Safety
    ///
    /// The current thread holds the extend mutex for as long as the returned value lives, and no
    /// borrow that was derived from another [`Extend`] is live meanwhile.
    pub(crate) unsafe fn assume_held() -> Self {
        // INVARIANT: By the safety requirements.
        Self(NotThreadSafe)
    }
}

/// The extend mutex, taken until dropped.
pub(crate) struct ExtendGuard {
    proof: Extend,
    _guard: MutexGuard<'static, ()>,
}

/// Takes the extend mutex. May sleep for as long as the TPM takes for one extend.
pub(crate) fn lock() -> ExtendGuard {
    // SAFETY: IMA's mutex is initialised where it is defined, and lives as long as the kernel.
    let mutex: &'static Mutex<()> =
        unsafe { Mutex::from_raw(&raw mut bindings::ima_extend_list_mutex) };
    let guard = mutex.lock();
    ExtendGuard {
        // INVARIANT: The mutex was just taken, and the guard gives it back when both are dropped.
        proof: Extend(NotThreadSafe),
        _guard: guard,
    }
}

impl Deref for ExtendGuard {
    type Target = Extend;

    fn deref(&self) -> &Extend {
        &self.proof
    }
}

impl DerefMut for ExtendGuard {
    fn deref_mut(&mut self) -> &mut Extend {
        &mut self.proof
    }
}

/// Data that the extend mutex protects.
pub(crate) struct Locked<T>(UnsafeCell<T>);

// SAFETY: The only access to the inner value is through `get`, which demands the proof that the
// mutex is held, so that threads take turns.
unsafe impl<T: Send> Sync for Locked<T> {}

impl<T> Locked<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The value, for as long as the proof is borrowed.
    #[allow(
        clippy::mut_from_ref,
        reason = "the exclusive borrow is that of the proof"
    )]
    pub(crate) fn get<'a>(&'a self, held: &'a mut Extend) -> &'a mut T {
        self.get_with(held).0
    }

    /// The value, and the proof for what needs no exclusive one.
    #[allow(
        clippy::mut_from_ref,
        reason = "the exclusive borrow is that of the proof"
    )]
    pub(crate) fn get_with<'a>(&'a self, held: &'a mut Extend) -> (&'a mut T, &'a Extend) {
        // SAFETY: The mutex excludes other threads. On this thread, the proof is borrowed mutably
        // for the life of the reference, and the shared one that is handed back gives no access to
        // the value. By the requirements of `assume_held` no reference derived from another proof
        // is live.
        (unsafe { &mut *self.0.get() }, held)
    }
}

/// A template digest in one bank.
#[repr(transparent)]
pub(crate) struct TemplateDigest(bindings::tpm_digest);

impl TemplateDigest {
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn new(alg_id: u16, digest: [u8; MAX_DIGEST]) -> Self {
        Self(bindings::tpm_digest { alg_id, digest })
    }

    /// The digest, in the front.
    pub(crate) fn value(&self) -> &[u8; MAX_DIGEST] {
        &self.0.digest
    }
}

/// Measuring is suspended, because the machine is about to reboot.
pub(crate) fn suspended(_held: &Extend) -> bool {
    // SAFETY: The mutex is held.
    unsafe { bindings::ima_extend_suspended() }
}

/// How a record of the log's own ended.
pub(crate) enum Extended {
    /// It is in the list and in the TPM.
    Both,
    /// It is in the list, but the TPM refused to extend.
    ListOnly,
}

/// Appends an `ima-buf` record to the default PCR and extends it.
///
/// An error means that nothing was appended. IMA comes back with the record through
/// `ima_store_append()` before this returns.
pub(crate) fn extend_buffer(
    _held: &mut Extend,
    event_name: &CStr,
    buffer: &[u8],
) -> Result<Extended> {
    // SAFETY: The mutex is held; `event_name` ends with NUL and both are readable for the call.
    // Borrowing the proof mutably means that no reference to protected data is live.
    let ret = unsafe {
        bindings::ima_extend_buffer(
            event_name.as_char_ptr(),
            buffer.as_ptr().cast(),
            buffer.len(),
        )
    };
    if ret > 0 {
        return Ok(Extended::ListOnly);
    }
    to_result(ret)?;
    Ok(Extended::Both)
}

/// Reads `pcr` in bank number `bank`, which the TPM must have, into the front of `out`.
pub(crate) fn read_pcr(
    _held: &Extend,
    bank: usize,
    pcr: u32,
    out: &mut [u8; MAX_DIGEST],
) -> Result {
    let bank = u32::try_from(bank).map_err(|_| EINVAL)?;
    // SAFETY: The mutex is held, and a digest is at most `MAX_DIGEST` bytes.
    to_result(unsafe { bindings::ima_read_pcr(bank, pcr, out.as_mut_ptr()) }).map_err(|_| EIO)
}

/// Hashes `data` with the hash of bank number `bank`, which must be mapped, into the front of
/// `out`.
pub(crate) fn hash_bank(bank: usize, data: &[u8], out: &mut [u8; MAX_DIGEST]) -> Result {
    let bank = u32::try_from(bank).map_err(|_| EINVAL)?;
    // SAFETY: `data` is readable for its length, and a digest is at most `MAX_DIGEST` bytes.
    to_result(unsafe {
        bindings::ima_hash_bank(bank, data.as_ptr().cast(), data.len(), out.as_mut_ptr())
    })
}

/// Can this kernel tell whose key made a signature?
///
/// Without `CONFIG_INTEGRITY_TRUSTED_KEYRING`, anybody can add a key to IMA's keyring.
pub(crate) const CAN_VERIFY: bool = cfg!(CONFIG_INTEGRITY_TRUSTED_KEYRING);

/// Is `signature`, in IMA's format, one by a key in the keyring `.ima` over this SHA-256?
///
/// May sleep, and takes long: the extend mutex should not be held. EOPNOTSUPP: this kernel cannot
/// tell. ENOMEM. ENOKEY, EKEYREJECTED, EBADMSG and others: it is not.
pub(crate) fn verify(signature: &[u8], digest: &[u8; 32]) -> Result {
    // SAFETY: Both are readable for the call, `digest` for the size of a SHA-256.
    to_result(unsafe {
        bindings::ima_store_verify(signature.as_ptr().cast(), signature.len(), digest.as_ptr())
    })
}

/// Sets the violation count, after a restore.
pub(crate) fn set_violations(count: u64) {
    // SAFETY: No precondition.
    unsafe { bindings::ima_set_violations(count as usize) }
}

/// Writes an audit record about the event `name`.
pub(crate) fn audit(name: &CStr, op: &CStr, cause: &CStr, result: Result) {
    let errno = match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    };
    // SAFETY: The strings end with NUL and are only read during the call.
    unsafe {
        bindings::ima_store_audit(
            name.as_char_ptr(),
            op.as_char_ptr(),
            cause.as_char_ptr(),
            errno,
        )
    }
}
