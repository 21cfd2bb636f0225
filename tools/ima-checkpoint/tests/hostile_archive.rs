// SPDX-License-Identifier: GPL-2.0

//! Archives that somebody prepared: each command comes to an end, in little memory, with a verdict
//! that fits, and without an escape sequence in what it says.

#[path = "../../ima-log/tests/common/mod.rs"]
mod common;

use common::{
    Host,
    LOG_ID, //
};
use ima_checkpoint::bank::{
    Bank,
    Digest, //
};
use ima_checkpoint_format::{
    ascii::ascii_len,
    record::Record,
    ByteOrder, //
};
use rustix::fs::{
    mknodat,
    FileType,
    Mode,
    CWD, //
};
use serde_json::{
    json,
    Value, //
};
use std::{
    error::Error,
    fs::{
        self,
        Permissions, //
    },
    io::Read,
    os::unix::fs::{
        symlink,
        PermissionsExt, //
    },
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        Stdio, //
    },
    thread,
    time::{
        Duration,
        Instant, //
    },
};
use tempfile::TempDir;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const HOST: &str = "web1";

/// Address space that a command gets, in KiB. What it maps at its start is most of it.
const MEMORY: &str = "400000";

/// A command that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(90);

/// What a command said.
struct Said {
    code: Option<i32>,
    out: String,
    complaints: String,
}

/// An archive of four segments, the last of them a tail.
struct Archive {
    folder: TempDir,
    host: Host,
}

impl Archive {
    fn new() -> Result<Self> {
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
    fn fill(&self, host: &str) -> Result {
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

    fn dir(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir().join(HOST).join(log_id()).join(name)
    }

    fn body(&self, seq: usize) -> Result<Vec<u8>> {
        let of = self.host.first_of(seq)..self.host.first_of(seq + 1);
        Ok(self.host.view_of(Bank::Sha1, of)?)
    }

    fn meta(&self, seq: usize) -> Result<Value> {
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
    fn change(&self, key: &str, value: Value) -> Result {
        let mut meta = self.meta(1)?;
        meta[key] = value;
        self.write(&file_name(1), &file(&meta, &frame(&self.body(1)?)?))
    }

    /// Writes segment 1 anew, with another frame behind the metadata.
    fn reframe(&self, frame: &[u8]) -> Result {
        self.write(&file_name(1), &file(&self.meta(1)?, frame))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result {
        fs::write(self.path(name), bytes)?;
        private(&self.path(name))
    }

    /// Appends to the index.
    fn note(&self, lines: &str) -> Result {
        let index = fs::read_to_string(self.path("index"))?;
        self.write("index", (index + lines).as_bytes())
    }

    /// Puts something else in the place of a file.
    fn replace(&self, name: &str, place: impl FnOnce(&Path) -> Result) -> Result {
        let path = self.path(name);
        if path.exists() {
            fs::remove_file(&path)?;
        }
        place(&path)
    }

    fn run(&self, command: &str) -> Result<Said> {
        self.run_with(command, &[])
    }

    fn run_with(&self, command: &str, arguments: &[&str]) -> Result<Said> {
        let mut all = vec![command, "--archive", "archive"];
        match command {
            "verify" => all.extend(["--host", HOST]),
            "cat" => all.extend(["--host", HOST, "--no-live"]),
            _ => (),
        }
        all.extend(arguments);
        self.program(&all)
    }

    fn program(&self, arguments: &[&str]) -> Result<Said> {
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
    fn expect(&self, commands: &[&str], code: i32, why: &str) -> Result {
        for command in commands {
            let said = self.run(command)?;
            let all = format!("{command}: {}{}", said.out, said.complaints);
            assert_eq!(said.code, Some(code), "{all}");
            assert!(all.contains(why), "{all}");
        }
        Ok(())
    }
}

fn harmless(text: &[u8]) -> Result {
    let text = std::str::from_utf8(text)?;
    let bad = text
        .chars()
        .any(|c| c.is_control() && c != '\n' || c == '\u{202e}');
    match bad {
        true => Err(format!("a terminal should not get {text:?}").into()),
        false => Ok(()),
    }
}

fn log_id() -> String {
    Digest::new(&LOG_ID).to_string()
}

fn file_name(seq: usize) -> String {
    match seq {
        3 => format!("{seq:010}.tail.zst"),
        _ => format!("{seq:010}.zst"),
    }
}

/// Nobody but the owner may read it.
fn private(path: &Path) -> Result {
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
fn fitting(mut meta: Value, body: &[u8]) -> Result<Value> {
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

fn file(meta: &Value, frame: &[u8]) -> Vec<u8> {
    raw_file(&meta.to_string(), frame)
}

fn raw_file(meta: &str, frame: &[u8]) -> Vec<u8> {
    let size = (meta.len() as u32).to_le_bytes();
    [skippable(0), &size, meta.as_bytes(), frame].concat()
}

/// The magic of a skippable frame.
fn skippable(number: usize) -> &'static [u8] {
    [b"\x50\x2a\x4d\x18", b"\x51\x2a\x4d\x18"][number]
}

fn frame(bytes: &[u8]) -> Result<Vec<u8>> {
    frame_with(bytes, |encoder| encoder.include_checksum(true))
}

fn frame_with(
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

fn fifo(path: &Path) -> Result {
    let mode = Mode::from_raw_mode(0o600);
    Ok(mknodat(CWD, path, FileType::Fifo, mode, 0)?)
}

const ALL: [&str; 3] = ["verify", "fsck", "cat"];

#[test]
fn good() -> Result {
    let archive = Archive::new()?;
    archive.expect(&["fsck", "cat", "reindex", "fsck"], 0, "")?;
    archive.expect(&["verify"], 3, "NOT ANCHORED")
}

/// They replay as before, but are recognised by nobody: only the rule that file N starts with
/// checkpoint N finds it.
#[test]
fn checkpoints_relabelled() -> Result {
    let mut archive = Archive::new()?;
    let checkpoints: Vec<usize> = (1..=3).map(|seq| archive.host.first_of(seq)).collect();
    for at in checkpoints {
        archive.host.records[at].template = b"d-ng|sig|buf".to_vec();
    }
    archive.fill(HOST)?;
    archive.expect(&["fsck"], 1, "it does not start with checkpoint 1")?;
    let said = archive.run("fsck")?.complaints;
    for seq in 1..=3 {
        assert!(
            said.contains(&format!("checkpoint {seq}. Compare")),
            "{said}"
        );
    }
    Ok(())
}

#[test]
fn checkpoint_of_another_segment() -> Result {
    let archive = Archive::new()?;
    let mut meta = archive.meta(2)?;
    meta["seq"] = 1.into();
    archive.write(&file_name(1), &file(&meta, &frame(&archive.body(2)?)?))?;
    archive.expect(&["fsck"], 1, "it starts with checkpoint 2")
}

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
fn metadata_with_escape_sequences() -> Result {
    let bad = "\u{1b}[2J\u{1b}[1;32mVERIFIED: all good\u{1b}[0m\n";
    for key in ["state", "format", "byte_order", "host", "log_id", "sha256"] {
        let archive = Archive::new()?;
        archive.change(key, bad.into())?;
        archive.expect(&ALL, 1, "its metadata")?;
        // what JSON has an escape for, written as it is
        let mut meta = archive.meta(1)?;
        meta[key] = "BAD".into();
        let meta = meta.to_string().replace("BAD", bad);
        archive.write(&file_name(1), &raw_file(&meta, &frame(&archive.body(1)?)?))?;
        archive.expect(&ALL, 1, "its metadata")?;
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
fn partial_is_no_file() -> Result {
    for make in [fifo, |path: &Path| Ok(fs::create_dir(path)?)] {
        let archive = Archive::new()?;
        make(&archive.path(".partial"))?;
        archive.expect(&["fsck"], 1, "it keeps archivers from writing")?;
    }
    Ok(())
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
    archive.expect(&["fsck"], 0, "segments before 2 were removed as asked")?;
    archive.expect(&["verify"], 5, "the list starts with checkpoint 2")
}

#[test]
fn numbers_in_metadata() -> Result {
    for (key, value) in [
        ("records", json!(1_u64 << 63)),
        ("records", json!(0)),
        ("bytes", json!(u64::MAX)),
        ("bytes", json!(1_000_000)),
        ("first", json!((1_u64 << 63) - 1)),
        ("first", json!(u64::MAX)),
        ("offset", json!(u64::MAX)),
        ("seq", json!(2)),
        ("seq", json!(1.0)),
        ("seq", json!(1_u64 << 63)),
        ("ascii_bytes", json!(0)),
        ("generation", json!(-1)),
        ("archived_ns", json!("now")),
        ("host", json!("..")),
        ("host", json!("web2")),
        ("log_id", json!("../../../etc")),
        ("checkpoint", json!("00")),
        ("broken", json!(null)),
    ] {
        let archive = Archive::new()?;
        archive.change(key, value.clone())?;
        archive
            .expect(&["fsck"], 1, "0000000001.zst")
            .map_err(|error| format!("{key} {value}: {error}"))?;
        archive.run("verify")?;
        archive.run("cat")?;
    }
    Ok(())
}

#[test]
fn metadata_that_do_not_end() -> Result {
    let archive = Archive::new()?;
    let whole = fs::read(archive.path(&file_name(1)))?;
    for (bytes, why) in [
        (Vec::new(), "it ends before its metadata do"),
        (whole[..100].to_vec(), "it ends before its metadata do"),
        (
            [skippable(0), &[0xff; 4], &whole[8..]].concat(),
            "metadata of 4294967295 bytes",
        ),
        (whole[8..].to_vec(), "does not start with the metadata"),
        (raw_file(&"[".repeat(60_000), b""), "its metadata"),
    ] {
        archive.write(&file_name(1), &bytes)?;
        archive.expect(&ALL, 1, why)?;
    }
    Ok(())
}

#[test]
fn frames() -> Result {
    let archive = Archive::new()?;
    let body = archive.body(1)?;
    let good = frame(&body)?;
    let extra = [skippable(1), &4_u32.to_le_bytes(), b"xxxx"].concat();
    let windowed = frame_with(&body, |encoder| {
        encoder.include_checksum(true)?;
        encoder.window_log(27)
    })?;
    for (frame, why) in [
        (
            [frame(&body[..100])?, frame(&body[100..])?].concat(),
            "its frame does not have the size",
        ),
        (
            [&extra, good.as_slice()].concat(),
            "its frame does not have the size",
        ),
        ([&good, extra.as_slice()].concat(), "something follows"),
        (frame_with(&body, |_| Ok(()))?, "its frame has no checksum"),
        (good[..good.len() - 1].to_vec(), "incomplete frame"),
        (Vec::new(), "its frame does not have the size"),
    ] {
        archive.reframe(&frame)?;
        archive.expect(&["fsck"], 1, why)?;
        assert_eq!(archive.run("verify")?.code, Some(1), "{why}");
    }
    // a window is only as large as the contents need
    archive.reframe(&windowed)?;
    archive.run("fsck")?;
    Ok(())
}

#[test]
fn frame_that_grows() -> Result {
    let archive = Archive::new()?;
    let zeros = vec![0; 32 << 20];
    let mut meta = archive.meta(1)?;
    meta["bytes"] = zeros.len().into();
    archive.write(&file_name(1), &file(&meta, &frame(&zeros)?))?;
    archive.expect(&["fsck"], 1, "0000000001.zst")?;
    archive.run("verify")?;
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
