// SPDX-License-Identifier: GPL-2.0

//! What a file of the archive says of itself, and how it is named.

use super::{is_host, is_log_id};
use crate::{bank::Digest, escape::Escaped};
use ima_checkpoint_format::ByteOrder;
use serde::{Deserialize, Serialize};
use std::fmt;

const FORMAT: &str = "ima-checkpoint/segment/1";

/// Characters of a format that is not known, and of what the parser says, that are shown.
const MAX_FORMAT: usize = 40;
const MAX_FAULT: usize = 200;

/// Is a segment complete?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is.
    Sealed,
    /// It was still active: a later one may have more records.
    Tail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    Little,
    Big,
}

/// The metadata of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    format: String,
    /// The host that it was exported from.
    pub host: String,
    /// Identifier of the log: 32 hexadecimal digits.
    pub log_id: String,
    /// Number of the segment.
    pub seq: u64,
    /// Is it complete?
    pub state: State,
    /// Kexecs that carried the log before its checkpoint was made.
    pub generation: u32,
    /// Index of the first record since cold boot.
    pub first: u64,
    /// Bytes since cold boot before it, in the sha1 view.
    pub offset: u64,
    /// Records in it.
    pub records: u64,
    /// Their bytes in the sha1 view.
    pub bytes: u64,
    /// Their bytes in the ASCII view of the sha1 bank.
    pub ascii_bytes: u64,
    /// SHA-256 of the bytes in the sha1 view: what the next checkpoint claims.
    pub sha256: Digest,
    /// SHA-256 of the buffer of its own checkpoint; zeros for segment 0.
    pub checkpoint: Digest,
    byte_order: Order,
    /// Did the kernel find the default PCR different from the replay when it was sealed?
    pub broken: bool,
    /// When it was archived: nanoseconds since 1970-01-01 00:00 UTC.
    pub archived_ns: u64,
    /// Is it a fork? The name of the file tells.
    #[serde(skip)]
    pub fork: bool,
}

impl Meta {
    /// Metadata of a segment of which nothing is known yet but its place.
    pub(crate) fn new(host: &str, log_id: &str, seq: u64, state: State, order: ByteOrder) -> Self {
        Self {
            format: FORMAT.to_owned(),
            host: host.to_owned(),
            log_id: log_id.to_owned(),
            seq,
            state,
            generation: 0,
            first: 0,
            offset: 0,
            records: 0,
            bytes: 0,
            ascii_bytes: 0,
            sha256: Digest::new(&[0; 32]),
            checkpoint: Digest::new(&[0; 32]),
            byte_order: match order {
                ByteOrder::Little => Order::Little,
                ByteOrder::Big => Order::Big,
            },
            broken: false,
            archived_ns: 0,
            fork: false,
        }
    }

    /// The byte order of the list.
    pub fn byte_order(&self) -> ByteOrder {
        match self.byte_order {
            Order::Little => ByteOrder::Little,
            Order::Big => ByteOrder::Big,
        }
    }

    /// The name of its file.
    pub fn file_name(&self) -> String {
        self.name().to_string()
    }

    pub(crate) fn name(&self) -> Name {
        let digest = self.sha256.as_bytes().first_chunk().copied();
        let kind = match (self.fork, self.state) {
            (true, _) => Kind::Fork(digest.unwrap_or_default()),
            (false, State::Sealed) => Kind::Sealed,
            (false, State::Tail) => Kind::Tail,
        };
        let seq = self.seq;
        Name { seq, kind }
    }

    /// Reads the metadata of a file, or says what is wrong with them.
    pub(crate) fn parse(json: &[u8], file_name: &str) -> Result<Self, String> {
        // what the parser says quotes what it read
        let mut meta: Self =
            serde_json::from_slice(json).map_err(|error| quoted(&error.to_string(), MAX_FAULT))?;
        meta.fork = parse_file_name(file_name).is_some_and(|name| name.fork);
        if meta.format != FORMAT {
            let format = quoted(&meta.format, MAX_FORMAT);
            return Err(format!("the format is `{format}`, not {FORMAT}"));
        }
        if !is_host(&meta.host) || !is_log_id(&meta.log_id) {
            return Err("host or log_id is malformed".to_owned());
        }
        if [meta.sha256, meta.checkpoint]
            .iter()
            .any(|digest| digest.as_bytes().len() != 32)
        {
            return Err("a digest has not 64 digits".to_owned());
        }
        let ends = [
            meta.first.checked_add(meta.records),
            meta.offset.checked_add(meta.bytes),
        ];
        if ends.contains(&None) || meta.records > meta.bytes {
            return Err("the numbers make no sense".to_owned());
        }
        let name = meta.file_name();
        if name != file_name {
            return Err(format!("the contents are those of {name}: rename it back"));
        }
        Ok(meta)
    }
}

/// The beginning of a text that somebody else wrote, escaped.
fn quoted(text: &str, characters: usize) -> String {
    let shown: String = text.chars().take(characters).collect();
    let more = if shown.len() < text.len() { "..." } else { "" };
    format!("{}{more}", Escaped::new(shown.as_bytes()))
}

/// The name of a segment's file, as an archiver makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The number of the segment: at most ten digits.
    pub seq: u64,
    pub(super) kind: Kind,
}

/// What a segment's file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Sealed,
    Tail,
    /// With the front of its SHA-256.
    Fork([u8; 8]),
}

impl Name {
    /// Of a segment that is no fork.
    pub fn of(seq: u64, state: State) -> Self {
        let kind = match state {
            State::Sealed => Kind::Sealed,
            State::Tail => Kind::Tail,
        };
        Self { seq, kind }
    }

    /// Of a fork with this SHA-256.
    pub(super) fn fork(seq: u64, sha256: &[u8; 32]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *sha256;
        let kind = Kind::Fork([a, b, c, d, e, f, g, h]);
        Self { seq, kind }
    }

    /// The first of all names of that segment, in their order.
    pub(super) fn first_of(seq: u64) -> Self {
        let kind = Kind::Sealed;
        Self { seq, kind }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        let seq = parse_file_name(name)?.seq;
        let kind = match name.strip_suffix(".zst")?.get(10..)? {
            "" => Kind::Sealed,
            ".tail" => Kind::Tail,
            fork => {
                let digest = Digest::from_hex(fork.strip_prefix(".fork-")?)?;
                Kind::Fork(digest.as_bytes().try_into().ok()?)
            }
        };
        // it can be written in one way only
        let parsed = Self { seq, kind };
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, kind } = self;
        match kind {
            Kind::Sealed => write!(f, "{seq:010}.zst"),
            Kind::Tail => write!(f, "{seq:010}.tail.zst"),
            Kind::Fork(digest) => write!(f, "{seq:010}.fork-{}.zst", Digest::new(digest)),
        }
    }
}

/// What the name of a file says, whoever made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileName {
    pub(crate) seq: u64,
    pub(crate) fork: bool,
}

/// Does it look like the name of a segment's file?
pub(super) fn looks_like_segment(name: &str) -> bool {
    parse_file_name(name).is_some()
}

/// Is it a name of a segment's file, or looks like one?
pub(crate) fn parse_file_name(name: &str) -> Option<FileName> {
    let (seq, kind) = name.strip_suffix(".zst")?.split_at_checked(10)?;
    if !seq.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fork = kind.starts_with(".fork-");
    let known = kind.is_empty() || kind == ".tail" || fork;
    known.then_some(FileName {
        seq: seq.parse().ok()?,
        fork,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        let id = "0123456789abcdef0123456789abcdef";
        Meta::new("host.example", id, 7, State::Sealed, ByteOrder::Little)
    }

    #[test]
    fn names() {
        let mut meta = meta();
        assert_eq!(meta.file_name(), "0000000007.zst");
        meta.state = State::Tail;
        assert_eq!(meta.file_name(), "0000000007.tail.zst");
        meta.fork = true;
        assert_eq!(meta.file_name(), "0000000007.fork-0000000000000000.zst");
        let parsed = parse_file_name(&meta.file_name());
        assert_eq!(parsed, Some(FileName { seq: 7, fork: true }));
        for other in [
            "index",
            "0000000007.zst.1",
            "7.zst",
            "00000000+7.zst",
            "0000000007.x.zst",
        ] {
            assert_eq!(parse_file_name(other), None, "{other}");
        }
    }

    #[test]
    fn names_of_an_archiver() {
        for name in [
            "0000000007.zst",
            "9999999999.tail.zst",
            "0000000007.fork-81a582e20c942308.zst",
        ] {
            let parsed = Name::parse(name);
            assert_eq!(
                parsed.map(|parsed| parsed.to_string()).as_deref(),
                Some(name)
            );
        }
        for name in [
            "0000000007.fork-81A582E20C942308.zst",
            "0000000007.fork-81a582e20c9423.zst",
            "0000000007.fork-\u{1b}.zst",
            "index",
        ] {
            assert_eq!(Name::parse(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_quoted_is_escaped_and_short() {
        let json = serde_json::to_string(&meta()).unwrap_or_default();
        let bad = format!("\u{1b}[2J{}", "x".repeat(60_000));
        let escaped = serde_json::to_string(&bad).unwrap_or_default();
        let raw = format!("\"{bad}\"");
        for bad in [escaped, raw] {
            for known in ["\"sealed\"", "\"ima-checkpoint/segment/1\""] {
                let changed = json.replacen(known, &bad, 1);
                assert_ne!(changed, json);
                let text = Meta::parse(changed.as_bytes(), "0000000007.zst").unwrap_err();
                assert!(!text.contains('\u{1b}') && text.len() < 300, "{text}");
            }
        }
    }

    #[test]
    fn numbers_at_their_limits() {
        let json = serde_json::to_string(&meta()).unwrap_or_default();
        let with = |from: &str, to: &str| {
            let changed = json.replacen(from, to, 1);
            assert_ne!(changed, json, "{from}");
            Meta::parse(changed.as_bytes(), "0000000007.zst").is_ok()
        };
        assert!(with("\"first\":0", "\"first\":18446744073709551615"));
        for (key, bad) in [
            ("seq\":7", "seq\":7.0"),
            ("seq\":7", "seq\":7e0"),
            ("seq\":7", "seq\":10000000007"),
            ("seq\":7", "seq\":-7"),
            ("records\":0", "records\":9223372036854775808"),
            ("bytes\":0", "bytes\":18446744073709551616"),
            ("generation\":0", "generation\":4294967296"),
        ] {
            assert!(!with(key, bad), "{bad}");
        }
    }

    #[test]
    fn there_and_back() {
        let meta = meta();
        let json = serde_json::to_vec(&meta).unwrap_or_default();
        assert_eq!(Meta::parse(&json, "0000000007.zst"), Ok(meta));
        let wrong = Meta::parse(&json, "0000000008.zst");
        assert!(wrong.is_err_and(|text| text.contains("0000000007.zst")));
    }

    #[test]
    fn malformed() {
        let json = serde_json::to_string(&meta()).unwrap_or_default();
        for (from, to) in [
            ("segment/1", "segment/2"),
            ("host.example", "../example"),
            ("\"0123", "\"012"),
            ("\"0123", "\"012G"),
            ("0000\",\"byte", "00\",\"byte"),
            ("\"first\":0", "\"first\":18446744073709551615,\"x\":0"),
            ("\"records\":0", "\"records\":1"),
            ("\"records\":0", "\"records\":-1"),
            ("little", "middle"),
        ] {
            let changed = json.replacen(from, to, 1);
            assert_ne!(changed, json, "{from}");
            let changed = match from {
                // only wrong together with a record
                "\"first\":0" => changed
                    .replace("\"records\":0", "\"records\":1")
                    .replace("\"bytes\":0", "\"bytes\":1"),
                _ => changed,
            };
            assert!(
                Meta::parse(changed.as_bytes(), "0000000007.zst").is_err(),
                "{changed}"
            );
        }
    }
}
