// SPDX-License-Identifier: GPL-2.0

//! An archive on the disk, and what commands say of it.

use crate::common::{Host, LOG_ID};
use ima_checkpoint::bank::{Bank, Digest};
use ima_checkpoint_format::{ascii::ascii_len, record::Record, ByteOrder};
use rustix::fs::{mknodat, FileType, Mode, CWD};
use serde_json::{json, Value};
use std::{
    error::Error,
    fs::{self, Permissions},
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

pub(crate) const HOST: &str = "web1";

/// Address space that a command gets, in KiB. What it maps at its start is most of it.
const MEMORY: &str = "400000";

/// A command that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(90);

/// What a command said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) complaints: String,
}

/// An archive of four segments, the last of them a tail.
pub(crate) struct Archive {
    pub(crate) folder: TempDir,
    pub(crate) host: Host,
}

impl Archive {
    pub(crate) fn new() -> Result<Self> {
        let mut host = Host::new(ByteOrder::Little, &[Bank::Sha1, Bank::Sha256]);
        host.file(b"boot_aggregate", b"PCRs");
        host.violation(b"/v");
        host.file(b"/bin/evil", b"k");
        for name in ["/b", "/c", "/d"] {
            host.checkpoint("")?;
            host.file(name.as_bytes(), name.as_bytes());
        }
        // not in memory: `reindex` refuses to write there
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let new = Self { folder, host };
        new.fill(HOST)?;
        Ok(new)
    }

    /// Writes all that an archiver would have written.
    pub(crate) fn fill(&self, host: &str) -> Result {
        let log = self.dir().join(host).join(log_id());
        fs::create_dir_all(&log)?;
        let mut index = String::new();
        for seq in 0..=3 {
            let name = file_name(seq);
            let mut meta = self.meta(seq)?;
            meta["host"] = host.into();
            let entry = json!({ "archived": { "file": name, "sha256": meta["sha256"] } });
            index += &format!("{entry}\n");
            fs::write(log.join(name), file(&meta, &frame(&self.body(seq)?)?))?;
        }
        fs::write(log.join("index"), index)?;
        private(&self.dir())
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir().join(HOST).join(log_id()).join(name)
    }

    pub(crate) fn body(&self, seq: usize) -> Result<Vec<u8>> {
        let of = self.host.first_of(seq)..self.host.first_of(seq + 1);
        Ok(self.host.view_of(Bank::Sha1, of)?)
    }

    pub(crate) fn meta(&self, seq: usize) -> Result<Value> {
        let (first, end) = (self.host.first_of(seq), self.host.first_of(seq + 1));
        let checkpoint = match seq.checked_sub(1) {
            Some(at) => Bank::Sha256.hash(&[&self.host.checkpoints[at].buffer]),
            None => Digest::new(&[0; 32]),
        };
        let before = self.host.view_of(Bank::Sha1, 0..first)?.len();
        let meta = json!({
            "format": "ima-checkpoint/segment/1",
            "host": HOST,
            "log_id": log_id(),
            "seq": seq,
            "state": if seq < 3 { "sealed" } else { "tail" },
            "generation": 0,
            "first": first,
            "offset": before,
            "records": end - first,
            "checkpoint": checkpoint,
            "byte_order": "little",
            "broken": false,
            "archived_ns": 0,
        });
        fitting(meta, &self.body(seq)?)
    }

    /// Writes segment 1 anew, with other metadata.
    pub(crate) fn change(&self, key: &str, value: Value) -> Result {
        let mut meta = self.meta(1)?;
        meta[key] = value;
        self.write(&file_name(1), &file(&meta, &frame(&self.body(1)?)?))
    }

    /// Writes segment 1 anew, with another frame after the metadata.
    pub(crate) fn reframe(&self, frame: &[u8]) -> Result {
        self.write(&file_name(1), &file(&self.meta(1)?, frame))
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result {
        fs::write(self.path(name), bytes)?;
        private(&self.path(name))
    }

    /// Appends to the index.
    pub(crate) fn note(&self, lines: &str) -> Result {
        let index = fs::read_to_string(self.path("index"))?;
        self.write("index", (index + lines).as_bytes())
    }

    /// Puts something else in the place of a file.
    pub(crate) fn replace(&self, name: &str, place: impl FnOnce(&Path) -> Result) -> Result {
        let path = self.path(name);
        if path.exists() {
            fs::remove_file(&path)?;
        }
        place(&path)
    }

    pub(crate) fn run(&self, command: &str) -> Result<Said> {
        self.run_with(command, &[])
    }

    pub(crate) fn run_with(&self, command: &str, arguments: &[&str]) -> Result<Said> {
        let mut all = vec![command, "--archive", "archive"];
        match command {
            "verify" | "inspect" => all.extend(["--host", HOST]),
            "cat" => all.extend(["--host", HOST, "--no-live"]),
            _ => (),
        }
        all.extend(arguments);
        self.program(&all)
    }

    pub(crate) fn program(&self, arguments: &[&str]) -> Result<Said> {
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -v $0; exec \"$@\"", MEMORY])
            .arg(env!("CARGO_BIN_EXE_ima-checkpoint"))
            .args(arguments)
            .current_dir(self.folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let start = Instant::now();
        let status = loop {
            match child.try_wait()? {
                Some(status) => break status,
                None if start.elapsed() > LIMIT => {
                    child.kill()?;
                    return Err(format!("{arguments:?} hangs").into());
                }
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        let (mut out, mut complaints) = (Vec::new(), Vec::new());
        child
            .stdout
            .take()
            .ok_or("no output")?
            .read_to_end(&mut out)?;
        let stderr = child.stderr.take();
        stderr.ok_or("no errors")?.read_to_end(&mut complaints)?;
        // the list itself is what it is
        if !arguments.contains(&"cat") {
            harmless(&out)?;
        }
        harmless(&complaints)?;
        Ok(Said {
            code: status.code(),
            out: String::from_utf8_lossy(&out).into_owned(),
            complaints: String::from_utf8(complaints)?,
        })
    }

    /// Runs commands that must all end with a code and, if it is not 0, say why.
    pub(crate) fn expect(&self, commands: &[&str], code: i32, why: &str) -> Result {
        for command in commands {
            let said = self.run(command)?;
            let all = format!("{command}: {}{}", said.out, said.complaints);
            assert_eq!(said.code, Some(code), "{all}");
            assert!(all.contains(why), "{all}");
        }
        Ok(())
    }
}

pub(crate) fn harmless(text: &[u8]) -> Result {
    let text = std::str::from_utf8(text)?;
    let bad = text
        .chars()
        .any(|c| c.is_control() && c != '\n' || c == '\u{202e}');
    match bad {
        true => Err(format!("a terminal should not get {text:?}").into()),
        false => Ok(()),
    }
}

pub(crate) fn log_id() -> String {
    Digest::new(&LOG_ID).to_string()
}

pub(crate) fn file_name(seq: usize) -> String {
    match seq {
        3 => format!("{seq:010}.tail.zst"),
        _ => format!("{seq:010}.zst"),
    }
}

/// Nobody but the owner may read it.
pub(crate) fn private(path: &Path) -> Result {
    let seen = fs::symlink_metadata(path)?;
    if seen.is_dir() {
        for entry in fs::read_dir(path)? {
            private(&entry?.path())?;
        }
    }
    if !seen.is_symlink() {
        let mode = if seen.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Metadata that say of these bytes what is true.
pub(crate) fn fitting(mut meta: Value, body: &[u8]) -> Result<Value> {
    let (mut rest, mut ascii, mut records) = (body, 0, 0);
    while !rest.is_empty() {
        let (record, size) = Record::parse(rest, 20, ByteOrder::Little)?;
        ascii += ascii_len(&record, 20);
        records += 1;
        rest = &rest[size..];
    }
    meta["records"] = records.into();
    meta["bytes"] = body.len().into();
    meta["ascii_bytes"] = ascii.into();
    meta["sha256"] = Bank::Sha256.hash(&[body]).to_string().into();
    Ok(meta)
}

pub(crate) fn file(meta: &Value, frame: &[u8]) -> Vec<u8> {
    raw_file(&meta.to_string(), frame)
}

pub(crate) fn raw_file(meta: &str, frame: &[u8]) -> Vec<u8> {
    let size = (meta.len() as u32).to_le_bytes();
    [skippable(0), &size, meta.as_bytes(), frame].concat()
}

/// The magic of a skippable frame.
pub(crate) fn skippable(number: usize) -> &'static [u8] {
    [b"\x50\x2a\x4d\x18", b"\x51\x2a\x4d\x18"][number]
}

pub(crate) fn frame(bytes: &[u8]) -> Result<Vec<u8>> {
    frame_with(bytes, |encoder| encoder.include_checksum(true))
}

pub(crate) fn frame_with(
    bytes: &[u8],
    configure: impl FnOnce(&mut zstd::Encoder<'_, Vec<u8>>) -> std::io::Result<()>,
) -> Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3)?;
    encoder.set_pledged_src_size(Some(bytes.len() as u64))?;
    encoder.include_contentsize(true)?;
    configure(&mut encoder)?;
    std::io::Write::write_all(&mut encoder, bytes)?;
    Ok(encoder.finish()?)
}

pub(crate) fn fifo(path: &Path) -> Result {
    let mode = Mode::from_raw_mode(0o600);
    Ok(mknodat(CWD, path, FileType::Fifo, mode, 0)?)
}

/// Commands that read all of an archive.
pub(crate) const ALL: [&str; 3] = ["verify", "fsck", "cat"];
