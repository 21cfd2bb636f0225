// SPDX-License-Identifier: GPL-2.0

//! Changing directories of the archive so that what was changed survives a crash.

use super::open::Directory;
use crate::{
    archive,
    error::{Error, Result},
};
use rustix::fs::{fadvise, fchmod, fchown, fstatfs, Advice, Gid, Mode};
use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::Path,
};

/// File systems that are gone after a reboot: tmpfs and ramfs, from `linux/magic.h`.
const VOLATILE: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// Name of a file that is not complete yet. There is one at most, for there is one archiver.
pub(super) const PARTIAL: &str = ".partial";

/// Who may read the archive.
#[derive(Clone, Copy, Debug, Default)]
pub struct Access {
    group: Option<u32>,
}

impl Access {
    /// The owner, and a group if one is given: by its name in /etc/group, or its number.
    ///
    /// # Errors
    ///
    /// There is no such group.
    pub fn new(group: Option<&str>) -> Result<Self> {
        let Some(name) = group else {
            return Ok(Self::default());
        };
        let groups = fs::read_to_string("/etc/group").unwrap_or_default();
        let number = groups.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
        });
        match number.or_else(|| name.parse().ok()) {
            Some(group) => Ok(Self { group: Some(group) }),
            None => {
                let name = name.to_owned();
                Err(archive::Error::NoGroup { name }.into())
            }
        }
    }

    /// The mode of directories.
    pub(super) fn dir(self) -> u32 {
        self.group.map_or(0o700, |_| 0o750)
    }

    /// The mode of files.
    pub(super) fn file(self) -> u32 {
        self.group.map_or(0o600, |_| 0o640)
    }

    fn apply(self, file: &File, mode: u32) -> io::Result<()> {
        if let Some(group) = self.group {
            fchown(file, None, Some(Gid::from_raw(group)))?;
        }
        fchmod(file, Mode::from_raw_mode(mode))?;
        Ok(())
    }
}

/// A directory of the archive that is written into.
#[derive(Debug)]
pub(super) struct Folder {
    directory: Directory,
    access: Access,
}

impl Folder {
    /// Opens the directory that the user names, for writing into it. It is made if it is not
    /// there, and so are those above it.
    pub(super) fn open(path: &Path, access: Access) -> Result<Self> {
        let made = make(path, access)?;
        let directory = Directory::named(path).map_err(|error| Error::io("open", path, error))?;
        Self::new(directory, access, made)
    }

    /// A directory that is open, for writing into it.
    pub(super) fn of(directory: Directory, access: Access) -> Result<Self> {
        Self::new(directory, access, false)
    }

    fn new(directory: Directory, access: Access, made: bool) -> Result<Self> {
        let folder = Self { directory, access };
        if made {
            let applied = access.apply(folder.directory.file(), access.dir());
            applied.map_err(|error| Error::io("set the permissions of", folder.path(), error))?;
            folder.sync()?;
        }
        folder.refuse_unsafe()?;
        Ok(folder)
    }

    fn refuse_unsafe(&self) -> Result<()> {
        let path = || self.path().to_owned();
        let seen = self.directory.stat()?;
        let us = rustix::process::geteuid().as_raw();
        if seen.st_mode & 0o022 != 0 || ![0, us].contains(&seen.st_uid) {
            return Err(archive::Error::Writable { path: path() }.into());
        }
        let volume = fstatfs(self.directory.file());
        let volume = volume.map_err(|error| Error::io("look at", self.path(), error))?;
        // what is left of the sign of a 32-bit number is no part of it
        if VOLATILE.contains(&(volume.f_type as u64 & 0xffff_ffff)) {
            return Err(archive::Error::Volatile { path: path() }.into());
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The directory itself, open.
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The directory of that name in it. It is made if it is not there, and it is on the disk in
    /// any case: a run that was interrupted may have made it.
    pub(super) fn folder(&self, name: &str) -> Result<Self> {
        let made = self.directory.make(name, self.access.dir())?;
        self.sync()?;
        Self::new(self.directory.below(name)?, self.access, made)
    }

    /// Writes a file under a temporary name with `write`, which gives a result when the file is
    /// flushed; only then it gets the name that `name` makes of the result. After an error the
    /// file is gone.
    ///
    /// It is opened once, for reading too: a policy that measures what root reads sees the same
    /// empty file each time.
    pub(super) fn create<T>(
        &self,
        write: impl FnOnce(&mut File) -> Result<T>,
        name: impl FnOnce(&T) -> String,
    ) -> Result<T> {
        self.remove_if_there(PARTIAL)?;
        let path = self.directory.path_of(PARTIAL);
        let mut file = self.directory.create(PARTIAL, self.access.file())?;
        let applied = self.access.apply(&file, self.access.file());
        let written = applied
            .map_err(|error| Error::io("set the permissions of", &path, error))
            .and_then(|()| write(&mut file));
        let renamed = written.and_then(|result| {
            self.rename(PARTIAL, &name(&result))?;
            Ok(result)
        });
        if renamed.is_err() {
            // what failed is told; that this fails as well changes nothing
            let _ = self.directory.remove(PARTIAL);
        }
        renamed
    }

    /// Opens the file of that name for appending; it is made if it is not there.
    pub(super) fn append(&self, name: &str) -> Result<File> {
        let (file, there) = self.directory.append(name, self.access.file())?;
        if !there {
            let applied = self.access.apply(&file, self.access.file());
            let path = self.directory.path_of(name);
            applied.map_err(|error| Error::io("set the permissions of", path, error))?;
            self.sync()?;
        }
        Ok(file)
    }

    /// Renames and flushes the directory.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.directory.rename(from, to)?;
        self.sync()
    }

    /// Removes, without flushing the directory.
    pub(super) fn remove_if_there(&self, name: &str) -> Result<()> {
        self.directory.remove(name)
    }

    /// Waits until the directory is on the disk.
    pub(super) fn sync(&self) -> Result<()> {
        sync(self.directory.file(), self.path())
    }
}

/// Waits until a file is on the disk. What could not be written then is lost, and no later call
/// would tell: the file has to be written anew.
pub(super) fn sync(file: &File, path: &Path) -> Result<()> {
    file.sync_all().map_err(|error| {
        let path = path.to_owned();
        archive::Error::NotFlushed { path, error }.into()
    })
}

/// Asks the system to forget what it has of a flushed file, so that it is read from the disk.
pub(super) fn forget(file: &File) {
    // advice only: without it, the check reads what was meant to be written
    let _ = fadvise(file, 0, None, Advice::DontNeed);
}

/// Makes a directory and those above it. Was it not there? It is in its parent on the disk in any
/// case: a run that was interrupted may have made it.
fn make(path: &Path, access: Access) -> Result<bool> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    };
    let made = match DirBuilder::new().mode(access.dir()).create(path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !parent.exists() => {
            Folder::open(parent, access)?;
            return make(path, access);
        }
        Err(error) => return Err(Error::io("create the directory", path, error)),
    };
    let folder = File::open(parent).map_err(|error| Error::io("open", parent, error))?;
    sync(&folder, parent)?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::fixture::disk;
    use std::{
        fs::Permissions,
        io::Write,
        os::unix::fs::{MetadataExt, PermissionsExt},
    };

    fn write(file: &mut File) -> Result<()> {
        file.write_all(b"text").unwrap();
        Ok(())
    }

    #[test]
    fn a_file_is_there_when_it_is_complete() {
        let disk = disk();
        let folder = Folder::open(&disk.path().join("new/folder"), Access::default()).unwrap();
        folder.create(write, |()| "name".to_owned()).unwrap();
        assert_eq!(folder.directory().names().unwrap(), ["name"]);
        let failed = folder.create(
            |file| {
                write(file)?;
                let seen = folder.directory().names()?;
                assert!(seen.contains(&PARTIAL.to_owned()));
                Err::<(), _>(Error::io("write", "it", io::ErrorKind::Other))
            },
            |()| "never".to_owned(),
        );
        assert!(failed.is_err());
        assert_eq!(folder.directory().names().unwrap(), ["name"]);
        let modes = ["new/folder", "new/folder/name"].map(|name| {
            let seen = fs::metadata(disk.path().join(name)).unwrap();
            seen.mode() & 0o7777
        });
        assert_eq!(modes, [0o700, 0o600]);
    }

    #[test]
    fn no_place_for_an_archive() {
        let disk = disk();
        let open = || Folder::open(disk.path(), Access::default());
        for (mode, refused) in [(0o777, true), (0o770, true), (0o755, false)] {
            fs::set_permissions(disk.path(), Permissions::from_mode(mode)).unwrap();
            assert_eq!(open().is_err(), refused, "{mode:o}");
        }
        let shm = Path::new("/dev/shm");
        let volatile = fstatfs(File::open("/dev/shm").unwrap()).unwrap().f_type as u64;
        if VOLATILE.contains(&(volatile & 0xffff_ffff)) {
            let memory = tempfile::tempdir_in(shm).unwrap();
            let error = Folder::open(memory.path(), Access::default()).unwrap_err();
            assert!(error.to_string().contains("lost at a reboot"), "{error}");
        }
    }

    #[test]
    fn groups() {
        assert_eq!(Access::new(None).unwrap().file(), 0o600);
        for name in ["root", "0"] {
            let access = Access::new(Some(name)).unwrap();
            assert_eq!(
                (access.group, access.dir(), access.file()),
                (Some(0), 0o750, 0o640)
            );
        }
        assert!(Access::new(Some("no such group")).is_err());
    }
}
