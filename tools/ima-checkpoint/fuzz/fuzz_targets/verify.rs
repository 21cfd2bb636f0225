// SPDX-License-Identifier: GPL-2.0

//! A list, verified against nothing and against what the honest lists among the seeds replay to:
//! whatever it says, only what was extended is proven, and the report is text.

#![no_main]

#[path = "../../../ima-log/tests/common/mod.rs"]
mod common;
#[path = "../mend.rs"]
mod mend;

use common::{
    busy::busy,
    judge::{against, code, judge, pcrs},
    PCR,
};
use ima_checkpoint::{
    bank::Bank,
    commands::exit::Code,
    detect::{self, Layout},
    replay::{Register, Values},
};
use ima_checkpoint_format::{record::Record, ByteOrder};
use ima_log::{
    report,
    verify::{policy::Policy, verdict::Verdict},
};
use libfuzzer_sys::fuzz_target;
use std::{io::Read, sync::LazyLock};

/// What is hashed of each record of IMA's PCR; nothing of a violation, whose data nothing proves.
type Measured = Vec<Option<Vec<u8>>>;

/// An honest log: what the TPM held after it, and what was measured since the checkpoint that the
/// verifier accepts.
struct Honest {
    policy: Policy,
    measured: Measured,
}

static HONEST: LazyLock<[Honest; 2]> =
    LazyLock::new(|| [ByteOrder::Little, ByteOrder::Big].map(honest));

fuzz_target!(|bytes: &[u8]| {
    let list = mend::list(bytes);
    // a segment of its own for what comes after the first half, wherever that cuts
    let (front, back) = list.split_at(list.len() / 2);
    for files in [[list.as_slice(), b""], [front, back]] {
        if let Ok(verdict) = judge(&files, &against(Values::new())) {
            assert_ne!(code(&verdict), Code::Verified as u8);
            is_text(&verdict);
        }
        for honest in &*HONEST {
            if let Ok(verdict) = judge(&files, &honest.policy) {
                is_text(&verdict);
                // where the first half cuts a record, the second is read otherwise than the whole
                if files[0].len() == list.len() {
                    is_true(&list, &verdict, honest);
                }
            }
        }
    }
});

/// The log that the seeds are of. Something else extends its PCR, up to its second checkpoint.
fn honest(order: ByteOrder) -> Honest {
    let host = busy(order).expect("it fits");
    let accepted = &host.checkpoints[1];
    let digest = Bank::Sha256.hash(&[&accepted.buffer]);
    let mut policy = against(pcrs(&host));
    policy.firmware.clear();
    policy.breaks = [(1, digest)].into();
    policy.start = Some((2, digest));
    let bank = Bank::Sha1;
    let since = host.view_of(bank, accepted.record..host.records.len());
    Honest {
        policy,
        measured: measured(
            &since.expect("it fits"),
            Layout {
                bank,
                order,
                padded: false,
                ascii: false,
            },
        ),
    }
}

/// The records of IMA's PCR.
fn measured(mut list: &[u8], layout: Layout) -> Measured {
    let mut all = Vec::new();
    while let Ok((record, length)) = Record::parse_any(list, layout.bank.size(), layout.order) {
        let mut input = Vec::new();
        record.digest_input(|piece| input.extend_from_slice(piece));
        if record.pcr() == PCR {
            all.push((!record.is_violation()).then_some(input));
        }
        list = &list[length..];
    }
    all
}

/// Exit code 0 means that what is proven is what was measured, to its end.
fn is_true(list: &[u8], verdict: &Verdict, honest: &Honest) {
    if code(verdict) != Code::Verified as u8 {
        return;
    }
    let register = Register {
        pcr: PCR,
        bank: Bank::Sha256,
    };
    let proven = verdict.register(register).expect("exit code 0");
    assert!(proven.proven.is_some());
    let (layout, mut binary) = detect::detect(list, None, None).expect("bytes can be read");
    let mut whole = Vec::new();
    // what comes after a line that is no record is in no verdict
    let _ = binary.read_to_end(&mut whole);
    let list = whole.as_slice();
    let (first, end) = proven.proven.expect("it was asserted");
    let (mut rest, mut start, mut number) = (list, list.len(), 0);
    while let Ok((_, length)) = Record::parse_any(rest, layout.bank.size(), layout.order) {
        let at = list.len() - rest.len();
        start = if number == first { at } else { start };
        if number == end {
            break;
        }
        number += 1;
        rest = &rest[length..];
    }
    let covered = &list[..list.len() - rest.len()];
    let shown = measured(&covered[start.min(covered.len())..], layout);
    assert_eq!(shown, honest.measured);
}

/// Nothing in a report harms a terminal.
fn is_text(verdict: &Verdict) {
    let shown = report::text(verdict);
    let mut shown = shown.lines().flat_map(str::chars);
    assert!(!shown.any(char::is_control));
}
