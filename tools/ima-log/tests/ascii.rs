// SPDX-License-Identifier: GPL-2.0

//! Lists in ASCII: the same verdict as that of the binary list, unless the text cannot tell.

mod common;

use common::{
    d_ng,
    judge::{against, code, expect, host, judge, kinds, pcrs, quoted, standing, BANKS, SHA256},
    nul, Host, PCR,
};
use ima_checkpoint_format::{
    ascii::{write_ascii, Sink},
    record::Record,
    ByteOrder,
};
use ima_log::{
    bank::{Bank, Digest},
    list::{detect::detect, records::Records},
    replay::{Register, Values},
    verify::{
        finding::Kind,
        policy::Policy,
        verdict::{Outcome, Standing, Verdict},
        verify, Input, Layouts,
    },
};
use std::{error::Error, io::Read};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const SHA1: Register = Register {
    pcr: PCR,
    bank: Bank::Sha1,
};

struct Text(Vec<u8>);

impl Sink for Text {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// A binary list as the kernel shows it in ASCII.
fn ascii(mut list: &[u8], bank: Bank, order: ByteOrder) -> Result<Vec<u8>> {
    let mut text = Text(Vec::new());
    while !list.is_empty() {
        let parsed = Record::parse_any(list, bank.size(), order);
        let (record, length) = parsed.map_err(|error| error.to_string())?;
        write_ascii(&record, record.digest(), &mut text);
        list = &list[length..];
    }
    Ok(text.0)
}

/// A text in which one thing was exchanged for another, as often as it is there.
fn replaced(text: &[u8], from: &str, to: &str) -> Result<Vec<u8>> {
    let text = std::str::from_utf8(text)?;
    assert!(text.contains(from), "{text}");
    Ok(text.replace(from, to).into_bytes())
}

fn values(bank: Bank, held: &str) -> Result<Values> {
    let value = Digest::from_hex(held).ok_or("no digest")?;
    Ok(Values::from([(Register { pcr: PCR, bank }, value)]))
}

/// Lists of other kernels, with what their PCRs held as other programs computed it.
#[test]
fn lists_of_other_kernels() -> Result {
    for (list, view, bank, held, wanted) in [
        (
            include_bytes!("data/lists/violations.bin").as_slice(),
            Bank::Sha1,
            Bank::Sha256,
            "29c149aa527bf17cc1cc8d45e8698ce32864bd1b6f3a78bd97ed7a4f2b8788ce",
            0,
        ),
        (
            include_bytes!("data/lists/old-kernel-padded.bin"),
            Bank::Sha1,
            Bank::Sha256,
            "ab14452fe60e2da7cb243ab1a2c7e24fbb7b3143e4b3d2706ac3ce18ed02ba9c",
            3,
        ),
        (
            include_bytes!("data/lists/bank-without-hash-sha384view.bin"),
            Bank::Sha384,
            Bank::Sha256,
            "d580cc9e62f56ac9cad2c37c704a2179b25beeede49fbdf6310735ab443cc834",
            0,
        ),
        (
            include_bytes!("data/lists/buf-md5.bin"),
            Bank::Sha1,
            Bank::Sha256,
            "bbf0316f827c00b8524b181d1072a2f0bfd7df370e1cdd2b083188e50f1df056",
            0,
        ),
        (
            include_bytes!("data/lists/buf-streebog256.bin"),
            Bank::Sha1,
            Bank::Sha256,
            "ca8345bffed5fa2b14920e97b6b4c79e293f509c842bf5fc195b003f8ccd387e",
            0,
        ),
    ] {
        let text = ascii(list, view, ByteOrder::Little)?;
        let held = values(bank, held)?;
        for policy in [against(held.clone()), quoted(held)] {
            let verdict = judge(&[&text], &policy)?;
            let found = verdict.findings.kept();
            assert_eq!(code(&verdict), wanted, "{found:#?}");
            assert_eq!(kinds(&verdict), kinds(&judge(&[list], &policy)?));
        }
    }
    Ok(())
}

/// The oldest template, as somebody posted it.
#[test]
fn the_oldest_template() -> Result {
    let text: &[u8] = include_bytes!("data/lists/so-ima-template.ascii");
    let held = values(Bank::Sha1, "ce131cd5e5d9ba0f3f8b358d5208577db67f0e84")?;
    let mut policy = against(held);
    assert_eq!(code(&judge(&[text], &policy)?), 3);
    policy.allow_weak_bank = true;
    assert_eq!(code(&judge(&[text], &policy)?), 0);
    let changed = replaced(text, "/init", "/inix")?;
    expect(
        "changed",
        &judge(&[&changed], &policy)?,
        1,
        Kind::TemplateDigest,
    );
    Ok(())
}

/// What a vendor's fields look like is often what they are, but nobody can rely on that.
#[test]
fn a_template_of_a_vendor() -> Result {
    let list = include_bytes!("data/lists/vendor-template.bin");
    let held = "b45969d8ed6e60e69622c5b84139bc99a89654ea3006afe802dd21b34885090c";
    let policy = against(values(Bank::Sha256, held)?);
    let text = ascii_of_vendor(list)?;
    // a name with a blank: nothing tells that it is one field
    let verdict = judge(&[&text], &policy)?;
    expect("two words", &verdict, 3, Kind::AsciiUnchecked);
    let unchecked = verdict.findings.kept().iter();
    let mut unchecked = unchecked.filter(|found| found.kind == Kind::AsciiUnchecked);
    assert_eq!(unchecked.next().and_then(|found| found.record), Some(2));
    // its digests by Python's hashlib
    let held = "f1a39f18811147cc3f6f1724e9cddebf096bf910";
    let policy = strong(values(Bank::Sha1, held)?);
    let verdict = judge(&[&text], &policy)?;
    expect("the digests", &verdict, 3, Kind::AsciiUnchecked);
    assert_eq!(standing(&verdict, SHA1), Some(Standing::Verified));
    Ok(())
}

/// The kernel that has the template shows digests with their algorithm, and strings.
fn ascii_of_vendor(mut list: &[u8]) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    while !list.is_empty() {
        let parsed = Record::parse_any(list, 20, ByteOrder::Little);
        let (record, length) = parsed.map_err(|error| error.to_string())?;
        let digest = Digest::new(record.digest());
        let template = std::str::from_utf8(record.template_name())?;
        text.extend(format!("{} {digest} {template}", record.pcr()).bytes());
        for field in record.fields() {
            text.push(b' ');
            match field.strip_suffix(b"\0") {
                Some(name) => text.extend(name),
                None => {
                    let end = field
                        .iter()
                        .position(|byte| *byte == 0)
                        .ok_or("no digest")?;
                    text.extend(&field[..end]);
                    text.extend(Digest::new(&field[end + 1..]).to_string().bytes());
                }
            }
        }
        text.push(b'\n');
        list = &list[length..];
    }
    Ok(text)
}

/// Checkpoints are checked as in the binary list, with what they seal.
#[test]
fn checkpoints() -> Result {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let mut host = host()?;
        if order == ByteOrder::Big {
            host = Host::new(order, &BANKS);
            host.file(b"boot_aggregate", b"PCRs");
            host.checkpoint("first")?;
            host.file(b"/bin/a", b"a");
            host.checkpoint("second")?;
        }
        for bank in BANKS {
            let binary = host.view(bank)?;
            let text = ascii(&binary, bank, order)?;
            for policy in [against(pcrs(&host)), quoted(pcrs(&host))] {
                let (verdict, wanted) = (judge(&[&text], &policy)?, judge(&[&binary], &policy)?);
                assert_eq!(code(&verdict), 0, "{:#?}", verdict.findings.kept());
                assert_eq!(verdict.findings.kept(), wanted.findings.kept());
                assert_eq!(verdict.log.segments, wanted.log.segments);
                assert_eq!(verdict.log.bytes, wanted.log.bytes);
            }
        }
    }
    Ok(())
}

/// Parts of a log may be binary and in ASCII.
#[test]
fn files_of_both_kinds() -> Result {
    let host = host()?;
    let policy = against(pcrs(&host));
    let first = host.view_of(Bank::Sha256, 0..host.first_of(1))?;
    let rest = host.view_of(Bank::Sha1, host.first_of(1)..host.records.len())?;
    let text = ascii(&first, Bank::Sha256, host.order)?;
    assert_eq!(code(&judge(&[&text, &rest], &policy)?), 0);
    let text = ascii(&rest, Bank::Sha1, host.order)?;
    assert_eq!(code(&judge(&[&first, &text], &policy)?), 0);
    Ok(())
}

/// A host with a name that not every text shows as it is.
fn with_a_strange_name() -> Result<Host> {
    let mut host = Host::new(ByteOrder::Little, &BANKS);
    host.file(b"boot_aggregate", b"PCRs");
    host.file("/home/j\u{fc}rgen/a".as_bytes(), b"a");
    host.file(b"/bin/b", b"b");
    Ok(host)
}

/// The values of one bank.
fn only(host: &Host, bank: Bank) -> Values {
    let mut values = pcrs(host);
    values.retain(|register, _| register.bank == bank);
    values
}

fn strong(values: Values) -> Policy {
    Policy {
        allow_weak_bank: true,
        ..against(values)
    }
}

#[test]
fn a_name_that_was_not_shown_as_it_is() -> Result {
    let host = with_a_strange_name()?;
    for bank in BANKS {
        let text = ascii(&host.view(bank)?, bank, host.order)?;
        assert_eq!(code(&judge(&[&text], &against(pcrs(&host)))?), 0);
        let mangled = replaced(&text, "\u{fc}", "??")?;

        // its digests are proven in the bank of the view
        let policy = strong(only(&host, bank));
        let verdict = judge(&[&mangled], &policy)?;
        expect("the bank of the view", &verdict, 3, Kind::AsciiUnchecked);
        let register = Register { pcr: PCR, bank };
        assert_eq!(standing(&verdict, register), Some(Standing::Verified));
        let found = &verdict.findings.kept()[0];
        assert_eq!((found.record, found.uncovered), (Some(1), false));
        assert!(found
            .to_string()
            .starts_with("file 0: record 1: what it says cannot be"));

        // another bank cannot be replayed
        let other = if bank == Bank::Sha1 {
            Bank::Sha256
        } else {
            Bank::Sha1
        };
        for policy in [
            strong(only(&host, other)),
            Policy {
                allow_weak_bank: true,
                ..quoted(pcrs(&host))
            },
        ] {
            let verdict = judge(&[&mangled], &policy)?;
            expect("another bank", &verdict, 3, Kind::AsciiUnchecked);
            let bank = other;
            let register = Register { pcr: PCR, bank };
            assert_eq!(standing(&verdict, register), Some(Standing::Unanchored));
            assert!(!kinds(&verdict).contains(&Kind::Mismatch));
        }

        // without values, nothing is wrong
        assert_eq!(code(&judge(&[&mangled], &Policy::default())?), 3);

        // a digest that was changed is found out all the same
        let digit = if mangled[3] == b'0' { b'1' } else { b'0' };
        let second = mangled
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or("one line")?
            + 1;
        let mut changed = mangled.clone();
        changed[second + 3] = if changed[second + 3] == digit {
            b'2'
        } else {
            digit
        };
        let verdict = judge(&[&changed], &strong(only(&host, bank)))?;
        expect("a changed digest", &verdict, 1, Kind::Mismatch);

        // and so is a record that a text shows as it is
        let changed = replaced(&mangled, "/bin/b", "/bin/c")?;
        let verdict = judge(&[&changed], &strong(only(&host, bank)))?;
        expect("a plain name", &verdict, 1, Kind::TemplateDigest);
        let (d, e) = (Digest::new(&d_ng(b"b")[8..]), Digest::new(&d_ng(b"e")[8..]));
        let changed = replaced(&mangled, &d.to_string(), &e.to_string())?;
        let verdict = judge(&[&changed], &strong(only(&host, bank)))?;
        expect("a digest of a file", &verdict, 1, Kind::TemplateDigest);
    }
    Ok(())
}

/// What nothing covers influences nothing.
#[test]
fn behind_what_is_proven() -> Result {
    let mut host = with_a_strange_name()?;
    host.records.truncate(1);
    let policy = against(common::judge::pcrs(&common::judge::booted(&BANKS)));
    let host_of_all = with_a_strange_name()?;
    let text = ascii(&host_of_all.view(Bank::Sha1)?, Bank::Sha1, host.order)?;
    let verdict = judge(&[&replaced(&text, "\u{fc}", "?\u{fc}")?], &policy)?;
    expect("not covered", &verdict, 0, Kind::AsciiUnchecked);
    Ok(())
}

/// A checkpoint seals bytes that the text does not tell. It lets the replay of other banks go on.
#[test]
fn a_strange_name_before_checkpoints() -> Result {
    let mut host = with_a_strange_name()?;
    host.checkpoint("first")?;
    host.file(b"/bin/c", b"c");
    host.checkpoint("second")?;
    host.file(b"/bin/d", b"d");
    let text = ascii(&host.view(Bank::Sha1)?, Bank::Sha1, host.order)?;
    let mangled = replaced(&text, "\u{fc}", "??")?;
    let verdict = judge(&[&mangled], &against(only(&host, Bank::Sha256)))?;
    let found = verdict.findings.kept();
    assert!(
        !verdict.outcomes().contains(&Outcome::Tampered),
        "{found:#?}"
    );
    assert!(
        verdict.outcomes().contains(&Outcome::Unanchored),
        "{found:#?}"
    );
    let kinds: Vec<Kind> = found.iter().map(|found| found.kind).collect();
    assert!(kinds.contains(&Kind::AsciiSegment), "{found:#?}");
    assert_eq!(standing(&verdict, SHA256), Some(Standing::Partial));
    let verdict = judge(&[&mangled], &strong(only(&host, Bank::Sha1)))?;
    expect("the bank of the view", &verdict, 3, Kind::AsciiUnchecked);
    assert_eq!(standing(&verdict, SHA1), Some(Standing::Verified));
    Ok(())
}

/// What a violation names is claimed anyway; nothing else in its segment is hidden by that.
#[test]
fn a_strange_name_of_a_violation() -> Result {
    let mut host = Host::new(ByteOrder::Little, &BANKS);
    host.file(b"boot_aggregate", b"PCRs");
    host.violation("/var/log/\u{e4}".as_bytes());
    host.checkpoint("first")?;
    let text = ascii(&host.view(Bank::Sha1)?, Bank::Sha1, host.order)?;
    let policy = against(pcrs(&host));
    let verdict = judge(&[&text], &policy)?;
    assert_eq!(code(&verdict), 0);
    assert!(verdict.findings.kept().is_empty());
    let verdict = judge(&[&replaced(&text, "\u{e4}", "xx")?], &policy)?;
    expect("a plain name", &verdict, 1, Kind::SegmentDigest);
    let verdict = judge(&[&replaced(&text, "\u{e4}", "\u{fffd}")?], &policy)?;
    expect("it may have been lost", &verdict, 0, Kind::AsciiSegment);
    Ok(())
}

/// A file that is called like a record is none.
#[test]
fn a_name_that_looks_like_a_record() -> Result {
    let mut host = Host::new(ByteOrder::Little, &BANKS);
    host.file(b"boot_aggregate", b"PCRs");
    let first = ascii(&host.view(Bank::Sha1)?, Bank::Sha1, host.order)?;
    host.file(&[b"/a\n", first.trim_ascii(), b"\n/b"].concat(), b"a");
    host.append(
        b"ima-sig",
        vec![d_ng(b"c"), nul(b"/c\nd"), vec![3, 2]],
        false,
    );
    host.violation(b"/e\n\nf");
    host.file(b"/g", b"g");
    for bank in BANKS {
        let text = ascii(&host.view(bank)?, bank, host.order)?;
        let verdict = judge(&[&text], &against(pcrs(&host)))?;
        assert_eq!(code(&verdict), 0, "{:#?}", verdict.findings.kept());
        assert_eq!(verdict.end.record, 5);
    }
    Ok(())
}

#[test]
fn what_is_no_record() -> Result {
    let host = with_a_strange_name()?;
    let text = ascii(&host.view(Bank::Sha1)?, Bank::Sha1, host.order)?;
    let policy = against(pcrs(&host));
    let verdict = judge(&[&[&text[..], b"# exit\n"].concat()], &policy)?;
    // all that is covered came before
    expect("the prompt of a shell", &verdict, 0, Kind::Malformed);
    let middle = replaced(&text, "\n10", "\n[...]\n10")?;
    let verdict = judge(&[&middle], &policy)?;
    expect("something was left out", &verdict, 1, Kind::Malformed);
    let found = verdict.findings.kept();
    assert!(found[0]
        .to_string()
        .contains("line 2: this is not a record"));
    Ok(())
}

/// The data of the records that PCRs prove, in the binary list that a text is read as.
fn proven(text: &[u8], verdict: &Verdict) -> Result<Vec<(u32, Vec<u8>)>> {
    let (layout, source) = detect(text, None, None)?;
    let mut records = Records::new(source, layout.bank.size(), layout.order, Default::default());
    let mut data = Vec::new();
    while data.len() < verdict.covered.unwrap_or(0) as usize {
        let entry = records.next()?.ok_or("too few records")?;
        let record = entry.record;
        let said = if record.is_violation() {
            &[]
        } else {
            record.data()
        };
        data.push((record.pcr(), said.to_vec()));
    }
    Ok(data)
}

/// Whatever is changed in a text: what is then said to be verified is what was measured.
#[test]
fn every_byte_changed() -> Result {
    let mut host = with_a_strange_name()?;
    host.append(
        b"ima-sig",
        vec![d_ng(b"c"), nul(b"/c d"), vec![3, 2]],
        false,
    );
    host.violation(b"/var/log/a");
    host.file(b"/bin/e", b"e");
    let policy = against(pcrs(&host));
    let text = ascii(&host.view(Bank::Sha1)?, Bank::Sha1, host.order)?;
    let verdict = judge(&[&text], &policy)?;
    let wanted = proven(&text, &verdict)?;
    assert_eq!((code(&verdict), wanted.len()), (0, 6));
    let mut verified = 0;
    for at in 0..text.len() {
        for to in [text[at] ^ 1, text[at] ^ 0x20, b' '] {
            let mut changed = text.clone();
            changed[at] = to;
            // as of the kernel that it is of: others do not explain it
            let input = Input::new("changed", &*changed);
            let Ok(verdict) = verify([Ok(input)], &policy, Layouts::default()) else {
                continue;
            };
            if code(&verdict) == 0 {
                assert_eq!(proven(&changed, &verdict)?, wanted, "byte {at} is {to}");
                verified += 1;
            }
        }
    }
    // digits may be capitals, and what a violation names is no record's data
    assert!(verified > 100);
    Ok(())
}

/// The text is read in bounded memory, whatever its lines are.
#[test]
fn lines_of_absurd_length() -> Result {
    let head = format!("10 {} ima-ng sha1:00 /", "ab".repeat(20));
    let endless = head.as_bytes().chain(std::io::repeat(b'x'));
    let input = Input::new("endless", endless);
    let verdict = verify([Ok(input)], &Policy::default(), Layouts::default())?;
    expect("no newline", &verdict, 1, Kind::Malformed);
    let found = verdict.findings.kept()[0].to_string();
    assert!(found.contains("line 1: it has more than 32 MiB"), "{found}");
    Ok(())
}

/// Of the test guest: all templates, names with blanks, newlines and other bytes, and checkpoints.
const BOOTED: [(&[u8], Bank); 2] = [
    (include_bytes!("data/lists/booted.ascii"), Bank::Sha1),
    (
        include_bytes!("data/lists/booted-sha256.ascii"),
        Bank::Sha256,
    ),
];

#[test]
fn a_list_of_a_real_kernel() -> Result {
    let binary: &[u8] = include_bytes!("data/lists/booted.bin");
    let held = "6c7488e8ca15a06d4adc117a74bafb4259c94f810e49a6daf93931e10a423d58";
    let policy = against(values(Bank::Sha256, held)?);
    for (text, bank) in BOOTED {
        let verdict = judge(&[text], &policy)?;
        let found = verdict.findings.kept();
        assert_eq!(code(&verdict), 0, "{found:#?}");
        assert_eq!(
            (verdict.end.record, verdict.log.segments),
            (17, 3),
            "{found:#?}"
        );
        let (layout, mut source) = detect(text, None, None)?;
        assert_eq!(
            (layout.bank, layout.ascii, layout.padded),
            (bank, true, false)
        );
        if bank == Bank::Sha1 {
            let mut made = Vec::new();
            source.read_to_end(&mut made)?;
            assert!(made == binary);
        }
    }
    Ok(())
}

/// What such a kernel makes of checkpoints, too: it cannot compare the banks that it cannot hash.
#[test]
fn a_real_kernel_that_cannot_allocate_a_hash() -> Result {
    let mut held = Values::new();
    for (bank, value) in [
        (
            Bank::Sha256,
            "fc61f70593d1783b29f150ca51c9291babfab51206be409b0184d37d33d8bb03",
        ),
        (
            Bank::Sha384,
            "537dd568eaa745921dd645c92657f57dcf26c1d8a2f8105315450c9a8b5a4f96 \
             c25917e47d3a5cda57f50ef1073dd9dc",
        ),
        (
            Bank::Sha512,
            "b6942a51b81c8b0ed890fcbebaa2bf3a6ad58102ecf70cffbfc9205bc9145fe4 \
             60a3acf18a968347e6f8c07e3a769a6f016bb32738da3bc7bb64dfe953d45cce",
        ),
    ] {
        held.extend(values(bank, &value.replace(' ', ""))?);
    }
    for list in [
        include_bytes!("data/lists/cannot-allocate.bin").as_slice(),
        include_bytes!("data/lists/cannot-allocate-sha384.ascii"),
    ] {
        for policy in [against(held.clone()), quoted(held.clone())] {
            let verdict = judge(&[list], &policy)?;
            expect("banks that are padded", &verdict, 0, Kind::PaddedBank);
            let standings = [Bank::Sha256, Bank::Sha384, Bank::Sha512];
            let standings = standings.map(|bank| standing(&verdict, Register { pcr: PCR, bank }));
            let wanted = [Standing::Verified, Standing::Weak, Standing::Weak];
            assert_eq!(standings, wanted.map(Some));
            assert_eq!(verdict.log.segments, 3);
            // two notes, one for each such bank
            assert_eq!(
                verdict.findings.kept().len(),
                2,
                "{:#?}",
                verdict.findings.kept()
            );
        }
    }
    Ok(())
}
