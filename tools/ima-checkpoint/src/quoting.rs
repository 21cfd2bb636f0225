// SPDX-License-Identifier: GPL-2.0

//! Quotes in the log: a checkpoint, what a TPM signs over it, and the record that the kernel makes
//! of that.

mod error;
mod tools;

pub use self::{error::Error, tools::Tools};

use crate::{
    bank::Digest,
    error::Result,
    kernel::{Created, Kernel},
    quote::{KeyName, Quote},
    replay::Register,
};

/// How often a checkpoint is made and quoted. Between two of them another program's must have come,
/// within the second or so that a TPM takes.
const ATTEMPTS: usize = 5;

/// What a TPM signed over a checkpoint.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The key's name.
    pub key: KeyName,
    /// What the message says, of which the signature was verified.
    pub quote: Quote,
    /// `TPM2B_NAME`, `TPM2B_ATTEST` and `TPMT_SIGNATURE`, as the kernel takes them.
    pub evidence: Vec<u8>,
}

/// A key in a TPM that quotes.
pub trait Signer {
    /// Its TPM Name.
    fn name(&self) -> &[u8];

    /// Quotes these PCRs, with the digest of a checkpoint as qualifying data.
    ///
    /// # Errors
    ///
    /// There is no such quote.
    fn quote(&self, pcrs: &[Register], over: &Digest) -> Result<Signed>;
}

/// What a quote needs of a kernel.
pub trait Quotable {
    /// As [`Kernel::checkpoint`].
    ///
    /// # Errors
    ///
    /// It was not made.
    fn checkpoint(&self, label: &str) -> Result<Created>;

    /// The PCRs and banks that this checkpoint has values of.
    ///
    /// # Errors
    ///
    /// The checkpoint cannot be read, for example because it was freed.
    fn named(&self, checkpoint: &Created) -> Result<Vec<Register>>;

    /// As [`Kernel::quote`].
    ///
    /// # Errors
    ///
    /// The kernel refused it.
    fn append(&self, evidence: &[u8]) -> Result<bool>;
}

impl Quotable for Kernel {
    fn checkpoint(&self, label: &str) -> Result<Created> {
        self.checkpoint(label)
    }

    fn named(&self, checkpoint: &Created) -> Result<Vec<Register>> {
        let claim = self.claim(checkpoint)?;
        Ok(claim.values.into_keys().collect())
    }

    fn append(&self, evidence: &[u8]) -> Result<bool> {
        self.quote(evidence)
    }
}

/// Makes a checkpoint with this label, has it quoted, and appends the quote to the list. If another
/// checkpoint is made in between, the kernel refuses the quote, and all of it is done again: a label
/// that is a nonce must be that of the checkpoint that is quoted.
///
/// # Errors
///
/// What failed. A checkpoint that was made stays in the list, without a quote.
pub fn seal(
    kernel: &impl Quotable,
    signer: &impl Signer,
    label: &str,
) -> Result<(Created, Signed)> {
    for _ in 0..ATTEMPTS {
        let created = kernel.checkpoint(label)?;
        let signed = quoted(kernel, signer, &created);
        match signed {
            // somebody truncated to a later one at the same time
            Err(error) if error.is_freed() => (),
            Err(error) => return Err(error.during(format!("checkpoint {}", created.seq))),
            Ok(Some(signed)) => return Ok((created, signed)),
            Ok(None) => (),
        }
    }
    Err(Error::Overtaken { attempts: ATTEMPTS }.into())
}

/// Quotes a checkpoint and appends that; nothing, if it is not the newest one any more.
///
/// # Errors
///
/// What failed. Nothing was appended.
pub fn quoted(
    kernel: &impl Quotable,
    signer: &(impl Signer + ?Sized),
    created: &Created,
) -> Result<Option<Signed>> {
    let pcrs = kernel.named(created)?;
    if pcrs.is_empty() {
        return Err(Error::NothingNamed.into());
    }
    let signed = signer.quote(&pcrs, &created.digest)?;
    let taken = kernel.append(&signed.evidence)?;
    Ok(taken.then_some(signed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bank::Bank,
        common::signer::{Key, Moment},
        quote::{AttestationKey, Nonce},
    };
    use std::cell::{Cell, RefCell};

    /// A kernel in which somebody else makes so many checkpoints, each after one that is quoted.
    struct Busy {
        others: Cell<usize>,
        newest: Cell<u64>,
        labels: RefCell<Vec<String>>,
        appended: RefCell<Vec<Vec<u8>>>,
        names: Vec<Register>,
    }

    impl Busy {
        fn new(others: usize) -> Self {
            Self {
                others: Cell::new(others),
                newest: Cell::new(0),
                labels: RefCell::default(),
                appended: RefCell::default(),
                names: vec![Register {
                    pcr: 10,
                    bank: Bank::Sha256,
                }],
            }
        }

        fn next(&self) -> u64 {
            self.newest.set(self.newest.get() + 1);
            self.newest.get()
        }
    }

    fn digest(seq: u64) -> Digest {
        Bank::Sha256.hash(&[&seq.to_be_bytes()])
    }

    impl Quotable for Busy {
        fn checkpoint(&self, label: &str) -> Result<Created> {
            self.labels.borrow_mut().push(label.to_owned());
            let seq = self.next();
            let digest = digest(seq);
            Ok(Created { seq, digest })
        }

        fn named(&self, _: &Created) -> Result<Vec<Register>> {
            Ok(self.names.clone())
        }

        fn append(&self, evidence: &[u8]) -> Result<bool> {
            if self.others.get() > 0 {
                self.others.set(self.others.get() - 1);
                self.next();
            }
            let parsed = ima_checkpoint_format::quote::Evidence::parse(evidence).unwrap();
            let over_newest = parsed.extra_data() == digest(self.newest.get()).as_bytes();
            if over_newest {
                self.appended.borrow_mut().push(evidence.to_vec());
            }
            Ok(over_newest)
        }
    }

    impl Signer for Key {
        fn name(&self) -> &[u8] {
            &self.name
        }

        fn quote(&self, pcrs: &[Register], over: &Digest) -> Result<Signed> {
            let held = pcrs.iter().map(|at| (*at, at.bank.zeros())).collect();
            let (message, signature) = self.sign(over.as_bytes(), &held, Moment::default());
            tools::checked(
                &AttestationKey::parse(&self.public)?,
                message,
                signature,
                over,
            )
        }
    }

    #[test]
    fn another_checkpoint_in_between() -> Result<()> {
        let key = Key::new(1);
        for others in 0..ATTEMPTS {
            let kernel = Busy::new(others);
            let (created, signed) = seal(&kernel, &key, "label")?;
            assert_eq!(created.seq, 2 * others as u64 + 1);
            assert_eq!(*kernel.labels.borrow(), vec!["label"; others + 1]);
            assert_eq!(*kernel.appended.borrow(), [signed.evidence]);
            let nonce = Nonce::try_from(created.digest.as_bytes()).unwrap();
            assert_eq!(signed.quote.attest.extra_data.0, nonce.as_bytes());
        }
        let kernel = Busy::new(ATTEMPTS);
        let error = seal(&kernel, &key, "").map(|_| ());
        assert!(error.is_err_and(|error| error.to_string().contains("5 times")));
        assert!(kernel.appended.borrow().is_empty());
        Ok(())
    }

    #[test]
    fn without_a_tpm_nothing_is_quoted() {
        let kernel = Busy {
            names: Vec::new(),
            ..Busy::new(0)
        };
        let error = seal(&kernel, &Key::new(1), "").map(|_| ());
        assert!(error.is_err_and(|error| error.to_string().contains("names no PCR")));
    }
}
