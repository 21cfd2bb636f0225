// SPDX-License-Identifier: GPL-2.0

//! The state of a log in the archive, in numbers.

use super::{index::Index, lock::holder, Archive, LogName, State};
use crate::{error::Result, escape::Escaped};
use serde::Serialize;

/// What the archive has of a log. Nothing of it is verified.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The archive: its path, escaped.
    pub archive: String,
    /// The host in it.
    pub host: String,
    /// Number of sealed segments.
    pub segments: u64,
    /// The newest of them.
    pub newest: Option<u64>,
    /// Records in them.
    pub records: u64,
    /// Bytes of these in the sha1 view.
    pub bytes: u64,
    /// Records of an unsealed tail.
    pub tail_records: u64,
    /// Segments with other bytes than the one archived before.
    pub forks: u64,
    /// Runs of segments that were freed in the kernel before they were archived.
    pub gaps: u64,
    /// Segments before this one were removed from the archive.
    pub removed_before: u64,
    /// The process that archives now.
    pub archiver: Option<u32>,
}

impl Summary {
    /// What the archive has of this log; nothing is no error.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn of(archive: &Archive, name: LogName) -> Result<Self> {
        let directory = archive.directory();
        let host = directory.and_then(|directory| directory.below(&name.host).ok());
        let mut summary = Self {
            archive: Escaped::path(archive.dir()).to_string(),
            archiver: host.as_ref().and_then(holder),
            host: name.host.clone(),
            segments: 0,
            newest: None,
            records: 0,
            bytes: 0,
            tail_records: 0,
            forks: 0,
            gaps: 0,
            removed_before: 0,
        };
        if !archive.logs()?.contains(&name) {
            return Ok(summary);
        }
        let log = archive.open_log(&name)?;
        if let Some(directory) = log.directory() {
            let index = Index::read(directory)?;
            summary.gaps = index.gaps.len() as u64;
            summary.removed_before = index.removed;
        }
        for fork in log.forks()? {
            fork?;
            summary.forks += 1;
        }
        for name in log.segments()? {
            let meta = log.meta(name)?;
            match meta.state {
                State::Tail => summary.tail_records = meta.records,
                State::Sealed => {
                    summary.segments += 1;
                    summary.newest = Some(meta.seq);
                    summary.records = summary.records.saturating_add(meta.records);
                    summary.bytes = summary.bytes.saturating_add(meta.bytes);
                }
            }
        }
        Ok(summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{fixture::Work, plan::Step};

    #[test]
    fn counts() {
        let mut work = Work::new(2);
        work.store(0..2);
        work.execute(&Step::KeepTail { seq: 2 }).unwrap();
        let summary = Summary::of(&work.archive(), work.place.name.clone()).unwrap();
        let bytes: usize = [0, 1].map(|seq| work.kernel.bytes(seq).len()).iter().sum();
        assert_eq!((summary.segments, summary.newest), (2, Some(1)));
        assert_eq!((summary.bytes, summary.forks), (bytes as u64, 0));
        // the checkpoint and three files
        assert_eq!(summary.tail_records, 4);
        let mut other = work.place.name.clone();
        other.log_id = "00".repeat(16);
        assert_eq!(Summary::of(&work.archive(), other).unwrap().segments, 0);
    }
}
