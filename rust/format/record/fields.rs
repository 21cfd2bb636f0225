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

/// Iterates over the data of a record's fields.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    reader: Reader<'a>,
    /// The next field has no length: the digest of the legacy template.
    bare: bool,
    left: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn new(data: &'a [u8], template: &Template, order: ByteOrder) -> Self {
        Self {
            reader: Reader::new(data, order),
            bare: template.is_legacy(),
            left: template.fields().len(),
        }
    }

    /// Is the data exactly these fields, whole and with nothing behind them?
    pub(super) fn exact(mut self) -> bool {
        let expected = self.left;
        self.by_ref().count() == expected && self.reader.rest().is_empty()
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

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
