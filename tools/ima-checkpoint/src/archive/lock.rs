// SPDX-License-Identifier: GPL-2.0

//! One archiver a host: a lock on the host's directory.

use super::{durable::Folder, open::Directory};
use crate::{
    archive,
    error::{Error, Result},
};
use rustix::{
    fs::{flock, FlockOperation},
    io::Errno,
};
use std::fs;

/// Locks the directory for as long as it is open.
pub(super) fn lock(host: &Folder) -> Result<()> {
    match flock(
        host.directory().file(),
        FlockOperation::NonBlockingLockExclusive,
    ) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => {
            let holder = holder(host.directory());
            let path = host.path().to_owned();
            Err(archive::Error::Locked { path, holder }.into())
        }
        Err(error) => Err(Error::io("lock", host.path(), error)),
    }
}

/// The process that holds the lock on this directory, if it is held and the system tells who.
pub(super) fn holder(host: &Directory) -> Option<u32> {
    let inode = format!(":{}", host.stat().ok()?.st_ino);
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`; device numbers are not always stat's
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            [_, "FLOCK", _, "WRITE", pid, file, ..] if file.ends_with(&inode) => pid.parse().ok(),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{durable::Access, fixture::disk};

    #[test]
    fn one_archiver_a_host() {
        let disk = disk();
        let open = || Folder::open(&disk.path().join("host"), Access::default()).unwrap();
        let (first, second) = (open(), open());
        lock(&first).unwrap();
        let error = lock(&second).unwrap_err();
        let locked = matches!(error, Error::Archive(archive::Error::Locked { .. }));
        assert!(locked, "{error}");
        drop(first);
        lock(&second).unwrap();
    }
}
