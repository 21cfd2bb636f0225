// SPDX-License-Identifier: GPL-2.0

//! A line as a record: the reverse of how the kernel shows one (`ima_template_lib.c`).

use crate::bank::Digest;
use ima_checkpoint_format::{
    template::{Field, Template, LEGACY_DIGEST_SIZE, LEGACY_MAX_EVENT_NAME, MAX_FIELDS, MAX_NAME},
    ByteOrder,
};

/// A line that has the form of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'t> {
    pcr: u32,
    digest: Digest,
    template: &'t [u8],
    /// What is after the name of the template.
    fields: &'t [u8],
}

/// Has a line the form of a record, whose template digest has so many bytes?
pub(super) fn is_record(line: &[u8], digest_size: usize) -> bool {
    Line::parse(line, digest_size).is_some()
}

impl<'t> Line<'t> {
    /// `PCR DIGEST TEMPLATE FIELDS`; what the fields are is not looked at.
    pub(super) fn parse(line: &'t [u8], digest_size: usize) -> Option<Self> {
        let (pcr, rest) = word(line.trim_ascii_start());
        let pcr = std::str::from_utf8(pcr).ok()?;
        // the kernel shows the PCR with a sign
        let pcr = pcr.parse::<i32>().ok()? as u32;
        let (digest, rest) = word(rest?);
        let digest = Digest::from_hex(std::str::from_utf8(digest).ok()?)?;
        let (template, fields) = word(rest?);
        let (template, fields) = match fields {
            Some(fields) => (template, fields),
            None => (template.strip_suffix(b"\r").unwrap_or(template), &[][..]),
        };
        let named = (1..=MAX_NAME).contains(&template.len());
        let named = named && template.iter().all(u8::is_ascii_graphic);
        (named && digest.as_bytes().len() == digest_size).then_some(Self {
            pcr,
            digest,
            template,
            fields,
        })
    }

    /// Is it a violation, whose template digest is of nothing?
    pub(super) fn is_violation(&self) -> bool {
        self.digest.is_zero()
    }

    /// Appends the record as the binary list has it; nothing if no binary list can have it.
    pub(super) fn encode(&self, order: ByteOrder, out: &mut Vec<u8>) {
        let template = Template::lookup(self.template).ok();
        let fields = match &template {
            Some(template) => known(template, self.fields, order),
            None => unknown(self.fields),
        };
        let is_legacy = template.is_some_and(|template| template.is_legacy());
        let mut data = Vec::new();
        for (number, field) in fields.iter().enumerate() {
            match (is_legacy, number) {
                (true, 0) => data.extend(legacy_digest(field)),
                (true, _) => {
                    let name = field.strip_suffix(b"\0").unwrap_or(field);
                    if name.len() > LEGACY_MAX_EVENT_NAME {
                        return;
                    }
                    put(name, order, &mut data);
                }
                (false, _) => put(field, order, &mut data),
            }
        }
        out.extend(order.put_u32(self.pcr));
        out.extend(self.digest.as_bytes());
        put(self.template, order, out);
        match is_legacy {
            true => out.extend(data),
            false => put(&data, order, out),
        }
    }
}

/// What comes before the first blank, and after it if there is one.
fn word(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let Some(blank) = text.iter().position(|byte| *byte == b' ') else {
        return (text, None);
    };
    (text.get(..blank).unwrap_or_default(), text.get(blank + 1..))
}

/// Appends bytes after their length.
fn put(bytes: &[u8], order: ByteOrder, out: &mut Vec<u8>) {
    // lines are bounded far below
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend(order.put_u32(length));
    out.extend_from_slice(bytes);
}

/// The digest of the oldest template always has room for SHA-1.
fn legacy_digest(digest: &[u8]) -> [u8; LEGACY_DIGEST_SIZE] {
    let mut out = [0; LEGACY_DIGEST_SIZE];
    for (to, from) in out.iter_mut().zip(digest) {
        *to = *from;
    }
    out
}

/// The fields of a template that IMA has. What cannot be told apart becomes the name.
fn known(template: &Template, text: &[u8], order: ByteOrder) -> Vec<Vec<u8>> {
    let fields = template.fields();
    let read = |words: Vec<&[u8]>| {
        let pairs = fields.iter().zip(words);
        let read = pairs.map(|(field, word)| read(*field, word, order));
        read.collect::<Option<Vec<_>>>()
    };
    let is_name = |field: &Field| matches!(field, Field::Name | Field::NameNg);
    let name = fields.iter().position(is_name);
    split(fields.len(), name, text)
        .and_then(read)
        .or_else(|| read(trimmed(fields.len(), name?, text)?))
        .unwrap_or_else(|| {
            let mut all = vec![Vec::new(); fields.len()];
            if let Some(slot) = all.get_mut(name.unwrap_or(0)) {
                *slot = [text, b"\0"].concat();
            }
            all
        })
}

/// Splits a text into the words of so many fields. The name may have blanks in it, which old kernels do
/// not replace.
fn split(count: usize, name: Option<usize>, text: &[u8]) -> Option<Vec<&[u8]>> {
    let blanks = text.iter().filter(|byte| **byte == b' ').count();
    let Some(surplus) = (blanks + 1).checked_sub(count) else {
        // blanks at the end of a line are easily lost
        let mut words: Vec<&[u8]> = text.split(|byte| *byte == b' ').collect();
        words.resize(count, &[]);
        return Some(words);
    };
    if surplus == 0 {
        return Some(text.split(|byte| *byte == b' ').collect());
    }
    let name = name?;
    let after = count.checked_sub(name + 1)?;
    let mut words: Vec<&[u8]> = text.splitn(name + 1, |byte| *byte == b' ').collect();
    let rest = words.pop()?;
    let mut last: Vec<&[u8]> = rest.rsplitn(after + 1, |byte| *byte == b' ').collect();
    words.extend(last.pop());
    words.extend(last.into_iter().rev());
    Some(words)
}

/// The same, if all fields after the name are empty, and their blanks were lost.
fn trimmed(count: usize, name: usize, text: &[u8]) -> Option<Vec<&[u8]>> {
    let mut words: Vec<&[u8]> = text.splitn(name + 1, |byte| *byte == b' ').collect();
    if words.len() != name + 1 {
        return None;
    }
    words.resize(count, &[]);
    Some(words)
}

/// The data of a field that is shown like this.
fn read(field: Field, text: &[u8], order: ByteOrder) -> Option<Vec<u8>> {
    match field {
        Field::Name | Field::NameNg => Some([text, b"\0"].concat()),
        _ if text.is_empty() => Some(Vec::new()),
        Field::XattrNames => Some([text, b"\0"].concat()),
        Field::DigestNg | Field::DigestNgV2 | Field::DigestModsig => digest(text),
        Field::Uid | Field::Gid => {
            let number = std::str::from_utf8(text).ok()?.parse().ok()?;
            Some(order.put_u32(number).to_vec())
        }
        Field::Mode => {
            let number = std::str::from_utf8(text).ok()?.parse().ok()?;
            Some(order.put_u16(number).to_vec())
        }
        Field::Digest
        | Field::Signature
        | Field::Buffer
        | Field::Modsig
        | Field::EvmSignature
        | Field::XattrLengths
        | Field::XattrValues
        | Field::Unknown => hex(text),
    }
}

/// `ALGORITHM:DIGITS`. In the data a NUL is after the colon.
fn digest(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.iter().rposition(|byte| *byte == b':').map(|at| at + 1);
    let (algorithm, digits) = text.split_at_checked(digits.unwrap_or(0))?;
    let algorithm = if algorithm.is_empty() {
        b":"
    } else {
        algorithm
    };
    let digest = hex(digits)?;
    Some([algorithm, b"\0", &digest].concat())
}

/// The bytes of hexadecimal digits.
fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(value(*high)? << 4 | value(*low)?),
        _ => None,
    });
    pairs.collect()
}

/// The fields of another template. If all of it is digits, it is `cat` that wrote them; else these are
/// digests where they look like some, and names. Their number is only a guess, too.
fn unknown(text: &[u8]) -> Vec<Vec<u8>> {
    let words = || text.splitn(MAX_FIELDS, |byte| *byte == b' ');
    if let Some(fields) = words().map(hex).collect() {
        return fields;
    }
    let guess = |word: &[u8]| match word.contains(&b':').then(|| digest(word)) {
        Some(Some(digest)) if !word.ends_with(b":") => digest,
        _ if word.is_empty() => Vec::new(),
        _ => [word, b"\0"].concat(),
    };
    words().map(guess).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(count: usize, name: usize, text: &str) -> Vec<String> {
        let words = split(count, Some(name), text.as_bytes()).unwrap_or_default();
        let shown = words.into_iter().map(String::from_utf8_lossy);
        shown.map(|word| word.into_owned()).collect()
    }

    #[test]
    fn names_with_blanks() {
        assert_eq!(words(2, 1, "d /a b (deleted)"), ["d", "/a b (deleted)"]);
        assert_eq!(words(3, 1, "d /a b 00"), ["d", "/a b", "00"]);
        assert_eq!(words(3, 1, "d /a b "), ["d", "/a b", ""]);
        assert_eq!(words(5, 1, "d /a   "), ["d", "/a", "", "", ""]);
        assert_eq!(words(5, 1, "d /a"), ["d", "/a", "", "", ""]);
        assert_eq!(words(2, 0, "/a b d"), ["/a b", "d"]);
    }

    #[test]
    fn digests() {
        for (text, data) in [
            ("sha256:0aff", Some(&b"sha256:\0\x0a\xff"[..])),
            ("verity:sha256:0a", Some(b"verity:sha256:\0\x0a")),
            ("0a", Some(b":\0\x0a")),
            ("sha1:", Some(b"sha1:\0")),
            ("sha1:0", None),
            ("sha1:+1", None),
            ("sha1", None),
        ] {
            assert_eq!(digest(text.as_bytes()).as_deref(), data, "{text}");
        }
    }

    #[test]
    fn what_is_a_record() {
        let digest = "0aF1".repeat(10);
        for (line, right) in [
            (format!("10 {digest} ima-ng sha1:00 /a"), true),
            (format!(" 9 {digest} ima-ng"), true),
            (format!("\t10 {digest} d-ng|n-ng x\r"), true),
            (format!("-1 {digest} ima-ng x"), true),
            (format!("10 {digest}"), false),
            (format!("10 {digest}00 ima-ng x"), false),
            (format!("10  {digest} ima-ng x"), false),
            (format!("10 {digest}  x"), false),
            (format!("99999999999 {digest} ima-ng x"), false),
            (format!("10 {digest} im\u{e4} x"), false),
            (format!("{digest} ima-ng x"), false),
            (String::new(), false),
        ] {
            assert_eq!(is_record(line.as_bytes(), 20), right, "{line}");
        }
    }
}
