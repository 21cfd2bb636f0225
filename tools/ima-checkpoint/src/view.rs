// SPDX-License-Identifier: GPL-2.0

//! Views: a record as one of the kernel's list files shows it, rendered from the sha1 view.
//!
//! The archive and the kernel keep the binary view of the sha1 bank. The others have the same
//! records with another template digest, or as lines of text.

use crate::{
    bank::{Bank, Digest},
    detect::{matches, Layout},
    kernel::Format,
};
use ima_checkpoint_format::{
    ascii::{ascii_len, write_ascii, Sink},
    record::Record,
};
use std::{fmt, ops::Add};

/// Bytes of a template digest in the sha1 view.
pub const SHA1_SIZE: usize = 20;

/// Bytes of a record before its template digest: the PCR.
const PCR_SIZE: usize = 4;

/// What a list file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// As bytes or as lines of text.
    pub format: Format,
    /// The bank whose template digests are shown.
    pub bank: Bank,
}

/// A stretch of a list, measured in every view at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Records.
    pub records: u64,
    /// Their bytes in the binary view of the sha1 bank.
    pub bytes: u64,
    /// Their bytes in the ASCII view of the sha1 bank.
    pub ascii: u64,
}

impl Span {
    /// That of one record of the sha1 view with `bytes` bytes.
    pub fn of(record: &Record<'_>, bytes: usize) -> Self {
        Self {
            records: 1,
            bytes: bytes as u64,
            ascii: ascii_len(record, SHA1_SIZE),
        }
    }
}

impl Add for Span {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            records: self.records.saturating_add(other.records),
            bytes: self.bytes.saturating_add(other.bytes),
            ascii: self.ascii.saturating_add(other.ascii),
        }
    }
}

impl View {
    /// The view that is kept.
    pub const KEPT: Self = Self {
        format: Format::Binary,
        bank: Bank::Sha1,
    };

    /// Bytes of a stretch in this view. A list of any bank differs by the digests only.
    pub fn length(self, span: Span) -> u64 {
        let surplus = (self.bank.size() - SHA1_SIZE) as u64;
        let (length, surplus) = match self.format {
            Format::Binary => (span.bytes, surplus),
            Format::Ascii => (span.ascii, surplus * 2),
        };
        length.saturating_add(span.records.saturating_mul(surplus))
    }

    /// Appends a record of the sha1 view, whose bytes are `raw`, as this view shows it.
    pub fn render(self, record: &Record<'_>, raw: &[u8], out: &mut Vec<u8>) {
        if self == Self::KEPT {
            out.extend_from_slice(raw);
            return;
        }
        let digest = match self.bank {
            Bank::Sha1 => Digest::new(record.digest()),
            bank => template_digest(record, bank),
        };
        self.put(record, raw, digest, out);
    }

    /// Appends a record of a list that is written like this, whose bytes in the binary list are `raw`.
    ///
    /// # Errors
    ///
    /// The record does not tell what this view shows of it. Nothing was appended then.
    pub fn convert(
        self,
        record: &Record<'_>,
        raw: &[u8],
        layout: Layout,
        out: &mut Vec<u8>,
    ) -> Result<(), Untold> {
        let same = self.bank == layout.bank;
        // what the kernel measured is told by text only as far as the digest says so
        let told = same && (self.format == Format::Ascii || !layout.ascii);
        if !told && !record.is_violation() && !matches(record, layout) {
            return Err(Untold {
                ascii: layout.ascii,
            });
        }
        let digest = match same {
            true => Digest::new(record.digest()),
            false => template_digest(record, self.bank),
        };
        self.put(record, raw, digest, out);
        Ok(())
    }

    /// Appends a record with this template digest, in place of the one in `raw`.
    fn put(self, record: &Record<'_>, raw: &[u8], digest: Digest, out: &mut Vec<u8>) {
        match self.format {
            Format::Binary => {
                let (pcr, rest) = raw.split_at_checked(PCR_SIZE).unwrap_or_default();
                out.extend_from_slice(pcr);
                out.extend_from_slice(digest.as_bytes());
                let size = record.digest().len();
                out.extend_from_slice(rest.get(size..).unwrap_or_default());
            }
            Format::Ascii => write_ascii(record, digest.as_bytes(), &mut Text(out)),
        }
    }
}

/// A record whose template digest is not that of its data, so that nobody knows its digest in another
/// bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untold {
    /// Is its list in ASCII?
    pub ascii: bool,
}

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its template digest is not that of its data, so it cannot be converted: ")?;
        f.write_str(match self.ascii {
            true => {
                "the text may not show a name as it was. Convert the binary list, or keep the \
                 bank and --ascii"
            }
            false => "verify the list, or keep its bank",
        })
    }
}

impl std::error::Error for Untold {}

struct Text<'a>(&'a mut Vec<u8>);

impl Sink for Text<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// The template digest that the file of a bank shows, recomputed from the record's data: zeros for
/// a violation, and SHA-1 followed by zeros for a bank whose hash IMA does not know.
pub fn template_digest(record: &Record<'_>, bank: Bank) -> Digest {
    if record.is_violation() {
        return bank.zeros();
    }
    let hash = |bank: Bank| {
        if !record.template().is_legacy() {
            return bank.hash(&[record.data()]);
        }
        let mut input = Vec::new();
        record.digest_input(|piece| input.extend_from_slice(piece));
        bank.hash(&[&input])
    };
    if bank.mapped() {
        return hash(bank);
    }
    let mut padded = [0; Digest::MAX];
    for (to, from) in padded.iter_mut().zip(hash(Bank::Sha1).as_bytes()) {
        *to = *from;
    }
    Digest::new(padded.get(..bank.size()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ima_checkpoint_format::{record::NewRecord, ByteOrder, Error};

    const ORDER: ByteOrder = ByteOrder::Little;

    /// A record of a view, made without the code under test.
    fn record(template: &str, bank: Bank, violation: bool) -> Result<Vec<u8>, Error> {
        let (fields, input): (Vec<&[u8]>, Vec<u8>) = match template {
            "ima" => (
                vec![b"DDDDDDDDDDDDDDDDDDDD", b"/bin/sh\0"],
                [b"DDDDDDDDDDDDDDDDDDDD/bin/sh".as_slice(), &[0; 249]].concat(),
            ),
            _ => (
                vec![b"sha256:\0xyz", b"/bin/sh\0"],
                b"\x0b\0\0\0sha256:\0xyz\x08\0\0\0/bin/sh\0".to_vec(),
            ),
        };
        let hash = if bank.mapped() { bank } else { Bank::Sha1 };
        let mut digest = hash.hash(&[&input]).as_bytes().to_vec();
        digest.resize(bank.size(), 0);
        if violation {
            digest.fill(0);
        }
        let new = NewRecord {
            pcr: 10,
            digest: &digest,
            template_name: template.as_bytes(),
            fields: fields.iter().copied(),
            order: ORDER,
        };
        let mut out = vec![0; new.encoded_len()?];
        new.encode(&mut out)?;
        Ok(out)
    }

    #[test]
    fn every_view() -> Result<(), Error> {
        for (template, shown) in [
            ("ima-ng", "sha256:78797a /bin/sh\n"),
            ("d-ng|n-ng", "sha256:78797a /bin/sh\n"),
            ("ima", "4444444444444444444444444444444444444444 /bin/sh\n"),
        ] {
            for (bank, violation) in Bank::ALL.into_iter().flat_map(|b| [(b, false), (b, true)]) {
                let raw = record(template, Bank::Sha1, violation)?;
                let (parsed, length) = Record::parse(&raw, SHA1_SIZE, ORDER)?;
                let span = Span::of(&parsed, length);
                let binary = record(template, bank, violation)?;
                let digest = Digest::new(&binary[PCR_SIZE..][..bank.size()]);
                let ascii = format!("10 {digest} {template} {shown}").into_bytes();
                for (format, wanted) in [(Format::Binary, binary), (Format::Ascii, ascii)] {
                    let view = View { format, bank };
                    let mut out = b"before".to_vec();
                    view.render(&parsed, &raw, &mut out);
                    assert_eq!(out[6..], wanted, "{view:?} {template} {violation}");
                    assert_eq!(view.length(span), wanted.len() as u64);
                    assert_eq!(view.length(span + span), 2 * wanted.len() as u64);
                }
            }
        }
        Ok(())
    }
}
