// SPDX-License-Identifier: GPL-2.0

//! Event logs that are made by hand.

use ima_log::{
    bank::Bank,
    eventlog::{Kind, MAX_ALGORITHMS},
};

/// An event of the SHA-1 format.
pub(crate) fn sha1_event(pcr: u32, kind: Kind, digest: &[u8; 20], data: &[u8]) -> Vec<u8> {
    let mut event = [pcr.to_le_bytes(), kind.0.to_le_bytes()].concat();
    event.extend(digest);
    event.extend((data.len() as u32).to_le_bytes());
    event.extend(data);
    event
}

pub(crate) const UNKNOWN: (u16, u16) = (0x0999, 7);

/// All banks, and an algorithm that is none, but not more than there may be.
pub(crate) fn algorithms() -> Vec<(u16, u16)> {
    let known = Bank::ALL.iter().take(MAX_ALGORITHMS - 1);
    let known = known.map(|bank| (bank.tpm_id(), bank.size() as u16));
    std::iter::once(UNKNOWN).chain(known).collect()
}

/// The data of a header.
pub(crate) fn spec_id(algorithms: &[(u16, u16)]) -> Vec<u8> {
    let mut data = b"Spec ID Event03\0\0\0\0\0\0\x02\0\x02".to_vec();
    data.extend((algorithms.len() as u32).to_le_bytes());
    for (id, size) in algorithms {
        data.extend([id.to_le_bytes(), size.to_le_bytes()].concat());
    }
    data.extend(b"\x02us"); // the vendor's information
    data
}

pub(crate) fn header(algorithms: &[(u16, u16)]) -> Vec<u8> {
    sha1_event(0, Kind::NO_ACTION, &[0; 20], &spec_id(algorithms))
}

/// An event of the crypto-agile format, with digests of nothing but `fill`.
pub(crate) fn event(
    pcr: u32,
    kind: Kind,
    fill: u8,
    data: &[u8],
    algorithms: &[(u16, u16)],
) -> Vec<u8> {
    let count = algorithms.len() as u32;
    let mut event = [pcr, kind.0, count].map(u32::to_le_bytes).concat();
    for (id, size) in algorithms {
        event.extend(id.to_le_bytes());
        event.extend(vec![fill; usize::from(*size)]);
    }
    event.extend((data.len() as u32).to_le_bytes());
    event.extend(data);
    event
}

pub(crate) fn locality(value: u8) -> Vec<u8> {
    let data = [b"StartupLocality\0".as_slice(), &[value]].concat();
    event(0, Kind::NO_ACTION, 0, &data, &algorithms())
}
