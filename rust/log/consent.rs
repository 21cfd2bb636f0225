// SPDX-License-Identifier: GPL-2.0

//! Consent to a truncation: with `truncate_needs_signature=1`, nothing is freed without a signature
//! by a key in `.ima`, whoever asks for it.

use super::{
    error_name,
    Log, //
};
use crate::{
    abstractions::{
        ima,
        sha256::sha256, //
    },
    config::Setting,
    format::consent::{
        Consent,
        Signature, //
    },
};
use kernel::prelude::*;

/// The checkpoint to truncate to, and what is known of it.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    /// Whatever checkpoint has the number.
    Number(u64),
    /// The one of that number whose buffer has that SHA-256.
    Named(u64, &'a [u8; 32]),
    /// The same, and a signature in IMA's format.
    Signed(u64, &'a [u8; 32], &'a [u8]),
}

/// A truncation that may be done. What was signed, if anything was, is compared with the list once
/// more when it is done.
///
/// # Invariants
///
/// [`Log::permit`] made it: the signature was verified, or none is needed.
pub(super) struct Permitted<'a> {
    pub(super) seq: u64,
    pub(super) digest: Option<&'a [u8; 32]>,
    /// The log that the signature is about.
    pub(super) log_id: Option<[u8; 16]>,
}

impl Log {
    /// Finds out whether the list may be truncated to `target`. Verifying a signature takes long,
    /// so the extend mutex must not be held.
    ///
    /// A signature that is given is verified even if none is needed. EKEYREJECTED: it is not valid,
    /// or there is none and there must be one, or this kernel cannot verify any. The kernel log
    /// says which. ENOMEM.
    pub(super) fn permit<'a>(&self, target: Target<'a>) -> Result<Permitted<'a>> {
        let (seq, digest, signature) = match target {
            Target::Number(seq) => (seq, None, None),
            Target::Named(seq, digest) => (seq, Some(digest), None),
            Target::Signed(seq, digest, signature) => {
                (seq, Some(digest), Some((digest, signature)))
            }
        };
        let log_id = match signature {
            Some((digest, signature)) => Some(self.verify_consent(seq, digest, signature)?),
            None if self.config.get(Setting::TruncateNeedsSignature) == 0 => None,
            None => {
                pr_warn!(
                    "nothing before checkpoint {seq} is freed: a signature by a key in .ima is \
                     needed (truncate_needs_signature=1)\n"
                );
                return Err(EKEYREJECTED);
            }
        };
        // INVARIANT: A signature was verified just now, or none is needed.
        Ok(Permitted {
            seq,
            digest,
            log_id,
        })
    }

    /// Verifies a signature over the checkpoint of this log; returns the log's identifier.
    fn verify_consent(
        &self,
        sequence: u64,
        digest: &[u8; 32],
        signature: &[u8],
    ) -> Result<[u8; 16]> {
        let log_id = self.state.get(&mut ima::lock()).identity.log_id;
        let consent = Consent {
            log_id,
            sequence,
            digest: *digest,
        };
        let verified = match Signature::parse(signature) {
            Ok(signature) => self
                .machine
                .verify(&signature, &sha256(consent.message().as_bytes())),
            Err(_) => Err(EBADMSG),
        };
        match verified {
            Ok(()) => return Ok(log_id),
            Err(ENOMEM) => return Err(ENOMEM),
            Err(EOPNOTSUPP) => pr_err!(
                "nothing before checkpoint {sequence} is freed: this kernel was built without \
                 CONFIG_INTEGRITY_TRUSTED_KEYRING and can verify no signature\n"
            ),
            Err(error) => pr_warn!(
                "nothing before checkpoint {sequence} is freed: the signature is not one by a key \
                 in .ima over this checkpoint of this log ({})\n",
                error_name(error)
            ),
        }
        Err(EKEYREJECTED)
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kunit_tests(ima_checkpoint_log_consent)]
mod tests {
    use super::{
        super::testing::{
            Keyring,
            Rig, //
        },
        *, //
    };
    use crate::{
        config::Config,
        format::truncate::Reason,
        log::Sealed, //
    };

    static STRICT: Config = Config::new();
    static FREE: Config = Config::new();

    /// A log with two checkpoints, where signatures are needed, and both checkpoints.
    fn started(config: &'static Config) -> Result<(Rig, Sealed, Sealed)> {
        STRICT.set(b"truncate_needs_signature", b"1")?;
        let rig = Rig::configured(true, config)?;
        let mut held = ima::lock();
        rig.measure_file(&mut held, 1)?;
        let first = rig.seal(&mut held)?;
        rig.measure_file(&mut held, 2)?;
        let second = rig.seal(&mut held)?;
        rig.measure_file(&mut held, 3)?;
        drop(held);
        Ok((rig, first, second))
    }

    /// A signature that the machine's keyring takes for this checkpoint and no other.
    fn sign(rig: &Rig, sealed: &Sealed) -> [u8; 13] {
        let log_id = rig.log.state.get(&mut ima::lock()).identity.log_id;
        let consent = Consent {
            log_id,
            sequence: sealed.seq,
            digest: sealed.digest,
        };
        Keyring::sign(&sha256(consent.message().as_bytes()))
    }

    fn cut(rig: &Rig, target: Target<'_>) -> Result {
        rig.log.truncate(Reason::User, target)
    }

    /// How `target` ends when nothing may be freed.
    fn refused(rig: &Rig, target: Target<'_>) -> Result {
        let end = rig.log.store().end();
        let result = cut(rig, target);
        let told = rig.machine.audited();
        assert!(rig.log.store().first() == 0 && rig.log.store().end() == end);
        assert!(told.iter().eq(&[result]));
        result
    }

    #[test]
    fn without_a_signature_nothing_is_freed() -> Result {
        let (rig, first, second) = started(&STRICT)?;
        for sealed in [&first, &second] {
            let named = Target::Named(sealed.seq, &sealed.digest);
            assert!(refused(&rig, named) == Err(EKEYREJECTED));
            let number = Target::Number(sealed.seq);
            assert!(refused(&rig, number) == Err(EKEYREJECTED));
        }
        let unasked = rig.log.truncate(Reason::Retention, Target::Number(1));
        assert!(unasked == Err(EKEYREJECTED));
        assert_eq!(rig.log.store().first(), 0);
        assert!(rig.log.status()?.last_error == Some(EKEYREJECTED));
        Ok(())
    }

    #[test]
    fn what_is_signed_is_freed() -> Result {
        let (rig, first, second) = started(&STRICT)?;
        let signature = sign(&rig, &first);
        let signed = Target::Signed(first.seq, &first.digest, &signature);
        cut(&rig, signed)?;
        assert_eq!(rig.log.store().first(), 1);
        // Again, it changes nothing, and frees no more than was signed.
        cut(&rig, signed)?;
        assert_eq!(rig.log.store().first(), 1);
        let other = Target::Signed(second.seq, &second.digest, &signature);
        assert!(cut(&rig, other) == Err(EKEYREJECTED));
        assert_eq!(rig.log.store().first(), 1);
        let signature = sign(&rig, &second);
        cut(&rig, Target::Signed(2, &second.digest, &signature))?;
        assert_eq!(rig.log.store().first(), 2);
        // What is gone stays gone, whoever signed it.
        assert!(cut(&rig, signed) == Err(ESTALE));
        Ok(())
    }

    #[test]
    fn a_signature_is_of_one_checkpoint_of_one_log() -> Result {
        let (rig, first, second) = started(&STRICT)?;
        let signature = sign(&rig, &first);
        let (other, ..) = started(&STRICT)?;
        let elsewhere = sign(&other, &first);
        let wrong: [(u64, &Sealed, &[u8]); 4] = [
            (2, &first, &signature),
            (1, &second, &signature),
            (2, &second, &signature),
            (1, &first, &elsewhere),
        ];
        for (seq, sealed, signature) in wrong {
            let target = Target::Signed(seq, &sealed.digest, signature);
            assert!(refused(&rig, target) == Err(EKEYREJECTED));
        }
        // A checkpoint that is none can be signed, and is none all the same.
        let later = Sealed {
            seq: 3,
            digest: [0; 32],
        };
        let signature = sign(&rig, &later);
        let target = Target::Signed(3, &later.digest, &signature);
        assert!(refused(&rig, target) == Err(ENOENT));
        let forged = Sealed {
            seq: 1,
            digest: [7; 32],
        };
        let signature = sign(&rig, &forged);
        let target = Target::Signed(1, &forged.digest, &signature);
        assert!(refused(&rig, target) == Err(ESTALE));
        Ok(())
    }

    #[test]
    fn what_is_no_signature_never_gets_to_the_keyring() -> Result {
        let (rig, first, _) = started(&STRICT)?;
        let good = sign(&rig, &first);
        for len in 0..good.len() {
            let target = Target::Signed(1, &first.digest, good.get(..len).unwrap_or_default());
            assert!(refused(&rig, target) == Err(EKEYREJECTED));
        }
        for (at, byte) in [(0, 5), (1, 1), (1, 4), (2, 2), (8, 5)] {
            let mut bad = good;
            bad[at] = byte;
            let target = Target::Signed(1, &first.digest, &bad);
            assert!(refused(&rig, target) == Err(EKEYREJECTED));
        }
        assert_eq!(rig.machine.verified(), 0);
        Ok(())
    }

    #[test]
    fn a_machine_that_cannot_verify_frees_nothing() -> Result {
        let cases = [
            (Keyring::Unsupported, EKEYREJECTED),
            (Keyring::Empty, EKEYREJECTED),
            (Keyring::NoMemory, ENOMEM),
        ];
        for (keyring, error) in cases {
            let (rig, first, _) = started(&STRICT)?;
            let signature = sign(&rig, &first);
            rig.machine.set_keyring(keyring);
            let target = Target::Signed(1, &first.digest, &signature);
            assert!(refused(&rig, target) == Err(error));
        }
        Ok(())
    }

    #[test]
    fn a_signature_that_nobody_asked_for_counts_too() -> Result {
        let (rig, first, second) = started(&FREE)?;
        let signature = sign(&rig, &first);
        let wrong = Target::Signed(second.seq, &second.digest, &signature);
        assert!(refused(&rig, wrong) == Err(EKEYREJECTED));
        cut(&rig, Target::Signed(1, &first.digest, &signature))?;
        assert_eq!(rig.log.store().first(), 1);
        cut(&rig, Target::Named(2, &second.digest))?;
        assert_eq!(rig.log.store().first(), 2);
        Ok(())
    }

    #[test]
    fn settings_do_not_lead_around_it() -> Result {
        let (rig, ..) = started(&STRICT)?;
        assert!(rig.log.configure(b"truncate_needs_signature=0") == Err(EPERM));
        assert!(rig.log.configure(b"truncate_needs_digest=0") == Ok(()));
        assert!(refused_after(&rig, Target::Number(1)) == Err(EKEYREJECTED));
        Ok(())
    }

    /// As [`refused`], after something else was audited.
    fn refused_after(rig: &Rig, target: Target<'_>) -> Result {
        rig.machine.audited();
        refused(rig, target)
    }
}
