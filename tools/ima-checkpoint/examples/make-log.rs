// SPDX-License-Identifier: GPL-2.0

//! Makes lists for benchmarks and seeds for fuzzing, always the same ones.
//!
//! `make-log list N [EVERY]` writes N records of the template ima-ng, of 150 bytes each but for the
//! first, with a checkpoint every so many records, and says on standard error what they replay to, as
//! options of `verify`. `make-log seeds DIR` fills DIR/TARGET.

#[path = "../../ima-log/tests/common/mod.rs"]
mod common;

use common::{busy::busy, Host, Measured, PCR};
use ima_checkpoint::bank::{Bank, Digest};
use ima_checkpoint_format::{
    ascii::{write_ascii, Sink},
    checkpoint::{self, Builder, Entry, Header, Kind, Label, State},
    record::{NewRecord, Record},
    ByteOrder,
};
use sha2::{Digest as _, Sha256};
use std::{
    env,
    error::Error,
    fs,
    io::{self, BufWriter, Write},
    path::Path,
};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list", records] => list(records.parse()?, None),
        ["list", records, every] => list(records.parse()?, Some(every.parse()?)),
        ["seeds", folder] => seeds(folder.as_ref()),
        _ => Err("usage: make-log list RECORDS [EVERY] | make-log seeds DIR".into()),
    }
}

/// The list of a host, written as it is made, so that its length is bounded by the disk only.
struct Stream<W> {
    out: W,
    banks: [Bank; 2],
    values: [Digest; 2],
    records: u64,
    bytes: u64,
    /// What the last checkpoint was, and what came since: SHA-256 of the bytes, and where it starts.
    previous: [u8; 32],
    checkpoints: u64,
    segment: Sha256,
    start: (u64, u64),
}

impl<W: Write> Stream<W> {
    fn new(out: W) -> Self {
        let banks = [Bank::Sha1, Bank::Sha256];
        Self {
            out,
            banks,
            values: banks.map(Bank::zeros),
            records: 0,
            bytes: 0,
            previous: [0; 32],
            checkpoints: 0,
            segment: Sha256::new(),
            start: (0, 0),
        }
    }

    fn measure(&mut self, template: &[u8], fields: &[&[u8]]) -> Outcome {
        let mut data = Vec::new();
        for field in fields {
            data.extend((field.len() as u32).to_le_bytes());
            data.extend(*field);
        }
        let digests = self.banks.map(|bank| bank.hash(&[&data]));
        for ((value, bank), digest) in self.values.iter_mut().zip(self.banks).zip(&digests) {
            *value = bank.extend(value, digest);
        }
        let record = NewRecord {
            pcr: PCR,
            digest: digests[0].as_bytes(),
            template_name: template,
            fields: fields.iter().copied(),
            order: ByteOrder::Little,
        };
        let mut bytes = vec![0; record.encoded_len()?];
        record.encode(&mut bytes)?;
        self.out.write_all(&bytes)?;
        self.segment.update(&bytes);
        self.records += 1;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn file(&mut self, name: &str) -> Outcome {
        let digest = common::d_ng(name.as_bytes());
        self.measure(b"ima-ng", &[&digest, &common::nul(name.as_bytes())])
    }

    fn checkpoint(&mut self) -> Outcome {
        self.checkpoints += 1;
        let header = Header {
            log_id: common::LOG_ID,
            sequence: self.checkpoints,
            default_pcr: PCR,
            record: self.records,
            offset: self.bytes,
            segment_records: self.records - self.start.0,
            segment_bytes: self.bytes - self.start.1,
            segment_digest: self.segment.finalize_reset().into(),
            previous: self.previous,
            ..Header::default()
        };
        let mut out = [0; checkpoint::MAX_BUFFER];
        let mut builder = Builder::new(&mut out, &header, Label::default())?;
        for (bank, value) in self.banks.iter().zip(&self.values) {
            let entry = Entry {
                pcr: PCR as u8,
                state: State::Match,
                algorithm: bank.tpm_id(),
                value: value.as_bytes(),
            };
            builder.push(Kind::Value, &entry)?;
        }
        let buffer = builder.finish();
        self.previous = Sha256::digest(buffer).into();
        self.start = (self.records, self.bytes);
        let fields = [
            &common::d_ng(buffer),
            b".ima/checkpoint\0".as_slice(),
            buffer,
        ];
        self.measure(b"ima-buf", &fields)
    }
}

/// A checkpoint comes before each record whose number `every` divides.
fn list(records: u64, every: Option<u64>) -> Outcome {
    let mut host = Stream::new(BufWriter::new(io::stdout().lock()));
    host.file("boot_aggregate")?;
    for number in 1..records {
        if every.is_some_and(|every| number % every == 0) {
            host.checkpoint()?;
        }
        host.file(&format!(
            "/usr/lib/x86_64-linux-gnu/some/package/plugins/file{number:012}"
        ))?;
    }
    host.out.flush()?;
    for (bank, value) in host.banks.iter().zip(host.values) {
        eprintln!("--pcr {bank}:{PCR}={value}");
    }
    Ok(())
}

struct Text(Vec<u8>);

impl Sink for Text {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// A binary list in ASCII.
fn ascii(mut list: &[u8], bank: Bank, order: ByteOrder) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut text = Text(Vec::new());
    while !list.is_empty() {
        let (record, length) = Record::parse(list, bank.size(), order)?;
        write_ascii(&record, record.digest(), &mut text);
        list = &list[length..];
    }
    Ok(text.0)
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
            for target in ["list", "verify", "ascii"] {
                seed(target, &format!("{bank}-{order_name}"), &list)?;
            }
            let text = ascii(&list, bank, order)?;
            for target in ["verify", "ascii"] {
                seed(target, &format!("{bank}-{order_name}-text"), &text)?;
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
