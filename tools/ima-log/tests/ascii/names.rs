// SPDX-License-Identifier: GPL-2.0

//! Names that a text may show otherwise than they were.

use super::{
    ascii,
    common::{
        self, d_ng,
        judge::{against, code, expect, judge, kinds, pcrs, quoted, standing, BANKS, SHA256},
        nul, Host, PCR,
    },
    only, replaced, strong, with_a_strange_name, Result, SHA1,
};
use ima_checkpoint_format::ByteOrder;
use ima_log::{
    bank::{Bank, Digest},
    replay::Register,
    verify::{
        finding::Kind,
        policy::Policy,
        verdict::{Outcome, Standing},
    },
};

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
            .starts_with("file 0: record 1: it cannot be checked"));

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
