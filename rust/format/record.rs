// SPDX-License-Identifier: GPL-2.0

//! A record of the measurement list, as the binary file of a bank shows it.
//!
//! ```text
//! u32 PCR | template digest | u32 length, template name | u32 length, template data
//! ```
//!
//! The template data is the fields of the template, each behind its `u32` length. Records of the
//! legacy template `ima` have no data length, and a first field of 20 bytes without length; their
//! event name lacks its NUL. The digest has the size of the bank, the rest is the same in each.

use super::{
    bytes::Reader,
    template::{
        Field,
        Template,
        LEGACY_DIGEST_SIZE,
        LEGACY_MAX_EVENT_NAME,
        MAX_NAME, //
    },
    ByteOrder,
    Error, //
};

/// A record.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    pcr: u32,
    digest: &'a [u8],
    template_name: &'a [u8],
    data: &'a [u8],
    // INVARIANT: `data` is exactly the fields of `template` in this byte order.
    template: Template,
    order: ByteOrder,
}

impl<'a> Record<'a> {
    /// Parses the record at the front of `bytes`, which may hold more, and returns it with its
    /// length in bytes. `digest_size` is that of the bank.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if the record may be good but ends beyond `bytes`; otherwise it is
    /// malformed: [`Error::TooLong`] (template name), [`Error::UnknownTemplate`] or
    /// [`Error::BadFields`].
    pub fn parse(
        bytes: &'a [u8],
        digest_size: usize,
        order: ByteOrder,
    ) -> Result<(Self, usize), Error> {
        let mut reader = Reader::new(bytes, order);
        let pcr = reader.u32()?;
        let digest = reader.bytes(digest_size)?;
        let name_len = reader.len32()?;
        if name_len > MAX_NAME {
            return Err(Error::TooLong);
        }
        let template_name = reader.bytes(name_len)?;
        let template = Template::lookup(template_name)?;
        let data_len = if template.is_legacy() {
            legacy_data_len(reader.clone())?
        } else {
            reader.len32()?
        };
        let data = reader.bytes(data_len)?;
        let record = Self {
            pcr,
            digest,
            template_name,
            data,
            template,
            order,
        };

        let mut fields = record.fields();
        let count = fields.by_ref().count();
        if count != template.fields().len() || !fields.reader.rest().is_empty() {
            return Err(Error::BadFields);
        }
        Ok((record, bytes.len().saturating_sub(reader.rest().len())))
    }

    /// The PCR that it was extended into.
    pub fn pcr(&self) -> u32 {
        self.pcr
    }

    /// The template digest of the bank.
    pub fn digest(&self) -> &'a [u8] {
        self.digest
    }

    /// The name of the template, or its format if it has no name.
    pub fn template_name(&self) -> &'a [u8] {
        self.template_name
    }

    /// The template.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// The template data as it stands.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The order of the bytes in its numbers.
    pub fn order(&self) -> ByteOrder {
        self.order
    }

    /// The data of the fields in the order of the template, each without its length.
    pub fn fields(&self) -> Fields<'a> {
        Fields {
            reader: Reader::new(self.data, self.order),
            bare: self.template.is_legacy(),
            left: self.template.fields().len(),
        }
    }

    /// The data of the first field that is one of `wanted`.
    fn find(&self, wanted: &[Field]) -> Option<&'a [u8]> {
        let mut fields = self.template.fields().iter().zip(self.fields());
        fields.find_map(|(field, data)| wanted.contains(field).then_some(data))
    }

    /// Is it a violation? Its digest is then zero, but the PCR was extended with ones.
    pub fn is_violation(&self) -> bool {
        self.digest.iter().all(|byte| *byte == 0)
    }

    /// The event name, mostly a path, without the NUL at its end.
    pub fn event_name(&self) -> Option<&'a [u8]> {
        let name = self.find(&[Field::NameNg, Field::Name])?;
        Some(name.strip_suffix(b"\0").unwrap_or(name))
    }

    /// The buffer that was measured, if the template has one.
    pub fn buffer(&self) -> Option<&'a [u8]> {
        self.find(&[Field::Buffer])
    }

    /// The digest of what was measured, and its algorithm as IMA names it: `sha256`,
    /// `verity:sha256`, or nothing in the legacy template.
    pub fn file_digest(&self) -> Option<(&'a [u8], &'a [u8])> {
        if let Some(digest) = self.find(&[Field::Digest]) {
            return Some((&[], digest));
        }
        let data = self.find(&[Field::DigestNg, Field::DigestNgV2])?;
        let end = data.iter().position(|byte| *byte == 0)?;
        let (prefix, digest) = data.split_at_checked(end)?;
        Some((prefix.strip_suffix(b":")?, digest.get(1..)?))
    }

    /// Passes on the bytes whose hash is the template digest, piece by piece.
    pub fn digest_input(&self, mut put: impl FnMut(&[u8])) {
        if !self.template.is_legacy() {
            put(self.data);
            return;
        }
        const PADDED: usize = LEGACY_MAX_EVENT_NAME + 1;
        let mut name = [0; PADDED];
        let mut fields = self.fields();
        put(fields.next().unwrap_or_default());
        for (to, from) in name.iter_mut().zip(fields.next().unwrap_or_default()) {
            *to = *from;
        }
        put(&name);
    }
}

/// Length of the data of a legacy record that `reader` is in front of.
fn legacy_data_len(mut reader: Reader<'_>) -> Result<usize, Error> {
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
