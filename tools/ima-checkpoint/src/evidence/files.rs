// SPDX-License-Identifier: GPL-2.0

//! Reading the small files that somebody else made: quotes, signatures, keys, PCR values.

use super::Error as Unfit;
use crate::error::{Error, Result};
use rustix::fs::OFlags;
use std::{fs::OpenOptions, io::Read, os::unix::fs::OpenOptionsExt, path::Path};

/// Largest file that is read, in bytes; real ones have some hundred.
const MAX: u64 = 64 << 10;

/// Reads such a file.
///
/// # Errors
///
/// It cannot be read, is no regular file, or is larger than 64 KiB.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    read_up_to(path, MAX)
}

/// Reads a file of at most so many bytes.
///
/// # Errors
///
/// It cannot be read, is no regular file, or is larger.
pub fn read_up_to(path: &Path, max: u64) -> Result<Vec<u8>> {
    let failed = |error| Error::io("read", path, error);
    let owned = || path.to_owned();
    // a FIFO that nobody writes to would block the opening itself, a device the reading
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path);
    let file = opened.map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Unfit::NotRegular { path: owned() }.into());
    }
    let too_large = || Unfit::TooLarge { path: owned(), max };
    if metadata.len() > max {
        return Err(too_large().into());
    }
    // it may grow at the same time
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > max {
        return Err(too_large().into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::{self, File},
        os::unix::net::UnixListener,
    };

    fn refusal(path: &Path) -> String {
        let error = read(path).err();
        error.map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn sizes_are_bounded() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("file");
        fs::write(&path, vec![7; 64 << 10])?;
        assert!(read(&path).is_ok_and(|bytes| bytes == vec![7; 64 << 10]));
        fs::write(&path, vec![7; (64 << 10) + 1])?;
        assert!(refusal(&path).contains("more than 64 KiB"));
        // nothing of it is read
        File::create(&path)?.set_len(1 << 40)?;
        assert!(refusal(&path).contains("more than 64 KiB"));
        Ok(())
    }

    #[test]
    fn nothing_blocks_and_nothing_is_endless() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )?;
        let socket = folder.path().join("socket");
        let _listener = UnixListener::bind(&socket)?;
        for path in [&fifo, Path::new("/dev/zero"), folder.path()] {
            assert!(refusal(path).contains("not a regular file"), "{path:?}");
        }
        assert!(refusal(&socket).contains("cannot read"));
        assert!(refusal(&folder.path().join("none")).contains("cannot read"));
        Ok(())
    }
}
