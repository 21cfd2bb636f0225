// SPDX-License-Identifier: GPL-2.0

//! Tells from the first records of a list whether it is binary or in ASCII, which bank's view it is, and
//! its byte order.
//!
//! None of it is written down in a list. The right guess is the one with which records parse and
//! their template digests are the hashes of their data. What is found is a way to read the list and
//! proves nothing: whoever made the list chose it.

use super::text;
use crate::bank::{Bank, Content};
use ima_checkpoint_format::{record::Record, ByteOrder, Error as FormatError};
use std::io::{self, Chain, Cursor, Read, Take};

/// Bytes that are looked at, at most.
pub const SAMPLE: usize = 64 << 10;

/// Records that are looked at, at most.
const RECORDS: usize = 64;

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The bank whose template digests it has.
    pub bank: Bank,
    /// The order of the bytes in its numbers.
    pub order: ByteOrder,
    /// Are these digests not the bank's own, but those of SHA-1, followed by zeros?
    pub padded: bool,
    /// Is it in ASCII? Its records are read as those of the binary list then, and the order of
    /// bytes is that in which IMA hashed numbers.
    pub ascii: bool,
}

impl Layout {
    /// The bank that the template digests are of, and how it is extended.
    pub(crate) fn digests(self) -> (Bank, Content) {
        let bank = match self.padded {
            true => Bank::Sha1,
            false => self.bank,
        };
        (bank, Content::Own)
    }

    /// Does the list show what a bank is extended with, if it is extended with this? The view of a bank
    /// shows that of this bank, whatever that is; SHA-1 digests show what others are padded with.
    pub(crate) fn tells(self, bank: Bank, content: Content) -> bool {
        let (hash, _) = self.digests();
        let padded = bank == Bank::Sha1 || content != Content::Own;
        bank == self.bank || hash == Bank::Sha1 && padded
    }

    /// A digest of the list without its padding; nothing if that is not zero.
    pub(crate) fn unpadded(self, digest: &[u8]) -> Option<&[u8]> {
        if !self.padded {
            return Some(digest);
        }
        let (digest, padding) = digest.split_at_checked(Bank::Sha1.size())?;
        padding.iter().all(|byte| *byte == 0).then_some(digest)
    }
}

/// A source with what was read of it in front again; nothing more of it if that was all.
type Whole<R> = Chain<Cursor<Vec<u8>>, Take<R>>;

/// The binary list that is in a source.
#[derive(Debug)]
pub enum Unread<R> {
    /// As it stands.
    Binary(Whole<R>),
    /// In ASCII.
    Ascii(text::Binary<Whole<R>>),
}

impl<R: Read> Read for Unread<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Binary(source) => source.read(out),
            Self::Ascii(source) => source.read(out),
        }
    }
}

/// Reads at most [`SAMPLE`] bytes to find out what is not given, and gives back the whole source as a
/// binary list.
///
/// # Errors
///
/// The source cannot be read.
pub fn detect<R: Read>(
    mut source: R,
    bank: Option<Bank>,
    order: Option<ByteOrder>,
) -> io::Result<(Layout, Unread<R>)> {
    let mut sample = Vec::new();
    source
        .by_ref()
        .take(SAMPLE as u64)
        .read_to_end(&mut sample)?;
    let layout = layout(&sample, bank, order);
    // after its end somebody may go on writing
    let rest = match sample.len() < SAMPLE {
        true => 0,
        false => u64::MAX,
    };
    let whole = Cursor::new(sample).chain(source.take(rest));
    let list = match layout.ascii {
        true => Unread::Ascii(text::Binary::new(whole, layout)),
        false => Unread::Binary(whole),
    };
    Ok((layout, list))
}

/// The layout that fits the records at the start of a list best, with what is given taken as it
/// is. If nothing fits: sha1, and the byte order of this machine.
pub fn layout(sample: &[u8], bank: Option<Bank>, order: Option<ByteOrder>) -> Layout {
    let other = match ByteOrder::NATIVE {
        ByteOrder::Little => ByteOrder::Big,
        ByteOrder::Big => ByteOrder::Little,
    };
    let orders = order.map_or(vec![ByteOrder::NATIVE, other], |order| vec![order]);
    let mut banks = bank.map_or(Bank::ALL.to_vec(), |bank| vec![bank]);
    let size = text::bank_size(sample);
    if let (None, Some(size)) = (bank, size) {
        banks.retain(|bank| bank.size() == size);
    }
    let ascii = size.is_some();
    let mut best = Layout {
        bank: banks.first().copied().unwrap_or(Bank::Sha1),
        order: order.unwrap_or(ByteOrder::NATIVE),
        padded: false,
        ascii,
    };
    let mut best_fit = Fit::default();
    for order in orders {
        // a hash that the kernel lacks is more likely than one that it does not know
        for padded in [false, true] {
            for bank in banks.iter().filter(|bank| !padded || **bank != Bank::Sha1) {
                let layout = Layout {
                    bank: *bank,
                    order,
                    padded,
                    ascii,
                };
                let fit = match ascii {
                    true => Fit::of(&text::sample(sample, layout), layout),
                    false => Fit::of(sample, layout),
                };
                if fit > best_fit {
                    (best, best_fit) = (layout, fit);
                }
            }
        }
    }
    best
}

/// How well a layout fits: what comes first decides.
#[derive(Default, PartialEq, PartialOrd)]
struct Fit {
    /// Records whose template digest is the hash of their data.
    matching: usize,
    /// Records that parse, of a template that IMA knows.
    known: usize,
    /// Records that parse.
    parsed: usize,
    /// The rest is not malformed, but goes on after the sample.
    open: bool,
}

impl Fit {
    fn of(mut sample: &[u8], layout: Layout) -> Self {
        let mut fit = Self::default();
        while fit.parsed < RECORDS && !sample.is_empty() {
            match Record::parse_any(sample, layout.bank.size(), layout.order) {
                Ok((record, length)) => {
                    fit.parsed += 1;
                    fit.known += usize::from(record.template().is_known());
                    fit.matching += usize::from(matches(&record, layout));
                    sample = sample.get(length..).unwrap_or_default();
                }
                Err(error) => {
                    fit.open = error == FormatError::Truncated;
                    break;
                }
            }
        }
        fit
    }
}

/// Is the template digest of a record of such a list that of its data?
pub fn matches(record: &Record<'_>, layout: Layout) -> bool {
    let mut input = Vec::new();
    record.digest_input(|piece| input.extend_from_slice(piece));
    let (bank, _) = layout.digests();
    layout.unpadded(record.digest()) == Some(bank.hash(&[&input]).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ima_checkpoint_format::record::NewRecord;

    const DATA: &[u8] = b"sha256:\0DIGEST";

    /// A record, as the view of a bank shows it.
    fn record(layout: Layout, digest: &[u8], name: &[u8]) -> Vec<u8> {
        let new = NewRecord {
            pcr: 10,
            digest,
            template_name: b"ima-ng",
            fields: [DATA, name].into_iter(),
            order: layout.order,
        };
        let mut out = vec![0; 4096];
        let length = new.encode(&mut out).unwrap_or_default();
        out.truncate(length);
        out
    }

    fn hashed(layout: Layout, name: &[u8]) -> Vec<u8> {
        let mut input = Vec::new();
        for field in [DATA, name] {
            input.extend(layout.order.put_u32(field.len() as u32));
            input.extend(field);
        }
        let (hash, _) = layout.digests();
        let mut digest = hash.hash(&[&input]).as_bytes().to_vec();
        digest.resize(layout.bank.size(), 0);
        record(layout, &digest, name)
    }

    #[test]
    fn every_bank_and_order() -> io::Result<()> {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            for bank in Bank::ALL.into_iter().filter(|bank| bank.mapped()) {
                let wanted = Layout {
                    bank,
                    order,
                    padded: false,
                    ascii: false,
                };
                let violation = record(wanted, bank.zeros().as_bytes(), b"/a\0");
                let list = [violation, hashed(wanted, b"/b\0"), b"cut".to_vec()].concat();
                let (found, mut source) = detect(&*list, None, None)?;
                assert_eq!(found, wanted);
                let mut again = Vec::new();
                source.read_to_end(&mut again)?;
                assert_eq!(again, list);
            }
        }
        Ok(())
    }

    /// Of a padded list the length of the digests is all that tells the bank.
    #[test]
    fn padded_banks_differ_by_size_only() {
        for (bank, found) in [
            (Bank::Sha384, Bank::Sha384),
            (Bank::Sha3_384, Bank::Sha384),
            (Bank::Sha3_512, Bank::Sha512),
        ] {
            let wanted = |bank| Layout {
                bank,
                order: ByteOrder::Little,
                padded: true,
                ascii: false,
            };
            let list = hashed(wanted(bank), b"/b\0");
            assert_eq!(layout(&list, None, None), wanted(found));
            assert_eq!(layout(&list, Some(bank), None), wanted(bank));
        }
    }

    /// No bank is padded because of its name.
    #[test]
    fn own_digests_of_any_bank() {
        for bank in Bank::ALL {
            let wanted = Layout {
                bank,
                order: ByteOrder::Little,
                padded: false,
                ascii: false,
            };
            assert_eq!(layout(&hashed(wanted, b"/b\0"), None, None), wanted);
        }
    }

    #[test]
    fn one_flipped_byte_does_not_mislead() {
        let wanted = Layout {
            bank: Bank::Sha256,
            order: ByteOrder::Little,
            padded: false,
            ascii: false,
        };
        let list = [hashed(wanted, b"/a\0"), hashed(wanted, b"/b\0")].concat();
        for at in hashed(wanted, b"/a\0").len()..list.len() {
            let mut list = list.clone();
            list[at] ^= 1;
            assert_eq!(layout(&list, None, None), wanted);
        }
    }

    #[test]
    fn violations_only() {
        for bank in [Bank::Sha1, Bank::Sha256, Bank::Sha384, Bank::Sha512] {
            let wanted = Layout {
                bank,
                order: ByteOrder::Big,
                padded: false,
                ascii: false,
            };
            let list = record(wanted, bank.zeros().as_bytes(), b"/a\0");
            assert_eq!(layout(&list, None, None), wanted);
        }
    }

    #[test]
    fn nothing_fits() {
        let native = Layout {
            bank: Bank::Sha1,
            order: ByteOrder::NATIVE,
            padded: false,
            ascii: false,
        };
        for list in [b"".as_slice(), &[0xff; 300]] {
            assert_eq!(layout(list, None, None), native);
        }
        let given = layout(&[0xff; 300], Some(Bank::Sm3), Some(ByteOrder::Big));
        assert_eq!(given.bank, Bank::Sm3);
        assert_eq!(given.order, ByteOrder::Big);
    }
}
