// SPDX-License-Identifier: GPL-2.0

//! What a replay cannot be faster than: `hash-limit RECORDS BYTES` does only what SHA-1 and SHA-256 have
//! to do for so many records with template data of so many bytes.

use sha2::digest::{consts::U64, generic_array::GenericArray};
use std::{env, error::Error, hint::black_box};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<usize> = env::args().skip(1).flat_map(|text| text.parse()).collect();
    let [records, bytes] = arguments[..] else {
        return Err("usage: hash-limit RECORDS BYTES".into());
    };
    // after the bytes: a one, zeros, and 8 bytes of length
    let blocks =
        |bytes: usize| vec![GenericArray::<u8, U64>::default(); (bytes + 1 + 8).div_ceil(64)];
    let (message, extend1, extend256) = black_box((blocks(bytes), blocks(2 * 20), blocks(2 * 32)));
    let (mut pcr1, mut pcr256) = ([0; 5], [0; 8]);
    for _ in 0..records {
        // the template digests of other records do not depend on each other, a PCR's values do
        let (mut digest1, mut digest256) = ([0; 5], [0; 8]);
        sha1::compress(&mut digest1, &message);
        sha2::compress256(&mut digest256, &message);
        black_box((digest1, digest256));
        sha1::compress(&mut pcr1, &extend1);
        sha2::compress256(&mut pcr256, &extend256);
    }
    black_box((pcr1, pcr256));
    Ok(())
}
