// SPDX-License-Identifier: GPL-2.0

//! Makes lists for benchmarks and seeds for fuzzing, always the same ones.
//!
//! `make-log list N` writes N records of the template ima-ng, of 150 bytes each but the first, which
//! is boot_aggregate, and says on standard error what they replay to, as options of `verify`.
//! `make-log seeds DIR` fills DIR/TARGET.

#[path = "../../ima-log/tests/common/mod.rs"]
mod common;

use common::{
    busy::busy,
    Host,
    Measured,
    PCR, //
};
use ima_checkpoint::bank::Bank;
use ima_checkpoint_format::{
    record::NewRecord,
    ByteOrder, //
};
use std::{
    env,
    error::Error,
    fs,
    io::{
        self,
        BufWriter,
        Write, //
    },
    path::Path, //
};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list", records] => list(records.parse()?),
        ["seeds", folder] => seeds(folder.as_ref()),
        _ => Err("usage: make-log list RECORDS | make-log seeds DIR".into()),
    }
}

/// It is written as it is made, so that its length is bounded by the disk only.
fn list(records: u64) -> Outcome {
    let mut out = BufWriter::new(io::stdout().lock());
    let banks = [Bank::Sha1, Bank::Sha256];
    let mut values = banks.map(Bank::zeros);
    for number in 0..records {
        let digest = common::d_ng(&number.to_le_bytes());
        let name = match number {
            0 => "boot_aggregate\0".to_owned(),
            _ => format!("/usr/lib/x86_64-linux-gnu/some/package/plugins/file{number:012}\0"),
        };
        let mut data = Vec::new();
        for field in [digest.as_slice(), name.as_bytes()] {
            data.extend((field.len() as u32).to_le_bytes());
            data.extend(field);
        }
        let digests = banks.map(|bank| bank.hash(&[&data]));
        for ((value, bank), digest) in values.iter_mut().zip(banks).zip(&digests) {
            *value = bank.extend(value, digest);
        }
        let record = NewRecord {
            pcr: PCR,
            digest: digests[0].as_bytes(),
            template_name: b"ima-ng",
            fields: [digest.as_slice(), name.as_bytes()].into_iter(),
            order: ByteOrder::Little,
        };
        let mut bytes = [0; 150];
        let length = record.encode(&mut bytes)?;
        out.write_all(bytes.get(..length).unwrap_or_default())?;
    }
    out.flush()?;
    for (bank, value) in banks.iter().zip(values) {
        eprintln!("--pcr {bank}:{PCR}={value}");
    }
    Ok(())
}

fn seeds(folder: &Path) -> Outcome {
    let seed = |target: &str, name: &str, bytes: &[u8]| {
        let folder = folder.join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), bytes)
    };
    for (order, order_name) in [(ByteOrder::Little, "little"), (ByteOrder::Big, "big")] {
        let host = busy(order)?;
        for bank in [Bank::Sha1, Bank::Sha256] {
            let list = host.view(bank)?;
            for target in ["list", "verify"] {
                seed(target, &format!("{bank}-{order_name}"), &list)?;
            }
            let suffix = host.view_of(bank, host.first_of(2)..host.records.len())?;
            for target in ["list", "verify"] {
                seed(target, &format!("{bank}-{order_name}-truncated"), &suffix)?;
            }
        }
    }
    let host = busy(ByteOrder::Little)?;
    for (at, made) in host.checkpoints.iter().enumerate() {
        seed(
            "checkpoint",
            &format!("checkpoint-{}", at + 1),
            &made.buffer,
        )?;
    }
    let is_truncation = |record: &&Measured| record.fields.iter().any(|f| f == b".ima/truncate\0");
    let truncation = host.records.iter().find(is_truncation);
    let buffer = truncation.and_then(|record| record.fields.last());
    seed("checkpoint", "truncation", buffer.ok_or("no truncation")?)?;
    for (number, (which, bytes)) in quotes()?.iter().enumerate() {
        let bytes = [&[*which], bytes.as_slice()].concat();
        seed("quote", &number.to_string(), &bytes)?;
    }
    for (name, bytes) in event_logs()? {
        seed("eventlog", name, &bytes)?;
    }
    seed("archive", "segment", &archived(&host)?)?;
    seed(
        "archive",
        "only-a-frame",
        &zstd::encode_all(&*host.view(Bank::Sha1)?, 3)?,
    )?;
    Ok(())
}

/// Numbers that tell the target `quote` how to read what is beside them.
type Numbered = Vec<(u8, Vec<u8>)>;

/// What tpm2-tools wrote.
fn quotes() -> Result<Numbered, Box<dyn Error>> {
    let mut quotes = Vec::new();
    for line in include_str!("../../ima-log/tests/data/quotes").lines() {
        let Some((name, digits)) = line.split_once(" = ") else {
            continue;
        };
        let which = match name {
            "message" => 0,
            "signature" => 1,
            "tpm2b" | "pem" => 2,
            "text" | "serialized" | "values" => 3,
            _ => continue,
        };
        quotes.push((which, from_hex(digits)?));
    }
    Ok(quotes)
}

/// Names, and what is called so.
type Named = Vec<(&'static str, Vec<u8>)>;

/// What firmware wrote.
fn event_logs() -> Result<Named, Box<dyn Error>> {
    let mut logs = Vec::new();
    let mut section = "";
    for line in include_str!("../../ima-log/tests/data/eventlogs").lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        if let Some(digits) = line.strip_prefix("log = ") {
            logs.push((section, from_hex(digits)?));
        }
    }
    Ok(logs)
}

fn from_hex(digits: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let pairs = digits.as_bytes().chunks(2).map(std::str::from_utf8);
    pairs
        .map(|pair| Ok(u8::from_str_radix(pair?, 16)?))
        .collect()
}

/// Segment 0 as the file of an archive.
fn archived(host: &Host) -> Result<Vec<u8>, Box<dyn Error>> {
    let records = host.first_of(1);
    let bytes = host.view_of(Bank::Sha1, 0..records)?;
    let meta = serde_json::json!({
        "format": "ima-checkpoint/segment/1",
        "host": "host",
        "log_id": "5c".repeat(16),
        "seq": 0,
        "state": "sealed",
        "generation": 0,
        "first": 0,
        "offset": 0,
        "records": records,
        "bytes": bytes.len(),
        "ascii_bytes": 0,
        "sha256": Bank::Sha256.hash(&[&bytes]),
        "checkpoint": Bank::Sha256.zeros(),
        "byte_order": "little",
        "broken": false,
        "archived_ns": 0,
    });
    let meta = meta.to_string();
    let mut file = 0x184d_2a50_u32.to_le_bytes().to_vec();
    file.extend((meta.len() as u32).to_le_bytes());
    file.extend(meta.as_bytes());
    let mut encoder = zstd::bulk::Compressor::new(3)?;
    encoder.include_checksum(true)?;
    file.extend(encoder.compress(&bytes)?);
    Ok(file)
}
