// SPDX-License-Identifier: GPL-2.0

//! The index of a log: what happened to its files, a line of JSON for each event. The files
//! themselves say what they hold; only the index tells what should be there and is not.

use super::{
    durable::{self, Folder},
    meta::{Meta, Name},
    open::Directory,
    ranges::Ranges,
};
use crate::{
    bank::Digest,
    error::{Error, Result},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
};

/// Its name.
pub(super) const NAME: &str = "index";

/// What is read of it, in bytes. A segment takes 113 of them and less than that in memory, so that
/// it is enough for 590,000 segments, and whatever it says it costs no more than 64 MiB.
const MAX: u64 = 64 << 20;

/// What `reindex` reads of it, which keeps gaps only.
const MAX_HISTORY: u64 = 1 << 30;

/// Most gaps that do not touch; each is another time that somebody else truncated the kernel.
const MAX_GAPS: usize = 100_000;

/// Longest line, in bytes; the longest that is written has 140.
const MAX_LINE: usize = 4096;

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
    /// Files that were added and not removed, and the SHA-256 of what they hold.
    files: BTreeMap<Name, [u8; 32]>,
    /// Segments before this one were removed.
    pub(super) removed: u64,
    /// Segments that never reached the archive.
    pub(super) gaps: Ranges,
    /// Lines that are not understood, and whether the last line is cut.
    pub(super) damaged: usize,
    pub(super) cut: bool,
    /// Is there none?
    pub(super) absent: bool,
}

impl Index {
    /// Reads the index of the log in this directory.
    pub(super) fn read(log: &Directory) -> Result<Self> {
        let advice = "move old segments to another archive, or let --remove-age remove them, and \
                      run `reindex`";
        Self::read_some(log, MAX, advice, |_| true)
    }

    /// Reads only what an index says that the files do not, so that a large one can be read too.
    pub(super) fn read_history(log: &Directory) -> Result<Self> {
        let advice = "move it away";
        Self::read_some(log, MAX_HISTORY, advice, |event| {
            !matches!(event, Event::Archived { .. })
        })
    }

    /// Hands what an index says that the files do not to `each`, in order.
    pub(super) fn events(log: &Directory, mut each: impl FnMut(&Event)) -> Result<()> {
        Self::read_some(log, MAX_HISTORY, "move it away", |event| {
            each(event);
            false
        })
        .map(drop)
    }

    fn read_some(
        log: &Directory,
        max: u64,
        advice: &str,
        mut wanted: impl FnMut(&Event) -> bool,
    ) -> Result<Self> {
        let mut index = Self::default();
        let file = match log.open(NAME) {
            Ok(file) => file,
            Err(error) if error.is_absent() => {
                index.absent = true;
                return Ok(index);
            }
            Err(error) => return Err(error),
        };
        let failed = |error| Error::io("read", log.path_of(NAME), error);
        if file.metadata().map_err(failed)?.len() > max {
            let text = format!("it has more than {} MiB: {advice}", max >> 20);
            return Err(failed(io::Error::other(text)));
        }
        // it may grow while it is read
        let mut lines = Lines::new(file.take(max));
        while let Some(line) = lines.next().map_err(failed)? {
            match Event::parse(line) {
                Some(event) if wanted(&event) => index.note(event),
                Some(_) => (),
                None => index.damaged = index.damaged.saturating_add(1),
            }
            if index.gaps.len() > MAX_GAPS {
                let text = format!("it has more than {MAX_GAPS} gaps: move it away");
                return Err(failed(io::Error::other(text)));
            }
        }
        index.cut = lines.cut;
        Ok(index)
    }

    /// Takes in what happened. What was removed need not be known any more.
    pub(super) fn note(&mut self, event: Event) {
        match event {
            Event::Archived { file, sha256 } => {
                let name = Name::parse(&file).filter(|name| name.seq >= self.removed);
                if let (Some(name), Ok(sha256)) = (name, sha256.as_bytes().try_into()) {
                    self.files.insert(name, sha256);
                }
            }
            Event::Removed { before, .. } if before > self.removed => {
                self.removed = before;
                self.files = self.files.split_off(&Name::first_of(before));
            }
            Event::Removed { .. } => (),
            Event::Gap { from, to, .. } => self.gaps.insert(from, to),
        }
    }

    /// The files that should be there, and the SHA-256 of what they hold.
    pub(super) fn files(&self) -> impl Iterator<Item = (Name, Digest)> + '_ {
        self.files
            .iter()
            .map(|(name, sha256)| (*name, Digest::new(sha256)))
    }

    /// The SHA-256 of what that file holds, if it should be there.
    pub(super) fn sha256(&self, name: Name) -> Option<Digest> {
        self.files.get(&name).map(|sha256| Digest::new(sha256))
    }

    /// Is it known of all these segments that they are not there?
    pub(super) fn explains(&self, from: u64, to: u64) -> bool {
        to < self.removed || self.gaps.covers(from.max(self.removed), to)
    }

    /// Adds an event, and waits until it is on the disk.
    pub(super) fn append(&mut self, log: &Folder, event: Event) -> Result<()> {
        let path = log.path().join(NAME);
        let mut file = log.append(NAME)?;
        let written = file.write_all(&line(&event));
        written.map_err(|error| Error::io("write", &path, error))?;
        durable::sync(&file, &path)?;
        self.note(event);
        Ok(())
    }

    /// Adds what it lacks of these files, or writes it anew if it is damaged. Of the files only the
    /// new ones are kept in memory then.
    pub(super) fn bring_up_to_date(
        &mut self,
        log: &Folder,
        files: impl Iterator<Item = (Name, Digest)>,
        now: u64,
    ) -> Result<()> {
        if self.cut || self.damaged > 0 {
            self.rebuild(log, files, now)?;
        } else {
            for (name, sha256) in files {
                if self.sha256(name) != Some(sha256) {
                    let file = name.to_string();
                    self.append(log, Event::Archived { file, sha256 })?;
                }
            }
        }
        self.files.clear();
        Ok(())
    }

    /// Writes the index anew: these files, and what it knew of removed and missing segments.
    pub(super) fn rebuild(
        &mut self,
        log: &Folder,
        files: impl Iterator<Item = (Name, Digest)>,
        now: u64,
    ) -> Result<()> {
        *self = self.rebuilt(log, files, now)?;
        Ok(())
    }

    fn rebuilt(
        &self,
        log: &Folder,
        files: impl Iterator<Item = (Name, Digest)>,
        now: u64,
    ) -> Result<Self> {
        let removed = (self.removed > 0).then_some(Event::Removed {
            before: self.removed,
            at_ns: now,
        });
        let gaps = self.gaps.iter().map(|(from, to)| Event::Gap {
            from,
            to,
            at_ns: now,
        });
        let files = files.map(|(name, sha256)| Event::Archived {
            file: name.to_string(),
            sha256,
        });
        let mut events = removed.into_iter().chain(gaps).chain(files);
        let path = log.path().join(NAME);
        let mut new = Self::default();
        let write = |file: &mut File| {
            let mut out = BufWriter::new(&mut *file);
            let written = events.try_for_each(|event| {
                out.write_all(&line(&event))?;
                new.note(event);
                Ok(())
            });
            let written = written.and_then(|()| out.flush());
            written.map_err(|error| Error::io("write", &path, error))?;
            drop(out);
            durable::sync(file, &path)
        };
        log.create(write, |()| NAME.to_owned())?;
        Ok(new)
    }
}

impl Event {
    /// What a line says, if it says what can be.
    fn parse(line: Option<&[u8]>) -> Option<Self> {
        let event = serde_json::from_slice(line?).ok()?;
        let possible = match &event {
            Self::Archived { file, sha256 } => {
                Name::parse(file).is_some() && sha256.as_bytes().len() == 32
            }
            Self::Removed { .. } => true,
            Self::Gap { from, to, .. } => from <= to,
        };
        possible.then_some(event)
    }
}

fn line(event: &Event) -> Vec<u8> {
    // numbers, digests and plain names: nothing that JSON lacks
    let mut line = serde_json::to_vec(event).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Lines, of which none is kept that is too long.
struct Lines<R> {
    source: BufReader<R>,
    line: Vec<u8>,
    /// Did the last line not end?
    cut: bool,
}

impl<R: Read> Lines<R> {
    fn new(source: R) -> Self {
        Self {
            source: BufReader::new(source),
            line: Vec::new(),
            cut: false,
        }
    }

    /// The next line that is not empty, without its end; nothing inside if it is too long.
    #[allow(clippy::option_option, reason = "no line, and a line that is not kept")]
    fn next(&mut self) -> io::Result<Option<Option<&[u8]>>> {
        loop {
            self.line.clear();
            let mut long = false;
            loop {
                let read = (&mut self.source)
                    .take(MAX_LINE as u64)
                    .read_until(b'\n', &mut self.line)?;
                let ends = self.line.last() == Some(&b'\n');
                if read > 0 {
                    // no archiver that was interrupted left a long one
                    self.cut = !ends && !long && read < MAX_LINE;
                }
                if ends || read < MAX_LINE {
                    break;
                }
                long = true;
                self.line.clear();
            }
            if self.line.last() == Some(&b'\n') {
                self.line.pop();
            } else if self.line.is_empty() && !long {
                return Ok(None);
            }
            if long {
                return Ok(Some(None));
            }
            if !self.line.is_empty() {
                return Ok(Some(Some(&self.line)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an index with this text.
    fn read(text: &[u8]) -> Index {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(NAME), text).unwrap();
        Index::read(&Directory::named(folder.path()).unwrap()).unwrap()
    }

    fn archived(name: &str) -> String {
        let sha256 = "ab".repeat(32);
        format!("{{\"archived\":{{\"file\":\"{name}\",\"sha256\":\"{sha256}\"}}}}\n")
    }

    #[test]
    fn lines_are_bounded() {
        let good = archived("0000000007.zst");
        let long = "x".repeat(3 * MAX_LINE);
        for (text, files, damaged, cut) in [
            (good.clone(), 1, 0, false),
            (String::new(), 0, 0, false),
            (format!("\n\n{good}\n"), 1, 0, false),
            (format!("{long}\n{good}"), 1, 1, false),
            (format!("{good}{long}"), 1, 1, false),
            (format!("{good}{}", &good[..50]), 1, 1, true),
            (format!("{}{good}", " ".repeat(MAX_LINE)), 0, 1, false),
        ] {
            let index = read(text.as_bytes());
            let found = (index.files.len(), index.damaged, index.cut);
            assert_eq!(found, (files, damaged, cut), "{}", text.len());
        }
    }

    #[test]
    fn only_names_of_segments_are_kept() {
        for name in [
            "0000000007.fork-../../../../etc/pw.zst",
            "0000000007.fork-81A582E20C942308.zst",
            "7.zst",
            "index",
            "",
        ] {
            let index = read(archived(name).as_bytes());
            assert_eq!((index.files.len(), index.damaged), (0, 1), "{name}");
        }
        let short = archived("0000000007.zst").replace("abab", "");
        assert_eq!(read(short.as_bytes()).damaged, 1);
    }

    #[test]
    fn what_was_removed_is_forgotten() {
        let files: String = (0..5)
            .map(|seq| archived(&format!("{seq:010}.zst")))
            .collect();
        let removed = "{\"removed\":{\"before\":3,\"at_ns\":0}}\n";
        for text in [format!("{files}{removed}"), format!("{removed}{files}")] {
            let index = read(text.as_bytes());
            assert_eq!((index.files.len(), index.removed), (2, 3));
            assert!(index.explains(0, 2) && !index.explains(0, 3));
        }
    }

    #[test]
    fn gaps_are_merged() {
        let mut text: String = (0..2000)
            .map(|to| format!("{{\"gap\":{{\"from\":0,\"to\":{to},\"at_ns\":0}}}}\n"))
            .collect();
        text += "{\"gap\":{\"from\":9,\"to\":8,\"at_ns\":0}}\n";
        text += "{\"gap\":{\"from\":2000,\"to\":18446744073709551615,\"at_ns\":0}}\n";
        let index = read(text.as_bytes());
        assert_eq!((index.gaps.len(), index.damaged), (1, 1));
        assert!(index.explains(0, u64::MAX));
    }

    #[test]
    fn a_large_one_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join(NAME)).unwrap();
        let log = Directory::named(folder.path()).unwrap();
        file.set_len(MAX + 1).unwrap();
        let text = Index::read(&log).unwrap_err().to_string();
        assert!(text.contains("more than 64 MiB"), "{text}");
        // a single line of zeros
        assert_eq!(Index::read_history(&log).unwrap().damaged, 1);
        file.set_len(MAX_HISTORY + 1).unwrap();
        assert!(Index::read_history(&log).is_err());
    }
}
