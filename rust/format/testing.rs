// SPDX-License-Identifier: GPL-2.0

//! What the tests share.

use super::{
    ascii::Sink,
    record::NewRecord,
    ByteOrder,
    Error, //
};

/// More than any record or line of the tests.
pub(super) const MAX: usize = 512;

/// Fields of a record of each built-in template and of some custom ones.
pub(super) const SAMPLES: &[(&[u8], &[&[u8]])] = &[
    (b"ima", &[&[0x44; 20], b"/bin/sh\0"]),
    (b"ima-ng", &[b"sha256:\0\x0a\xff", b"/bin/sh\0"]),
    (
        b"ima-sig",
        &[
            b"sha256:\0\x0a\xff",
            b"/with space\n\xff\xfe\0",
            b"\x03\x02\x04",
        ],
    ),
    (b"ima-sig", &[b"sha1:\0\x0a", b"boot_aggregate\0", b""]),
    (b"ima-ngv2", &[b"verity:sha256:\0\x0a\xff", b"/bin/sh\0"]),
    (
        b"ima-sigv2",
        &[b"ima:sha512:\0\x0a\xff", b"/bin/sh\0", b"\x03\x02"],
    ),
    (b"ima-buf", &[b"sha256:\0\x0a\xff", b".ima\0", b"\x30\x82"]),
    (
        b"ima-modsig",
        &[
            b"sha256:\0\x0a\xff",
            b"/m.ko\0",
            b"\x03",
            b"sha1:\0\x0b",
            b"\x30\x00",
        ],
    ),
    (
        b"evm-sig",
        &[
            b"sha256:\0\x0a\xff",
            b"/bin/sh\0",
            b"\x05",
            b"security.ima|security.selinux",
            b"\x04\0\0\0\x05\0\0\0",
            b"\x01\x02\x03\x04\x05",
            b"\0\0\0\0",
            b"\xe8\x03\0\0",
            b"\xed\x81",
        ],
    ),
    (b"d|n", &[b"\x44", b"/bin/sh\0"]),
    (b"n-ng|d|imode", &[b"/bin/sh\0", b"\x44\x44", b"\x07"]),
    (b"n-ng", &[b"\0"]),
];

/// Writes a little-endian record for PCR 10, with a template digest of 20 bytes.
pub(super) fn encode<'b>(
    out: &'b mut [u8],
    template_name: &[u8],
    fields: &[&[u8]],
) -> Result<&'b [u8], Error> {
    let record = NewRecord {
        pcr: 10,
        digest: &[0xdd; 20],
        template_name,
        fields: fields.iter().copied(),
        order: ByteOrder::Little,
    };
    let len = record.encode(out)?;
    Ok(out.get(..len).unwrap_or_default())
}

/// Collects text.
pub(super) struct Text {
    bytes: [u8; 2 * MAX],
    len: usize,
}

impl Text {
    pub(super) fn new() -> Self {
        Self {
            bytes: [0; 2 * MAX],
            len: 0,
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Sink for Text {
    fn put(&mut self, bytes: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(self.len).zip(bytes) {
            *to = *from;
        }
        self.len += bytes.len();
    }
}
