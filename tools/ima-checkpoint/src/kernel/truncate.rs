// SPDX-License-Identifier: GPL-2.0

//! Freeing segments, and what somebody signs for it.

use super::{error::not_understood, Kernel};
use crate::{bank::Digest, error::Result};
use ima_checkpoint_format::consent::{Consent, Signature};
use ima_log::quote::Hex;

impl Kernel {
    /// Frees the segments before the checkpoint of that number and digest.
    ///
    /// # Errors
    ///
    /// [`Refusal::Freed`](super::Refusal::Freed) if it was freed, or is another checkpoint.
    /// [`Refusal::Unsigned`](super::Refusal::Unsigned) if the kernel wants a signature.
    pub fn truncate(&self, seq: u64, digest: &Digest) -> Result<()> {
        let path = self.path("truncate");
        self.command(&path, false, &format!("{seq} {digest}"))?;
        Ok(())
    }

    /// Frees the segments before the checkpoint of that number and digest, for which somebody
    /// signed [`Self::consent`].
    ///
    /// # Errors
    ///
    /// [`Refusal::Freed`](super::Refusal::Freed) if it was freed, or is another checkpoint.
    /// [`Refusal::Unsigned`](super::Refusal::Unsigned) if the signature is not valid, also to a
    /// kernel that wants none.
    pub fn truncate_signed(
        &self,
        seq: u64,
        digest: &Digest,
        signature: &Signature<'_>,
    ) -> Result<()> {
        let path = self.path("truncate");
        let signature = Hex(signature.as_bytes().to_vec());
        let command = format!("{seq} {digest} {signature}");
        self.command_as(&path, false, &command, &format!("{seq} {digest} SIGNATURE"))?;
        Ok(())
    }

    /// What somebody consents to who lets the segments before that checkpoint be freed.
    ///
    /// # Errors
    ///
    /// The kernel does not tell which log it has.
    pub fn consent(&self, seq: u64, digest: &Digest) -> Result<Consent> {
        let status = self.status()?;
        let consent = || {
            Some(Consent {
                log_id: Digest::from_hex(status.log_id())?
                    .as_bytes()
                    .try_into()
                    .ok()?,
                sequence: seq,
                digest: digest.as_bytes().try_into().ok()?,
            })
        };
        consent().ok_or_else(|| not_understood(&self.path("status")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    /// A kernel whose commands go to files.
    fn kernel_of_files(files: &[(&str, &str)]) -> io::Result<(tempfile::TempDir, Kernel)> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("checkpoint"))?;
        let kernel = Kernel {
            ima: folder.path().to_owned(),
        };
        for (name, text) in files {
            std::fs::write(kernel.path(name), text)?;
        }
        Ok((folder, kernel))
    }

    #[test]
    fn a_truncation_that_somebody_signed() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let status = "log_id=000102030405060708090a0b0c0d0e0f\ngeneration=0\n";
        let (_folder, kernel) = kernel_of_files(&[("status", status), ("truncate", "")])?;
        let digest = Digest::new(&[0xab; 32]);
        let message = kernel.consent(7, &digest)?.message();
        let line = format!(
            "ima-checkpoint truncate 1 000102030405060708090a0b0c0d0e0f 7 {}\n",
            "ab".repeat(32)
        );
        assert_eq!(message.as_bytes(), line.as_bytes());
        let signature = Signature::parse(b"\x03\x02\x04\x99\x6c\x7d\xff\0\x02\xfe\x01")?;
        kernel.truncate_signed(7, &digest, &signature)?;
        let command = std::fs::read_to_string(kernel.path("truncate"))?;
        assert_eq!(
            command,
            format!("7 {} 030204996c7dff0002fe01\n", "ab".repeat(32))
        );
        std::fs::write(kernel.path("status"), "log_id=00\n")?;
        assert!(kernel.consent(7, &digest).is_err());
        Ok(())
    }
}
