// SPDX-License-Identifier: GPL-2.0

//! Doing a step of a plan, and finding out how it ends.
//!
//! Each step is complete on the disk before the next one begins, and may be interrupted anywhere: what
//! it leaves is looked up by the next run.

use super::{
    copies::{Copier, Kept},
    durable::Folder,
    index::{Event, Index},
    live::{Claims, Live},
    meta::{Meta, Name, State},
    notice::{Notices, Warning},
    now_ns,
    plan::{
        facts::{sha256, Facts, File, Outcome, Tail},
        Step,
    },
    store::{recheck, store},
    survey::{sealed_by, survey, Disagreement, Reading, Size, Survey},
    Log, LogName,
};
use crate::{
    archive,
    bank::Digest,
    claim::Claim,
    error::{Error, Result},
    escape::Escaped,
    kernel::Segment,
    open_files::Readers,
    remote,
};
use ima_checkpoint_format::ByteOrder;
use indicatif::{BinaryBytes, HumanCount};
use std::io::Read;

/// A log of the archive, open for writing.
pub(super) struct Place {
    pub(super) name: LogName,
    pub(super) folder: Folder,
    pub(super) index: Index,
}

impl Place {
    pub(super) fn log(&self) -> Log {
        Log::new(self.folder.directory().clone(), self.name.clone())
    }
}

/// Does steps.
pub(super) struct Executor<'a, L> {
    pub(super) live: &'a L,
    pub(super) order: ByteOrder,
    pub(super) host: &'a Folder,
    pub(super) place: &'a mut Place,
    pub(super) claims: &'a mut Claims,
    pub(super) notices: &'a mut Notices,
    pub(super) copier: &'a mut Option<Copier>,
    pub(super) readers: Readers,
}

impl<L: Live> Executor<'_, L> {
    /// Does a step of a plan that was made from these facts.
    ///
    /// # Errors
    ///
    /// It is not done, or nobody knows whether it is.
    pub(super) fn execute(&mut self, step: &Step, facts: &Facts) -> Result<Outcome> {
        let done = match step {
            Step::ReportGap { from, to } => self.report_gap(*from, *to, facts),
            Step::Check { seq } => self.check(*seq, facts),
            Step::Compare { seq } => self.compare(*seq, facts),
            Step::Store { seq, fork } => self.store(*seq, *fork, facts),
            Step::CompareTail { seq } => self.compare_tail(*seq, facts),
            Step::KeepTail { seq } => self.keep_tail(*seq, facts),
            Step::DropTail { seq } => self.drop_tail(*seq),
            Step::ForkTail { seq } => self.fork_tail(*seq, facts),
            Step::Copy { log_id, name } => self.copy(log_id, *name),
            Step::Truncate { seq, digest, .. } => self.truncate(*seq, digest, step),
            Step::Remove { .. } => self.remove(step),
        };
        match done {
            Err(error) if error.is_freed() => Ok(Outcome::Overtaken),
            done => done,
        }
    }

    fn report_gap(&mut self, from: u64, to: u64, facts: &Facts) -> Result<Outcome> {
        let at_ns = now_ns();
        let gap = Event::Gap { from, to, at_ns };
        self.place.index.append(&self.place.folder, gap)?;
        let first = facts.kernel.first().map(|live| &live.segment);
        self.notices.warn(Warning::Gap {
            from,
            to,
            first: first.map_or(0, |first| first.seq),
            record: first.map_or(0, |first| first.first),
        });
        Ok(Outcome::Done)
    }

    fn check(&mut self, seq: u64, facts: &Facts) -> Result<Outcome> {
        let name = Name::of(seq, State::Sealed);
        let next = self.next(seq, facts)?;
        let tail = tail_of(seq, facts);
        let prefix = tail.map(|tail| tail.bytes);
        let read = self.place.log().meta(name).and_then(|meta| {
            let survey = recheck(&self.place.folder, &meta, Some(&next), prefix)?;
            verify(&meta, &survey, &next)?;
            Ok(survey)
        });
        let (sound, tail) = match read {
            Ok(survey) => (true, tail.map(|tail| is_beginning(tail, &survey))),
            Err(fault) if fault.is_of_contents() => {
                self.notices.warn(Warning::Kept { seq, fault });
                (false, None)
            }
            Err(error) => return Err(error),
        };
        let held = facts.archive.segments.get(&seq);
        let file = held.map(|(file, _)| *file).unwrap_or_default();
        Ok(Outcome::Archived { file, sound, tail })
    }

    fn compare(&mut self, seq: u64, facts: &Facts) -> Result<Outcome> {
        let meta = self.meta(seq, State::Sealed, facts)?;
        let has = self.read(&meta, None)?;
        let next = self.next(seq, facts)?;
        let held = facts.archive.segments.get(&seq);
        if held.is_some_and(|(file, _)| file.sha256 == sha256(&has.sha256)) {
            let fault = archive::Error::from(Disagreement::Sealed {
                by: next.header.sequence,
                claimed: Size::claimed(&next),
                has: has.size(),
            });
            let fault = fault.into();
            self.notices.warn(Warning::Kept { seq, fault });
        }
        Ok(Outcome::Compared(sha256(&has.sha256)))
    }

    fn store(&mut self, seq: u64, fork: bool, facts: &Facts) -> Result<Outcome> {
        let next = self.next(seq, facts)?;
        let mut meta = self.meta(seq, State::Sealed, facts)?;
        meta.fork = fork;
        let tail = tail_of(seq, facts).filter(|_| !fork);
        let prefix = tail.map(|tail| tail.bytes);
        let source = self.live.export(seq)?;
        let (meta, survey) = store(&self.place.folder, source, meta, Some(&next), prefix)?;
        self.archived(&meta)?;
        let file = self.file(&meta);
        let verified = verify(&meta, &survey, &next);
        let sound = verified.is_ok();
        self.notices.archived(&meta, file.file_bytes);
        if fork {
            let file = meta.file_name();
            let beside = facts.archive.segments.contains_key(&seq);
            self.notices.warn(Warning::Fork { seq, file, beside });
        }
        if let Err(fault) = verified {
            self.notices.warn(Warning::Kept { seq, fault });
        }
        Ok(Outcome::Archived {
            file,
            sound,
            tail: tail.map(|tail| is_beginning(tail, &survey)),
        })
    }

    fn compare_tail(&mut self, seq: u64, facts: &Facts) -> Result<Outcome> {
        let meta = self.meta(seq, State::Tail, facts)?;
        let Some(tail) = tail_of(seq, facts) else {
            return Ok(Outcome::Done);
        };
        let has = self.read(&meta, Some(tail.bytes))?;
        let beginning = is_beginning(tail, &has);
        let all = beginning && has.bytes == tail.bytes;
        Ok(Outcome::ComparedTail { beginning, all })
    }

    fn keep_tail(&mut self, seq: u64, facts: &Facts) -> Result<Outcome> {
        let meta = self.meta(seq, State::Tail, facts)?;
        let source = self.live.export(seq)?;
        let (meta, _) = store(&self.place.folder, source, meta, None, None)?;
        self.archived(&meta)?;
        Ok(Outcome::KeptTail(self.file(&meta)))
    }

    fn drop_tail(&mut self, seq: u64) -> Result<Outcome> {
        let name = Name::of(seq, State::Tail).to_string();
        self.place.folder.remove_if_there(&name)?;
        self.place.folder.sync()?;
        Ok(Outcome::Done)
    }

    fn fork_tail(&mut self, seq: u64, facts: &Facts) -> Result<Outcome> {
        let Some(tail) = tail_of(seq, facts) else {
            return Ok(Outcome::Done);
        };
        let name = Name::of(seq, State::Tail);
        let fork = Name::fork(seq, &tail.file.sha256).to_string();
        self.place.folder.rename(&name.to_string(), &fork)?;
        self.place.index.append(
            &self.place.folder,
            Event::Archived {
                file: fork.clone(),
                sha256: Digest::new(&tail.file.sha256),
            },
        )?;
        self.notices.warn(Warning::ForkedTail { seq, file: fork });
        Ok(Outcome::Done)
    }

    /// The file is read and verified first: what was damaged meanwhile has no copy.
    fn copy(&mut self, log_id: &str, name: Name) -> Result<Outcome> {
        let Some(copier) = &mut *self.copier else {
            return Ok(Outcome::NotCopied);
        };
        let other;
        let folder = if *log_id == self.place.name.log_id {
            &self.place.folder
        } else {
            other = self.host.folder(log_id)?;
            &other
        };
        let path = copier.path(log_id, name);
        let log = LogName {
            host: self.place.name.host.clone(),
            log_id: log_id.to_owned(),
        };
        let read = Log::new(folder.directory().clone(), log).meta(name);
        let read = read.and_then(|meta| {
            recheck(folder, &meta, None, None)?;
            let file = folder.directory().open(&name.to_string())?;
            Ok((file, sha256(&meta.sha256)))
        });
        let (file, holds) = match read {
            Ok(read) => read,
            Err(fault) if fault.is_of_contents() => {
                self.notices.warn(Warning::NotCopied { path, fault });
                return Ok(Outcome::NotCopied);
            }
            Err(error) => return Err(error),
        };
        Ok(match copier.keep(log_id, name, &file, holds) {
            Ok(kept) => {
                if kept == Kept::Written {
                    let path = Escaped::path(&path);
                    self.notices.event(format!("copied {path}"));
                }
                Outcome::Copied(holds)
            }
            Err(fault) if is_of_object(&fault) => {
                self.notices.warn(Warning::NotCopied { path, fault });
                Outcome::NotCopied
            }
            Err(error) => {
                self.notices.warn(Warning::NoStore(error));
                Outcome::StoreFailed
            }
        })
    }

    fn truncate(&mut self, seq: u64, digest: &Digest, step: &Step) -> Result<Outcome> {
        if self.readers == Readers::Wait {
            let programs = self.live.readers();
            if !programs.is_empty() {
                self.notices.warn(Warning::Readers { programs });
                return Ok(Outcome::Readers);
            }
        }
        match self.live.truncate(seq, digest) {
            Err(error) if error.is_unsigned() => {
                self.notices.warn(Warning::Unsigned);
                return Ok(Outcome::Unsigned);
            }
            done => done?,
        }
        if let Step::Truncate { records, bytes, .. } = step {
            self.notices.event(format!(
                "truncated to checkpoint {seq}: {} records, {} freed",
                HumanCount(*records),
                BinaryBytes(*bytes)
            ));
        }
        Ok(Outcome::Done)
    }

    /// The index says first what is about to go, so that nobody misses it.
    fn remove(&mut self, step: &Step) -> Result<Outcome> {
        let Step::Remove {
            log_id,
            before,
            files,
            file_bytes,
        } = step
        else {
            return Ok(Outcome::Done);
        };
        let (before, at_ns) = (*before, now_ns());
        let removed = Event::Removed { before, at_ns };
        let other;
        let folder = if *log_id == self.place.name.log_id {
            self.place.index.append(&self.place.folder, removed)?;
            &self.place.folder
        } else {
            other = self.host.folder(log_id)?;
            Index::default().append(&other, removed)?;
            &other
        };
        for file in files {
            folder.remove_if_there(&file.to_string())?;
        }
        folder.sync()?;
        self.notices.event(format!(
            "removed the segments before {before} of log {log_id}: {} files, {}",
            files.len(),
            BinaryBytes(*file_bytes)
        ));
        Ok(Outcome::Done)
    }

    /// What is known of a segment before it was exported.
    fn meta(&mut self, seq: u64, state: State, facts: &Facts) -> Result<Meta> {
        let segment = segment(seq, facts)?;
        let offset = match seq {
            0 => 0,
            _ => self.claims.of(self.live, segment)?.header.offset,
        };
        let LogName { host, log_id } = &self.place.name;
        let mut meta = Meta::new(host, log_id, seq, state, self.order);
        meta.first = segment.first;
        meta.offset = offset;
        meta.records = segment.records;
        meta.bytes = segment.bytes;
        meta.checkpoint = segment.digest;
        meta.broken = segment.broken;
        meta.archived_ns = now_ns();
        Ok(meta)
    }

    /// The checkpoint that seals a segment.
    fn next(&mut self, seq: u64, facts: &Facts) -> Result<Claim> {
        let next = segment(seq.saturating_add(1), facts)?;
        self.claims.of(self.live, next)
    }

    /// Reads a segment of the kernel.
    fn read(&mut self, meta: &Meta, prefix: Option<u64>) -> Result<Survey> {
        let mut reading = Reading::of(meta);
        reading.prefix = prefix;
        let source = self.live.export(meta.seq)?;
        survey(source.take(meta.bytes), reading, |_| Ok(()))
    }

    /// Adds a file to the index.
    fn archived(&mut self, meta: &Meta) -> Result<()> {
        let event = Event::archived(meta);
        self.place.index.append(&self.place.folder, event)
    }

    fn file(&self, meta: &Meta) -> File {
        File {
            sha256: sha256(&meta.sha256),
            archived_ns: meta.archived_ns,
            file_bytes: self.place.folder.directory().size(&meta.file_name()),
        }
    }
}

/// Is it this object that is not a copy? Otherwise no other can be written now either.
fn is_of_object(error: &Error) -> bool {
    use remote::Error::{Absurd, Differs, NotKept, TooLarge};
    matches!(
        error.cause(),
        Error::Store(Absurd { .. } | Differs { .. } | NotKept { .. } | TooLarge { .. })
    )
}

/// A segment of the kernel, of which a plan speaks.
fn segment(seq: u64, facts: &Facts) -> Result<&Segment> {
    let segment = facts.live(seq).map(|live| &live.segment);
    segment.ok_or_else(|| Error::from(archive::Error::NoCheckpoint { seq }))
}

fn tail_of(seq: u64, facts: &Facts) -> Option<Tail> {
    facts.archive.tails.get(&seq).map(|(tail, _)| *tail)
}

fn is_beginning(tail: Tail, of: &Survey) -> bool {
    of.prefix
        .is_some_and(|prefix| sha256(&prefix) == tail.file.sha256)
}

/// Is it what the next checkpoint seals?
fn verify(meta: &Meta, survey: &Survey, next: &Claim) -> Result<()> {
    sealed_by(meta, next)?;
    survey.holds(Some(next))
}

#[cfg(test)]
mod tests;
