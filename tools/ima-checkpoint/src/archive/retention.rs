// SPDX-License-Identifier: GPL-2.0

//! How far the kernel's list may be truncated.

use super::open::Directory;
use crate::bank::Digest;
use std::{
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

/// Largest receipt, in bytes.
const MAX_RECEIPT: u64 = 4096;

/// What is kept in the kernel although it is archived. A segment stays as long as any of these
/// keeps it.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    /// So many sealed segments, the newest.
    pub segments: Option<u64>,
    /// The newest sealed segments that together have at most so many bytes.
    pub bytes: Option<u64>,
    /// Segments that were sealed less than this ago.
    pub age: Option<Duration>,
    /// Segments that nobody acknowledged: whose digest is not the name of a file in this folder.
    pub unacknowledged: Option<PathBuf>,
}

/// A sealed segment in the kernel, as far as retention is concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealed {
    pub(super) seq: u64,
    pub(super) bytes: u64,
    /// When it was sealed: nanoseconds since 1970. The next checkpoint says so.
    pub(super) sealed_ns: u64,
}

impl Keep {
    /// Is anything ever to be freed?
    pub fn frees(&self) -> bool {
        self.segments.is_some() || self.bytes.is_some() || self.age.is_some()
    }

    /// The first segment that stays, for the sealed ones in ascending order; nothing if none may
    /// be freed. `free` says whether a segment is safe in the archive.
    pub(super) fn first_kept(
        &self,
        sealed: &[Sealed],
        now_ns: u64,
        mut free: impl FnMut(u64) -> bool,
    ) -> Option<u64> {
        if !self.frees() {
            return None;
        }
        let mut newer_bytes = 0_u64;
        let mut may_go = sealed.len();
        for (at, segment) in sealed.iter().enumerate().rev() {
            let newer = sealed.len().saturating_sub(at) as u64;
            newer_bytes = newer_bytes.saturating_add(segment.bytes);
            // a time in the future is no age
            let age = Duration::from_nanos(now_ns.saturating_sub(segment.sealed_ns));
            if self.segments.is_some_and(|keep| newer <= keep)
                || self.bytes.is_some_and(|keep| newer_bytes <= keep)
                || self.age.is_some_and(|keep| age < keep)
            {
                may_go = at;
            }
        }
        let mut first = None;
        for segment in sealed.iter().take(may_go) {
            if !free(segment.seq) {
                break;
            }
            first = Some(segment.seq.saturating_add(1));
        }
        first
    }

    /// How long until age alone lets another segment go.
    pub(super) fn next_expiry(&self, sealed: &[Sealed], now_ns: u64) -> Option<Duration> {
        let oldest = sealed.first()?;
        let age = Duration::from_nanos(now_ns.saturating_sub(oldest.sealed_ns));
        self.age?.checked_sub(age).filter(|left| !left.is_zero())
    }

    /// Did somebody off the host acknowledge this segment, or is it not asked for?
    pub(super) fn acknowledged(&self, sha256: &Digest) -> bool {
        self.unacknowledged
            .as_ref()
            .is_none_or(|folder| has_receipt(folder, sha256))
    }
}

/// A receipt is empty, or holds the digest again: another one was put there by mistake.
fn has_receipt(folder: &Path, digest: &Digest) -> bool {
    read_receipt(folder, &digest.to_string()).is_some_and(|text| {
        match text.split_whitespace().next() {
            Some(word) => Digest::from_hex(word).as_ref() == Some(digest),
            None => true,
        }
    })
}

fn read_receipt(folder: &Path, name: &str) -> Option<String> {
    let file = Directory::named(folder).ok()?.open(name).ok()?;
    let mut text = String::new();
    let limited = file.take(MAX_RECEIPT + 1).read_to_string(&mut text);
    limited
        .is_ok_and(|read| read as u64 <= MAX_RECEIPT)
        .then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Segments 3 to 7 of 100 bytes, sealed 50, 40, 30, 20 and 10 seconds ago.
    fn first_kept(keep: &Keep, free: impl FnMut(u64) -> bool) -> Option<u64> {
        let sealed: Vec<Sealed> = (0..5)
            .map(|n| Sealed {
                seq: 3 + n,
                bytes: 100,
                sealed_ns: (1000 - 50 + 10 * n) * SECOND,
            })
            .collect();
        keep.first_kept(&sealed, 1000 * SECOND, free)
    }

    fn by_segments(segments: u64) -> Keep {
        Keep {
            segments: Some(segments),
            ..Keep::default()
        }
    }

    #[test]
    fn nothing_is_freed_unasked() {
        assert_eq!(first_kept(&Keep::default(), |_| true), None);
    }

    #[test]
    fn each_alone() {
        assert_eq!(first_kept(&by_segments(0), |_| true), Some(8));
        assert_eq!(first_kept(&by_segments(2), |_| true), Some(6));
        assert_eq!(first_kept(&by_segments(5), |_| true), None);
        let bytes = |bytes| Keep {
            bytes: Some(bytes),
            ..Keep::default()
        };
        assert_eq!(first_kept(&bytes(0), |_| true), Some(8));
        assert_eq!(first_kept(&bytes(299), |_| true), Some(6));
        assert_eq!(first_kept(&bytes(300), |_| true), Some(5));
        let age = |seconds| Keep {
            age: Some(Duration::from_secs(seconds)),
            ..Keep::default()
        };
        assert_eq!(first_kept(&age(0), |_| true), Some(8));
        assert_eq!(first_kept(&age(30), |_| true), Some(6));
        assert_eq!(first_kept(&age(31), |_| true), Some(5));
    }

    #[test]
    fn the_strictest_of_several() {
        let keep = Keep {
            segments: Some(1),
            bytes: Some(1000),
            age: Some(Duration::ZERO),
            unacknowledged: None,
        };
        assert_eq!(first_kept(&keep, |_| true), None);
        let keep = Keep {
            bytes: Some(150),
            segments: Some(3),
            ..Keep::default()
        };
        assert_eq!(first_kept(&keep, |_| true), Some(5));
    }

    #[test]
    fn only_an_unbroken_run_goes() {
        assert_eq!(first_kept(&by_segments(0), |seq| seq != 5), Some(5));
        assert_eq!(first_kept(&by_segments(0), |seq| seq != 3), None);
    }

    #[test]
    fn a_clock_in_the_future_keeps() {
        let sealed = [Sealed {
            seq: 0,
            bytes: 1,
            sealed_ns: 2000 * SECOND,
        }];
        let keep = Keep {
            age: Some(Duration::from_secs(1)),
            ..Keep::default()
        };
        assert_eq!(keep.first_kept(&sealed, 1000 * SECOND, |_| true), None);
        assert_eq!(keep.first_kept(&sealed, 2001 * SECOND, |_| true), Some(1));
        assert_eq!(
            keep.next_expiry(&sealed, 2000 * SECOND + SECOND / 2),
            Some(Duration::from_millis(500))
        );
    }

    #[test]
    fn receipts() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let digest = Digest::new(&[0xab; 32]);
        let folder = folder.path();
        let path = folder.join(digest.to_string());
        assert!(!has_receipt(folder, &digest));
        std::fs::write(&path, "")?;
        assert!(has_receipt(folder, &digest));
        std::fs::write(&path, format!("{digest}  segment\n"))?;
        assert!(has_receipt(folder, &digest));
        std::fs::write(&path, "00".repeat(32))?;
        assert!(!has_receipt(folder, &digest));
        std::fs::write(&path, format!("{digest}{}", " ".repeat(5000)))?;
        assert!(!has_receipt(folder, &digest));
        std::fs::remove_file(&path)?;
        std::os::unix::fs::symlink("/dev/null", &path)?;
        assert!(!has_receipt(folder, &digest));
        std::fs::remove_file(&path)?;
        std::fs::create_dir(&path)?;
        assert!(!has_receipt(folder, &digest));
        Ok(())
    }
}
