// SPDX-License-Identifier: GPL-2.0

//! IMA templates: which fields a record holds.
//!
//! A record names its template by the name of a built-in one, or by a format: the identifiers of
//! its fields with `|` between them. Both are as in `ima_template.c`.

use super::Error;

/// Most fields of a template.
pub const MAX_FIELDS: usize = 15;

/// Longest identifier of a field, in bytes.
pub const MAX_FIELD_ID: usize = 16;

/// Longest template name: the longest format that IMA accepts.
pub const MAX_NAME: usize = MAX_FIELDS * (MAX_FIELD_ID + 1) - 1;

/// The name of the oldest template, whose records are laid out differently.
pub const LEGACY_NAME: &[u8] = b"ima";

/// Bytes of the file digest in a record of the legacy template.
pub const LEGACY_DIGEST_SIZE: usize = 20;

/// Longest event name of the legacy template, in bytes without NUL.
pub const LEGACY_MAX_EVENT_NAME: usize = 255;

/// A field of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `d`: SHA-1 or MD5 digest of the file.
    Digest,
    /// `n`: event name of at most 255 bytes and its NUL.
    Name,
    /// `d-ng`: algorithm, `:`, NUL, digest of the file.
    DigestNg,
    /// `d-ngv2`: type, `:`, algorithm, `:`, NUL, digest of the file.
    DigestNgV2,
    /// `n-ng`: event name and its NUL.
    NameNg,
    /// `sig`: signature of the file.
    Signature,
    /// `buf`: the buffer that was measured.
    Buffer,
    /// `d-modsig`: as `d-ng`, of the file without its appended signature.
    DigestModsig,
    /// `modsig`: appended signature.
    Modsig,
    /// `evmsig`: portable EVM signature.
    EvmSignature,
    /// `iuid`: owner of the file.
    Uid,
    /// `igid`: group of the file.
    Gid,
    /// `imode`: mode of the file.
    Mode,
    /// `xattrnames`: names of the extended attributes that EVM protects, `|` between them.
    XattrNames,
    /// `xattrlengths`: their lengths, 32 bits each.
    XattrLengths,
    /// `xattrvalues`: their values.
    XattrValues,
    /// A field of a template that is not known here.
    Unknown,
}

impl Field {
    fn from_id(id: &[u8]) -> Option<Self> {
        Some(match id {
            b"d" => Self::Digest,
            b"n" => Self::Name,
            b"d-ng" => Self::DigestNg,
            b"d-ngv2" => Self::DigestNgV2,
            b"n-ng" => Self::NameNg,
            b"sig" => Self::Signature,
            b"buf" => Self::Buffer,
            b"d-modsig" => Self::DigestModsig,
            b"modsig" => Self::Modsig,
            b"evmsig" => Self::EvmSignature,
            b"iuid" => Self::Uid,
            b"igid" => Self::Gid,
            b"imode" => Self::Mode,
            b"xattrnames" => Self::XattrNames,
            b"xattrlengths" => Self::XattrLengths,
            b"xattrvalues" => Self::XattrValues,
            _ => return None,
        })
    }
}

/// The fields of a template, in order.
// Each record has one: aligned, it is copied in whole words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Template {
    // INVARIANT: the first `count` are the fields, `count` is at most `MAX_FIELDS`.
    fields: [Field; MAX_FIELDS],
    count: usize,
    legacy: bool,
}

impl Template {
    /// Finds a template by its name in a record.
    ///
    /// A name that is not built in is taken as a format, as IMA does with `ima_template_fmt=` and
    /// with the records of an earlier kernel.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownTemplate`].
    #[inline]
    pub fn lookup(name: &[u8]) -> Result<Self, Error> {
        use Field::*;

        Ok(match name {
            LEGACY_NAME => const { Self::built_in(&[Digest, Name], true) },
            b"ima-ng" => const { Self::built_in(&[DigestNg, NameNg], false) },
            b"ima-sig" => const { Self::built_in(&[DigestNg, NameNg, Signature], false) },
            b"ima-ngv2" => const { Self::built_in(&[DigestNgV2, NameNg], false) },
            b"ima-sigv2" => const { Self::built_in(&[DigestNgV2, NameNg, Signature], false) },
            b"ima-buf" => const { Self::built_in(&[DigestNg, NameNg, Buffer], false) },
            b"ima-modsig" => {
                const FIELDS: &[Field] = &[DigestNg, NameNg, Signature, DigestModsig, Modsig];
                const { Self::built_in(FIELDS, false) }
            }
            b"evm-sig" => {
                const FIELDS: &[Field] = &[
                    DigestNg,
                    NameNg,
                    EvmSignature,
                    XattrNames,
                    XattrLengths,
                    XattrValues,
                    Uid,
                    Gid,
                    Mode,
                ];
                const { Self::built_in(FIELDS, false) }
            }
            format => return Self::custom(format),
        })
    }

    /// Computed when compiling: every record needs one.
    const fn built_in(fields: &[Field], legacy: bool) -> Self {
        let mut template = Self {
            fields: [Field::Digest; MAX_FIELDS],
            count: fields.len(),
            legacy,
        };
        let mut at = 0;
        while at < fields.len() {
            template.fields[at] = fields[at];
            at += 1;
        }
        template
    }

    /// A template that is not known here: of its fields only the number is, 1 to [`MAX_FIELDS`].
    ///
    /// # Errors
    ///
    /// [`Error::UnknownTemplate`] if there is no such number of fields, or `name` is no graphic
    /// ASCII.
    pub(super) fn unknown(name: &[u8], count: usize) -> Result<Self, Error> {
        let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
        let fields = [Field::Unknown; MAX_FIELDS];
        if !is_name || !(1..=MAX_FIELDS).contains(&count) {
            return Err(Error::UnknownTemplate);
        }
        Ok(Self {
            fields,
            count,
            legacy: false,
        })
    }

    /// Is it one that IMA knows?
    #[inline]
    pub fn is_known(&self) -> bool {
        self.fields().first() != Some(&Field::Unknown)
    }

    fn custom(format: &[u8]) -> Result<Self, Error> {
        let mut template = Self::built_in(&[], false);
        for id in format.split(|byte| *byte == b'|') {
            let slot = template.fields.get_mut(template.count);
            *slot.ok_or(Error::UnknownTemplate)? =
                Field::from_id(id).ok_or(Error::UnknownTemplate)?;
            template.count += 1;
        }
        Ok(template)
    }

    /// The fields in order.
    #[inline]
    pub fn fields(&self) -> &[Field] {
        self.fields.get(..self.count).unwrap_or_default()
    }

    /// Is it the template named `ima`?
    #[inline]
    pub fn is_legacy(&self) -> bool {
        self.legacy
    }
}

#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(ima_checkpoint_template)
)]
#[cfg_attr(not(CONFIG_KUNIT = "y"), cfg(test))]
mod tests {
    use super::*;

    #[test]
    fn built_in() {
        let formats: [(&[u8], &[u8]); 8] = [
            (b"ima", b"d|n"),
            (b"ima-ng", b"d-ng|n-ng"),
            (b"ima-sig", b"d-ng|n-ng|sig"),
            (b"ima-ngv2", b"d-ngv2|n-ng"),
            (b"ima-sigv2", b"d-ngv2|n-ng|sig"),
            (b"ima-buf", b"d-ng|n-ng|buf"),
            (b"ima-modsig", b"d-ng|n-ng|sig|d-modsig|modsig"),
            (
                b"evm-sig",
                b"d-ng|n-ng|evmsig|xattrnames|xattrlengths|xattrvalues|iuid|igid|imode",
            ),
        ];
        for (name, format) in formats {
            let named = Template::lookup(name);
            let custom = Template::lookup(format);
            assert!(named.is_ok() && custom.is_ok());
            assert!(named.map(|t| t.fields) == custom.map(|t| t.fields));
            assert_eq!(named.is_ok_and(|t| t.is_legacy()), name == b"ima");
            assert!(custom.is_ok_and(|t| !t.is_legacy()));
        }
    }

    #[test]
    fn custom() {
        let template = Template::lookup(b"n-ng|d|n-ng|imode");
        let expected = [Field::NameNg, Field::Digest, Field::NameNg, Field::Mode];
        assert!(template.is_ok_and(|t| t.fields() == expected));

        let longest = b"xattrlengths|xattrlengths|xattrlengths|xattrlengths|xattrlengths|\
            xattrlengths|xattrlengths|xattrlengths|xattrlengths|xattrlengths|xattrlengths|\
            xattrlengths|xattrlengths|xattrlengths|xattrlengths";
        assert!(longest.len() <= MAX_NAME);
        assert!(Template::lookup(longest).is_ok_and(|t| t.fields().len() == MAX_FIELDS));
    }

    #[test]
    fn unknown() {
        let names: [&[u8]; 10] = [
            b"",
            b"|",
            b"ima-foo",
            b"ima-ng\0",
            b"IMA",
            b"d-ng|",
            b"|n-ng",
            b"d-ng||n-ng",
            b"d-ng|n-ng|foo",
            b"d|d|d|d|d|d|d|d|d|d|d|d|d|d|d|d",
        ];
        for name in names {
            assert_eq!(Template::lookup(name), Err(Error::UnknownTemplate));
        }
    }
}
