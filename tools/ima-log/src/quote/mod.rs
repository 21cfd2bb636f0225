// SPDX-License-Identifier: GPL-2.0

//! Quotes: a TPM's signed statement of what its PCRs held, as `tpm2_quote` writes it.
//!
//! An [`AttestationKey`], a message and a signature make a [`Quote`], if the signature is that of
//! the key over the message, the message is a quote, and its [`Nonce`] is the one that was asked
//! for. What the PCRs held is not in it, but a digest of that: a [`PcrDigest`] tries one set of
//! values after the other. What can be wrong is an [`Error`]; what is not wrong, but proves less
//! than one may think, is in [`Quote::caveats`].
//!
//! ```
//! use ima_log::quote::{AttestationKey, Error, KeyName, Nonce, PcrValue, Quote};
//!
//! /// Did the PCR hold this value, and the TPM say so when it was asked now?
//! fn held(
//!     [key, message, signature]: [&[u8]; 3],
//!     key_name: &KeyName,
//!     nonce: &Nonce,
//!     at: PcrValue,
//! ) -> Result<bool, Error> {
//!     let key = AttestationKey::parse(key)?.expect_name(key_name)?;
//!     let quote = Quote::verify(message, signature, &key, Some(nonce), false)?;
//!     let search = quote.search(|bank, number| {
//!         let is_it = (bank, number) == (at.register.bank, at.register.pcr);
//!         is_it.then_some(at.value)
//!     });
//!     // a quote of other PCRs, too, tells nothing without their values
//!     Ok(search.is_ok_and(|digest| digest.matches()))
//! }
//!
//! let name = format!("000b{}", "5e".repeat(32)).parse()?;
//! let value = format!("sha256:10={}", "00".repeat(32)).parse()?;
//! let nonce = "5f3a7c".parse()?;
//! let files = [b"hello".as_slice(), b"", b""];
//! let seen = held(files, &name, &nonce, value);
//! assert!(matches!(seen, Err(Error::NotAKey(_))));
//!
//! // as an unset variable gives it
//! assert!("".parse::<Nonce>().is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it is read
//!
//! What the TPM marshals is defined in the TCG's "TPM 2.0 Library, Part 2: Structures"; the
//! sections named here are its. It is read by code of this module, after tpm2-protocol was tried
//! with the files of `tests/data/quotes` and with ones that were made up, and the sources of
//! tss-esapi were read:
//!
//! - tpm2-protocol 1.0.2, the last one that is made for Rust 1.85 (1.1.0 to 1.2.3 ask for 1.95, and
//!   there were about a hundred releases in 14 months). It has no dependencies, reads all
//!   marshalled fixtures, bounds all sizes, and tells of bytes that are left over. But it refuses
//!   a quote that also selects a bank whose identifier it does not know (0x0099:
//!   `VariantNotAvailable`), where [`HashId`] names the bank so that its values can be asked for;
//!   and one of 9 to 16 banks (`TooManyItems`), while the TCG's software stack has room for 16. It
//!   takes what is refused here: a key that says 3072 bits and has a modulus of 2048, and a
//!   signature whose hash is the identifier of RSA. What `tpm2_quote -f plain` writes, PCR values,
//!   the key as OpenSSL wants it, its fitness and its name would stay here all the same.
//! - tss-esapi 7.6.0 and 8.0.0-alpha.4 hand the bytes to `libtss2-mu`, a C library that a verifier
//!   would need just for this; `unmarshall` does not ask whether bytes are left; and what has a
//!   bank that is not in a list of their own is refused.

mod attest;
mod certify;
mod error;
mod key;
mod name;
mod nonce;
mod pcrs;
mod public;
mod search;
mod signature;
mod trust;
mod wire;

pub use self::{
    attest::{Attest, HashId, Selected},
    certify::proves_possession,
    error::{Attribute, Error, Forgery, Part},
    key::AttestationKey,
    name::{KeyName, NotAName},
    nonce::{Nonce, NotANonce},
    pcrs::{PcrValue, PcrValues},
    search::{PcrDigest, Slot},
    signature::{Algorithm, Scheme, Signature},
    trust::{Checked, TrustedKeys},
    wire::Hex,
};

use crate::bank::{Bank, Digest};
use std::fmt;

/// A quote whose signature, type and nonce were verified.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Quote {
    /// What was signed.
    pub attest: Attest,
    /// How.
    pub scheme: Scheme,
    /// The key's TPM name. Its attributes say that it is in a TPM and signs nothing but what that
    /// made; a program can write the same about a key of its own. So this is only worth as much
    /// as whoever vouches for the name. A key in PEM has none, and says nothing of itself.
    pub key_name: Option<KeyName>,
    /// Was that name compared with the one that the verifier expects?
    pub key_name_checked: bool,
    /// Does it answer the question that was asked? Not known without a nonce.
    pub fresh: bool,
}

/// A PCR of a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Pcr {
    /// The bank, which may be one that cannot be computed.
    pub bank: HashId,
    /// 0 to 31.
    pub number: u32,
}

impl From<crate::replay::Register> for Pcr {
    fn from(register: crate::replay::Register) -> Self {
        Self {
            bank: HashId(register.bank.tpm_id()),
            number: register.pcr,
        }
    }
}

impl fmt::Display for Pcr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.bank, self.number)
    }
}

/// In a line, for a report.
impl fmt::Display for Quote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attest {
            reset_count,
            restart_count,
            clock,
            ..
        } = &self.attest;
        write!(f, "signed by {}", self.scheme)?;
        if let Some(name) = &self.key_name {
            write!(f, " with the key {name}")?;
        }
        let seconds = clock / 1000;
        write!(
            f,
            ", reset {reset_count}, restart {restart_count}, {seconds} s of the TPM's clock"
        )
    }
}

impl Quote {
    /// Verifies a quote's message and signature. The message proves nothing of the PCRs before
    /// [`Self::search`] found them. Without a nonce it may be an old one.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] and [`Error::Forged`] if the signature is not that of the key, or what
    /// it signed is not a quote; [`Error::Stale`] if the nonce differs; [`Error::Weak`] if SHA-1
    /// was signed and that is not allowed.
    pub fn verify(
        message: &[u8],
        signature: &[u8],
        key: &AttestationKey,
        nonce: Option<&Nonce>,
        allow_weak: bool,
    ) -> Result<Self, Error> {
        let signature = Signature::parse(signature)?;
        let scheme = key.verify(message, &signature)?;
        let attest = Attest::parse(message)?;
        let is_other = |nonce: &&Nonce| nonce.as_bytes() != attest.extra_data.0;
        if let Some(nonce) = nonce.filter(is_other) {
            return Err(Error::Stale {
                expected: nonce.clone(),
                found: attest.extra_data,
            });
        }
        if scheme.hash == Bank::Sha1 && !allow_weak {
            return Err(Error::Weak { hash: scheme.hash });
        }
        let (found, hash) = (attest.pcr_digest.as_bytes().len(), scheme.hash);
        if found != hash.size() {
            return Err(Forgery::DigestSize { found, hash }.into());
        }
        Ok(Self {
            attest,
            scheme,
            key_name: key.name().cloned(),
            key_name_checked: key.is_name_checked(),
            fresh: nonce.is_some(),
        })
    }

    /// What does not follow from the quote although one may think so, in plain sentences.
    pub fn caveats(&self) -> Vec<String> {
        self.caveats_when_stale("not fresh: no nonce was checked")
    }

    /// The same of a quote that was found in the log.
    pub fn caveats_in_log(&self) -> Vec<String> {
        let stale =
            "not fresh: it proves what the list was when it was made, and not that nothing \
                     that came later was left out";
        self.caveats_when_stale(stale)
    }

    fn caveats_when_stale(&self, stale: &str) -> Vec<String> {
        let unsafe_clock = "the TPM was not shut down properly: its clock may repeat itself";
        let caveats = [
            (!self.fresh).then(|| stale.to_owned()),
            self.caveat_of_key(),
            (!self.attest.safe).then(|| unsafe_clock.to_owned()),
        ];
        caveats.into_iter().flatten().collect()
    }

    /// Why it is not known whose key it is.
    fn caveat_of_key(&self) -> Option<String> {
        match &self.key_name {
            Some(_) if self.key_name_checked => None,
            Some(name) => Some(format!(
                "no --key-name was given, and a program can make a key that claims that it \
                 cannot leave a TPM: compare the name {name} with what the TPM's owner says, or \
                 demand a certificate"
            )),
            None => Some(
                "the attributes of the key are unknown: if it is not restricted, it can sign \
                 forged quotes"
                    .to_owned(),
            ),
        }
    }

    /// The selected PCRs, in the order in which their values are hashed.
    pub fn pcrs(&self) -> impl Iterator<Item = Pcr> + '_ {
        self.attest.selection.iter().flat_map(|selected| {
            let bank = selected.bank;
            selected.pcrs.iter().map(move |number| Pcr {
                bank,
                number: *number,
            })
        })
    }

    /// Prepares a search for the moment at which the quote was made. It starts from `values`,
    /// which must be there for every selected PCR, also for those that will change.
    ///
    /// # Errors
    ///
    /// The PCRs whose values are missing.
    pub fn search(
        &self,
        values: impl Fn(Bank, u32) -> Option<Digest>,
    ) -> Result<PcrDigest, Vec<Pcr>> {
        PcrDigest::new(self, values)
    }
}
