// SPDX-License-Identifier: GPL-2.0

//! A record of the measurement list, as the binary file of a bank shows it.
//!
//! ```text
//! u32 PCR | template digest | u32 length, template name | u32 length, template data
//! ```
//!
//! The template data is the fields of the template, each preceded by its `u32` length. Records of
//! the legacy template `ima` have no data length, and a first field of 20 bytes without length;
//! their event name lacks its NUL. The digest has the size of the bank, the rest is the same in
//! each.

mod encode;
mod fields;

pub use self::{
    encode::NewRecord,
    fields::Fields, //
};

use self::fields::{
    count,
    legacy_data_len, //
};
use super::{
    bytes::Reader,
    template::{
        Field,
        Template,
        LEGACY_MAX_EVENT_NAME,
        LEGACY_NAME,
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
    #[inline]
    pub fn parse(
        bytes: &'a [u8],
        digest_size: usize,
        order: ByteOrder,
    ) -> Result<(Self, usize), Error> {
        Self::parse_as(bytes, digest_size, order, Template::lookup)
    }

    /// The same, but of templates that IMA does not know as well: those of other kernels. A record
    /// says how long its data and their fields are, and its digest is of the data as they stand.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse); [`Error::UnknownTemplate`] if the name is no graphic ASCII, or
    /// the fields are not 1 to [`MAX_FIELDS`](super::template::MAX_FIELDS).
    #[inline]
    pub fn parse_any(
        bytes: &'a [u8],
        digest_size: usize,
        order: ByteOrder,
    ) -> Result<(Self, usize), Error> {
        let lookup = |name: &[u8]| Template::lookup(name).or_else(|_| Template::unknown(name, 1));
        Self::parse_as(bytes, digest_size, order, lookup)
    }

    #[inline]
    fn parse_as(
        bytes: &'a [u8],
        digest_size: usize,
        order: ByteOrder,
        lookup: impl FnOnce(&[u8]) -> Result<Template, Error>,
    ) -> Result<(Self, usize), Error> {
        let mut reader = Reader::new(bytes, order);
        let pcr = reader.u32()?;
        let digest = reader.bytes(digest_size)?;
        let name_len = reader.len32()?;
        if name_len > MAX_NAME {
            return Err(Error::TooLong);
        }
        let template_name = reader.bytes(name_len)?;
        let template = lookup(template_name)?;
        let data_len = if template.is_legacy() {
            legacy_data_len(reader.clone())?
        } else {
            reader.len32()?
        };
        let data = reader.bytes(data_len)?;
        let mut record = Self {
            pcr,
            digest,
            template_name,
            data,
            template,
            order,
        };

        if !record.template.is_known() {
            let count = count(data, order).ok_or(Error::BadFields)?;
            record.template = Template::unknown(template_name, count)?;
        } else if !record.fields().exact() {
            return Err(Error::BadFields);
        }
        Ok((record, bytes.len().saturating_sub(reader.rest().len())))
    }

    /// Length of the record at the front of `bytes`, which may hold more. Only lengths are looked
    /// at.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), but for those of templates and fields.
    #[inline]
    pub fn skip(bytes: &[u8], digest_size: usize, order: ByteOrder) -> Result<usize, Error> {
        let mut reader = Reader::new(bytes, order);
        reader.u32()?;
        reader.bytes(digest_size)?;
        let name_len = reader.len32()?;
        let data_len = if reader.bytes(name_len)? == LEGACY_NAME {
            legacy_data_len(reader.clone())?
        } else {
            reader.len32()?
        };
        reader.bytes(data_len)?;
        Ok(bytes.len().saturating_sub(reader.rest().len()))
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
    #[inline]
    pub fn fields(&self) -> Fields<'a> {
        Fields::new(self.data, &self.template, self.order)
    }

    /// The data of the first field that is one of `wanted`.
    #[inline]
    fn find(&self, wanted: &[Field]) -> Option<&'a [u8]> {
        let mut fields = self.template.fields().iter().zip(self.fields());
        fields.find_map(|(field, data)| wanted.contains(field).then_some(data))
    }

    /// Is it a violation? Its digest is then zero, but the PCR was extended with ones.
    #[inline]
    pub fn is_violation(&self) -> bool {
        self.digest.iter().all(|byte| *byte == 0)
    }

    /// The event name, mostly a path, without the NUL at its end.
    #[inline]
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

#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(ima_checkpoint_record)
)]
#[cfg_attr(not(CONFIG_KUNIT = "y"), cfg(test))]
mod tests {
    use super::{
        super::testing::{
            encode,
            MAX,
            SAMPLES, //
        },
        *, //
    };

    const ORDER: ByteOrder = ByteOrder::Little;

    #[test]
    fn accessors() -> Result<(), Error> {
        let bytes = b"\x0a\0\0\0DDDDDDDDDDDDDDDDDDDD\x07\0\0\0ima-buf\x2a\0\0\0\
            \x0b\0\0\0sha256:\0abc\x0c\0\0\0.ima/policy\0\x07\0\0\0measurenext record";
        let (record, len) = Record::parse(bytes, 20, ORDER)?;
        assert_eq!(bytes.get(len..), Some(b"next record".as_slice()));
        assert_eq!(record.pcr(), 10);
        assert_eq!(record.digest(), b"DDDDDDDDDDDDDDDDDDDD");
        assert!(!record.is_violation());
        assert_eq!(record.template_name(), b"ima-buf");
        assert_eq!(record.data().len(), 0x2a);
        assert_eq!(record.event_name(), Some(b".ima/policy".as_slice()));
        assert_eq!(record.buffer(), Some(b"measure".as_slice()));
        let digest: (&[u8], &[u8]) = (b"sha256", b"abc");
        assert_eq!(record.file_digest(), Some(digest));
        assert_eq!(record.fields().count(), 3);
        Ok(())
    }

    #[test]
    fn of_an_unknown_template() -> Result<(), Error> {
        let bytes = b"\x0a\0\0\0DDDDDDDDDDDDDDDDDDDD\x07\0\0\0vendor1\x0d\0\0\0\
            \x01\0\0\0a\0\0\0\0\0\0\0\0next record";
        let strict = Record::parse(bytes, 20, ORDER);
        assert_eq!(strict.err(), Some(Error::UnknownTemplate));
        let (record, len) = Record::parse_any(bytes, 20, ORDER)?;
        assert_eq!(bytes.get(len..), Some(b"next record".as_slice()));
        assert!(!record.template().is_known());
        assert!(record.fields().eq([b"a".as_slice(), b"", b""]));
        assert_eq!(record.event_name(), None);
        for at in 0..len {
            let result = Record::parse_any(bytes.get(..at).unwrap_or_default(), 20, ORDER);
            assert_eq!(result.err(), Some(Error::Truncated));
        }
        // no name, more than its fields, no field
        for (at, byte, error) in [
            (28, 0, Error::UnknownTemplate),
            (39, 2, Error::BadFields),
            (35, 0, Error::UnknownTemplate),
        ] {
            let mut bad = *bytes;
            let slot = bad.get_mut(at).ok_or(Error::NoSpace)?;
            *slot = byte;
            assert_eq!(Record::parse_any(&bad, 20, ORDER).err(), Some(error));
        }
        Ok(())
    }

    #[test]
    fn legacy() -> Result<(), Error> {
        let bytes = b"\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x03\0\0\0ima\
            DDDDDDDDDDDDDDDDDDDD\x04\0\0\0/ a\nnext record";
        let (record, len) = Record::parse(bytes, 20, ORDER)?;
        assert_eq!(bytes.get(len..), Some(b"next record".as_slice()));
        assert!(record.is_violation());
        assert_eq!(record.event_name(), Some(b"/ a\n".as_slice()));
        assert_eq!(record.buffer(), None);
        let digest: (&[u8], &[u8]) = (b"", b"DDDDDDDDDDDDDDDDDDDD");
        assert_eq!(record.file_digest(), Some(digest));

        let mut input = [0xff; 20 + 256];
        let mut len = 0;
        record.digest_input(|piece| {
            for (to, from) in input.iter_mut().skip(len).zip(piece) {
                *to = *from;
            }
            len += piece.len();
        });
        assert_eq!(len, input.len());
        assert!(input.starts_with(b"DDDDDDDDDDDDDDDDDDDD/ a\n\0"));
        assert!(input.iter().skip(24).all(|byte| *byte == 0));
        Ok(())
    }

    #[test]
    fn digest_covers_data() -> Result<(), Error> {
        let mut out = [0; MAX];
        for (name, fields) in SAMPLES.iter().skip(1) {
            let (record, _) = Record::parse(encode(&mut out, name, fields)?, 20, ORDER)?;
            let mut pieces = 0;
            record.digest_input(|piece| pieces += usize::from(piece == record.data()));
            assert_eq!(pieces, 1);
        }
        Ok(())
    }

    #[test]
    fn skipping_goes_as_far_as_parsing() -> Result<(), Error> {
        let mut out = [0; MAX];
        for (name, fields) in SAMPLES {
            let bytes = encode(&mut out, name, fields)?;
            let (_, len) = Record::parse(bytes, 20, ORDER)?;
            assert_eq!(Record::skip(bytes, 20, ORDER)?, len);
            for end in 0..len {
                assert!(Record::skip(bytes.get(..end).unwrap_or_default(), 20, ORDER).is_err());
            }
        }
        Ok(())
    }

    #[test]
    fn every_byte_changed() -> Result<(), Error> {
        let mut out = [0; MAX];
        for (name, fields) in SAMPLES {
            let len = encode(&mut out, name, fields)?.len();
            for at in 0..len {
                for order in [ByteOrder::Little, ByteOrder::Big] {
                    let Some(byte) = out.get_mut(at) else {
                        continue;
                    };
                    *byte ^= 0xff;
                    let bytes = out.get(..len).unwrap_or_default();
                    if let Ok((record, used)) = Record::parse(bytes, 20, order) {
                        assert!(used <= len);
                        assert_eq!(record.fields().count(), record.template().fields().len());
                        record.digest_input(|_| ());
                        record.file_digest();
                    }
                    let Some(byte) = out.get_mut(at) else {
                        continue;
                    };
                    *byte ^= 0xff;
                }
            }
        }
        Ok(())
    }
}
