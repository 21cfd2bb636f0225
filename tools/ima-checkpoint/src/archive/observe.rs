// SPDX-License-Identifier: GPL-2.0

//! What the kernel and the archive hold: the facts that a plan is made from. Nothing is changed.

use super::{
    index::Index,
    is_log_id,
    listing::Listing,
    live::{Claims, Live},
    meta::{parse_file_name, Kind, Meta, Name, State},
    now_ns,
    open::Directory,
    plan::facts::{self, sha256, Facts, File, Holdings, OtherLog, Relation, Seal, Standing, Tail},
    rules::{Copying, Rules},
    Log, LogName,
};
use crate::error::{Error, Result};

/// All facts, but for what is acknowledged. `host` is its directory in the archive, if there is one.
///
/// # Errors
///
/// Kernel or archive cannot be read.
pub(super) fn facts(
    live: &impl Live,
    claims: &mut Claims,
    rules: &Rules,
    host: Option<&Directory>,
    name: &LogName,
    archive: Holdings,
) -> Result<Facts> {
    let segments = kernel(live, claims)?;
    let host = host.filter(|_| rules.remove.removes() || rules.copying != Copying::Nothing);
    Ok(Facts {
        log_id: name.log_id.clone(),
        overtaken: segments.is_none(),
        kernel: segments.unwrap_or_default(),
        archive,
        others: host.map_or(Ok(Vec::new()), |host| others(host, name))?,
        total: host.map_or(Ok(0), total)?,
        now_ns: now_ns(),
        ..Facts::default()
    })
}

/// What the files of a log say, and what only its index tells. `fault` gets what is wrong with files
/// that cannot be used.
///
/// # Errors
///
/// The directory cannot be read.
pub(super) fn holdings(log: &Log, index: &Index, mut fault: impl FnMut(Error)) -> Result<Holdings> {
    let mut holdings = Holdings {
        gaps: index.gaps.clone(),
        ..Holdings::default()
    };
    let listing = files(log, |seq, read| match read {
        Ok((meta, file)) => holdings.add(&meta, file),
        Err(error) => {
            // whatever it is, another file must not take its place
            holdings.forks.entry(seq).or_default();
            fault(error);
        }
    })?;
    // an index that says more than the files show was edited, or a removal was interrupted
    holdings.removed = match listing.first() {
        Some(first) => index.removed.min(first),
        None => index.removed,
    };
    for (name, _) in index.files() {
        if name.kind == Kind::Sealed && !listing.has(name) {
            holdings.lost.insert(name.seq, name.seq);
        }
    }
    Ok(holdings)
}

impl Holdings {
    fn add(&mut self, meta: &Meta, file: File) {
        let seq = meta.seq;
        match (meta.fork, meta.state) {
            (true, _) => {
                self.forks.entry(seq).or_default().insert(file.sha256);
            }
            (false, State::Tail) => {
                let bytes = meta.bytes;
                let tail = Tail { file, bytes };
                self.tails.insert(seq, (tail, Relation::Unread));
            }
            (false, State::Sealed) => {
                self.segments.insert(seq, (file, Standing::Unread));
            }
        }
    }
}

/// Hands on the number of each file that is named like one of a segment, and what it says of itself.
fn files(log: &Log, mut each: impl FnMut(u64, Result<(Meta, File)>)) -> Result<Listing> {
    let listing = log.list_with(|odd| {
        if let (Some(name), Err(error)) = (parse_file_name(odd), log.open(odd)) {
            each(name.seq, Err(error));
        }
        Ok(())
    })?;
    for name in listing.all() {
        each(name.seq, file(log, name));
    }
    Ok(listing)
}

fn file(log: &Log, name: Name) -> Result<(Meta, File)> {
    let meta = log.meta(name)?;
    let file = File {
        sha256: sha256(&meta.sha256),
        archived_ns: meta.archived_ns,
        file_bytes: log.directory().map_or(0, |log| log.size(&name.to_string())),
    };
    Ok((meta, file))
}

/// The other logs of a host, as far as something may be removed of them.
///
/// # Errors
///
/// The directory of the host cannot be read.
fn others(host: &Directory, live: &LogName) -> Result<Vec<OtherLog>> {
    let ids = host.names()?.into_iter();
    let ids = ids.filter(|name| is_log_id(name) && *name != live.log_id);
    let read = |log_id: String| {
        let name = LogName {
            host: live.host.clone(),
            log_id: log_id.clone(),
        };
        // nothing is removed of a log that cannot be read
        let files = removable(&Log::new(host.below(&log_id).ok()?, name)).ok()?;
        Some(OtherLog { log_id, files })
    };
    Ok(ids.filter_map(read).collect())
}

/// The files of a log before the first that is a fork or cannot be used.
fn removable(log: &Log) -> Result<Vec<(Name, File)>> {
    let (mut found, mut end) = (Vec::new(), u64::MAX);
    files(log, |seq, read| match read {
        Ok((meta, file)) if !meta.fork => found.push((meta.name(), file)),
        _ => end = end.min(seq),
    })?;
    found.retain(|(name, _)| name.seq < end);
    Ok(found)
}

/// The bytes of all files of a host.
///
/// # Errors
///
/// A directory cannot be read.
fn total(host: &Directory) -> Result<u64> {
    let mut total = 0_u64;
    for log_id in host.names()?.into_iter().filter(|name| is_log_id(name)) {
        // what is no directory has no files
        let Ok(log) = host.below(&log_id) else {
            continue;
        };
        log.each_name(|file| {
            total = total.saturating_add(log.size(&file));
            Ok(())
        })?;
    }
    Ok(total)
}

/// The segments of the kernel; nothing if it was truncated while it was looked at.
///
/// # Errors
///
/// It cannot be read, or contradicts itself.
fn kernel(live: &impl Live, claims: &mut Claims) -> Result<Option<Vec<facts::Live>>> {
    let segments = live.segments()?;
    claims.forget_before(segments.first().map_or(0, |first| first.seq));
    let mut found = Vec::new();
    let mut next = segments.iter().skip(1);
    for segment in &segments {
        let next = next.next();
        let seal = match next.map(|next| claims.of(live, next)) {
            Some(Err(error)) if error.is_freed() => return Ok(None),
            claim => claim.transpose()?.map(|claim| Seal {
                sha256: claim.header.segment_digest,
                sealed_ns: claim.header.wall_ns,
            }),
        };
        let segment = segment.clone();
        found.push(facts::Live { segment, seal });
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{
        fixture::{host, Work},
        index::Event,
        plan::Step,
    };
    use std::fs;

    /// The holdings, and how many files cannot be used.
    fn look(work: &Work) -> (Holdings, usize) {
        let index = Index::read(work.place.folder.directory()).unwrap();
        let mut faults = 0;
        let found = holdings(&work.place.log(), &index, |_| faults += 1).unwrap();
        (found, faults)
    }

    #[test]
    fn each_kind_of_file() {
        let mut work = Work::new(3);
        work.store(0..2);
        work.execute(&Step::KeepTail { seq: 3 }).unwrap();
        work.kernel.host.replace(host("b", 3));
        work.execute(&Step::Store { seq: 1, fork: true }).unwrap();
        fs::write(work.path("0000000002.zst"), "no segment").unwrap();
        fs::write(work.path("other"), "no segment").unwrap();
        let (found, faults) = look(&work);
        assert_eq!(faults, 1);
        assert!(found.segments.keys().eq(&[0, 1]));
        assert!(found
            .segments
            .values()
            .all(|(_, standing)| *standing == Standing::Unread));
        assert!(found.tails.keys().eq(&[3]));
        assert_eq!((found.forks[&1].len(), found.forks[&2].len()), (1, 0));
        let named: Vec<_> = found.named().map(|(name, _)| name.to_string()).collect();
        let (fork, plain): (Vec<&String>, Vec<_>) =
            named.iter().partition(|name| name.contains("fork"));
        assert_eq!(fork.len(), 1);
        assert_eq!(
            plain,
            ["0000000000.zst", "0000000001.zst", "0000000003.tail.zst"]
        );
    }

    #[test]
    fn an_index_says_no_more_than_the_files_show() {
        let mut work = Work::new(4);
        work.store(0..4);
        for seq in [0, 2] {
            fs::remove_file(work.path(&format!("{seq:010}.zst"))).unwrap();
        }
        let (found, _) = look(&work);
        assert_eq!(found.removed, 0);
        assert!(found.lost.covers(0, 0) && found.lost.covers(2, 2) && !found.lost.covers(0, 2));
        let (before, at_ns) = (3, 0);
        let removed = Event::Removed { before, at_ns };
        work.place
            .index
            .append(&work.place.folder, removed)
            .unwrap();
        let (found, _) = look(&work);
        // 1 is there, so that it was not removed
        assert_eq!(found.removed, 1);
        assert!(found.segments.keys().eq(&[1, 3]));
    }

    #[test]
    fn a_kernel_that_is_truncated_meanwhile() {
        let work = Work::new(3);
        let mut claims = Claims::new(crate::kernel::byte_order());
        let live = kernel(&work.kernel, &mut claims).unwrap().unwrap();
        let sealed: Vec<bool> = live.iter().map(|live| live.seal.is_some()).collect();
        assert_eq!(sealed, [true, true, true, false]);
        for (live, seq) in live.iter().zip(0..3) {
            let expected = crate::bank::Bank::Sha256.hash(&[&work.kernel.bytes(seq)]);
            assert_eq!(live.seal.map(|seal| seal.sha256), Some(sha256(&expected)));
        }
    }
}
