// SPDX-License-Identifier: GPL-2.0

//! Where the files of an archive are read from: a directory, or a store.
//!
//! A store is read in place and not copied into a directory first, although that would need less
//! code here: a log may be larger than the disk of whoever verifies it, and what is verified must be
//! what was read, once. There are two kinds of place and no third is in sight, so that this is an
//! enum and not a trait.

use super::open::{self, Directory};
use crate::{
    error::Result,
    remote::{Folder, Object},
};
use rustix::fs::FileType;
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Where files are.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In a directory.
    Directory(Directory),
    /// In a store.
    Store(Folder),
}

impl From<Directory> for Place {
    fn from(directory: Directory) -> Self {
        Self::Directory(directory)
    }
}

impl From<Folder> for Place {
    fn from(folder: Folder) -> Self {
        Self::Store(folder)
    }
}

impl Place {
    /// What messages call it.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Directory(directory) => directory.path(),
            Self::Store(folder) => folder.path(),
        }
    }

    /// What messages call what has that name in it.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        match self {
            Self::Directory(directory) => directory.path_of(name),
            Self::Store(folder) => folder.path_of(name),
        }
    }

    /// The directory, if it is one: a store has no permissions, no locks and no index.
    pub(super) fn directory(&self) -> Option<&Directory> {
        match self {
            Self::Directory(directory) => Some(directory),
            Self::Store(_) => None,
        }
    }

    /// The place of that name in it.
    ///
    /// # Errors
    ///
    /// As [`Directory::below`]; in a store nothing has to be there.
    pub(super) fn below(&self, name: &str) -> Result<Self> {
        Ok(match self {
            Self::Directory(directory) => directory.below(name)?.into(),
            Self::Store(folder) => folder.below(name).into(),
        })
    }

    /// The names of what is in it and is no file, in any order. What else it is, [`Place::below`]
    /// tells.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(super) fn folders(&self) -> Result<Vec<String>> {
        let directory = match self {
            Self::Directory(directory) => directory,
            Self::Store(folder) => return folder.folders(),
        };
        let mut folders = Vec::new();
        for name in directory.names()? {
            let seen = directory.look(&name)?;
            if seen.is_some_and(|seen| open::kind(&seen) != FileType::RegularFile) {
                folders.push(name);
            }
        }
        Ok(folders)
    }

    /// Calls `each` with the name of each file in it, and of what else there is, in any order.
    ///
    /// # Errors
    ///
    /// It cannot be read, or `each` fails.
    pub(super) fn each_name(&self, each: impl FnMut(String) -> Result<()>) -> Result<()> {
        match self {
            Self::Directory(directory) => directory.each_name(each),
            Self::Store(folder) => folder.each_name(each),
        }
    }

    /// Opens the file of that name for reading.
    ///
    /// # Errors
    ///
    /// As [`Directory::open`] or [`Folder::open`].
    pub(super) fn open(&self, name: &str) -> Result<Source> {
        Ok(match self {
            Self::Directory(directory) => directory.open(name)?.into(),
            Self::Store(folder) => folder.open(name)?.into(),
        })
    }
}

/// A file of an archive, open for reading.
#[derive(Debug)]
pub(super) enum Source {
    /// From a directory.
    File(File),
    /// From a store.
    Object(Box<Object>),
}

impl From<File> for Source {
    fn from(file: File) -> Self {
        Self::File(file)
    }
}

impl From<Object> for Source {
    fn from(object: Object) -> Self {
        Self::Object(Box::new(object))
    }
}

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(out),
            Self::Object(object) => object.read(out),
        }
    }
}
