// SPDX-License-Identifier: GPL-2.0

//! What the tests share: a host that measures, checkpoints and truncates as the kernel does.

#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod busy;
pub(crate) mod judge;
pub(crate) mod signer;

use ima_checkpoint_format::{
    checkpoint::{self, Builder, Entry, Flags, Header, Kind, Label, State},
    record::NewRecord,
    truncate::{self, Reason, Truncation},
    ByteOrder, Error,
};
use ima_log::bank::{Bank, Content, Digest};
use std::collections::BTreeMap;

/// IMA's default PCR.
pub(crate) const PCR: u32 = 10;

pub(crate) const LOG_ID: [u8; 16] = [0x5c; 16];

/// A record before it is written for a bank.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) pcr: u32,
    pub(crate) template: Vec<u8>,
    pub(crate) fields: Vec<Vec<u8>>,
    pub(crate) violation: bool,
}

/// A checkpoint that was made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// Index of its record.
    pub(crate) record: usize,
    pub(crate) buffer: Vec<u8>,
}

/// A host with a TPM, whose kernel has measured since cold boot.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) order: ByteOrder,
    pub(crate) banks: Vec<Bank>,
    /// What it extends into banks and says of them, where that is not the usual.
    pub(crate) contents: BTreeMap<Bank, (Content, State)>,
    pub(crate) records: Vec<Measured>,
    pub(crate) checkpoints: Vec<Made>,
    /// Kexecs since cold boot.
    pub(crate) generation: u32,
    /// What the TPM holds.
    pub(crate) tpm: BTreeMap<(u32, Bank), Digest>,
    /// What the kernel replays; of a PCR that no record was extended into yet, nothing.
    shadow: BTreeMap<(u32, Bank), Digest>,
    /// What PCRs held before their first record, until a checkpoint said it.
    before: BTreeMap<(u32, Bank), Digest>,
}

impl Host {
    pub(crate) fn new(order: ByteOrder, banks: &[Bank]) -> Self {
        Self {
            order,
            banks: banks.to_vec(),
            contents: BTreeMap::new(),
            records: Vec::new(),
            checkpoints: Vec::new(),
            generation: 0,
            tpm: BTreeMap::new(),
            shadow: BTreeMap::new(),
            before: BTreeMap::new(),
        }
    }

    /// The value of a PCR now.
    pub(crate) fn pcr(&self, pcr: u32, bank: Bank) -> Digest {
        self.tpm.get(&(pcr, bank)).copied().unwrap_or(bank.zeros())
    }

    /// Appends a record and extends its PCR.
    pub(crate) fn measure(&mut self, record: Measured) {
        for bank in self.banks.clone() {
            let key = (record.pcr, bank);
            let now = self.pcr(record.pcr, bank);
            let digest = self.extended(&record, bank);
            let shadow = *self.shadow.entry(key).or_insert_with(|| {
                self.before.insert(key, now);
                now
            });
            self.shadow.insert(key, bank.extend(&shadow, &digest));
            self.tpm.insert(key, bank.extend(&now, &digest));
        }
        self.records.push(record);
    }

    /// Appends a record of the template ima-ng to the default PCR.
    pub(crate) fn file(&mut self, name: &[u8], content: &[u8]) {
        let fields = vec![d_ng(content), nul(name)];
        self.append(b"ima-ng", fields, false);
    }

    /// Appends a violation to the default PCR.
    pub(crate) fn violation(&mut self, name: &[u8]) {
        let digest = [b"sha256:\0".as_slice(), &[0; 32]].concat();
        self.append(b"ima-ng", vec![digest, nul(name)], true);
    }

    /// Extends a PCR in one bank without a record.
    pub(crate) fn foreign_extend(&mut self, pcr: u32, bank: Bank, what: &[u8]) {
        let value = bank.extend(&self.pcr(pcr, bank), &bank.hash(&[what]));
        self.tpm.insert((pcr, bank), value);
    }

    /// Another kernel goes on, which has one more bank: its PCRs hold what they hold.
    pub(crate) fn kexec_with(&mut self, bank: Bank, value: Digest) {
        self.generation += 1;
        self.banks.push(bank);
        self.tpm.insert((PCR, bank), value);
        self.shadow.insert((PCR, bank), value);
    }

    pub(crate) fn append(&mut self, template: &[u8], fields: Vec<Vec<u8>>, violation: bool) {
        self.measure(Measured {
            pcr: PCR,
            template: template.to_vec(),
            fields,
            violation,
        });
    }

    /// Appends a checkpoint.
    pub(crate) fn checkpoint(&mut self, label: &str) -> Result<(), Error> {
        self.forged_checkpoint(label, |_| ())
    }

    /// Appends a checkpoint whose buffer was changed before it was measured.
    pub(crate) fn forged_checkpoint(
        &mut self,
        label: &str,
        forge: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Error> {
        let start = self.checkpoints.last().map_or(0, |made| made.record);
        let sealed = self.view_of(Bank::Sha1, start..self.records.len())?;
        let previous = self.checkpoints.last();
        let previous = previous.map_or(Bank::Sha256.zeros(), |made| sha256(&made.buffer));
        let header = Header {
            flags: Flags::default(),
            log_id: LOG_ID,
            sequence: self.checkpoints.len() as u64 + 1,
            generation: self.generation,
            default_pcr: PCR,
            record: self.records.len() as u64,
            offset: self.view(Bank::Sha1)?.len() as u64,
            violations: self.records.iter().filter(|r| r.violation).count() as u64,
            wall_ns: 1_800_000_000_000_000_000,
            boot_ns: 3_600_000_000_000,
            segment_records: (self.records.len() - start) as u64,
            segment_bytes: sealed.len() as u64,
            segment_digest: array(&sha256(&sealed)),
            previous: array(&previous),
        };
        let mut out = [0; checkpoint::MAX_BUFFER];
        let mut builder = Builder::new(&mut out, &header, Label::new(label.as_bytes())?)?;
        let mut keys: Vec<_> = self.shadow.keys().copied().collect();
        keys.sort_by_key(|(pcr, bank)| (*pcr != PCR, *pcr, *bank));
        for key in keys {
            self.push_values(key, &mut builder)?;
        }
        let mut buffer = builder.finish().to_vec();
        forge(&mut buffer);
        self.before.clear();
        let record = self.records.len();
        self.own_record(checkpoint::EVENT_NAME, &buffer);
        self.checkpoints.push(Made { record, buffer });
        Ok(())
    }

    fn push_values(&mut self, key: (u32, Bank), builder: &mut Builder<'_>) -> Result<(), Error> {
        let (pcr, bank) = key;
        let value = self.pcr(pcr, bank);
        let shadow = self.shadow.insert(key, value).unwrap_or(value);
        let state = match (self.contents.get(&bank), shadow == value) {
            (Some((_, state)), true) => *state,
            (None, _) if !bank.mapped() => State::Unshadowed,
            (_, true) => State::Match,
            (_, false) => State::Differs,
        };
        let entry = |state, value| Entry {
            pcr: pcr as u8,
            state,
            algorithm: bank.tpm_id(),
            value,
        };
        builder.push(Kind::Value, &entry(state, value.as_bytes()))?;
        if state == State::Differs {
            builder.push(Kind::Shadow, &entry(state, shadow.as_bytes()))?;
        }
        if let Some(before) = self.before.get(&key) {
            builder.push(Kind::Before, &entry(State::Match, before.as_bytes()))?;
        }
        Ok(())
    }

    /// Appends the record of a truncation to a checkpoint that was made. `start` is the segment
    /// that the list starts with so far.
    pub(crate) fn truncation(&mut self, start: usize, to: usize) -> Result<(), Error> {
        self.forged_truncation(start, to, |_| ())
    }

    /// Appends the record of a truncation that was changed before it was measured.
    pub(crate) fn forged_truncation(
        &mut self,
        start: usize,
        to: usize,
        forge: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Error> {
        let first = self.first_of(start);
        let end = self.first_of(to);
        let freed = self.view_of(Bank::Sha1, first..end)?;
        let made = to.checked_sub(1).and_then(|at| self.checkpoints.get(at));
        let buffer = &made.ok_or(Error::BadSequence)?.buffer;
        let truncation = Truncation {
            reason: Reason::User,
            log_id: LOG_ID,
            sequence: to as u64,
            digest: array(&sha256(buffer)),
            records: (end - first) as u64,
            bytes: freed.len() as u64,
        };
        let mut out = [0; Truncation::SIZE];
        let mut buffer = truncation.encode(&mut out)?.to_vec();
        forge(&mut buffer);
        self.own_record(truncate::EVENT_NAME, &buffer);
        Ok(())
    }

    /// Appends a record as those that segments add, whatever the buffer says.
    pub(crate) fn own_record(&mut self, name: &[u8], buffer: &[u8]) {
        let fields = vec![d_ng(buffer), nul(name), buffer.to_vec()];
        self.append(b"ima-buf", fields, false);
    }

    /// Index of the first record of a segment; of one that is not there yet, the end.
    pub(crate) fn first_of(&self, segment: usize) -> usize {
        match segment.checked_sub(1) {
            None => 0,
            Some(at) => self
                .checkpoints
                .get(at)
                .map_or(self.records.len(), |made| made.record),
        }
    }

    /// The list as the file of a bank shows it.
    pub(crate) fn view(&self, bank: Bank) -> Result<Vec<u8>, Error> {
        self.view_of(bank, 0..self.records.len())
    }

    /// These records of it.
    pub(crate) fn view_of(&self, bank: Bank, of: std::ops::Range<usize>) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        for record in self.records.get(of).unwrap_or_default() {
            let zeros = bank.zeros();
            let digest = match record.violation {
                true => zeros,
                false => self.extended(record, bank),
            };
            let new = NewRecord {
                pcr: record.pcr,
                digest: digest.as_bytes(),
                template_name: &record.template,
                fields: record.fields.iter().map(Vec::as_slice),
                order: self.order,
            };
            let start = out.len();
            out.resize(start + new.encoded_len()?, 0);
            new.encode(out.get_mut(start..).unwrap_or_default())?;
        }
        Ok(out)
    }

    /// What a record is extended with in a bank.
    fn extended(&self, record: &Measured, bank: Bank) -> Digest {
        let unmapped = |sha1: &Digest, filler| {
            let mut bytes = [filler; Digest::MAX];
            bytes[..20].copy_from_slice(sha1.as_bytes());
            Digest::new(&bytes[..bank.size()])
        };
        let content = match self.contents.get(&bank) {
            Some((content, _)) => *content,
            None if bank.mapped() => Content::Own,
            None => Content::Padded,
        };
        match (record.violation, content) {
            (true, Content::Padded) => unmapped(&Digest::new(&[0xff; 20]), 0),
            (true, _) => Digest::new(&[0xff; Digest::MAX][..bank.size()]),
            (false, Content::Own) => bank.hash(&[&self.input(record)]),
            (false, _) => unmapped(&Bank::Sha1.hash(&[&self.input(record)]), 0),
        }
    }

    /// What the template digest is the hash of.
    fn input(&self, record: &Measured) -> Vec<u8> {
        let mut input = Vec::new();
        if record.template == b"ima" {
            input.extend(record.fields.iter().flatten());
            input.resize(20 + 256, 0);
            return input;
        }
        for field in &record.fields {
            input.extend(self.order.put_u32(field.len() as u32));
            input.extend(field);
        }
        input
    }
}

/// The field d-ng of some content.
pub(crate) fn d_ng(content: &[u8]) -> Vec<u8> {
    [b"sha256:\0".as_slice(), sha256(content).as_bytes()].concat()
}

/// With a NUL after it.
pub(crate) fn nul(name: &[u8]) -> Vec<u8> {
    [name, b"\0"].concat()
}

fn sha256(bytes: &[u8]) -> Digest {
    Bank::Sha256.hash(&[bytes])
}

fn array(digest: &Digest) -> [u8; 32] {
    digest.as_bytes().try_into().unwrap_or_default()
}
