// SPDX-License-Identifier: GPL-2.0

//! What the record of a quote has, kept when the record is gone.

use ima_checkpoint_format::quote::Quote;

/// What a TPM signed over a checkpoint, as a record says. Only its form is known to be right: nobody
/// has checked the signature yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The log.
    pub log_id: [u8; 16],
    /// The checkpoint.
    pub sequence: u64,
    /// SHA-256 of the checkpoint's buffer, which is `extraData` of the message.
    pub digest: [u8; 32],
    /// The TPM Name of the key.
    pub name: Vec<u8>,
    /// TPMS_ATTEST.
    pub message: Vec<u8>,
    /// TPMT_SIGNATURE.
    pub signature: Vec<u8>,
}

impl Signed {
    pub(super) fn new(quote: &Quote<'_>) -> Self {
        Self {
            log_id: quote.log_id,
            sequence: quote.sequence,
            digest: quote.digest,
            name: quote.evidence.name().to_vec(),
            message: quote.evidence.attest().to_vec(),
            signature: quote.evidence.signature().to_vec(),
        }
    }
}
