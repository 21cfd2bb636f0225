// SPDX-License-Identifier: GPL-2.0

//! Lists in ASCII, in pipes and packed, and lists in another view than they are.

use flate2::{write::GzEncoder, Compression};
use std::{
    error::Error,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// A list of `ima-log`'s tests.
fn list(name: &str) -> PathBuf {
    let lists = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ima-log/tests/data/lists");
    lists.join(name)
}

/// What the TPM of the test guest held after `booted`.
const BOOTED: &str =
    "--pcr=sha256:10=0x6C7488E8CA15A06D4ADC117A74BAFB4259C94F810E49A6DAF93931E10A423D58";

/// What the PCR held after `old-kernel-padded.bin`.
const OLD: &str =
    "--pcr=sha256:10=ab14452fe60e2da7cb243ab1a2c7e24fbb7b3143e4b3d2706ac3ce18ed02ba9c";

/// Runs a command with this standard input.
fn run(arguments: &[&str], input: &[u8], variables: &[(&str, &Path)]) -> Result<Output> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_ima-checkpoint"));
    program.args(arguments).envs(variables.iter().copied());
    program.stdin(Stdio::piped());
    let mut child = program
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // who refuses the rest of it does not matter here
    let _ = child.stdin.take().ok_or("no pipe")?.write_all(input);
    Ok(child.wait_with_output()?)
}

/// What a command writes that must succeed.
fn written(arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let output = run(arguments, input, &[])?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    Ok(output.stdout)
}

/// Runs a command, which must end with this code and say all of this.
#[track_caller]
fn expect(arguments: &[&str], input: &[u8], code: i32, words: &[&str]) -> Result {
    let output = run(arguments, input, &[])?;
    let all = [output.stdout.as_slice(), &output.stderr].concat();
    let said = String::from_utf8_lossy(&all);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for words in words {
        assert!(said.contains(words), "{words}: {said}");
    }
    Ok(())
}

/// However it came here.
#[test]
fn a_list_in_ascii_is_verified() -> Result {
    let folder = tempfile::tempdir()?;
    for name in ["booted.ascii", "booted-sha256.ascii"] {
        let text = fs::read(list(name))?;
        let mut gz = GzEncoder::new(Vec::new(), Compression::best());
        gz.write_all(&text)?;
        let packed = folder.path().join("packed");
        fs::write(&packed, gz.finish()?)?;
        let returns = String::from_utf8_lossy(&text).replace('\n', "\r\n");
        let words = ["VERIFIED: 17 records in 3 segments; complete from a trusted start"];
        let file = list(name);
        for (path, input) in [
            (file.as_path(), [].as_slice()),
            (Path::new("-"), &text),
            (&packed, &[]),
            (Path::new("/dev/stdin"), &text),
        ] {
            let path = path.to_str().ok_or("no text")?;
            expect(&["verify", path, BOOTED], input, 0, &words)?;
        }
        // of the raw byte in a name, the text above has made something else. SHA-256 digests that it does
        // not have are only known from the next checkpoint on
        let (code, said) = match name {
            "booted-sha256.ascii" => (3, "CONSISTENT, BUT NOT ANCHORED"),
            _ => (5, "PCR 10 in sha256  records 15 to 16, from checkpoint 2"),
        };
        let hint = "not all of it can be checked in ASCII: give the binary list";
        let words = ["record 12: it cannot be checked in ASCII", said, hint];
        expect(&["verify", "-", BOOTED], returns.as_bytes(), code, &words)?;
        let said = run(&["verify", "-", BOOTED], returns.as_bytes(), &[])?.stdout;
        let said = String::from_utf8_lossy(&said);
        assert_eq!(
            said.matches("cannot be checked in ASCII").count(),
            1,
            "{said}"
        );
    }
    Ok(())
}

/// The kernel that made them has both forms of all views.
#[test]
fn lists_are_converted() -> Result {
    let sha1 = fs::read(list("booted.bin"))?;
    let texts = [
        ("sha1", fs::read(list("booted.ascii"))?),
        ("sha256", fs::read(list("booted-sha256.ascii"))?),
    ];
    for input in ["booted.bin", "booted.ascii", "booted-sha256.ascii"] {
        let input = list(input);
        let input = input.to_str().ok_or("no text")?;
        assert!(written(&["cat", input], b"")? == sha1, "{input}");
        for (bank, text) in &texts {
            let shown = written(&["cat", input, "--bank", bank, "--ascii"], b"")?;
            assert!(shown == *text, "{input} {bank}");
        }
        let sha256 = written(&["cat", input, "--bank", "sha256"], b"")?;
        let back = written(&["cat", "-", "--ascii"], &sha256)?;
        assert!(back == texts[0].1, "{input}");
    }
    // from the fifth record on, which is the fifth line
    let text = String::from_utf8_lossy(&texts[0].1).into_owned();
    let file = list("booted.ascii");
    let from = written(
        &[
            "cat",
            file.to_str().ok_or("no text")?,
            "--from",
            "4",
            "--ascii",
        ],
        b"",
    )?;
    let start = text
        .split_inclusive('\n')
        .take(4)
        .map(str::len)
        .sum::<usize>();
    assert!(from == texts[0].1[start..]);
    expect(
        &["cat", "-", "--from", "18"],
        &sha1,
        2,
        &["has only 17 records"],
    )
}

/// A violation is zero in every bank, and a padded view is not the SHA-384 of anything.
#[test]
fn views_of_other_kernels() -> Result {
    for (name, other) in [("sha1", "sha384"), ("sha384", "sha1")] {
        let file = list(&format!("bank-without-hash-{name}view.bin"));
        let file = file.to_str().ok_or("no text")?;
        let same = written(&["cat", file, "--bank", name], b"")?;
        assert!(same == fs::read(file)?);
        // the kernel of the other view had the same records
        let changed = written(&["cat", file, "--bank", other, "--ascii"], b"")?;
        let records = |text: &[u8]| {
            let text = String::from_utf8_lossy(text).into_owned();
            let lines = text.lines().map(|line| line.split(' ').skip(2));
            lines
                .map(|words| words.collect::<Vec<_>>().join(" "))
                .collect::<Vec<_>>()
        };
        let shown = written(&["cat", file, "--bank", name, "--ascii"], b"")?;
        assert_eq!(records(&changed), records(&shown));
    }
    Ok(())
}

/// The fields of an unknown template are written as digits, and read again.
#[test]
fn a_template_of_a_vendor() -> Result {
    let list = fs::read(list("vendor-template.bin"))?;
    let text = written(&["cat", "-", "--ascii"], &list)?;
    assert!(written(&["cat", "-"], &text)? == list);
    let pcr = "--pcr=sha256:10=b45969d8ed6e60e69622c5b84139bc99a89654ea3006afe802dd21b34885090c";
    let words = ["VERIFIED: 4 records", "IMA has no template ima-cgpath"];
    expect(&["verify", "-", pcr], &text, 0, &words)
}

/// Nothing is made up that the text does not tell.
#[test]
fn what_cannot_be_converted() -> Result {
    let text = String::from_utf8_lossy(&fs::read(list("booted.ascii"))?).into_owned();
    let text = text.as_bytes();
    for arguments in [
        &["cat", "-"][..],
        &["cat", "-", "--bank", "sha256", "--ascii"],
    ] {
        let words = [
            "standard input: record 12: ",
            "cannot be converted",
            "keep the bank and --ascii",
        ];
        expect(arguments, text, 8, &words)?;
        // what is before it is written
        let output = run(arguments, text, &[])?;
        let wanted = run(arguments, &fs::read(list("booted.bin"))?, &[])?.stdout;
        assert!(!output.stdout.is_empty() && wanted.starts_with(&output.stdout));
    }
    assert!(written(&["cat", "-", "--ascii"], text)? == text);
    let mut changed = fs::read(list("violations.bin"))?;
    changed[10] ^= 1;
    expect(
        &["cat", "-", "--bank", "sha256"],
        &changed,
        8,
        &["record 0: its template digest"],
    )?;
    assert!(written(&["cat", "-"], &changed)? == changed);
    expect(&["cat", "-"], b"no list\n", 8, &["not a measurement list"])?;
    expect(
        &["cat", "-"],
        &changed[..500],
        1,
        &["the list ends in the middle"],
    )?;
    expect(
        &["cat", "--view", "sha1", "--no-live"],
        b"",
        2,
        &["there is none"],
    )
}

#[test]
fn a_kernel_without_checkpoints() -> Result {
    let ima = tempfile::tempdir()?;
    let folder = ima.path().to_str().ok_or("no text")?;
    let list = fs::read(list("violations.bin"))?;
    fs::write(ima.path().join("binary_runtime_measurements"), &list)?;
    assert!(written(&["cat", "--ima", folder], b"")? == list);
    let text = written(
        &["cat", "--ima", folder, "--bank", "sha256", "--ascii"],
        b"",
    )?;
    assert!(written(&["cat", "-"], &text)? == list);
    // an archive is asked for
    let arguments = ["cat", "--ima", folder, "--archive", folder];
    expect(&arguments, b"", 7, &["--no-live shows the archive alone"])?;
    fs::remove_file(ima.path().join("binary_runtime_measurements"))?;
    expect(
        &["cat", "--ima", folder],
        b"",
        7,
        &["binary_runtime_measurements"],
    )
}

#[test]
fn a_list_in_ascii_is_shown() -> Result {
    let binary = list("booted.bin");
    let shown = written(&["inspect", binary.to_str().ok_or("no text")?], b"")?;
    for name in ["booted.ascii", "booted-sha256.ascii"] {
        assert!(written(&["inspect", "-"], &fs::read(list(name))?)? == shown);
    }
    let damaged = [
        &fs::read(list("booted.ascii"))?[..],
        b"[root@host ~]# exit\n",
    ]
    .concat();
    expect(
        &["inspect", "-"],
        &damaged,
        1,
        &["line 21: this is not a record"],
    )
}

/// Whether the kernel pads is only known when the list was read to its end.
#[test]
fn a_padded_list_comes_through_a_pipe() -> Result {
    let list = fs::read(list("old-kernel-padded.bin"))?;
    let mut gz = GzEncoder::new(Vec::new(), Compression::best());
    gz.write_all(&list)?;
    let text = written(&["cat", "-", "--ascii"], &list)?;
    for input in [&list, &gz.finish()?, &text] {
        let words = ["CONSISTENT, BUT NOT ANCHORED", "as kernels before 5.8 do"];
        for path in ["-", "/dev/stdin"] {
            expect(&["verify", path, OLD], input, 3, &words)?;
            let arguments = ["verify", path, OLD, "--allow-weak-bank"];
            expect(&arguments, input, 0, &["VERIFIED"])?;
        }
    }
    let temporary = tempfile::tempdir()?;
    let variables = [("TMPDIR", temporary.path())];
    let output = run(&["verify", "-", OLD], &list, &variables)?;
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(fs::read_dir(temporary.path())?.count(), 0);
    // no room at all
    let variables = [("TMPDIR", Path::new("/nowhere"))];
    let output = run(&["verify", "-", OLD], &list, &variables)?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("there was no room to keep what came"),
        "{said}"
    );
    Ok(())
}
