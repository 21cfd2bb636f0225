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
    bank::Digest,
    claim::Claim,
    escape::Escaped,
    outcome::{
        Code,
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

/// What is to be said of a file. [`Code::Verified`] if it is no fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What it means for the exit code.
    pub code: Code,
    /// The file, what is wrong with it and what to do.
    pub text: String,
}

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

    fn remark(&mut self, code: Code, path: &Path, text: &str) {
        let text = format!("{}: {text}", Escaped::path(path));
        (self.say)(Remark { code, text });
    }

    /// Tells of what could not be checked.
    pub(crate) fn fault(&mut self, error: &Error) {
        let (code, text) = (error.code(), error.to_string());
        (self.say)(Remark { code, text });
    }

    /// Checks the directories above the logs.
    ///
    /// # Errors
    ///
    /// One cannot be read.
    pub fn archive(&mut self, archive: &Archive) -> Result<()> {
        let (logs, faults) = archive.list()?;
        self.mode(archive.dir(), archive.directory().stat()?.st_mode);
        faults.iter().for_each(|(_, fault)| self.fault(fault));
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
            self.remark(
                Code::Tampered,
                path,
                "others may change it: `chmod go-w` it, and do not trust it without a copy",
            );
        }
        if mode & 0o007 != 0 {
            self.remark(Code::Policy, path, "everybody may read it: `chmod o=` it");
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
            self.fault(&error);
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
            let text = "a fork: the kernel or the archive was tampered with. `verify` both, find out which is \
                        true, and move the other out of the archive";
            self.remark(Code::Tampered, &log.path(fork), text);
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
                    Err(error) => self.fault(&error),
                }
            } else if name == PARTIAL {
                self.partial(&path, &seen, &is_worked_on);
            } else if name == index::NAME {
                self.file(&path, &seen);
            } else {
                self.remark(Code::Verified, &path, "not a file of the archive");
            }
        }
        // a tail whose segment is there: a run was interrupted before it removed the tail
        let is_leftover =
            |name: &&Name| name.kind == Kind::Tail && files.contains_key(&Name::first_of(name.seq));
        let leftover: Vec<Name> = files.keys().filter(is_leftover).copied().collect();
        for name in leftover {
            let path = log.directory().path_of(&name.to_string());
            let text = "the segment is there as a whole; the next run removes this";
            self.remark(Code::Verified, &path, text);
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
            let text = "not a file, and it keeps archivers from writing: move it away";
            self.remark(Code::Tampered, path, text);
        } else if !is_worked_on() {
            let text = "left by an archiver that was interrupted; the next run removes it";
            self.remark(Code::Verified, path, text);
        }
    }

    /// Does the index name other files than there are?
    fn index(&mut self, log: &Log, index: &Index, files: &Files, there: &BTreeSet<Name>) {
        let path = log.directory().path_of(index::NAME);
        if index.absent && !files.is_empty() {
            let text =
                "there is none, so that nothing tells whether files are missing: run `reindex`";
            self.remark(Code::Internal, &path, text);
            return;
        }
        if index.damaged > 0 && !(index.cut && index.damaged == 1) {
            self.remark(Code::Internal, &path, "damaged: run `reindex`");
        }
        for (name, sha256) in index.files() {
            let path = log.directory().path_of(&name.to_string());
            match files.get(&name) {
                Some(meta) if meta.sha256 != sha256 && name.kind != Kind::Tail => {
                    let text = "the index knows it with another digest: it was exchanged. Compare it with a copy, \
                                and run `reindex` if it is the right one";
                    self.remark(Code::Tampered, &path, text);
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
            Kind::Fork(_) => {
                let text = "a fork that was moved away: run `reindex`";
                self.remark(Code::Verified, path, text);
            }
            Kind::Tail if same.any(|(_, meta)| replaces(meta)) => (),
            Kind::Sealed | Kind::Tail => {
                let text = "MISSING: it was archived and is not there. Get it back from a copy; `reindex` gives it up";
                self.remark(Code::Missing, path, text);
            }
        }
    }

    /// Segments that are not there although later ones are.
    fn holes(&mut self, log: &Log, index: &Index, line: &[&Meta]) {
        if index.removed > 0 {
            let text = format!("segments before {} were removed as asked", index.removed);
            self.remark(Code::Verified, log.dir(), &text);
        }
        let mut expected = index.removed;
        for meta in line {
            if meta.seq > expected {
                let (from, to) = (expected, meta.seq - 1);
                let why = if index.explains(from, to) {
                    "they were freed in the kernel before they were archived"
                } else {
                    "get them back from a copy"
                };
                self.remark(
                    Code::Missing,
                    log.dir(),
                    &format!("segments {from} to {to} are missing: {why}"),
                );
            }
            // of a segment of which there is a tail only, the rest is missing if more follows
            expected = meta.seq.saturating_add(1);
        }
        if index.gaps.last().is_some_and(|last| last >= expected) {
            self.remark(Code::Missing, log.dir(), &format!("segments from {expected} on were freed in the kernel before they were archived"));
        }
    }

    /// Reads a file to its end.
    fn segment(&mut self, log: &Log, meta: &Meta, next: Option<&Meta>) {
        self.total.segments += 1;
        self.total.records = self.total.records.saturating_add(meta.records);
        self.total.bytes = self.total.bytes.saturating_add(meta.bytes);
        let contents = match log.open(meta) {
            Ok(contents) => contents,
            Err(error) => return self.fault(&error),
        };
        let next = next.and_then(|next| head(log, next));
        let plan = Plan::replaying(meta, next.as_ref());
        let checked = survey(contents, plan, |_| Ok(())).and_then(|seen| {
            seen.agrees(meta)?;
            if let Some(next) = &next {
                let sealed = sealed_by(meta, next);
                sealed.map_err(|error| match meta.state {
                    State::Sealed => error,
                    State::Tail => Error::new(Code::Missing, "only its beginning is there"),
                })?;
            }
            seen.holds(next.as_ref())
        });
        if let Err(error) = checked {
            let path = log.path(meta);
            self.remark(
                error.code(),
                &path,
                &format!("{error}. Compare it with a copy"),
            );
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
