// SPDX-License-Identifier: GPL-2.0

//! What the archiver says while it works.

use super::{meta::Meta, plan::Alarm};
use crate::{error::Error, escape::Escaped, open_files};
use indicatif::{BinaryBytes, HumanCount};
use std::{collections::BTreeSet, fmt, path::PathBuf};

/// What happened.
#[derive(Debug)]
pub enum Notice {
    /// As it should.
    Event(String),
    /// Something failed and will be tried again.
    Failed(Error),
    /// Somebody has to look at it.
    Warning(Warning),
}

/// What somebody has to look at.
#[derive(Debug)]
pub enum Warning {
    /// A file of the archive cannot be used.
    Unusable(Error),
    /// A segment was archived although the archive has another of its number.
    Fork {
        /// The number.
        seq: u64,
        /// The file of the new one.
        file: String,
    },
    /// The facts are not as they should be.
    Alarm(Alarm),
    /// A tail was not the beginning of the segment.
    ForkedTail {
        /// The number of the segment.
        seq: u64,
        /// The file that it is kept in.
        file: String,
    },
    /// A segment does not verify.
    Kept {
        /// Its number.
        seq: u64,
        /// Why not.
        fault: Error,
    },
    /// Segments never reached the archive.
    Gap {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
        /// The first segment that the kernel has.
        first: u64,
        /// The first record of that.
        record: u64,
    },
    /// A file has no copy in the store.
    NotCopied {
        /// The object that it should have.
        path: PathBuf,
        /// Why not.
        fault: Error,
    },
    /// The store cannot be used now.
    NoStore(Error),
    /// Nothing is freed, for programs have the kernel's list open.
    Readers {
        /// These.
        programs: Vec<String>,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(error) => write!(f, "{error}; `ima-checkpoint fsck` tells more"),
            Self::Fork { seq, file } => write!(
                f,
                "FORK: the archive had another segment {seq}. Both are kept, this one as {file}, \
                 and the kernel frees nothing from it on. Find out which is true, and move the \
                 other one out of the archive"
            ),
            Self::Alarm(alarm) => write!(f, "{alarm}"),
            Self::ForkedTail { file, .. } => write!(
                f,
                "FORK: the tail in the archive is not what the kernel has. It is kept as {file}"
            ),
            Self::Kept { seq, fault } => write!(
                f,
                "segment {seq} is kept in the kernel, for it does not verify: {fault}"
            ),
            Self::Gap {
                from,
                to,
                first,
                record,
            } => write!(
                f,
                "GAP: segments {from} to {to} were freed in the kernel before they were archived, \
                 and are lost. What the kernel has starts with segment {first}, record {record}"
            ),
            Self::NotCopied { path, fault } => {
                write!(f, "{} is not a copy: {fault}", Escaped::path(path))
            }
            Self::NoStore(error) => write!(f, "nothing is copied for now: {error}"),
            Self::Readers { programs } => {
                write!(f, "nothing is freed: {}", open_files::in_the_way(programs))
            }
        }
    }
}

/// Says what happens, a warning only once.
pub(super) struct Notices {
    say: Box<dyn FnMut(&Notice)>,
    warned: BTreeSet<String>,
}

impl Notices {
    pub(super) fn new(say: Box<dyn FnMut(&Notice)>) -> Self {
        Self {
            say,
            warned: BTreeSet::new(),
        }
    }

    pub(super) fn event(&mut self, text: impl Into<String>) {
        (self.say)(&Notice::Event(text.into()));
    }

    pub(super) fn warn(&mut self, warning: Warning) {
        if let Warning::Fork { seq, .. } | Warning::ForkedTail { seq, .. } = warning {
            // that it is there need not be told as well
            self.warned.insert(Alarm::ForkThere { seq }.to_string());
        }
        if self.warned.insert(warning.to_string()) {
            (self.say)(&Notice::Warning(warning));
        }
    }

    pub(super) fn failed(&mut self, error: Error) {
        (self.say)(&Notice::Failed(error));
    }

    /// A segment is in a file of that size. It does not verify if there is a fault.
    pub(super) fn archived(&mut self, meta: &Meta, file_bytes: u64, fault: Option<Error>) {
        let (seq, file) = (meta.seq, meta.file_name());
        self.event(format!(
            "archived segment {seq}: {} records, {} -> {}{}",
            HumanCount(meta.records),
            BinaryBytes(meta.bytes),
            BinaryBytes(file_bytes),
            if meta.broken {
                ", BROKEN: something else extended the PCR"
            } else {
                ""
            },
        ));
        if meta.fork {
            self.warn(Warning::Fork { seq, file });
        }
        if let Some(fault) = fault {
            self.warn(Warning::Kept { seq, fault });
        }
    }
}
