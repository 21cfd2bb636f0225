// SPDX-License-Identifier: GPL-2.0

//! Shows a case to whoever has to find out what went wrong.

use crate::{
    claims::{is_special, Claims},
    judge::Judged,
    record::Record,
    strategies::Case,
};
use std::fmt::Write;

/// All of a case, and the verdict.
pub(crate) fn show(case: &Case, judged: &Judged) -> String {
    let mut out = String::new();
    // writing to a string does not fail
    let _ = write(case, judged, &mut out);
    out
}

fn write(case: &Case, judged: &Judged, out: &mut String) -> std::fmt::Result {
    let verifier = &case.verifier;
    let (strategy, edits) = (case.strategy, &case.edits);
    writeln!(
        out,
        "{strategy:?} in the order {:?}: {edits:?}",
        case.list.order
    )?;
    writeln!(out, "made by the machine, kernel {:?}:", case.host.kernel)?;
    for (at, record) in case.host.records.iter().enumerate() {
        let (_, after) = case.host.moments[at];
        let covered = if after <= verifier.moment { ' ' } else { '-' };
        writeln!(out, "{covered}{at:3} {}", line(record))?;
    }
    writeln!(
        out,
        "given to the verifier, without {} bytes:",
        case.list.cut
    )?;
    for (at, record) in case.list.records.iter().enumerate() {
        writeln!(out, " {at:3} {}", line(record))?;
    }
    let anchors = verifier.anchors.iter();
    let anchors: Vec<_> = anchors
        .map(|(register, value)| (register, hex(value)))
        .collect();
    let base = verifier.base.iter();
    let base: Vec<_> = base
        .map(|(register, value)| (register, hex(value)))
        .collect();
    writeln!(out, "anchors, quoted {}: {anchors:?}", verifier.quoted)?;
    writeln!(out, "base at record {}: {base:?}", verifier.base_record)?;
    writeln!(out, "accepts the break at {:?}", verifier.accepts)?;
    writeln!(out, "believes an endorsement of {:?}", verifier.endorsed)?;
    writeln!(out, "view {:?}, told {}", verifier.view, verifier.told)?;
    let Judged {
        exit,
        verified,
        mentioned,
        reported,
        findings,
    } = judged;
    writeln!(out, "exit code {exit}, {verified:?}")?;
    writeln!(out, "mentioned {mentioned:?}, reported {reported:?}")?;
    findings
        .iter()
        .try_for_each(|text| writeln!(out, "  {text}"))
}

fn line(record: &Record) -> String {
    let mut line = format!("{} {} {}", record.pcr, record.template, hex(&record.data));
    if record.violation {
        line.push_str(" violation");
    }
    if record.misprinted {
        line.push_str(" misprinted");
    }
    if let Some(claims) = Claims::read(record) {
        let items = claims.items.iter().map(|item| {
            let (kind, state) = (item.kind, item.state);
            format!(
                "{kind:?} {state:?} {:?} {}",
                item.register,
                hex(&item.value)
            )
        });
        let items: Vec<String> = items.collect();
        let Claims {
            sequence,
            generation,
            default_pcr,
            flags,
            ..
        } = claims;
        return format!(
            "{} {} checkpoint {sequence}, generation {generation}, default {default_pcr}, flags \
             {flags}: {}",
            record.pcr,
            record.template,
            items.join(", ")
        );
    }
    if is_special(record) {
        line.push_str(" truncation");
    }
    line
}

/// The first bytes.
fn hex(bytes: &[u8]) -> String {
    let first = bytes.iter().take(8);
    first.map(|byte| format!("{byte:02x}")).collect()
}
