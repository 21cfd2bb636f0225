// SPDX-License-Identifier: GPL-2.0

//! Finds out what the kernel extends into each bank.
//!
//! No list says whether a bank holds digests of its own hash, or SHA-1 digests followed by
//! zeros, and the bank alone does not tell, because it depends on the kernel. So a list that does not
//! fit what the PCRs held is verified again as that of such a kernel. Each of these verdicts stands by
//! itself, by the same rule: a bank that is treated as padded is weak, and proves nothing.

use super::{
    finding::{Finding, Kind},
    policy::{Contents, Policy},
    verdict::{Outcome, Standing, Verdict},
};
use crate::bank::{Bank, Content};
use std::collections::BTreeSet;

/// Banks of which each may differ from the others. Hosts have two or three.
const MAX_BANKS: u32 = 4;

/// Verifies a list as what most kernels extend. If that does not fit, verifies it again as what others
/// extend, and gives the verdict that fits best.
///
/// # Errors
///
/// Those of `verify`, which reads the list from its start each time.
pub fn settle<E>(
    policy: &Policy,
    mut verify: impl FnMut(&Policy) -> Result<Verdict, E>,
) -> Result<Verdict, E> {
    let mut best = verify(policy)?;
    let (mut fit, mut found) = (misfit(&best), &policy.contents);
    let others = match fit.1 {
        0 => Vec::new(),
        _ => others(&best, policy),
    };
    for contents in &others {
        let other = verify(&Policy {
            contents: contents.clone(),
            ..policy.clone()
        })?;
        let misfit = misfit(&other);
        if misfit < fit {
            (best, fit, found) = (other, misfit, contents);
        }
        if fit.1 == 0 {
            break;
        }
    }
    for (bank, content) in found {
        if *content != Content::usual(*bank) {
            best.find(Finding::new(Kind::PaddedBank, told(*bank, *content)));
        }
    }
    Ok(best)
}

/// How badly a list fits what the PCRs held: the worse, the greater.
fn misfit(verdict: &Verdict) -> (Outcome, usize) {
    let missed = verdict.registers.iter().filter(|one| match one.standing {
        Standing::Mismatch => true,
        Standing::Unanchored => one.expected.is_some_and(|value| !value.is_zero()),
        _ => false,
    });
    let findings = verdict.findings.kept().iter();
    let findings = findings.filter(|finding| {
        let suspect = matches!(
            finding.kind,
            Kind::Value | Kind::Broken | Kind::Mismatch | Kind::QuoteMismatch
        );
        suspect && !finding.uncovered
    });
    let reached = verdict.registers.iter();
    let reached = reached.filter(|one| one.standing != Standing::Unanchored);
    let is_quoted = verdict.quote.is_some() || !verdict.quotes.shown.is_empty();
    let quote = usize::from(is_quoted && reached.count() == 0);
    (verdict.outcome(), missed.count() + findings.count() + quote)
}

/// May another kernel than most explain what does not fit? Then [`settle`] verifies it again.
pub fn is_worth_settling(verdict: &Verdict) -> bool {
    misfit(verdict).1 > 0
}

/// What other kernels extend: an old one, and one that lacks hashes of banks, the fewest first.
fn others(verdict: &Verdict, policy: &Policy) -> Vec<Contents> {
    let banks = verdict.registers.iter().map(|one| one.register.bank);
    let banks: BTreeSet<Bank> = banks.filter(|bank| *bank != Bank::Sha1).collect();
    let set = |changed: &dyn Fn(usize) -> bool| {
        let changed = banks.iter().enumerate().filter(|(at, _)| changed(*at));
        let changed = changed.map(|(_, bank)| {
            let content = match Content::usual(*bank) {
                Content::Own => Content::Unallocated,
                _ => Content::Own,
            };
            (*bank, content)
        });
        let mut contents = policy.contents.clone();
        contents.extend(changed);
        contents
    };
    let old = banks.iter().map(|bank| (*bank, Content::Padded));
    let old = policy.contents.clone().into_iter().chain(old).collect();
    let mut sets: Vec<u32> = (1..1 << MAX_BANKS.min(banks.len() as u32)).collect();
    sets.sort_by_key(|set| set.count_ones());
    let lacking = sets.iter().map(|bits| set(&|at| bits >> at & 1 == 1));
    std::iter::once(old).chain(lacking).collect()
}

fn told(bank: Bank, content: Content) -> String {
    match content {
        Content::Own => format!("the kernel extends {bank} with digests of its own hash"),
        Content::Padded => format!(
            "the kernel extends {bank} with SHA-1 digests followed by zeros, as kernels before \
             5.8 do: {bank} rests on SHA-1"
        ),
        Content::Unallocated => format!(
            "the kernel extends {bank} with SHA-1 digests followed by zeros, as it does when it \
             logs \"ima: Can not allocate {bank}\": {bank} rests on SHA-1"
        ),
    }
}
