// SPDX-License-Identifier: GPL-2.0

//! Proof that somebody can use a key of a TPM now: TPM2_Certify of the key by itself.

use super::{
    attest::{MAGIC, MAX_NAME},
    error::{Error, Forgery, Part},
    key::AttestationKey,
    nonce::Nonce,
    signature::Signature,
    wire::{Hex, Malformed, Reader},
};
use crate::bank::Bank;

/// TPM_ST_ATTEST_CERTIFY.
const CERTIFY: u16 = 0x8017;

/// Did the TPM certify this key with this very key, over this nonce? A key without a Name, in PEM, is
/// never taken: what was certified is known by its Name.
///
/// # Errors
///
/// As [`Quote::verify`](super::Quote::verify): [`Error::Malformed`] and [`Error::Forged`] if the
/// signature is not the key's, or what it signed is not a certification of the key; [`Error::Stale`] if
/// the nonce differs; [`Error::Weak`] if SHA-1 was signed.
pub fn proves_possession(
    message: &[u8],
    signature: &[u8],
    key: &AttestationKey,
    nonce: &Nonce,
) -> Result<(), Error> {
    let signature = Signature::parse(signature)?;
    let scheme = key.verify(message, &signature)?;
    let malformed = |why| Error::Malformed {
        what: Part::Message,
        why,
    };
    let mut reader = Reader::new(message);
    let magic = reader.u32("magic number").map_err(malformed)?;
    if magic != MAGIC {
        return Err(Forgery::Magic(magic).into());
    }
    let kind = reader.u16("type").map_err(malformed)?;
    if kind != CERTIFY {
        return Err(Forgery::Type(kind).into());
    }
    let (found, certified) = body(reader).map_err(malformed)?;
    if found != nonce.as_bytes() {
        return Err(Error::Stale {
            expected: nonce.clone(),
            found: Hex(found.to_owned()),
        });
    }
    if key.name().is_none_or(|name| name.as_bytes() != certified) {
        return Err(Forgery::Signature.into());
    }
    if scheme.hash == Bank::Sha1 {
        return Err(Error::Weak { hash: scheme.hash });
    }
    Ok(())
}

/// What follows the type: the nonce, and the Name of what was certified (Part 2, "TPMS_ATTEST" and
/// "TPMS_CERTIFY_INFO").
fn body(mut reader: Reader<'_>) -> Result<(&[u8], &[u8]), Malformed> {
    /// TPMS_CLOCK_INFO and the version of the firmware.
    const CLOCK_AND_FIRMWARE: usize = 17 + 8;
    reader.sized(MAX_NAME, "name of the key")?;
    let nonce = reader.sized(MAX_NAME, "nonce")?;
    reader.take(CLOCK_AND_FIRMWARE, "clock and firmware")?;
    let name = reader.sized(MAX_NAME, "certified name")?;
    reader.sized(MAX_NAME, "certified qualified name")?;
    reader.end()?;
    Ok((nonce, name))
}
