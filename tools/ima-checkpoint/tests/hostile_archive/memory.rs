// SPDX-License-Identifier: GPL-2.0

//! What a segment costs in memory: at most 64 bytes, for a log may have millions.

use crate::{
    archive::{file, fitting, frame, log_id, private, Archive, Result, HOST},
    common::{d_ng, nul, LOG_ID, PCR},
};
use ima_checkpoint::bank::{Bank, Digest};
use ima_checkpoint_format::{
    checkpoint::{self, Builder, Header, Label},
    record::NewRecord,
    ByteOrder, Error as FormatError,
};
use serde_json::json;
use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// Segments of the small and of the large archive.
const SMALL: u64 = 1_000;
const LARGE: u64 = 6_000;

/// What a segment may cost, in bytes.
const SEGMENT: u64 = 64;

/// What two runs may differ by, whatever they read: how threads were scheduled, for one.
const NOISE: u64 = 1 << 19;

/// A log whose segments have a record each: the first has boot_aggregate, all others only their
/// checkpoint.
struct Sparse {
    seq: u64,
    offset: usize,
    /// The segment before.
    before: Vec<u8>,
    /// SHA-256 of its checkpoint's buffer.
    previous: Digest,
}

impl Sparse {
    fn new() -> Self {
        Self {
            seq: 0,
            offset: 0,
            before: Vec::new(),
            previous: Bank::Sha256.zeros(),
        }
    }

    /// The next segment, and the SHA-256 of its checkpoint's buffer.
    fn next(&self) -> std::result::Result<(Vec<u8>, Digest), FormatError> {
        if self.seq == 0 {
            let fields = [d_ng(b"PCRs"), nul(b"boot_aggregate")];
            return Ok((record(b"ima-ng", &fields)?, Bank::Sha256.zeros()));
        }
        let array = |digest: &Digest| digest.as_bytes().try_into().unwrap_or_default();
        let header = Header {
            log_id: LOG_ID,
            sequence: self.seq,
            default_pcr: PCR,
            record: self.seq,
            offset: self.offset as u64,
            segment_records: 1,
            segment_bytes: self.before.len() as u64,
            segment_digest: array(&Bank::Sha256.hash(&[&self.before])),
            previous: array(&self.previous),
            ..Header::default()
        };
        let mut out = [0; checkpoint::MAX_BUFFER];
        let buffer = Builder::new(&mut out, &header, Label::default())?.finish();
        let name = nul(checkpoint::EVENT_NAME);
        let fields = [d_ng(buffer), name, buffer.to_vec()];
        let digest = Bank::Sha256.hash(&[buffer]);
        Ok((record(b"ima-buf", &fields)?, digest))
    }
}

/// A record in the sha1 view.
fn record(template: &[u8], fields: &[Vec<u8>]) -> std::result::Result<Vec<u8>, FormatError> {
    let order = ByteOrder::Little;
    let mut data = Vec::new();
    for field in fields {
        data.extend(order.put_u32(field.len() as u32));
        data.extend(field);
    }
    let digest = Bank::Sha1.hash(&[&data]);
    let new = NewRecord {
        pcr: PCR,
        digest: digest.as_bytes(),
        template_name: template,
        fields: fields.iter().map(Vec::as_slice),
        order,
    };
    let mut bytes = vec![0; new.encoded_len()?];
    new.encode(&mut bytes)?;
    Ok(bytes)
}

/// Writes segments up to that number.
fn fill(archive: &Archive, log: &mut Sparse, to: u64) -> Result {
    while log.seq < to {
        let (body, checkpoint) = log.next()?;
        let seq = log.seq;
        let meta = json!({
            "format": "ima-checkpoint/segment/1",
            "host": HOST,
            "log_id": log_id(),
            "seq": seq,
            "state": "sealed",
            "generation": 0,
            "first": seq,
            "offset": log.offset,
            "records": 1,
            "checkpoint": checkpoint,
            "byte_order": "little",
            "broken": false,
            "archived_ns": 0,
        });
        let meta = fitting(meta, &body)?;
        fs::write(
            archive.path(&format!("{seq:010}.zst")),
            file(&meta, &frame(&body)?),
        )?;
        log.seq += 1;
        log.offset += body.len();
        (log.before, log.previous) = (body, checkpoint);
    }
    Ok(())
}

/// The most memory that a command had, in bytes, without the pages of the program itself, of which the
/// system keeps as many as it likes. What it had shortly before its end is near enough: it grows with
/// what was read.
fn peak(archive: &Archive, arguments: &[&str], code: i32) -> Result<u64> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ima-checkpoint"))
        .args(arguments)
        .args(["--archive", "archive"])
        .current_dir(archive.folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) << 10);
        match child.try_wait()? {
            Some(ended) => break ended,
            None => thread::sleep(Duration::from_millis(1)),
        }
    };
    assert_eq!(ended.code(), Some(code), "{arguments:?}");
    Ok(peak)
}

#[test]
fn a_segment_costs_64_bytes() -> Result {
    let archive = Archive::new()?;
    for entry in fs::read_dir(archive.path(""))? {
        fs::remove_file(entry?.path())?;
    }
    let mut log = Sparse::new();
    // the index costs what it has: of `fsck` and `reindex`, only the files are looked at here
    let commands: [(&[&str], i32); 3] = [
        (&["verify", "--host", HOST, "--jobs", "1"], 3),
        (&["cat", "--host", HOST, "--no-live"], 0),
        (&["fsck"], 8),
    ];
    let mut peaks = Vec::new();
    for segments in [SMALL, LARGE] {
        fill(&archive, &mut log, segments)?;
        private(&archive.dir())?;
        for (arguments, code) in commands {
            peaks.push(peak(&archive, arguments, code)?);
        }
    }
    let more = (LARGE - SMALL) * SEGMENT + NOISE;
    let (small, large) = peaks.split_at(commands.len());
    for ((small, large), (arguments, _)) in small.iter().zip(large).zip(commands) {
        println!(
            "{arguments:?}: {} KiB, {} KiB, {} bytes a segment",
            small >> 10,
            large >> 10,
            large.saturating_sub(*small) / (LARGE - SMALL)
        );
        assert!(*large < *small + more, "{arguments:?}: {small}, {large}");
    }
    Ok(())
}
