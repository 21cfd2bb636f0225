// SPDX-License-Identifier: GPL-2.0

//! A log of the archive that the archiver writes into.

use super::{
    durable::{Folder, PARTIAL},
    index::{Event, Index},
    meta::{parse_file_name, Meta, Name, State},
    store::{recheck, store},
    Log, LogName,
};
use crate::{
    bank::Digest,
    claim::Claim,
    error::{Error, Result},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
};

/// May the kernel free a segment, as far as its file is concerned?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Safe {
    /// It was there already: to be read first.
    Unknown,
    /// It was read back from the disk, and verified.
    Yes,
    /// It does not verify.
    No,
}

/// What became of a segment that was to be added.
pub(super) struct Added {
    pub(super) meta: Meta,
    /// Bytes of the file.
    pub(super) file_bytes: u64,
    /// Why it does not verify.
    pub(super) fault: Option<Error>,
    /// The tail of the same number was not its beginning, and is now this fork.
    pub(super) forked_tail: Option<String>,
}

/// A log and what it holds. There is one writer a host: the archiver that has its lock.
#[derive(Debug)]
pub(super) struct Writer {
    folder: Folder,
    pub(super) name: LogName,
    pub(super) index: Index,
    // INVARIANT: `index` has the file of each. There may be many: what else is known of a file is
    // read when it is needed.
    held: BTreeMap<u64, Safe>,
    tails: BTreeSet<u64>,
    /// Digests of the forks of each segment.
    pub(super) forks: BTreeMap<u64, BTreeSet<Digest>>,
}

impl Writer {
    /// Opens a log, clears up what an interrupted archiver left, and brings the index up to date.
    /// The second result are files that cannot be used.
    pub(super) fn open(host: &Folder, name: LogName) -> Result<(Self, Vec<Error>)> {
        let folder = host.folder(&name.log_id)?;
        folder.remove_if_there(PARTIAL)?;
        let mut writer = Self {
            index: Index::read(folder.directory())?,
            folder,
            name,
            held: BTreeMap::new(),
            tails: BTreeSet::new(),
            forks: BTreeMap::new(),
        };
        let log = writer.log();
        let mut faults = Vec::new();
        let listing = log.list_with(|odd| {
            if let Err(error) = log.open(odd) {
                faults.push(error);
            }
            // whatever it is, another file must not take its place
            if let Some(name) = parse_file_name(odd) {
                writer.forks.entry(name.seq).or_default();
            }
            Ok(())
        })?;
        if writer.index.cut || writer.index.damaged > 0 {
            let files = listing.all().filter_map(|name| log.meta(name).ok());
            writer
                .index
                .rebuild(&writer.folder, files, super::now_ns())?;
        }
        for name in listing.all() {
            match log.meta(name) {
                Ok(meta) => {
                    if !writer.index.has(&meta) {
                        writer
                            .index
                            .append(&writer.folder, Event::archived(&meta))?;
                    }
                    writer.note(&meta, Safe::Unknown);
                }
                Err(error) => {
                    faults.push(error);
                    writer.forks.entry(name.seq).or_default();
                }
            }
        }
        Ok((writer, faults))
    }

    fn log(&self) -> Log {
        Log::new(self.folder.directory().clone(), self.name.clone())
    }

    /// Notes a file that the index has.
    fn note(&mut self, meta: &Meta, safe: Safe) {
        let seq = meta.seq;
        match (meta.fork, meta.state) {
            (true, _) => {
                self.forks.entry(seq).or_default().insert(meta.sha256);
            }
            (false, State::Tail) => {
                self.tails.insert(seq);
            }
            (false, State::Sealed) => {
                self.held.insert(seq, safe);
            }
        }
    }

    /// The SHA-256 of a sealed segment that is there, and whether it is safe.
    pub(super) fn held(&self, seq: u64) -> Option<(Digest, Safe)> {
        let safe = self.held.get(&seq)?;
        let sha256 = self.index.sha256(Name::of(seq, State::Sealed))?;
        Some((sha256, *safe))
    }

    /// The tail of that number, if there is one.
    fn tail(&self, seq: u64) -> Result<Option<Meta>> {
        let there = self.tails.contains(&seq);
        let read = || self.log().meta(Name::of(seq, State::Tail));
        there.then(read).transpose()
    }

    /// Is a file of this segment there that is not what the kernel has, or cannot be read?
    pub(super) fn is_forked(&self, seq: u64) -> bool {
        self.forks.contains_key(&seq)
    }

    /// Adds a segment that is sealed by the checkpoint `next`; as a fork, if `meta` says so.
    pub(super) fn add(&mut self, source: impl Read, meta: Meta, next: &Claim) -> Result<Added> {
        let tail = match meta.fork {
            true => None,
            false => self.tail(meta.seq)?,
        };
        let prefix = tail.as_ref().map(|tail| tail.bytes);
        let (meta, survey) = store(&self.folder, source, meta, Some(next), prefix)?;
        self.index.append(&self.folder, Event::archived(&meta))?;
        let verified =
            super::survey::sealed_by(&meta, next).and_then(|()| survey.holds(Some(next)));
        let safe = if verified.is_ok() {
            Safe::Yes
        } else {
            Safe::No
        };
        self.note(&meta, safe);
        let forked_tail = match tail {
            Some(tail) => self.settle(&tail, survey.prefix)?,
            None => None,
        };
        Ok(Added {
            file_bytes: self.file_bytes(&meta),
            meta,
            fault: verified.err(),
            forked_tail,
        })
    }

    /// Reads a segment that was there before this run, and settles the tail that the run before
    /// may have left. Gives the name of the fork that a tail became.
    pub(super) fn check(&mut self, seq: u64, next: &Claim) -> Result<Option<String>> {
        if self.held.get(&seq) != Some(&Safe::Unknown) {
            return Ok(None);
        }
        let meta = self.log().meta(Name::of(seq, State::Sealed))?;
        let tail = self.tail(seq)?;
        let prefix = tail.as_ref().map(|tail| tail.bytes);
        let read = recheck(&self.folder, &meta, Some(next), prefix).and_then(|survey| {
            super::survey::sealed_by(&meta, next)?;
            survey.holds(Some(next))?;
            Ok(survey)
        });
        let safe = if read.is_ok() { Safe::Yes } else { Safe::No };
        self.note(&meta, safe);
        let survey = read?;
        match tail {
            Some(tail) => self.settle(&tail, survey.prefix),
            None => Ok(None),
        }
    }

    /// Is there a tail of this segment although the segment is there?
    pub(super) fn has_leftover_tail(&self, seq: u64) -> bool {
        self.tails.contains(&seq) && self.held.contains_key(&seq)
    }

    /// A tail that is the beginning of what replaces it goes; another becomes a fork.
    fn settle(&mut self, tail: &Meta, prefix: Option<Digest>) -> Result<Option<String>> {
        self.tails.remove(&tail.seq);
        if prefix == Some(tail.sha256) {
            self.folder.remove_if_there(&tail.file_name())?;
            self.folder.sync()?;
            return Ok(None);
        }
        let mut fork = tail.clone();
        fork.fork = true;
        let name = fork.file_name();
        self.folder.rename(&tail.file_name(), &name)?;
        self.index.append(&self.folder, Event::archived(&fork))?;
        self.note(&fork, Safe::No);
        Ok(Some(name))
    }

    /// Keeps the records of the active segment. `open` exports it. Gives the fork that an older
    /// tail became, if it is not the beginning of this one.
    pub(super) fn keep_tail<R: Read>(
        &mut self,
        meta: Meta,
        mut open: impl FnMut() -> Result<R>,
    ) -> Result<Option<String>> {
        let mut forked = None;
        if let Some(old) = self.tail(meta.seq)? {
            let mut plan = super::survey::Plan::of(&meta);
            plan.prefix = Some(old.bytes);
            let seen = super::survey::survey(open()?.take(meta.bytes), plan, |_| Ok(()))?;
            if seen.prefix != Some(old.sha256) {
                forked = self.settle(&old, None)?;
            } else if seen.bytes == old.bytes {
                return Ok(None);
            }
        }
        let (meta, _) = store(&self.folder, open()?, meta, None, None)?;
        self.index.append(&self.folder, Event::archived(&meta))?;
        self.note(&meta, Safe::No);
        Ok(forked)
    }

    /// Notes segments before `first_live` of which nothing says where they are. Gives them.
    pub(super) fn find_gaps(&mut self, first_live: u64) -> Result<Vec<(u64, u64)>> {
        let mut gaps = Vec::new();
        let mut next = self.index.removed;
        let held: Vec<u64> = self
            .held
            .range(next..first_live)
            .map(|(seq, _)| *seq)
            .collect();
        let known = self.index.gaps.iter();
        let there = held.into_iter().map(|seq| (seq, seq)).chain(known);
        let mut there: Vec<(u64, u64)> = there.chain([(first_live, first_live)]).collect();
        there.sort_unstable();
        for (from, to) in there {
            if from > next && next < first_live {
                gaps.push((next, from.min(first_live).saturating_sub(1)));
            }
            next = next.max(to.saturating_add(1));
        }
        for (from, to) in &gaps {
            let at_ns = super::now_ns();
            let (from, to) = (*from, *to);
            self.index
                .append(&self.folder, Event::Gap { from, to, at_ns })?;
        }
        Ok(gaps)
    }

    /// Forgets what was removed behind its back.
    pub(super) fn removed_before(&mut self, seq: u64) {
        self.index.removed = self.index.removed.max(seq);
        self.held = self.held.split_off(&seq);
        self.tails = self.tails.split_off(&seq);
    }

    fn file_bytes(&self, meta: &Meta) -> u64 {
        self.folder.directory().size(&meta.file_name())
    }
}
