// SPDX-License-Identifier: GPL-2.0

//! Hashing for the replay: short messages of known shape, without allocation.
//!
//! SHA-1 and SHA-256 pad alike, so that a message is padded once for both, and an extend is one or two
//! blocks of fixed layout.

use super::digests::Column;
use crate::bank::{Bank, Content, Digest};
use ima_checkpoint_format::record::Record;
use sha2::digest::{consts::U64, generic_array::GenericArray};

const BLOCK: usize = 64;

type Block = GenericArray<u8, U64>;

const SHA1: [u32; 5] = [
    0x6745_2301,
    0xefcd_ab89,
    0x98ba_dcfe,
    0x1032_5476,
    0xc3d2_e1f0,
];

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

/// What is behind a message of one block.
const PADDING: [u8; BLOCK] = {
    let mut block = [0; BLOCK];
    block[0] = 0x80;
    block[BLOCK - 2] = 0x02;
    block
};

/// Room for the message of one record, used again for the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Room {
    bytes: Vec<u8>,
    blocks: Vec<Block>,
}

impl Room {
    /// A message of these bytes.
    pub(super) fn message<'a>(&'a mut self, bytes: &'a [u8]) -> Message<'a> {
        pad(bytes, &mut self.blocks);
        Message {
            bytes,
            blocks: &self.blocks,
        }
    }

    /// The message whose hash is the template digest of a record of the legacy template.
    pub(super) fn legacy(&mut self, record: Option<&Record<'_>>) -> Message<'_> {
        self.bytes.clear();
        if let Some(record) = record {
            record.digest_input(|piece| self.bytes.extend_from_slice(piece));
        }
        pad(&self.bytes, &mut self.blocks);
        Message {
            bytes: &self.bytes,
            blocks: &self.blocks,
        }
    }
}

/// Behind the message come a one, zeros, and its length in bits (FIPS 180-4, 5.1.1).
#[inline]
fn pad(bytes: &[u8], blocks: &mut Vec<Block>) {
    let whole = bytes.chunks_exact(BLOCK);
    let rest = whole.remainder();
    // what stands there from the message before is written over
    blocks.resize((bytes.len() + 9).div_ceil(BLOCK), Block::default());
    let (filled, tail) = blocks.split_at_mut(bytes.len() / BLOCK);
    for (block, chunk) in filled.iter_mut().zip(whole) {
        block.copy_from_slice(chunk);
    }
    tail.fill(Block::default());
    if let Some(first) = tail.first_mut() {
        first[..rest.len()].copy_from_slice(rest);
        first[rest.len()] = 0x80;
    }
    if let Some(last) = tail.last_mut() {
        last[BLOCK - 8..].copy_from_slice(&((bytes.len() as u64) << 3).to_be_bytes());
    }
}

/// What a template digest is the hash of, as it is and padded.
pub(super) struct Message<'a> {
    bytes: &'a [u8],
    blocks: &'a [Block],
}

impl Message<'_> {
    /// Adds the template digest to a column, as the kernel extends it.
    #[inline]
    pub(super) fn push(&self, to: &mut Column, content: Content) {
        if content != Content::Own {
            return to.push(&with_zeros(to.bank(), &bytes::<20>(&self.sha1())));
        }
        match to {
            Column::Sha1(digests) => digests.push(self.sha1()),
            Column::Sha256(digests) => {
                let mut words = SHA256;
                sha2::compress256(&mut words, self.blocks);
                digests.push(words);
            }
            Column::Other(bank, digests) => digests.push(bank.hash(&[self.bytes])),
        }
    }

    fn sha1(&self) -> [u32; 5] {
        let mut words = SHA1;
        sha1::compress(&mut words, self.blocks);
        words
    }
}

/// What IMA extends for a violation: ones, as many as its digest would have bits.
pub(super) fn push_violation(to: &mut Column, content: Content) {
    let bank = to.bank();
    let ones = match content {
        Content::Own | Content::Unallocated => bank,
        Content::Padded => Bank::Sha1,
    };
    to.push(&with_zeros(bank, &[0xff; Digest::MAX][..ones.size()]));
}

/// A digest with zeros behind it, as long as the bank wants it.
pub(super) fn with_zeros(bank: Bank, digest: &[u8]) -> Digest {
    let mut bytes = [0; Digest::MAX];
    bytes[..digest.len()].copy_from_slice(digest);
    Digest::new(&bytes[..bank.size()])
}

fn bytes<const N: usize>(words: &[u32]) -> [u8; N] {
    let mut out = [0; N];
    for (bytes, word) in out.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    out
}

pub(super) fn words<const N: usize>(bytes: &[u8]) -> Option<[u32; N]> {
    let mut out = [0; N];
    for (word, bytes) in out.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_be_bytes(bytes.try_into().ok()?);
    }
    (bytes.len() == 4 * N).then_some(out)
}

/// The digest that these words are.
pub(super) fn digest(words: &[u32]) -> Digest {
    Digest::new(&bytes::<32>(words)[..4 * words.len().min(8)])
}

/// Are these words that digest?
#[inline]
pub(super) fn is(words: &[u32], digest: &[u8]) -> bool {
    let mut bytes = digest.chunks_exact(4);
    let same = words.iter().zip(&mut bytes);
    let same = same.fold(0, |differs, (word, bytes)| match bytes.try_into() {
        Ok(bytes) => differs | (word ^ u32::from_be_bytes(bytes)),
        Err(_) => u32::MAX,
    });
    same == 0 && digest.len() == 4 * words.len()
}

#[inline]
pub(super) fn extend_sha1(value: &mut [u32; 5], digest: &[u32; 5]) {
    let [a, b, c, d, e] = *value;
    let [f, g, h, i, j] = *digest;
    let message = [a, b, c, d, e, f, g, h, i, j, 1 << 31, 0, 0, 0, 0, 320];
    *value = SHA1;
    sha1::compress(value, &[bytes(&message).into()]);
}

#[inline]
pub(super) fn extend_sha256(value: &mut [u32; 8], digest: &[u32; 8]) {
    let mut message = [0; 16];
    message[..8].copy_from_slice(value);
    message[8..].copy_from_slice(digest);
    *value = SHA256;
    sha2::compress256(value, &[bytes(&message).into(), PADDING.into()]);
}

/// What a PCR holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1([u32; 5]),
    Sha256([u32; 8]),
    Other(Digest),
}

impl Hash {
    pub(crate) fn new(bank: Bank, digest: &Digest) -> Self {
        let sha1 = || words(digest.as_bytes()).map(Self::Sha1);
        let sha256 = || words(digest.as_bytes()).map(Self::Sha256);
        let fast = match bank {
            Bank::Sha1 => sha1(),
            Bank::Sha256 => sha256(),
            _ => None,
        };
        fast.unwrap_or(Self::Other(*digest))
    }

    pub(crate) fn digest(&self) -> Digest {
        match self {
            Self::Sha1(words) => digest(words),
            Self::Sha256(words) => digest(words),
            Self::Other(digest) => *digest,
        }
    }
}
