// SPDX-License-Identifier: GPL-2.0

//! Checking an archive by itself: is every file what it says, and do they follow each other?

use super::{
    durable::PARTIAL,
    index::{
        self,
        Index, //
    },
    lock::holder,
    meta::{
        parse_file_name,
        Kind,
        Meta,
        Name,
        State, //
    },
    open::kind,
    remark::{
        Finding,
        Remark, //
    },
    survey::{
        checkpoint,
        sealed_by,
        survey,
        Plan,
        DIGEST_SIZE, //
    },
    Archive,
    Log,
    LogName, //
};
use crate::{
    archive,
    bank::Digest,
    claim::Claim,
    error::{
        Error,
        Result, //
    },
    records::{
        Position,
        Records, //
    },
};
use rustix::fs::{
    FileType,
    Stat, //
};
use std::{
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    path::Path,
};

/// The files of a log that describe themselves as they should, in ascending order: by segment,
/// sealed ones before tails and forks.
type Files = BTreeMap<Name, Meta>;

/// What was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Logs.
    pub logs: u64,
    /// Files of segments.
    pub segments: u64,
    /// Records in them, those of forks included.
    pub records: u64,
    /// Their bytes in the sha1 view.
    pub bytes: u64,
}

/// Checks logs of an archive, and tells `say` what there is to say.
pub struct Check<'a> {
    say: &'a mut dyn FnMut(Remark),
    total: Total,
}

impl<'a> Check<'a> {
    /// Nothing is checked yet.
    pub fn new(say: &'a mut dyn FnMut(Remark)) -> Self {
        let total = Total::default();
        Self { say, total }
    }

    /// What was checked by now.
    pub fn total(&self) -> Total {
        self.total
    }

    fn find(&mut self, path: &Path, finding: Finding) {
        let path = path.to_owned();
        (self.say)(Remark::Of { path, finding });
    }

    /// Tells of what could not be checked.
    pub(crate) fn fault(&mut self, error: Error) {
        (self.say)(Remark::Unchecked(error));
    }

    /// Checks the directories above the logs.
    ///
    /// # Errors
    ///
    /// One cannot be read.
    pub fn archive(&mut self, archive: &Archive) -> Result<()> {
        let (logs, faults) = archive.list()?;
        self.mode(archive.dir(), archive.directory().stat()?.st_mode);
        faults.into_iter().for_each(|(_, fault)| self.fault(fault));
        let mut hosts: Vec<&str> = logs.iter().map(|log| log.host.as_str()).collect();
        hosts.dedup();
        for host in hosts {
            let host = archive.directory().below(host)?;
            self.mode(host.path(), host.stat()?.st_mode);
        }
        Ok(())
    }

    /// Who can change or read it?
    fn mode(&mut self, path: &Path, mode: u32) {
        if mode & 0o022 != 0 {
            self.find(path, Finding::Writable);
        }
        if mode & 0o007 != 0 {
            self.find(path, Finding::Readable);
        }
    }

    /// Checks a log.
    ///
    /// # Errors
    ///
    /// Its directory cannot be read.
    pub fn log(&mut self, archive: &Archive, name: &LogName) -> Result<()> {
        let log = &archive.open_log(name)?;
        self.total.logs += 1;
        let directory = log.directory();
        self.mode(log.dir(), directory.stat()?.st_mode);
        // the files describe themselves without it
        let index = Index::read(directory).unwrap_or_else(|error| {
            self.fault(error);
            Index::default()
        });
        let is_worked_on = || {
            let host = archive.directory().below(&name.host);
            host.is_ok_and(|host| holder(&host).is_some())
        };
        let (files, names) = self.files(log, is_worked_on)?;
        self.index(log, &index, &files, &names);
        let line: Vec<&Meta> = files.values().filter(|meta| !meta.fork).collect();
        self.holes(log, &index, &line);
        for (at, meta) in line.iter().enumerate() {
            let next = line
                .get(at + 1)
                .filter(|next| next.seq == meta.seq.wrapping_add(1));
            self.segment(log, meta, next.copied());
        }
        for fork in files.values().filter(|meta| meta.fork) {
            self.segment(log, fork, None);
            self.find(&log.path(fork), Finding::Fork);
        }
        Ok(())
    }

    /// The files of a log, and the names of all that are there.
    fn files(
        &mut self,
        log: &Log,
        is_worked_on: impl Fn() -> bool,
    ) -> Result<(Files, BTreeSet<Name>)> {
        let (mut files, mut there) = (Files::new(), BTreeSet::new());
        for name in log.directory().names()? {
            let Some(seen) = log.directory().look(&name)? else {
                // removed meanwhile
                continue;
            };
            let path = log.directory().path_of(&name);
            if parse_file_name(&name).is_some() {
                there.extend(Name::parse(&name));
                self.file(&path, &seen);
                match log.meta(&name) {
                    Ok(meta) => drop(files.insert(meta.name(), meta)),
                    Err(error) => self.fault(error),
                }
            } else if name == PARTIAL {
                self.partial(&path, &seen, &is_worked_on);
            } else if name == index::NAME {
                self.file(&path, &seen);
            } else {
                self.find(&path, Finding::Stray);
            }
        }
        // a tail whose segment is there: a run was interrupted before it removed the tail
        let is_leftover =
            |name: &&Name| name.kind == Kind::Tail && files.contains_key(&Name::first_of(name.seq));
        let leftover: Vec<Name> = files.keys().filter(is_leftover).copied().collect();
        for name in leftover {
            let path = log.directory().path_of(&name.to_string());
            self.find(&path, Finding::LeftTail);
            files.remove(&name);
        }
        Ok((files, there))
    }

    /// Who can change or read a file? What is none is told of when it is opened.
    fn file(&mut self, path: &Path, seen: &Stat) {
        if kind(seen) == FileType::RegularFile {
            self.mode(path, seen.st_mode);
        }
    }

    fn partial(&mut self, path: &Path, seen: &Stat, is_worked_on: impl Fn() -> bool) {
        if kind(seen) != FileType::RegularFile {
            self.find(path, Finding::NoPartial);
        } else if !is_worked_on() {
            self.find(path, Finding::LeftPartial);
        }
    }

    /// Does the index name other files than there are?
    fn index(&mut self, log: &Log, index: &Index, files: &Files, there: &BTreeSet<Name>) {
        let path = log.directory().path_of(index::NAME);
        if index.absent && !files.is_empty() {
            self.find(&path, Finding::NoIndex);
            return;
        }
        if index.damaged > 0 && !(index.cut && index.damaged == 1) {
            self.find(&path, Finding::DamagedIndex);
        }
        for (name, sha256) in index.files() {
            let path = log.directory().path_of(&name.to_string());
            match files.get(&name) {
                Some(meta) if meta.sha256 != sha256 && name.kind != Kind::Tail => {
                    self.find(&path, Finding::Exchanged);
                }
                None if !there.contains(&name) => self.missing(&path, name, sha256, files),
                _ => (),
            }
        }
    }

    /// A file that the index names is not there.
    fn missing(&mut self, path: &Path, name: Name, sha256: Digest, files: &Files) {
        let mut same = files
            .range(Name::first_of(name.seq)..)
            .take_while(|(other, _)| other.seq == name.seq);
        let replaces = |meta: &Meta| meta.state == State::Sealed || meta.sha256 == sha256;
        match name.kind {
            Kind::Fork(_) => self.find(path, Finding::ForkMoved),
            Kind::Tail if same.any(|(_, meta)| replaces(meta)) => (),
            Kind::Sealed | Kind::Tail => self.find(path, Finding::Missing),
        }
    }

    /// Segments that are not there although later ones are.
    fn holes(&mut self, log: &Log, index: &Index, line: &[&Meta]) {
        if index.removed > 0 {
            let before = index.removed;
            self.find(log.dir(), Finding::Removed { before });
        }
        let mut expected = index.removed;
        for meta in line {
            if meta.seq > expected {
                let (from, to) = (expected, meta.seq - 1);
                let freed = index.explains(from, to);
                self.find(log.dir(), Finding::Hole { from, to, freed });
            }
            // of a segment of which there is a tail only, the rest is missing if more follows
            expected = meta.seq.saturating_add(1);
        }
        if index.gaps.last().is_some_and(|last| last >= expected) {
            self.find(log.dir(), Finding::FreedFrom { from: expected });
        }
    }

    /// Reads a file to its end.
    fn segment(&mut self, log: &Log, meta: &Meta, next: Option<&Meta>) {
        self.total.segments += 1;
        self.total.records = self.total.records.saturating_add(meta.records);
        self.total.bytes = self.total.bytes.saturating_add(meta.bytes);
        let contents = match log.open(meta) {
            Ok(contents) => contents,
            Err(error) => return self.fault(error),
        };
        let next = next.and_then(|next| head(log, next));
        let plan = Plan::replaying(meta, next.as_ref());
        let checked = survey(contents, plan, |_| Ok(())).and_then(|seen| {
            seen.agrees(meta)?;
            if let Some(next) = &next {
                let sealed = sealed_by(meta, next);
                sealed.map_err(|error| match meta.state {
                    State::Sealed => error,
                    State::Tail => archive::Error::BeginningOnly.into(),
                })?;
            }
            seen.holds(next.as_ref())
        });
        if let Err(error) = checked {
            self.find(&log.path(meta), Finding::Fault(error));
        }
    }
}

/// The checkpoint that a segment starts with. What is wrong with that segment is said there.
fn head(log: &Log, meta: &Meta) -> Option<Claim> {
    let contents = log.open(meta).ok()?;
    let mut records = Records::new(
        contents,
        DIGEST_SIZE,
        meta.byte_order(),
        Position::default(),
    );
    let first = records.next().ok().flatten()?;
    checkpoint(&first.record)
}
