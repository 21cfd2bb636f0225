// SPDX-License-Identifier: GPL-2.0

//! Lists of other kernels than the one with checkpoints. Those in `data/lists/` are rebuilt from
//! public reports; what their PCRs held was computed by other programs.

mod common;

use common::{
    judge::{against, code, expect, judge, quoted, rehash, split, standing},
    Host, PCR,
};
use ima_checkpoint_format::{checkpoint::State, ByteOrder};
use ima_log::{
    bank::{Bank, Content, Digest},
    replay::{Register, Values},
    verify::{finding::Kind, policy::Policy, verdict::Standing},
};
use std::error::Error;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const OLD: &[u8] = include_bytes!("data/lists/old-kernel-padded.bin");
const LACKING: [&[u8]; 2] = [
    include_bytes!("data/lists/bank-without-hash-sha1view.bin"),
    include_bytes!("data/lists/bank-without-hash-sha384view.bin"),
];

/// The template `ima-cgpath`, from the first record on and later. PCR values by Python's hashlib.
const VENDOR: [(&[u8], &str); 2] = [
    (
        include_bytes!("data/lists/vendor-template.bin"),
        "b45969d8ed6e60e69622c5b84139bc99a89654ea3006afe802dd21b34885090c",
    ),
    (
        include_bytes!("data/lists/vendor-template-later.bin"),
        "9e2293642c68781669d2957c7c8bbd15df216163e13b205cb59dfeefb423a03f",
    ),
];

fn values<const N: usize>(values: [(Bank, &str); N]) -> Values {
    let values = values.into_iter().map(|(bank, value)| {
        let value = Digest::from_hex(value).unwrap_or(bank.zeros());
        (Register { pcr: PCR, bank }, value)
    });
    values.collect()
}

fn at(bank: Bank) -> Register {
    Register { pcr: PCR, bank }
}

/// Policies that compare with values, and with a quote of them.
fn both(values: &Values) -> [Policy; 2] {
    [against(values.clone()), quoted(values.clone())]
}

#[test]
fn an_old_kernel_pads_all_banks() -> Result {
    let held = "ab14452fe60e2da7cb243ab1a2c7e24fbb7b3143e4b3d2706ac3ce18ed02ba9c";
    for mut policy in both(&values([(Bank::Sha256, held)])) {
        let verdict = judge(&[OLD], &policy)?;
        expect("an old kernel", &verdict, 3, Kind::PaddedBank);
        assert_eq!(standing(&verdict, at(Bank::Sha256)), Some(Standing::Weak));
        policy.allow_weak_bank = true;
        let verdict = judge(&[OLD], &policy)?;
        expect("if weak banks count", &verdict, 0, Kind::PaddedBank);

        let mut changed = OLD.to_vec();
        changed[OLD.len() - 2] ^= 1;
        expect("changed", &judge(&[&changed], &policy)?, 1, Kind::Mismatch);
    }
    Ok(())
}

#[test]
fn a_bank_whose_hash_the_kernel_lacks() -> Result {
    let sha256 = "d580cc9e62f56ac9cad2c37c704a2179b25beeede49fbdf6310735ab443cc834";
    let sha384 = "f5909fe38d4479b02e268c93b8b43f4328095dd2d75fb7c3e2acc96149cec7b1\
                  8a77b33755104c82b5d7bbfbea6b471c";
    for list in LACKING {
        for mut policy in both(&values([(Bank::Sha256, sha256), (Bank::Sha384, sha384)])) {
            let verdict = judge(&[list], &policy)?;
            expect("both banks", &verdict, 0, Kind::PaddedBank);
            let standings = [Bank::Sha256, Bank::Sha384].map(|bank| standing(&verdict, at(bank)));
            assert_eq!(standings, [Some(Standing::Verified), Some(Standing::Weak)]);
            policy.allow_weak_bank = true;
            assert_eq!(code(&judge(&[list], &policy)?), 0);
        }
        for policy in both(&values([(Bank::Sha384, sha384)])) {
            let verdict = judge(&[list], &policy)?;
            expect("the padded bank alone", &verdict, 3, Kind::PaddedBank);
        }
        for policy in both(&values([(Bank::Sha256, sha256)])) {
            let verdict = judge(&[list], &policy)?;
            assert_eq!(code(&verdict), 0);
            assert!(verdict.findings.kept().is_empty());
        }
    }
    Ok(())
}

/// What a checkpoint says of a padded bank is true, too.
#[test]
fn checkpoints_of_a_kernel_that_pads() -> Result {
    let content = Content::Unallocated;
    for state in [State::Unshadowed, State::Match] {
        let banks = [Bank::Sha1, Bank::Sha256, Bank::Sha384];
        let mut host = Host::new(ByteOrder::Little, &banks);
        host.contents.insert(Bank::Sha384, (content, state));
        host.file(b"boot_aggregate", b"PCRs");
        host.violation(b"/var/log/a");
        host.checkpoint("first")?;
        host.file(b"/bin/b", b"b");
        host.checkpoint("second")?;
        host.file(b"/bin/c", b"c");
        for bank in banks {
            let list = host.view(bank)?;
            for policy in both(&common::judge::pcrs(&host)) {
                let verdict = judge(&[&list], &policy)?;
                let standings = banks.map(|bank| standing(&verdict, at(bank)));
                let wanted = [Standing::Weak, Standing::Verified, Standing::Weak].map(Some);
                assert_eq!(standings, wanted, "{state:?} {bank}");
                assert_eq!(code(&verdict), 0);
            }
        }
    }
    Ok(())
}

/// What the fields are is not known, but all lengths are.
#[test]
fn templates_of_vendors() -> Result {
    for (list, held) in VENDOR {
        for policy in both(&values([(Bank::Sha256, held)])) {
            let verdict = judge(&[list], &policy)?;
            expect("a vendor's template", &verdict, 0, Kind::UnknownTemplate);
            assert_eq!(
                verdict.findings.kept().len(),
                1,
                "one note for each template"
            );
            assert_eq!(verdict.end.record, 4);
            let mut changed = list.to_vec();
            changed[list.len() - 2] ^= 1;
            let verdict = judge(&[&changed], &policy)?;
            expect("changed", &verdict, 1, Kind::TemplateDigest);
        }
    }
    Ok(())
}

/// Whoever tells our records as those of an unknown template hides nothing.
#[test]
fn our_names_in_an_unknown_template() -> Result {
    let mut host = common::judge::booted(&common::judge::BANKS);
    host.checkpoint("first")?;
    let list = host.view(Bank::Sha1)?;
    let at = list.windows(7).position(|bytes| bytes == b"ima-buf");
    let mut told = list.clone();
    told[at.ok_or("no checkpoint")?..][..7].copy_from_slice(b"xma-buf");
    let policy = against(common::judge::pcrs(&host));
    assert_eq!(code(&judge(&[&list], &policy)?), 0);
    let verdict = judge(&[&told], &policy)?;
    expect("told as another template", &verdict, 1, Kind::SpoofedName);
    Ok(())
}

/// `ima_hash=` with an algorithm that is no bank.
#[test]
fn digests_of_buffers() -> Result {
    let md5: &[u8] = include_bytes!("data/lists/buf-md5.bin");
    let held = "bbf0316f827c00b8524b181d1072a2f0bfd7df370e1cdd2b083188e50f1df056";
    let verdict = judge(&[md5], &against(values([(Bank::Sha256, held)])))?;
    assert_eq!(code(&verdict), 0);
    assert!(verdict.findings.kept().is_empty());

    let streebog: &[u8] = include_bytes!("data/lists/buf-streebog256.bin");
    let held = "ca8345bffed5fa2b14920e97b6b4c79e293f509c842bf5fc195b003f8ccd387e";
    let verdict = judge(&[streebog], &against(values([(Bank::Sha256, held)])))?;
    expect("not computed here", &verdict, 0, Kind::BufferUnchecked);
    Ok(())
}

/// What kernels call the hashes that `ima_hash=` chooses (`hash_algo_name` in `hash_info.c`), and whether
/// the program computes them.
const HASHES: [(&str, bool); 24] = [
    ("md4", false),
    ("md5", true),
    ("sha1", true),
    ("rmd160", true),
    ("sha256", true),
    ("sha384", true),
    ("sha512", true),
    ("sha224", true),
    ("rmd128", false),
    ("rmd256", false),
    ("rmd320", false),
    ("wp256", false),
    ("wp384", false),
    ("wp512", false),
    ("tgr128", false),
    ("tgr160", false),
    ("tgr192", false),
    ("sm3", true),
    ("sm3-256", true),
    ("streebog256", false),
    ("streebog512", false),
    ("sha3-256", true),
    ("sha3-384", true),
    ("sha3-512", true),
];

/// A checkpoint whose digest nobody can compute is one all the same, as for the kernel that restores it.
/// If it can be computed, it must be right.
#[test]
fn checkpoints_of_all_hashes() -> Result {
    for (hash, computed) in HASHES {
        let mut made = common::judge::booted(&common::judge::BANKS);
        made.checkpoint("first")?;
        let buffer = &made.checkpoints[0].buffer;
        let d_ng = [hash.as_bytes(), b":\0", &[0x5a; 32]].concat();
        let fields = vec![d_ng, common::nul(b".ima/checkpoint"), buffer.clone()];
        let mut host = common::judge::booted(&common::judge::BANKS);
        host.append(b"ima-buf", fields, false);
        let policy = against(common::judge::pcrs(&host));
        let verdict = judge(&[&host.view(Bank::Sha1)?], &policy)?;
        match computed {
            true => expect(hash, &verdict, 1, Kind::SpoofedName),
            false => {
                expect(hash, &verdict, 0, Kind::BufferUnchecked);
                assert_eq!(verdict.log.segments, 2, "{hash}");
            }
        }
    }
    Ok(())
}

/// The list with other bytes in the `d-ng` of its checkpoint, from the start of `md5:` on.
fn changed(list: &[u8], at: usize, change: impl Fn(&mut u8)) -> Result<Vec<u8>> {
    let mut records = split(list);
    let mut of_buffer = records.iter_mut();
    let has = |record: &[u8], part: &[u8]| record.windows(part.len()).position(|at| at == part);
    let record = of_buffer.find(|record| has(record, b"ima-buf").is_some());
    let record = record.ok_or("no checkpoint")?;
    let start = has(record, b"md5:").ok_or("no digest")?;
    change(&mut record[start + at]);
    rehash(record);
    Ok(records.concat())
}

#[test]
fn checkpoints_with_another_digest() -> Result {
    for list in [
        include_bytes!("data/lists/checkpoint-md5.bin").as_slice(),
        include_bytes!("data/lists/checkpoint-sha256.bin"),
    ] {
        let verdict = judge(&[list], &Policy::default())?;
        assert_eq!((verdict.end.record, verdict.log.segments), (3, 2));
        assert!(verdict.findings.kept().is_empty());
    }
    let list = include_bytes!("data/lists/checkpoint-md5.bin");
    // md4, which nobody computes any more
    let unknown = changed(list, 2, |byte| *byte = b'4')?;
    let verdict = judge(&[&unknown], &Policy::default())?;
    let kinds: Vec<Kind> = verdict.findings.kept().iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [Kind::BufferUnchecked]);
    assert_eq!(verdict.log.segments, 2);
    let wrong = changed(list, 5, |byte| *byte ^= 1)?;
    let verdict = judge(&[&wrong], &Policy::default())?;
    expect("a wrong digest", &verdict, 1, Kind::SpoofedName);
    Ok(())
}
