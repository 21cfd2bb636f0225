// SPDX-License-Identifier: GPL-2.0

//! What belongs to a TPM2 quote: message, signature, key, PCR values.

#![no_main]

use ima_log::{
    bank::Bank,
    quote::{Attest, AttestationKey, PcrValues, Quote, Signature},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else {
        return;
    };
    match which % 4 {
        0 => message(bytes),
        1 => drop(Signature::parse(bytes)),
        2 => key(bytes),
        _ => values(bytes),
    }
});

fn message(bytes: &[u8]) {
    let Ok(attest) = Attest::parse(bytes) else {
        return;
    };
    assert!(attest.pcr_digest.as_bytes().len() <= 64);
    for selected in &attest.selection {
        assert!(selected.pcrs.iter().all(|pcr| *pcr < 32));
        assert!(selected.pcrs.is_sorted_by(|a, b| a < b));
    }
    // no message is longer or shorter and says the same
    assert!(Attest::parse(&bytes[..bytes.len() - 1]).is_err());
    assert!(Attest::parse(&[bytes, &[0]].concat()).is_err());
    let _ = PcrValues::parse(&[0; 64], None, &attest.selection);
}

/// A key verifies nothing that it did not sign.
fn key(bytes: &[u8]) {
    let Ok(key) = AttestationKey::parse(bytes) else {
        return;
    };
    for signature in [
        b"\0\x14\0\x0b\x01\0".as_slice(),
        b"\0\x18\0\x0b\0\x01\x01\0\x01\x01",
    ] {
        let signature = [signature, &[1; 256]].concat();
        assert!(Quote::verify(&[], &signature, &key, None, true).is_err());
    }
}

fn values(bytes: &[u8]) {
    for given in [None, Some(Bank::Sha256)] {
        let Ok(values) = PcrValues::parse(bytes, given, &[]) else {
            continue;
        };
        for bank in Bank::ALL {
            for pcr in 0..32 {
                let value = values.get(bank, pcr);
                assert!(value.is_none_or(|value| value.as_bytes().len() == bank.size()));
            }
        }
    }
}
