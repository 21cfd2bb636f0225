// SPDX-License-Identifier: GPL-2.0

//! What the administrator lets the archiver free and remove.

use crate::open_files::Readers;
use std::time::Duration;

/// What is kept in the kernel although it is archived. A segment stays as long as any of these
/// keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// So many sealed segments, the newest.
    pub segments: Option<u64>,
    /// The newest sealed segments that together have at most so many bytes.
    pub bytes: Option<u64>,
    /// Segments that were sealed less than this ago.
    pub age: Option<Duration>,
}

impl Keep {
    /// Is anything ever to be freed?
    pub fn frees(&self) -> bool {
        self.segments.is_some() || self.bytes.is_some() || self.age.is_some()
    }
}

/// What is removed from the archive. Nothing, if nothing is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remove {
    /// Segments that were archived longer ago than this.
    pub age: Option<Duration>,
    /// The oldest segments, as long as the files of the host have more bytes than this.
    pub bytes: Option<u64>,
}

impl Remove {
    /// Is anything ever to be removed?
    pub fn removes(&self) -> bool {
        self.age.is_some() || self.bytes.is_some()
    }
}

/// What is copied off the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Copying {
    /// Nothing.
    #[default]
    Nothing,
    /// What is sealed.
    Sealed,
    /// What is sealed; and only what has a copy is freed and removed.
    Required,
}

/// All rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What stays in the kernel.
    pub keep: Keep,
    /// What is removed from the archive.
    pub remove: Remove,
    /// Is only that freed and removed which is acknowledged?
    pub acknowledge: bool,
    /// What is copied off the host?
    pub copying: Copying,
    /// What if programs have the kernel's list open?
    pub readers: Readers,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_asked_for_by_default() {
        let rules = Rules::default();
        assert!(!rules.keep.frees() && !rules.remove.removes());
        assert_eq!(rules.readers, Readers::Wait);
    }

    #[test]
    fn even_zero_is_asked_for() {
        let keep = Keep {
            bytes: Some(0),
            ..Keep::default()
        };
        let remove = Remove {
            bytes: Some(0),
            ..Remove::default()
        };
        assert!(keep.frees() && remove.removes());
    }
}
