// SPDX-License-Identifier: GPL-2.0

//! A kernel with checkpoints that is none: its list is made up, and what it freed is written down in
//! a file, so that it survives whoever archives it.

use crate::common::{signer::buffer, Host, LOG_ID, PCR};
use ima_checkpoint::{
    archive::live::Live,
    bank::{Bank, Digest},
    error::{Error, Result},
    kernel::{self, Created, Refusal, Segment, Status},
    quoting::Quotable,
    replay::Register,
};
use ima_checkpoint_format::ByteOrder;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fs,
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
    rc::Rc,
};

/// The kernel of a machine. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Kernel(Rc<State>);

pub(crate) struct State {
    pub(crate) host: RefCell<Host>,
    /// Programs that have the list open.
    pub(crate) readers: RefCell<Vec<String>>,
    /// The checkpoints that were quoted.
    pub(crate) quotes: RefCell<Vec<u64>>,
    /// Does it take no quotes? How many it refused.
    pub(crate) refuses_quotes: Cell<bool>,
    pub(crate) refused: Cell<u64>,
    /// How often it was truncated.
    pub(crate) truncations: Cell<u64>,
    /// Does it demand a signature to free anything? How often somebody tried without.
    pub(crate) demands_signature: Cell<bool>,
    pub(crate) unsigned: Cell<u64>,
    /// Has the number of the first segment that was not freed.
    first: PathBuf,
}

impl std::ops::Deref for Kernel {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl Kernel {
    /// What was freed is written down in this file.
    pub(crate) fn new(host: Host, first: &Path) -> Self {
        Self(Rc::new(State {
            host: RefCell::new(host),
            readers: RefCell::default(),
            quotes: RefCell::default(),
            refuses_quotes: Cell::new(false),
            refused: Cell::new(0),
            truncations: Cell::new(0),
            demands_signature: Cell::new(false),
            unsigned: Cell::new(0),
            first: first.to_owned(),
        }))
    }
}

impl State {
    /// The first segment that was not freed.
    pub(crate) fn first(&self) -> u64 {
        let text = fs::read_to_string(&self.first).unwrap_or_default();
        text.parse().unwrap_or(0)
    }

    /// Sets it, as somebody else would who truncates, or who restores a snapshot.
    pub(crate) fn set_first(&self, seq: u64) -> io::Result<()> {
        let new = self.first.with_extension("new");
        fs::write(&new, seq.to_string())?;
        fs::rename(new, &self.first)
    }

    /// The active segment.
    pub(crate) fn active(&self) -> u64 {
        self.host.borrow().checkpoints.len() as u64
    }

    /// The bytes of a segment in the sha1 view.
    pub(crate) fn bytes(&self, seq: u64) -> Vec<u8> {
        let host = self.host.borrow();
        let at = usize::try_from(seq).unwrap();
        let of = host.first_of(at)..host.first_of(at + 1);
        host.view_of(Bank::Sha1, of).unwrap()
    }

    fn segment(&self, seq: u64) -> Segment {
        let (host, at) = (self.host.borrow(), usize::try_from(seq).unwrap());
        let made = at.checked_sub(1).map(|at| &host.checkpoints[at]);
        Segment {
            seq,
            active: seq == self.active(),
            first: host.first_of(at) as u64,
            records: (host.first_of(at + 1) - host.first_of(at)) as u64,
            bytes: self.bytes(seq).len() as u64,
            digest: made.map_or(Bank::Sha256.zeros(), |made| {
                Bank::Sha256.hash(&[&made.buffer])
            }),
            broken: false,
            base: BTreeMap::new(),
        }
    }
}

fn refused(refusal: Refusal) -> Error {
    kernel::Error::Refused {
        path: "/made/up".into(),
        refusal,
        error: io::ErrorKind::Other.into(),
    }
    .into()
}

impl Quotable for Kernel {
    fn checkpoint(&self, label: &str) -> Result<Created> {
        self.host.borrow_mut().checkpoint(label).unwrap();
        let seq = self.active();
        let digest = self.segment(seq).digest;
        Ok(Created { seq, digest })
    }

    fn named(&self, _: &Created) -> Result<Vec<Register>> {
        let (pcr, bank) = (PCR, Bank::Sha256);
        Ok(vec![Register { pcr, bank }])
    }

    fn append(&self, evidence: &[u8]) -> Result<bool> {
        if self.refuses_quotes.get() {
            self.refused.set(self.refused.get() + 1);
            return Err(refused(Refusal::Tpm));
        }
        let seq = self.active();
        let digest = self.segment(seq).digest;
        let record = buffer(LOG_ID, seq, digest.as_bytes(), evidence);
        self.host.borrow_mut().own_record(b".ima/quote", &record);
        self.quotes.borrow_mut().push(seq);
        Ok(true)
    }
}

impl Live for Kernel {
    fn status(&self) -> Result<Status> {
        let id = Digest::new(&LOG_ID).to_string();
        Ok(Status(BTreeMap::from([("log_id".to_owned(), id)])))
    }

    fn segments(&self) -> Result<Vec<Segment>> {
        let live = self.first()..=self.active();
        Ok(live.map(|seq| self.segment(seq)).collect())
    }

    fn export(&self, seq: u64) -> Result<Box<dyn Read>> {
        if seq < self.first() {
            return Err(refused(Refusal::Freed));
        }
        if seq > self.active() {
            return Err(refused(Refusal::NotYet));
        }
        Ok(Box::new(Cursor::new(self.bytes(seq))))
    }

    fn truncate(&self, seq: u64, digest: &Digest) -> Result<()> {
        if self.demands_signature.get() {
            self.unsigned.set(self.unsigned.get() + 1);
            return Err(refused(Refusal::Unsigned));
        }
        if seq <= self.first() || seq > self.active() || self.segment(seq).digest != *digest {
            return Err(refused(Refusal::Freed));
        }
        self.truncations.set(self.truncations.get() + 1);
        let done = self.set_first(seq);
        done.map_err(|error| Error::io("write", &self.first, error))
    }

    fn readers(&self) -> Vec<String> {
        self.readers.borrow().clone()
    }
}

/// A host whose history is told by a word: so many sealed segments, and one that is active.
pub(crate) fn host(history: &str, sealed: u64) -> Host {
    let mut host = Host::new(ByteOrder::NATIVE, &[Bank::Sha1, Bank::Sha256]);
    host.file(b"boot_aggregate", b"PCRs");
    for segment in 0..=sealed {
        for file in 0..3 {
            let name = format!("/{history}/{segment}/{file}");
            host.file(name.as_bytes(), name.as_bytes());
        }
        if segment < sealed {
            host.checkpoint("").unwrap();
        }
    }
    host
}
