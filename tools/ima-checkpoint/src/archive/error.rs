// SPDX-License-Identifier: GPL-2.0

//! What can be wrong with an archive.

use super::{survey::Disagreement, LogName};
use crate::escape::Escaped;
use rustix::fs::FileType;
use std::{fmt, io, path::PathBuf};

/// What can be wrong with an archive, besides that the system refuses something.
#[derive(Debug)]
pub enum Error {
    /// There is none.
    NoArchive {
        /// Where it should be.
        dir: PathBuf,
    },
    /// It has no such log.
    NoLog {
        /// The archive.
        dir: PathBuf,
        /// The host that was asked for.
        host: Option<String>,
        /// The log of it that was asked for.
        log_id: Option<String>,
    },
    /// It has several logs, of which one is to be chosen.
    SeveralLogs {
        /// The archive.
        dir: PathBuf,
        /// Those.
        logs: Vec<LogName>,
    },
    /// There is nothing of that name.
    Absent {
        /// It would be here.
        path: PathBuf,
    },
    /// Something is no file, or no directory.
    WrongKind {
        /// It.
        path: PathBuf,
        /// What it is.
        found: FileType,
        /// What it should be.
        wanted: FileType,
    },
    /// A file does not follow the format.
    Damaged {
        /// The file, if it is not told otherwise.
        path: Option<PathBuf>,
        /// What is wrong.
        error: io::Error,
    },
    /// A file belongs to another log.
    Misplaced {
        /// The file.
        path: PathBuf,
        /// The log that it names.
        log: LogName,
    },
    /// A file is another than the one whose metadata were read.
    Exchanged {
        /// The file.
        path: PathBuf,
    },
    /// What a file holds is not what its metadata or the next checkpoint say.
    Disagrees(Box<Disagreement>),
    /// Only the beginning of a segment is there.
    BeginningOnly,
    /// A segment of the kernel does not start with the checkpoint that the kernel names.
    NoCheckpoint {
        /// Its number.
        seq: u64,
    },
    /// The kernel gave other bytes than it said.
    Short {
        /// The number of the segment.
        seq: u64,
        /// Records and bytes that the kernel said.
        said: (u64, u64),
        /// Records and bytes that it gave.
        gave: (u64, u64),
    },
    /// A name cannot be that of a host.
    NotAHost {
        /// The name.
        name: String,
    },
    /// There is no directory for receipts.
    NoReceipts {
        /// Where it should be.
        folder: PathBuf,
    },
    /// There is no such group.
    NoGroup {
        /// Its name.
        name: String,
    },
    /// Others may write into a directory.
    Writable {
        /// The directory.
        path: PathBuf,
    },
    /// A directory is gone after a reboot.
    Volatile {
        /// The directory.
        path: PathBuf,
    },
    /// Another archiver works on the host.
    Locked {
        /// The directory of the host.
        path: PathBuf,
        /// The process, if the system tells.
        holder: Option<u32>,
    },
    /// What was written is not on the disk.
    NotFlushed {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The disk gives back something else than what was written.
    NotKept {
        /// The file.
        path: PathBuf,
    },
}

impl Error {
    /// Is it what a file holds that is wrong? Else it could not be read, or written.
    pub(crate) fn is_of_contents(&self) -> bool {
        matches!(
            self,
            Self::WrongKind { .. }
                | Self::Damaged { .. }
                | Self::Misplaced { .. }
                | Self::Disagrees(_)
                | Self::NoCheckpoint { .. }
                | Self::Short { .. }
        )
    }
}

impl From<Disagreement> for Error {
    fn from(disagreement: Disagreement) -> Self {
        Self::Disagrees(Box::new(disagreement))
    }
}

fn called(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something unknown",
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoArchive { dir } => {
                let dir = Escaped::path(dir);
                write!(f, "archive {dir} not found: name it with --archive")
            }
            Self::NoLog { dir, host, log_id } => {
                let [host, log_id] = [host, log_id].map(|name| name.as_deref().unwrap_or("*"));
                let dir = Escaped::path(dir);
                write!(f, "log {host}/{log_id} not found in the archive {dir}")
            }
            Self::SeveralLogs { dir, logs } => {
                let logs: Vec<_> = logs.iter().map(LogName::to_string).collect();
                write!(
                    f,
                    "{} has several logs: choose one with --host and --log-id from {}",
                    Escaped::path(dir),
                    logs.join(", ")
                )
            }
            Self::Absent { path } => write!(f, "{} not found", Escaped::path(path)),
            Self::WrongKind {
                path,
                found,
                wanted,
            } => write!(
                f,
                "{} is {}, not {}, which no archiver creates. Find out who did, and move it away",
                Escaped::path(path),
                called(*found),
                called(*wanted)
            ),
            Self::Damaged { path, error } => match path {
                Some(path) => write!(f, "{}: {error}", Escaped::path(path)),
                None => write!(f, "{error}"),
            },
            Self::Misplaced { path, log } => {
                let path = Escaped::path(path);
                write!(f, "{path} belongs to the log {log}: put it back there")
            }
            Self::Exchanged { path } => {
                let path = Escaped::path(path);
                write!(f, "{path} was replaced while it was used")
            }
            Self::Disagrees(disagreement) => write!(f, "{disagreement}"),
            Self::BeginningOnly => f.write_str("only its beginning is there"),
            Self::NoCheckpoint { seq } => {
                write!(
                    f,
                    "segment {seq} of the kernel does not start with the checkpoint that the \
                     kernel names"
                )
            }
            Self::Short { seq, said, gave } => write!(
                f,
                "segment {seq}: the kernel says {} records and {} bytes, but gave {} records and \
                 {} bytes",
                said.0, said.1, gave.0, gave.1
            ),
            Self::NotAHost { name } => write!(
                f,
                "{name:?} cannot be the name of a host: it must consist of at most 64 letters, digits, \
                 `.`, `-` and `_`, and not start with a dot. Choose one with --host"
            ),
            Self::NoReceipts { folder } => write!(
                f,
                "--require-ack: directory {} not found: create it, or receipts will never be seen",
                Escaped::path(folder)
            ),
            Self::NoGroup { name } => {
                write!(f, "--group: group {name} not found in /etc/group")
            }
            Self::Writable { path } => write!(
                f,
                "others can write into {}, so it cannot hold an archive. Give it to root and \
                 `chmod go-w` it",
                Escaped::path(path)
            ),
            Self::Volatile { path } => write!(
                f,
                "{} is in memory and would be lost at a reboot: choose a directory on a disk",
                Escaped::path(path)
            ),
            Self::Locked { path, holder } => {
                let who = holder.map_or_else(String::new, |pid| format!(" (pid {pid})"));
                let path = Escaped::path(path);
                write!(
                    f,
                    "another archiver{who} is working on {path}: wait for it, or stop it"
                )
            }
            Self::NotFlushed { path, error } => write!(
                f,
                "{} did not reach the disk: {error}. See the kernel log",
                Escaped::path(path)
            ),
            Self::NotKept { path } => write!(
                f,
                "{}: the disk returns other bytes than were written",
                Escaped::path(path)
            ),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_what_to_do() {
        let path = || PathBuf::from("/a\x1b[2J");
        for (error, says) in [
            (Error::NoArchive { dir: path() }, "name it with --archive"),
            (Error::NoReceipts { folder: path() }, "create it"),
            (Error::Writable { path: path() }, "chmod go-w"),
            (
                Error::Volatile { path: path() },
                "choose a directory on a disk",
            ),
            (
                Error::Locked {
                    path: path(),
                    holder: Some(812),
                },
                "(pid 812)",
            ),
            (
                Error::NotAHost {
                    name: "a b".to_owned(),
                },
                "Choose one with --host",
            ),
        ] {
            let text = error.to_string();
            assert!(text.contains(says) && !text.contains('\x1b'), "{text}");
        }
    }

    #[test]
    fn what_is_of_contents() {
        let damaged = Error::Damaged {
            path: None,
            error: io::ErrorKind::InvalidData.into(),
        };
        for (error, of_contents) in [
            (damaged, true),
            (Error::NoCheckpoint { seq: 1 }, true),
            (Error::BeginningOnly, false),
            (Error::Absent { path: "a".into() }, false),
            (Error::NotKept { path: "a".into() }, false),
        ] {
            assert_eq!(error.is_of_contents(), of_contents, "{error}");
        }
    }
}
