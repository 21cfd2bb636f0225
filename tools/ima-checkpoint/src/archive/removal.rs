// SPDX-License-Identifier: GPL-2.0

//! Removing from the archive: the oldest segments of a host, never from the middle of a log.

use super::{
    durable::Folder,
    index::{Event, Index},
    is_log_id,
    meta::parse_file_name,
    now_ns,
    retention::Keep,
    Log, LogName,
};
use crate::error::{Error, Result};
use std::time::Duration;

/// What is removed. Nothing, if nothing is given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Remove {
    /// Segments that were archived longer ago than this.
    pub age: Option<Duration>,
    /// The oldest segments, as long as the files of the host have more bytes than this.
    pub bytes: Option<u64>,
}

/// What was removed of a log.
#[derive(Clone, Debug)]
pub(super) struct Removed {
    pub(super) log_id: String,
    /// All segments before this one are gone.
    pub(super) before: u64,
    pub(super) files: u64,
    pub(super) file_bytes: u64,
}

/// A file that may be removed.
struct Old {
    archived_ns: u64,
    seq: u64,
    file_bytes: u64,
}

impl Remove {
    /// Removes what is to go. The kernel has the log `live` from the segment `first_live` on.
    pub(super) fn run(
        &self,
        host: &Folder,
        live: &LogName,
        first_live: u64,
        keep: &Keep,
    ) -> Result<Vec<Removed>> {
        if self.age.is_none() && self.bytes.is_none() {
            return Ok(Vec::new());
        }
        let mut total = 0_u64;
        let mut logs = Vec::new();
        for log_id in host.names()?.into_iter().filter(|name| is_log_id(name)) {
            let folder = host.folder(&log_id)?;
            folder.directory().each_name(|file| {
                total = total.saturating_add(size(&folder, &file));
                Ok(())
            })?;
            let end = if log_id == live.log_id {
                first_live
            } else {
                u64::MAX
            };
            let host = live.host.clone();
            let log = Log::new(folder.directory().clone(), LogName { host, log_id });
            logs.push((candidates(&log, &folder, end, keep), log, folder));
        }
        logs.sort_by_key(|(candidates, ..)| candidates.first().map(|old| old.archived_ns));
        let mut removed = Vec::new();
        for (candidates, log, folder) in logs {
            let before = self.choose(&candidates, &mut total);
            removed.extend(remove(&log, &folder, before)?);
        }
        Ok(removed)
    }

    /// Up to where a log is removed.
    fn choose(&self, candidates: &[Old], total: &mut u64) -> Option<u64> {
        let now = now_ns();
        let mut before = None;
        for old in candidates {
            let age = Duration::from_nanos(now.saturating_sub(old.archived_ns));
            let goes = self.age.is_some_and(|limit| age >= limit)
                || self.bytes.is_some_and(|limit| *total > limit);
            if !goes {
                break;
            }
            *total = total.saturating_sub(old.file_bytes);
            before = Some(old.seq.saturating_add(1));
        }
        before
    }
}

/// What may be removed of a log, oldest first: up to a fork, to what the kernel still has, and to
/// what nobody acknowledged. Nothing of a log that cannot be read.
fn candidates(log: &Log, folder: &Folder, end: u64, keep: &Keep) -> Vec<Old> {
    let read = || {
        let mut end = end;
        for fork in log.forks()? {
            end = end.min(fork?.seq);
        }
        let (mut goes, mut old) = (true, Vec::new());
        for name in log.segments()? {
            let meta = log.meta(name)?;
            goes &= meta.seq < end && keep.acknowledged(&meta.sha256);
            if goes {
                old.push(Old {
                    archived_ns: meta.archived_ns,
                    seq: meta.seq,
                    file_bytes: size(folder, &name.to_string()),
                });
            }
        }
        Ok::<_, Error>(old)
    };
    read().unwrap_or_default()
}

/// Removes the segments before that one, after the index says so. What an interrupted removal left
/// goes as well.
fn remove(log: &Log, folder: &Folder, before: Option<u64>) -> Result<Option<Removed>> {
    let mut index = Index::read(folder.directory())?;
    if let Some(before) = before.filter(|before| *before > index.removed) {
        let at_ns = now_ns();
        index.append(folder, Event::Removed { before, at_ns })?;
    }
    let mut removed = Removed {
        log_id: log.name.log_id.clone(),
        before: index.removed,
        files: 0,
        file_bytes: 0,
    };
    let mut go = |file: &str| {
        if parse_file_name(file).is_some_and(|name| name.seq < index.removed) {
            removed.file_bytes += size(folder, file);
            folder.remove_if_there(file)?;
            removed.files += 1;
        }
        Ok(())
    };
    let listing = log.list_with(&mut go)?;
    listing.all().try_for_each(|name| go(&name.to_string()))?;
    if removed.files == 0 {
        return Ok(None);
    }
    folder.sync()?;
    Ok(Some(removed))
}

fn size(folder: &Folder, file: &str) -> u64 {
    folder.directory().size(file)
}
