// SPDX-License-Identifier: GPL-2.0

//! Hashing for the replay: short messages of known shape.
//!
//! SHA-1 and SHA-256 pad alike, so that a message is padded once for both, and an extend is one or two
//! blocks of fixed layout.
//!
//! A load that is wider than the stores that wrote its bytes waits until these stores, and everything
//! before them, have left the pipeline of the processor. The hash functions load 16 bytes at a time, so
//! whole blocks are hashed where they are, the end of a message is masked in vectors, and a message that
//! is written in smaller pieces is written before something else is hashed.

use super::digests::Column;
use crate::bank::{Bank, Content, Digest};
use ima_checkpoint_format::record::Record;
use sha2::digest::{consts::U64, generic_array::GenericArray};
use std::slice;

const BLOCK: usize = 64;

pub(super) type Block = GenericArray<u8, U64>;

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

/// What is after a message of one block.
const PADDING: [u8; BLOCK] = {
    let mut block = [0; BLOCK];
    block[0] = 0x80;
    block[BLOCK - 2] = 0x02;
    block
};

/// `KEEP[BLOCK - n..]` lets `n` bytes of a block stand.
const KEEP: [u8; 2 * BLOCK] = {
    let mut bytes = [0; 2 * BLOCK];
    let mut at = 0;
    while at < BLOCK {
        bytes[at] = 0xff;
        at += 1;
    }
    bytes
};

/// `MARK[BLOCK - n..]` has the bit that follows `n` bytes of a message.
const MARK: [u8; 2 * BLOCK] = {
    let mut bytes = [0; 2 * BLOCK];
    bytes[BLOCK] = 0x80;
    bytes
};

/// The input of a legacy record's digest.
pub(super) fn legacy_input(record: &Record<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BLOCK * 5);
    record.digest_input(|piece| bytes.extend_from_slice(piece));
    bytes
}

/// What a template digest is the hash of, and how it ends when it is padded.
pub(super) struct Message<'a> {
    bytes: &'a [u8],
    // INVARIANT: the first `ends` blocks are the bytes that fill no block, and the padding.
    end: [Block; 2],
    ends: usize,
}

impl<'a> Message<'a> {
    /// The first `length` bytes of these, or all. What follows them is not part of the message, but
    /// lets its end be copied as a whole block.
    #[inline]
    pub(super) fn new(from: &'a [u8], length: usize) -> Self {
        let bytes = from.get(..length).unwrap_or(from);
        let rest = bytes.len() % BLOCK;
        let mut end = [Block::default(); 2];
        let ends = pad(
            from.get(bytes.len() - rest..).unwrap_or_default(),
            rest,
            bytes.len(),
            &mut end,
        );
        Self { bytes, end, ends }
    }

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
                self.blocks(|blocks| sha2::compress256(&mut words, blocks));
                digests.push(words);
            }
            Column::Other(bank, digests) => digests.push(bank.hash(&[self.bytes])),
        }
    }

    fn sha1(&self) -> [u32; 5] {
        let mut words = SHA1;
        self.blocks(|blocks| sha1::compress(&mut words, blocks));
        words
    }

    #[inline]
    fn blocks(&self, mut hash: impl FnMut(&[Block])) {
        for block in self.bytes.chunks_exact(BLOCK) {
            hash(slice::from_ref(Block::from_slice(block)));
        }
        hash(self.end.get(..self.ends).unwrap_or_default());
    }
}

/// Behind the message come a one, zeros, and its length in bits (FIPS 180-4, 5.1.1). `from` begins with
/// the `rest` of its bytes that fill no block. Gives the number of blocks.
#[inline]
fn pad(from: &[u8], rest: usize, length: usize, to: &mut [Block; 2]) -> usize {
    let [first, second] = to;
    match from.first_chunk::<BLOCK>() {
        Some(chunk) => first.copy_from_slice(chunk),
        None => first[..from.len()].copy_from_slice(from),
    }
    let masks = (
        KEEP[BLOCK - rest..].first_chunk::<BLOCK>(),
        MARK[BLOCK - rest..].first_chunk::<BLOCK>(),
    );
    if let (Some(keep), Some(mark)) = masks {
        for (byte, (keep, mark)) in first.iter_mut().zip(keep.iter().zip(mark)) {
            *byte = *byte & keep | mark;
        }
    }
    let bits = (length as u64) << 3;
    let (last, blocks) = match rest < BLOCK - 8 {
        true => (first, 1),
        false => (second, 2),
    };
    last[BLOCK - 8..].copy_from_slice(&bits.to_be_bytes());
    blocks
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

/// A digest followed by zeros, as long as the bank wants it.
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

/// What SHA-1 hashes to extend a PCR of this value.
#[inline]
pub(super) fn message_sha1(value: &[u32; 5], digest: &[u32; 5]) -> Block {
    let [a, b, c, d, e] = *value;
    let [f, g, h, i, j] = *digest;
    bytes(&[a, b, c, d, e, f, g, h, i, j, 1 << 31, 0, 0, 0, 0, 320]).into()
}

#[inline]
pub(super) fn extend_sha1(value: &mut [u32; 5], message: &Block) {
    *value = SHA1;
    sha1::compress(value, slice::from_ref(message));
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
