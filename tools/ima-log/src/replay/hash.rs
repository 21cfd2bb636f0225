// SPDX-License-Identifier: GPL-2.0

//! Hashing for the replay: short messages of known shape, without allocation.
//!
//! SHA-1 and SHA-256 pad alike, so that a message is padded once for both, and an extend is one or two
//! blocks of fixed layout.

use crate::bank::{
    Bank,
    Digest, //
};
use ima_checkpoint_format::record::Record;
use sha2::digest::{
    consts::U64,
    generic_array::GenericArray, //
};

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
    /// The bytes whose hash is the template digest of a record.
    pub(super) fn message<'a>(&'a mut self, record: &Record<'a>) -> Message<'a> {
        let bytes = if record.template().is_legacy() {
            self.bytes.clear();
            record.digest_input(|piece| self.bytes.extend_from_slice(piece));
            &self.bytes
        } else {
            record.data()
        };
        let whole = bytes.chunks_exact(BLOCK);
        let rest = whole.remainder();
        self.blocks.clear();
        self.blocks
            .extend(whole.map(|block| *Block::from_slice(block)));
        // a one, zeros, and the length in bits (FIPS 180-4, 5.1.1)
        let mut end = Block::default();
        end[..rest.len()].copy_from_slice(rest);
        end[rest.len()] = 0x80;
        if rest.len() >= BLOCK - 8 {
            self.blocks.push(end);
            end = Block::default();
        }
        end[BLOCK - 8..].copy_from_slice(&((bytes.len() as u64) << 3).to_be_bytes());
        self.blocks.push(end);
        Message {
            bytes,
            blocks: &self.blocks,
        }
    }
}

/// What a template digest is the hash of, as it is and padded.
pub(super) struct Message<'a> {
    bytes: &'a [u8],
    blocks: &'a [Block],
}

impl Message<'_> {
    /// Sets `out`, which is of this bank, to the template digest: of a hash that IMA does not know,
    /// the SHA-1 digest with zeros behind it.
    pub(super) fn digest(&self, bank: Bank, out: &mut Hash) {
        match (bank, out) {
            (Bank::Sha1, Hash::Sha1(words)) => sha1(self.blocks, words),
            (Bank::Sha256, Hash::Sha256(words)) => sha256(self.blocks, words),
            (Bank::Sha384 | Bank::Sha512 | Bank::Sm3, out) => {
                *out = Hash::Other(bank.hash(&[self.bytes]));
            }
            (_, out) => {
                let mut words = SHA1;
                sha1(self.blocks, &mut words);
                *out = Hash::Other(with_zeros(bank, &bytes::<20>(&words)));
            }
        }
    }
}

/// A digest with zeros behind it, as long as the bank wants it.
pub(super) fn with_zeros(bank: Bank, digest: &[u8]) -> Digest {
    let mut bytes = [0; Digest::MAX];
    bytes[..digest.len()].copy_from_slice(digest);
    Digest::new(&bytes[..bank.size()])
}

fn sha1(blocks: &[Block], out: &mut [u32; 5]) {
    *out = SHA1;
    sha1::compress(out, blocks);
}

fn sha256(blocks: &[Block], out: &mut [u32; 8]) {
    *out = SHA256;
    sha2::compress256(out, blocks);
}

fn bytes<const N: usize>(words: &[u32]) -> [u8; N] {
    let mut out = [0; N];
    for (bytes, word) in out.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    out
}

fn words<const N: usize>(bytes: &[u8]) -> Option<[u32; N]> {
    let mut out = [0; N];
    for (word, bytes) in out.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_be_bytes(bytes.try_into().ok()?);
    }
    (bytes.len() == 4 * N).then_some(out)
}

/// What a PCR holds or is extended with. Those that are computed most often stay the words that they
/// are computed with.
#[derive(Clone, Debug)]
pub(super) enum Hash {
    Sha1([u32; 5]),
    Sha256([u32; 8]),
    Other(Digest),
}

impl Hash {
    pub(super) fn new(bank: Bank, digest: &Digest) -> Self {
        let sha1 = || words(digest.as_bytes()).map(Self::Sha1);
        let sha256 = || words(digest.as_bytes()).map(Self::Sha256);
        let fast = match bank {
            Bank::Sha1 => sha1(),
            Bank::Sha256 => sha256(),
            _ => None,
        };
        fast.unwrap_or(Self::Other(*digest))
    }

    pub(super) fn digest(&self) -> Digest {
        match self {
            Self::Sha1(words) => Digest::new(&bytes::<20>(words)),
            Self::Sha256(words) => Digest::new(&bytes::<32>(words)),
            Self::Other(digest) => *digest,
        }
    }

    /// Extends a PCR of this bank.
    pub(super) fn extend(&mut self, bank: Bank, digest: &Self) {
        match (&mut *self, digest) {
            (Self::Sha1(value), Self::Sha1(digest)) => {
                let [a, b, c, d, e] = *value;
                let [f, g, h, i, j] = *digest;
                let message = [a, b, c, d, e, f, g, h, i, j, 1 << 31, 0, 0, 0, 0, 320];
                sha1(&[bytes(&message).into()], value);
            }
            (Self::Sha256(value), Self::Sha256(digest)) => {
                let mut message = [0; 16];
                message[..8].copy_from_slice(value);
                message[8..].copy_from_slice(digest);
                sha256(&[bytes(&message).into(), PADDING.into()], value);
            }
            (value, digest) => {
                let value = bank.extend(&value.digest(), &digest.digest());
                *self = Self::new(bank, &value);
            }
        }
    }
}
