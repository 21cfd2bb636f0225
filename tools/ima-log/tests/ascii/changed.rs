// SPDX-License-Identifier: GPL-2.0

//! Texts that somebody changed.

use super::{
    ascii,
    common::{
        d_ng,
        judge::{against, code, expect, judge, pcrs},
        nul,
    },
    replaced, with_a_strange_name, Result,
};
use ima_log::{
    bank::Bank,
    list::{detect::detect, records::Records},
    verify::{finding::Kind, policy::Policy, verdict::Verdict, verify, Input, Layouts},
};
use std::io::Read;

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
