// SPDX-License-Identifier: GPL-2.0

//! Lists of other kernels and other programs, as people have them, and what is said of them.

use flate2::{write::GzEncoder, Compression};
use ima_checkpoint_format::{kexec, ByteOrder};
use liblzma::write::XzEncoder;
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

fn run(command: &str, input: &Path, arguments: &[&str]) -> Result<Output> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_ima-checkpoint"));
    program.arg(command).arg(input).args(arguments);
    Ok(program.stdin(Stdio::null()).output()?)
}

/// Runs `verify`, which must end with this code and say all of this.
#[track_caller]
fn expect(input: &Path, arguments: &[&str], code: i32, words: &[&str]) -> Result {
    let output = run("verify", input, arguments)?;
    let all = [output.stdout.as_slice(), &output.stderr].concat();
    let said = String::from_utf8_lossy(&all);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for words in words {
        assert!(said.contains(words), "{words}: {said}");
    }
    Ok(())
}

#[test]
fn an_old_kernel() -> Result {
    let pcr = "--pcr=sha256:10=ab14452fe60e2da7cb243ab1a2c7e24fbb7b3143e4b3d2706ac3ce18ed02ba9c";
    let words = [
        "CONSISTENT, BUT NOT ANCHORED",
        "the kernel extends SHA-1 digests",
        "as kernels before 5.8 do",
        "rests on SHA-1",
    ];
    let list = list("old-kernel-padded.bin");
    expect(&list, &[pcr], 3, &words)?;
    expect(&list, &[pcr, "--allow-weak-bank"], 0, &["VERIFIED"])
}

#[test]
fn a_bank_without_a_hash() -> Result {
    // as tpm2_pcrread prints them
    let pcrs = [
        "--pcr=sha256:10=0xD580CC9E62F56AC9CAD2C37C704A2179B25BEEEDE49FBDF6310735AB443CC834",
        "--pcr=sha384:10=0xf5909fe38d4479b02e268c93b8b43f4328095dd2d75fb7c3e2acc96149cec7b1\
         8a77b33755104c82b5d7bbfbea6b471c",
    ];
    let words = [
        "VERIFIED",
        "ima: Can not allocate sha384",
        "sha384 rests on SHA-1",
    ];
    for view in ["sha1", "sha384"] {
        let list = list(&format!("bank-without-hash-{view}view.bin"));
        expect(&list, &pcrs, 0, &words)?;
    }
    Ok(())
}

#[test]
fn a_template_of_a_vendor() -> Result {
    let list = list("vendor-template.bin");
    let words = ["VERIFIED: 4 records", "IMA has no template ima-cgpath"];
    expect(
        &list,
        &["--pcr=sha256:10=b45969d8ed6e60e69622c5b84139bc99a89654ea3006afe802dd21b34885090c"],
        0,
        &words,
    )?;
    let output = run("inspect", &list, &[])?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("10 ima-cgpath swapper/0 / sha256:"), "{said}");
    Ok(())
}

/// What the PCR held after `violations.bin`.
const VIOLATIONS: &str =
    "--pcr=sha256:10=29c149aa527bf17cc1cc8d45e8698ce32864bd1b6f3a78bd97ed7a4f2b8788ce";

/// However a list was packed for a bug report, or as a kernel passes it on.
#[test]
fn wrapped_lists() -> Result {
    let plain = fs::read(list("violations.bin"))?;
    let mut gz = GzEncoder::new(Vec::new(), Compression::best());
    gz.write_all(&plain)?;
    let mut xz = XzEncoder::new(Vec::new(), 9);
    xz.write_all(&plain)?;
    let header = kexec::Header {
        size: 24 + plain.len() as u64,
        count: 10,
    };
    let mut buffer = vec![0; 4096];
    let encoded = header.encode(&mut buffer, ByteOrder::Little);
    encoded.map_err(|error| error.to_string())?;
    buffer[24..][..plain.len()].copy_from_slice(&plain);
    let folder = tempfile::tempdir()?;
    for (name, bytes) in [
        ("gz", gz.finish()?),
        ("xz", xz.finish()?),
        ("zst", zstd::encode_all(plain.as_slice(), 3)?),
        ("kexec", buffer),
    ] {
        let file = folder.path().join(name);
        fs::write(&file, &bytes)?;
        expect(&file, &[VIOLATIONS], 0, &["VERIFIED: 10 records"])?;
        let shown = run("inspect", &file, &[])?;
        assert_eq!(
            shown.stdout,
            run("inspect", &list("violations.bin"), &[])?.stdout
        );
        // damaged, or cut
        fs::write(&file, &bytes[..plain.len() / 3])?;
        expect(&file, &[VIOLATIONS], 1, &["NOT VERIFIED"])?;
    }
    Ok(())
}

#[test]
fn what_is_no_list() -> Result {
    let folder = tempfile::tempdir()?;
    let base64 = folder.path().join("base64");
    fs::write(&base64, "CgAAAJPeUuR3NBqsgYnbCP+mMuaIq2L1\n")?;
    for (file, looks) in [
        (list("systemd.log"), "this looks like JSON"),
        (base64, "this looks like base64"),
        (
            env!("CARGO_BIN_EXE_ima-checkpoint").into(),
            "it does not start with the number of a PCR",
        ),
    ] {
        let words = ["not a measurement list; ", looks];
        expect(&file, &[VIOLATIONS], 8, &words)?;
        let output = run("inspect", &file, &[])?;
        assert_eq!(output.status.code(), Some(8));
    }
    Ok(())
}

#[test]
fn violations_are_listed() -> Result {
    let words = [
        "VERIFIED",
        "3 records of files that could be written to while they were measured",
        "record 3: /var/log/audit/audit.log",
        "record 9: /var/log/audit/audit.log",
    ];
    expect(&list("violations.bin"), &[VIOLATIONS], 0, &words)
}

/// The TPM was in bypass, or disabled.
#[test]
fn a_pcr_that_nothing_was_extended_into() -> Result {
    let zero = format!("--pcr=sha256:10={}", "0".repeat(64));
    let words = [
        "the TPM contains nothing of what IMA measured",
        "boot_aggregate is not zero",
    ];
    expect(&list("violations.bin"), &[&zero], 3, &words)?;

    // as IMA writes it without a TPM
    let mut bytes = fs::read(list("violations.bin"))?;
    let start = bytes.windows(7).position(|at| at == b"sha256:");
    let start = start.ok_or("no digest")? + 8;
    bytes[start..start + 32].fill(0);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("list");
    fs::write(&file, bytes)?;
    let output = run("verify", &file, &[&zero])?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("A boot_aggregate of zeros fits this"),
        "{said}"
    );
    Ok(())
}

/// What may be the reason, and what helps.
#[test]
fn a_mismatch_names_what_helps() -> Result {
    let other = format!("--pcr=sha256:10={}", "5a".repeat(32));
    let words = ["give --event-log", "--base sha256:10=HEX"];
    expect(&list("violations.bin"), &[&other], 1, &words)?;

    let bytes = fs::read(list("violations.bin"))?;
    // the first record
    let end = bytes.windows(15).position(|at| at == b"boot_aggregate\0");
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("tail");
    fs::write(&file, &bytes[end.ok_or("no boot_aggregate")? + 15..])?;
    let words = [
        "it looks like the tail of one",
        "what PCR 10 held before it with --base sha256:10=HEX",
    ];
    expect(&file, &[VIOLATIONS], 5, &words)?;
    expect(&file, &[], 5, &words)
}

/// The sources of `verify`, of a kernel without the extension.
#[test]
fn the_live_list_is_shown() -> Result {
    let ima = tempfile::tempdir()?;
    let file = list("violations.bin");
    fs::copy(&file, ima.path().join("binary_runtime_measurements"))?;
    let shown = |arguments: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_ima-checkpoint"));
        program.arg("inspect").args(arguments).arg("--ima");
        program.arg(ima.path()).stdin(Stdio::null()).output()
    };
    let live = shown(&["--live"])?;
    assert_eq!(live.status.code(), Some(0));
    assert_eq!(live.stdout, run("inspect", &file, &[])?.stdout);
    let nothing = shown(&[])?;
    assert_eq!(nothing.status.code(), Some(2));
    let said = String::from_utf8_lossy(&nothing.stderr);
    assert!(said.contains("no list was given"), "{said}");
    Ok(())
}
