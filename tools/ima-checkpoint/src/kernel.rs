// SPDX-License-Identifier: GPL-2.0

//! The kernel's files in securityfs, as `Documentation/ABI/testing/securityfs-ima-checkpoint`
//! specifies them.

mod error;
mod quote;
mod truncate;

pub use self::error::{Error, Refusal};

use self::error::{not_understood, refused};
use crate::{
    bank::{Bank, Digest},
    error::Result,
};
use ima_checkpoint_format::ByteOrder;
use rustix::{
    event::{poll, PollFd, PollFlags, Timespec},
    io::Errno,
};
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    time::Duration,
};

/// Where IMA's files are.
pub const IMA: &str = "/sys/kernel/security/ima";

/// The kernel of this host.
#[derive(Clone, Debug)]
pub struct Kernel {
    ima: PathBuf,
}

/// A line of `segments`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Segment {
    /// Number of the checkpoint that it starts with, 0 for the first.
    pub seq: u64,
    /// Is it the last one, still growing?
    pub active: bool,
    /// Index of its first record since cold boot.
    pub first: u64,
    /// Records, by now.
    pub records: u64,
    /// Bytes of them in the sha1 view, by now.
    pub bytes: u64,
    /// SHA-256 of the checkpoint's buffer, zeros for the first.
    pub digest: Digest,
    /// Did the default PCR differ from the replay?
    pub broken: bool,
    /// What the replay of the default PCR starts from.
    pub base: BTreeMap<String, Digest>,
}

/// What `status` says, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Status(pub BTreeMap<String, String>);

impl Status {
    /// A number; 0 if the kernel does not give it.
    pub fn number(&self, key: &str) -> u64 {
        self.0
            .get(key)
            .and_then(|value| value.parse().ok())
            .unwrap_or(0)
    }

    /// A text; empty if the kernel does not give it.
    pub fn text(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    /// The identifier of the log: 32 hexadecimal digits.
    pub fn log_id(&self) -> &str {
        self.text("log_id")
    }
}

/// The settings of `config`, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Config(pub BTreeMap<String, String>);

/// A checkpoint that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Created {
    /// Its number.
    pub seq: u64,
    /// SHA-256 of its buffer.
    pub digest: Digest,
}

/// How records are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As bytes.
    Binary,
    /// As lines of text.
    Ascii,
}

impl Format {
    /// The word in file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Ascii => "ascii",
        }
    }
}

impl Kernel {
    /// The kernel whose IMA files are in this folder, usually [`IMA`].
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if it has no checkpoints.
    pub fn open(ima: impl Into<PathBuf>) -> Result<Self> {
        let kernel = Self { ima: ima.into() };
        let folder = kernel.path("");
        if folder.is_dir() {
            return Ok(kernel);
        }
        let has_ima = kernel.ima.is_dir();
        Err(Error::Unsupported { folder, has_ima }.into())
    }

    /// The folder with IMA's own files.
    pub fn ima(&self) -> &Path {
        &self.ima
    }

    fn path(&self, name: &str) -> PathBuf {
        self.ima.join("checkpoint").join(name)
    }

    /// The log in numbers.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn status(&self) -> Result<Status> {
        let path = self.path("status");
        let pairs = read_text(&path)?;
        let pairs = pairs.lines().filter_map(|line| line.split_once('='));
        Ok(Status(pairs.map(|(k, v)| (k.into(), v.into())).collect()))
    }

    /// The settings; `None` if the kernel has no such file, or does not show it to us.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn config(&self) -> Result<Option<Config>> {
        let path = self.path("config");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Ok(None),
                    _ => Err(refused(&path, error)),
                }
            }
        };
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let settings = pairs.map(|(k, v)| (k.into(), v.into())).collect();
        Ok(Some(Config(settings)))
    }

    /// The live segments, oldest first; the last one is active.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not understood.
    pub fn segments(&self) -> Result<Vec<Segment>> {
        let path = self.path("segments");
        parse_segments(&read_text(&path)?).ok_or_else(|| not_understood(&path))
    }

    /// Appends a checkpoint, which seals the active segment.
    ///
    /// # Errors
    ///
    /// The kernel refused it.
    pub fn checkpoint(&self, label: &str) -> Result<Created> {
        let path = self.path("create");
        let mut file = self.command(&path, true, label)?;
        let mut answer = String::new();
        file.read_to_string(&mut answer)
            .map_err(|error| crate::error::Error::io("read", &path, error))?;
        let pairs = pairs(&answer);
        let created = || {
            Some(Created {
                seq: pairs.get("seq")?.parse().ok()?,
                digest: Digest::from_hex(pairs.get("digest")?)?,
            })
        };
        created().ok_or_else(|| not_understood(&path))
    }

    /// Opens a segment for reading. It stays until the file is closed, even if it is freed.
    ///
    /// # Errors
    ///
    /// [`Refusal::Freed`] if it was freed.
    pub fn export(&self, seq: u64, format: Format, bank: &str) -> Result<File> {
        let path = self.path("export");
        let mut file = self.command(&path, true, &format!("{seq} {} {bank}", format.name()))?;
        file.rewind()
            .map_err(|error| crate::error::Error::io("read", &path, error))?;
        Ok(file)
    }

    /// A list file, as upstream's kernel has it too: of a bank, as bytes or text.
    pub fn list(&self, format: Format, bank: Bank) -> PathBuf {
        let name = format!("{}_runtime_measurements_{bank}", format.name());
        self.ima.join(name)
    }

    /// Watches for segments that are sealed or freed.
    ///
    /// # Errors
    ///
    /// The file cannot be opened.
    pub fn watch(&self) -> Result<Watch> {
        let path = self.path("segments");
        let file = File::open(&path).map_err(|error| refused(&path, error))?;
        Ok(Watch { file, path })
    }

    /// Opens a file and writes a command to it.
    fn command(&self, path: &Path, read: bool, command: &str) -> Result<File> {
        self.command_as(path, read, command, command)
    }

    /// The same with a command that is `shown` shorter in messages.
    fn command_as(&self, path: &Path, read: bool, command: &str, shown: &str) -> Result<File> {
        let file = OpenOptions::new().read(read).write(true).open(path);
        let mut file = file.map_err(|error| refused(path, error))?;
        // one write is one command
        match file.write_all(format!("{command}\n").as_bytes()) {
            Ok(()) => Ok(file),
            Err(error) => Err(refused(path, error).during(format!("writing {shown:?}"))),
        }
    }
}

/// The byte order of this kernel's list.
pub fn byte_order() -> ByteOrder {
    let command_line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let canonical = command_line
        .split_whitespace()
        .any(|word| word == "ima_canonical_fmt");
    if cfg!(target_endian = "big") && !canonical {
        ByteOrder::Big
    } else {
        ByteOrder::Little
    }
}

/// Waits for changes of the segments.
#[derive(Debug)]
pub struct Watch {
    file: File,
    path: PathBuf,
}

impl Watch {
    /// The segments now; what happens from here on is a change.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not understood.
    pub fn segments(&mut self) -> Result<Vec<Segment>> {
        let mut text = String::new();
        let read = self.file.rewind();
        let read = read.and_then(|()| self.file.read_to_string(&mut text));
        read.map_err(|error| refused(&self.path, error))?;
        parse_segments(&text).ok_or_else(|| not_understood(&self.path))
    }

    /// Waits until segments were sealed or freed (true), the time is up or a signal came (false).
    ///
    /// # Errors
    ///
    /// poll(2) failed.
    pub fn wait(&self, limit: Option<Duration>) -> Result<bool> {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut file = [PollFd::new(&self.file, PollFlags::PRI)];
        match poll(&mut file, limit.as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(crate::error::Error::io("poll", &self.path, error)),
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| refused(path, error))
}

/// key=value pairs, separated by blanks.
fn pairs(line: &str) -> BTreeMap<&str, &str> {
    line.split_whitespace()
        .filter_map(|pair| pair.split_once('='))
        .collect()
}

fn parse_segments(text: &str) -> Option<Vec<Segment>> {
    text.lines().map(parse_segment).collect()
}

fn parse_segment(line: &str) -> Option<Segment> {
    let pairs = pairs(line);
    let number = |key| pairs.get(key)?.parse().ok();
    let base = pairs.iter().filter_map(|(key, value)| {
        let bank = key.strip_prefix("base_")?;
        Some((bank.to_owned(), Digest::from_hex(value)?))
    });
    Some(Segment {
        seq: number("seq")?,
        active: *pairs.get("state")? == "active",
        first: number("first")?,
        records: number("records")?,
        bytes: number("bytes")?,
        digest: Digest::from_hex(pairs.get("digest")?)?,
        broken: *pairs.get("broken")? != "0",
        base: base.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments() {
        let digest = "0".repeat(64);
        let text = format!(
            "seq=0 state=sealed first=0 records=4 bytes=380 digest={digest} broken=0 base_sha1=00 new=1\n\
             seq=1 state=active first=4 records=3 bytes=608 digest={digest} broken=1 base_sha1=95a4\n"
        );
        let segments = parse_segments(&text).unwrap_or_default();
        let [sealed, active] = segments.as_slice() else {
            panic!("{segments:?}");
        };
        assert!(!sealed.active && active.active && active.broken);
        assert_eq!(
            (active.seq, active.first, active.records, active.bytes),
            (1, 4, 3, 608)
        );
        assert_eq!(
            active.base.get("sha1").map(Digest::to_string),
            Some("95a4".into())
        );
        assert_eq!(parse_segments("seq=1 state=active"), None);
        assert_eq!(parse_segments(""), Some(Vec::new()));
    }

    #[test]
    fn config() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("checkpoint"))?;
        let kernel = Kernel::open(folder.path())?;
        assert_eq!(kernel.config()?, None);
        let text = "checkpoint_records=1000\nduplicate_scope=live\nnew=a=b\n";
        std::fs::write(kernel.path("config"), text)?;
        let config = kernel.config()?.unwrap_or_default();
        let settings: Vec<_> = config.0.iter().collect();
        let wanted = [
            ("checkpoint_records", "1000"),
            ("duplicate_scope", "live"),
            ("new", "a=b"),
        ];
        assert!(settings
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .eq(wanted));
        std::fs::remove_file(kernel.path("config"))?;
        std::fs::create_dir(kernel.path("config"))?;
        assert!(kernel.config().is_err());
        Ok(())
    }

    #[test]
    fn without_the_extension() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let refused = Kernel::open(folder.path());
        assert!(matches!(
            refused,
            Err(crate::error::Error::Kernel(Error::Unsupported {
                has_ima: true,
                ..
            }))
        ));
        Ok(())
    }
}
