// SPDX-License-Identifier: GPL-2.0

//! What files of segments hold.

use crate::archive::{
    file, file_name, frame, frame_with, raw_file, skippable, Archive, Result, ALL, HOST,
};
use serde_json::json;
use std::fs;

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
        (Vec::new(), "it ends within its metadata"),
        (whole[..100].to_vec(), "it ends within its metadata"),
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
