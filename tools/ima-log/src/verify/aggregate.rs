// SPDX-License-Identifier: GPL-2.0

//! `boot_aggregate`: the hash of the PCRs that firmware and boot loader extend, which ties the list to
//! what came before it (`ima_calc_boot_aggregate_tfm()` in `security/integrity/ima/ima_crypto.c`).

use crate::{
    bank::{Bank, Digest},
    list::own::Aggregate,
    replay::Register,
};

/// PCRs that are always hashed.
const FIRMWARE: std::ops::Range<u32> = 0..8;

/// With those of the boot loader, in other banks than sha1 since Linux 5.8.
const LOADER: std::ops::Range<u32> = 0..10;

/// What is known of a boot aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is the hash of the PCRs.
    Right,
    /// It is the hash of PCRs 0 to 7 only, as kernels before 5.8 made it.
    Old,
    /// It is not.
    Wrong,
    /// The bank, or the value of a PCR, is not known.
    Unknown,
}

/// Is it the hash of the PCRs' values, as far as they are known?
pub(super) fn fit(aggregate: &Aggregate, value: impl Fn(Register) -> Option<Digest>) -> Fit {
    let Some(bank) = aggregate.bank else {
        return Fit::Unknown;
    };
    let values = |pcrs: std::ops::Range<u32>| -> Option<Vec<u8>> {
        let mut all = Vec::new();
        for pcr in pcrs {
            all.extend_from_slice(value(Register { pcr, bank })?.as_bytes());
        }
        Some(all)
    };
    let is = |values: &[u8]| bank.hash(&[values]) == aggregate.digest;
    let Some(firmware) = values(FIRMWARE) else {
        return Fit::Unknown;
    };
    if bank == Bank::Sha1 {
        return if is(&firmware) {
            Fit::Right
        } else {
            Fit::Wrong
        };
    }
    match values(LOADER) {
        Some(loader) if is(&loader) => Fit::Right,
        _ if is(&firmware) => Fit::Old,
        Some(_) => Fit::Wrong,
        None => Fit::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // of PCRs that hold nothing but their own numbers, by Python's hashlib:
    // hashlib.sha256(b"".join(bytes([n])*32 for n in range(10))).hexdigest(), and so on
    const SHA256_10: &str = "a4cc7213a98bc92e113dad44ef63113826a16c3a6ca551d2b76244a49ae043dd";
    const SHA256_8: &str = "db05e55d6193247cd749ccc4bcecd7efa1aaeda3e11093a042c9f97957bc16d7";
    const SHA1_8: &str = "59348202947a48bc93f8827c12eb3f1b24a072d2";

    fn judged(bank: Bank, digest: &str, known: u32) -> Option<Fit> {
        let aggregate = Aggregate {
            pcr: 10,
            bank: Some(bank),
            digest: Digest::from_hex(digest)?,
        };
        let value = |register: Register| {
            let bytes = vec![register.pcr as u8; register.bank.size()];
            (register.pcr < known).then(|| Digest::new(&bytes))
        };
        Some(fit(&aggregate, value))
    }

    #[test]
    fn every_bank_and_age() {
        assert_eq!(judged(Bank::Sha256, SHA256_10, 10), Some(Fit::Right));
        assert_eq!(judged(Bank::Sha256, SHA256_8, 10), Some(Fit::Old));
        assert_eq!(judged(Bank::Sha1, SHA1_8, 8), Some(Fit::Right));
        assert_eq!(judged(Bank::Sha256, &"00".repeat(32), 10), Some(Fit::Wrong));
        assert_eq!(judged(Bank::Sha1, &"00".repeat(20), 10), Some(Fit::Wrong));
    }

    #[test]
    fn what_is_not_known_is_not_judged() {
        assert_eq!(judged(Bank::Sha256, SHA256_10, 9), Some(Fit::Unknown));
        assert_eq!(
            judged(Bank::Sha256, &"00".repeat(32), 8),
            Some(Fit::Unknown)
        );
        assert_eq!(judged(Bank::Sha1, SHA1_8, 7), Some(Fit::Unknown));
    }
}
