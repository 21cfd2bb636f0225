// SPDX-License-Identifier: GPL-2.0

//! The index of a log: what happened to its files, a line of JSON for each event. The files
//! themselves say what they hold; only the index tells what should be there and is not.

use super::{
    durable::{
        self,
        Folder, //
    },
    meta::Meta,
};
use crate::{
    bank::Digest,
    outcome::{
        Error,
        Result, //
    },
};
use serde::{
    Deserialize,
    Serialize, //
};
use std::{
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    fs,
    io::{
        self,
        Write, //
    },
    path::Path,
};

/// Its name.
pub(super) const NAME: &str = "index";

/// What is read of it, in bytes: enough for millions of segments.
const MAX: u64 = 1 << 30;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Event {
    /// A file was added.
    Archived { file: String, sha256: Digest },
    /// All segments before that number were, or are being, removed.
    Removed { before: u64, at_ns: u64 },
    /// These segments were gone from the kernel before they were archived.
    Gap { from: u64, to: u64, at_ns: u64 },
}

impl Event {
    pub(super) fn archived(meta: &Meta) -> Self {
        Self::Archived {
            file: meta.file_name(),
            sha256: meta.sha256,
        }
    }
}

/// What the index of a log says.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// Files that were added, and the digest of what they hold.
    pub(super) files: BTreeMap<String, Digest>,
    /// Segments before this one were removed.
    pub(super) removed: u64,
    /// Segments that never reached the archive, from and to.
    pub(super) gaps: BTreeSet<(u64, u64)>,
    /// Lines that are not understood, and whether the last line is cut.
    pub(super) damaged: usize,
    pub(super) cut: bool,
    /// Is there none?
    pub(super) absent: bool,
}

impl Index {
    /// Reads the index of the log in this directory.
    pub(super) fn read(log: &Path) -> Result<Self> {
        let path = log.join(NAME);
        let mut index = Self::default();
        let size = fs::metadata(&path).map_or(0, |seen| seen.len());
        let bytes = match fs::read(&path) {
            _ if size > MAX => {
                let error = io::Error::other("it is too large: rebuild it by `reindex`");
                return Err(Error::io("read", &path, &error));
            }
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                index.absent = true;
                return Ok(index);
            }
            Err(error) => return Err(Error::io("read", &path, &error)),
        };
        index.cut = bytes.last().is_some_and(|byte| *byte != b'\n');
        for line in bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            match serde_json::from_slice(line) {
                Ok(event) => index.note(event),
                Err(_) => index.damaged += 1,
            }
        }
        Ok(index)
    }

    pub(super) fn note(&mut self, event: Event) {
        match event {
            Event::Archived { file, sha256 } => {
                self.files.insert(file, sha256);
            }
            Event::Removed { before, .. } => self.removed = self.removed.max(before),
            Event::Gap { from, to, .. } => {
                self.gaps.insert((from, to));
            }
        }
    }

    /// Is it known that this segment is not there?
    pub(super) fn explains(&self, seq: u64) -> bool {
        seq < self.removed
            || self
                .gaps
                .iter()
                .any(|(from, to)| (*from..=*to).contains(&seq))
    }

    /// Adds an event, and waits until it is on the disk.
    pub(super) fn append(&mut self, log: &Folder, event: Event) -> Result<()> {
        let path = log.path().join(NAME);
        let mut file = log.append(NAME)?;
        let written = file.write_all(&line(&event));
        written.map_err(|error| Error::io("write", &path, &error))?;
        durable::sync(&file, &path)?;
        self.note(event);
        Ok(())
    }

    /// Writes the index anew: these files, and what it knew of removed and missing segments.
    pub(super) fn rebuild(&mut self, log: &Folder, files: &[Meta], now: u64) -> Result<()> {
        let removed = (self.removed > 0).then_some(Event::Removed {
            before: self.removed,
            at_ns: now,
        });
        let gaps = self.gaps.iter().map(|(from, to)| Event::Gap {
            from: *from,
            to: *to,
            at_ns: now,
        });
        let files = files.iter().map(Event::archived);
        let events: Vec<Event> = removed.into_iter().chain(gaps).chain(files).collect();
        let text: Vec<u8> = events.iter().flat_map(line).collect();
        let path = log.path().join(NAME);
        let write = |file: &mut fs::File| {
            let written = file.write_all(&text);
            written.map_err(|error| Error::io("write", &path, &error))?;
            durable::sync(file, &path)
        };
        log.create(write, |()| NAME.to_owned())?;
        *self = Self::default();
        events.into_iter().for_each(|event| self.note(event));
        Ok(())
    }
}

fn line(event: &Event) -> Vec<u8> {
    // numbers, digests and plain names: nothing that JSON lacks
    let mut line = serde_json::to_vec(event).unwrap_or_default();
    line.push(b'\n');
    line
}
