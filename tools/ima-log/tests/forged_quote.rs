// SPDX-License-Identifier: GPL-2.0

//! Quotes that no TPM made: by keys that sign anything.

use ima_log::{
    bank::{Bank, Digest},
    quote::{Attest, AttestationKey, Error, Nonce, Quote},
};
use openssl::{
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    rsa::{Padding, Rsa},
    sign::{RsaPssSaltlen, Signer},
};

/// What differs from a good quote of PCR 10 in sha256.
#[derive(Clone)]
struct Forged {
    magic: u32,
    kind: u16,
    safe: u8,
    banks: u32,
    bank: u16,
    select: Vec<u8>,
    /// More selections, as they are marshalled.
    others: Vec<u8>,
    digest: Digest,
    after: Vec<u8>,
}

fn good() -> Forged {
    Forged {
        magic: 0xff54_4347,
        kind: 0x8018,
        safe: 1,
        banks: 1,
        bank: 0x000b,
        select: vec![0, 4, 0],
        others: Vec::new(),
        digest: Bank::Sha256.hash(&[&[7; 32]]),
        after: Vec::new(),
    }
}

impl Forged {
    fn message(&self) -> Vec<u8> {
        let sized = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
        [
            self.magic.to_be_bytes().to_vec(),
            self.kind.to_be_bytes().to_vec(),
            sized(b"\0\x0bsigner"),
            sized(b"nonce"),
            [0; 16].to_vec(),
            vec![self.safe],
            [0; 8].to_vec(),
            self.banks.to_be_bytes().to_vec(),
            self.bank.to_be_bytes().to_vec(),
            vec![self.select.len() as u8],
            self.select.clone(),
            self.others.clone(),
            sized(self.digest.as_bytes()),
            self.after.clone(),
        ]
        .concat()
    }

    fn quote(&self) -> Result<Quote, Error> {
        let (key, public) = p256();
        let message = self.message();
        let nonce = Nonce::try_from(b"nonce".as_slice()).expect("a nonce");
        Quote::verify(
            &message,
            &sign(&key, &message, None),
            &public,
            Some(&nonce),
            false,
        )
    }
}

fn p256() -> (PKey<Private>, AttestationKey) {
    let key = ec(Nid::X9_62_PRIME256V1);
    let public = AttestationKey::parse(&key.public_key_to_pem().expect("PEM"));
    (key, public.expect("a good key"))
}

fn ec(curve: Nid) -> PKey<Private> {
    let group = EcGroup::from_curve_name(curve).expect("a curve");
    PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key")
}

fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).expect("a key")).expect("a key")
}

/// A plain signature, by RSAPSS if there is a length of the salt.
fn sign(key: &PKey<Private>, message: &[u8], salt: Option<RsaPssSaltlen>) -> Vec<u8> {
    let mut signer = Signer::new(MessageDigest::sha256(), key).expect("a signer");
    if let Some(salt) = salt {
        signer.set_rsa_padding(Padding::PKCS1_PSS).expect("PSS");
        signer.set_rsa_pss_saltlen(salt).expect("a salt");
    }
    signer.sign_oneshot_to_vec(message).expect("a signature")
}

#[test]
fn only_the_keys_attributes_tell_a_forgery() {
    let quote = good().quote().expect("it is as a TPM's");
    let digest = quote.search(|_, _| Some(Digest::new(&[7; 32])));
    assert!(digest.is_ok_and(|digest| digest.matches()));
    assert!(quote
        .caveats()
        .iter()
        .any(|text| text.contains("can sign forged quotes")));
}

#[test]
fn signed_but_not_a_quote() {
    for (why, forged) in [
        (
            "no TPM made it",
            Forged {
                magic: 0xff54_4348,
                ..good()
            },
        ),
        (
            "its type is 8017",
            Forged {
                kind: 0x8017,
                ..good()
            },
        ),
        ("flag safe is 2", Forged { safe: 2, ..good() }),
        (
            "PCRs of 17 banks",
            Forged {
                banks: 17,
                ..good()
            },
        ),
        (
            "PCRs of 4294967295 banks",
            Forged {
                banks: u32::MAX,
                ..good()
            },
        ),
        (
            "a PCR selection of 5 bytes",
            Forged {
                select: vec![0; 5],
                ..good()
            },
        ),
        (
            "1 bytes more",
            Forged {
                after: vec![0],
                ..good()
            },
        ),
        (
            "another size",
            Forged {
                digest: Bank::Sha384.zeros(),
                ..good()
            },
        ),
    ] {
        let error = forged.quote().expect_err(why);
        assert!(
            matches!(error, Error::Malformed { .. } | Error::Forged(_)),
            "{error}"
        );
        assert!(error.to_string().contains(why), "{error}");
    }
    let whole = good().message();
    for len in 0..whole.len() {
        let seen = Attest::parse(&whole[..len]);
        assert!(
            matches!(seen, Err(Error::Malformed { .. })),
            "{len} bytes: {seen:?}"
        );
    }
}

#[test]
fn a_bank_that_cannot_be_computed() -> Result<(), Error> {
    let quote = Forged {
        bank: 0x0099,
        ..good()
    }
    .quote()?;
    let missing = quote.search(|bank, _| Some(bank.zeros()));
    let missing = missing.expect_err("this bank has no values");
    assert_eq!(
        missing.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["tpm_alg_99:10"]
    );
    Ok(())
}

/// As many banks as the TCG's software stack takes, each with a bitmap of the largest size.
#[test]
fn sixteen_banks() -> Result<(), Error> {
    let (count, highest) = (16, [0, 0, 0, 0x80]);
    let of = |id: u16| [&id.to_be_bytes(), [4].as_slice(), &highest].concat();
    let quote = Forged {
        banks: count,
        select: highest.to_vec(),
        others: (1..count)
            .flat_map(|index| of(0x90 + index as u16))
            .collect(),
        ..good()
    }
    .quote()?;
    let missing = quote.search(|bank, _| Some(bank.zeros()));
    let missing = missing.expect_err("only the first has values");
    assert_eq!((missing.len(), quote.pcrs().count()), (15, 16));
    assert_eq!(missing[0].to_string(), "tpm_alg_91:31");
    Ok(())
}

#[test]
fn a_pcr_that_is_selected_twice() -> Result<(), Error> {
    let quote = Forged {
        banks: 2,
        others: vec![0, 0x0b, 3, 1, 4, 0],
        digest: Bank::Sha256.hash(&[&[7; 32], &[1; 32], &[7; 32]]),
        ..good()
    }
    .quote()?;
    assert_eq!(quote.pcrs().count(), 3);
    let values = |_, pcr| Some(Digest::new(&[pcr as u8 + 1; 32]));
    let mut search = quote.search(values).expect("all values");
    assert!(!search.matches());
    // both places change, and nothing in between
    let slot = search.slot(Bank::Sha256, 10).expect("it was quoted");
    search.set_slot(slot, &[7; 32]);
    assert!(search.matches());
    assert_ne!(search.slot(Bank::Sha256, 0), Some(slot));
    Ok(())
}

#[test]
fn no_pcr_selected() -> Result<(), Error> {
    let quote = Forged {
        select: vec![0; 3],
        digest: Bank::Sha256.hash(&[]),
        ..good()
    }
    .quote()?;
    assert_eq!(quote.pcrs().count(), 0);
    Ok(())
}

#[test]
fn any_salt() {
    let key = rsa(2048);
    let public = AttestationKey::parse(&key.public_key_to_der().expect("DER")).expect("a good key");
    let message = good().message();
    for salt in [0, 1, 32, 222] {
        let signature = sign(&key, &message, Some(RsaPssSaltlen::custom(salt)));
        let quote = Quote::verify(&message, &signature, &public, None, false);
        assert_eq!(
            quote.map(|quote| quote.scheme.to_string()),
            Ok("rsapss with sha256".to_owned())
        );
    }
}

#[test]
fn weak_keys() {
    let keys = [
        rsa(1024),
        ec(Nid::SECP224R1),
        ec(Nid::SECP256K1),
        PKey::generate_ed25519().expect("a key"),
    ];
    for key in keys {
        let public = AttestationKey::parse(&key.public_key_to_pem().expect("PEM"));
        assert_eq!(public.err(), Some(Error::WeakKey));
    }
}

#[test]
fn not_a_key() {
    let private = rsa(2048).private_key_to_pem_pkcs8().expect("PEM");
    let locked = b"-----BEGIN PUBLIC KEY-----\nProc-Type: 4,ENCRYPTED\n\
        DEK-Info: AES-128-CBC,00\n\nAAAA\n-----END PUBLIC KEY-----\n";
    let empty = b"-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----";
    for bytes in [
        b"".as_slice(),
        b"\0",
        b"hello",
        &[0xff; 3000],
        b"0\x80",
        locked,
        empty,
        &private,
    ] {
        let seen = AttestationKey::parse(bytes);
        assert!(matches!(seen, Err(Error::NotAKey(_))), "{seen:?}");
    }
    let hint: Option<Error> = AttestationKey::parse(b"-----BEGIN CERTIFICATE-----\n").err();
    assert!(hint.is_some_and(|error| error.to_string().contains("openssl x509 -pubkey")));
}
