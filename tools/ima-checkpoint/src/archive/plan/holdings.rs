// SPDX-License-Identifier: GPL-2.0

//! What the archive holds of the kernel's log, and what is known of it.

use crate::{
    archive::{
        meta::{Kind, Name, State},
        ranges::Ranges,
    },
    bank::Digest,
};
use std::collections::{BTreeMap, BTreeSet};

/// A SHA-256. There may be very many: [`Digest`] has room for the largest.
pub(in crate::archive) type Sha256 = [u8; 32];

/// A SHA-256 as such. One of another length is none of ours: it becomes zeros, which nothing has.
pub(in crate::archive) fn sha256(digest: &Digest) -> Sha256 {
    digest.as_bytes().try_into().unwrap_or_default()
}

/// What the archive holds of the kernel's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::archive) struct Holdings {
    /// Sealed segments that are no forks.
    pub(in crate::archive) segments: BTreeMap<u64, (File, Standing)>,
    pub(in crate::archive) tails: BTreeMap<u64, (Tail, Relation)>,
    /// The forks of each segment. Of one without any, something unusable has its name.
    pub(in crate::archive) forks: BTreeMap<u64, BTreeSet<Sha256>>,
    /// All segments before this one were removed, and none of them is there.
    pub(in crate::archive) removed: u64,
    /// Segments that were freed in the kernel before they were archived.
    pub(in crate::archive) gaps: Ranges,
    /// Segments that were archived and are not there.
    pub(in crate::archive) lost: Ranges,
    /// What a segment of the kernel holds, by its number and what the next checkpoint claims, where
    /// that was found out.
    pub(in crate::archive) compared: BTreeMap<(u64, Sha256), Sha256>,
}

/// What a file says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::archive) struct File {
    pub(in crate::archive) sha256: Sha256,
    /// When it was archived: nanoseconds since 1970-01-01 00:00 UTC.
    pub(in crate::archive) archived_ns: u64,
    pub(in crate::archive) file_bytes: u64,
}

/// May the kernel free a segment, as far as its file is concerned?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::archive) enum Standing {
    /// It was there before: nobody knows yet.
    Unread,
    /// It was read back from the disk, and verified.
    Sound,
    /// It does not verify.
    Unsound,
}

/// A tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::archive) struct Tail {
    pub(in crate::archive) file: File,
    /// Bytes of its records in the sha1 view.
    pub(in crate::archive) bytes: u64,
}

/// What a tail is of the kernel's segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::archive) enum Relation {
    /// Nobody knows yet.
    Unread,
    Beginning,
    /// All that the kernel had when it was compared.
    All,
    /// Something else.
    Other,
}

impl Holdings {
    /// All files, and the SHA-256 of what they hold.
    pub(in crate::archive) fn named(&self) -> impl Iterator<Item = (Name, Digest)> + '_ {
        let segments = self.segments.iter().map(|(seq, (file, _))| {
            let name = Name::of(*seq, State::Sealed);
            (name, file.sha256)
        });
        let tails = self.tails.iter().map(|(seq, (tail, _))| {
            let name = Name::of(*seq, State::Tail);
            (name, tail.file.sha256)
        });
        let forks = self.forks.iter().flat_map(|(seq, forks)| {
            let name = |sha256: &Sha256| (Name::fork(*seq, sha256), *sha256);
            forks.iter().map(name)
        });
        let all = segments.chain(tails).chain(forks);
        all.map(|(name, sha256)| (name, Digest::new(&sha256)))
    }

    /// Adds a segment that was read.
    pub(super) fn note(&mut self, seq: u64, file: File, sound: bool, tail: Option<bool>) {
        let standing = match sound {
            true => Standing::Sound,
            false => Standing::Unsound,
        };
        self.segments.insert(seq, (file, standing));
        match tail {
            Some(true) => self.relate(seq, Relation::Beginning),
            Some(false) => self.relate(seq, Relation::Other),
            None => (),
        }
    }

    pub(super) fn found(&mut self, seq: u64, claimed: Option<Sha256>, has: Sha256) {
        self.compared
            .extend(claimed.map(|claimed| ((seq, claimed), has)));
    }

    pub(super) fn relate(&mut self, seq: u64, relation: Relation) {
        if let Some((_, known)) = self.tails.get_mut(&seq) {
            *known = relation;
        }
    }

    pub(super) fn forget(&mut self, before: u64, files: &[Name]) {
        self.removed = self.removed.max(before);
        for name in files {
            match name.kind {
                Kind::Sealed => drop(self.segments.remove(&name.seq)),
                Kind::Tail => drop(self.tails.remove(&name.seq)),
                Kind::Fork(_) => (),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::plan::fixture::{facts, fork, live, with_tail};

    #[test]
    fn all_files_are_named() {
        let mut facts = fork(facts(live(0, 2), [0, 1]), 1);
        with_tail(&mut facts, 2, Relation::Unread);
        let names = facts.archive.named().map(|(name, _)| name.to_string());
        assert_eq!(
            names.collect::<Vec<_>>(),
            [
                "0000000000.zst",
                "0000000001.zst",
                "0000000002.tail.zst",
                "0000000001.fork-6666666666666666.zst",
            ]
        );
    }
}
