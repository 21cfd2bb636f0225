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
        /// Is the other one there? Else it was removed, or cannot be used.
        beside: bool,
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
    /// The newest checkpoint has no quote.
    NotQuoted {
        /// Its number.
        seq: u64,
        /// Why not.
        fault: Error,
    },
    /// A receipt does not count.
    NoReceipt {
        /// The file.
        path: PathBuf,
        /// Why not.
        fault: Error,
    },
    /// There are more receipts than are looked at.
    ManyReceipts {
        /// The directory.
        folder: PathBuf,
        /// How many are.
        max: usize,
    },
    /// Nothing is freed, for programs have the kernel's list open.
    Readers {
        /// These.
        programs: Vec<String>,
    },
    /// Nothing is freed, for the kernel demands a signature for that.
    Unsigned,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(error) => write!(f, "{error}; run `ima-checkpoint fsck` for more"),
            Self::Fork {
                seq,
                file,
                beside: true,
            } => write!(
                f,
                "FORK: the archive has a different segment {seq}. Both are kept, this one as \
                 {file}, and nothing is freed in the kernel from it on. Find out which one is \
                 true, and move the other out of the archive"
            ),
            Self::Fork { seq, file, .. } => write!(
                f,
                "FORK: segment {seq} cannot be compared with the one in the archive. It is kept \
                 as {file}, and nothing is freed in the kernel from it on"
            ),
            Self::Alarm(alarm) => write!(f, "{alarm}"),
            Self::ForkedTail { file, .. } => write!(
                f,
                "FORK: the tail in the archive differs from what the kernel has. It is kept as \
                 {file}"
            ),
            Self::Kept { seq, fault } => write!(
                f,
                "segment {seq} is kept in the kernel, because it does not verify: {fault}"
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
            Self::NoStore(error) => write!(f, "nothing is copied at the moment: {error}"),
            Self::NotQuoted { seq, fault } => write!(
                f,
                "checkpoint {seq} is not quoted: {fault}. The next one will be tried"
            ),
            Self::NoReceipt { path, fault } => {
                write!(f, "{} is not a receipt: {fault}", Escaped::path(path))
            }
            Self::ManyReceipts { folder, max } => write!(
                f,
                "{} has more than {max} receipts, and not all are looked at: remove those of segments \
                 that are not in the kernel or the archive any more",
                Escaped::path(folder)
            ),
            Self::Readers { programs } => {
                write!(f, "nothing is freed: {}", open_files::in_the_way(programs))
            }
            Self::Unsigned => f.write_str(
                "nothing is freed, and all else goes on: the kernel demands a signature for that \
                 (truncate_needs_signature=1). `ima-checkpoint truncate --message` prints what to \
                 sign, and `ima-checkpoint truncate --signature` frees",
            ),
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

    /// A segment is in a file of that size.
    pub(super) fn archived(&mut self, meta: &Meta, file_bytes: u64) {
        let seq = meta.seq;
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::RefCell, rc::Rc};

    fn said(warnings: Vec<Warning>) -> Vec<String> {
        let said: Rc<RefCell<Vec<String>>> = Rc::default();
        let heard = Rc::clone(&said);
        let mut notices = Notices::new(Box::new(move |notice| {
            if let Notice::Warning(warning) = notice {
                heard.borrow_mut().push(warning.to_string());
            }
        }));
        warnings
            .into_iter()
            .for_each(|warning| notices.warn(warning));
        said.take()
    }

    fn there(seq: u64) -> Warning {
        Warning::Alarm(Alarm::ForkThere { seq })
    }

    #[test]
    fn each_once() {
        assert_eq!(said(vec![there(1), there(1), there(2), there(1)]).len(), 2);
    }

    #[test]
    fn a_new_fork_is_not_told_as_an_old_one_too() {
        let file = "0000000001.fork-00.zst".to_owned();
        let fork = Warning::Fork {
            seq: 1,
            file,
            beside: true,
        };
        let said = said(vec![fork, there(1), there(2)]);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("this one as 0000000001.fork-00.zst"));
    }

    #[test]
    fn who_is_waited_for_is_named() {
        let programs = vec!["a (1)".to_owned(), "b (2)".to_owned()];
        let text = Warning::Readers { programs }.to_string();
        assert!(text.starts_with("nothing is freed: a (1), b (2) have the kernel's"));
        assert!(text.contains("--force"));
    }
}
