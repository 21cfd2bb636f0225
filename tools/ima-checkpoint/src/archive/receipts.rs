// SPDX-License-Identifier: GPL-2.0

//! Receipts: somebody off the host says which segments he has.

use super::{open::Directory, plan::facts::Sha256};
use crate::{archive, bank::Digest, error::Result};
use rustix::fs::{fstat, Stat};
use std::{
    io::Read,
    path::{Path, PathBuf},
};

/// Largest receipt, in bytes.
const MAX: u64 = 4096;

/// Knows which segments are safe elsewhere.
pub(super) trait Acknowledge {
    /// Which of these are?
    ///
    /// # Errors
    ///
    /// It cannot be told.
    fn of(&self, asked: &[Sha256]) -> Result<Vec<Sha256>>;
}

/// A directory of receipts: files whose names are digests of segments.
#[derive(Clone, Debug)]
pub(super) struct Receipts {
    folder: PathBuf,
}

impl Receipts {
    /// The directory of that name.
    ///
    /// # Errors
    ///
    /// [`archive::Error::NoReceipts`] if there is none, [`archive::Error::ReceiptsWritable`] if
    /// others may write there.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let receipts = Self {
            folder: folder.to_owned(),
        };
        receipts.open()?;
        Ok(receipts)
    }

    /// Opens it. Whoever may write there can have anything freed and removed.
    fn open(&self) -> Result<Directory> {
        let folder = || self.folder.clone();
        let opened = Directory::named(&self.folder);
        let directory = opened.map_err(|_| archive::Error::NoReceipts { folder: folder() })?;
        match is_ours(&directory.stat()?) {
            true => Ok(directory),
            false => Err(archive::Error::ReceiptsWritable { folder: folder() }.into()),
        }
    }
}

impl Acknowledge for Receipts {
    fn of(&self, asked: &[Sha256]) -> Result<Vec<Sha256>> {
        let directory = self.open()?;
        let has = |digest: &&Sha256| has_receipt(&directory, &Digest::new(*digest));
        Ok(asked.iter().filter(has).copied().collect())
    }
}

/// Can only root or this user have written it?
fn is_ours(seen: &Stat) -> bool {
    let us = rustix::process::geteuid().as_raw();
    seen.st_mode & 0o022 == 0 && [0, us].contains(&seen.st_uid)
}

/// A receipt is empty, or holds the digest again: another one was put there by mistake.
fn has_receipt(directory: &Directory, digest: &Digest) -> bool {
    read(directory, &digest.to_string()).is_some_and(|text| match text.split_whitespace().next() {
        Some(word) => Digest::from_hex(word).as_ref() == Some(digest),
        None => true,
    })
}

/// The text of a receipt, if there is one.
fn read(directory: &Directory, name: &str) -> Option<String> {
    let file = directory.open(name).ok()?;
    if !fstat(&file).is_ok_and(|seen| is_ours(&seen)) {
        return None;
    }
    let mut text = String::new();
    let limited = file.take(MAX + 1).read_to_string(&mut text);
    limited.is_ok_and(|read| read as u64 <= MAX).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt,
    };

    const DIGEST: Sha256 = [0xab; 32];

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn acknowledged(folder: &Path) -> bool {
        let found = Receipts::new(folder)
            .unwrap()
            .of(&[DIGEST, [1; 32]])
            .unwrap();
        assert!(found.is_empty() || found == [DIGEST], "{found:?}");
        !found.is_empty()
    }

    #[test]
    fn a_receipt_is_empty_or_repeats_the_digest() {
        let folder = tempfile::tempdir().unwrap();
        let digest = Digest::new(&DIGEST);
        let folder = folder.path();
        let path = folder.join(digest.to_string());
        assert!(!acknowledged(folder));
        fs::write(&path, "").unwrap();
        set(&path, 0o644);
        assert!(acknowledged(folder));
        fs::write(&path, format!("{digest}  segment\n")).unwrap();
        assert!(acknowledged(folder));
        fs::write(&path, "00".repeat(32)).unwrap();
        assert!(!acknowledged(folder));
        fs::write(&path, format!("{digest}{}", " ".repeat(5000))).unwrap();
        assert!(!acknowledged(folder));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert!(!acknowledged(folder));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(!acknowledged(folder));
    }

    #[test]
    fn who_may_write_there_could_acknowledge_anything() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let path = folder.join(Digest::new(&DIGEST).to_string());
        fs::write(&path, "").unwrap();
        set(&path, 0o600);
        for mode in [0o777, 0o770, 0o702, 0o1777] {
            set(folder, mode);
            let error = Receipts::new(folder).unwrap_err().to_string();
            assert!(error.contains("chmod go-w"), "{mode:o}: {error}");
        }
        set(folder, 0o755);
        let receipts = Receipts::new(folder).unwrap();
        assert!(acknowledged(folder));
        for mode in [0o666, 0o620] {
            set(&path, mode);
            assert!(!acknowledged(folder), "{mode:o}");
        }
        set(&path, 0o644);
        assert!(acknowledged(folder));
        // it is looked at each time: a service runs for long
        set(folder, 0o777);
        assert!(receipts.of(&[DIGEST]).is_err());
        set(folder, 0o700);
    }

    #[test]
    fn of_another_user_is_none_of_ours() {
        let mut seen = fstat(fs::File::open("/").unwrap()).unwrap();
        seen.st_mode = 0o100_644;
        seen.st_uid = 0;
        assert!(is_ours(&seen));
        seen.st_uid = rustix::process::geteuid().as_raw().wrapping_add(1000);
        assert!(!is_ours(&seen));
    }
}
