// SPDX-License-Identifier: GPL-2.0

//! The buffers of checkpoints and truncations, by `Documentation/record-format.rst`: what a kernel
//! says of its list, and what a forger says.

use crate::{
    bank::{Bank, Digest, Register},
    kernel::Kernel,
    record::{d_ng, view, Order, Record},
};

pub(crate) const BEFORE_KEXEC: u32 = 2;
pub(crate) const LOG_LOST: u32 = 8;
pub(crate) const DIFFERS: u32 = 32;

/// What an item is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Value = 0x8001,
    Shadow = 0x8002,
    Before = 0x8003,
}

/// What an item says of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Match,
    Differs,
    Unshadowed,
    Unreadable,
    Virtual,
}

/// A PCR value in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    pub(crate) state: State,
    pub(crate) register: Register,
    pub(crate) value: Digest,
}

/// All that a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) flags: u32,
    pub(crate) log_id: [u8; 16],
    pub(crate) sequence: u64,
    pub(crate) generation: u32,
    pub(crate) default_pcr: u32,
    /// Record, byte offset, violations before it.
    pub(crate) before: [u64; 3],
    /// Wall clock, and time since boot.
    pub(crate) clocks: [u64; 2],
    /// Records and bytes of the segment.
    pub(crate) segment: [u64; 2],
    pub(crate) segment_digest: Digest,
    pub(crate) previous: Digest,
    pub(crate) items: Vec<Item>,
}

impl Claims {
    /// What is true of a checkpoint after these records. It goes on from the numbers of the one
    /// before; the PCR values are left to the caller.
    pub(crate) fn of(records: &[Record], order: Order) -> Self {
        let last = records.iter().rposition(is_checkpoint);
        let last_buffer = last.map(|at| buffer(&records[at]));
        let sealed = view(
            &records[last.unwrap_or(0)..],
            Bank::Sha1,
            order,
            Kernel::Usual,
        );
        let earlier = last_buffer.map_or(0, |buffer| number(buffer, 56));
        let counted = last_buffer.map_or(0, |buffer| number(buffer, 48));
        let violations = last_buffer.map_or(0, |buffer| number(buffer, 64));
        let segment = &records[last.unwrap_or(0)..];
        let more = segment.iter().filter(|record| record.violation).count() as u64;
        let count = segment.len() as u64;
        Self {
            flags: 0,
            log_id: last_buffer.map_or([0x5c; 16], |buffer| {
                buffer[16..32].try_into().expect("16 bytes")
            }),
            sequence: last_buffer
                .map_or(0, |buffer| number(buffer, 32))
                .wrapping_add(1),
            generation: last_buffer.map_or(0, |buffer| number(buffer, 40) as u32),
            default_pcr: 10,
            before: [
                counted.wrapping_add(count),
                earlier.wrapping_add(sealed.len() as u64),
                violations.wrapping_add(more),
            ],
            clocks: [1_800_000_000_000_000_000, 3_600_000_000_000],
            segment: [count, sealed.len() as u64],
            segment_digest: Bank::Sha256.hash(&sealed),
            previous: match last_buffer {
                Some(buffer) => Bank::Sha256.hash(buffer),
                None => Bank::Sha256.zeros(),
            },
            items: Vec::new(),
        }
    }

    /// What it says of a PCR.
    pub(crate) fn say(&mut self, kind: Kind, state: State, register: Register, value: &[u8]) {
        self.items.push(Item {
            kind,
            state,
            register,
            value: value.to_vec(),
        });
    }

    fn buffer(&self) -> Vec<u8> {
        let mut out = b"IMA-CKPT\x01\0\xa8\0".to_vec();
        out.extend(self.flags.to_le_bytes());
        out.extend(self.log_id);
        out.extend(self.sequence.to_le_bytes());
        out.extend(self.generation.to_le_bytes());
        out.extend(self.default_pcr.to_le_bytes());
        let numbers = self.before.iter().chain(&self.clocks).chain(&self.segment);
        out.extend(numbers.flat_map(|number| number.to_le_bytes()));
        out.extend(&self.segment_digest);
        out.extend(&self.previous);
        for item in &self.items {
            let (pcr, bank) = item.register;
            out.extend((item.kind as u16).to_le_bytes());
            out.extend((4 + item.value.len() as u16).to_le_bytes());
            out.extend([pcr as u8, item.state as u8]);
            out.extend(bank.tpm_id().to_le_bytes());
            out.extend(&item.value);
        }
        out
    }

    /// Its record, in this PCR.
    pub(crate) fn record(&self, pcr: u32, order: Order) -> Record {
        special(pcr, b".ima/checkpoint\0", &self.buffer(), order)
    }

    /// What the checkpoint in this record says.
    pub(crate) fn read(record: &Record) -> Option<Self> {
        if !is_checkpoint(record) {
            return None;
        }
        let buffer = buffer(record);
        let small = |at: usize| number(buffer, at) as u32;
        let mut claims = Self {
            flags: small(12),
            log_id: buffer[16..32].try_into().ok()?,
            sequence: number(buffer, 32),
            generation: small(40),
            default_pcr: small(44),
            before: [48, 56, 64].map(|at| number(buffer, at)),
            clocks: [72, 80].map(|at| number(buffer, at)),
            segment: [88, 96].map(|at| number(buffer, at)),
            segment_digest: buffer[104..136].to_vec(),
            previous: buffer[136..168].to_vec(),
            items: Vec::new(),
        };
        claims.items = items(&buffer[168..])?;
        Some(claims)
    }
}

/// A record that segments add to a list.
pub(crate) fn special(pcr: u32, name: &[u8], buffer: &[u8], order: Order) -> Record {
    Record::of(pcr, "ima-buf", &[&d_ng(buffer), name, buffer], order)
}

/// Where the buffer starts in the data of a checkpoint, and of a truncation.
const CHECKPOINT: usize = 4 + 40 + 4 + 16 + 4;
const TRUNCATION: usize = 4 + 40 + 4 + 14 + 4;

/// Is it the record of a checkpoint, whatever its template is called?
pub(crate) fn is_checkpoint(record: &Record) -> bool {
    let buffer = record.data.get(CHECKPOINT..).unwrap_or_default();
    buffer.len() >= 168 && buffer.starts_with(b"IMA-CKPT")
}

/// Is it one that segments add, whatever its template is called?
pub(crate) fn is_special(record: &Record) -> bool {
    let buffer = record.data.get(TRUNCATION..).unwrap_or_default();
    is_checkpoint(record) || buffer.starts_with(b"IMA-TRUN")
}

/// The buffer of a checkpoint.
pub(crate) fn buffer(record: &Record) -> &[u8] {
    &record.data[CHECKPOINT..]
}

/// A number of at most eight bytes; what is after a shorter one is cut off by the caller.
fn number(buffer: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(buffer[at..at + 8].try_into().expect("eight bytes"))
}

fn items(mut bytes: &[u8]) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(4) {
        let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let (payload, rest) = rest.split_at_checked(length)?;
        let kinds = [Kind::Value, Kind::Shadow, Kind::Before];
        let states = [
            State::Match,
            State::Differs,
            State::Unshadowed,
            State::Unreadable,
            State::Virtual,
        ];
        let banks = [Bank::Sha1, Bank::Sha256, Bank::Sha384];
        let bank = u16::from_le_bytes(payload.get(2..4)?.try_into().ok()?);
        items.push(Item {
            kind: kinds
                .into_iter()
                .find(|kind| (*kind as u16).to_le_bytes() == head[..2])?,
            state: *states.get(usize::from(payload[1]))?,
            register: (
                payload[0].into(),
                banks.into_iter().find(|one| one.tpm_id() == bank)?,
            ),
            value: payload[4..].to_vec(),
        });
        bytes = rest;
    }
    Some(items)
}

/// The record of a truncation to the checkpoint at this place, of a list that started at `start`.
pub(crate) fn truncation(records: &[Record], start: usize, to: usize, order: Order) -> Record {
    let buffer = buffer(&records[to]);
    let freed = view(&records[start..to], Bank::Sha1, order, Kernel::Usual);
    let mut out = b"IMA-TRUN\x01\0\x01\0\x58\0\0\0".to_vec();
    out.extend(&buffer[16..40]);
    out.extend(Bank::Sha256.hash(buffer));
    out.extend(((to - start) as u64).to_le_bytes());
    out.extend((freed.len() as u64).to_le_bytes());
    special(10, b".ima/truncate\0", &out, order)
}
