// SPDX-License-Identifier: GPL-2.0

//! A file that has the whole list, and only ever grows: each of its bytes is read once.
//!
//! A kernel without checkpoints writes every record anew for each reader that does not go on where it
//! stopped. So the file stays open, and the records that a server has not taken yet stay in memory.

use crate::{
    error::{Error, Result},
    log::{fewer, Stretch},
};
use ima_checkpoint::{
    bank::Bank,
    detect::{self, Layout},
    records::{Position, Records},
    view::{View, SHA1_SIZE},
};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The list of such a file, in the sha1 view.
#[derive(Debug)]
pub struct Whole {
    path: PathBuf,
    known: Option<Known>,
}

/// What was read of it.
#[derive(Debug)]
struct Known {
    file: File,
    /// How they are written, once there are some.
    layout: Option<Layout>,
    /// Where the records begin that are kept.
    first: Position,
    /// Where they end.
    end: Position,
    /// Their bytes, and those of a record that is not complete yet.
    bytes: Vec<u8>,
    /// Was any of it given to a server?
    given: bool,
}

impl Whole {
    /// The list in this file, which is not opened yet.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            known: None,
        }
    }

    /// How many records there are by now.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is no list.
    pub fn count(&mut self) -> Result<u64> {
        self.with(|known| Ok(known.end.record))
    }

    /// The records from `from` on, shown as `view` says. Those before it are not kept.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is no list, or has fewer records.
    pub fn from(&mut self, from: u64, view: View) -> Result<Stretch> {
        // a server that wants again what it had does not believe it: perhaps the file is another one by now
        let again = |known: &Known| from < known.first.record || from == 0 && known.given;
        if self.known.as_ref().is_some_and(again) {
            self.known = None;
        }
        self.with(|known| known.from(from, view))
    }

    /// Does something once all is read that there is. If that fails, it starts anew the next time.
    fn with<T>(&mut self, act: impl FnOnce(&mut Known) -> Result<T>) -> Result<T> {
        let known = self.known.take();
        let failed = |error| Error::File(self.path.clone(), error);
        let mut known = match known {
            Some(known) => known,
            None => Known::open(&self.path).map_err(failed)?,
        };
        known.file.read_to_end(&mut known.bytes).map_err(failed)?;
        known.read()?;
        let result = act(&mut known)?;
        self.known = Some(known);
        Ok(result)
    }
}

impl Known {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: File::open(path)?,
            layout: None,
            first: Position::default(),
            end: Position::default(),
            bytes: Vec::new(),
            given: false,
        })
    }

    /// The bytes from there on.
    fn since(&self, at: Position) -> &[u8] {
        let skipped = at.offset.saturating_sub(self.first.offset);
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        self.bytes.get(skipped..).unwrap_or_default()
    }

    /// The records from there on.
    fn records(&self, at: Position) -> Result<Records<&[u8]>> {
        let bytes = self.since(at);
        let layout = match self.layout {
            Some(layout) => layout,
            None => {
                detect::detect(bytes, Some(Bank::Sha1), None)
                    .map_err(faulty)?
                    .0
            }
        };
        if layout.ascii {
            return Err(faulty(
                "it is text: name the binary list, in the view of sha1",
            ));
        }
        Ok(Records::new(bytes, SHA1_SIZE, layout.order, at))
    }

    /// Reads on to the end.
    fn read(&mut self) -> Result<()> {
        let mut records = self.records(self.end)?;
        while records.next().map_err(faulty)?.is_some() {}
        self.end = records.position();
        if self.layout.is_none() && !self.bytes.is_empty() {
            let (layout, _) =
                detect::detect(&*self.bytes, Some(Bank::Sha1), None).map_err(faulty)?;
            self.layout = Some(layout);
        }
        Ok(())
    }

    fn from(&mut self, from: u64, view: View) -> Result<Stretch> {
        let end = self.end.record;
        let count = end.checked_sub(from).ok_or_else(|| fewer(end, from))?;
        let mut bytes = Vec::new();
        let mut first = self.end;
        let mut records = self.records(self.first)?;
        while let Some(entry) = records.next().map_err(faulty)? {
            if entry.at.record == from {
                first = entry.at;
            }
            if entry.at.record >= from {
                view.render(&entry.record, entry.raw, &mut bytes);
            }
        }
        self.bytes = self.since(first).to_owned();
        (self.first, self.given) = (first, true);
        Ok(Stretch { count, bytes })
    }
}

fn faulty(fault: impl ToString) -> Error {
    Error::List(fault.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ima_checkpoint::kernel::Format;
    use std::io::Write;

    const BINARY: View = View {
        format: Format::Binary,
        bank: Bank::Sha1,
    };

    /// A record of the template `ima-ng`.
    fn record(name: &str) -> Vec<u8> {
        let digest = [b"sha256:\0".as_slice(), &[7; 32]].concat();
        let name = [name.as_bytes(), b"\0"].concat();
        let sized = |bytes: &[u8]| [&(bytes.len() as u32).to_le_bytes(), bytes].concat();
        let data = [sized(&digest), sized(&name)].concat();
        [
            10_u32.to_le_bytes().as_slice(),
            Bank::Sha1.hash(&[&data]).as_bytes(),
            &sized(b"ima-ng"),
            &sized(&data),
        ]
        .concat()
    }

    fn append(path: &Path, bytes: &[u8]) {
        let file = File::options().create(true).append(true).open(path);
        file.unwrap().write_all(bytes).unwrap();
    }

    #[test]
    fn it_goes_on_where_it_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        let records: Vec<_> = ["/a", "/bcd", "/e", "/fgh"].map(record).into();
        append(&path, &records[..2].concat());
        let mut list = Whole::new(&path);
        assert_eq!(list.count().unwrap(), 2);
        let all = list.from(0, BINARY).unwrap();
        assert_eq!((all.count, all.bytes), (2, records[..2].concat()));
        append(&path, &records[2]);
        assert_eq!(list.count().unwrap(), 3);
        for _ in 0..2 {
            let new = list.from(2, BINARY).unwrap();
            assert_eq!((new.count, &new.bytes), (1, &records[2]));
        }
        assert_eq!(list.known.as_ref().unwrap().bytes, records[2]);
        append(&path, &records[3]);
        let none = list.from(4, BINARY).unwrap();
        assert_eq!(none, Stretch::default());
        // what was let go is read again
        let new = list.from(1, BINARY).unwrap();
        assert_eq!((new.count, new.bytes), (3, records[1..].concat()));
        assert!(list.from(5, BINARY).is_err());
        assert_eq!(list.count().unwrap(), 4);
    }

    #[test]
    fn each_byte_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        append(&path, &record("/a"));
        let mut list = Whole::new(&path);
        assert_eq!(list.from(0, BINARY).unwrap().count, 1);
        // nobody reads these bytes again, so that they may be anything
        let mut file = File::options().write(true).open(&path).unwrap();
        file.write_all(&[0xff; 8]).unwrap();
        append(&path, &record("/b"));
        assert_eq!(list.count().unwrap(), 2);
        let new = list.from(1, BINARY).unwrap();
        assert_eq!((new.count, new.bytes), (1, record("/b")));
    }

    #[test]
    fn another_file_is_read_from_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        append(&path, &record("/a"));
        let mut list = Whole::new(&path);
        assert_eq!(list.from(0, BINARY).unwrap().bytes, record("/a"));
        std::fs::remove_file(&path).unwrap();
        append(&path, &[record("/x"), record("/y")].concat());
        assert_eq!(list.count().unwrap(), 1);
        // the server finds that it does not fit, and wants all of it
        let all = list.from(0, BINARY).unwrap();
        assert_eq!(
            (all.count, all.bytes),
            (2, [record("/x"), record("/y")].concat())
        );
    }

    #[test]
    fn half_a_record_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        let bytes = record("/a");
        append(&path, &bytes[..20]);
        let mut list = Whole::new(&path);
        assert!(list.count().is_err());
        append(&path, &bytes[20..]);
        assert_eq!(list.count().unwrap(), 1);
    }
}
