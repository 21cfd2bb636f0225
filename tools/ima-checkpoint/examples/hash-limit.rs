// SPDX-License-Identifier: GPL-2.0

//! What a replay cannot be faster than.
//!
//! `hash-limit RECORDS BYTES` does only what SHA-1 and SHA-256 have to do for so many records with
//! template data of so many bytes. `hash-limit LIST BANK:PCR=VALUE...` reads a list in the sha1 view,
//! computes the template digests in these two banks, extends them, and compares the values at the end.
//! It trusts the list in all else: records are of one PCR, none is a violation or of the template `ima`.

use sha2::digest::{consts::U64, generic_array::GenericArray};
use std::{env, error::Error, fs::File, hint::black_box, io::Read};

type Block = GenericArray<u8, U64>;

/// Bytes of a block of both functions.
const BLOCK: usize = 64;

/// Bytes that are read at once: as many as `verify` reads.
const BATCH: usize = 64 << 10;

/// What SHA-1 starts from (FIPS 180-4, 5.3.1).
const SHA1: [u32; 5] = [
    0x6745_2301,
    0xefcd_ab89,
    0x98ba_dcfe,
    0x1032_5476,
    0xc3d2_e1f0,
];

/// What SHA-256 starts from (FIPS 180-4, 5.3.3).
const SHA256: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The blocks of a message of so many bytes: a one, zeros, and 8 bytes of length follow it.
fn blocks(bytes: usize) -> usize {
    (bytes + 1 + 8).div_ceil(BLOCK)
}

/// Writes a message and what follows it to the front of `out`, and returns its blocks.
fn pad<'b>(message: &[u8], out: &'b mut Vec<Block>) -> &'b [Block] {
    let count = blocks(message.len());
    out.clear();
    out.resize(count, Block::default());
    for (to, from) in out.iter_mut().zip(message.chunks(BLOCK)) {
        match from.first_chunk::<BLOCK>() {
            Some(block) => to.copy_from_slice(block),
            None => to[..from.len()].copy_from_slice(from),
        }
    }
    out[message.len() / BLOCK][message.len() % BLOCK] = 0x80;
    let bits = 8 * message.len() as u64;
    out[count - 1][BLOCK - 8..].copy_from_slice(&bits.to_be_bytes());
    out
}

/// Numbers as the bytes that are hashed.
fn bytes<const N: usize>(words: &[u32]) -> [u8; N] {
    let mut out = [0; N];
    for (bytes, word) in out.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    out
}

/// What a PCR holds in two banks.
#[derive(Default)]
struct Pcr {
    sha1: [u32; 5],
    sha256: [u32; 8],
}

impl Pcr {
    fn extend(&mut self, data: &[Block]) {
        let (mut sha1, mut sha256) = (SHA1, SHA256);
        sha1::compress(&mut sha1, data);
        sha2::compress256(&mut sha256, data);
        let [a, b, c, d, e] = self.sha1;
        let [f, g, h, i, j] = sha1;
        let message = [a, b, c, d, e, f, g, h, i, j, 1 << 31, 0, 0, 0, 0, 320];
        let mut message256 = [0; 16];
        message256[..8].copy_from_slice(&self.sha256);
        message256[8..].copy_from_slice(&sha256);
        let mut end = Block::default();
        (end[0], end[BLOCK - 2]) = (0x80, 0x02);
        (self.sha1, self.sha256) = (SHA1, SHA256);
        sha1::compress(&mut self.sha1, &[bytes(&message).into()]);
        sha2::compress256(&mut self.sha256, &[bytes(&message256).into(), end]);
    }

    fn hex(&self, bank: &str) -> String {
        let words = match bank {
            "sha1" => self.sha1.as_slice(),
            _ => self.sha256.as_slice(),
        };
        words.iter().map(|word| format!("{word:08x}")).collect()
    }
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let number = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*number) as usize)
}

/// The length of the record at the front, and its template data.
fn record(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let name = 4 + 20;
    let data = name + 4 + number(bytes, name)?;
    let length = number(bytes, data)?;
    let data = data + 4;
    Some((data + length, bytes.get(data..)?.get(..length)?))
}

fn replay(mut list: impl Read) -> Result<Pcr, Box<dyn Error>> {
    let (mut pcr, mut message) = (Pcr::default(), Vec::new());
    let (mut buffer, mut have) = (vec![0; BATCH], 0);
    loop {
        let read = list.read(&mut buffer[have..])?;
        have += read;
        let mut start = 0;
        while let Some((length, data)) = record(&buffer[start..have]) {
            pcr.extend(pad(data, &mut message));
            start += length;
        }
        buffer.copy_within(start..have, 0);
        have -= start;
        match (read, have) {
            (0, 0) => return Ok(pcr),
            (0, _) => return Err("the list is cut, or a record does not fit the buffer".into()),
            _ => (),
        }
    }
}

/// Hashes zeros: other records do not depend on each other, the values of a PCR do.
fn hash(records: u64, bytes: usize) {
    let of = |bytes| vec![Block::default(); blocks(bytes)];
    let (message, extend1, extend256) = black_box((of(bytes), of(2 * 20), of(2 * 32)));
    let mut pcr = Pcr::default();
    for _ in 0..records {
        let mut digests = Pcr::default();
        sha1::compress(&mut digests.sha1, &message);
        sha2::compress256(&mut digests.sha256, &message);
        black_box((digests.sha1, digests.sha256));
        sha1::compress(&mut pcr.sha1, &extend1);
        sha2::compress256(&mut pcr.sha256, &extend256);
    }
    black_box((pcr.sha1, pcr.sha256));
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [first, rest @ ..] = &arguments[..] else {
        return Err("usage: hash-limit RECORDS BYTES, or hash-limit LIST BANK:PCR=VALUE...".into());
    };
    if let (Ok(records), [bytes]) = (first.parse(), rest) {
        hash(records, bytes.parse()?);
        return Ok(());
    }
    let pcr = replay(File::open(first)?)?;
    for told in rest {
        let (register, value) = told.split_once('=').ok_or("a value is BANK:PCR=VALUE")?;
        let (bank, _) = register
            .split_once(':')
            .ok_or("a value is BANK:PCR=VALUE")?;
        if pcr.hex(bank) != value {
            return Err(format!("the list replays to {} in {bank}", pcr.hex(bank)).into());
        }
    }
    Ok(())
}
