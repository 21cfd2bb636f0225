// SPDX-License-Identifier: GPL-2.0

//! A public key as a TPM describes it.

use super::{
    error::Attribute,
    name::KeyName,
    signature::{Algorithm, Scheme},
    wire::{Malformed, Reader},
};
use crate::bank::{Bank, Digest};
use openssl::{
    bn::BigNum,
    ec::{EcGroup, EcKey},
    nid::Nid,
    pkey::{PKey, Public},
    rsa::Rsa,
};

// TPM_ALG_ID
const RSA: u16 = 0x0001;
const NULL: u16 = 0x0010;
const RSAES: u16 = 0x0015;
const ECDAA: u16 = 0x001a;
const ECC: u16 = 0x0023;

/// TPM_ECC_CURVE of the curves that are understood.
const CURVES: [(u16, Nid); 3] = [
    (0x0003, Nid::X9_62_PRIME256V1),
    (0x0004, Nid::SECP384R1),
    (0x0005, Nid::SECP521R1),
];

const MAX_RSA: usize = 2048;
const MAX_ECC: usize = 66;
const DEFAULT_EXPONENT: u32 = 65537;

/// TPMA_OBJECT: a TPM lets a key of its own sign nothing as a quote that it did not make if these
/// bits are so. Whether a TPM holds the key at all, they cannot say: a program can set them too.
const ATTRIBUTES: [(&str, u32, bool); 6] = [
    ("fixedTPM", 1 << 1, true),
    ("fixedParent", 1 << 4, true),
    ("sensitiveDataOrigin", 1 << 5, true),
    ("restricted", 1 << 16, true),
    ("decrypt", 1 << 17, false),
    ("sign", 1 << 18, true),
];

/// TPMT_PUBLIC of a key (Part 2, "TPMT_PUBLIC").
pub(super) struct Template {
    attributes: u32,
    /// The only scheme that the TPM lets it sign with, if it is bound to one.
    pub(super) scheme: Option<Scheme>,
    pub(super) name: KeyName,
    pub(super) key: PKey<Public>,
}

impl Template {
    /// Reads TPMT_PUBLIC, or TPM2B_PUBLIC, which has its size in front.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut sized = Reader::new(bytes);
        match sized.sized(usize::MAX, "key") {
            Ok(area) if sized.left() == 0 => Self::area(area),
            _ => Self::area(bytes),
        }
    }

    fn area(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u16("key type")?;
        if ![RSA, ECC].contains(&kind) {
            return Err(format!("its type is {kind:04x}; RSA and ECC are supported"));
        }
        let id = reader.u16("name's hash")?;
        let hash =
            Bank::from_tpm_id(id).ok_or_else(|| format!("its name's hash {id:04x} is unknown"))?;
        let attributes = reader.u32("attributes")?;
        reader.sized(Digest::MAX, "policy")?;
        if reader.u16("symmetric algorithm")? != NULL {
            reader.take(4, "symmetric algorithm's bits and mode")?;
        }
        let scheme = scheme(&mut reader)?;
        let key = match kind {
            RSA => rsa(&mut reader)?,
            _ => ecc(&mut reader)?,
        };
        reader.end()?;
        Ok(Self {
            attributes,
            scheme,
            name: KeyName::of(hash, bytes),
            key,
        })
    }

    /// The attributes with which the key could sign forged quotes.
    pub(super) fn unfit(&self) -> Vec<Attribute> {
        let state = |(name, bit, wanted): &(&'static str, u32, bool)| {
            let set = self.attributes & bit != 0;
            (set != *wanted).then_some(Attribute { name, set })
        };
        ATTRIBUTES.iter().filter_map(state).collect()
    }
}

/// TPMT_RSA_SCHEME and TPMT_ECC_SCHEME.
fn scheme(reader: &mut Reader<'_>) -> Result<Option<Scheme>, Malformed> {
    let id = reader.u16("scheme")?;
    if [NULL, RSAES].contains(&id) {
        return Ok(None);
    }
    let hash = reader.u16("scheme's hash")?;
    if id == ECDAA {
        reader.u16("scheme's count")?;
    }
    let Some(algorithm) = Algorithm::from_tpm_id(id) else {
        return Err(format!(
            "its scheme is {id:04x}; RSASSA, RSAPSS and ECDSA are supported"
        ));
    };
    let hash = Bank::from_tpm_id(hash)
        .ok_or_else(|| format!("its scheme's hash {hash:04x} is unknown"))?;
    Ok(Some(Scheme { algorithm, hash }))
}

/// The rest of TPMS_RSA_PARMS, and TPM2B_PUBLIC_KEY_RSA.
fn rsa(reader: &mut Reader<'_>) -> Result<PKey<Public>, Malformed> {
    let bits = reader.u16("number of bits")?;
    let exponent = match reader.u32("exponent")? {
        0 => DEFAULT_EXPONENT,
        exponent => exponent,
    };
    let modulus = reader.sized(MAX_RSA, "modulus")?;
    if modulus.len() * 8 != usize::from(bits) {
        return Err(format!(
            "a key of {bits} bits with a modulus of {} bytes",
            modulus.len()
        ));
    }
    let key = BigNum::from_slice(modulus)
        .and_then(|modulus| Rsa::from_public_components(modulus, BigNum::from_u32(exponent)?))
        .and_then(PKey::from_rsa);
    key.map_err(|error| error.to_string())
}

/// The rest of TPMS_ECC_PARMS, and TPMS_ECC_POINT.
fn ecc(reader: &mut Reader<'_>) -> Result<PKey<Public>, Malformed> {
    let curve = reader.u16("curve")?;
    if reader.u16("key derivation")? != NULL {
        reader.u16("key derivation's hash")?;
    }
    let x = reader.sized(MAX_ECC, "point's x")?;
    let y = reader.sized(MAX_ECC, "point's y")?;
    let Some((_, nid)) = CURVES.iter().find(|(id, _)| *id == curve) else {
        return Err(format!(
            "its curve is {curve:04x}; P-256, P-384 and P-521 are supported"
        ));
    };
    let key = EcGroup::from_curve_name(*nid)
        .and_then(|group| {
            let (x, y) = (BigNum::from_slice(x)?, BigNum::from_slice(y)?);
            EcKey::from_public_key_affine_coordinates(&group, &x, &y)
        })
        .and_then(PKey::from_ec_key);
    key.map_err(|_| "its point is not on its curve".into())
}
