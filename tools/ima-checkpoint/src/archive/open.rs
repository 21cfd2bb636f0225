// SPDX-License-Identifier: GPL-2.0

//! Opening what an archive holds.
//!
//! An archive may come from anybody. A link in it would lead to other files, a FIFO would never
//! end, and a device could do anything. So this is the only way in: nothing is opened by its path,
//! but by its name in an open directory; it is opened without following a link and without
//! waiting; and it must be a regular file, or a directory. The archive's own directory, which the
//! user names, may be a link.

use crate::{
    archive,
    error::{Error, Result},
};
use rustix::{
    fs::{
        fstat, mkdirat, openat, renameat, statat, unlinkat, AtFlags, Dir, FileType, Mode, OFlags,
        Stat, CWD,
    },
    io::Errno,
};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What each open gets besides. `NOCTTY` and `NONBLOCK` matter only if a file becomes something
/// else between looking at it and opening it.
const ALWAYS: OFlags = OFlags::CLOEXEC
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// A directory of an archive, open.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    /// For messages only.
    path: PathBuf,
    file: Arc<File>,
}

impl Directory {
    /// The directory that the user names.
    ///
    /// # Errors
    ///
    /// It is none, or cannot be opened.
    pub(crate) fn named(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let file = openat(CWD, path, flags, Mode::empty())?;
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(file.into()),
        })
    }

    /// The directory of that name in it.
    ///
    /// # Errors
    ///
    /// [`archive::Error::Absent`] if there is nothing of that name,
    /// [`archive::Error::WrongKind`] if it is a link or something else, else it cannot be opened.
    pub(crate) fn below(&self, name: &str) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let file = self.open_as(name, flags, Mode::empty(), FileType::Directory)?;
        Ok(Self {
            path: self.path_of(name),
            file: Arc::new(file),
        })
    }

    /// Opens the regular file of that name for reading.
    ///
    /// # Errors
    ///
    /// As [`Directory::below`].
    pub(crate) fn open(&self, name: &str) -> Result<File> {
        let flags = OFlags::RDONLY;
        self.open_as(name, flags, Mode::empty(), FileType::RegularFile)
    }

    /// Opens the regular file of that name for appending. It is made with this mode if it is not
    /// there; was it?
    ///
    /// # Errors
    ///
    /// As [`Directory::below`].
    pub(crate) fn append(&self, name: &str, mode: u32) -> Result<(File, bool)> {
        let there = self.look(name)?.is_some();
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
        let mode = Mode::from_raw_mode(mode);
        let file = self.open_as(name, flags, mode, FileType::RegularFile)?;
        Ok((file, there))
    }

    /// Makes a file for reading and writing.
    ///
    /// # Errors
    ///
    /// There is something of that name, or it cannot be made.
    pub(crate) fn create(&self, name: &str, mode: u32) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        match openat(&*self.file, name, flags, Mode::from_raw_mode(mode)) {
            Ok(file) => Ok(file.into()),
            Err(error) => Err(self.failed("create", name, error)),
        }
    }

    /// Makes a directory in it. Was it not there?
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub(crate) fn make(&self, name: &str, mode: u32) -> Result<bool> {
        match mkdirat(&*self.file, name, Mode::from_raw_mode(mode)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(self.failed("create the directory", name, error)),
        }
    }

    /// Gives a file another name.
    ///
    /// # Errors
    ///
    /// It cannot be renamed.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        let renamed = renameat(&*self.file, from, &*self.file, to);
        renamed.map_err(|error| self.failed("make", to, error))
    }

    /// Removes a file, or a link, if there is one.
    ///
    /// # Errors
    ///
    /// It cannot be removed.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        match unlinkat(&*self.file, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed("remove", name, error)),
        }
    }

    /// What there is of that name: the link itself, if it is one.
    ///
    /// # Errors
    ///
    /// It cannot be looked at.
    pub(crate) fn look(&self, name: &str) -> Result<Option<Stat>> {
        match statat(&*self.file, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(seen) => Ok(Some(seen)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.failed("look at", name, error)),
        }
    }

    /// What the directory itself is.
    ///
    /// # Errors
    ///
    /// It cannot be looked at.
    pub(crate) fn stat(&self) -> Result<Stat> {
        fstat(&*self.file).map_err(|error| Error::io("look at", &self.path, error))
    }

    /// The size of a file, 0 if it is not there.
    pub(crate) fn size(&self, name: &str) -> u64 {
        let seen = self.look(name).ok().flatten();
        seen.map_or(0, |seen| u64::try_from(seen.st_size).unwrap_or(0))
    }

    /// The names in it that are text; no other is the archive's.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        self.each_name(|name| {
            names.push(name);
            Ok(())
        })?;
        Ok(names)
    }

    /// Hands on one such name after the other: there may be many.
    ///
    /// # Errors
    ///
    /// It cannot be read, or `each` gave an error.
    pub(crate) fn each_name(&self, mut each: impl FnMut(String) -> Result<()>) -> Result<()> {
        let failed = |error: Errno| Error::io("read", &self.path, error);
        for entry in Dir::read_from(&*self.file).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_owned().into_string();
            if let Some(name) = name.ok().filter(|name| name != "." && name != "..") {
                each(name)?;
            }
        }
        Ok(())
    }

    /// Its path, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of what has that name in it, for messages.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The directory itself.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    fn open_as(&self, name: &str, flags: OFlags, mode: Mode, wanted: FileType) -> Result<File> {
        let seen = self.look(name)?;
        if let Some(seen) = seen {
            self.require(name, wanted, &seen)?;
        } else if !flags.contains(OFlags::CREATE) {
            let path = self.path_of(name);
            return Err(archive::Error::Absent { path }.into());
        }
        let file = openat(&*self.file, name, flags | ALWAYS, mode)
            .map_err(|error| self.failed("open", name, error))?;
        // it may have been exchanged in between
        let seen = fstat(&file).map_err(|error| self.failed("look at", name, error))?;
        self.require(name, wanted, &seen)?;
        Ok(file.into())
    }

    fn require(&self, name: &str, wanted: FileType, seen: &Stat) -> Result<()> {
        let found = kind(seen);
        if found == wanted {
            return Ok(());
        }
        let path = self.path_of(name);
        Err(archive::Error::WrongKind {
            path,
            found,
            wanted,
        }
        .into())
    }

    fn failed(&self, what: &'static str, name: &str, error: Errno) -> Error {
        Error::io(what, self.path_of(name), error)
    }
}

/// What is it?
pub(crate) fn kind(seen: &Stat) -> FileType {
    FileType::from_raw_mode(seen.st_mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{mknodat, symlinkat};
    use std::{fs, io::Write};

    fn directory() -> (tempfile::TempDir, Directory) {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::named(folder.path()).unwrap();
        fs::write(folder.path().join("file"), "text").unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        for (to, name) in [("file", "link"), ("folder", "way"), ("nowhere", "dead")] {
            symlinkat(to, directory.file(), name).unwrap();
        }
        let mode = Mode::from_raw_mode(0o600);
        mknodat(directory.file(), "fifo", FileType::Fifo, mode, 0).unwrap();
        (folder, directory)
    }

    /// It is refused because it is what it is; why?
    fn refused<T>(result: Result<T>) -> String {
        let error = result.err().expect("it is refused");
        let wrong = matches!(error, Error::Archive(archive::Error::WrongKind { .. }));
        assert!(wrong, "{error:?}");
        error.to_string()
    }

    #[test]
    fn only_files_are_read() {
        let (_folder, directory) = directory();
        assert!(directory.open("file").is_ok());
        for (name, what) in [
            ("link", "is a symbolic link, not a file"),
            ("dead", "is a symbolic link, not a file"),
            ("fifo", "is a FIFO, not a file"),
            ("folder", "is a directory, not a file"),
        ] {
            let text = refused(directory.open(name));
            assert!(text.contains(what), "{text}");
            refused(directory.append(name, 0o600));
        }
        assert!(directory.open("none").is_err_and(|error| error.is_absent()));
    }

    #[test]
    fn only_directories_are_entered() {
        let (_folder, directory) = directory();
        let inner = directory.below("folder").unwrap();
        inner.create("inside", 0o600).unwrap();
        assert_eq!(inner.names().unwrap(), ["inside"]);
        for name in ["way", "dead", "file", "fifo"] {
            let text = refused(directory.below(name));
            assert!(text.contains("not a directory"), "{text}");
        }
        assert!(!directory.make("way", 0o700).unwrap());
    }

    #[test]
    fn the_directory_itself_may_be_a_link() {
        let (folder, _directory) = directory();
        let linked = Directory::named(&folder.path().join("way")).unwrap();
        assert!(linked.names().unwrap().is_empty());
        assert!(Directory::named(&folder.path().join("fifo")).is_err());
    }

    #[test]
    fn what_is_appended_to_is_made() {
        let (_folder, directory) = directory();
        for there in [false, true] {
            let (mut file, was_there) = directory.append("new", 0o600).unwrap();
            assert_eq!(was_there, there);
            file.write_all(b"a line\n").unwrap();
        }
        assert_eq!(directory.size("new"), 14);
    }
}
