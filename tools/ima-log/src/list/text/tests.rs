// SPDX-License-Identifier: GPL-2.0

use super::*;
use crate::list::detect;
use ima_checkpoint_format::{
    ascii::{write_ascii, Sink},
    record::NewRecord,
    ByteOrder,
};

struct Text(Vec<u8>);

impl Sink for Text {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

const D_NG: &[u8] = b"sha256:\0\x0a\xff";

/// A record of each template that IMA has, and of some formats.
const SAMPLES: [(&str, &[&[u8]]); 15] = [
    ("ima", &[&[0x44; 20], b"/bin/sh\0"]),
    ("ima", &[&[0x44; 20], b"/with a blank (deleted)\0"]),
    ("ima-ng", &[D_NG, b"/bin/sh\0"]),
    ("ima-ng", &[D_NG, b"/with  a blank \xff\xfe\0"]),
    ("ima-ng", &[b"", b"\0"]),
    ("ima-sig", &[D_NG, b"/bin/sh\0", b"\x03\x02\x04"]),
    ("ima-sig", &[D_NG, b"/with a blank\0", b""]),
    ("ima-ngv2", &[b"verity:sha256:\0\x0a", b"/bin/sh\0"]),
    ("ima-sigv2", &[b"ima:sha1:\0\x0a", b"/bin/sh\0", b"\x03"]),
    ("ima-buf", &[D_NG, b".ima/checkpoint\0", b"IMA-CKPT"]),
    (
        "ima-modsig",
        &[D_NG, b"/m.ko\0", b"\x03", b"sha1:\0\x0b", b"0"],
    ),
    ("ima-modsig", &[D_NG, b"/m .ko\0", b"", b"", b""]),
    (
        "evm-sig",
        &[
            D_NG,
            b"/bin/sh\0",
            b"\x05",
            b"security.ima|security.selinux\0",
            b"\x04\0\0\0\x05\0\0\0",
            b"123456789",
            b"\0\0\0\0",
            b"\xe8\x03\0\0",
            b"\xed\x81",
        ],
    ),
    ("d|n", &[b"D", b"/bin/sh\0"]),
    ("n-ng|d-ng|imode", &[b"/a b\0", D_NG, b"\x07\0"]),
];

fn layout(bank: Bank, order: ByteOrder, padded: bool) -> Layout {
    Layout {
        bank,
        order,
        padded,
        ascii: true,
    }
}

/// A record of a binary list. Numbers in the fields are little-endian.
fn record(layout: Layout, template: &str, fields: &[&[u8]]) -> Vec<u8> {
    let new = |digest| NewRecord {
        pcr: 10,
        digest,
        template_name: template.as_bytes(),
        fields: fields.iter().copied(),
        order: layout.order,
    };
    let mut out = vec![0; 1 << 16];
    let zeros = vec![0; layout.bank.size()];
    let length = new(&zeros).encode(&mut out).expect("a record");
    let (parsed, _) = Record::parse(&out[..length], zeros.len(), layout.order).expect("a record");
    let mut input = Vec::new();
    parsed.digest_input(|piece| input.extend_from_slice(piece));
    let hash = if layout.padded {
        Bank::Sha1
    } else {
        layout.bank
    };
    let mut digest = hash.hash(&[&input]).as_bytes().to_vec();
    digest.resize(zeros.len(), 0);
    new(&digest).encode(&mut out).expect("a record");
    out.truncate(length);
    out
}

/// The line of a record, as the kernel's files show it.
fn line(layout: Layout, record: &[u8]) -> Vec<u8> {
    let size = layout.bank.size();
    let (record, _) = Record::parse_any(record, size, layout.order).expect("a record");
    let mut text = Text(Vec::new());
    write_ascii(&record, record.digest(), &mut text);
    text.0
}

/// The binary list that is in a text.
fn binary(text: &[u8], layout: Layout) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let read = Binary::new(text, layout).read_to_end(&mut out);
    read.map_err(|error| error.to_string())?;
    Ok(out)
}

const SHA1: fn() -> Layout = || layout(Bank::Sha1, ByteOrder::Little, false);

#[test]
fn every_template_and_bank() {
    for (bank, padded) in Bank::ALL.map(|bank| (bank, bank == Bank::Sha3_384)) {
        let layout = layout(bank, ByteOrder::Little, padded);
        let all = SAMPLES.map(|(template, fields)| record(layout, template, fields));
        let text: Vec<u8> = all.iter().flat_map(|one| line(layout, one)).collect();
        assert_eq!(binary(&text, layout), Ok(all.concat()), "{bank}");
        assert!(is_list(&text));
    }
}

#[test]
fn both_byte_orders_are_detected() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let layout = layout(Bank::Sha256, order, false);
        let all = [
            record(layout, "ima-ng", &[D_NG, b"/a\0"]),
            record(layout, "iuid|n-ng", &[&order.put_u32(1000), b"/b\0"]),
        ];
        let text: Vec<u8> = all.iter().flat_map(|one| line(layout, one)).collect();
        assert_eq!(detect::layout(&text, None, None), layout);
        let (found, mut source) = detect::detect(&*text, None, None).expect("it can be read");
        assert_eq!(found, layout);
        let mut out = Vec::new();
        source.read_to_end(&mut out).expect("it can be read");
        assert_eq!(out, all.concat());
    }
}

/// What mail programs and terminals do to a text.
#[test]
fn what_may_be_lost_on_the_way() {
    let one = record(SHA1(), "ima-ng", &[D_NG, b"/a\0"]);
    let two = record(SHA1(), "ima-sig", &[D_NG, b"/b\0", b""]);
    let three = record(SHA1(), "ima-modsig", &[D_NG, b"/c d\0", b"", b"", b""]);
    let wanted = [one.clone(), two.clone(), three.clone()].concat();
    let lines = [&one, &two, &three].map(|one| line(SHA1(), one));
    let text = String::from_utf8(lines.concat()).expect("text");
    let trimmed: Vec<&str> = text.lines().map(str::trim_end).collect();
    for text in [
        text.replace('\n', "\r\n"),
        trimmed.join("\n"),
        trimmed.join("\r\n"),
        text.replace("\n10", "\n\n    10"),
        format!("\n{text}\n\n"),
    ] {
        assert_eq!(
            binary(text.as_bytes(), SHA1()),
            Ok(wanted.clone()),
            "{text}"
        );
    }
}

/// A file may be called as anybody likes: its lines are no records if the digest says so.
#[test]
fn newlines_in_names() {
    let evil = line(SHA1(), &record(SHA1(), "ima-ng", &[D_NG, b"/evil\0"]));
    let evil = evil.trim_ascii();
    let before = record(SHA1(), "ima-ng", &[D_NG, b"/before\0"]);
    let after = record(SHA1(), "ima-ng", &[D_NG, b"/after\0"]);
    for name in [
        b"/a\nb".to_vec(),
        b"/a\n\n\nb".to_vec(),
        b"/a\n".to_vec(),
        b"\n".to_vec(),
        [b"/a\n", evil].concat(),
        [b"/a\n", evil, b"\n", evil, b"\nb"].concat(),
        b"/a\r".to_vec(),
    ] {
        for (template, rest) in [("ima-ng", None), ("ima-sig", Some(b"\x03".as_slice()))] {
            let name = [&name[..], b"\0"].concat();
            let fields: Vec<&[u8]> = [D_NG, &name].into_iter().chain(rest).collect();
            let all = [
                before.clone(),
                record(SHA1(), template, &fields),
                after.clone(),
            ];
            let text: Vec<u8> = all.iter().flat_map(|one| line(SHA1(), one)).collect();
            assert_eq!(binary(&text, SHA1()), Ok(all.concat()), "{name:?}");
        }
    }
}

/// Whatever the text is: the record has the digest of its line.
#[test]
fn what_does_not_fit_keeps_its_digest() {
    let whole = record(SHA1(), "ima-sig", &[D_NG, b"/\xc3\xa4\0", b"\x03\x02"]);
    let text = String::from_utf8(line(SHA1(), &whole)).expect("text");
    for (from, to, name) in [
        ("\u{e4}", "\u{fffd}", "/\u{fffd}"),
        ("0302", "03", "/\u{e4}"),
        ("0302", "03x2", "/\u{e4} 03x2"),
        ("sha256:0aff", "sha256:0a", "/\u{e4}"),
        ("sha256:0aff", "sha256:0af", "sha256:0af /\u{e4} 0302"),
        (
            "sha256:0aff /",
            "sha256:0aff\n/",
            "sha256:0aff\n/\u{e4} 0302",
        ),
    ] {
        let changed = binary(text.replace(from, to).as_bytes(), SHA1()).expect("it is a list");
        let (record, length) = Record::parse(&changed, 20, ByteOrder::Little).expect("a record");
        assert_eq!((record.digest(), length), (&whole[4..24], changed.len()));
        assert_eq!(record.event_name(), Some(name.as_bytes()));
        assert!(may_be_lossy(&record), "{to}");
    }
}

/// Digits and plain names come through every text.
#[test]
fn what_can_be_lossy() {
    let is_lossy = |template, fields: &[&[u8]]| {
        let record = record(SHA1(), template, fields);
        let (record, _) = Record::parse_any(&record, 20, ByteOrder::Little).expect("a record");
        may_be_lossy(&record)
    };
    for (template, fields) in SAMPLES {
        let plain = !fields
            .iter()
            .any(|field| field.contains(&b' ') || **field == [0]);
        assert_eq!(is_lossy(template, fields), !plain, "{template} {fields:?}");
    }
    for lossy in ["/??", "/\\xc3\\xa4", "/\u{e4}", "", "/a b", "/a\tb"] {
        let name = format!("{lossy}\0");
        assert!(is_lossy("ima-ng", &[D_NG, name.as_bytes()]), "{lossy}");
    }
    let md5 = [[0x44; 16].as_slice(), &[0; 4]].concat();
    assert!(is_lossy("ima", &[&md5, b"/a\0"]));
}

/// What other kernels have in their templates is not known, but often what it looks like.
#[test]
fn unknown_templates() {
    let mut data = Vec::new();
    for field in [&b"swapper/0\0"[..], b"/\0", D_NG, b"/bin/sh\0"] {
        data.extend(ByteOrder::Little.put_u32(field.len() as u32));
        data.extend(field);
    }
    let digest = Bank::Sha1.hash(&[&data]);
    let text = format!("10 {digest} ima-cgpath swapper/0 / sha256:0aff /bin/sh\n");
    let parsed = |text: &str| {
        let made = binary(text.as_bytes(), SHA1()).expect("it is a list");
        let (record, _) = Record::parse_any(&made, 20, ByteOrder::Little).expect("a record");
        assert_eq!(record.digest(), digest.as_bytes());
        record.data().to_vec()
    };
    assert_eq!(parsed(&text), data);
    assert_ne!(parsed(&text.replace("sha256:0aff", "0aff")), data);
    parsed(&text.replace("/ sha256", "sha256"));
    parsed(&format!("10 {digest} ima-cgpath\n"));
}

#[test]
fn violations() {
    let zeros = Bank::Sha1.zeros();
    let d_ng = format!("sha256:{}", Bank::Sha256.zeros());
    let after = record(SHA1(), "ima-ng", &[D_NG, b"/after\0"]);
    let end = String::from_utf8(line(SHA1(), &after)).expect("text");
    for name in ["/var/log/a", "/a b", "/a\nb", "/a\n\nb"] {
        let text = format!("10 {zeros} ima-ng {d_ng} {name}\n{end}");
        let made = binary(text.as_bytes(), SHA1()).expect("it is a list");
        let (record, length) = Record::parse(&made, 20, ByteOrder::Little).expect("a record");
        assert!(record.is_violation());
        assert_eq!(record.event_name(), Some(name.as_bytes()));
        assert_eq!(made[length..], after);
        assert_eq!(may_be_lossy(&record), name != "/var/log/a");
    }
}

#[test]
fn what_is_refused() {
    let good = String::from_utf8(line(SHA1(), &record(SHA1(), "ima-ng", &[D_NG, b"/a\0"])));
    let good = good.expect("text");
    let sha256 = "ab".repeat(32);
    for (text, wanted) in [
        (
            format!("{good}{good}$ exit\n"),
            "line 3: this is not a record",
        ),
        (
            format!("{good}\n[...]\n{good}"),
            "line 3: this is not a record",
        ),
        (
            format!("{good}10 {sha256} ima-ng sha256:00 /a\n"),
            "line 2: the template digest does not have 20 bytes, as those of sha1",
        ),
        (
            format!("10 {} ima 00 {}\n", "ab".repeat(20), "x".repeat(256)),
            "line 1: this is not a record",
        ),
    ] {
        let said = binary(text.as_bytes(), SHA1()).err().unwrap_or_default();
        assert!(said.starts_with(wanted), "{said}");
    }
    // and what came before is given first
    let mut out = Vec::new();
    let text = format!("{good}{good}x\n");
    let mut source = Binary::new(text.as_bytes(), SHA1());
    assert!(source.read_to_end(&mut out).is_err());
    assert!(source.read(&mut [0; 1]).is_err());
    assert_eq!(
        out.len(),
        2 * record(SHA1(), "ima-ng", &[D_NG, b"/a\0"]).len()
    );
}

#[test]
fn what_is_a_list() {
    for text in [
        format!("10 {} ima-ng sha1:00 /a\n", "ab".repeat(20)),
        format!("\n\n 9 {} x", "AB".repeat(64)),
    ] {
        assert!(is_list(text.as_bytes()), "{text}");
    }
    for text in ["", "10", "10 00 ima-ng", "Nov 26 12:00 host kernel: ima: x"] {
        assert!(!is_list(text.as_bytes()), "{text}");
    }
    assert!(!is_list(&record(SHA1(), "ima-ng", &[D_NG, b"/a\0"])));
}

/// Lines that look as if they went on, and never do, are not read again without end.
#[test]
fn what_somebody_wrote_to_make_it_slow() {
    let start = std::time::Instant::now();
    let text = format!("10 {} ima-ng sha1:00 /a\n", "ab".repeat(20)).repeat(20_000);
    let made = binary(text.as_bytes(), SHA1()).expect("it is a list");
    assert_eq!(made.len(), 20_000 * (4 + 20 + 10 + 4 + 11 + 7));
    assert!(start.elapsed().as_secs() < 30);
}
