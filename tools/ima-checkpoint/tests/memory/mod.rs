// SPDX-License-Identifier: GPL-2.0

//! A host that keeps its list in memory, for the archiver to take over.

#![allow(dead_code, reason = "each test uses a part of it")]

use super::common::{Host, LOG_ID};
use ima_checkpoint::{
    archive::live::Live,
    bank::{Bank, Digest},
    error::{Error, Result},
    kernel::{Created, Segment, Status},
    quoting::Quotable,
    replay::Register,
};
use ima_checkpoint_format::ByteOrder;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    io::{Cursor, ErrorKind, Read},
};

/// What a kernel would have, rendered beforehand.
pub(crate) struct Memory {
    /// The live segments, with their bytes.
    segments: RefCell<Vec<(Segment, Vec<u8>)>>,
}

impl Memory {
    /// So many records, in sealed segments of at most so many. The active segment has but its
    /// checkpoint.
    pub(crate) fn new(records: usize, segment: usize) -> Result<Self, Box<dyn std::error::Error>> {
        let mut host = Host::new(ByteOrder::NATIVE, &[Bank::Sha1, Bank::Sha256]);
        for number in 0..records {
            if number % segment == segment - 1 || number + 1 == records {
                host.checkpoint("")?;
            } else {
                let name = format!("/usr/lib/x86_64-linux-gnu/some/package/plugins/{number:016}");
                host.file(name.as_bytes(), &number.to_le_bytes());
            }
        }
        let mut segments = Vec::new();
        let sealed = host.checkpoints.len();
        for seq in 0..=sealed {
            let first = host.first_of(seq);
            let end = if seq < sealed {
                host.first_of(seq + 1)
            } else {
                host.records.len()
            };
            let view = host.view_of(Bank::Sha1, first..end)?;
            let made = seq.checked_sub(1).and_then(|seq| host.checkpoints.get(seq));
            let segment = Segment {
                seq: seq as u64,
                active: seq == sealed,
                first: first as u64,
                records: (end - first) as u64,
                bytes: view.len() as u64,
                digest: made.map_or(Bank::Sha256.zeros(), |made| {
                    Bank::Sha256.hash(&[&made.buffer])
                }),
                broken: false,
                base: BTreeMap::new(),
            };
            segments.push((segment, view));
        }
        Ok(Self {
            segments: RefCell::new(segments),
        })
    }

    /// Bytes of all live segments.
    pub(crate) fn bytes(&self) -> u64 {
        let segments = self.segments.borrow();
        segments.iter().map(|(segment, _)| segment.bytes).sum()
    }
}

/// What this host does not do.
fn refused(what: &'static str) -> Error {
    Error::io(what, "this host", ErrorKind::Unsupported)
}

impl Quotable for Memory {
    fn checkpoint(&self, _label: &str) -> Result<Created> {
        Err(refused("checkpoint"))
    }

    fn named(&self, _checkpoint: &Created) -> Result<Vec<Register>> {
        Err(refused("read"))
    }

    fn append(&self, _evidence: &[u8]) -> Result<bool> {
        Err(refused("quote"))
    }
}

impl Live for Memory {
    fn status(&self) -> Result<Status> {
        let id = Digest::new(&LOG_ID).to_string();
        Ok(Status(BTreeMap::from([("log_id".to_owned(), id)])))
    }

    fn segments(&self) -> Result<Vec<Segment>> {
        let segments = self.segments.borrow();
        Ok(segments
            .iter()
            .map(|(segment, _)| segment.clone())
            .collect())
    }

    fn export(&self, seq: u64) -> Result<Box<dyn Read>> {
        let segments = self.segments.borrow();
        let found = segments.iter().find(|(segment, _)| segment.seq == seq);
        let (_, view) = found.ok_or_else(|| refused("export"))?;
        Ok(Box::new(Cursor::new(view.clone())))
    }

    fn truncate(&self, seq: u64, digest: &Digest) -> Result<()> {
        let mut segments = self.segments.borrow_mut();
        let named = |(segment, _): &(Segment, _)| segment.seq == seq && segment.digest == *digest;
        if !segments.iter().any(named) {
            return Err(refused("truncate"));
        }
        segments.retain(|(segment, _)| segment.seq >= seq);
        Ok(())
    }

    fn readers(&self) -> Vec<String> {
        Vec::new()
    }
}
