// SPDX-License-Identifier: GPL-2.0

//! Archives in an object store, read by the program as anybody runs it.

#[path = "../../ima-log/tests/common/mod.rs"]
mod common;
mod memory;
mod s3;

use ima_checkpoint::archive::{
    archiver::{Archiver, Options},
    durable::Access,
    rules::{Keep, Remove},
};
use ima_checkpoint::open_files::Readers;
use memory::Memory;
use s3::{Fault, Server};
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const PREFIX: &str = "archives/of all";
const URL: &str = "s3://bucket/archives/of%20all";

/// A server with a copy of an archive, and that archive.
struct Bed {
    folder: TempDir,
    server: Server,
}

impl Bed {
    fn new() -> Result<Self> {
        // an archive on a tmpfs, as /tmp may be, is refused
        let bed = Self {
            folder: TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?,
            server: Server::start()?,
        };
        let options = Options {
            dir: bed.archive(),
            host: "host".to_owned(),
            access: Access::default(),
            keep: Keep::default(),
            remove: Remove::default(),
            receipts: None,
            copy_to: None,
            require_copy: false,
            readers: Readers::default(),
        };
        let mut archiver = Archiver::new(Memory::new(1000, 200)?, options, Box::new(|_| ()))?;
        archiver.pass()?;
        for file in files(&bed.archive())? {
            let name = file.strip_prefix(bed.archive())?.to_str().ok_or("a name")?;
            if name.ends_with(".zst") {
                bed.put(name, fs::read(&file)?);
            }
        }
        Ok(bed)
    }

    fn archive(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    fn put(&self, name: &str, bytes: Vec<u8>) {
        let key = format!("{PREFIX}/{name}");
        self.server.state().objects.insert(key, bytes);
    }

    /// The name of the object of a segment.
    fn key(&self, seq: u64) -> String {
        let state = self.server.state();
        let end = format!("/{seq:010}.zst");
        state
            .objects
            .keys()
            .find(|key| key.ends_with(&end))
            .cloned()
            .unwrap_or_default()
    }

    fn run(&self, archive: &str, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ima-checkpoint"));
        command.args(arguments).args(["--archive", archive]);
        command.env("HOME", self.folder.path());
        Ok(command.envs(self.server.environment()).output()?)
    }

    /// What the program makes of the store, and the same of the directory.
    fn both(&self, arguments: &[&str]) -> Result<[Output; 2]> {
        let directory = self.archive();
        let directory = directory.to_str().ok_or("a path")?;
        Ok([self.run(URL, arguments)?, self.run(directory, arguments)?])
    }

    /// The exit code, and what was said.
    fn verdict(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let output = self.run(URL, arguments)?;
        Ok((output.status.code().unwrap_or(-1), said(&output)))
    }
}

fn said(output: &Output) -> String {
    let all = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&all).into_owned()
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    found.sort();
    Ok(found)
}

const CAT: &[&str] = &["cat", "--no-live"];
const VERIFY: &[&str] = &["verify"];

#[test]
fn a_store_is_read_as_the_directory_is() -> Result {
    let bed = Bed::new()?;
    for arguments in [
        CAT,
        &[
            "cat",
            "--no-live",
            "--ascii",
            "--bank",
            "sha256",
            "--from",
            "321",
        ],
        &["inspect"],
        &["inspect", "--json", "--host", "host"],
    ] {
        let [store, directory] = bed.both(arguments)?;
        assert!(store.status.success(), "{arguments:?}: {}", said(&store));
        assert_eq!(store.stdout, directory.stdout, "{arguments:?}");
        assert!(store.stdout.len() > 10_000);
    }
    let [store, directory] = bed.both(&["verify", "--json"])?;
    assert_eq!(
        store.status.code(),
        directory.status.code(),
        "{}",
        said(&store)
    );
    let url = Path::new("s3://bucket").join(PREFIX);
    let url = url.to_str().ok_or("a path")?;
    let there = String::from_utf8(store.stdout)?.replace(url, "HERE");
    let here = bed.archive();
    let here = String::from_utf8(directory.stdout)?.replace(here.to_str().ok_or("")?, "HERE");
    assert_eq!(there, here);
    let (code, text) = bed.verdict(&["fsck"])?;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("1 logs, 5 segments") && text.contains("good"),
        "{text}"
    );
    Ok(())
}

#[test]
fn what_was_changed_in_a_store_is_seen() -> Result {
    let bed = Bed::new()?;
    let key = bed.key(2);
    let good = bed
        .server
        .state()
        .objects
        .get(&key)
        .cloned()
        .ok_or("no object")?;
    let mut flipped = good.clone();
    *flipped.last_mut().ok_or("empty")? ^= 1;
    let next = bed.key(3);
    let other = bed.server.state().objects.get(&next).cloned();
    for bad in [
        flipped,
        good[..good.len() - 1].to_vec(),
        good[..100].to_vec(),
        Vec::new(),
        other.ok_or("no object")?,
        b"something else".repeat(1000),
        [good.as_slice(), b"more"].concat(),
    ] {
        bed.server.state().objects.insert(key.clone(), bad.clone());
        for arguments in [CAT, VERIFY, &["fsck"]] {
            let (code, text) = bed.verdict(arguments)?;
            assert_eq!(code, 1, "{arguments:?} {}: {text}", bad.len());
            assert!(text.contains("0000000002.zst"), "{text}");
        }
    }
    bed.server.state().objects.remove(&key);
    for arguments in [CAT, VERIFY, &["fsck"]] {
        let (code, text) = bed.verdict(arguments)?;
        assert_eq!(code, 5, "{arguments:?}: {text}");
    }
    Ok(())
}

#[test]
fn hostile_names_in_a_store() -> Result {
    let bed = Bed::new()?;
    let log = bed.key(0);
    let log = log.strip_suffix("/0000000000.zst").ok_or("a key")?;
    let log = log
        .strip_prefix(PREFIX)
        .ok_or("a key")?
        .trim_start_matches('/')
        .to_owned();
    for name in [
        "deeper/0000000002.zst",
        "notes.txt",
        "\u{202e}",
        "0000000002.zst.asc",
    ] {
        bed.put(&format!("{log}/{name}"), b"x".to_vec());
    }
    for name in [
        ".hidden/log/0000000000.zst",
        "two words/x/y",
        "host/short/0000000000.zst",
    ] {
        bed.put(name, b"x".to_vec());
    }
    let [store, directory] = bed.both(CAT)?;
    assert!(store.status.success(), "{}", said(&store));
    assert_eq!(store.stdout, directory.stdout);
    let (code, text) = bed.verdict(&["fsck"])?;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("notes.txt") && !text.contains('\u{202e}'),
        "{text}"
    );
    for name in ["0000000002.fork-x.zst", "\u{1b}[2J", "x//y"] {
        let name = format!("{log}/{name}");
        bed.put(&name, b"x".to_vec());
        for arguments in [CAT, VERIFY, &["fsck"]] {
            let (code, text) = bed.verdict(arguments)?;
            assert_eq!(code, 1, "{arguments:?}: {text}");
            assert!(!text.contains('\u{1b}'), "{text}");
        }
        bed.server
            .state()
            .objects
            .remove(&format!("{PREFIX}/{name}"));
    }
    Ok(())
}

#[test]
fn a_store_that_fails_is_no_verdict() -> Result {
    let bed = Bed::new()?;
    bed.server.misbehave(|request, _| {
        let segment = request.key.ends_with("3.zst");
        segment.then_some(Fault::Status(403))
    });
    for arguments in [CAT, VERIFY, &["fsck"]] {
        let (code, text) = bed.verdict(arguments)?;
        assert_eq!(code, 8, "{arguments:?}: {text}");
        assert!(
            text.contains("cannot read s3://bucket/archives/of all/host/"),
            "{text}"
        );
    }
    bed.server.misbehave(|_, _| Some(Fault::Status(403)));
    let (code, text) = bed.verdict(VERIFY)?;
    assert_eq!(code, 8, "{text}");
    Ok(())
}

#[test]
fn no_such_log() -> Result {
    let bed = Bed::new()?;
    for arguments in [
        ["verify", "--host", "other"],
        ["cat", "--no-live", "--host=other"],
    ] {
        let (code, text) = bed.verdict(&arguments)?;
        assert_eq!(code, 5, "{text}");
    }
    bed.server.state().objects.clear();
    let (code, text) = bed.verdict(VERIFY)?;
    assert_eq!(code, 5, "{text}");
    Ok(())
}

#[test]
fn urls_that_cannot_be_used() -> Result {
    let bed = Bed::new()?;
    for url in [
        "s3://key:s3cret@bucket/archives",
        "s3://bucket/archives?X-Amz-Signature=s3cret",
        "https://example.org/s3cret",
        "s3://",
    ] {
        for command in ["verify", "cat", "inspect", "fsck", "reindex", "status"] {
            let output = bed.run(url, &[command])?;
            let text = said(&output);
            assert!(!text.contains("s3cret"), "{text}");
            // without a kernel, some say that first
            let code = output.status.code();
            assert!(
                code == Some(2) || code == Some(7),
                "{command} {url}: {code:?} {text}"
            );
        }
    }
    // what changes an archive needs a directory
    let output = bed.run(URL, &["reindex"])?;
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(bed
        .server
        .state()
        .requests
        .iter()
        .all(|request| request.method != "PUT"));
    Ok(())
}

#[test]
fn credentials_come_from_the_usual_file() -> Result {
    let bed = Bed::new()?;
    fs::create_dir(bed.folder.path().join(".aws"))?;
    let text = "[default]\naws_access_key_id = wrong\naws_secret_access_key = secret\n\
                [work]\naws_access_key_id = key\naws_secret_access_key = secret\n";
    fs::write(bed.folder.path().join(".aws/credentials"), text)?;
    let run = |profile: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ima-checkpoint"));
        command.args(["fsck", "--archive", URL]);
        let credentials = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        let environment = bed.server.environment();
        let environment = environment.into_iter();
        command.envs(environment.filter(|(name, _)| !credentials.contains(name)));
        for name in credentials {
            command.env_remove(name);
        }
        command.env("AWS_PROFILE", profile);
        command.env("HOME", bed.folder.path()).output()
    };
    let output = run("work")?;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let output = run("default")?;
    assert_eq!(output.status.code(), Some(8), "{}", said(&output));
    Ok(())
}

#[test]
fn a_file_url_is_a_directory() -> Result {
    let bed = Bed::new()?;
    let url = format!("file://{}", bed.archive().display());
    let output = bed.run(&url, CAT)?;
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(output.stdout, bed.both(CAT)?[1].stdout);
    Ok(())
}
