// SPDX-License-Identifier: GPL-2.0

//! What an index says.

use crate::archive::{fifo, file, file_name, frame, Archive, Result};
use std::{fs, os::unix::fs::symlink};

#[test]
fn index_is_no_file() -> Result {
    let archive = Archive::new()?;
    let commands = ["fsck", "reindex"];
    archive.replace("index", fifo)?;
    archive.expect(&commands, 1, "index is a FIFO, not a file")?;
    for to in ["/dev/zero", "/etc/passwd", "/nowhere"] {
        archive.replace("index", |path| {
            let _ = fs::remove_file(path);
            Ok(symlink(to, path)?)
        })?;
        archive.expect(&commands, 1, "index is a symbolic link, not a file")?;
        assert!(archive.path("index").is_symlink());
    }
    Ok(())
}

#[test]
fn index_is_large() -> Result {
    let archive = Archive::new()?;
    let index = fs::OpenOptions::new()
        .write(true)
        .open(archive.path("index"))?;
    index.set_len((64 << 20) + 1)?;
    archive.expect(&["fsck"], 8, "it has more than 64 MiB")?;
    archive.expect(&["reindex", "fsck"], 0, "")?;
    let index = fs::OpenOptions::new()
        .write(true)
        .open(archive.path("index"))?;
    index.set_len(1 << 40)?;
    archive.expect(&["fsck", "reindex"], 8, "it has more than")
}

#[test]
fn index_of_one_line() -> Result {
    let archive = Archive::new()?;
    archive.write("index", &vec![b'{'; 60 << 20])?;
    archive.expect(&["fsck"], 8, "index: damaged")
}

#[test]
fn index_names_what_is_elsewhere() -> Result {
    let archive = Archive::new()?;
    let sha256 = "ab".repeat(32);
    let name = "0000000001.fork-/../../../../../../etc/passwd.zst";
    archive.note(&format!(
        "{{\"archived\":{{\"file\":\"{name}\",\"sha256\":\"{sha256}\"}}}}\n"
    ))?;
    archive.expect(&["fsck"], 8, "index: damaged")
}

#[test]
fn gaps_are_ranges() -> Result {
    let archive = Archive::new()?;
    let mut meta = archive.meta(2)?;
    meta["seq"] = 9_999_999_999_u64.into();
    let far = file(&meta, &frame(&archive.body(2)?)?);
    archive.write("9999999999.zst", &far)?;
    let gap = |to: u64| format!("{{\"gap\":{{\"from\":0,\"to\":{to},\"at_ns\":0}}}}\n");
    archive.note(&gap(99_999_999_999))?;
    let why = "segments 4 to 9999999998 are missing: they were freed in the kernel";
    archive.expect(&["fsck"], 1, why)?;
    archive.note(&(0..2000).map(gap).collect::<String>())?;
    archive.expect(&["fsck"], 1, why)?;
    archive.note(&gap(u64::MAX))?;
    archive.expect(&["fsck", "cat", "verify"], 1, "")
}

#[test]
fn removed_as_the_index_says() -> Result {
    let archive = Archive::new()?;
    for seq in 0..2 {
        fs::remove_file(archive.path(&file_name(seq)))?;
    }
    archive.note("{\"removed\":{\"before\":2,\"at_ns\":0}}\n")?;
    archive.expect(&["fsck"], 0, "segments before 2 were removed as requested")?;
    archive.expect(&["verify"], 5, "the list starts with checkpoint 2")
}
