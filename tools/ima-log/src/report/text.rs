// SPDX-License-Identifier: GPL-2.0

//! A verdict as a page of text: the verdict first, then what is proven, what is only claimed, and
//! what was found.

use crate::{
    bank::Bank,
    quote::Hex,
    replay::Origin,
    verify::{
        finding::{Finding, Gravity, Kind},
        verdict::{Outcome, PcrVerdict, Standing, Verdict},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display, Write},
};

/// Findings that are shown; JSON has more.
const MAX_SHOWN: usize = 10;

/// A text for an administrator or auditor. Nothing in it can harm a terminal.
pub fn text(verdict: &Verdict) -> String {
    let mut out = String::new();
    // writing to a string cannot fail
    let _ = write(&mut out, verdict);
    out
}

fn write(out: &mut String, verdict: &Verdict) -> fmt::Result {
    writeln!(out, "{}", headline(verdict))?;
    write_findings(out, verdict, |gravity| gravity > Gravity::Note, "")?;
    writeln!(out, "\nProven by the PCRs")?;
    for register in &verdict.registers {
        writeln!(out, "  {}", standing(register, verdict))?;
    }
    write_covered(out, verdict)?;
    write_quote(out, verdict)?;
    write_quotes(out, verdict)?;
    write_unexplained(out, verdict)?;
    write_claims(out, verdict)?;
    write_violations(out, verdict)?;
    write_findings(
        out,
        verdict,
        |gravity| gravity == Gravity::Note,
        "\nWorth knowing\n",
    )
}

/// What each outcome is, in a word or two.
fn meaning(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Verified => "VERIFIED",
        Outcome::Accepted => "VERIFIED IN PART, AS ACCEPTED",
        Outcome::Missing => "HISTORY MISSING",
        Outcome::Unanchored => "CONSISTENT, BUT NOT ANCHORED",
        Outcome::Stale => "STALE",
        Outcome::Tampered => "NOT VERIFIED",
    }
}

/// The first line.
pub(super) fn headline(verdict: &Verdict) -> String {
    let (segments, records) = (verdict.log.segments, verdict.end.record);
    let size = format!(
        "{records} record{} in {segments} segment{}",
        plural(records),
        plural(segments)
    );
    let outcome = verdict.outcome();
    format!("{}: {size}; {}", meaning(outcome), why(verdict, outcome))
}

/// What the outcome comes from, in a phrase.
pub(super) fn why(verdict: &Verdict, outcome: Outcome) -> String {
    let has = |kind| {
        verdict
            .findings
            .kept()
            .iter()
            .any(|found| found.kind == kind)
    };
    let weak = || {
        let mut all = verdict.registers.iter();
        all.any(|one| one.standing == Standing::Weak)
    };
    let compared = || {
        let mut all = verdict.registers.iter();
        let quoted = verdict.quote.is_some() || !verdict.quotes.shown.is_empty();
        quoted || all.any(|one| one.expected.is_some())
    };
    let why = match outcome {
        Outcome::Verified => return verified(verdict),
        Outcome::Accepted => {
            let accepted: Vec<_> = verdict.accepted().iter().map(u64::to_string).collect();
            let accepted = accepted.join(", ");
            let by = match verdict.endorsements.as_slice() {
                [] => String::new(),
                [first, ..] => format!(", as endorsed by {first}"),
            };
            return format!(
                "proven from checkpoint {accepted} on, whose values were accepted{by}. Nothing that \
                 came before it is proven"
            );
        }
        Outcome::Missing if has(Kind::AsciiUnchecked) && compared() => {
            "what is here is consistent, but not all of it can be checked in ASCII: give the binary list"
        }
        Outcome::Missing => "what is here is consistent, but not complete",
        Outcome::Unanchored if has(Kind::PaddedBank) && weak() => {
            "the kernel extends SHA-1 digests, which alone prove nothing any more: give another \
             bank, or --allow-weak-bank"
        }
        Outcome::Unanchored if weak() => {
            "sha1 alone proves nothing any more: give another bank, or --allow-weak-bank"
        }
        Outcome::Unanchored if has(Kind::AsciiUnchecked) && compared() => {
            "not all of it can be checked in ASCII: give the binary list"
        }
        Outcome::Unanchored if has(Kind::NothingExtended) => {
            "the TPM contains nothing of what IMA measured, so it proves nothing"
        }
        Outcome::Unanchored if !verdict.quotes.shown.is_empty() => {
            "the quotes in the log do not prove all of it"
        }
        Outcome::Unanchored if !verdict.quotes.unknown.is_empty() => {
            "it has quotes, but none by a key that was given: give theirs with --key or --trust"
        }
        Outcome::Unanchored => {
            "no trusted value says what the PCRs held: give --pcr, --pcrs, --tpm or --quote"
        }
        Outcome::Stale => "the quote answers another question",
        Outcome::Tampered if has(Kind::Quote) => "the quote is not genuine",
        Outcome::Tampered => "this log is not what the kernel measured, or not all of it",
    };
    why.to_owned()
}

fn verified(verdict: &Verdict) -> String {
    let proven: u64 = verdict
        .registers
        .iter()
        .map(|one| one.records)
        .max()
        .unwrap_or(0);
    let based = verdict
        .registers
        .iter()
        .any(|one| one.standing == Standing::Verified && one.origin == Origin::Given);
    let logged = verdict.registers.iter().any(|one| {
        one.standing == Standing::Verified
            && one.origin == Origin::EventLog
            && one.register.pcr == verdict.default_pcr
    });
    if let [first, ..] = verdict.endorsements.as_slice() {
        let seq = first.endorsement.checkpoint;
        let more = match verdict.endorsements.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        return format!("complete from checkpoint {seq}, as endorsed by {first}{more}");
    }
    match (based, proven) {
        (true, 0) => "nothing new is proven since the base that was given".to_owned(),
        (true, _) => "complete from the base that was given".to_owned(),
        // whoever gives the event log decides what is told there, and not in the list
        (false, _) if logged => {
            "complete from what the event log says about IMA's own PCR: make sure that these \
             events are the firmware's"
                .to_owned()
        }
        (false, _) => "complete from a trusted start".to_owned(),
    }
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
    wanted: impl Fn(Gravity) -> bool,
    title: &str,
) -> fmt::Result {
    let kept = verdict.findings.kept().iter();
    let chosen: Vec<&Finding> = kept.filter(|finding| wanted(finding.gravity())).collect();
    if !chosen.is_empty() {
        out.push_str(title);
    }
    for finding in chosen.iter().take(MAX_SHOWN) {
        writeln!(out, "  {}", Shown(finding))?;
    }
    let kinds: BTreeSet<Kind> = chosen.iter().map(|finding| finding.kind).collect();
    let counted = verdict.findings.more();
    let counted = counted.filter(|(kind, _)| kinds.contains(kind));
    let counted: u64 = counted.map(|(_, more)| more).sum();
    match chosen.len().saturating_sub(MAX_SHOWN) as u64 + counted {
        0 => Ok(()),
        more => writeln!(
            out,
            "  and {more} more; --json has the first 100 of each kind"
        ),
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

fn standing(one: &PcrVerdict, verdict: &Verdict) -> String {
    let text = match (one.standing, one.proven) {
        (Standing::Verified | Standing::Accepted | Standing::Partial, Some((first, end)))
            if first >= end =>
        {
            format!("no record, {}", origin(one.origin))
        }
        (Standing::Verified | Standing::Accepted | Standing::Partial, Some((first, end))) => {
            let (from, last) = (verdict.in_log(first), verdict.in_log(end - 1));
            format!("records {from} to {last}, {}", origin(one.origin))
        }
        (Standing::Weak, _) => "fits, but proves nothing: it rests on SHA-1".to_owned(),
        (Standing::Mismatch, _) => "DOES NOT MATCH".to_owned(),
        _ => format!(
            "nothing: not compared. The list replays to {}",
            one.replayed
        ),
    };
    let name = one.register.to_string();
    format!("{name:18}{text}")
}

/// What a replay started from.
pub(super) fn origin(origin: Origin) -> String {
    match origin {
        Origin::Reset => "from zeros".to_owned(),
        Origin::Given => "from the base that was given".to_owned(),
        Origin::EventLog => "from what the event log replays to".to_owned(),
        Origin::Endorsed(seq) => format!("from checkpoint {seq}, which was endorsed"),
        Origin::Accepted(seq) => format!("from checkpoint {seq}, which was accepted"),
        Origin::Claimed(seq) => format!("from checkpoint {seq}, which nobody vouches for"),
        Origin::Unknown => "from zeros, which nobody vouches for".to_owned(),
    }
}

fn write_covered(out: &mut String, verdict: &Verdict) -> fmt::Result {
    let later = verdict.registers.iter().filter(|one| one.later > 0);
    let later: BTreeSet<(u32, u64)> = later.map(|one| (one.register.pcr, one.later)).collect();
    for (pcr, later) in later {
        writeln!(
            out,
            "  The last {later} record{} of PCR {pcr} came after its value was taken: not covered, not \
             trusted",
            plural(later)
        )?;
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

/// The quotes that are in the list, by key.
fn write_quotes(out: &mut String, verdict: &Verdict) -> fmt::Result {
    for one in verdict.quotes.newest().into_iter().take(MAX_SHOWN) {
        let Some((first, end)) = one.proven else {
            continue;
        };
        let quote = &one.quote;
        match end.checked_sub(1) {
            Some(last) if last >= first => {
                write!(out, "  Proven to record {}", verdict.in_log(last))?
            }
            _ => out.push_str("  Nothing new is proven"),
        }
        if first > 0 {
            write!(out, ", from record {} on,", verdict.in_log(first))?;
        }
        writeln!(
            out,
            " by the quote in record {}, over checkpoint {}: {quote}",
            verdict.in_log(one.record),
            one.checkpoint
        )?;
        for caveat in quote.caveats_in_log() {
            writeln!(out, "  That quote: {caveat}")?;
        }
    }
    let all = verdict.quotes.shown.len() as u64 + verdict.quotes.more;
    if all > 1 {
        writeln!(
            out,
            "  {all} quotes in the log are genuine; --json tells which segment each of them covers"
        )?;
    }
    Ok(())
}

/// Quotes of which nobody knows whether they are genuine.
fn write_unknown_quotes(out: &mut String, verdict: &Verdict) -> fmt::Result {
    for (name, count) in verdict.quotes.unknown.iter().take(MAX_SHOWN) {
        let name = Hex(name.clone());
        let plural = plural(*count);
        writeln!(
            out,
            "  {count} quote{plural} by the key {name}, which was not given with --key or --trust"
        )?;
    }
    Ok(())
}

/// The PCRs that the list says nothing of, a line for each bank.
fn write_unexplained(out: &mut String, verdict: &Verdict) -> fmt::Result {
    let mut banks: BTreeMap<Bank, Vec<u32>> = BTreeMap::new();
    for one in &verdict.unexplained {
        banks
            .entry(one.register.bank)
            .or_default()
            .push(one.register.pcr);
    }
    if banks.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nNot explained by this list")?;
    for (bank, pcrs) in banks {
        let plural = plural(pcrs.len() as u64);
        writeln!(
            out,
            "  PCR{plural} {} in {bank}: the list has no record of what was extended there. \
             --event-log may explain it",
            ranges(&pcrs)
        )?;
    }
    Ok(())
}

/// Ascending numbers, neighbours joined: "0 to 7, 14".
fn ranges(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*number) => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let shown = ranges.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first} to {last}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn write_violations(out: &mut String, verdict: &Verdict) -> fmt::Result {
    let log = &verdict.log;
    if log.here == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "\nViolations\n  {} record{} of files that could be written to while they were measured, \
         so that their contents\n  are unknown. The PCRs prove that the records exist, but not \
         what they name:",
        log.here,
        plural(log.here)
    )?;
    for (record, name) in &log.violated {
        writeln!(out, "  record {}: {name}", verdict.in_log(*record))?;
    }
    match log.here - log.violated.len() as u64 {
        0 => Ok(()),
        more => writeln!(
            out,
            "  and {more} more; ima-checkpoint inspect --violations shows all"
        ),
    }
}

fn write_claims(out: &mut String, verdict: &Verdict) -> fmt::Result {
    let log = &verdict.log;
    writeln!(out, "\nOnly claimed")?;
    let heads = log.shown.iter().rev();
    let last = heads
        .filter_map(|segment| Some((segment, segment.claimed.as_ref()?)))
        .next();
    let Some((segment, last)) = last else {
        return writeln!(out, "  nothing: the list has no checkpoint");
    };
    write_unknown_quotes(out, verdict)?;
    let id = log.id.map(|id| id.to_string()).unwrap_or_default();
    writeln!(
        out,
        "  log {id}, kexec generation {}, {} violation{}",
        last.generation,
        log.violations,
        plural(log.violations)
    )?;
    if let Some(first) = log.first.filter(|first| *first > 0) {
        writeln!(out, "  {first} records before the list starts")?;
    }
    let time = std::time::Duration::from_nanos(last.wall_ns);
    let time = humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + time);
    let label = match last.label.is_empty() {
        true => String::new(),
        false => format!(", labelled {:?}", last.label),
    };
    let uncovered = verdict.covered.is_some_and(|end| segment.start >= end);
    let uncovered = if uncovered { ". It is not covered" } else { "" };
    let seq = segment.seq.unwrap_or(0);
    writeln!(
        out,
        "  the last checkpoint, {seq}, was made at {time}{label}{uncovered}"
    )?;
    for segment in log.shown.iter().filter(|one| one.broken).take(MAX_SHOWN) {
        let seq = segment.seq.map_or("?".to_owned(), |seq| seq.to_string());
        writeln!(
            out,
            "  segment {seq} is broken, and so is the proof of what precedes it"
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn neighbours_are_joined() {
        assert_eq!(ranges(&[0, 1, 2, 7, 9, 10]), "0 to 2, 7, 9 to 10");
        assert_eq!(ranges(&[u32::MAX]), u32::MAX.to_string());
    }
}
