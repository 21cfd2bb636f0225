// SPDX-License-Identifier: GPL-2.0

//! A verdict as a page of text: the verdict first, then what is proven, what is only claimed, and
//! what was found.

mod json;

pub use self::json::Json;

use super::verdict::{
    PcrVerdict,
    Standing,
    Verdict, //
};
use crate::{
    chain::Origin,
    finding::{
        Finding,
        Kind, //
    },
    outcome::Code, //
};
use std::{
    collections::BTreeSet,
    fmt::{
        self,
        Display,
        Write, //
    },
};

/// Findings of one kind that are shown; JSON has them all.
const MAX_SHOWN: usize = 10;

/// A text for an administrator or auditor.
pub fn text(verdict: &Verdict) -> String {
    let mut out = String::new();
    // writing to a string cannot fail
    let _ = write(&mut out, verdict);
    out
}

fn write(out: &mut String, verdict: &Verdict) -> fmt::Result {
    writeln!(out, "{}", headline(verdict))?;
    write_findings(out, verdict, |code| code != Code::Verified, "")?;
    writeln!(out, "\nProven by the PCRs")?;
    for register in &verdict.registers {
        writeln!(out, "  {}", standing(register, verdict))?;
    }
    write_covered(out, verdict)?;
    write_quote(out, verdict)?;
    write_claims(out, verdict)?;
    write_findings(
        out,
        verdict,
        |code| code == Code::Verified,
        "\nWorth knowing\n",
    )
}

/// What each exit code means, in a word or two.
fn meaning(code: Code) -> &'static str {
    match code {
        Code::Verified => "VERIFIED",
        Code::Missing => "HISTORY MISSING",
        Code::Unanchored => "CONSISTENT, BUT NOT ANCHORED",
        Code::Stale => "STALE",
        _ => "NOT VERIFIED",
    }
}

fn headline(verdict: &Verdict) -> String {
    let segments = verdict.chain.segments.len();
    let records = verdict.end.record;
    let size = format!(
        "{records} record{} in {segments} segment{}",
        plural(records),
        plural(segments as u64)
    );
    let mut kinds = verdict.findings.iter().map(|finding| finding.kind);
    let refused = kinds.any(|kind| kind == Kind::Quote);
    let why = match verdict.code() {
        Code::Verified => "complete from a trusted start",
        Code::Missing => "what is here agrees, but it is not all",
        Code::Unanchored => {
            "no trusted value says what the PCRs held: give --pcr, --pcrs, --tpm or --quote"
        }
        Code::Stale => "the quote answers another question",
        _ if refused => "the quote is not genuine",
        _ => "this log is not what the kernel measured, or not all of it",
    };
    let weak = verdict
        .registers
        .iter()
        .any(|one| one.standing == Standing::Weak);
    let why = if weak && verdict.code() == Code::Unanchored {
        "sha1 alone proves nothing any more: give another bank, or --allow-weak-bank"
    } else {
        why
    };
    format!("{}: {size}; {why}", meaning(verdict.code()))
}

fn plural(count: u64) -> &'static str {
    if count == 1 {
        ""
    } else {
        "s"
    }
}

fn write_findings(
    out: &mut String,
    verdict: &Verdict,
    wanted: impl Fn(Code) -> bool,
    title: &str,
) -> fmt::Result {
    let chosen = || {
        verdict
            .findings
            .iter()
            .filter(|finding| wanted(finding.kind.code()))
    };
    if chosen().next().is_some() {
        out.push_str(title);
    }
    for finding in chosen().take(MAX_SHOWN) {
        writeln!(out, "  {}", Shown(finding))?;
    }
    match chosen().count().saturating_sub(MAX_SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more; --json has them all"),
    }
}

/// A finding with the record's number since cold boot, where that is another one.
struct Shown<'a>(&'a Finding);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { at, in_log, .. } = self.0;
        self.0.fmt(f)?;
        match (at, in_log) {
            (Some(at), Some(in_log)) if at.record != *in_log => {
                write!(f, " (record {in_log} of the log)")
            }
            _ => Ok(()),
        }
    }
}

/// How a record of the list is called: by its number since cold boot, if that is known.
fn in_log(verdict: &Verdict, record: u64) -> u64 {
    let segments = verdict.chain.segments.iter().rev();
    let mut holding = segments.filter(|segment| segment.summary.start.record < record.max(1));
    holding
        .next()
        .and_then(|segment| Some(segment.first? + (record - segment.summary.start.record)))
        .unwrap_or(record)
}

fn standing(one: &PcrVerdict, verdict: &Verdict) -> String {
    let text = match (one.standing, one.proven) {
        (Standing::Verified | Standing::Partial, Some((first, end))) => {
            let from = match verdict
                .chain
                .segments
                .iter()
                .find(|s| s.summary.start.record == first)
            {
                Some(segment) => segment.first.unwrap_or(first),
                None => first,
            };
            let last = in_log(verdict, end).saturating_sub(1);
            format!("records {from} to {last}, {}", origin(one.origin))
        }
        (Standing::Weak, _) => "agrees, but proves nothing: it rests on SHA-1".to_owned(),
        (Standing::Mismatch, _) => "DOES NOT MATCH".to_owned(),
        _ => format!(
            "nothing: not compared. The list replays to {}",
            one.replayed
        ),
    };
    let name = one.register.to_string();
    format!("{name:18}{text}")
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Reset => "from zeros",
        Origin::Given => "from the base that was given",
        Origin::Before => "from what the PCR held before IMA used it",
        Origin::Claimed => "from a base that nobody vouches for",
        Origin::Broken => "from the checkpoint behind a broken segment",
    }
}

fn write_covered(out: &mut String, verdict: &Verdict) -> fmt::Result {
    let mut seen = BTreeSet::new();
    for one in &verdict.registers {
        let Some((_, end)) = one.proven else {
            continue;
        };
        let behind = verdict.end.record - end;
        if behind > 0 && seen.insert((one.register.pcr, end)) {
            writeln!(
                out,
                "  The last {behind} record{} came after the values of PCR {} were taken: not \
                 covered, not trusted",
                plural(behind),
                one.register.pcr
            )?;
        }
    }
    Ok(())
}

fn write_quote(out: &mut String, verdict: &Verdict) -> fmt::Result {
    let Some(quote) = &verdict.quote else {
        return Ok(());
    };
    writeln!(out, "  The quote: {quote}")?;
    for caveat in quote.caveats() {
        writeln!(out, "  The quote: {caveat}")?;
    }
    Ok(())
}

fn write_claims(out: &mut String, verdict: &Verdict) -> fmt::Result {
    let chain = &verdict.chain;
    let first = chain.segments.first();
    writeln!(out, "\nOnly claimed")?;
    let Some(last) = chain
        .segments
        .iter()
        .rev()
        .find_map(|segment| segment.head())
    else {
        return writeln!(out, "  nothing: the list has no checkpoint");
    };
    writeln!(
        out,
        "  log {}, kexec generation {}, {} violation{}",
        last.log_id(),
        last.header.generation,
        chain.violations,
        plural(chain.violations)
    )?;
    if let Some(head) = first.and_then(|first| first.head()) {
        writeln!(
            out,
            "  {} records, {} bytes before the list starts with checkpoint {}",
            head.header.record, head.header.offset, head.header.sequence
        )?;
    }
    let wall = last.header.wall_ns;
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(wall);
    let time = humantime::format_rfc3339_seconds(time);
    let (seq, label) = (last.header.sequence, &last.label);
    let label = match label.is_empty() {
        true => String::new(),
        false => format!(", labelled {label:?}"),
    };
    writeln!(
        out,
        "  the last checkpoint, {seq}, was made at {time}{label}"
    )?;
    for segment in chain
        .segments
        .iter()
        .filter(|segment| segment.broken)
        .take(MAX_SHOWN)
    {
        writeln!(out, "  {} and what is before it: broken", segment.name())?;
    }
    Ok(())
}
