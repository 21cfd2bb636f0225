// SPDX-License-Identifier: GPL-2.0

//! The keys whose quotes count that are found in a log.

use super::{AttestationKey, Error, KeyName, Quote};
use std::collections::BTreeMap;

/// Keys that the verifier has from somebody it trusts.
#[derive(Clone, Debug, Default)]
pub struct TrustedKeys {
    /// By their TPM Name, by which a quote in a log is looked up.
    named: BTreeMap<Vec<u8>, AttestationKey>,
    /// Those in PEM have none: each of them may be the one that signed.
    nameless: Vec<AttestationKey>,
}

/// What the keys say of a quote.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "it is looked at once, and gone")]
pub enum Checked {
    /// One of them signed it.
    Genuine(Quote),
    /// It names one of them, which did not sign it, or it is none.
    Refused(Error),
    /// None of them signed it, and it does not say so.
    Unknown,
}

impl TrustedKeys {
    /// Adds a key.
    pub fn add(&mut self, key: AttestationKey) {
        match key.name() {
            Some(name) => {
                self.named.insert(name.as_bytes().to_vec(), key);
            }
            None => self.nameless.push(key),
        }
    }

    /// The TPM Names of all; nothing if there is no key, or one in PEM, which has none.
    pub fn names(&self) -> Option<Vec<KeyName>> {
        if !self.nameless.is_empty() || self.named.is_empty() {
            return None;
        }
        let keys = self.named.values();
        Some(keys.filter_map(|key| key.name().cloned()).collect())
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.nameless.is_empty()
    }

    /// Verifies a message of a quote and its signature, of which somebody says that the key of this
    /// TPM Name made it. Whether it answers a nonce, the caller finds out.
    pub fn check(
        &self,
        name: &[u8],
        message: &[u8],
        signature: &[u8],
        allow_weak: bool,
    ) -> Checked {
        let verify = |key| Quote::verify(message, signature, key, None, allow_weak);
        if let Some(key) = self.named.get(name) {
            return match verify(key) {
                Ok(quote) => Checked::Genuine(quote),
                Err(error) => Checked::Refused(error),
            };
        }
        // what such a key did not sign is the quote of another one
        for answer in self.nameless.iter().map(verify) {
            match answer {
                Ok(quote) => return Checked::Genuine(quote),
                Err(error @ Error::Weak { .. }) => return Checked::Refused(error),
                Err(_) => (),
            }
        }
        Checked::Unknown
    }
}
