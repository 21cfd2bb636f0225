// SPDX-License-Identifier: GPL-2.0

//! Checking an archive by itself: is every file what it says, and do they follow each other?

use super::{
    durable::PARTIAL,
    index::{self, Index},
    listing::Listing,
    lock::holder,
    meta::{looks_like_segment, Kind, Meta, Name, State},
    open::{kind, Directory},
    remark::{Finding, Remark},
    survey::{checkpoint, sealed_by, survey, Reading, DIGEST_SIZE},
    Archive, Log, LogName,
};
use crate::{
    archive,
    claim::Claim,
    error::{Error, Result},
    records::{Position, Records},
};
use rustix::fs::{FileType, Stat};
use std::path::Path;

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
        faults.into_iter().for_each(|(_, fault)| self.fault(fault));
        let Some(directory) = archive.directory() else {
            // whom a store lets in, it does not tell
            return Ok(());
        };
        self.mode(directory.path(), directory.stat()?.st_mode);
        let mut hosts: Vec<&str> = logs.iter().map(|log| log.host.as_str()).collect();
        hosts.dedup();
        for host in hosts {
            let host = directory.below(host)?;
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
        let Some(directory) = log.directory() else {
            let listing = self.stored(log)?;
            self.segments(log, &Index::default(), &listing);
            return Ok(());
        };
        self.mode(log.dir(), directory.stat()?.st_mode);
        // the files describe themselves without it
        let index = Index::read(directory).unwrap_or_else(|error| {
            self.fault(error);
            Index::default()
        });
        let is_worked_on = || {
            let host = archive.directory().map(|archive| archive.below(&name.host));
            host.is_some_and(|host| host.is_ok_and(|host| holder(&host).is_some()))
        };
        let listing = self.list(log, directory, is_worked_on)?;
        self.index(log, &index, &listing);
        self.segments(log, &index, &listing);
        Ok(())
    }

    /// The objects of a log that are named as an archiver names files. A store has nothing else of
    /// an archive.
    fn stored(&mut self, log: &Log) -> Result<Listing> {
        let mut listing = Listing::default();
        log.place.each_name(|name| {
            match looks_like_segment(&name) {
                true => self.segment_of(log, &name, &mut listing),
                false => self.find(&log.place.path_of(&name), Finding::Stray),
            }
            Ok(())
        })?;
        listing.sort();
        Ok(listing)
    }

    /// A file that looks like one of a segment.
    fn segment_of(&mut self, log: &Log, name: &str, listing: &mut Listing) {
        match Name::parse(name) {
            Some(name) => listing.push(name),
            None => log.open(name).map_or_else(|error| self.fault(error), drop),
        }
    }

    /// The files of a log that are named as an archiver names them.
    fn list(
        &mut self,
        log: &Log,
        directory: &Directory,
        is_worked_on: impl Fn() -> bool,
    ) -> Result<Listing> {
        let mut listing = Listing::default();
        directory.each_name(|name| {
            let Some(seen) = directory.look(&name)? else {
                // removed meanwhile
                return Ok(());
            };
            let path = directory.path_of(&name);
            if looks_like_segment(&name) {
                self.file(&path, &seen);
                self.segment_of(log, &name, &mut listing);
            } else if name == PARTIAL {
                self.partial(&path, &seen, &is_worked_on);
            } else if name == index::NAME {
                self.file(&path, &seen);
            } else {
                self.find(&path, Finding::Stray);
            }
            Ok(())
        })?;
        listing.sort();
        Ok(listing)
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

    /// Does the index name files that are not there?
    fn index(&mut self, log: &Log, index: &Index, listing: &Listing) {
        let path = log.place.path_of(index::NAME);
        if index.absent && !listing.is_empty() {
            self.find(&path, Finding::NoIndex);
            return;
        }
        if index.damaged > 0 && !(index.cut && index.damaged == 1) {
            self.find(&path, Finding::DamagedIndex);
        }
        for (name, sha256) in index.files().filter(|(name, _)| !listing.has(*name)) {
            let path = log.path(name);
            let replaced = || {
                let mut same = listing.of(name.seq).filter_map(|name| log.meta(name).ok());
                same.any(|meta| meta.state == State::Sealed || meta.sha256 == sha256)
            };
            match name.kind {
                Kind::Fork(_) => self.find(&path, Finding::ForkMoved),
                Kind::Tail if replaced() => (),
                Kind::Sealed | Kind::Tail => self.find(&path, Finding::Missing),
            }
        }
    }

    /// Reads all files of segments.
    fn segments(&mut self, log: &Log, index: &Index, listing: &Listing) {
        if index.removed > 0 {
            let before = index.removed;
            self.find(log.dir(), Finding::Removed { before });
        }
        if listing.first().is_some_and(|first| first < index.removed) {
            let before = index.removed;
            self.find(log.dir(), Finding::NotRemoved { before });
        }
        let mut expected = index.removed;
        // what follows a segment is known when the next one is there
        let mut last: Option<Meta> = None;
        for name in listing.all() {
            let meta = match log.meta(name) {
                Ok(meta) => meta,
                Err(error) => {
                    self.fault(error);
                    continue;
                }
            };
            let known = index
                .sha256(name)
                .is_none_or(|sha256| sha256 == meta.sha256);
            if !known && name.kind != Kind::Tail {
                self.find(&log.path(name), Finding::Exchanged);
            }
            if meta.fork {
                self.segment(log, &meta, None);
                self.find(&log.path(name), Finding::Fork);
                continue;
            }
            // a tail whose segment is there: a run was interrupted before it removed the tail
            if last.as_ref().is_some_and(|last| last.seq == meta.seq) {
                self.find(&log.path(name), Finding::LeftTail);
                continue;
            }
            self.hole(log, index, expected, meta.seq);
            // of a segment of which there is a tail only, the rest is missing if more follows
            expected = meta.seq.saturating_add(1);
            if let Some(last) = last.replace(meta) {
                let next = Some(name).filter(|next| next.seq == last.seq.wrapping_add(1));
                self.segment(log, &last, next);
            }
        }
        if let Some(last) = last {
            self.segment(log, &last, None);
        }
        if index.gaps.last().is_some_and(|last| last >= expected) {
            self.find(log.dir(), Finding::FreedFrom { from: expected });
        }
    }

    /// Segments that are not there although a later one is.
    fn hole(&mut self, log: &Log, index: &Index, expected: u64, seq: u64) {
        if seq > expected {
            let (from, to) = (expected, seq - 1);
            let freed = index.explains(from, to);
            self.find(log.dir(), Finding::Hole { from, to, freed });
        }
    }

    /// Reads a file to its end.
    fn segment(&mut self, log: &Log, meta: &Meta, next: Option<Name>) {
        self.total.segments += 1;
        self.total.records = self.total.records.saturating_add(meta.records);
        self.total.bytes = self.total.bytes.saturating_add(meta.bytes);
        let contents = match log.read(meta.name()) {
            Ok((found, contents)) if found == *meta => contents,
            Ok(_) => {
                let path = log.path(meta.name());
                return self.fault(archive::Error::Exchanged { path }.into());
            }
            Err(error) => return self.fault(error),
        };
        let next = next.and_then(|next| head(log, next));
        let reading = Reading::replaying(meta, next.as_ref());
        let checked = survey(contents, reading, |_| Ok(())).and_then(|seen| {
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
            self.find(&log.path(meta.name()), Finding::Fault(error));
        }
    }
}

/// The checkpoint that a segment starts with. What is wrong with that segment is said there.
fn head(log: &Log, name: Name) -> Option<Claim> {
    let (meta, contents) = log.read(name).ok()?;
    let mut records = Records::new(
        contents,
        DIGEST_SIZE,
        meta.byte_order(),
        Position::default(),
    );
    let first = records.next().ok().flatten()?;
    checkpoint(&first.record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::fixture::Work;
    use std::fs;

    fn check(work: &Work) -> (Vec<Remark>, Total) {
        let mut found = Vec::new();
        let mut say = |remark| found.push(remark);
        let mut check = Check::new(&mut say);
        let archive = work.archive();
        check.archive(&archive).unwrap();
        check.log(&archive, &work.place.name).unwrap();
        let total = check.total();
        (found, total)
    }

    #[test]
    fn what_an_archiver_wrote() {
        let mut work = Work::new(3);
        work.store(0..3);
        let (found, total) = check(&work);
        assert!(found.is_empty(), "{found:?}");
        let bytes: usize = (0..3).map(|seq| work.kernel.bytes(seq).len()).sum();
        assert_eq!(
            (total.logs, total.segments, total.bytes),
            (1, 3, bytes as u64)
        );
    }

    #[test]
    fn what_is_missing() {
        let mut work = Work::new(4);
        work.store(0..4);
        for seq in [1, 2] {
            fs::remove_file(work.path(&format!("{seq:010}.zst"))).unwrap();
        }
        let (found, _) = check(&work);
        let text: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(text.len(), 3, "{text:?}");
        let missing = text.iter().filter(|text| text.contains("MISSING"));
        assert_eq!(missing.count(), 2);
        assert!(text[2].contains("segments 1 to 2 are missing"), "{text:?}");
        assert!(found.iter().all(Remark::is_fault));
    }

    #[test]
    fn what_is_damaged() {
        let mut work = Work::new(3);
        work.store(0..3);
        work.damage("0000000001.zst");
        let (found, _) = check(&work);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0]
            .to_string()
            .contains("0000000001.zst: it is damaged"));
    }
}
