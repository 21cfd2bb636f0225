// SPDX-License-Identifier: GPL-2.0

//! A record as a line of text, as IMA's ASCII files show it.
//!
//! IMA relies on a NUL after the data of a field, and on the `:` in a digest. Here a field ends
//! with its data, and a digest without `:` is shown in hex as a whole.

pub use super::text::{
    put_hex,
    Sink, //
};

use super::{
    bytes::until_nul,
    record::Record,
    template::Field,
    text::{
        decimal_len,
        put_decimal, //
    },
    ByteOrder, //
};

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
    let digest = (digest_size as u64).saturating_mul(2);
    // The blanks around the digest, and the newline.
    let line = [
        pcr_len(record.pcr()),
        digest,
        len64(record.template_name()),
        3,
    ];
    shown_fields(record)
        .map(|shown| shown.len())
        .fold(sum(line), u64::saturating_add)
}

/// What is shown of a field: text, then digits.
#[derive(Default)]
struct Shown<'a> {
    text: &'a [u8],
    hex: &'a [u8],
    number: Option<u64>,
}

impl Shown<'_> {
    /// Bytes of what is shown, and of the blank before it.
    fn len(&self) -> u64 {
        let number = self.number.map_or(0, decimal_len);
        sum([
            len64(self.text),
            len64(self.hex),
            len64(self.hex),
            number,
            1,
        ])
    }
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
        | Field::XattrValues
        | Field::Unknown => Shown {
            hex: data,
            ..Shown::default()
        },
    }
}

/// An algorithm with `:` and NUL after it, then the digest. The algorithm may be missing.
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

fn sum<const N: usize>(lengths: [u64; N]) -> u64 {
    lengths.into_iter().fold(0, u64::saturating_add)
}

fn len64(bytes: &[u8]) -> u64 {
    bytes.len() as u64
}

#[cfg_attr(CONFIG_KUNIT = "y", kernel::prelude::kunit_tests(ima_checkpoint_ascii))]
#[cfg_attr(not(CONFIG_KUNIT = "y"), cfg(test))]
mod tests {
    use super::{
        super::{
            testing::{
                encode,
                Text,
                MAX,
                SAMPLES, //
            },
            Error, //
        },
        *, //
    };

    const ORDER: ByteOrder = ByteOrder::Little;

    /// Is a record shown as this, after PCR and digest?
    fn shows(template: &[u8], fields: &[&[u8]], expected: &[u8]) -> Result<bool, Error> {
        let mut out = [0; MAX];
        let bytes = encode(&mut out, template, fields)?;
        let (record, _) = Record::parse(bytes, 20, ORDER)?;
        let mut text = Text::new();
        write_ascii(&record, b"\x01\xfe", &mut text);
        let line = text.as_bytes();
        let shown = line
            .strip_prefix(b"10 01fe ")
            .and_then(|line| line.strip_suffix(b"\n"));
        Ok(shown == Some(expected) && ascii_len(&record, 2) == len64(line))
    }

    #[test]
    fn built_in() -> Result<(), Error> {
        let expected: [&[u8]; 12] = [
            b"ima 4444444444444444444444444444444444444444 /bin/sh",
            b"ima-ng sha256:0aff /bin/sh",
            b"ima-sig sha256:0aff /with space\n\xff\xfe 030204",
            b"ima-sig sha1:0a boot_aggregate ",
            b"ima-ngv2 verity:sha256:0aff /bin/sh",
            b"ima-sigv2 ima:sha512:0aff /bin/sh 0302",
            b"ima-buf sha256:0aff .ima 3082",
            b"ima-modsig sha256:0aff /m.ko 03 sha1:0b 3000",
            b"evm-sig sha256:0aff /bin/sh 05 security.ima|security.selinux 0400000005000000 \
                0102030405 0 1000 33261",
            b"d|n 44 /bin/sh",
            b"n-ng|d|imode /bin/sh 4444 7",
            b"n-ng ",
        ];
        assert_eq!(expected.len(), SAMPLES.len());
        for ((template, fields), expected) in SAMPLES.iter().zip(expected) {
            assert!(shows(template, fields, expected)?);
        }
        Ok(())
    }

    #[test]
    fn unusual_digests() -> Result<(), Error> {
        let cases: [(&[u8], &[u8]); 9] = [
            (b"", b""),
            (b":", b""),
            (b":\0\x0a", b"0a"),
            (b"no colon", b"6e6f20636f6c6f6e"),
            (b"\0sha1:\0\x0a", b"00736861313a000a"),
            (b"sha1:", b"sha1:"),
            (b"sha1:\0", b"sha1:"),
            (b"sha1:xy\0\x0a", b"sha1:xy79000a"),
            (b"a:b:c\0:\x0a", b"a:b:c003a0a"),
        ];
        for (data, shown) in cases {
            let mut line = Text::new();
            line.put(b"d-ng ");
            line.put(shown);
            assert!(shows(b"d-ng", &[data], line.as_bytes())?);
        }
        Ok(())
    }

    #[test]
    fn strings_stop_at_nul() -> Result<(), Error> {
        assert!(shows(b"n-ng", &[b"a\0b"], b"n-ng a")?);
        assert!(shows(b"n-ng", &[b"ab"], b"n-ng ab")?);
        assert!(shows(b"n-ng", &[b"\0"], b"n-ng ")?);
        Ok(())
    }

    #[test]
    fn numbers() -> Result<(), Error> {
        assert!(shows(b"iuid", &[b"\x80"], b"iuid 128")?);
        assert!(shows(b"iuid", &[b"\x01\x02"], b"iuid 513")?);
        assert!(shows(b"iuid", &[&[0xff; 4]], b"iuid 4294967295")?);
        assert!(shows(b"iuid", &[&[0xff; 8]], b"iuid 18446744073709551615")?);
        assert!(shows(b"iuid", &[&[0; 8]], b"iuid 0")?);
        assert!(shows(b"iuid|igid", &[&[1; 3], &[1; 5]], b"iuid|igid  ")?);
        Ok(())
    }

    #[test]
    fn pcrs() {
        let cases: [(u32, &[u8]); 7] = [
            (0, b" 0"),
            (9, b" 9"),
            (10, b"10"),
            (100, b"100"),
            (u32::MAX, b"-1"),
            (0x7fff_ffff, b"2147483647"),
            (0x8000_0000, b"-2147483648"),
        ];
        for (pcr, shown) in cases {
            let mut text = Text::new();
            put_pcr(pcr, &mut text);
            assert_eq!(text.as_bytes(), shown);
            assert_eq!(pcr_len(pcr), len64(shown));
        }
    }

    #[test]
    fn length_of_any_bytes() -> Result<(), Error> {
        let mut out = [0; MAX];
        for (name, fields) in SAMPLES {
            let len = encode(&mut out, name, fields)?.len();
            for at in 0..len {
                for mask in [0x01, 0x80, 0xff] {
                    let mut bytes = out;
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= mask;
                    }
                    let bytes = bytes.get(..len).unwrap_or_default();
                    for order in [ByteOrder::Little, ByteOrder::Big] {
                        let Ok((record, _)) = Record::parse(bytes, 20, order) else {
                            continue;
                        };
                        let mut text = Text::new();
                        write_ascii(&record, record.digest(), &mut text);
                        assert_eq!(ascii_len(&record, 20), len64(text.as_bytes()));
                    }
                }
            }
        }
        Ok(())
    }
}
