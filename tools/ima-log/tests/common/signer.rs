// SPDX-License-Identifier: GPL-2.0

//! A TPM's key that quotes, made up from the TPM 2.0 Library, Part 2. Nothing of it is made by what
//! is tested.

use ima_log::{bank::Digest, replay::Register};
use openssl::{
    bn::{BigNum, BigNumContext},
    ec::{EcGroup, EcKey},
    ecdsa::EcdsaSig,
    nid::Nid,
    pkey::Private,
    sha::sha256,
};
use std::collections::BTreeMap;

/// What registers held.
pub(crate) type Held = BTreeMap<Register, Digest>;

/// When a quote was made, as the TPM counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    pub(crate) reset: u32,
    pub(crate) restart: u32,
    /// Milliseconds.
    pub(crate) clock: u64,
}

/// A key on P-256 that signs with SHA-256.
#[derive(Clone)]
pub(crate) struct Key {
    key: EcKey<Private>,
    /// TPM2B_PUBLIC.
    pub(crate) public: Vec<u8>,
    /// SubjectPublicKeyInfo.
    pub(crate) pem: Vec<u8>,
    /// Its TPM Name.
    pub(crate) name: Vec<u8>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({:02x?})", &self.name)
    }
}

/// A size of two bytes, and the bytes.
pub(crate) fn sized(bytes: &[u8]) -> Vec<u8> {
    let size = u16::try_from(bytes.len()).expect("it is small");
    [&size.to_be_bytes(), bytes].concat()
}

impl Key {
    /// The key of a number, which is its private part.
    pub(crate) fn new(number: u32) -> Self {
        Self::make(number).expect("OpenSSL works")
    }

    fn make(number: u32) -> Result<Self, openssl::error::ErrorStack> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let mut context = BigNumContext::new()?;
        let private = BigNum::from_u32(number + 1)?;
        let mut point = openssl::ec::EcPoint::new(&group)?;
        point.mul_generator2(&group, &private, &mut context)?;
        let (mut x, mut y) = (BigNum::new()?, BigNum::new()?);
        point.affine_coordinates_gfp(&group, &mut x, &mut y, &mut context)?;
        let key = EcKey::from_private_components(&group, &private, &point)?;
        // TPM_ALG_ECC, name's hash, attributes of a restricted key that signs, no policy, no
        // symmetric algorithm, ECDSA with SHA-256, P-256, no key derivation, and the point
        let mut public = b"\x00\x23\x00\x0b\x00\x05\x00\x72\x00\x00\x00\x10".to_vec();
        public.extend(b"\x00\x18\x00\x0b\x00\x03\x00\x10");
        public.extend(sized(&x.to_vec_padded(32)?));
        public.extend(sized(&y.to_vec_padded(32)?));
        let name = [b"\x00\x0b".as_slice(), &sha256(&public)].concat();
        Ok(Self {
            public: sized(&public),
            pem: key.public_key_to_pem()?,
            name,
            key,
        })
    }

    /// TPMS_ATTEST of a quote, and TPMT_SIGNATURE.
    pub(crate) fn sign(&self, extra: &[u8], held: &Held, at: Moment) -> (Vec<u8>, Vec<u8>) {
        let message = message(extra, held, at);
        let signature = self.signature(&message);
        (message, signature)
    }

    /// TPMT_SIGNATURE of any message.
    pub(crate) fn signature(&self, message: &[u8]) -> Vec<u8> {
        let signature = EcdsaSig::sign(&sha256(message), &self.key).expect("OpenSSL signs");
        let number = |number: &openssl::bn::BigNumRef| {
            sized(&number.to_vec_padded(32).expect("it has 32 bytes"))
        };
        let (r, s) = (number(signature.r()), number(signature.s()));
        [b"\x00\x18\x00\x0b".as_slice(), &r, &s].concat()
    }

    /// TPM2B_NAME, TPM2B_ATTEST and TPMT_SIGNATURE.
    pub(crate) fn evidence(&self, extra: &[u8], held: &Held, at: Moment) -> Vec<u8> {
        let (message, signature) = self.sign(extra, held, at);
        [sized(&self.name), sized(&message), signature].concat()
    }
}

/// TPMS_ATTEST of a quote over what registers held.
fn message(extra: &[u8], held: &Held, at: Moment) -> Vec<u8> {
    let mut banks: BTreeMap<u16, (u32, Vec<u8>)> = BTreeMap::new();
    for (register, value) in held {
        let (bits, values) = banks.entry(register.bank.tpm_id()).or_default();
        *bits |= 1 << register.pcr;
        values.extend(value.as_bytes());
    }
    let mut out = b"\xffTCG\x80\x18".to_vec();
    out.extend(sized(b"the qualified name of the key"));
    out.extend(sized(extra));
    out.extend(at.clock.to_be_bytes());
    out.extend(at.reset.to_be_bytes());
    out.extend(at.restart.to_be_bytes());
    out.push(1);
    out.extend([7; 8]);
    out.extend(u32::try_from(banks.len()).expect("a few").to_be_bytes());
    let mut all = Vec::new();
    for (bank, (bits, values)) in &banks {
        out.extend(bank.to_be_bytes());
        out.push(3);
        out.extend(&bits.to_le_bytes()[..3]);
        all.extend(values);
    }
    out.extend(sized(&sha256(&all)));
    out
}

/// The buffer of the record that the kernel makes of it.
pub(crate) fn buffer(log_id: [u8; 16], sequence: u64, digest: &[u8], evidence: &[u8]) -> Vec<u8> {
    let mut out = b"IMA-QUOT\x01\0\0\0\x48\0\0\0".to_vec();
    out.extend(log_id);
    out.extend(sequence.to_le_bytes());
    out.extend(digest);
    out.extend(evidence);
    out
}
