// SPDX-License-Identifier: GPL-2.0

//! A record as a line of text, as IMA's ASCII files show it.
//!
//! IMA relies on a NUL behind the data of a field, and on the `:` in a digest. Here a field ends with
//! its data, and a digest without `:` is shown in hex as a whole.

use super::{
    bytes::until_nul,
    record::Record,
    template::Field,
    ByteOrder, //
};

/// Takes text piece by piece.
pub trait Sink {
    /// Takes the next piece.
    fn put(&mut self, bytes: &[u8]);
}

/// Writes a record as a line, newline included, with `digest` as its template digest.
pub fn write_ascii(record: &Record<'_>, digest: &[u8], sink: &mut impl Sink) {
    put_pcr(record.pcr(), sink);
    sink.put(b" ");
    put_hex(digest, sink);
    sink.put(b" ");
    sink.put(record.template_name());
    for shown in shown_fields(record) {
        sink.put(b" ");
        sink.put(shown.text);
        put_hex(shown.hex, sink);
        if let Some(number) = shown.number {
            put_decimal(number, sink);
        }
    }
    sink.put(b"\n");
}

/// Bytes that [`write_ascii`] writes for a digest of `digest_size` bytes.
pub fn ascii_len(record: &Record<'_>, digest_size: usize) -> u64 {
    /// The blanks around the digest, and the newline.
    const SEPARATORS: u64 = 3;

    let fields = shown_fields(record).map(|shown| {
        let number = shown.number.map_or(0, decimal_len);
        len64(shown.text) + 2 * len64(shown.hex) + number + 1
    });
    pcr_len(record.pcr())
        + SEPARATORS
        + 2 * (digest_size as u64)
        + len64(record.template_name())
        + fields.sum::<u64>()
}

/// Writes bytes as lower-case hexadecimal digits.
pub fn put_hex(bytes: &[u8], sink: &mut impl Sink) {
    const PIECE: usize = 32;

    let mut out = [[0; 2]; PIECE];
    for piece in bytes.chunks(PIECE) {
        for (digits, byte) in out.iter_mut().zip(piece) {
            *digits = HEX[usize::from(*byte)];
        }
        sink.put(out.get(..piece.len()).unwrap_or_default().as_flattened());
    }
}

/// The two hexadecimal digits of each byte.
static HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

/// What is shown of a field: text, then digits.
#[derive(Default)]
struct Shown<'a> {
    text: &'a [u8],
    hex: &'a [u8],
    number: Option<u64>,
}

fn shown_fields<'r, 'a: 'r>(record: &'r Record<'a>) -> impl Iterator<Item = Shown<'a>> + 'r {
    let fields = record.template().fields().iter().zip(record.fields());
    fields.map(|(field, data)| shown(*field, data, record.order()))
}

fn shown(field: Field, data: &[u8], order: ByteOrder) -> Shown<'_> {
    match field {
        Field::DigestNg | Field::DigestNgV2 | Field::DigestModsig => shown_digest(data),
        Field::Name | Field::NameNg | Field::XattrNames => Shown {
            text: until_nul(data),
            ..Shown::default()
        },
        Field::Uid | Field::Gid | Field::Mode => Shown {
            number: number(data, order),
            ..Shown::default()
        },
        Field::Digest
        | Field::Signature
        | Field::Buffer
        | Field::Modsig
        | Field::EvmSignature
        | Field::XattrLengths
        | Field::XattrValues => Shown {
            hex: data,
            ..Shown::default()
        },
    }
}

/// An algorithm with `:` and NUL behind it, then the digest. The algorithm may be missing.
fn shown_digest(data: &[u8]) -> Shown<'_> {
    let text = until_nul(data);
    let Some(colon) = text.iter().rposition(|byte| *byte == b':') else {
        return Shown {
            hex: data,
            ..Shown::default()
        };
    };
    Shown {
        text: if colon == 0 { &[] } else { text },
        hex: data.get(colon.saturating_add(2)..).unwrap_or_default(),
        number: None,
    }
}

/// A number of 1, 2, 4 or 8 bytes; another size shows nothing.
fn number(data: &[u8], order: ByteOrder) -> Option<u64> {
    Some(if let Ok(bytes) = data.try_into() {
        u8::from_ne_bytes(bytes).into()
    } else if let Ok(bytes) = data.try_into() {
        order.get_u16(bytes).into()
    } else if let Ok(bytes) = data.try_into() {
        order.get_u32(bytes).into()
    } else {
        order.get_u64(data.try_into().ok()?)
    })
}

/// IMA takes the PCR as signed, at least two characters wide.
fn put_pcr(pcr: u32, sink: &mut impl Sink) {
    let pcr = pcr as i32;
    match pcr {
        ..=-1 => sink.put(b"-"),
        0..=9 => sink.put(b" "),
        _ => (),
    }
    put_decimal(pcr.unsigned_abs().into(), sink);
}

fn pcr_len(pcr: u32) -> u64 {
    let pcr = pcr as i32;
    let blank_or_sign = u64::from(pcr < 10);
    blank_or_sign + decimal_len(pcr.unsigned_abs().into())
}

fn put_decimal(mut number: u64, sink: &mut impl Sink) {
    let mut digits = [0; u64::MAX.ilog10() as usize + 1];
    let mut start = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        start = at;
        if number == 0 {
            break;
        }
    }
    sink.put(digits.get(start..).unwrap_or_default());
}

fn decimal_len(number: u64) -> u64 {
    number.checked_ilog10().map_or(1, |log| u64::from(log) + 1)
}

fn len64(bytes: &[u8]) -> u64 {
    bytes.len() as u64
}
