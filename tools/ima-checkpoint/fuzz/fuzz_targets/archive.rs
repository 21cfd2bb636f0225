// SPDX-License-Identifier: GPL-2.0

//! The file of an archived segment: read as an archive and as a list, it gives no more than it says.

#![no_main]

use ima_checkpoint::{archive::Archive, error::Result, input::Input};
use libfuzzer_sys::fuzz_target;
use std::{fs, io::Read, path::PathBuf, sync::LazyLock};

/// Bytes of a list that are read, at most.
const ENOUGH: u64 = 4 << 20;

static ARCHIVE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    };
    folder.join(format!("fuzz-archive-{}", std::process::id()))
});

fuzz_target!(|bytes: &[u8]| {
    let log = ARCHIVE.join("host").join("5c".repeat(16));
    fs::create_dir_all(&log).expect("a folder in memory");
    let file = log.join("0000000000.zst");
    fs::write(&file, bytes).expect("a file in memory");
    let read = read_archive();
    let list = Input::open(&file).map(|input| {
        let mut list = Vec::new();
        let read = input.bytes.take(ENOUGH).read_to_end(&mut list);
        read.map(|_| list)
    });
    fs::remove_dir_all(&*ARCHIVE).expect("it was made");
    // both readers agree
    if let (Ok(Some(segment)), Ok(Ok(list))) = (read, list) {
        assert!(list.len() as u64 == ENOUGH || segment == list);
    }
});

/// The bytes of the segment, if they are there in full.
fn read_archive() -> Result<Option<Vec<u8>>> {
    let log = Archive::open(&*ARCHIVE)?.log(Some("host"), None)?;
    let Some(name) = log.segments()?.iter().last() else {
        return Ok(None);
    };
    let (meta, contents) = log.read(name)?;
    let mut bytes = Vec::new();
    let read = contents.take(ENOUGH).read_to_end(&mut bytes);
    assert!(bytes.len() as u64 <= meta.bytes);
    let whole = read.is_ok() && (bytes.len() as u64) < ENOUGH;
    assert!(!whole || bytes.len() as u64 == meta.bytes);
    Ok(whole.then_some(bytes))
}
