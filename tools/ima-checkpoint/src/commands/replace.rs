// SPDX-License-Identifier: GPL-2.0

//! Writing a file so that nobody sees a part of it.

use super::Result;
use crate::error::Error;
use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};
use tempfile::Builder;

/// Mode of a new file, before the umask.
const MODE: u32 = 0o666;

/// Replaces a file at once, or makes it. What a link leads to is replaced, and not the link; a file
/// keeps its permissions; and what is no file, such as a pipe, is written to.
///
/// # Errors
///
/// It cannot be written. A file that was there is then as it was.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = write(path, bytes);
    Ok(written.map_err(|error| Error::io("write", path, error))?)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = &match fs::canonicalize(path) {
        Ok(path) => path,
        // a new file, unless it is a link to nothing
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
            path.to_owned()
        }
        Err(error) => return Err(error),
    };
    let permissions = match fs::metadata(path) {
        Ok(seen) if !seen.is_file() => {
            return OpenOptions::new().write(true).open(path)?.write_all(bytes);
        }
        Ok(seen) => Some(seen.permissions()),
        Err(_) => None,
    };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut file = Builder::new()
        .prefix(".ima-checkpoint-")
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(folder.unwrap_or(Path::new(".")))?;
    if let Some(permissions) = permissions {
        file.as_file().set_permissions(permissions)?;
    }
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|failed| failed.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page");
        write(&path, b"one").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("page"), folder.path().join("link"));
        fs::write(&path, b"one").unwrap();
        symlink("page", &link).unwrap();
        write(&link, b"two").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let nowhere = folder.path().join("nowhere");
        symlink("absent", &nowhere).unwrap();
        assert!(write(&nowhere, b"three").is_err());
        assert!(write(&folder.path().join("absent/page"), b"").is_err());
    }

    #[test]
    fn a_device_is_written_to() {
        write(Path::new("/dev/null"), b"something").unwrap();
        let folder = tempfile::tempdir().unwrap();
        assert!(write(folder.path(), b"").is_err());
    }
}
