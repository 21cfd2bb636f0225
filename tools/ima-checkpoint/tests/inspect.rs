// SPDX-License-Identifier: GPL-2.0

//! What `inspect` shows, and how it ends.

#[path = "../../ima-log/tests/common/mod.rs"]
mod common;

use common::{Host, Measured, PCR};
use ima_checkpoint::bank::Bank;
use ima_checkpoint_format::{
    config::{self, Builder, Reason},
    ByteOrder,
};
use serde_json::Value;
use std::{
    error::Error,
    io::Write,
    process::{Command, Output, Stdio},
};

type Outcome = Result<(), Box<dyn Error>>;

fn host(order: ByteOrder) -> Result<Host, ima_checkpoint_format::Error> {
    let mut host = Host::new(order, &[Bank::Sha1, Bank::Sha256]);
    host.file(b"boot_aggregate", b"PCRs");
    host.file(b"/usr/bin/two words", b"a");
    host.file(b"/tmp/\xff\x1b[2J", b"b");
    host.violation("/tmp/\u{202e}".as_bytes());
    host.foreign_extend(PCR, Bank::Sha256, b"somebody else");
    host.checkpoint("nightly")?;
    host.measure(Measured {
        pcr: 11,
        template: b"d|iuid|imode|n-ng|n-ng".to_vec(),
        fields: vec![
            vec![0x44; 20],
            order.put_u32(1000).to_vec(),
            order.put_u16(0o100_755).to_vec(),
            b"/a b\0".to_vec(),
            b"/c d\0".to_vec(),
        ],
        violation: false,
    });
    host.truncation(0, 1)?;
    Ok(host)
}

/// Runs it on a list as standard input.
fn inspect(list: &[u8], options: &[&str]) -> std::io::Result<Output> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ima-checkpoint"))
        .args(["inspect", "-"])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(list)?;
    }
    child.wait_with_output()
}

fn lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(str::to_owned).collect()
}

fn objects(output: &Output) -> serde_json::Result<Vec<Value>> {
    let lines = lines(output);
    lines
        .iter()
        .map(|line| serde_json::from_str(line))
        .collect()
}

#[test]
fn text() -> Outcome {
    let shown = inspect(&host(ByteOrder::Little)?.view(Bank::Sha1)?, &[])?;
    assert_eq!(shown.status.code(), Some(0));
    let lines = lines(&shown);
    let ends = |at: usize, end: &str| {
        assert!(lines[at].ends_with(end), "{:?}", lines[at]);
    };
    assert!(lines[0].starts_with("      0 10 ima-ng sha256:"));
    ends(0, " boot_aggregate");
    ends(1, " /usr/bin/two words");
    ends(2, r" /tmp/\xff\x1b[2J");
    ends(3, r" /tmp/\u{202e}");
    assert!(lines[3].contains(" ima-ng VIOLATION sha256:0000"));
    ends(4, " .ima/checkpoint");
    assert_eq!(lines[5], "        checkpoint 1 \"nightly\", which claims:");
    ends(
        8,
        "made       2027-01-15T08:00:00.000000000Z, 3600s after boot",
    );
    ends(9, "flags      differs");
    let custom = lines.iter().position(|line| line.starts_with("      5 11"));
    let custom = custom.ok_or("no record 5")?;
    ends(custom, r" iuid=1000 imode=100755 n-ng=/c\x20d /a b");
    assert_eq!(
        lines[custom + 2],
        "        truncation to checkpoint 1 (user), which claims:"
    );
    Ok(())
}

#[test]
fn json_loses_nothing() -> Outcome {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        for bank in [Bank::Sha1, Bank::Sha256] {
            let host = host(order)?;
            let records = objects(&inspect(&host.view(bank)?, &["--json"])?)?;
            assert_eq!(records.len(), host.records.len());
            let mut offset = 0_u64;
            for (at, (record, wanted)) in records.iter().zip(&host.records).enumerate() {
                assert_eq!(record["schema"], "ima-checkpoint/record/1");
                assert_eq!(record["record"], at.to_string());
                assert_eq!(record["offset"], offset.to_string());
                offset += record["length"]
                    .as_str()
                    .ok_or("no length")?
                    .parse::<u64>()?;
                assert_eq!(record["pcr"], wanted.pcr);
                assert_eq!(record["bank"], bank.name());
                assert_eq!(record["violation"], wanted.violation);
                assert_eq!(
                    record["template"],
                    *String::from_utf8_lossy(&wanted.template)
                );
                let fields = record["fields"].as_array().ok_or("no fields")?;
                let data = fields.iter().filter_map(|field| field["hex"].as_str());
                let wanted: Vec<_> = wanted.fields.iter().map(|field| hex(field)).collect();
                assert_eq!(data.collect::<Vec<_>>(), wanted);
            }
            assert_eq!(offset, host.view(bank)?.len() as u64);
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn names_and_claims_in_json() -> Outcome {
    let host = host(ByteOrder::Little)?;
    let records = objects(&inspect(&host.view(Bank::Sha1)?, &["--json"])?)?;
    assert_eq!(records[1]["name"], "/usr/bin/two words");
    assert_eq!(records[2].get("name"), None);
    assert_eq!(records[2]["name_hex"], hex(b"/tmp/\xff\x1b[2J"));
    assert_eq!(records[3].get("name"), None);
    assert_eq!(records[0]["file_digest"]["algorithm"], "sha256");

    let claims = &records[4]["checkpoint_claims"];
    assert_eq!(claims["label"], "nightly");
    assert_eq!(claims["wall_ns"], "1800000000000000000");
    assert_eq!(claims["flags"], serde_json::json!(["differs"]));
    assert_eq!(claims["segment_records"], "4");
    let buffer = &host.checkpoints[0].buffer;
    let digest = Bank::Sha256.hash(&[buffer]).to_string();
    assert_eq!(claims["buffer_sha256"], digest);
    let values = claims["values"].as_array().ok_or("no values")?;
    assert_eq!(values.len(), 2);
    assert_eq!(values[0]["state"], "match");
    assert_eq!(values[0].get("replay"), None);
    assert_eq!(values[1]["state"], "differs");
    assert_eq!(values[1]["replay"].as_str().map(str::len), Some(64));

    let claims = &records[6]["truncation_claims"];
    assert_eq!(claims["reason"], "user");
    assert_eq!(claims["records"], "4");
    assert_eq!(claims["buffer_sha256"], digest);
    Ok(())
}

#[test]
fn changed_settings() -> Outcome {
    let mut host = Host::new(ByteOrder::Little, &[Bank::Sha1]);
    host.file(b"boot_aggregate", b"PCRs");
    let mut out = [0; 200];
    let mut builder = Builder::new(&mut out, Reason::Boot, &[0xab; 16])?;
    builder.push("duplicate_scope", "log", "live")?;
    builder.push("retain_bytes", 0, 1000)?;
    host.own_record(config::EVENT_NAME, builder.finish());
    let list = host.view(Bank::Sha1)?;
    let shown = inspect(&list, &["--checkpoints"])?;
    let claims = "        change of settings (boot), which claims:\n\
        \x20         log        abababababababababababababababab\n\
        \x20         duplicate_scope: log -> live\n\
        \x20         retain_bytes: 0 -> 1000\n";
    assert!(String::from_utf8(shown.stdout)?.ends_with(claims));
    let records = objects(&inspect(&list, &["--checkpoints", "--json"])?)?;
    let claims = &records[0]["config_claims"];
    assert_eq!(claims["reason"], "boot");
    assert_eq!(claims["log_id"], "ab".repeat(16));
    let changes = claims["changes"].as_array().ok_or("no changes")?;
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[1]["setting"], "retain_bytes");
    assert_eq!(changes[1]["old"], "0");
    assert_eq!(changes[1]["new"], "1000");
    Ok(())
}

#[test]
fn filters() -> Outcome {
    let list = host(ByteOrder::Big)?.view(Bank::Sha256)?;
    for (options, wanted) in [
        (&["--records", "1..3"][..], &[1, 2][..]),
        (&["--violations"], &[3]),
        (&["--checkpoints"], &[4, 6]),
        (&["--path", "/usr/**"], &[1]),
        (&["--event-name", "boot_aggregate"], &[0]),
        (&["--pcr", "11"], &[5]),
        (&["--template", "ima-buf", "--records", "5.."], &[6]),
    ] {
        let shown = inspect(&list, &[options, &["--json"]].concat())?;
        assert_eq!(shown.status.code(), Some(0));
        let records = objects(&shown)?;
        let numbers = records.iter().map(|record| record["record"].as_str());
        let wanted: Vec<_> = wanted.iter().map(u64::to_string).collect();
        assert!(numbers.eq(wanted.iter().map(|number| Some(number.as_str()))));
    }
    Ok(())
}

#[test]
fn a_fault_is_reported_after_what_is_before_it() -> Outcome {
    let host = host(ByteOrder::Little)?;
    let list = host.view(Bank::Sha1)?;
    let good = host.view_of(Bank::Sha1, 0..2)?.len();
    let cut = inspect(&list[..good + 10], &[])?;
    let mut bad = list.clone();
    bad[good + 24..good + 28].fill(0xff);
    let malformed = inspect(&bad, &[])?;
    for (shown, why) in [
        (cut, "the list ends in the middle of it"),
        (malformed, "a length is beyond its limit"),
    ] {
        assert_eq!(shown.status.code(), Some(1));
        assert_eq!(lines(&shown).len(), 2);
        let errors = String::from_utf8_lossy(&shown.stderr);
        let wanted = format!("standard input: record 2 at byte {good}: {why}\n");
        assert_eq!(errors, format!("ima-checkpoint: {wanted}"));
    }
    Ok(())
}

#[test]
fn an_impostor_is_called_one() -> Outcome {
    let mut host = Host::new(ByteOrder::Little, &[Bank::Sha1]);
    host.file(b".ima/checkpoint", b"a file");
    let list = host.view(Bank::Sha1)?;
    let shown = lines(&inspect(&list, &[])?);
    assert_eq!(
        shown[1],
        "        NOT WHAT ITS NAME SAYS: its template is not ima-buf"
    );
    let record = &objects(&inspect(&list, &["--json"])?)?[0];
    assert_eq!(record["impostor"], "its template is not ima-buf");
    assert_eq!(record.get("checkpoint_claims"), None);
    Ok(())
}

#[test]
fn several_files_are_one_list() -> Outcome {
    let host = host(ByteOrder::Little)?;
    let folder = tempfile::tempdir()?;
    let (plain, packed) = (folder.path().join("0"), folder.path().join("1.zst"));
    std::fs::write(&plain, host.view_of(Bank::Sha1, 0..4)?)?;
    let frame = zstd::encode_all(&*host.view_of(Bank::Sha1, 4..7)?, 3)?;
    let skippable = b"\x50\x2a\x4d\x18\x02\0\0\0{}".as_slice();
    std::fs::write(&packed, [skippable, &frame].concat())?;
    let shown = Command::new(env!("CARGO_BIN_EXE_ima-checkpoint"))
        .args(["inspect", "--json"])
        .args([&plain, &packed])
        .output()?;
    let together = inspect(&host.view(Bank::Sha1)?, &["--json"])?;
    assert_eq!(shown.stdout, together.stdout);
    Ok(())
}

#[test]
fn nobody_reads_on() -> Outcome {
    let mut host = Host::new(ByteOrder::Little, &[Bank::Sha1]);
    for at in 0..3000_u32 {
        host.file(b"/some/file", &at.to_le_bytes());
    }
    let folder = tempfile::tempdir()?;
    let list = folder.path().join("list");
    std::fs::write(&list, host.view(Bank::Sha1)?)?;
    let mut child = Command::new(env!("CARGO_BIN_EXE_ima-checkpoint"))
        .arg("inspect")
        .arg(&list)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    drop(child.stdout.take());
    let ended = child.wait_with_output()?;
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stderr.is_empty());
    Ok(())
}
