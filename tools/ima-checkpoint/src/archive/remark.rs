// SPDX-License-Identifier: GPL-2.0

//! What there is to say of an archive that is checked.

use crate::{error::Error, escape::Escaped};
use std::{fmt, path::PathBuf};

/// What there is to say, and of which file.
#[derive(Debug)]
pub enum Remark {
    /// Of this file or directory.
    Of {
        /// It.
        path: PathBuf,
        /// What there is to say.
        finding: Finding,
    },
    /// Something could not be checked. The error names it.
    Unchecked(Error),
}

/// What there is to say of a file or a directory.
#[derive(Debug)]
pub enum Finding {
    /// Others may change it.
    Writable,
    /// Everybody may read it.
    Readable,
    /// It is no file of an archive.
    Stray,
    /// It is a tail whose segment is there.
    LeftTail,
    /// It was left by an archiver that was interrupted.
    LeftPartial,
    /// What has the name of an incomplete file is none.
    NoPartial,
    /// It is a fork.
    Fork,
    /// It was a fork, and was moved away.
    ForkMoved,
    /// It is an index that is not there.
    NoIndex,
    /// It is an index with lines that are not understood.
    DamagedIndex,
    /// The index knows it with another digest.
    Exchanged,
    /// The index names it, and it is not there.
    Missing,
    /// The segments of the log before this one were removed as asked.
    Removed {
        /// The number of that segment.
        before: u64,
    },
    /// The index says that the segments before this one were removed, and there are some.
    NotRemoved {
        /// The number of that segment.
        before: u64,
    },
    /// Segments of the log are not there, although later ones are.
    Hole {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
        /// Were they freed in the kernel before they were archived?
        freed: bool,
    },
    /// The segments of the log from this one on were freed in the kernel before they were archived.
    FreedFrom {
        /// The number of that segment.
        from: u64,
    },
    /// It is not what it should be.
    Fault(Error),
}

impl Remark {
    /// Is it of a fault?
    pub fn is_fault(&self) -> bool {
        match self {
            Self::Of { finding, .. } => finding.is_fault(),
            Self::Unchecked(_) => true,
        }
    }
}

impl Finding {
    /// Is it a fault?
    pub fn is_fault(&self) -> bool {
        !matches!(
            self,
            Self::Stray
                | Self::LeftTail
                | Self::LeftPartial
                | Self::ForkMoved
                | Self::Removed { .. }
                | Self::NotRemoved { .. }
        )
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of { path, finding } => write!(f, "{}: {finding}", Escaped::path(path)),
            Self::Unchecked(error) => write!(f, "{error}"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Writable => {
                "others can change it: `chmod go-w` it, and compare it with a copy before you \
                 trust it"
            }
            Self::Readable => "everybody can read it: `chmod o=` it",
            Self::Stray => "not a file of the archive",
            Self::LeftTail => "the complete segment is there; the next run removes this file",
            Self::LeftPartial => {
                "left by an archiver that was interrupted; the next run removes it"
            }
            Self::NoPartial => {
                "not a regular file, and no archiver can write as long as it is there: move it \
                 away"
            }
            Self::Fork => {
                "a fork: the kernel or the archive was tampered with. `verify` both, find out \
                 which one is true, and move the other out of the archive"
            }
            Self::ForkMoved => "a fork that was moved away: run `reindex`",
            Self::NoIndex => {
                "not found, so nothing tells whether files are missing: run \
                              `reindex`"
            }
            Self::DamagedIndex => "damaged: run `reindex`",
            Self::Exchanged => {
                "the index has another digest for it, so it was replaced. Compare it with a \
                 copy, and run `reindex` if it is the right one"
            }
            Self::Missing => {
                "MISSING: it was archived, but is not there. Restore it from a copy; `reindex` \
                 forgets it"
            }
            Self::Removed { before } => {
                return write!(
                    f,
                    "segments before {before} were removed as requested, according to the index \
                     alone"
                )
            }
            Self::NotRemoved { before } => {
                return write!(
                    f,
                    "the index says that the segments before {before} were removed, but some are \
                     there: an archiver was interrupted, or somebody edited the index. They stay \
                     as long as their own age and receipts demand"
                )
            }
            Self::Hole { from, to, freed } => {
                let why = match freed {
                    true => "they were freed in the kernel before they were archived",
                    false => "restore them from a copy",
                };
                return write!(f, "segments {from} to {to} are missing: {why}");
            }
            Self::FreedFrom { from } => {
                return write!(
                    f,
                    "segments from {from} on were freed in the kernel before they were archived"
                )
            }
            Self::Fault(error) => return write!(f, "{error}. Compare it with a copy"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_what_to_do() {
        for (finding, says) in [
            (Finding::Writable, "`chmod go-w` it"),
            (Finding::NoIndex, "run `reindex`"),
            (Finding::Missing, "Restore it from a copy"),
            (
                Finding::Hole {
                    from: 1,
                    to: 2,
                    freed: false,
                },
                "segments 1 to 2 are missing: restore them",
            ),
        ] {
            assert!(finding.is_fault());
            assert!(finding.to_string().contains(says), "{finding}");
        }
    }

    #[test]
    fn what_only_the_index_says_is_told_as_such() {
        let removed = Finding::Removed { before: 3 }.to_string();
        assert!(
            removed.contains("according to the index alone"),
            "{removed}"
        );
        let there = Finding::NotRemoved { before: 3 }.to_string();
        assert!(there.contains("somebody edited the index"), "{there}");
    }

    #[test]
    fn a_path_does_a_terminal_no_harm() {
        let remark = Remark::Of {
            path: "a\x1b[2J".into(),
            finding: Finding::Stray,
        };
        assert_eq!(remark.to_string(), "a\\x1b[2J: not a file of the archive");
    }
}
