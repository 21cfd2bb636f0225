// SPDX-License-Identifier: GPL-2.0

//! Lists of real kernels, old ones and others, with what their PCRs held.

use super::{
    ascii,
    common::{
        judge::{against, code, expect, judge, kinds, quoted, standing},
        PCR,
    },
    replaced, strong, values, Result, SHA1,
};
use ima_checkpoint_format::{record::Record, ByteOrder};
use ima_log::{
    bank::{Bank, Digest},
    list::detect::detect,
    replay::{Register, Values},
    verify::{finding::Kind, verdict::Standing},
};
use std::io::Read;

/// Lists of other kernels, with what their PCRs held as other programs computed it.
#[test]
fn lists_of_other_kernels() -> Result {
    for (list, view, bank, held, wanted) in [
        (
            include_bytes!("../data/lists/violations.bin").as_slice(),
            Bank::Sha1,
            Bank::Sha256,
            "29c149aa527bf17cc1cc8d45e8698ce32864bd1b6f3a78bd97ed7a4f2b8788ce",
            0,
        ),
        (
            include_bytes!("../data/lists/old-kernel-padded.bin"),
            Bank::Sha1,
            Bank::Sha256,
            "ab14452fe60e2da7cb243ab1a2c7e24fbb7b3143e4b3d2706ac3ce18ed02ba9c",
            3,
        ),
        (
            include_bytes!("../data/lists/bank-without-hash-sha384view.bin"),
            Bank::Sha384,
            Bank::Sha256,
            "d580cc9e62f56ac9cad2c37c704a2179b25beeede49fbdf6310735ab443cc834",
            0,
        ),
        (
            include_bytes!("../data/lists/buf-md5.bin"),
            Bank::Sha1,
            Bank::Sha256,
            "bbf0316f827c00b8524b181d1072a2f0bfd7df370e1cdd2b083188e50f1df056",
            0,
        ),
        (
            include_bytes!("../data/lists/buf-streebog256.bin"),
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
    let text: &[u8] = include_bytes!("../data/lists/so-ima-template.ascii");
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
    let list = include_bytes!("../data/lists/vendor-template.bin");
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

/// Of the test guest: all templates, names with blanks, newlines and other bytes, and checkpoints.
const BOOTED: [(&[u8], Bank); 2] = [
    (include_bytes!("../data/lists/booted.ascii"), Bank::Sha1),
    (
        include_bytes!("../data/lists/booted-sha256.ascii"),
        Bank::Sha256,
    ),
];

#[test]
fn a_list_of_a_real_kernel() -> Result {
    let binary: &[u8] = include_bytes!("../data/lists/booted.bin");
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
        include_bytes!("../data/lists/cannot-allocate.bin").as_slice(),
        include_bytes!("../data/lists/cannot-allocate-sha384.ascii"),
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
