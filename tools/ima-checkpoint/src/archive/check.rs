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
        Meta,
        State, //
    },
    names,
    survey::{
        checkpoint,
        sealed_by,
        survey,
        Plan,
        DIGEST_SIZE, //
    },
    Archive,
    Log, //
};
use crate::{
    claim::Claim,
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
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::Path, //
};

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
        let text = format!("{}: {text}", path.display());
        (self.say)(Remark { code, text });
    }

    fn fault(&mut self, error: &Error) {
        let (code, text) = (error.code(), error.to_string());
        (self.say)(Remark { code, text });
    }

    /// Checks the directories above the logs.
    ///
    /// # Errors
    ///
    /// One cannot be read.
    pub fn archive(&mut self, archive: &Archive) -> Result<()> {
        self.mode(archive.dir())?;
        let mut hosts: Vec<String> = archive.logs()?.into_iter().map(|log| log.host).collect();
        hosts.dedup();
        hosts
            .iter()
            .try_for_each(|host| self.mode(&archive.dir().join(host)))
    }

    /// Who can change or read it?
    fn mode(&mut self, path: &Path) -> Result<()> {
        let seen =
            fs::symlink_metadata(path).map_err(|error| Error::io("look at", path, &error))?;
        let mode = seen.mode();
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
        Ok(())
    }

    /// Checks a log.
    ///
    /// # Errors
    ///
    /// Its directory cannot be read.
    pub fn log(&mut self, log: &Log) -> Result<()> {
        self.total.logs += 1;
        self.mode(log.dir())?;
        let index = Index::read(log.dir())?;
        let files = self.files(log)?;
        self.index(log, &index, &files)?;
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

    /// The files of a log that describe themselves as they should, in ascending order.
    fn files(&mut self, log: &Log) -> Result<BTreeMap<(u64, bool, State, String), Meta>> {
        let mut files = BTreeMap::new();
        for name in names(log.dir())? {
            let path = log.dir().join(&name);
            if parse_file_name(&name).is_some() {
                self.mode(&path)?;
                match log.meta(&name) {
                    Ok(meta) => {
                        files.insert((meta.seq, meta.fork, meta.state, name), meta);
                    }
                    Err(error) => self.fault(&error),
                }
            } else if name == PARTIAL {
                let working = path
                    .parent()
                    .and_then(Path::parent)
                    .and_then(holder)
                    .is_some();
                if !working {
                    self.remark(
                        Code::Verified,
                        &path,
                        "left by an archiver that was interrupted; the next run removes it",
                    );
                }
            } else if name != index::NAME {
                self.remark(Code::Verified, &path, "not a file of the archive");
            } else {
                self.mode(&path)?;
            }
        }
        // a tail whose segment is there: a run was interrupted before it removed the tail
        let sealed = |files: &BTreeMap<_, Meta>, seq: u64| {
            files
                .values()
                .any(|meta: &Meta| meta.seq == seq && !meta.fork && meta.state == State::Sealed)
        };
        let leftover: Vec<_> = files
            .iter()
            .filter(|(_, meta)| meta.state == State::Tail && !meta.fork && sealed(&files, meta.seq))
            .map(|(key, _)| key.clone())
            .collect();
        for key in leftover {
            let path = log.dir().join(&key.3);
            self.remark(
                Code::Verified,
                &path,
                "the segment is there as a whole; the next run removes this",
            );
            files.remove(&key);
        }
        Ok(files)
    }

    /// Does the index name other files than there are?
    fn index(
        &mut self,
        log: &Log,
        index: &Index,
        files: &BTreeMap<(u64, bool, State, String), Meta>,
    ) -> Result<()> {
        let path = log.dir().join(index::NAME);
        if index.absent && !files.is_empty() {
            let text =
                "there is none, so that nothing tells whether files are missing: run `reindex`";
            self.remark(Code::Internal, &path, text);
            return Ok(());
        }
        if index.damaged > 0 && !(index.cut && index.damaged == 1) {
            self.remark(Code::Internal, &path, "damaged: run `reindex`");
        }
        let there: BTreeMap<String, &Meta> = files
            .values()
            .map(|meta| (meta.file_name(), meta))
            .collect();
        for (name, digest) in &index.files {
            let path = log.dir().join(name);
            match (there.get(name), parse_file_name(name)) {
                (Some(meta), _) if meta.sha256 != *digest && !name.contains(".tail") => {
                    let text = "the index knows it with another digest: it was exchanged. Compare it with a copy, \
                                and run `reindex` if it is the right one";
                    self.remark(Code::Tampered, &path, text);
                }
                (None, Some(found)) if found.seq >= index.removed && !path.exists() => {
                    self.missing(&path, name, found.seq, *digest, files);
                }
                _ => (),
            }
        }
        Ok(())
    }

    /// A file that the index names is not there.
    fn missing(
        &mut self,
        path: &Path,
        name: &str,
        seq: u64,
        digest: crate::bank::Digest,
        files: &BTreeMap<(u64, bool, State, String), Meta>,
    ) {
        let mut same = files.values().filter(|meta| meta.seq == seq);
        if name.contains(".fork-") {
            self.remark(
                Code::Verified,
                path,
                "a fork that was moved away: run `reindex`",
            );
        } else if name.contains(".tail")
            && same.any(|meta| meta.state == State::Sealed || meta.sha256 == digest)
        {
            // what replaces it is there
        } else {
            let text = "MISSING: it was archived and is not there. Get it back from a copy; `reindex` gives it up";
            self.remark(Code::Missing, path, text);
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
                let why = if (from..=to).all(|seq| index.explains(seq)) {
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
        let last = index.gaps.iter().map(|(_, to)| *to).max();
        if last.is_some_and(|last| last >= expected) {
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
