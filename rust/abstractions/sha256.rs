// SPDX-License-Identifier: GPL-2.0

//! SHA-256.
//!
//! C header: `include/crypto/sha2.h`

use core::mem::MaybeUninit;
use kernel::bindings;

/// A running SHA-256.
#[derive(Clone)]
pub(crate) struct Sha256(bindings::sha256_ctx);

impl Sha256 {
    pub(crate) fn new() -> Self {
        let mut context = MaybeUninit::uninit();
        // SAFETY: The context is writable, and initialised by the call.
        unsafe { bindings::sha256_init(context.as_mut_ptr()) };
        // SAFETY: `sha256_init()` initialised it.
        Self(unsafe { context.assume_init() })
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        // SAFETY: The context is initialised, and `data` is readable for its length.
        unsafe { bindings::__sha256_update(&mut self.0.ctx, data.as_ptr(), data.len()) };
    }

    /// The digest of what was hashed so far.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut context = self.0;
        let mut out = [0; 32];
        // SAFETY: The context is an initialised copy, and `out` has the size of a digest.
        unsafe { bindings::sha256_final(&mut context, out.as_mut_ptr()) };
        out
    }
}

/// SHA-256 of `data`.
pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(data);
    hash.digest()
}
