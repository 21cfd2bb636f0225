// SPDX-License-Identifier: GPL-2.0

//! Quotes that are records of the list, by keys that verifiers know and by one that they do not.

use crate::{
    bank::{Bank, Register},
    claims::{self, Claims, Kind},
    record::{Order, Record},
    signer::{buffer, Held, Key, Moment},
    tpm::{Tpm, Values},
};
use ima_log::{
    bank::{Bank as KnownBank, Digest},
    replay::Register as KnownRegister,
};
use std::sync::OnceLock;

/// The keys of the TPM: verifiers know the first [`KNOWN`].
pub(crate) fn keys() -> &'static [Key; 3] {
    static KEYS: OnceLock<[Key; 3]> = OnceLock::new();
    KEYS.get_or_init(|| [1, 2, 3].map(Key::new))
}

/// How many keys verifiers know.
pub(crate) const KNOWN: usize = 2;

/// A quote that the TPM made, whatever became of it.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) key: usize,
    /// The moment of the TPM.
    pub(crate) moment: usize,
    pub(crate) registers: Vec<Register>,
    /// The record of the machine that it became, if it did.
    pub(crate) record: Option<usize>,
}

/// The registers that a checkpoint has values of.
pub(crate) fn named(checkpoint: &Record) -> Vec<Register> {
    let items = Claims::read(checkpoint).map_or_else(Vec::new, |claims| claims.items);
    let values = items.iter().filter(|item| item.kind == Kind::Value);
    let mut named: Vec<Register> = values.map(|item| item.register).collect();
    named.sort_by_key(|(pcr, bank)| (*bank, *pcr));
    named.dedup();
    named
}

/// What the TPM holds of these now.
pub(crate) fn held(tpm: &Tpm, registers: &[Register]) -> Values {
    let held = registers.iter().map(|at| (*at, tpm.value(*at)));
    held.collect()
}

/// The record of a quote over a checkpoint, which names one key and is signed by another, or the same.
pub(crate) fn record(
    checkpoint: &Record,
    [named, signing]: [usize; 2],
    held: &Values,
    ticks: u64,
    order: Order,
) -> Record {
    let over = claims::buffer(checkpoint);
    let digest = Bank::Sha256.hash(over);
    let held: Held = held
        .iter()
        .map(|(at, value)| (known(*at), Digest::new(value)))
        .collect();
    let at = Moment {
        reset: 7,
        restart: 0,
        clock: ticks,
    };
    let mut signer = keys()[signing].clone();
    signer.name.clone_from(&keys()[named].name);
    let evidence = signer.evidence(&digest, &held, at);
    let log_id = over[16..32].try_into().expect("16 bytes");
    let sequence = u64::from_le_bytes(over[32..40].try_into().expect("eight bytes"));
    let buffer = buffer(log_id, sequence, &digest, &evidence);
    claims::special(10, b".ima/quote\0", &buffer, order)
}

/// Is it one?
pub(crate) fn is_quote(record: &Record) -> bool {
    record.data.windows(8).any(|bytes| bytes == b"IMA-QUOT")
}

fn known((pcr, bank): Register) -> KnownRegister {
    let bank = KnownBank::from_tpm_id(bank.tpm_id()).expect("it has all");
    KnownRegister { pcr, bank }
}
