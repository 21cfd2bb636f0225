// SPDX-License-Identifier: GPL-2.0

//! Writing a record.

use super::super::{
    bytes::{
        until_nul,
        Writer, //
    },
    template::{
        Template,
        LEGACY_DIGEST_SIZE,
        LEGACY_MAX_EVENT_NAME, //
    },
    ByteOrder,
    Error, //
};

/// A record to be written as the binary file of a bank shows it.
#[derive(Clone, Debug)]
pub struct NewRecord<'a, F> {
    /// PCR that it is extended into.
    pub pcr: u32,
    /// Template digest of the bank.
    pub digest: &'a [u8],
    /// Name of the template, or its format if it has no name.
    pub template_name: &'a [u8],
    /// Data of the fields as IMA holds it: event names with their NUL.
    pub fields: F,
    /// Order of the bytes in the numbers.
    pub order: ByteOrder,
}

impl<'a, F> NewRecord<'a, F>
where
    F: Iterator<Item = &'a [u8]> + Clone,
{
    /// Bytes that [`encode`](Self::encode) writes.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownTemplate`]; [`Error::BadFields`] if the fields are not those of the template
    /// or one does not fit the legacy template; [`Error::TooLong`] if a length exceeds 32 bits.
    pub fn encoded_len(&self) -> Result<usize, Error> {
        let (legacy, data_len) = self.check()?;
        // The PCR, the length of the name, the length of the data.
        let numbers: usize = if legacy { 8 } else { 12 };
        [self.digest.len(), self.template_name.len(), data_len]
            .into_iter()
            .try_fold(numbers, usize::checked_add)
            .ok_or(Error::TooLong)
    }

    /// Writes the record to the front of `out` and returns its length.
    ///
    /// # Errors
    ///
    /// As [`encoded_len`](Self::encoded_len), and [`Error::NoSpace`].
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, Error> {
        let (legacy, data_len) = self.check()?;
        let mut writer = Writer::new(out, self.order);
        writer.u32(self.pcr)?;
        writer.bytes(self.digest)?;
        writer.len32(self.template_name.len())?;
        writer.bytes(self.template_name)?;
        if !legacy {
            writer.len32(data_len)?;
        }
        for (index, field) in self.fields.clone().enumerate() {
            let (bare, field) = shown(legacy, index, field);
            if !bare {
                writer.len32(field.len())?;
            }
            writer.bytes(field)?;
        }
        Ok(writer.len())
    }

    /// Is it a legacy record, and how long is its data?
    fn check(&self) -> Result<(bool, usize), Error> {
        let template = Template::lookup(self.template_name)?;
        let legacy = template.is_legacy();
        let mut count = 0_usize;
        let mut data_len = 0_u32;
        for (index, field) in self.fields.clone().enumerate() {
            let (bare, field) = shown(legacy, index, field);
            let fits = match (legacy, bare) {
                (true, true) => field.len() == LEGACY_DIGEST_SIZE,
                (true, false) => field.len() <= LEGACY_MAX_EVENT_NAME,
                (false, _) => true,
            };
            if !fits {
                return Err(Error::BadFields);
            }
            count = index.checked_add(1).ok_or(Error::BadFields)?;
            data_len = u32::try_from(field.len())
                .ok()
                .and_then(|len| len.checked_add(if bare { 0 } else { 4 }))
                .and_then(|len| data_len.checked_add(len))
                .ok_or(Error::TooLong)?;
        }
        if count != template.fields().len() {
            return Err(Error::BadFields);
        }
        let data_len = usize::try_from(data_len).map_err(|_| Error::TooLong)?;
        Ok((legacy, data_len))
    }
}

/// Is a field shown without its length, and which of its bytes are shown?
fn shown(legacy: bool, index: usize, field: &[u8]) -> (bool, &[u8]) {
    match (legacy, index) {
        (true, 0) => (true, field),
        (true, _) => (false, until_nul(field)),
        (false, _) => (false, field),
    }
}

#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(ima_checkpoint_encode)
)]
#[cfg_attr(not(CONFIG_KUNIT = "y"), cfg(test))]
mod tests {
    use super::{
        super::{
            super::testing::{
                MAX,
                SAMPLES, //
            },
            Record, //
        },
        *, //
    };

    fn new<'a>(
        template_name: &'a [u8],
        fields: &'a [&'a [u8]],
    ) -> NewRecord<'a, impl Iterator<Item = &'a [u8]> + Clone> {
        NewRecord {
            pcr: 10,
            digest: &[0xdd; 32],
            template_name,
            fields: fields.iter().copied(),
            order: ByteOrder::Little,
        }
    }

    #[test]
    fn round_trip() -> Result<(), Error> {
        let mut out = [0; MAX];
        for (name, fields) in SAMPLES {
            for order in [ByteOrder::Little, ByteOrder::Big] {
                let mut new = new(name, fields);
                new.order = order;
                let len = new.encode(&mut out)?;
                assert_eq!(new.encoded_len(), Ok(len));
                let (record, used) = Record::parse(&out, 32, order)?;
                assert_eq!(used, len);
                assert_eq!(record.pcr(), 10);
                assert_eq!(record.digest(), [0xdd; 32]);
                assert_eq!(record.template_name(), *name);
                if name != b"ima" {
                    assert!(record.fields().eq(fields.iter().copied()));
                }

                let short = out.get_mut(..len - 1).unwrap_or_default();
                assert_eq!(new.encode(short), Err(Error::NoSpace));
            }
        }
        Ok(())
    }

    #[test]
    fn bytes() -> Result<(), Error> {
        let mut out = [0; MAX];
        let fields: [&[u8]; 2] = [b"md5:\0D", b"n\0"];
        let mut record = new(b"ima-ng", &fields);
        record.digest = b"TT";
        let len = record.encode(&mut out)?;
        let expected = b"\x0a\0\0\0TT\x06\0\0\0ima-ng\x10\0\0\0\x06\0\0\0md5:\0D\x02\0\0\0n\0";
        assert_eq!(out.get(..len), Some(expected.as_slice()));

        record.order = ByteOrder::Big;
        let len = record.encode(&mut out)?;
        let expected = b"\0\0\0\x0aTT\0\0\0\x06ima-ng\0\0\0\x10\0\0\0\x06md5:\0D\0\0\0\x02n\0";
        assert_eq!(out.get(..len), Some(expected.as_slice()));
        Ok(())
    }

    #[test]
    fn legacy_name_loses_its_nul() -> Result<(), Error> {
        let mut out = [0; MAX];
        let fields: [&[u8]; 2] = [&[b'D'; 20], b"/name\0"];
        let mut record = new(b"ima", &fields);
        record.digest = b"TT";
        let len = record.encode(&mut out)?;
        let expected = b"\x0a\0\0\0TT\x03\0\0\0imaDDDDDDDDDDDDDDDDDDDD\x05\0\0\0/name";
        assert_eq!(out.get(..len), Some(expected.as_slice()));
        Ok(())
    }

    #[test]
    fn refused() {
        let name = [b'n'; 256];
        let refused = |name: &[u8], fields: &[&[u8]]| new(name, fields).encoded_len().err();
        assert_eq!(refused(b"ima-foo", &[]), Some(Error::UnknownTemplate));
        assert_eq!(refused(b"ima-ng", &[b"d"]), Some(Error::BadFields));
        assert_eq!(
            refused(b"ima-ng", &[b"d", b"n", b"x"]),
            Some(Error::BadFields)
        );
        assert_eq!(refused(b"ima", &[&[0; 16], b"n"]), Some(Error::BadFields));
        assert_eq!(refused(b"ima", &[&[0; 20], &name]), Some(Error::BadFields));
        assert_eq!(refused(b"ima", &[&[0; 20], name.split_at(255).0]), None);
    }
}
