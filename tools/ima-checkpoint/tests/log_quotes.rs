// SPDX-License-Identifier: GPL-2.0

//! `verify --key` and `--trust`: quotes that are in the list, as the program reports them.

#[path = "../../ima-log/tests/common/mod.rs"]
mod common;

use common::{
    signer::{buffer, Held, Key, Moment},
    Host, LOG_ID, PCR,
};
use ima_checkpoint::{bank::Bank, replay::Register};
use ima_checkpoint_format::ByteOrder;
use serde_json::Value;
use std::{
    error::Error,
    fs,
    process::{Command, Output},
};
use tempfile::TempDir;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// A folder with a list that has a quote over each of two checkpoints, and keys.
struct Files(TempDir);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Files {
    fn new(banks: &[Bank]) -> Result<Self> {
        let new = Self(tempfile::tempdir()?);
        let (key, other) = (Key::new(1), Key::new(2));
        let mut host = Host::new(ByteOrder::Little, banks);
        host.file(b"boot_aggregate", b"PCRs");
        for (label, clock) in [("", 1000), ("00aa", 2000)] {
            host.checkpoint(label)?;
            let made = host.checkpoints.last().ok_or("no checkpoint")?;
            let digest = Bank::Sha256.hash(&[&made.buffer]);
            let seq = host.checkpoints.len() as u64;
            let held = banks.iter().map(|bank| {
                let register = Register {
                    pcr: PCR,
                    bank: *bank,
                };
                (register, host.pcr(PCR, *bank))
            });
            let held: Held = held.collect();
            let at = Moment {
                reset: 3,
                restart: 0,
                clock,
            };
            let evidence = key.evidence(digest.as_bytes(), &held, at);
            let record = buffer(LOG_ID, seq, digest.as_bytes(), &evidence);
            host.own_record(b".ima/quote", &record);
            host.file(b"/bin/later", b"later");
        }
        new.write("list", &host.view(Bank::Sha1)?)?;
        new.write("key", &key.public)?;
        new.write("pem", &key.pem)?;
        new.write("other", &other.public)?;
        fs::create_dir(new.0.path().join("keys"))?;
        new.write("keys/a", &other.public)?;
        new.write("keys/b", &key.public)?;
        Ok(new)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        fs::write(self.0.path().join(name), bytes)
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        let output = Command::new(env!("CARGO_BIN_EXE_ima-checkpoint"))
            .args(["verify", "list"])
            .args(arguments)
            .current_dir(self.0.path())
            .output()?;
        Ok(output)
    }

    /// The exit code, and all that is said.
    fn says(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let output = self.run(arguments)?;
        let said = [output.stdout, output.stderr].concat();
        let code = output.status.code().unwrap_or(-1);
        Ok((code, String::from_utf8(said)?))
    }
}

#[test]
fn the_key_is_all_that_is_needed() -> Result {
    let files = Files::new(&[Bank::Sha1, Bank::Sha256])?;
    let name = hex(&Key::new(1).name);
    for arguments in [
        &["--key", "key"][..],
        &["--key", "pem"],
        &["--key", "key", "--key-name", &name],
        &["--trust", "keys"],
        &["--trust", "keys", "--key", "other"],
    ] {
        let (code, said) = files.says(arguments)?;
        assert_eq!(code, 0, "{arguments:?}: {said}");
        let line =
            "Proven to record 4 by the quote in record 5, over checkpoint 2: signed by ecdsa";
        assert!(said.contains(line), "{arguments:?}: {said}");
        assert!(said.contains("reset 3, restart 0, 2 s"), "{said}");
        // whose key it is was settled by its name, or not at all
        let compared = said.contains("no --key-name was given");
        assert_eq!(compared, arguments == ["--key", "key"], "{said}");
    }
    Ok(())
}

#[test]
fn other_keys() -> Result {
    let files = Files::new(&[Bank::Sha256])?;
    let (code, said) = files.says(&["--key", "other"])?;
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("none by a key that was given"), "{said}");
    assert!(said.contains("2 quotes by the key 000b"), "{said}");
    let (code, said) = files.says(&[])?;
    assert_eq!(code, 3, "{said}");
    for (arguments, wanted, says) in [
        (&["--key", "list"][..], 8, "list: not a public key"),
        (
            &["--key", "key", "--key-name", &hex(&Key::new(2).name)],
            1,
            "not the expected key",
        ),
        (
            &["--key", "pem", "--key-name", &hex(&Key::new(1).name)],
            2,
            "TPM2B_PUBLIC",
        ),
        (&["--trust", "none"], 8, "cannot read none"),
        (&["--trust", "."], 8, "not a public key"),
        (&["--nonce", "00aa"], 2, "--key"),
    ] {
        let (code, said) = files.says(arguments)?;
        assert_eq!(code, wanted, "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    Ok(())
}

#[test]
fn a_nonce() -> Result {
    let files = Files::new(&[Bank::Sha256])?;
    let (code, said) = files.says(&["--key", "key", "--nonce", "00AA"])?;
    assert!(code == 0 && !said.contains("not fresh"), "{code}: {said}");
    let (code, said) = files.says(&["--key", "key", "--nonce", "00ab"])?;
    assert!(code == 9 && said.contains("STALE"), "{code}: {said}");
    Ok(())
}

/// The list is read once more for a bank that turns out to be quoted.
#[test]
fn banks_and_json() -> Result {
    let files = Files::new(&[Bank::Sha1, Bank::Sha384])?;
    let output = files.run(&["--key", "key", "--json"])?;
    assert_eq!(output.status.code(), Some(0));
    let json: Value = serde_json::from_slice(&output.stdout)?;
    let quotes = json["quotes"].as_array().ok_or("no quotes")?;
    assert_eq!(quotes.len(), 2);
    for (at, (record, checkpoint, end, clock)) in [("2", "1", "2", "1000"), ("5", "2", "5", "2000")]
        .iter()
        .enumerate()
    {
        let one = &quotes[at];
        assert_eq!(one["record"], *record);
        assert_eq!(one["log_record"], *record);
        assert_eq!(one["checkpoint"], *checkpoint);
        assert_eq!(one["proven"]["first"], "0");
        assert_eq!(one["proven"]["end"], *end);
        assert_eq!(one["quote"]["attest"]["clock"], *clock);
        assert_eq!(one["quote"]["key_name"], hex(&Key::new(1).name));
    }
    // segment 0 is covered by the first, segment 1 by the second, and the last one by none
    let segments = json["segments"].as_array().ok_or("no segments")?;
    let covering: Vec<_> = segments.iter().map(|one| one["quote"].as_str()).collect();
    assert_eq!(covering, [Some("2"), Some("5"), None]);
    let json = files.run(&["--key", "other", "--json"])?.stdout;
    let json: Value = serde_json::from_slice(&json)?;
    assert_eq!(json["unknown_keys"][0]["key_name"], hex(&Key::new(1).name));
    assert_eq!(json["unknown_keys"][0]["quotes"], "2");
    Ok(())
}
