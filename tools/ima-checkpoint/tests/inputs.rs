// SPDX-License-Identifier: GPL-2.0

//! What is given to `verify` as a list: whatever it is, the program comes to an end, in little memory,
//! and says what it is in text that does a terminal no harm.

#[path = "../../ima-log/tests/common/mod.rs"]
mod common;

use common::{
    judge::{before_ima, host, pcrs},
    Host,
};
use flate2::{write::GzEncoder, Compression};
use ima_checkpoint::{bank::Bank, replay::Values};
use ima_checkpoint_format::ByteOrder;
use liblzma::write::XzEncoder;
use serde_json::Value;
use std::{
    error::Error,
    ffi::OsStr,
    fs,
    io::{Read, Write},
    os::unix::{ffi::OsStrExt, net::UnixListener},
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// No input here takes longer: what blocks or has no end is killed.
const PATIENCE: Duration = Duration::from_secs(90);

/// Address space that the program may have: most of it is the stacks of threads, and what the
/// allocator keeps for each of them.
const MEMORY: u64 = 1 << 30;

/// Runs `verify` in a folder, with bounded memory.
fn verify<S: AsRef<OsStr>>(folder: &Path, arguments: &[S]) -> Result<Output> {
    let limited = format!("ulimit -v {} && exec \"$@\"", MEMORY >> 10);
    let child = Command::new("bash")
        .args(["-c", &limited, "bash"])
        .arg(env!("CARGO_BIN_EXE_ima-checkpoint"))
        .args(["verify", "--jobs", "2"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    ended(child)
}

/// What it said, unless it takes too long.
fn ended(mut child: Child) -> Result<Output> {
    let start = Instant::now();
    let (mut out, mut err) = (
        child.stdout.take().ok_or("no output")?,
        child.stderr.take().ok_or("no output")?,
    );
    let read = thread::spawn(move || {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        out.read_to_end(&mut stdout)?;
        err.read_to_end(&mut stderr)?;
        Ok::<_, std::io::Error>((stdout, stderr))
    });
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Err("it did not end".into());
        }
        thread::sleep(Duration::from_millis(5));
    };
    let (stdout, stderr) = read.join().map_err(|_| "a thread panicked")??;
    Ok(Output {
        status,
        stdout,
        stderr,
    })
}

/// What the host's PCRs hold, and held before IMA used them, as options.
fn known(host: &Host) -> Vec<String> {
    let option = |name: &str, values: Values| {
        let values = values.into_iter();
        let option = values.map(|(at, value)| format!("{name}={}:{}={value}", at.bank, at.pcr));
        option.collect::<Vec<_>>()
    };
    [
        option("--pcr", pcrs(host)),
        option("--base", before_ima(host)),
    ]
    .concat()
}

fn said(output: &Output) -> String {
    let all = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// A list in a folder, and what is known of it.
fn prepared() -> Result<(tempfile::TempDir, Vec<u8>, Vec<String>)> {
    let host = host()?;
    let folder = tempfile::tempdir()?;
    let list = host.view(Bank::Sha256)?;
    fs::write(folder.path().join("list"), &list)?;
    Ok((folder, list, known(&host)))
}

/// 1 GiB that are 100 KB compressed, or a quarter of that: neither kept, nor read to the end.
#[test]
fn a_decompression_bomb() -> Result {
    let folder = tempfile::tempdir()?;
    let create = |name: &str| fs::File::create(folder.path().join(name));
    let fill = |to: &mut dyn Write, pieces| {
        let piece = vec![10; 1 << 20];
        // a PCR
        to.write_all(b"\x0a\0\0\0")?;
        (0..pieces).try_for_each(|_| to.write_all(&piece))
    };
    let mut zst = zstd::Encoder::new(create("bomb.zst")?, 1)?;
    fill(&mut zst, 1 << 10)?;
    zst.finish()?;
    let mut gz = GzEncoder::new(create("bomb.gz")?, Compression::fast());
    fill(&mut gz, 1 << 8)?;
    gz.finish()?;
    let mut xz = XzEncoder::new(create("bomb.xz")?, 0);
    fill(&mut xz, 1 << 8)?;
    xz.finish()?;
    for bomb in ["bomb.zst", "bomb.gz", "bomb.xz"] {
        let start = Instant::now();
        let output = verify(folder.path(), &[bomb])?;
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(&format!("{bomb}: record 0 at byte 0")));
        assert!(start.elapsed() < Duration::from_secs(90));
    }
    Ok(())
}

/// What is damaged is found by the checksum, by the replay, or is nothing that is read.
#[test]
fn a_damaged_compressed_list() -> Result {
    let (folder, list, known) = prepared()?;
    let packed = zstd::encode_all(list.as_slice(), 3)?;
    let arguments = [["list.zst".to_owned()].as_slice(), &known].concat();
    for at in (0..packed.len()).step_by(packed.len() / 40) {
        let mut damaged = packed.clone();
        damaged[at] ^= 0x10;
        fs::write(folder.path().join("list.zst"), &damaged)?;
        let same = zstd::decode_all(damaged.as_slice()).is_ok_and(|unpacked| unpacked == list);
        let output = verify(folder.path(), &arguments)?;
        let wanted = match (same, at) {
            (true, _) => 0,
            // the magic
            (false, ..4) => 8,
            (false, _) => 1,
        };
        assert_eq!(
            output.status.code(),
            Some(wanted),
            "byte {at}: {}",
            said(&output)
        );
    }
    for cut in [packed.len() - 1, packed.len() / 2, 5] {
        fs::write(folder.path().join("list.zst"), &packed[..cut])?;
        let output = verify(folder.path(), &arguments)?;
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    }
    Ok(())
}

/// As a shell makes it of `<(cat list)`.
#[test]
fn a_pipe() -> Result {
    let (folder, list, known) = prepared()?;
    fs::write(folder.path().join("list.zst"), zstd::encode_all(&*list, 3)?)?;
    for file in ["list", "list.zst"] {
        let program = env!("CARGO_BIN_EXE_ima-checkpoint");
        let line = format!("exec {program} verify <(cat {file}) \"$@\"");
        let child = Command::new("bash")
            .args(["-c", &line, "bash"])
            .args(&known)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let output = ended(child)?;
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
    Ok(())
}

#[test]
fn what_is_no_file() -> Result {
    let (folder, _, _) = prepared()?;
    let _listener = UnixListener::bind(folder.path().join("socket"))?;
    fs::create_dir(folder.path().join("folder"))?;
    let start = Instant::now();
    for (what, says) in [
        ("/dev/zero", "neither a file nor a pipe"),
        ("/dev/tty", "/dev/tty"),
        ("folder", "neither a file nor a pipe"),
        ("socket", "cannot open socket"),
        ("nothing", "cannot open nothing"),
    ] {
        // after a list as well as alone
        for arguments in [[what].as_slice(), &["list", what]] {
            let output = verify(folder.path(), arguments)?;
            assert_eq!(output.status.code(), Some(8), "{}", said(&output));
            assert!(said(&output).contains(says), "{}", said(&output));
        }
    }
    assert!(start.elapsed() < Duration::from_secs(90));
    Ok(())
}

/// Whoever gives a file its name does not write on the terminal of whoever verifies it.
#[test]
fn names_with_control_characters() -> Result {
    let (folder, list, _) = prepared()?;
    let name = OsStr::from_bytes(b"\x1b]0;owned\x07\nVERIFIED\xff\xe2\x80\xae");
    let mut bad = list;
    bad[60] ^= 1;
    fs::write(folder.path().join(name), &bad)?;
    let shown = r"\x1b]0;owned\x07\x0aVERIFIED\xff\u{202e}";

    let output = verify(folder.path(), &[name])?;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains(shown), "{}", said(&output));
    is_harmless(&output);

    let output = verify(folder.path(), &[OsStr::new("--json"), name])?;
    is_harmless(&output);
    let document: Value = serde_json::from_slice(&output.stdout)?;
    let source = &document["findings"][0]["source"];
    assert_eq!(source, shown);

    // in messages, too
    let missing = [name.as_bytes(), b"-"].concat();
    for missing in [
        OsStr::from_bytes(&missing),
        OsStr::from_bytes(b"/dev/\x1b[2J"),
    ] {
        let output = verify(folder.path(), &[missing])?;
        assert_eq!(output.status.code(), Some(8));
        is_harmless(&output);
    }
    Ok(())
}

fn is_harmless(output: &Output) {
    for shown in [&output.stdout, &output.stderr] {
        let shown = String::from_utf8_lossy(shown);
        let harmful = |shown: char| shown.is_control() && shown != '\n' || shown == '\u{202e}';
        assert!(!shown.contains(harmful), "{shown:?}");
        assert!(!shown.lines().any(|line| line.starts_with("VERIFIED\\xff")));
    }
}

/// A monitor's round in which nothing was measured.
#[test]
fn an_empty_file() -> Result {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("list"), b"")?;
    fs::write(
        folder.path().join("list.zst"),
        zstd::encode_all(b"".as_slice(), 3)?,
    )?;
    let mut host = Host::new(ByteOrder::Little, &[Bank::Sha256]);
    host.file(b"boot_aggregate", b"PCRs");
    let value = format!("sha256:10={}", host.pcr(10, Bank::Sha256));
    let other = format!("sha256:10={}", "5a".repeat(32));
    for file in ["list", "list.zst"] {
        let output = verify(folder.path(), &[file])?;
        assert_eq!(output.status.code(), Some(8));
        assert!(
            said(&output).contains("the list is empty"),
            "{}",
            said(&output)
        );

        let output = verify(folder.path(), &[file, "--base", &value, "--pcr", &value])?;
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(said(&output).contains("nothing new"), "{}", said(&output));

        let output = verify(folder.path(), &[file, "--base", &value, "--pcr", &other])?;
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        // zeros are nothing that anybody measured
        let output = verify(folder.path(), &[file, "--pcr", &value])?;
        assert_ne!(output.status.code(), Some(0), "{}", said(&output));
    }
    Ok(())
}

/// What a file ends with is sealed by the checkpoint in the next one.
#[test]
fn segments_in_files_of_their_own() -> Result {
    let host = host()?;
    let folder = tempfile::tempdir()?;
    let mut files = Vec::new();
    for segment in 0..4 {
        let name = format!("{segment}");
        let records = host.first_of(segment)..host.first_of(segment + 1);
        fs::write(
            folder.path().join(&name),
            host.view_of(Bank::Sha1, records)?,
        )?;
        files.push(name);
    }
    let output = verify(folder.path(), &[files, known(&host)].concat())?;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    Ok(())
}
