// SPDX-License-Identifier: GPL-2.0

//! Judges the evidence of a round.

use super::{Checkpoint, Clock, Proven, Round, Since};
use crate::{
    finding::{Finding, Kind},
    policy::{self, Policy},
};
use ima_log::{
    bank::{Bank, Digest},
    list::{
        detect,
        own::{own_record, OwnRecord},
        records::{Position, Records},
    },
    quote::{AttestationKey, Error as QuoteError, Nonce, PcrValues, Quote},
    replay::{Register, Values},
    verify::{
        finding::Gravity,
        policy::{Anchor, Policy as Rules, Told},
        verdict::{Outcome, Standing, Verdict},
        verify, Error as VerifyError, Input, Layouts,
    },
};
use sha2::{Digest as _, Sha256};

/// IMA's default PCR.
const DEFAULT_PCR: u32 = 10;

/// Findings of a verification that are passed on. All others would say the same again.
const MAX_FINDINGS: usize = 20;

/// Findings of the policy that a round may have. What comes after is counted.
const MAX_REFUSED: usize = 1000;

/// What a host sent.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// TPMS_ATTEST.
    pub message: &'a [u8],
    /// TPMT_SIGNATURE.
    pub signature: &'a [u8],
    /// The values that were quoted.
    pub pcrs: &'a [u8],
    /// The list, as bytes or text.
    pub list: &'a [u8],
}

/// What it was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The nonce of the quote.
    pub nonce: Nonce,
    /// The record with which the list begins.
    pub from: u64,
    /// When the host was switched on, as it says.
    pub boot_time: String,
    /// The bank to quote.
    pub bank: Bank,
}

/// Judges a round. `key` is the one that the host is registered with.
pub fn judge(
    key: &AttestationKey,
    asked: &Asked,
    before: Option<&Proven>,
    evidence: Evidence<'_>,
    policy: &Policy,
) -> Round {
    match Judge::quote(key, asked, before, evidence) {
        Ok(judge) => judge.run(policy),
        Err(finding) => failed(vec![*finding]),
    }
}

fn failed(findings: Vec<Finding>) -> Round {
    Round {
        proven: None,
        new: 0,
        findings,
    }
}

struct Judge<'a> {
    asked: &'a Asked,
    before: Option<&'a Proven>,
    list: &'a [u8],
    quote: Quote,
    /// The values that were quoted, of PCRs that have no base.
    values: Values,
    /// How the TPM's clock relates to that of the last round.
    since: Option<Since>,
}

impl<'a> Judge<'a> {
    /// Looks at the quote: is it one of this host, and now?
    fn quote(
        key: &AttestationKey,
        asked: &'a Asked,
        before: Option<&'a Proven>,
        evidence: Evidence<'a>,
    ) -> Result<Self, Box<Finding>> {
        let Evidence {
            message,
            signature,
            pcrs,
            list,
        } = evidence;
        let quote = Quote::verify(message, signature, key, Some(&asked.nonce), false);
        let quote = quote.map_err(|error| Box::new(refused(&error)))?;
        let wanted = Register {
            pcr: DEFAULT_PCR,
            bank: asked.bank,
        };
        if !quote.pcrs().any(|pcr| pcr == wanted.into()) {
            let text = format!("the quote does not cover {wanted}, as was asked for");
            return Err(Box::new(Finding::of_host(Kind::Evidence, text)));
        }
        let values = PcrValues::parse(pcrs, Some(asked.bank), &quote.attest.selection);
        let values = values.map_err(|error| Box::new(refused(&error)))?;
        let values = values.iter().map(|one| (one.register, one.value));
        // of the default PCR, only what the list replays to counts
        let values = values.filter(|(register, _)| register.pcr != DEFAULT_PCR);
        let clock = Clock::from(&quote.attest);
        Ok(Self {
            asked,
            before,
            list,
            values: values.collect(),
            since: before.map(|before| clock.since(&before.clock)),
            quote,
        })
    }

    fn run(self, policy: &Policy) -> Round {
        let clock = Clock::from(&self.quote.attest);
        match (self.before, self.since) {
            (Some(before), Some(Since::Earlier)) => failed(vec![went_back(before, &clock)]),
            // the PCRs were reset, so that the base does not hold any more
            (Some(_), Some(Since::Rebooted { .. })) if self.asked.from > 0 => {
                failed(vec![Finding::of_host(
                    Kind::ResetWithoutNewLog,
                    "the TPM was reset, but the host says that it was not booted anew: its list is \
                     asked for as a whole now",
                )])
            }
            (Some(before), Some(Since::SameBoot)) if self.asked.from > 0 => {
                let verdict = self.verify(before.base.clone(), Values::new());
                self.conclude(verdict, 0, before.records, policy, Vec::new())
            }
            (Some(before), Some(Since::SameBoot)) => self.whole_again(before, policy),
            (_, since) => {
                let unseen = match since {
                    Some(Since::Rebooted { unseen }) => unseen,
                    _ => 0,
                };
                let verdict = self.verify(Values::new(), Values::new());
                self.conclude(verdict, 0, 0, policy, reset_jump(unseen))
            }
        }
    }

    /// The list from its start, of which a part was proven before: it must pass through that.
    fn whole_again(&self, before: &Proven, policy: &Policy) -> Round {
        let verdict = self.verify(Values::new(), before.base.clone());
        let proven = verdict.as_ref().is_ok_and(is_proven);
        let long_enough = |verdict: &Verdict| {
            let covered = verdict.covered.unwrap_or(0);
            (covered < before.records).then_some(covered)
        };
        if let Some(covered) = verdict
            .as_ref()
            .ok()
            .filter(|_| proven)
            .and_then(long_enough)
        {
            let text = format!(
                "{} records were proven, but the TPM's quote is reached after {covered}",
                before.records
            );
            return failed(vec![Finding::of_host(Kind::WentBack, text)]);
        }
        if proven {
            return self.conclude(verdict, before.records, 0, policy, Vec::new());
        }
        // is it true by itself?
        let alone = self.verify(Values::new(), Values::new());
        if alone.as_ref().is_ok_and(is_proven) {
            let text = format!(
                "the list is genuine, but it is not the one of which {} records were proven",
                before.records
            );
            return failed(vec![Finding::of_host(Kind::Fork, text)]);
        }
        self.conclude(alone, before.records, 0, policy, Vec::new())
    }

    /// Verifies the list from a base. It must reach what the TPM quoted, and the values demanded on the
    /// way.
    fn verify(&self, base: Values, demanded: Values) -> Result<Verdict, VerifyError> {
        let mut values = self.values.clone();
        values.retain(|register, _| !base.contains_key(register));
        let anchor = Anchor {
            told: Told::Quote(self.quote.clone()),
            demanded: demanded.keys().copied().collect(),
            values: values.into_iter().chain(demanded).collect(),
        };
        let rules = Rules {
            default_pcr: DEFAULT_PCR,
            base,
            anchor,
            ..Rules::default()
        };
        let inputs = [Ok(Input::new("the list", self.list))];
        verify(inputs, &rules, Layouts::default())
    }

    /// Makes a round of a verdict. The first `known` records of the list were judged before, and `first`
    /// records come before it.
    fn conclude(
        &self,
        verdict: Result<Verdict, VerifyError>,
        known: u64,
        first: u64,
        policy: &Policy,
        mut findings: Vec<Finding>,
    ) -> Round {
        let verdict = match verdict {
            Ok(verdict) => verdict,
            Err(error) => {
                let text = error.to_string();
                return failed(vec![Finding::of_host(Kind::Evidence, text)]);
            }
        };
        if !is_proven(&verdict) {
            return failed(vec![self.why_not(&verdict)]);
        }
        let boot = self.quote.attest.reset_count;
        findings.extend(of_the_log(&verdict, first, boot));
        let covered = verdict.covered.unwrap_or(0);
        let seen = Seen::new(self.list, covered, known, first, boot, policy);
        findings.extend(seen.findings);
        let base = verdict.registers.iter();
        let base = base.filter_map(|one| Some((one.register, one.base?)));
        let earlier = self.before.and_then(|before| before.checkpoint);
        let proven = Proven {
            records: first + covered,
            base: base.collect(),
            clock: Clock::from(&self.quote.attest),
            boot_time: self.asked.boot_time.clone(),
            checkpoint: match first {
                0 => seen.checkpoint,
                _ => seen.checkpoint.or(earlier),
            },
        };
        Round {
            new: covered.saturating_sub(known),
            proven: Some(proven),
            findings,
        }
    }

    /// Why the list does not prove anything.
    fn why_not(&self, verdict: &Verdict) -> Finding {
        let gravest = verdict.findings.kept().iter();
        let gravest = gravest
            .filter(|finding| finding.gravity() > Gravity::Note)
            .max_by_key(|finding| finding.gravity());
        let why = gravest.map_or_else(
            || "it does not reach what the TPM quoted".to_owned(),
            ToString::to_string,
        );
        let starts_late = self.asked.from == 0 && starts_with_checkpoint(self.list);
        let missing = verdict.outcomes().contains(&Outcome::Missing)
            && !verdict.outcomes().contains(&Outcome::Tampered);
        match (starts_late || missing, self.asked.from) {
            (true, _) => Finding::of_host(Kind::Gap, format!("records are missing: {why}")),
            (false, 0) => Finding::of_host(
                Kind::Mismatch,
                format!("the list is not what the TPM was extended with: {why}"),
            ),
            (false, from) => Finding::of_host(
                Kind::Mismatch,
                format!("the list does not go on from the {from} records that are proven: {why}"),
            ),
        }
    }
}

/// Does this prove the default PCR, and all others that records use?
fn is_proven(verdict: &Verdict) -> bool {
    let not = [Outcome::Unanchored, Outcome::Stale];
    let outcomes = verdict.outcomes();
    let mut registers = verdict.registers.iter();
    verdict.covered.is_some()
        && !outcomes.iter().any(|outcome| not.contains(outcome))
        && registers.any(|one| {
            one.register.pcr == verdict.default_pcr && one.standing == Standing::Verified
        })
        // a demanded value that was not reached
        && !verdict.registers.iter().any(|one| one.standing == Standing::Mismatch)
}

fn refused(error: &QuoteError) -> Finding {
    let kind = match error {
        QuoteError::NotPcrValues(_) => Kind::Evidence,
        _ => Kind::Quote,
    };
    Finding::of_host(kind, error.to_string())
}

fn went_back(before: &Proven, clock: &Clock) -> Finding {
    let text = format!(
        "the TPM says reset {}, restart {}, clock {} ms, but it said reset {}, restart {}, clock {} ms \
         before: it was set back, as restoring a snapshot of a virtual machine does",
        clock.reset,
        clock.restart,
        clock.clock,
        before.clock.reset,
        before.clock.restart,
        before.clock.clock,
    );
    Finding::of_host(Kind::WentBack, text)
}

fn reset_jump(unseen: u32) -> Vec<Finding> {
    if unseen == 0 {
        return Vec::new();
    }
    let text = format!(
        "the TPM was reset {unseen} more times than the host attested: nothing is known of these boots"
    );
    vec![Finding::of_host(Kind::ResetJump, text)]
}

/// What the verification found although the records are proven.
fn of_the_log(verdict: &Verdict, first: u64, boot: u32) -> Vec<Finding> {
    let kept = verdict.findings.kept().iter();
    let kept = kept.filter(|finding| finding.gravity() > Gravity::Note);
    let told = kept.take(MAX_FINDINGS).map(|finding| {
        let at = finding.record.map(|record| record.saturating_add(first));
        Finding {
            kind: Kind::Log,
            key: format!("log:{boot}:{:?}:{at:?}", finding.kind),
            text: match at {
                Some(at) => format!("record {at}: {}", finding.text),
                None => finding.text.clone(),
            },
            record: None,
        }
    });
    told.collect()
}

fn starts_with_checkpoint(list: &[u8]) -> bool {
    let Ok((layout, bytes)) = detect::detect(list, None, None) else {
        return false;
    };
    let start = Position::default();
    let mut records = Records::new(bytes, layout.bank.size(), layout.order, start);
    let first = records.next().ok().flatten();
    first.is_some_and(|entry| {
        matches!(
            own_record(&entry.record),
            Ok(Some(OwnRecord::Checkpoint(_)))
        )
    })
}

/// What the records say that are proven and new.
struct Seen {
    findings: Vec<Finding>,
    checkpoint: Option<Checkpoint>,
}

impl Seen {
    fn new(list: &[u8], covered: u64, known: u64, first: u64, boot: u32, policy: &Policy) -> Self {
        let mut seen = Self {
            findings: Vec::new(),
            checkpoint: None,
        };
        let mut more = 0_u64;
        // the very bytes that were verified: nothing can have changed them in memory
        let Ok((layout, bytes)) = detect::detect(list, None, None) else {
            return seen;
        };
        let start = Position::default();
        let mut records = Records::new(bytes, layout.bank.size(), layout.order, start);
        for at in 0..covered {
            let Ok(Some(entry)) = records.next() else {
                break;
            };
            if let Ok(Some(OwnRecord::Checkpoint(checkpoint))) = own_record(&entry.record) {
                let buffer = entry.record.buffer().unwrap_or_default();
                seen.checkpoint = Some(Checkpoint {
                    seq: checkpoint.header().sequence,
                    digest: Digest::new(&Sha256::digest(buffer)),
                });
            }
            if at < known {
                continue;
            }
            let Some(refusal) = policy.refuses(&entry.record) else {
                continue;
            };
            if seen.findings.len() >= MAX_REFUSED {
                more += 1;
                continue;
            }
            let record = policy::name(&entry.record, first + at);
            seen.findings.push(Finding {
                kind: refusal.kind,
                key: format!("record:{boot}:{}", record.index),
                text: format!("{}: {}", record.path, refusal.text),
                record: Some(record),
            });
        }
        if more > 0 {
            let end = first + covered;
            seen.findings.push(Finding {
                kind: Kind::File,
                key: format!("more:{boot}:{end}"),
                text: format!(
                    "the policy refuses {more} more records before record {end}: is it the right one \
                     for this host?"
                ),
                record: None,
            });
        }
        seen
    }
}

#[cfg(test)]
mod tests;
