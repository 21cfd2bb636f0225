// SPDX-License-Identifier: GPL-2.0

//! A simulated TPM, which remembers all that it was extended with.

use crate::{
    bank::{Bank, Digest, Register},
    kernel::Kernel,
    record::Record,
};
use std::collections::BTreeMap;

/// What registers hold.
pub(crate) type Values = BTreeMap<Register, Digest>;

/// A TPM since power-on.
#[derive(Clone, Debug)]
pub(crate) struct Tpm {
    pub(crate) banks: Vec<Bank>,
    held: Values,
    /// Every extend since power-on.
    history: Vec<Extend>,
}

#[derive(Clone, Debug)]
struct Extend {
    register: Register,
    digest: Digest,
    /// What the register held then.
    value: Digest,
}

impl Tpm {
    pub(crate) fn new(banks: Vec<Bank>) -> Self {
        Self {
            banks,
            held: Values::new(),
            history: Vec::new(),
        }
    }

    pub(crate) fn value(&self, register: Register) -> Digest {
        let held = self.held.get(&register);
        held.cloned().unwrap_or(register.1.zeros())
    }

    /// Extends one register.
    pub(crate) fn extend(&mut self, register: Register, digest: Digest) {
        let value = register.1.extend(&self.value(register), &digest);
        self.held.insert(register, value.clone());
        self.history.push(Extend {
            register,
            digest,
            value,
        });
    }

    /// Extends a PCR in all banks, as a kernel does for a record.
    pub(crate) fn measure(&mut self, record: &Record, kernel: Kernel) {
        for bank in self.banks.clone() {
            self.extend((record.pcr, bank), kernel.extended(record, bank));
        }
    }

    /// How many extends there were: a moment in its history.
    pub(crate) fn now(&self) -> usize {
        self.history.len()
    }

    /// What a register was extended with between two moments.
    pub(crate) fn between(&self, register: Register, from: usize, to: usize) -> Vec<&Digest> {
        let extends = self.history[from.min(to)..to].iter();
        let of_it = extends.filter(|extend| extend.register == register);
        of_it.map(|extend| &extend.digest).collect()
    }

    /// What a register held at a moment.
    pub(crate) fn value_at(&self, register: Register, moment: usize) -> Digest {
        let mut extends = self.history[..moment].iter().rev();
        let last = extends.find(|extend| extend.register == register);
        last.map_or(register.1.zeros(), |extend| extend.value.clone())
    }
}
