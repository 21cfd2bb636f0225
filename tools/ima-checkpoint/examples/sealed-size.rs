// SPDX-License-Identifier: GPL-2.0

//! How small a sealed segment could be kept, and what reading it would then cost: `sealed-size <PATHS`
//! makes an ima-ng record of each path on standard input, and prints for each representation bytes
//! and nanoseconds a record. Chunks are those of the kernel, 64 KiB.

#[path = "../../ima-log/tests/common/mod.rs"]
mod common;

use common::PCR;
use ima_checkpoint::bank::Bank;
use ima_checkpoint_format::{
    record::{NewRecord, Record},
    ByteOrder,
};
use std::{
    error::Error,
    hint::black_box,
    io::{self, BufRead},
    time::{Duration, Instant},
};

const CHUNK: usize = 64 << 10;
const DIGEST: usize = 20;
/// In front of the template digest stands the PCR.
const BEFORE: usize = 4;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The list that the paths give, in chunks, and its number of records.
fn chunks() -> Outcome<(Vec<Vec<u8>>, usize)> {
    let (mut chunks, mut count) = (vec![Vec::new()], 0);
    for line in io::stdin().lock().split(b'\n') {
        let mut name = line?;
        let digest = common::d_ng(&name);
        name.push(0);
        let fields = [digest.as_slice(), &name];
        let mut data = Vec::new();
        for field in fields {
            data.extend((field.len() as u32).to_le_bytes());
            data.extend(field);
        }
        let template = Bank::Sha1.hash(&[&data]);
        let record = NewRecord {
            pcr: PCR,
            digest: template.as_bytes(),
            template_name: b"ima-ng",
            fields: fields.into_iter(),
            order: ByteOrder::Little,
        };
        let mut bytes = vec![0; record.encoded_len()?];
        record.encode(&mut bytes)?;
        if chunks
            .last()
            .is_some_and(|chunk| chunk.len() + bytes.len() > CHUNK)
        {
            chunks.push(Vec::with_capacity(CHUNK));
        }
        chunks.last_mut().ok_or("no chunk")?.extend(bytes);
        count += 1;
    }
    Ok((chunks, count))
}

/// A chunk without its template digests.
fn without_digests(chunk: &[u8]) -> Outcome<Vec<u8>> {
    let (mut rest, mut short) = (chunk, Vec::new());
    while !rest.is_empty() {
        let len = Record::skip(rest, DIGEST, ByteOrder::Little)?;
        short.extend(&rest[..BEFORE]);
        short.extend(&rest[BEFORE + DIGEST..len]);
        rest = &rest[len..];
    }
    Ok(short)
}

/// Puts the template digests back.
fn with_digests(short: &[u8]) -> Outcome<Vec<u8>> {
    let (mut rest, mut chunk) = (short, Vec::with_capacity(CHUNK));
    while !rest.is_empty() {
        let (record, len) = Record::parse(rest, 0, ByteOrder::Little)?;
        chunk.extend(&rest[..BEFORE]);
        chunk.extend(Bank::Sha1.hash(&[record.data()]).as_bytes());
        chunk.extend(&rest[BEFORE..len]);
        rest = &rest[len..];
    }
    Ok(chunk)
}

/// Packs each chunk, then times unpacking all of them, which must give the same again.
fn show(
    name: &str,
    chunks: &[Vec<u8>],
    records: usize,
    pack: impl Fn(&[u8]) -> Outcome<Vec<u8>>,
    unpack: impl Fn(&[u8]) -> Outcome<Vec<u8>>,
) -> Outcome<()> {
    let start = Instant::now();
    let packed: Vec<_> = chunks
        .iter()
        .map(|chunk| pack(chunk))
        .collect::<Outcome<_>>()?;
    let packing = start.elapsed();
    let start = Instant::now();
    for (packed, chunk) in packed.iter().zip(chunks) {
        if black_box(unpack(packed)?) != *chunk {
            return Err(format!("{name}: something else came back").into());
        }
    }
    let unpacking = start.elapsed();
    let size = |chunks: &[Vec<u8>]| chunks.iter().map(Vec::len).sum::<usize>() as f64;
    let each = |time: Duration| time.as_nanos() as f64 / records as f64;
    println!(
        "{name:40} {:7.1} {:5.2} {:8.0} {:8.0}",
        size(&packed) / records as f64,
        size(&packed) / size(chunks),
        each(packing),
        each(unpacking)
    );
    Ok(())
}

fn main() -> Outcome<()> {
    let (chunks, records) = chunks()?;
    println!("{records} records in {} chunks", chunks.len());
    println!(
        "{:40} {:>7} {:>5} {:>8} {:>8}",
        "", "bytes", "ratio", "ns pack", "ns read"
    );
    let same = |bytes: &[u8]| Ok(bytes.to_vec());
    show("as it is kept", &chunks, records, same, same)?;
    show(
        "without template digests",
        &chunks,
        records,
        without_digests,
        with_digests,
    )?;
    for level in [1, 3, 19] {
        let pack = |chunk: &[u8]| Ok(zstd::bulk::compress(&without_digests(chunk)?, level)?);
        let unpack = |packed: &[u8]| with_digests(&zstd::bulk::decompress(packed, CHUNK)?);
        show(
            &format!("and compressed, zstd -{level}"),
            &chunks,
            records,
            pack,
            unpack,
        )?;
    }
    // What the archive does.
    let whole = [chunks.concat()];
    let pack = |bytes: &[u8]| Ok(zstd::bulk::compress(bytes, 1)?);
    let unpack = |packed: &[u8]| Ok(zstd::bulk::decompress(packed, whole[0].len())?);
    show("all in one, zstd -1", &whole, records, pack, unpack)
}
