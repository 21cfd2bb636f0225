// SPDX-License-Identifier: GPL-2.0

//! Quotes over checkpoints: what to quote, and where to put what a TPM signed.

use super::{
    byte_order,
    error::{not_understood, refused, Error},
    Created, Format, Kernel, Refusal,
};
use crate::{
    bank::Bank,
    claim::Claim,
    error::Result,
    own::{self, Mark},
    records::{Position, Records},
};
use std::{fs::OpenOptions, io::Write};

impl Kernel {
    /// What the record of a checkpoint says that was just made. All of it is claimed.
    ///
    /// # Errors
    ///
    /// [`Refusal::Freed`] if the checkpoint was freed, or it is another one.
    pub fn claim(&self, made: &Created) -> Result<Claim> {
        let path = self.path("export");
        let segment = self.export(made.seq, Format::Binary, "sha1")?;
        let size = Bank::Sha1.size();
        let mut records = Records::new(segment, size, byte_order(), Position::default());
        let first = records.next()?;
        let mark = first.and_then(|entry| own::recognise(&entry.record).ok()?);
        match mark {
            Some(Mark::Checkpoint(claim)) if claim.digest == made.digest.as_bytes() => Ok(*claim),
            _ => Err(not_understood(&path)),
        }
    }

    /// Asks before anything is done whether the kernel takes quotes over checkpoints.
    ///
    /// # Errors
    ///
    /// [`Error::NoQuotes`] if it takes none.
    pub fn takes_quotes(&self) -> Result<()> {
        let path = self.path("quote");
        match path.exists() {
            true => Ok(()),
            false => Err(Error::NoQuotes { path }.into()),
        }
    }

    /// Appends what a TPM signed over the newest checkpoint: `TPM2B_NAME`, `TPM2B_ATTEST` and
    /// `TPMT_SIGNATURE`. Nothing is appended (false) if it is over another checkpoint.
    ///
    /// # Errors
    ///
    /// The kernel refused it.
    pub fn quote(&self, evidence: &[u8]) -> Result<bool> {
        let path = self.path("quote");
        let file = OpenOptions::new().write(true).open(&path);
        let mut file = file.map_err(|error| refused(&path, error))?;
        // one write is one command, and none of it is text
        match file.write(evidence) {
            Ok(written) if written == evidence.len() => Ok(true),
            Ok(_) => Err(not_understood(&path)),
            Err(error) if Refusal::of(&error) == Some(Refusal::Freed) => Ok(false),
            Err(error) => Err(refused(&path, error)),
        }
    }
}
