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

impl<'a> Checkpoint<'a> {
    pub(super) fn check_items(&self) -> Result<(), Error> {
        let mut labels = 0_usize;
        for item in self.items() {
            let (kind, payload) = item?;
            if let Ok(kind) = Kind::try_from(kind) {
                self.check_entry(kind, Entry::parse(kind, payload)?)?;
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
        Ok(())
    }

    /// Is an entry the only one of its kind for its PCR and bank, and has a value a shadow
    /// exactly if it differs?
    fn check_entry(&self, kind: Kind, entry: Entry<'a>) -> Result<(), Error> {
        let Entry { pcr, algorithm, .. } = entry;
        let agrees = match kind {
            Kind::Value => match self.shadow(pcr, algorithm) {
                Some(shadow) => {
                    entry.state == State::Differs
                        && self.header.flags.contains(Flags::DIFFERS)
                        && shadow.len() == entry.value.len()
                }
                None => entry.state != State::Differs,
            },
            Kind::Shadow => self.value(pcr, algorithm).is_some(),
            Kind::Before => true,
        };
        let same = |other: &Entry<'a>| other.pcr == pcr && other.algorithm == algorithm;
        if agrees && self.entries(kind).filter(same).count() == 1 {
            Ok(())
        } else {
            Err(Error::BadItem(kind.into()))
        }
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

    /// Parses the fixed part with these items behind it.
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
            bad_value
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
