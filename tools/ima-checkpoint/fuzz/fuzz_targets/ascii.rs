// SPDX-License-Identifier: GPL-2.0

//! Lists in ASCII: whatever a text is, it is read as records; and the text of a record as that record.

#![no_main]

#[path = "../mend.rs"]
mod mend;

use ima_checkpoint::{
    bank::Bank,
    detect::{self, matches, Layout},
    records::{Position, Records},
    text,
};
use ima_checkpoint_format::{
    ascii::{write_ascii, Sink},
    record::Record,
    template::Field,
    ByteOrder,
};
use libfuzzer_sys::fuzz_target;
use std::io::{self, Read};

/// Longest record whose text is read again: what is after a name must be within what is looked ahead.
const MAX_RECORD: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let found = detect::layout(bytes, None, None);
    let other = Layout {
        order: ByteOrder::Big,
        bank: Bank::Sha256,
        padded: true,
        ..found
    };
    for layout in [found, other] {
        let whole = binary(bytes, layout);
        assert_eq!(whole, binary(Slowly(bytes), layout));
        is_list(&whole.0, layout);
    }
    let list = mend::list(bytes);
    let mut layout = detect::layout(&list, None, None);
    layout.ascii = true;
    let mut rest = list.as_slice();
    while let Ok((record, length)) = Record::parse_any(rest, layout.bank.size(), layout.order) {
        if is_plain(&record, length) && matches(&record, layout) {
            let (read, error) = binary(text_of(&record).as_slice(), layout);
            assert_eq!(error, None);
            assert_eq!(read, &rest[..length]);
        }
        rest = &rest[length..];
    }
});

/// Gives a few bytes at a time.
struct Slowly<'a>(&'a [u8]);

impl Read for Slowly<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let some = out.len().min(61);
        self.0.read(&mut out[..some])
    }
}

/// The binary list that is in a text, and why it ends where it does.
fn binary(source: impl Read, layout: Layout) -> (Vec<u8>, Option<String>) {
    let mut out = Vec::new();
    let read = text::Binary::new(source, layout).read_to_end(&mut out);
    (out, read.err().map(|error| error.to_string()))
}

/// Whatever was in the text, these are records.
fn is_list(list: &[u8], layout: Layout) {
    let mut records = Records::new(list, layout.bank.size(), layout.order, Position::default());
    while let Some(entry) = records.next().expect("whole records") {
        text::may_be_lossy(&entry.record);
    }
}

/// Does the text of a record have all of it? Only such records are made by kernels.
fn is_plain(record: &Record<'_>, length: usize) -> bool {
    let template = record.template();
    let fields = template.fields().iter().zip(record.fields());
    let names = template.fields().iter();
    let names = names.filter(|field| matches!(field, Field::Name | Field::NameNg));
    let several = names.count() != 1;
    let legacy = template.is_legacy();
    length <= MAX_RECORD
        && template.is_known()
        && !record.is_violation()
        && fields.into_iter().all(|(field, data)| match field {
            Field::Name | Field::NameNg => {
                let name = if legacy {
                    Some(data)
                } else {
                    data.strip_suffix(b"\0")
                };
                let newlines = data.iter().filter(|byte| **byte == b'\n').count();
                let blank = data.contains(&b' ') && several;
                name.is_some_and(|name| !name.contains(&0)) && newlines < 16 && !blank
            }
            Field::DigestNg | Field::DigestNgV2 | Field::DigestModsig => {
                let end = data.iter().position(|byte| *byte == 0);
                let algorithm = end.and_then(|end| data[..end].strip_suffix(b":"));
                data.is_empty()
                    || algorithm.is_some_and(|name| name.iter().all(u8::is_ascii_graphic))
            }
            Field::XattrNames => {
                let names = data.strip_suffix(b"\0").unwrap_or(b" ");
                data.is_empty() || !names.is_empty() && names.iter().all(u8::is_ascii_graphic)
            }
            Field::Uid | Field::Gid => [0, 4].contains(&data.len()),
            Field::Mode => [0, 2].contains(&data.len()),
            _ => true,
        })
}

struct Text(Vec<u8>);

impl Sink for Text {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

fn text_of(record: &Record<'_>) -> Vec<u8> {
    let mut text = Text(Vec::new());
    write_ascii(record, record.digest(), &mut text);
    text.0
}
