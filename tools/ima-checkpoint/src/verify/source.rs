// SPDX-License-Identifier: GPL-2.0

//! Where the bytes of a list come from. A source is read more than once, so what cannot be is kept
//! in a temporary file.

use crate::{
    archive::{
        Log,
        Meta, //
    },
    input::{
        is_zstd,
        Input, //
    },
    outcome::{
        Code,
        Error,
        Result, //
    },
};
use rustix::io::Errno;
use std::{
    fs::{
        self,
        File, //
    },
    io::{
        self,
        Read, //
    },
    os::unix::fs::FileExt,
    path::{
        Path,
        PathBuf, //
    },
};

/// A file with records.
#[derive(Debug)]
pub struct Source {
    /// What messages call it.
    pub name: String,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// Can be read anywhere.
    Plain(File),
    Compressed(PathBuf),
    Archived(Log, Box<Meta>),
}

impl Source {
    /// A file, or standard input if it is called `-`.
    ///
    /// # Errors
    ///
    /// It cannot be opened or read.
    pub fn open(path: &Path) -> Result<Self> {
        let is_file = fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() > 0);
        if path == Path::new("-") || !is_file {
            let Input { name, bytes } = Input::open(path)?;
            return Self::spool(name, bytes);
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| Error::io("open", path, &error))?;
        let mut magic = [0; 4];
        let read = file.read_at(&mut magic, 0);
        let read = read.map_err(|error| Error::io("read", path, &error))?;
        let content = if is_zstd(magic.get(..read).unwrap_or_default()) {
            Content::Compressed(path.to_owned())
        } else {
            Content::Plain(file)
        };
        Ok(Self { name, content })
    }

    /// Keeps what can be read only once.
    ///
    /// # Errors
    ///
    /// It cannot be read, or there is no room for it. [`Code::Stale`] if it was truncated meanwhile,
    /// [`Code::Tampered`] if it is compressed and damaged.
    pub fn spool(name: impl Into<String>, mut bytes: impl Read) -> Result<Self> {
        let name = name.into();
        let mut file = tempfile::tempfile()
            .map_err(|error| Error::io("create a file in", std::env::temp_dir(), &error))?;
        if let Err(error) = io::copy(&mut bytes, &mut file) {
            let code = match error.raw_os_error().map(Errno::from_raw_os_error) {
                None => Code::Tampered,
                Some(Errno::STALE) => Code::Stale,
                Some(_) => Code::Internal,
            };
            let error = Error::io("read", &name, &error);
            return Err(Error::new(code, error.to_string()));
        }
        Ok(Self {
            name,
            content: Content::Plain(file),
        })
    }

    /// A segment of an archive.
    pub fn archived(log: &Log, meta: Meta) -> Self {
        Self {
            name: log.path(&meta).display().to_string(),
            content: Content::Archived(log.clone(), Box::new(meta)),
        }
    }

    /// Is the size known before it is read?
    pub fn size(&self) -> Option<u64> {
        match &self.content {
            Content::Plain(file) => file.metadata().ok().map(|meta| meta.len()),
            Content::Compressed(_) => None,
            Content::Archived(_, meta) => Some(meta.bytes),
        }
    }

    /// Reads from a byte on.
    ///
    /// # Errors
    ///
    /// It cannot be opened or read.
    pub fn read_from(&self, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        let mut bytes: Box<dyn Read + Send> = match &self.content {
            Content::Plain(file) => return Ok(Box::new(At { file, offset })),
            Content::Compressed(path) => Input::open(path)?.bytes,
            Content::Archived(log, meta) => Box::new(log.open(meta)?),
        };
        io::copy(&mut bytes.by_ref().take(offset), &mut io::sink())
            .map_err(|error| Error::io("read", &self.name, &error))?;
        Ok(bytes)
    }
}

/// Reads a file without moving its place, which others use too.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(out, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
