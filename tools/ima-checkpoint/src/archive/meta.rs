// SPDX-License-Identifier: GPL-2.0

//! What a file of the archive says of itself, and how it is named.

use super::{
    is_host,
    is_log_id, //
};
use crate::bank::Digest;
use ima_checkpoint_format::ByteOrder;
use serde::{
    Deserialize,
    Serialize, //
};

const FORMAT: &str = "ima-checkpoint/segment/1";

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
        let seq = self.seq;
        if self.fork {
            let digest = self.sha256.to_string();
            let digest = digest.get(..16).unwrap_or_default();
            return format!("{seq:010}.fork-{digest}.zst");
        }
        match self.state {
            State::Sealed => format!("{seq:010}.zst"),
            State::Tail => format!("{seq:010}.tail.zst"),
        }
    }

    /// Reads the metadata of a file, or says what is wrong with them.
    pub(crate) fn parse(json: &[u8], file_name: &str) -> Result<Self, String> {
        let mut meta: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        meta.fork = parse_file_name(file_name).is_some_and(|name| name.fork);
        if meta.format != FORMAT {
            return Err(format!("the format is {:?}, not {FORMAT}", meta.format));
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

/// What the name of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileName {
    pub(crate) seq: u64,
    pub(crate) fork: bool,
}

/// Is it the name of a segment's file?
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
