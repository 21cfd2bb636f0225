// SPDX-License-Identifier: GPL-2.0

//! Hashing for the replay: short messages of known shape, without allocation.
//!
//! A message is padded once for SHA-1 and SHA-256, whose padding is the same, and an extend is one
//! or two blocks of fixed layout.

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

/// The bytes whose hash is a template digest, padded as SHA-1 and SHA-256 want it.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    blocks: Vec<Block>,
    len: usize,
}

impl Message {
    /// Takes those of a record.
    pub(super) fn put(&mut self, record: &Record<'_>) {
        self.blocks.clear();
        self.len = 0;
        if record.template().is_legacy() {
            record.digest_input(|piece| self.append(piece));
        } else {
            self.append(record.data());
        }
        self.pad();
    }

    fn append(&mut self, mut piece: &[u8]) {
        let used = self.len % BLOCK;
        self.len += piece.len();
        if used > 0 {
            let (head, rest) = piece.split_at(piece.len().min(BLOCK - used));
            if let Some(block) = self.blocks.last_mut() {
                block[used..used + head.len()].copy_from_slice(head);
            }
            piece = rest;
        }
        for chunk in piece.chunks(BLOCK) {
            let mut block = Block::default();
            block[..chunk.len()].copy_from_slice(chunk);
            self.blocks.push(block);
        }
    }

    /// A one, zeros, and the length in bits (FIPS 180-4, 5.1.1).
    fn pad(&mut self) {
        let bits = (self.len as u64) << 3;
        let used = self.len % BLOCK;
        if used == 0 {
            self.blocks.push(Block::default());
        }
        if let Some(block) = self.blocks.last_mut() {
            block[used] = 0x80;
        }
        if used >= BLOCK - 8 {
            self.blocks.push(Block::default());
        }
        if let Some(block) = self.blocks.last_mut() {
            block[BLOCK - 8..].copy_from_slice(&bits.to_be_bytes());
        }
    }

    /// The template digest in a bank: of a hash that IMA does not know, the SHA-1 digest with zeros
    /// behind it.
    pub(super) fn digest(&self, bank: Bank, out: &mut Digest) {
        *out = match bank {
            Bank::Sha256 => Digest::new(&sha256(&self.blocks)),
            Bank::Sha384 | Bank::Sha512 | Bank::Sm3 => self.slow(bank),
            _ => padded(bank, &sha1(&self.blocks)),
        };
    }

    fn slow(&self, bank: Bank) -> Digest {
        let mut pieces = Vec::with_capacity(self.blocks.len());
        let mut left = self.len;
        for block in &self.blocks {
            let (piece, _) = block.split_at(left.min(BLOCK));
            left -= piece.len();
            pieces.push(piece);
        }
        bank.hash(&pieces)
    }
}

/// A digest with zeros behind it, as long as the bank wants it.
pub(super) fn padded(bank: Bank, digest: &[u8]) -> Digest {
    let mut bytes = [0; Digest::MAX];
    bytes[..digest.len()].copy_from_slice(digest);
    Digest::new(&bytes[..bank.size()])
}

fn sha1(blocks: &[Block]) -> [u8; 20] {
    let mut state = SHA1;
    sha1::compress(&mut state, blocks);
    let mut out = [0; 20];
    for (bytes, word) in out.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    out
}

fn sha256(blocks: &[Block]) -> [u8; 32] {
    let mut state = SHA256;
    sha2::compress256(&mut state, blocks);
    let mut out = [0; 32];
    for (bytes, word) in out.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    out
}

/// Extends a PCR.
pub(super) fn extend(bank: Bank, value: &mut Digest, digest: &Digest) {
    *value = match bank {
        Bank::Sha1 => {
            let mut block = Block::default();
            block[..20].copy_from_slice(&value.as_bytes()[..20]);
            block[20..40].copy_from_slice(&digest.as_bytes()[..20]);
            block[40] = 0x80;
            block[BLOCK - 8..].copy_from_slice(&320_u64.to_be_bytes());
            Digest::new(&sha1(&[block]))
        }
        Bank::Sha256 => {
            let mut blocks = [Block::default(); 2];
            blocks[0][..32].copy_from_slice(&value.as_bytes()[..32]);
            blocks[0][32..].copy_from_slice(&digest.as_bytes()[..32]);
            blocks[1][0] = 0x80;
            blocks[1][BLOCK - 8..].copy_from_slice(&512_u64.to_be_bytes());
            Digest::new(&sha256(&blocks))
        }
        _ => bank.extend(value, digest),
    };
}
