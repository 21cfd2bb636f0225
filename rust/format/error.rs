// SPDX-License-Identifier: GPL-2.0

//! Why bytes were refused.

use core::fmt;

/// Why something could not be parsed or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The input ends before the structure does: with more bytes it may be valid.
    Truncated,
    /// The output buffer is too small.
    NoSpace,
    /// A length exceeds what its format allows.
    TooLong,
    /// The template is none of IMA's and not a format of known fields.
    UnknownTemplate,
    /// The template data is not exactly the fields of the template.
    BadFields,
    /// The buffer does not start with the magic.
    BadMagic,
    /// The version is not one that is understood.
    BadVersion(u16),
    /// The length of the fixed part is too small or does not fit the buffer.
    BadFixedLength,
    /// A sequence number is zero.
    BadSequence,
    /// A number that counts records, bytes or segments is 2^63 or more.
    TooLarge,
    /// The reason of a truncation or of a change is unknown.
    BadReason(u16),
    /// An item is malformed or contradicts another; the value is its type.
    BadItem(u16),
    /// An item must be understood but is not; the value is its type.
    UnknownItem(u16),
    /// The items of a PCR were pushed at the wrong place.
    OutOfOrder,
    /// The changes of settings are not lines of `NAME=OLD->NEW`.
    BadChange,
    /// The structures of a quote are malformed, or not over the checkpoint that they belong to.
    BadQuote,
    /// A label is longer than 64 bytes or not printable ASCII.
    BadLabel,
    /// A signature is none of IMA's over a SHA-256, or not of the length that it says.
    BadSignature,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the data ends too early"),
            Self::NoSpace => f.write_str("the output buffer is too small"),
            Self::TooLong => f.write_str("a length is beyond its limit"),
            Self::UnknownTemplate => f.write_str("unknown template"),
            Self::BadFields => f.write_str("the template data does not match its template"),
            Self::BadMagic => f.write_str("wrong magic"),
            Self::BadVersion(version) => write!(f, "unknown version {version}"),
            Self::BadFixedLength => f.write_str("wrong length of the fixed part"),
            Self::BadSequence => f.write_str("the sequence number is zero"),
            Self::TooLarge => f.write_str("a count is 2^63 or more"),
            Self::BadReason(reason) => write!(f, "unknown reason {reason}"),
            Self::BadItem(kind) => write!(f, "malformed item of type {kind:#06x}"),
            Self::UnknownItem(kind) => write!(f, "unknown critical item of type {kind:#06x}"),
            Self::OutOfOrder => f.write_str("the items of a PCR are out of order"),
            Self::BadChange => f.write_str("the changes are not lines of NAME=OLD->NEW"),
            Self::BadQuote => f.write_str("the quote is malformed, or of another checkpoint"),
            Self::BadLabel => f.write_str("a label is at most 64 printable ASCII characters"),
            Self::BadSignature => f.write_str("this is no signature of IMA's over a SHA-256"),
        }
    }
}

impl core::error::Error for Error {}
