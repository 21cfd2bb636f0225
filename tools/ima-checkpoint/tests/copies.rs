// SPDX-License-Identifier: GPL-2.0

//! Copying segments into stores: what is there afterwards, and what counts as a copy.

#[path = "../../ima-log/tests/common/mod.rs"]
mod common;
mod memory;
mod s3;

use ima_checkpoint::{
    archive::{
        archiver::{Archiver, Options},
        copies::{Copies, Kept},
        durable::Access,
        rules::{Keep, Remove},
        LogName, Name, State,
    },
    error::Error,
    open_files::Readers,
    remote::{self, Store, StoreUrl},
};
use memory::Memory;
use s3::{Fault, Server};
use std::{
    env, error,
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};
use tempfile::TempDir;

type Result<T = ()> = std::result::Result<T, Box<dyn error::Error>>;

const SEGMENTS: u64 = 5;

/// A folder with an archive, and a server that is this test's until it is dropped.
struct Bed {
    folder: TempDir,
    server: MutexGuard<'static, Server>,
}

/// The server, which the environment names. There is one for all tests of this process.
fn server() -> MutexGuard<'static, Server> {
    static SERVER: OnceLock<Mutex<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let server = Server::start().expect("a server");
        for (name, value) in server.environment() {
            env::set_var(name, value);
        }
        Mutex::new(server)
    });
    let server = server.lock().unwrap_or_else(PoisonError::into_inner);
    *server.state() = s3::State::default();
    server
}

impl Bed {
    fn new() -> Result<Self> {
        let bed = Self {
            // an archive on a tmpfs, as /tmp may be, is refused
            folder: TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?,
            server: server(),
        };
        bed.archive("archive")?;
        Ok(bed)
    }

    /// Archives the host, always with the same records.
    fn archive(&self, name: &str) -> Result {
        let options = Options {
            dir: self.folder.path().join(name),
            host: "host".to_owned(),
            access: Access::default(),
            keep: Keep::default(),
            remove: Remove::default(),
            receipts: None,
            copy_to: None,
            require_copy: false,
            readers: Readers::default(),
        };
        let memory = Memory::new(1000, 200)?;
        Archiver::new(memory, options, Box::new(|_| ()))?.pass()?;
        Ok(())
    }

    fn log(&self) -> LogName {
        LogName {
            host: "host".to_owned(),
            log_id: "5c".repeat(16),
        }
    }

    fn path(&self, archive: &str, seq: u64) -> PathBuf {
        let LogName { host, log_id } = self.log();
        let folder = self.folder.path().join(archive).join(host).join(log_id);
        folder.join(name(seq).to_string())
    }

    fn bytes(&self, seq: u64) -> Vec<u8> {
        fs::read(self.path("archive", seq)).expect("a segment of the archive")
    }

    fn key(&self, seq: u64) -> String {
        let LogName { host, log_id } = self.log();
        format!("a/{host}/{log_id}/{}", name(seq))
    }

    fn object(&self, seq: u64) -> Option<Vec<u8>> {
        self.server.state().objects.get(&self.key(seq)).cloned()
    }

    fn set(&self, seq: u64, bytes: &[u8]) {
        let key = self.key(seq);
        self.server.state().objects.insert(key, bytes.to_vec());
    }

    fn copies(&self) -> Result<Copies> {
        let store = Store::open(&StoreUrl::parse("s3://bucket/a")?)?;
        Ok(Copies::of(&store, &self.log())?)
    }

    fn keep(&self, copies: &mut Copies, seq: u64) -> std::result::Result<Kept, Error> {
        let file = File::open(self.path("archive", seq)).expect("a segment of the archive");
        copies.keep(name(seq), &file)
    }
}

fn name(seq: u64) -> Name {
    Name::of(seq, State::Sealed)
}

#[test]
fn copies_are_the_files() -> Result {
    let bed = Bed::new()?;
    let mut copies = bed.copies()?;
    for seq in 0..SEGMENTS {
        assert!(!copies.has(name(seq)));
        assert_eq!(bed.keep(&mut copies, seq)?, Kept::Written);
        assert!(copies.has(name(seq)));
        assert_eq!(bed.object(seq), Some(bed.bytes(seq)));
    }
    Ok(())
}

#[test]
fn what_is_there_is_not_written_again() -> Result {
    let bed = Bed::new()?;
    bed.keep(&mut bed.copies()?, 0)?;
    let written = bed.server.count("PUT");
    let mut copies = bed.copies()?;
    assert!(copies.has(name(0)) && !copies.has(name(1)));
    assert_eq!(bed.keep(&mut copies, 0)?, Kept::There);
    assert_eq!(bed.server.count("PUT"), written);
    // put there by somebody else since it was listed
    bed.set(1, &bed.bytes(1));
    bed.keep(&mut copies, 1)?;
    assert_eq!(bed.object(1), Some(bed.bytes(1)));
    Ok(())
}

/// The archive was lost, and the kernel still had all: the files differ in when they were written.
#[test]
fn another_file_of_the_same_segment_is_a_copy() -> Result {
    let bed = Bed::new()?;
    bed.archive("other")?;
    let other = fs::read(bed.path("other", 2))?;
    assert_ne!(other, bed.bytes(2));
    bed.set(2, &other);
    bed.keep(&mut bed.copies()?, 2)?;
    assert_eq!(bed.object(2), Some(other));
    Ok(())
}

#[test]
fn another_object_is_no_copy_and_stays() -> Result {
    let bed = Bed::new()?;
    let good = bed.bytes(2);
    let mut flipped = good.clone();
    *flipped.last_mut().ok_or("empty")? ^= 1;
    let mut renamed = good.clone();
    let at = renamed.windows(4).position(|four| four == b"host");
    let at = at.ok_or("no host in the metadata")?;
    renamed[at + 8] ^= 1;
    for bad in [
        flipped,
        renamed,
        good[..good.len() - 1].to_vec(),
        good[..50].to_vec(),
        Vec::new(),
        bed.bytes(3),
        b"something else".repeat(1000),
        [good.as_slice(), b"more"].concat(),
    ] {
        bed.set(2, &bad);
        for mut copies in [bed.copies()?, bed.copies()?] {
            let differs = bed.keep(&mut copies, 2);
            assert!(
                matches!(&differs, Err(Error::Store(remote::Error::Differs { path }))
                    if path.ends_with("0000000002.zst")),
                "{}: {differs:?}",
                bad.len()
            );
        }
        assert_eq!(bed.object(2).as_ref(), Some(&bad));
    }
    Ok(())
}

#[test]
fn a_store_that_keeps_something_else_is_found_out() -> Result {
    for spoil in [
        |bytes: &mut Vec<u8>| bytes.truncate(10),
        |bytes: &mut Vec<u8>| bytes[2000] ^= 1,
        |bytes: &mut Vec<u8>| bytes.push(0),
    ] {
        let bed = Bed::new()?;
        // it takes the object, says so, and gives another one
        bed.server.misbehave(move |request, objects| {
            if request.method == "GET" && !request.is_list() {
                objects.get_mut(&request.key).map(spoil);
            }
            None
        });
        let kept = bed.keep(&mut bed.copies()?, 2);
        assert!(
            matches!(kept, Err(Error::Store(remote::Error::NotKept { .. }))),
            "{kept:?}"
        );
    }
    Ok(())
}

#[test]
fn an_object_that_vanishes_is_no_copy() -> Result {
    let bed = Bed::new()?;
    let mut copies = bed.copies()?;
    bed.server.misbehave(|request, objects| {
        if request.method == "GET" {
            objects.clear();
        }
        None
    });
    assert!(bed.keep(&mut copies, 2).is_err());
    assert!(!copies.has(name(2)));
    bed.server.behave();
    bed.keep(&mut copies, 2)?;
    assert_eq!(bed.object(2), Some(bed.bytes(2)));
    Ok(())
}

#[test]
fn a_store_that_fails_at_any_request() -> Result {
    let bed = Bed::new()?;
    let mut failed_at = 0;
    // 0 is a list, then each of the others fails once
    for number in 1.. {
        bed.server.state().objects.clear();
        let mut copies = bed.copies()?;
        let mut left = number;
        bed.server.misbehave(move |_, _| {
            left -= 1;
            (left == 0).then_some(Fault::Status(403))
        });
        let kept = bed.keep(&mut copies, 2);
        bed.server.behave();
        if kept.is_ok() {
            break;
        }
        failed_at = number;
        bed.keep(&mut copies, 2)?;
        assert_eq!(bed.object(2), Some(bed.bytes(2)));
    }
    // at least writing and reading
    assert!(failed_at >= 2, "{failed_at}");
    Ok(())
}

/// The program, or the connection, dies after the store did what it was asked for.
#[test]
fn an_answer_that_is_lost_leaves_a_copy() -> Result {
    let bed = Bed::new()?;
    let mut first = true;
    bed.server.misbehave(move |request, _| {
        let lost = request.method == "PUT" && std::mem::take(&mut first);
        lost.then_some(Fault::DoAndDrop)
    });
    let mut copies = bed.copies()?;
    let _ = bed.keep(&mut copies, 2);
    assert_eq!(bed.object(2), Some(bed.bytes(2)));
    bed.keep(&mut bed.copies()?, 2)?;
    Ok(())
}

/// A directory by a URL of `file://`.
fn directory(path: &Path) -> Result<Store> {
    let url = format!("file://{}", path.display());
    Ok(Store::open(&StoreUrl::parse(&url)?)?)
}

#[test]
fn into_a_directory() -> Result {
    let bed = Bed::new()?;
    let folder = bed.folder.path().join("disk");
    // a disk that is not mounted is not made up
    assert!(directory(&folder).is_err());
    fs::create_dir(&folder)?;
    fs::set_permissions(&folder, Permissions::from_mode(0o777))?;
    assert!(matches!(
        directory(&folder).map_err(|error| error.to_string()),
        Err(text) if text.contains("others may write")
    ));
    fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
    let store = directory(&folder)?;
    store.refuse_overwriting()?;
    let mut copies = Copies::of(&store, &bed.log())?;
    for seq in 0..SEGMENTS {
        bed.keep(&mut copies, seq)?;
        let path = bed.path("disk", seq);
        assert_eq!(fs::read(&path)?, bed.bytes(seq));
        let log = path.parent().ok_or("no parent")?;
        let modes = [log, &path].map(|path| Ok(fs::metadata(path)?.permissions().mode() & 0o777));
        let modes: Result<Vec<u32>> = modes.into_iter().collect();
        assert_eq!(modes?, [0o700, 0o600]);
    }
    // what a crash may leave, while a file is written
    fs::write(bed.path("disk", 1).with_extension("zst#1"), b"cut")?;
    fs::remove_file(bed.path("disk", 1))?;
    fs::write(bed.path("disk", 2), b"other")?;
    let mut copies = Copies::of(&directory(&folder)?, &bed.log())?;
    assert!(copies.has(name(0)) && !copies.has(name(1)));
    bed.keep(&mut copies, 1)?;
    assert_eq!(fs::read(bed.path("disk", 1))?, bed.bytes(1));
    assert!(matches!(
        bed.keep(&mut copies, 2),
        Err(Error::Store(remote::Error::Differs { .. }))
    ));
    assert_eq!(fs::read(bed.path("disk", 2))?, b"other");
    Ok(())
}
