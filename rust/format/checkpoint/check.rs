// SPDX-License-Identifier: GPL-2.0

//! Whether the items of a checkpoint are well-formed and agree with each other.

use super::{
    super::Error,
    item::{
        CRITICAL,
        LABEL, //
    },
    Checkpoint,
    Entry,
    Flags,
    Kind,
    Label,
    State, //
};

/// Most banks that a checkpoint may speak of, which is what the TPM's structures have room for.
///
/// With it, the time to check the items grows with their number, however many PCRs they are of.
pub const MAX_BANKS: usize = 16;

impl<'a> Checkpoint<'a> {
    /// Are the items well-formed, and do they agree with each other?
    ///
    /// The items are in no order that a reader may rely on, and there is no memory to sort them.
    /// So they are read once for each bank, with a bit for each PCR.
    pub(super) fn check_items(&self) -> Result<(), Error> {
        let mut banks = Banks::default();
        let mut labels = 0_usize;
        for item in self.items() {
            let (kind, payload) = item?;
            if let Ok(kind) = Kind::try_from(kind) {
                banks.add(kind, Entry::parse(kind, payload)?.algorithm)?;
            } else if kind == LABEL {
                labels = labels.saturating_add(1);
                if labels > 1 || payload.is_empty() {
                    return Err(Error::BadItem(kind));
                }
                Label::new(payload)?;
            } else if kind & CRITICAL != 0 {
                return Err(Error::UnknownItem(kind));
            }
        }
        let mut known = banks.known().iter();
        known.try_for_each(|bank| self.check_bank(*bank))
    }

    /// Is each entry of a bank the only one of its kind for its PCR and as long as the others, and
    /// has a value a shadow exactly if it differs?
    fn check_bank(&self, bank: u16) -> Result<(), Error> {
        let mut size = None;
        let (mut values, mut differing) = (Pcrs::default(), Pcrs::default());
        let (mut shadows, mut before) = (Pcrs::default(), Pcrs::default());
        for (kind, entry) in self.all_entries().filter(|(_, e)| e.algorithm == bank) {
            let seen = match kind {
                Kind::Value => &mut values,
                Kind::Shadow => &mut shadows,
                Kind::Before => &mut before,
            };
            let fits = *size.get_or_insert(entry.value.len()) == entry.value.len();
            if !fits || !seen.insert(entry.pcr) {
                return Err(Error::BadItem(kind.into()));
            }
            if kind == Kind::Value && entry.state == State::Differs {
                differing.insert(entry.pcr);
            }
        }
        let flagged = self.header.flags.contains(Flags::DIFFERS);
        if !shadows.is_subset(&values) {
            Err(Error::BadItem(Kind::Shadow.into()))
        } else if shadows != differing || !(differing.is_empty() || flagged) {
            Err(Error::BadItem(Kind::Value.into()))
        } else {
            Ok(())
        }
    }
}

/// The banks of the items that were read.
#[derive(Default)]
struct Banks {
    algorithms: [u16; MAX_BANKS],
    len: usize,
}

impl Banks {
    fn known(&self) -> &[u16] {
        self.algorithms.get(..self.len).unwrap_or_default()
    }

    /// Adds the bank of an item, unless it is known.
    fn add(&mut self, kind: Kind, algorithm: u16) -> Result<(), Error> {
        if self.known().contains(&algorithm) {
            return Ok(());
        }
        let free = self.algorithms.get_mut(self.len);
        *free.ok_or(Error::BadItem(kind.into()))? = algorithm;
        self.len = self.len.saturating_add(1);
        Ok(())
    }
}

/// A set of PCRs.
#[derive(Default, PartialEq)]
struct Pcrs([u64; 4]);

impl Pcrs {
    /// Adds a PCR. Was it not there?
    fn insert(&mut self, pcr: u8) -> bool {
        let bit = 1_u64 << (pcr % 64);
        match self.0.get_mut(usize::from(pcr / 64)) {
            Some(word) if *word & bit == 0 => {
                *word |= bit;
                true
            }
            _ => false,
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn is_subset(&self, other: &Self) -> bool {
        let mut words = self.0.iter().zip(&other.0);
        words.all(|(ours, theirs)| ours & !theirs == 0)
    }
}

#[cfg_attr(CONFIG_KUNIT = "y", kernel::prelude::kunit_tests(ima_checkpoint_items))]
#[cfg_attr(not(CONFIG_KUNIT = "y"), cfg(test))]
mod tests {
    use super::{
        super::{
            Builder,
            Header, //
        },
        *, //
    };

    /// Parses the fixed part with these items after it.
    fn parse_items(items: &[&[u8]]) -> Result<(), Error> {
        let mut out = [0; 512];
        let mut len = Header::SIZE;
        let header = Header {
            sequence: 1,
            flags: Flags::DIFFERS,
            ..Header::default()
        };
        Builder::new(&mut out, &header, Label::default())?;
        for byte in items.iter().copied().flatten() {
            *out.get_mut(len).ok_or(Error::NoSpace)? = *byte;
            len += 1;
        }
        Checkpoint::parse(out.get(..len).unwrap_or_default()).map(|_| ())
    }

    #[test]
    fn items() {
        let value = b"\x01\x80\x05\0\x0a\0\x0b\0V".as_slice();
        let differs = b"\x01\x80\x05\0\x0a\x01\x0b\0V".as_slice();
        let shadow = b"\x02\x80\x05\0\x0a\x01\x0b\0S".as_slice();
        let before = b"\x03\x80\x05\0\x0a\x04\x0b\0B".as_slice();
        let label = b"\x04\0\x01\0L".as_slice();
        let bad_value = Err(Error::BadItem(0x8001));
        let bad_shadow = Err(Error::BadItem(0x8002));
        let bad_before = Err(Error::BadItem(0x8003));

        assert_eq!(parse_items(&[label, value, before]), Ok(()));
        assert_eq!(parse_items(&[shadow, differs]), Ok(()));
        assert_eq!(parse_items(&[differs]), bad_value);
        assert_eq!(
            parse_items(&[differs, b"\x02\x80\x06\0\x0a\x01\x0b\0SS"]),
            bad_shadow
        );
        // a bank's digests are of one size
        assert_eq!(
            parse_items(&[value, b"\x03\x80\x06\0\x0a\x04\x0b\0BB"]),
            bad_before
        );
        assert_eq!(
            parse_items(&[value, b"\x01\x80\x06\0\x0a\x04\x0c\0VV"]),
            Ok(())
        );
        assert_eq!(parse_items(&[shadow]), bad_shadow);
        assert_eq!(parse_items(&[value, shadow]), bad_value);
        assert_eq!(parse_items(&[differs, shadow, shadow]), bad_shadow);
        assert_eq!(parse_items(&[value, value]), bad_value);
        assert_eq!(parse_items(&[before, before]), bad_before);
        assert_eq!(parse_items(&[label, label]), Err(Error::BadItem(4)));
        assert_eq!(parse_items(&[b"\x04\0\0\0"]), Err(Error::BadItem(4)));
        assert_eq!(parse_items(&[b"\x04\0\x01\0\x7f"]), Err(Error::BadLabel));
        assert_eq!(parse_items(&[b"\x01\x80\x05\0\x0a\x05\x0b\0V"]), bad_value);
        assert_eq!(parse_items(&[b"\x01\x80\x04\0\x0a\0\x0b\0"]), bad_value);
        assert_eq!(parse_items(&[b"\x01\x80\x03\0\x0a\0\x0b"]), bad_value);
        assert_eq!(parse_items(&[b"\x02\x80\x05\0\x0a\0\x0b\0S"]), bad_shadow);
        assert_eq!(parse_items(&[b"\x03\x80\x05\0\x0a\x01\x0b\0B"]), bad_before);
    }

    #[test]
    fn many_banks() {
        let item = |bank| [3, 0x80, 5, 0, 10, 0, bank, 1, b'B'];
        let items: [[u8; 9]; MAX_BANKS] = core::array::from_fn(|bank| item(bank as u8));
        let all = items.as_flattened();
        assert_eq!(parse_items(&[all]), Ok(()));
        assert_eq!(parse_items(&[all, &item(16)]), Err(Error::BadItem(0x8003)));
        assert_eq!(parse_items(&[all, &item(15)]), Err(Error::BadItem(0x8003)));
    }

    #[test]
    fn unknown_items() {
        assert_eq!(parse_items(&[b"\x34\x12\x02\0??"]), Ok(()));
        assert_eq!(parse_items(&[b"\x34\x12\0\0"]), Ok(()));
        let unknown = Err(Error::UnknownItem(0x9234));
        assert_eq!(parse_items(&[b"\x34\x92\x02\0??"]), unknown);
        assert_eq!(
            parse_items(&[b"\x04\x80\x01\0L"]),
            Err(Error::UnknownItem(0x8004))
        );
    }
}
