// SPDX-License-Identifier: GPL-2.0

//! Repairs what no fuzzer finds by itself: digests.

use ima_checkpoint::{bank::Bank, detect};
use ima_checkpoint_format::record::Record;

/// The list with the digests that its records should have.
pub(crate) fn list(list: &[u8]) -> Vec<u8> {
    let layout = detect::layout(list, None, None);
    let mut out = list.to_vec();
    let mut at = 0;
    while let Ok((record, length)) =
        Record::parse_any(&list[at..], layout.bank.size(), layout.order)
    {
        digests(&record, layout.bank, &mut out[at..at + length]);
        at += length;
    }
    out
}

fn digests(record: &Record<'_>, bank: Bank, raw: &mut [u8]) {
    let data = raw.len() - record.data().len();
    if let (Some(buffer), Some((b"sha256", digest))) = (record.buffer(), record.file_digest()) {
        // d-ng comes first in ima-buf: its length, its algorithm, NUL
        let start = data + 4 + b"sha256:\0".len();
        if record.template_name() == b"ima-buf" && digest.len() == 32 {
            let digest = Bank::Sha256.hash(&[buffer]);
            raw[start..start + 32].copy_from_slice(digest.as_bytes());
        }
    }
    let (mended, _) = Record::parse_any(raw, bank.size(), record.order()).expect("as before");
    let mut input = Vec::new();
    mended.digest_input(|piece| input.extend_from_slice(piece));
    let digest = bank.hash(&[&input]);
    if !record.is_violation() {
        raw[4..4 + bank.size()].copy_from_slice(digest.as_bytes());
    }
}
