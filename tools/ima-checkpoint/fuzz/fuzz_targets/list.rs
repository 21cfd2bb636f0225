// SPDX-License-Identifier: GPL-2.0

//! A measurement list, however it is read: in one piece or in small ones, shown, written again.

#![no_main]

#[path = "../mend.rs"]
mod mend;

use ima_checkpoint::{
    bank::Bank,
    detect,
    inspect::Style,
    records::{Entry, Fault, Position, Records},
};
use ima_checkpoint_format::{ascii, record::NewRecord, ByteOrder};
use libfuzzer_sys::fuzz_target;
use std::io::{self, Read};

fuzz_target!(|bytes: &[u8]| {
    let list = mend::list(bytes);
    for list in [bytes, &list] {
        let layout = detect::layout(list, None, None);
        let whole = read(list, layout.bank, layout.order, |entry| {
            examine(entry, layout.bank);
        });
        let slow = read(Slowly(list), layout.bank, layout.order, |_| ());
        assert_eq!(whole, slow);
        for bank in [Bank::Sha1, Bank::Sha256, Bank::Sha384, Bank::Sha512] {
            read(list, bank, ByteOrder::Little, |entry| written_again(entry));
            read(list, bank, ByteOrder::Big, |entry| written_again(entry));
        }
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

/// Where the list ends, and whether it does so as it should.
fn read(
    source: impl Read,
    bank: Bank,
    order: ByteOrder,
    mut each: impl FnMut(&Entry<'_>),
) -> (Position, Option<String>) {
    let mut records = Records::new(source, bank.size(), order, Position::default());
    let mut before = Position::default();
    loop {
        match records.next() {
            Ok(Some(entry)) => {
                assert_eq!(entry.at, before);
                before.record += 1;
                before.offset += entry.raw.len() as u64;
                each(&entry);
            }
            Ok(None) => return (records.position(), None),
            Err(Fault::Io(error)) => panic!("{error}"),
            Err(fault) => return (records.position(), Some(fault.to_string())),
        }
    }
}

/// What is shown is one line without anything that a terminal obeys, and loses nothing.
fn examine(entry: &Entry<'_>, bank: Bank) {
    let mut text = Vec::new();
    Style::Text
        .show(entry, bank, &mut text)
        .expect("a vector takes it");
    let text = String::from_utf8(text).expect("text");
    assert!(text.ends_with('\n'));
    assert!(text
        .lines()
        .flat_map(str::chars)
        .all(|shown| !shown.is_control()));

    let mut json = Vec::new();
    Style::Json
        .show(entry, bank, &mut json)
        .expect("a vector takes it");
    assert_eq!(json.iter().filter(|byte| **byte == b'\n').count(), 1);
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let shown = json["fields"].as_array().expect("fields").iter();
    let shown = shown.map(|field| field["hex"].as_str().expect("digits").len() / 2);
    assert!(shown.eq(entry.record.fields().map(<[u8]>::len)));
}

fn written_again(entry: &Entry<'_>) {
    let record = &entry.record;
    let mut line = Count(0);
    ascii::write_ascii(record, record.digest(), &mut line);
    assert_eq!(line.0, ascii::ascii_len(record, record.digest().len()));

    let new = NewRecord {
        pcr: record.pcr(),
        digest: record.digest(),
        template_name: record.template_name(),
        fields: record.fields(),
        order: record.order(),
    };
    let mut out = vec![0; entry.raw.len()];
    // the name in a legacy record ends at its NUL
    let cut =
        record.template().is_legacy() && record.fields().nth(1).is_some_and(|n| n.contains(&0));
    match new.encode(&mut out) {
        Ok(length) if cut => assert!(length < out.len()),
        Ok(length) => assert_eq!(&out[..length], entry.raw),
        Err(_) if !record.template().is_known() => (),
        Err(error) => panic!("{error}"),
    }
}

struct Count(u64);

impl ascii::Sink for Count {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len() as u64;
    }
}
