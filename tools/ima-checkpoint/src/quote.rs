// SPDX-License-Identifier: GPL-2.0

//! Quotes: a TPM's signed statement of what its PCRs held, as `tpm2_quote` writes it.
//!
//! What the TPM marshals is defined in the TCG's "TPM 2.0 Library, Part 2: Structures"; the
//! sections named here are its.

pub mod attest;
mod key;
pub mod pcrs;
mod public;
mod search;
mod signature;
mod wire;

pub use self::{
    attest::Attest,
    key::AttestationKey,
    search::PcrDigest,
    signature::{
        Algorithm,
        Scheme,
        Signature, //
    },
    wire::Hex, //
};

use self::attest::HashId;
use crate::{
    bank::{
        Bank,
        Digest, //
    },
    outcome::{
        Code,
        Error,
        Result, //
    },
};
use std::{
    fmt,
    fs::File,
    io::Read,
    path::Path, //
};

/// Largest file that belongs to a quote, in bytes; real ones have some hundred.
pub const MAX_FILE: u64 = 64 << 10;

/// A quote whose signature, type and nonce were verified.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Quote {
    /// What was signed.
    pub attest: Attest,
    /// How.
    pub scheme: Scheme,
    /// The key's TPM name, which says that it can sign nothing but what its TPM made. A key in
    /// PEM has none: whoever vouches for it must vouch for that as well.
    pub key_name: Option<Hex>,
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
    /// [`Self::search`] found them. An empty nonce counts as none.
    ///
    /// # Errors
    ///
    /// [`Code::Tampered`] if the signature is not that of the key, or what it signed is not a
    /// quote; [`Code::Stale`] if the nonce differs; [`Code::Unanchored`] if SHA-1 was signed and
    /// that is not allowed.
    pub fn verify(
        message: &[u8],
        signature: &[u8],
        key: &AttestationKey,
        nonce: Option<&[u8]>,
        allow_weak: bool,
    ) -> Result<Self> {
        let signature = Signature::parse(signature)?;
        let scheme = key.verify(message, &signature)?;
        let attest = Attest::parse(message)?;
        let nonce = nonce.filter(|nonce| !nonce.is_empty());
        if let Some(nonce) = nonce.filter(|nonce| *nonce != attest.extra_data.0) {
            let text = format!(
                "the quote answers another question: its nonce is '{}', not '{}'. Ask for a new one",
                attest.extra_data,
                Hex(nonce.to_vec())
            );
            return Err(Error::new(Code::Stale, text));
        }
        if scheme.hash == Bank::Sha1 && !allow_weak {
            let text = "the quote signs a sha1 digest, which proves nothing any more; \
                use a key that signs by sha256";
            return Err(Error::new(Code::Unanchored, text));
        }
        if attest.pcr_digest.as_bytes().len() != scheme.hash.size() {
            return Err(Error::new(
                Code::Tampered,
                "the quote's PCR digest has another size than its signature's hash",
            ));
        }
        Ok(Self {
            attest,
            scheme,
            key_name: key.name().cloned(),
            fresh: nonce.is_some(),
        })
    }

    /// What does not follow from the quote although one may think so, in plain sentences.
    pub fn caveats(&self) -> Vec<&'static str> {
        let caveats = [
            (!self.fresh, "not fresh: no nonce was checked"),
            (
                self.key_name.is_none(),
                "the key does not tell its attributes: if it is not restricted, it can sign forged quotes",
            ),
            (!self.attest.safe, "the TPM was not shut down in order: its clock may repeat itself"),
        ];
        caveats
            .into_iter()
            .filter(|(holds, _)| *holds)
            .map(|(_, text)| text)
            .collect()
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

/// Reads a file that belongs to a quote.
///
/// # Errors
///
/// [`Code::Internal`] if it cannot be read, or is larger than [`MAX_FILE`].
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| Error::io("read", path, &error))?;
    if bytes.len() as u64 > MAX_FILE {
        let text = format!(
            "{}: this cannot belong to a quote: it has more than 64 KiB",
            path.display()
        );
        return Err(Error::new(Code::Internal, text));
    }
    Ok(bytes)
}
