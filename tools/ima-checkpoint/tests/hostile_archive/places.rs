// SPDX-License-Identifier: GPL-2.0

//! What is in the place of files and directories, and how they are named.

use crate::archive::{fifo, file, file_name, frame, log_id, private, Archive, Result, ALL, HOST};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{symlink, PermissionsExt},
    path::Path,
};

#[test]
fn file_names_with_escape_sequences() -> Result {
    let archive = Archive::new()?;
    let name = "\u{1b}]0;PWNED\u{7}\u{1b}[2J\nnote: all good\n\u{9b}2J\u{202e}";
    archive.write(name, b"")?;
    archive.expect(&["fsck"], 0, r"\x1b]0;PWNED\x07\x1b[2J\x0anote: all good")
}

#[test]
fn fork_with_an_escape_sequence_in_its_name() -> Result {
    let archive = Archive::new()?;
    let fork = file(&archive.meta(1)?, &frame(&archive.body(1)?)?);
    archive.write("0000000001.fork-\u{1b}[31mX.zst", &fork)?;
    archive.expect(&ALL, 1, r"fork-\x1b[31mX.zst: its metadata")
}

#[test]
fn path_of_the_archive_with_escape_sequences() -> Result {
    let archive = Archive::new()?;
    let name = "\u{1b}[2J\n";
    fs::rename(archive.dir(), archive.folder.path().join(name))?;
    for command in ["fsck", "verify"] {
        let said = archive.program(&[command, "--archive", "\u{1b}]0;x"])?;
        assert_eq!(said.code, Some(5));
        assert!(said.complaints.contains(r"\x1b]0;x"), "{}", said.complaints);
        archive.program(&[command, "--archive", name])?;
        archive.program(&[command, "--archive", name, "--host", "\u{1b}"])?;
    }
    for arguments in [
        ["verify", "--json"],
        ["inspect", "--json"],
        ["inspect", "-"],
    ] {
        let segment = Path::new(name).join(HOST).join(log_id()).join(file_name(0));
        let segment = segment.to_str().ok_or("not text")?;
        archive.program(&[arguments[0], arguments[1], segment])?;
    }
    Ok(())
}

#[test]
fn segment_is_no_file() -> Result {
    let archive = Archive::new()?;
    let elsewhere = archive.folder.path().join("elsewhere.zst");
    fs::rename(archive.path(&file_name(1)), &elsewhere)?;
    archive.replace(&file_name(1), |path| Ok(symlink(&elsewhere, path)?))?;
    archive.expect(&ALL, 1, "0000000001.zst is a symbolic link, not a file")?;
    archive.replace(&file_name(1), fifo)?;
    archive.expect(&ALL, 1, "0000000001.zst is a FIFO, not a file")?;
    archive.replace(&file_name(1), |path| Ok(fs::create_dir(path)?))?;
    archive.expect(&ALL, 1, "0000000001.zst is a directory, not a file")
}

#[test]
fn directory_of_a_log_is_a_link() -> Result {
    let archive = Archive::new()?;
    let elsewhere = archive.folder.path().join("elsewhere");
    fs::rename(archive.path(""), &elsewhere)?;
    symlink(&elsewhere, archive.dir().join(HOST).join(log_id()))?;
    let commands = ["verify", "fsck", "cat", "reindex"];
    archive.expect(&commands, 1, "is a symbolic link, not a directory")?;
    fs::remove_file(archive.dir().join(HOST).join(log_id()))?;
    fifo(&archive.dir().join(HOST).join(log_id()))?;
    archive.expect(&commands, 1, "is a FIFO, not a directory")
}

#[test]
fn directory_of_a_host_is_a_link() -> Result {
    let archive = Archive::new()?;
    let elsewhere = archive.folder.path().join("elsewhere");
    fs::rename(archive.dir().join(HOST), &elsewhere)?;
    symlink(&elsewhere, archive.dir().join(HOST))?;
    archive.expect(&ALL, 1, "web1 is a symbolic link, not a directory")?;
    // another host is not concerned
    archive.fill("web2")?;
    let said = archive.program(&["cat", "--no-live", "--archive", "archive", "--host", "web2"])?;
    assert_eq!(said.code, Some(0), "{}", said.complaints);
    // unless nobody says which one is meant
    let said = archive.program(&["cat", "--no-live", "--archive", "archive"])?;
    assert_eq!(said.code, Some(1), "{}", said.complaints);
    Ok(())
}

#[test]
fn archive_itself_is_a_link() -> Result {
    let archive = Archive::new()?;
    fs::rename(archive.dir(), archive.folder.path().join("elsewhere"))?;
    symlink("elsewhere", archive.dir())?;
    archive.expect(&["fsck", "cat"], 0, "")
}

#[test]
fn partial_is_no_file() -> Result {
    for make in [fifo, |path: &Path| Ok(fs::create_dir(path)?)] {
        let archive = Archive::new()?;
        make(&archive.path(".partial"))?;
        archive.expect(&["fsck"], 1, "no archiver can write")?;
    }
    Ok(())
}

#[test]
fn segment_0_as_another() -> Result {
    let archive = Archive::new()?;
    fs::hard_link(archive.path(&file_name(0)), archive.path("0000000005.zst"))?;
    let why = "the contents are those of 0000000000.zst";
    archive.expect(&ALL, 1, why)
}

#[test]
fn host_is_no_path() -> Result {
    let archive = Archive::new()?;
    archive.fill("web2")?;
    for (host, code) in [("..", 5), ("../archive/web1", 5), ("web1/", 5), ("web1", 0)] {
        let said =
            archive.program(&["cat", "--no-live", "--archive", "archive", "--host", host])?;
        assert_eq!(said.code, Some(code), "{host}: {}", said.complaints);
    }
    let said = archive.program(&["cat", "--no-live", "--archive", "archive"])?;
    assert_eq!(said.code, Some(2), "{}", said.complaints);
    Ok(())
}

/// The exit code 4 is for what is against a policy.
#[test]
fn permissions() -> Result {
    let archive = Archive::new()?;
    for (name, mode, code) in [
        ("", 0o755, 4),
        ("index", 0o604, 4),
        ("0000000001.zst", 0o644, 4),
        ("0000000001.zst", 0o640, 0),
        ("0000000001.zst", 0o620, 1),
        ("", 0o770, 1),
        ("", 0o750, 0),
    ] {
        let path = archive.path(name);
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        archive.expect(&["fsck"], code, "")?;
        private(&path)?;
    }
    Ok(())
}
