// SPDX-License-Identifier: GPL-2.0

//! Reading a segment once, for all that the archive wants to know of it.

use super::{is_damage, meta::Meta};
use crate::{
    archive,
    bank::{Bank, Content, Digest},
    claim::Claim,
    detect::Layout,
    error::{Error, Result},
    own::{recognise, Mark, Remark},
    records::{Fault, Position},
    replay::{
        self, Observer, Origin, Place, Register, Replay, Sealed, Seen, Source, Start, Values,
    },
};
use ima_checkpoint_format::{ascii::ascii_len, checkpoint::State, record::Record, ByteOrder};
use sha2::{Digest as _, Sha256};
use std::{fmt, io::Read};

/// Bytes of a template digest in the sha1 view.
pub(super) const DIGEST_SIZE: usize = 20;

/// What a segment holds.
#[derive(Clone, Debug)]
pub(super) struct Survey {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) ascii_bytes: u64,
    pub(super) sha256: Digest,
    /// The checkpoint that it starts with, if it does.
    pub(super) head: Option<Claim>,
    /// SHA-256 of as many bytes of it as were asked for, if records end there.
    pub(super) prefix: Option<Digest>,
    /// The first record whose template digest is not that of its data, if it was replayed.
    wrong: Option<Position>,
    /// What the PCRs hold after it, if it was replayed.
    values: Values,
}

/// How to read a segment.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) order: ByteOrder,
    /// Index of the first record since cold boot, and the bytes before it.
    pub(super) at: Position,
    /// Bytes whose SHA-256 is wanted by itself.
    pub(super) prefix: Option<u64>,
    /// Replay it in these banks. They have sha1.
    pub(super) banks: Vec<Bank>,
    /// What PCRs start from that the checkpoint at the front has no value of.
    pub(super) base: Values,
}

/// Reads a segment to its end, and hands each record's bytes on.
pub(super) fn survey(
    source: impl Read,
    reading: Reading,
    each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<Survey> {
    let source = Source {
        name: String::new(),
        bytes: Box::new(source),
        layout: Layout {
            bank: Bank::Sha1,
            order: reading.order,
            padded: false,
            ascii: false,
        },
        segment: None,
        seals: false,
    };
    let how = replay::Plan {
        checks: !reading.banks.is_empty(),
        banks: {
            let banks = reading.banks.iter();
            banks.map(|bank| (*bank, Content::usual(*bank))).collect()
        },
        jobs: 1,
    };
    let mut surveyor = Surveyor {
        reading,
        each,
        hash: Sha256::new(),
        seen: Survey {
            records: 0,
            bytes: 0,
            ascii_bytes: 0,
            sha256: Bank::Sha256.zeros(),
            head: None,
            prefix: None,
            wrong: None,
            values: Values::new(),
        },
    };
    let replay = replay::run(std::iter::once(Ok(source)), &how, &mut surveyor)?;
    let mut seen = surveyor.seen;
    seen.sha256 = Digest::new(&surveyor.hash.finalize());
    let values = replay.registers();
    seen.values = values
        .map(|(register, start)| (register, start.value))
        .collect();
    Ok(seen)
}

/// Observes the replay of a segment.
struct Surveyor<F> {
    reading: Reading,
    each: F,
    hash: Sha256,
    seen: Survey,
}

impl<F> Surveyor<F> {
    /// The place since cold boot.
    fn since_boot(&self, at: Place) -> Position {
        Position {
            record: self.reading.at.record.saturating_add(at.inner.record),
            offset: self.reading.at.offset.saturating_add(at.inner.offset),
        }
    }
}

impl<F: FnMut(&[u8]) -> Result<()>> Observer for Surveyor<F> {
    type Error = Error;

    fn start(&self, register: Register) -> Start {
        let value = self.reading.base.get(&register).copied();
        Start {
            value: value.unwrap_or(register.bank.zeros()),
            origin: Origin::Unknown,
        }
    }

    fn remark(
        &mut self,
        at: Place,
        remark: &Remark,
        _sealed: &Sealed,
        replay: &mut Replay,
    ) -> Result<()> {
        match remark {
            Remark::Checkpoint(claim) if at.record == 0 => {
                let origin = Origin::Claimed(claim.header.sequence);
                for (register, (_, value)) in &claim.values {
                    let value = *value;
                    let start = Start { value, origin };
                    replay.restart(*register, start, 0, |other| self.start(other));
                }
                self.seen.head = Some(Claim::clone(claim));
            }
            Remark::TemplateDigest(_) => {
                let at = self.since_boot(at);
                self.seen.wrong.get_or_insert(at);
            }
            _ => (),
        }
        Ok(())
    }

    fn record(&mut self, seen: &Seen<'_>, _replay: &Replay) -> Result<()> {
        let raw = seen.raw();
        let ascii = seen
            .record()
            .map_or(0, |record| ascii_len(&record, DIGEST_SIZE));
        self.seen.ascii_bytes = self.seen.ascii_bytes.saturating_add(ascii);
        self.hash.update(raw);
        (self.each)(raw)?;
        self.seen.records += 1;
        self.seen.bytes += raw.len() as u64;
        if self.reading.prefix == Some(self.seen.bytes) {
            self.seen.prefix = Some(Digest::new(&self.hash.clone().finalize()));
        }
        Ok(())
    }

    fn fault(&mut self, at: Place, fault: Fault) -> Result<()> {
        let at = self.since_boot(at);
        Err(unreadable(match fault {
            Fault::Malformed(_, error) => Fault::Malformed(at, error),
            Fault::Cut(_) => Fault::Cut(at),
            fault => fault,
        }))
    }
}

/// A file that does not follow its format was tampered with; another just cannot be read.
fn unreadable(fault: Fault) -> Error {
    match fault {
        Fault::Io(error) if is_damage(&error) => {
            archive::Error::Damaged { path: None, error }.into()
        }
        fault => fault.into(),
    }
}

/// The checkpoint that this record is.
pub(super) fn checkpoint(record: &Record<'_>) -> Option<Claim> {
    match recognise(record) {
        Ok(Some(Mark::Checkpoint(claim))) => Some(*claim),
        _ => None,
    }
}

impl Reading {
    /// To read what a file of the archive holds.
    pub(super) fn of(meta: &Meta) -> Self {
        Self {
            order: meta.byte_order(),
            at: Position {
                record: meta.first,
                offset: meta.offset,
            },
            prefix: None,
            banks: Vec::new(),
            base: Values::new(),
        }
    }

    /// To replay it as well, up to the checkpoint after it, if there is one.
    pub(super) fn replaying(meta: &Meta, next: Option<&Claim>) -> Self {
        let mut reading = Self::of(meta);
        reading.banks = vec![Bank::Sha1];
        if let Some(next) = next {
            reading
                .banks
                .extend(next.values.keys().map(|register| register.bank));
            reading.banks.sort_unstable();
            reading.banks.dedup();
            let before = next.before.iter();
            reading.base = before.map(|(at, (_, value))| (*at, *value)).collect();
        }
        reading
    }
}

/// Records, bytes and SHA-256 of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Records.
    pub records: u64,
    /// Their bytes in the sha1 view.
    pub bytes: u64,
    /// SHA-256 of these.
    pub sha256: Digest,
}

impl Size {
    /// What a checkpoint says of the segment that it seals.
    pub(super) fn claimed(by: &Claim) -> Self {
        Self {
            records: by.header.segment_records,
            bytes: by.header.segment_bytes,
            sha256: Digest::new(&by.header.segment_digest),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            records,
            bytes,
            sha256,
        } = self;
        write!(f, "{records} records, {bytes} bytes, SHA-256 {sha256}")
    }
}

/// Where what a segment holds is not what its metadata or the next checkpoint say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disagreement {
    /// Its size or its digest.
    Size {
        /// As the metadata say.
        said: Size,
        /// As it is.
        has: Size,
    },
    /// It does not start with its checkpoint.
    NoCheckpoint {
        /// Its number.
        seq: u64,
    },
    /// It starts with another one than the metadata say.
    OtherCheckpoint {
        /// The number of that.
        seq: u64,
        /// The log that it names.
        log_id: String,
        /// The place that it names.
        at: Position,
    },
    /// The digest of its checkpoint.
    CheckpointDigest,
    /// A template digest.
    TemplateDigest {
        /// The first record with a wrong one.
        at: Position,
    },
    /// What a PCR replays to.
    Replay {
        /// The PCR, and the bank.
        register: Register,
    },
    /// The checkpoint after it seals another segment.
    Sealed {
        /// The number of the checkpoint.
        by: u64,
        /// What that says.
        claimed: Size,
        /// As the segment is.
        has: Size,
    },
    /// The checkpoint after it follows another checkpoint.
    Previous {
        /// Its number.
        seq: u64,
    },
    /// The checkpoint after it is not the one that follows.
    NotNext {
        /// Its number.
        seq: u64,
    },
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { said, has } => write!(f, "its metadata claim {said}, but it has {has}"),
            Self::NoCheckpoint { seq } => write!(f, "it does not start with checkpoint {seq}"),
            Self::OtherCheckpoint { seq, log_id, at } => write!(
                f,
                "it starts with checkpoint {seq} of log {log_id}, record {}, byte {}, but its \
                 metadata claim otherwise",
                at.record, at.offset
            ),
            Self::CheckpointDigest => {
                f.write_str("the digest of its checkpoint is not that in its metadata")
            }
            Self::TemplateDigest { at } => {
                write!(f, "{at}: the template digest is not that of the data")
            }
            Self::Replay { register } => write!(
                f,
                "{register} does not replay to what the next checkpoint says"
            ),
            Self::Sealed { by, claimed, has } => {
                write!(f, "it has {has}, but checkpoint {by} claims {claimed}")
            }
            Self::Previous { seq } => write!(
                f,
                "checkpoint {seq} follows another checkpoint than the one it has"
            ),
            Self::NotNext { seq } => {
                write!(f, "checkpoint {seq} is not the one that follows it")
            }
        }
    }
}

fn wrong(disagreement: Disagreement) -> Result<()> {
    Err(archive::Error::from(disagreement).into())
}

/// The size as the metadata say it.
fn said(meta: &Meta) -> Size {
    Size {
        records: meta.records,
        bytes: meta.bytes,
        sha256: meta.sha256,
    }
}

impl Survey {
    /// Its records, bytes and digest.
    pub(super) fn size(&self) -> Size {
        Size {
            records: self.records,
            bytes: self.bytes,
            sha256: self.sha256,
        }
    }

    /// Is it what the metadata say?
    pub(super) fn agrees(&self, meta: &Meta) -> Result<()> {
        let said = said(meta);
        let has = self.size();
        if (said, meta.ascii_bytes) != (has, self.ascii_bytes) {
            return wrong(Disagreement::Size { said, has });
        }
        let Some(claim) = &self.head else {
            return match meta.seq {
                0 => Ok(()),
                seq => wrong(Disagreement::NoCheckpoint { seq }),
            };
        };
        let header = &claim.header;
        let is = (
            header.sequence,
            header.record,
            header.offset,
            claim.log_id().to_string(),
        );
        if is != (meta.seq, meta.first, meta.offset, meta.log_id.clone()) {
            let (seq, record, offset, log_id) = is;
            let at = Position { record, offset };
            return wrong(Disagreement::OtherCheckpoint { seq, log_id, at });
        }
        if claim.digest.as_slice() != meta.checkpoint.as_bytes() {
            return wrong(Disagreement::CheckpointDigest);
        }
        Ok(())
    }

    /// Is every template digest right, and does it replay to what the next checkpoint says?
    pub(super) fn holds(&self, next: Option<&Claim>) -> Result<()> {
        if let Some(at) = self.wrong {
            return wrong(Disagreement::TemplateDigest { at });
        }
        for (register, (state, value)) in next.iter().flat_map(|next| &next.values) {
            let replayed = next
                .and_then(|next| next.shadows.get(register))
                .unwrap_or(value);
            let compared = *state != State::Unshadowed;
            if compared && self.values.get(register) != Some(replayed) {
                let register = *register;
                return wrong(Disagreement::Replay { register });
            }
        }
        Ok(())
    }
}

/// Is this the segment that the next checkpoint says it seals?
pub(super) fn sealed_by(meta: &Meta, next: &Claim) -> Result<()> {
    let header = &next.header;
    let seq = header.sequence;
    let claimed = Size::claimed(next);
    let has = said(meta);
    if claimed != has {
        return wrong(Disagreement::Sealed {
            by: seq,
            claimed,
            has,
        });
    }
    if Digest::new(&header.previous) != meta.checkpoint {
        return wrong(Disagreement::Previous { seq });
    }
    let end = (
        meta.seq.wrapping_add(1),
        meta.first + meta.records,
        meta.offset + meta.bytes,
    );
    if end != (seq, header.record, header.offset) || next.log_id().to_string() != meta.log_id {
        return wrong(Disagreement::NotNext { seq });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
