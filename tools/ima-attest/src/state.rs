// SPDX-License-Identifier: GPL-2.0

//! What must be the same after a restart: the attestation key, and when the host was switched on.

use crate::{
    error::{Error, Result},
    tpm::KeyParts,
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    io::Write,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};
use tempfile::NamedTempFile;

/// A directory that only this program uses.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// The boot that the log began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// Resets of the TPM, which a kexec is not.
    pub resets: u32,
    /// When the kernel started that was seen first after that reset, in seconds since 1970.
    pub time: u64,
}

impl Boot {
    /// The boot that the log began with, if the TPM says so many resets and the running kernel started at
    /// `kernel`. A verifier of Keylime takes a later time for a new log, and never an earlier one.
    pub fn now(known: Option<Self>, resets: u32, kernel: u64) -> Self {
        match known {
            Some(known) if known.resets == resets => known,
            Some(known) => Self {
                resets,
                time: kernel.max(known.time.saturating_add(1)),
            },
            None => Self {
                resets,
                time: kernel,
            },
        }
    }

    /// As RFC 3339 has it.
    pub fn rfc3339(self) -> String {
        let last = 253_402_300_799;
        let time = UNIX_EPOCH + Duration::from_secs(self.time.min(last));
        humantime::format_rfc3339_seconds(time).to_string()
    }
}

impl Folder {
    /// The directory, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn new(path: &Path) -> Result<Self> {
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(path);
        made.map_err(|error| Error::File(path.to_owned(), error))?;
        Ok(Self(path.to_owned()))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.0.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::File(path, error)),
        }
    }

    /// Writes a file whole, or not at all. A new file is for its owner only.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.0.join(name);
        let write = || {
            let mut file = NamedTempFile::new_in(&self.0)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            fs::File::open(&self.0)?.sync_all()
        };
        write().map_err(|error| Error::File(path.clone(), error))
    }

    /// The attestation key, if there is one.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn key(&self) -> Result<Option<KeyParts>> {
        let Some(bytes) = self.read("key")? else {
            return Ok(None);
        };
        let damaged = || Error::State(self.0.join("key"));
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (public, private) = rest.split_at_checked(length).ok_or_else(damaged)?;
        Ok(Some(KeyParts {
            public: public.to_owned(),
            private: private.to_owned(),
        }))
    }

    /// Keeps the attestation key: both parts in one file, so that they belong together.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn keep_key(&self, parts: &KeyParts) -> Result<()> {
        let length = u32::try_from(parts.public.len()).unwrap_or(u32::MAX);
        let bytes = [
            &length.to_le_bytes(),
            parts.public.as_slice(),
            &parts.private,
        ]
        .concat();
        self.write("key", &bytes)
    }

    /// The boot that the log began with, by what was kept and what the TPM says now.
    ///
    /// # Errors
    ///
    /// A file cannot be read or written.
    pub fn boot(&self, resets: u32) -> Result<Boot> {
        let known = match self.read("boot")? {
            Some(json) => {
                Some(serde_json::from_slice(&json).map_err(|_| Error::State(self.0.join("boot")))?)
            }
            None => None,
        };
        let boot = Boot::now(known, resets, kernel_start()?);
        if known != Some(boot) {
            let json = serde_json::to_vec(&boot).unwrap_or_default();
            self.write("boot", &json)?;
        }
        Ok(boot)
    }
}

/// When the running kernel started.
fn kernel_start() -> Result<u64> {
    let path = PathBuf::from("/proc/stat");
    let text = fs::read_to_string(&path).map_err(|error| Error::File(path.clone(), error))?;
    let line = text.lines().find_map(|line| line.strip_prefix("btime "));
    let time = line.and_then(|time| time.trim().parse().ok());
    time.ok_or(Error::State(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kexec_is_no_boot() {
        let first = Boot::now(None, 7, 1000);
        assert_eq!(first.time, 1000);
        // the kernel after a kexec started later, or the clock was set
        for kernel in [1000, 2000, 10] {
            assert_eq!(Boot::now(Some(first), 7, kernel), first);
        }
        let second = Boot::now(Some(first), 8, 2000);
        assert_eq!((second.resets, second.time), (8, 2000));
        // a clock that is wrong until it is set: the time must not go back
        assert_eq!(Boot::now(Some(second), 9, 5).time, 2001);
        assert_eq!(first.rfc3339(), "1970-01-01T00:16:40Z");
    }

    #[test]
    fn it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::new(&folder.path().join("new")).unwrap();
        assert_eq!(folder.key().unwrap(), None);
        let parts = KeyParts {
            public: b"public".to_vec(),
            private: b"private".to_vec(),
        };
        folder.keep_key(&parts).unwrap();
        assert_eq!(folder.key().unwrap(), Some(parts));
        let boot = folder.boot(3).unwrap();
        assert_eq!(folder.boot(3).unwrap(), boot);
        assert!(folder.boot(4).unwrap().time > boot.time);
        folder.write("key", b"\xff\xff\0\0x").unwrap();
        assert!(matches!(folder.key(), Err(Error::State(_))));
    }
}
