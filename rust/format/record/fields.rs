// SPDX-License-Identifier: GPL-2.0

//! How template data splits into fields.

use super::super::{
    bytes::Reader,
    template::{
        Template,
        LEGACY_DIGEST_SIZE,
        LEGACY_MAX_EVENT_NAME, //
    },
    ByteOrder,
    Error, //
};

/// Length of the data of a legacy record that `reader` is in front of.
pub(super) fn legacy_data_len(mut reader: Reader<'_>) -> Result<usize, Error> {
    reader.bytes(LEGACY_DIGEST_SIZE)?;
    let name_len = reader.len32()?;
    if name_len > LEGACY_MAX_EVENT_NAME {
        return Err(Error::BadFields);
    }
    Ok(LEGACY_DIGEST_SIZE + size_of::<u32>() + name_len)
}

/// How many fields these are, each preceded by its length; nothing if they do not fill `data`.
pub(super) fn count(data: &[u8], order: ByteOrder) -> Option<usize> {
    let mut reader = Reader::new(data, order);
    let mut count: usize = 0;
    while !reader.rest().is_empty() {
        let len = reader.len32().ok()?;
        reader.bytes(len).ok()?;
        count = count.saturating_add(1);
    }
    Some(count)
}

/// Iterates over the data of a record's fields.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    reader: Reader<'a>,
    /// The next field has no length: the digest of the legacy template.
    bare: bool,
    left: usize,
}

impl<'a> Fields<'a> {
    #[inline]
    pub(super) fn new(data: &'a [u8], template: &Template, order: ByteOrder) -> Self {
        Self {
            reader: Reader::new(data, order),
            bare: template.is_legacy(),
            left: template.fields().len(),
        }
    }

    /// Is the data exactly these fields, whole and with nothing after them?
    #[inline]
    pub(super) fn exact(mut self) -> bool {
        let expected = self.left;
        self.by_ref().count() == expected && self.reader.rest().is_empty()
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let len = if core::mem::take(&mut self.bare) {
            LEGACY_DIGEST_SIZE
        } else {
            self.reader.len32().ok()?
        };
        self.reader.bytes(len).ok()
    }
}

#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(ima_checkpoint_fields)
)]
#[cfg_attr(not(CONFIG_KUNIT = "y"), cfg(test))]
mod tests {
    use super::{
        super::{
            super::testing::{
                encode,
                MAX,
                SAMPLES, //
            },
            Record, //
        },
        *, //
    };

    const ORDER: ByteOrder = ByteOrder::Little;

    #[test]
    fn truncated_everywhere() -> Result<(), Error> {
        let mut out = [0; MAX];
        for (name, fields) in SAMPLES {
            let bytes = encode(&mut out, name, fields)?;
            for len in 0..bytes.len() {
                let result = Record::parse(bytes.get(..len).unwrap_or_default(), 20, ORDER);
                assert_eq!(result.err(), Some(Error::Truncated));
            }
            assert_eq!(Record::parse(bytes, 20, ORDER)?.1, bytes.len());
        }
        Ok(())
    }

    #[test]
    fn huge_lengths() -> Result<(), Error> {
        let mut out = [0; MAX];
        let len = encode(&mut out, b"ima-ng", &[b"d", b"n"])?.len();
        let with_length = |at: usize, bytes: [u8; 4]| {
            let mut bad = out;
            let slot = bad.get_mut(at..).and_then(|tail| tail.first_chunk_mut());
            *slot.ok_or(Error::NoSpace)? = bytes;
            let bytes = bad.get(..len).unwrap_or_default();
            Record::parse(bytes, 20, ORDER).map(|_| ())
        };
        for huge in [[0xff; 4], [0xfe, 0xff, 0xff, 0xff], [0, 0, 0, 0x80]] {
            assert_eq!(with_length(24, huge), Err(Error::TooLong));
            assert_eq!(with_length(34, huge), Err(Error::Truncated));
            assert_eq!(with_length(38, huge), Err(Error::BadFields));
            assert_eq!(with_length(43, huge), Err(Error::BadFields));
        }
        assert_eq!(with_length(43, [0, 0, 0, 0]), Err(Error::BadFields));
        assert_eq!(with_length(43, [1, 0, 0, 0]), Ok(()));
        assert_eq!(
            Record::parse(&out, usize::MAX, ORDER).err(),
            Some(Error::Truncated)
        );
        Ok(())
    }
}
