// SPDX-License-Identifier: GPL-2.0

//! The exit codes of `verify`, and which one decides when several hold.

#[path = "../../ima-log/tests/common/mod.rs"]
mod common;

use common::{
    d_ng,
    judge::{before_ima, exit, host, pcrs},
    nul,
};
use ima_checkpoint::{
    bank::Bank,
    commands::exit::{worst, Code, CODES},
    replay::Values,
};
use ima_log::verify::verdict::Outcome;
use serde_json::Value;
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const QUOTES: &str = include_str!("../../ima-log/tests/data/quotes");

#[test]
fn precedence() {
    let all = [
        Code::Usage,
        Code::Kernel,
        Code::Internal,
        Code::Busy,
        Code::Tampered,
        Code::Stale,
        Code::Missing,
        Code::Policy,
        Code::Unanchored,
        Code::Verified,
    ];
    assert_eq!(CODES.map(|(code, _)| code), all);
    let numbers = all.map(|code| code as u8);
    assert_eq!(numbers, [2, 7, 8, 6, 1, 9, 5, 4, 3, 0]);
    for (at, graver) in all.iter().enumerate() {
        for code in &all[at..] {
            assert_eq!(worst([*code, *graver]), *graver);
            assert_eq!(worst([*graver, *code]), *graver);
        }
    }
}

/// Every outcome of a verification ends the program with the code of its own, and those that are
/// graver decide in the same order as their codes.
#[test]
fn outcomes_have_codes_in_one_table() {
    let table = [
        (Outcome::Tampered, Code::Tampered),
        (Outcome::Stale, Code::Stale),
        (Outcome::Missing, Code::Missing),
        (Outcome::Unanchored, Code::Unanchored),
        (Outcome::Accepted, Code::Verified),
        (Outcome::Verified, Code::Verified),
    ];
    for (at, (outcome, code)) in table.iter().enumerate() {
        assert_eq!(Code::from(*outcome), *code);
        assert_eq!(exit(*outcome), *code as u8);
        for (milder, milder_code) in &table[at + 1..] {
            assert!(outcome > milder, "{outcome:?} {milder:?}");
            assert_eq!(worst([*milder_code, *code]), *code);
        }
    }
}

/// Files to verify.
struct Files {
    folder: TempDir,
    /// What the PCRs hold, as options.
    pcrs: Vec<String>,
    /// What PCR 11 held before IMA used it, as options.
    bases: Vec<String>,
}

impl Files {
    fn new() -> Result<Self> {
        let mut host = host()?;
        let new = Self {
            folder: tempfile::tempdir()?,
            pcrs: options("--pcr", &pcrs(&host)),
            bases: options("--base", &before_ima(&host)),
        };
        let whole = 0..host.records.len();
        let (first, second, third) = (host.first_of(1), host.first_of(2), whole.end);
        let good = host.view_of(Bank::Sha256, whole)?;
        let mut bad = good.clone();
        bad[60] ^= 1;
        new.write("good", &good)?;
        new.write("bad", &bad)?;
        new.write("0", &host.view_of(Bank::Sha256, 0..first)?)?;
        new.write("1", &host.view_of(Bank::Sha256, first..second)?)?;
        new.write("2", &host.view_of(Bank::Sha256, second..third)?)?;
        host.append(b"ima-ng", vec![d_ng(b"z"), nul(b"/bin/z")], false);
        new.write("longer", &host.view(Bank::Sha256)?)?;
        for (field, name) in [("message", "msg"), ("signature", "sig"), ("tpm2b", "key")] {
            new.write(name, &fixture(field).ok_or("no such fixture")?)?;
        }
        let mut forged = fixture("signature").ok_or("no signature")?;
        let last = forged.len() - 1;
        forged[last] ^= 1;
        new.write("forged", &forged)?;
        new.write("pem", &fixture("pem").ok_or("no such fixture")?)?;
        Ok(new)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        fs::write(self.path(name), bytes)
    }

    fn run(&self, arguments: &[&str]) -> std::io::Result<Output> {
        Command::new(env!("CARGO_BIN_EXE_ima-checkpoint"))
            .arg("verify")
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
    }

    /// The exit code and all that hold, as JSON says.
    fn codes(&self, arguments: &[&str]) -> Result<(i32, Vec<u64>)> {
        let output = self.run(&[&["--json"], arguments].concat())?;
        let said = String::from_utf8_lossy(&output.stderr);
        let document: Value =
            serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {said}"))?;
        assert_eq!(document["schema"], "ima-checkpoint/verify/2");
        let code = output.status.code().unwrap_or(-1);
        assert_eq!(document["code"], code);
        let codes = document["codes"].as_array().ok_or("no codes")?;
        Ok((code, codes.iter().filter_map(Value::as_u64).collect()))
    }
}

/// Values of PCRs as options of the program.
fn options(name: &str, values: &Values) -> Vec<String> {
    let values = values.iter();
    let values = values.map(|(at, value)| format!("{name}={}:{}={value}", at.bank, at.pcr));
    values.collect()
}

/// A field of the quote by `rsassa`, from hexadecimal digits.
fn fixture(field: &str) -> Option<Vec<u8>> {
    let (_, section) = QUOTES.split_once("[rsassa]\n")?;
    let mut lines = section.lines();
    let digits = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(" = "))?;
    let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(byte).collect()
}

const STALE: [&str; 8] = [
    "--quote",
    "msg",
    "--signature",
    "sig",
    "--key",
    "key",
    "--nonce",
    "00",
];
const FORGED: [&str; 6] = ["--quote", "msg", "--signature", "forged", "--key", "key"];

#[test]
fn all_that_hold() -> Result {
    let files = Files::new()?;
    let values: Vec<&str> = files.pcrs.iter().map(String::as_str).collect();
    let bases: Vec<&str> = files.bases.iter().map(String::as_str).collect();
    let pcrs = [values.as_slice(), &bases].concat();
    let no_pcrs = bases.as_slice();
    let nothing: &[&str] = &[];
    let stale = [STALE.as_slice(), no_pcrs].concat();
    let forged = [FORGED.as_slice(), no_pcrs].concat();
    let prefixed: Vec<String> = values
        .iter()
        .map(|pcr| pcr.replacen('=', "=0x", 2))
        .collect();
    let prefixed: Vec<&str> = prefixed
        .iter()
        .map(|pcr| pcr.trim_start_matches("--pcr=0x"))
        .flat_map(|value| ["--pcr", value])
        .chain(bases.iter().copied())
        .collect();
    let twice = [pcrs.as_slice(), &pcrs, &prefixed].concat();
    for (what, list, anchor, codes) in [
        ("good", ["good"].as_slice(), pcrs.as_slice(), [0].as_slice()),
        (
            "the same as tpm2_pcrread shows it",
            &["good"],
            &prefixed,
            &[0],
        ),
        ("the same twice", &["good"], &twice, &[0]),
        ("in segments", &["0", "1", "2"], &pcrs, &[0]),
        ("records after", &["longer"], &pcrs, &[0]),
        (
            "what firmware extended is not told",
            &["good"],
            &values,
            &[5],
        ),
        ("nothing is told", &["good"], nothing, &[5, 3]),
        ("nothing to compare with", &["good"], no_pcrs, &[3]),
        ("a gap", &["0", "2"], &pcrs, &[5]),
        ("no start", &["1", "2"], &pcrs, &[5]),
        ("a gap, unanchored", &["0", "2"], no_pcrs, &[5, 3]),
        // after what is not true, all rests on a checkpoint
        ("tampered", &["bad"], no_pcrs, &[1, 5, 3]),
        ("an old quote", &["good"], &stale, &[9, 3]),
        ("a gap, an old quote", &["0", "2"], &stale, &[9, 5, 3]),
        ("tampered, an old quote", &["bad"], &stale, &[1, 9, 5, 3]),
        ("a forged quote", &["good"], &forged, &[1, 3]),
        ("a gap, a forged quote", &["0", "2"], &forged, &[1, 5, 3]),
    ] {
        let (code, mut all) = files.codes(&[list, anchor].concat())?;
        assert_eq!(code, codes[0], "{what}: {all:?}");
        let mut wanted = codes.to_vec();
        wanted.sort_unstable();
        all.sort_unstable();
        assert_eq!(
            all,
            wanted.iter().map(|one| *one as u64).collect::<Vec<_>>(),
            "{what}"
        );
    }
    Ok(())
}

#[test]
fn what_cannot_be_verified() -> Result {
    let files = Files::new()?;
    let nowhere = Path::new("nowhere").display().to_string();
    let (zeros, ones) = (
        format!("sha256:10={}", "0".repeat(64)),
        format!("sha256:10=0x{}", "1".repeat(64)),
    );
    let two = |option| ["good", option, &zeros, option, &ones];
    let both = format!(
        "two values for PCR 10 in sha256, {} and {}",
        "0".repeat(64),
        "1".repeat(64)
    );
    // as an unset variable of a shell gives it
    let mut unset = [["good"].as_slice(), &STALE].concat();
    unset[8] = "";
    let mut long = unset.clone();
    let digits = "0".repeat(130);
    long[8] = &digits;
    for (arguments, code, says) in [
        ([].as_slice(), 2, "--archive or --live"),
        (
            &["good", "--pcr", "sha256:10=00"],
            2,
            "64 hexadecimal digits",
        ),
        (&["good", "--quote", "msg"], 2, "--signature"),
        (&two("--pcr"), 2, &both),
        (&two("--base"), 2, &both),
        (&["good", "--pcr", "sha1:32=00"], 2, "there is no PCR 32"),
        (&unset, 2, "the nonce is empty: check the variable"),
        (&long, 2, "the nonce has 65 bytes"),
        (&["--live", "--ima", &nowhere], 7, "nowhere"),
        (&["good", "--tpm=nowhere"], 7, "nowhere"),
        (&["missing"], 8, "missing"),
        (
            &["missing", "--pcr", "sha256:10=00"],
            2,
            "64 hexadecimal digits",
        ),
    ] {
        let output = files.run(arguments)?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty());
    }
    Ok(())
}

/// The key of the quote, and which name it is to have.
#[test]
fn names_of_keys() -> Result {
    let files = Files::new()?;
    let name: String = fixture("name")
        .ok_or("no such fixture")?
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let other = format!("000b{}", "0".repeat(64));
    for (key, wanted, code, says) in [
        // the list is not the one that was quoted, which has values of other PCRs
        ("key", name.as_str(), 2, "give their values"),
        ("key", &name.to_uppercase(), 2, "give their values"),
        ("key", &other, 1, "this is not the expected key"),
        ("pem", &name, 2, "give its TPM2B_PUBLIC"),
        ("key", &name[..8], 2, "64 digits after the first 4"),
        ("key", "", 2, "hexadecimal digits"),
    ] {
        let mut arguments = [["good"].as_slice(), &FORGED, &["--key-name", wanted]].concat();
        arguments[4] = "sig";
        arguments[6] = key;
        let output = files.run(&arguments)?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said)?;
        assert_eq!(output.status.code(), Some(code), "{wanted}: {said}");
        assert!(said.contains(says), "{wanted}: {said}");
    }
    Ok(())
}

#[test]
fn a_fault_is_named_with_its_place() -> Result {
    let files = Files::new()?;
    let output = files.run(&["bad"])?;
    let said = String::from_utf8(output.stdout)?;
    assert!(said.starts_with("NOT VERIFIED"), "{said}");
    assert!(said.contains("bad: record 0 at byte 0"), "{said}");
    Ok(())
}

#[test]
fn quiet_says_nothing() -> Result {
    let files = Files::new()?;
    let output = files.run(&["--quiet", "bad"])?;
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
    Ok(())
}
