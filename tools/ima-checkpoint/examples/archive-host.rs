// SPDX-License-Identifier: GPL-2.0

//! `archive-host DIR RECORDS` archives so many records of a host that keeps its list in memory, in
//! segments of 100,000, and prints the bytes of the list and the seconds that it took.

#[path = "../../ima-log/tests/common/mod.rs"]
mod common;

use common::{Host, LOG_ID};
use ima_checkpoint::{
    archive::{
        archiver::{Archiver, Options},
        durable::Access,
        live::Live,
        notice::Notice,
        rules::{Keep, Remove},
    },
    bank::{Bank, Digest},
    error::{Error, Result},
    kernel::{Created, Segment, Status},
    open_files::Readers,
};
use ima_checkpoint_format::ByteOrder;
use std::{
    cell::Cell,
    collections::BTreeMap,
    env,
    io::{ErrorKind, Read},
    rc::Rc,
    time::Instant,
};

const SEGMENT: usize = 100_000;

/// What a kernel would have, rendered beforehand.
struct Memory {
    segments: Vec<Segment>,
    views: Vec<Vec<u8>>,
}

impl Memory {
    fn new(records: usize) -> Result<Self, Box<dyn std::error::Error>> {
        let mut host = Host::new(ByteOrder::NATIVE, &[Bank::Sha1, Bank::Sha256]);
        let mut memory = Self {
            segments: Vec::new(),
            views: Vec::new(),
        };
        for number in 0..records {
            if number % SEGMENT == SEGMENT - 1 || number + 1 == records {
                host.checkpoint("")?;
            } else {
                let name = format!("/usr/lib/x86_64-linux-gnu/some/package/plugins/{number:016}");
                host.file(name.as_bytes(), &number.to_le_bytes());
            }
        }
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
            memory.segments.push(Segment {
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
            });
            memory.views.push(view);
        }
        Ok(memory)
    }
}

/// What this host does not do.
fn refused(what: &'static str) -> Error {
    Error::io(what, "this host", ErrorKind::Unsupported)
}

impl Live for Memory {
    fn status(&self) -> Result<Status> {
        let id = Digest::new(&LOG_ID).to_string();
        Ok(Status(BTreeMap::from([("log_id".to_owned(), id)])))
    }

    fn segments(&self) -> Result<Vec<Segment>> {
        Ok(self.segments.clone())
    }

    fn export(&self, seq: u64) -> Result<Box<dyn Read>> {
        let view = usize::try_from(seq)
            .ok()
            .and_then(|seq| self.views.get(seq));
        let view = view.ok_or_else(|| refused("export"))?;
        Ok(Box::new(std::io::Cursor::new(view.clone())))
    }

    fn checkpoint(&self, _label: &str) -> Result<Created> {
        Err(refused("checkpoint"))
    }

    fn truncate(&self, _seq: u64, _digest: &Digest) -> Result<()> {
        Err(refused("truncate"))
    }

    fn readers(&self) -> Vec<String> {
        Vec::new()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [dir, records] = arguments.as_slice() else {
        return Err("usage: archive-host DIR RECORDS".into());
    };
    let memory = Memory::new(records.parse()?)?;
    let bytes: u64 = memory.segments.iter().map(|segment| segment.bytes).sum();
    let options = Options {
        dir: dir.into(),
        host: "host".to_owned(),
        access: Access::default(),
        keep: Keep::default(),
        remove: Remove::default(),
        receipts: None,
        readers: Readers::default(),
    };
    let warned = Rc::new(Cell::new(false));
    let seen = Rc::clone(&warned);
    let say = move |notice: &Notice| {
        if let Notice::Warning(warning) = notice {
            eprintln!("{warning}");
            seen.set(true);
        }
    };
    let start = Instant::now();
    let mut archiver = Archiver::new(memory, options, Box::new(say))?;
    archiver.pass()?;
    println!("{bytes} {}", start.elapsed().as_secs_f64());
    match warned.get() {
        false => Ok(()),
        true => Err("archiving ended with a warning".into()),
    }
}
