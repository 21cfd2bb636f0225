// SPDX-License-Identifier: GPL-2.0

//! An honest machine: a TPM, and a kernel that measures, checkpoints and truncates as it should.

use crate::{
    bank::{Bank, Register},
    claims::{truncation, Claims, Kind, State, BEFORE_KEXEC, DIFFERS},
    kernel::Kernel,
    quotes::{self, Made},
    record::{Order, Record},
    tpm::{Tpm, Values},
};
use std::collections::BTreeSet;

/// IMA's default PCR.
pub(crate) const PCR: u32 = 10;

/// A machine since power-on.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) order: Order,
    pub(crate) kernel: Kernel,
    pub(crate) tpm: Tpm,
    /// The list since cold boot, whether freed or not.
    pub(crate) records: Vec<Record>,
    /// The moments of the TPM before and after each record was extended.
    pub(crate) moments: Vec<(usize, usize)>,
    /// The records that are checkpoints.
    pub(crate) checkpoints: Vec<usize>,
    /// Those of them that found something else than the replay gives.
    pub(crate) broken: Vec<usize>,
    /// Something else extended a PCR since IMA started.
    pub(crate) disturbed: bool,
    /// The quotes that its TPM made over its checkpoints.
    pub(crate) made: Vec<Made>,
    /// What the TPM's clock says.
    ticks: u64,
    /// The banks that checkpoints name.
    pub(crate) named: Vec<Bank>,
    generation: u32,
    clock: u64,
    /// The record that the live list starts with.
    start: usize,
    /// What the kernel replays.
    shadow: Values,
    /// What PCRs held before their first record, until a checkpoint says it.
    before: Values,
}

impl Host {
    pub(crate) fn new(order: Order, kernel: Kernel, banks: Vec<Bank>, named: Vec<Bank>) -> Self {
        Self {
            order,
            kernel,
            tpm: Tpm::new(banks),
            records: Vec::new(),
            moments: Vec::new(),
            checkpoints: Vec::new(),
            broken: Vec::new(),
            disturbed: false,
            made: Vec::new(),
            ticks: 0,
            named,
            generation: 0,
            clock: 1,
            start: 0,
            shadow: Values::new(),
            before: Values::new(),
        }
    }

    /// The PCRs that IMA uses.
    pub(crate) fn used(&self) -> BTreeSet<u32> {
        self.records.iter().map(|record| record.pcr).collect()
    }

    /// Appends a record and extends its PCR.
    pub(crate) fn measure(&mut self, record: Record) {
        for bank in self.tpm.banks.clone() {
            let register = (record.pcr, bank);
            let held = self.tpm.value(register);
            let shadow = self.shadow.get(&register).cloned().unwrap_or_else(|| {
                self.before.insert(register, held.clone());
                held
            });
            let extended = bank.extend(&shadow, &self.kernel.extended(&record, bank));
            self.shadow.insert(register, extended);
        }
        let before = self.tpm.now();
        self.tpm.measure(&record, self.kernel);
        self.moments.push((before, self.tpm.now()));
        self.records.push(record);
    }

    /// Something else than IMA extends a PCR.
    pub(crate) fn disturb(&mut self, register: Register, digest: Vec<u8>) {
        self.tpm.extend(register, digest);
        self.disturbed |= !self.records.is_empty();
    }

    /// Measures the digest of the PCRs 0 to 9, as each kernel does first.
    pub(crate) fn boot_aggregate(&mut self) {
        let pcrs = (0..10).flat_map(|pcr| self.tpm.value((pcr, Bank::Sha256)));
        let digest = Bank::Sha256.hash(&pcrs.collect::<Vec<u8>>());
        let digest = [b"sha256:\0".as_slice(), &digest].concat();
        let fields: [&[u8]; 2] = [&digest, b"boot_aggregate\0"];
        self.measure(Record::of(PCR, "ima-ng", &fields, self.order));
    }

    /// Appends a checkpoint.
    pub(crate) fn checkpoint(&mut self, flags: u32) {
        self.clock += 1;
        let mut claims = Claims::of(&self.records, self.order);
        claims.flags = flags;
        claims.generation = self.generation;
        claims.clocks[1] = self.clock;
        let at = self.records.len();
        let mut registers: Vec<Register> = self.shadow.keys().copied().collect();
        registers.sort_by_key(|(pcr, bank)| (*pcr != PCR, *pcr, *bank));
        for register in registers {
            self.say(register, &mut claims);
        }
        if claims.flags & DIFFERS != 0 {
            self.broken.push(at);
        }
        self.before.clear();
        self.checkpoints.push(at);
        self.measure(claims.record(PCR, self.order));
    }

    /// Puts the values of a register into a checkpoint, and goes on from that of the TPM.
    fn say(&mut self, register: Register, claims: &mut Claims) {
        let value = self.tpm.value(register);
        let shadow = self.shadow.insert(register, value.clone());
        let shadow = shadow.filter(|shadow| *shadow != value);
        if !self.named.contains(&register.1) {
            return;
        }
        let state = match shadow {
            Some(_) => State::Differs,
            None => State::Match,
        };
        claims.say(Kind::Value, state, register, &value);
        if let Some(shadow) = shadow {
            claims.flags |= DIFFERS;
            claims.say(Kind::Shadow, State::Differs, register, &shadow);
        }
        if let Some(before) = self.before.get(&register) {
            claims.say(Kind::Before, State::Match, register, before);
        }
    }

    /// What the TPM held at a checkpoint in the registers that it names, but for banks that do not count.
    pub(crate) fn endorsable(&self, at: usize) -> Values {
        let (moment, _) = self.moments[at];
        let named = quotes::named(&self.records[at]).into_iter();
        let strong = named.filter(|(_, bank)| !self.kernel.is_weak(*bank));
        strong
            .map(|register| (register, self.tpm.value_at(register, moment)))
            .collect()
    }

    /// Has the TPM quote all that a checkpoint names. Gives the record of that.
    pub(crate) fn sign(&mut self, checkpoint: &Record, key: usize) -> Record {
        self.ticks += 1;
        let registers = quotes::named(checkpoint);
        let held = quotes::held(&self.tpm, &registers);
        self.made.push(Made {
            key,
            moment: self.tpm.now(),
            registers,
            record: None,
        });
        quotes::record(checkpoint, [key; 2], &held, self.ticks, self.order)
    }

    /// Appends a quote over the newest checkpoint, after what was measured since it was made.
    pub(crate) fn quote(&mut self, key: usize, meanwhile: Vec<Record>) {
        let Some(newest) = self.checkpoints.last() else {
            return;
        };
        let checkpoint = self.records[*newest].clone();
        let quote = self.sign(&checkpoint, key);
        meanwhile
            .into_iter()
            .for_each(|record| self.measure(record));
        if let Some(made) = self.made.last_mut() {
            made.record = Some(self.records.len());
        }
        self.measure(quote);
    }

    /// Frees what is before a checkpoint.
    pub(crate) fn truncate(&mut self, to: usize) {
        let record = truncation(&self.records, self.start, to, self.order);
        self.start = to;
        self.measure(record);
    }

    /// The checkpoints that can be truncated to.
    pub(crate) fn truncatable(&self) -> Vec<usize> {
        let checkpoints = self.checkpoints.iter().copied();
        checkpoints.filter(|at| *at > self.start).collect()
    }

    /// Another kernel takes over, and names these banks.
    pub(crate) fn kexec(&mut self, named: Vec<Bank>) {
        self.checkpoint(BEFORE_KEXEC);
        self.generation += 1;
        self.clock = 1;
        self.named = named;
        self.boot_aggregate();
        self.checkpoint(0);
    }
}
