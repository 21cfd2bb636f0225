// SPDX-License-Identifier: GPL-2.0

//! What must be true of a verdict, by what really happened on the machine.

use crate::{
    bank::{Bank, Digest, Register},
    host::PCR,
    judge::{Judged, Verified},
    kernel::Kernel,
    quotes::{self, Made, KNOWN},
    record::Record,
    strategies::{Case, Strategy},
};

/// What is wrong with a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrong {
    /// An honest log was refused.
    Refused,
    /// What is called verified starts from something that nobody vouches for.
    Start,
    /// What is called verified starts from a break that the verifier did not mean to accept.
    Break,
    /// Records before an endorsed checkpoint are not those that led to it.
    Leading,
    /// Records are called verified in a bank in which all rests on SHA-1.
    Weak,
    /// Something was extended into a PCR, and no bank of it is called verified.
    Unproven,
    /// The digests are not those that the TPM was extended with.
    Digests,
    /// A register is called verified that nobody gave the value of.
    Unanchored,
    /// A PCR that the verifier asked for, and that IMA uses, is not mentioned.
    Unmentioned,
    /// A checkpoint that covers what digests do not is not seen.
    HiddenCheckpoint,
    /// A sealed record has another template, PCR or content than the checkpoint was made of.
    SealedRecord,
    /// A record is told as one of another template, and that is not said.
    Ambiguous,
}

/// Says what is wrong with a verdict, if anything is.
pub(crate) fn check(case: &Case, judged: &Judged) -> Result<(), Wrong> {
    if judged.exit != 0 {
        return match must_be_verified(case) {
            true => Err(Wrong::Refused),
            false => Ok(()),
        };
    }
    for verified in &judged.verified {
        digests(case, verified)?;
        leading(case, verified)?;
    }
    mentioned(case, judged)?;
    proven(case, judged)?;
    if !case.strategy.is_root() {
        sealed(case, end(case, judged))?;
        for verified in &judged.verified {
            unambiguous(case, judged, verified)?;
        }
    }
    Ok(())
}

/// The newest quote in the list whose key the verifier knows.
fn newest_quote(case: &Case) -> Option<&Made> {
    let verifier = &case.verifier;
    let made = case.host.made.iter().filter(|made| {
        let is_here = made
            .record
            .is_some_and(|record| record >= verifier.base_record);
        let is_later = made.moment >= verifier.base_moment;
        is_here && is_later && made.key < KNOWN && verifier.has_keys
    });
    made.max_by_key(|made| made.moment)
}

/// Does a quote cover all PCRs that were used when it was made, in a bank that counts? One that was
/// first used after the checkpoint is not named by it.
fn covers_all(case: &Case, made: &Made) -> bool {
    let host = &case.host;
    let records = host.records.iter().zip(&host.moments);
    let used = records.filter(|(_, (_, after))| *after <= made.moment);
    let used: Vec<u32> = used.map(|(record, _)| record.pcr).collect();
    let mut banks = host.tpm.banks.iter();
    banks.any(|bank| {
        let mut used = used.iter();
        !host.kernel.is_weak(*bank) && used.all(|pcr| made.registers.contains(&(*pcr, *bank)))
    })
}

/// Is there nothing that could be wrong, for a verifier who asked for enough and knows the start?
pub(crate) fn must_be_verified(case: &Case) -> bool {
    let verifier = &case.verifier;
    let banks = case.host.tpm.banks.iter();
    let mut strong = banks.filter(|bank| !case.host.kernel.is_weak(**bank));
    let needed = |bank: Bank| case.host.used().into_iter().map(move |pcr| (pcr, bank));
    let asked = strong.any(|bank| {
        needed(*bank).all(|register| {
            let mut anchors = verifier.anchors.iter();
            anchors.any(|(anchor, _)| *anchor == register)
        })
    });
    let started = case.host.tpm.banks.iter().all(|bank| {
        needed(*bank).all(|register| {
            let held = case.host.tpm.value_at(register, verifier.base_moment);
            held == bank.zeros() || verifier.base.contains_key(&register)
        })
    });
    // the furthest that is proven decides
    let asked = match newest_quote(case) {
        Some(quote) if verifier.anchors.is_empty() => covers_all(case, quote),
        Some(quote) if quote.moment > verifier.moment => asked && covers_all(case, quote),
        _ => asked,
    };
    let honest = case.strategy == Strategy::Honest && verifier.told && !case.host.disturbed;
    honest && asked && (started || rests_on_endorsement(case))
}

/// Does all that a list starts with rest on the endorsement of its first checkpoint, in the banks that
/// count?
fn rests_on_endorsement(case: &Case) -> bool {
    let (host, verifier) = (&case.host, &case.verifier);
    let Some(at) = verifier.endorsed.filter(|at| *at == verifier.base_record) else {
        return false;
    };
    let endorsed = host.endorsable(at);
    let banks = host.tpm.banks.iter();
    let mut strong = banks.filter(|bank| !host.kernel.is_weak(**bank));
    let later = |pcr| host.records[..at].iter().all(|record| record.pcr != pcr);
    let is_zero = |(pcr, bank): Register| {
        later(pcr) && host.tpm.value_at((pcr, bank), host.moments[at].0) == bank.zeros()
    };
    let is_known = |register: Register| endorsed.contains_key(&register) || is_zero(register);
    // a quote is of all banks at once, also of those that prove nothing
    let named = quotes::named(&host.records[at]);
    let mut quoted = verifier.anchors.iter().filter(|_| verifier.quoted);
    let is_told = |register: Register| named.contains(&register) || is_zero(register);
    quoted.all(|(register, _)| is_told(*register))
        && verifier.moment >= host.moments[at].1
        && strong.all(|bank| host.used().into_iter().all(|pcr| is_known((pcr, *bank))))
}

/// Where what is called verified begins.
struct Beginning {
    /// The moment from which the TPM's history of a register must be in the list.
    moment: usize,
    /// The record of the machine that came next then.
    record: usize,
}

fn begins(case: &Case, verified: &Verified) -> Result<Beginning, Wrong> {
    let (host, verifier) = (&case.host, &case.verifier);
    let is_there = |at: &usize| case.list.records.get(verified.first) == Some(&host.records[*at]);
    let at = |record: usize| Beginning {
        moment: host.moments[record].0,
        record,
    };
    if verified.accepted {
        let accepted = verifier.accepts.ok_or(Wrong::Start)?;
        return match is_there(&accepted) {
            true => Ok(at(accepted)),
            false => Err(Wrong::Break),
        };
    }
    let register = verified.register();
    let whole = is_whole(case, verified);
    if whole && verifier.base.contains_key(&register) {
        return Ok(Beginning {
            moment: verifier.base_moment,
            record: verifier.base_record,
        });
    }
    let endorsed = verifier.endorsed.filter(is_there);
    match endorsed.filter(|at| host.endorsable(*at).contains_key(&register)) {
        Some(endorsed) => Ok(at(endorsed)),
        None if whole => Ok(Beginning {
            moment: 0,
            record: verifier.base_record,
        }),
        None => Err(Wrong::Start),
    }
}

/// The moment from which the TPM's history of a register must be in the list.
fn start(case: &Case, verified: &Verified) -> Result<usize, Wrong> {
    Ok(begins(case, verified)?.moment)
}

/// Are records before an endorsed checkpoint those that the TPM was extended with last?
fn leading(case: &Case, verified: &Verified) -> Result<(), Wrong> {
    let (host, register) = (&case.host, verified.register());
    let start = begins(case, verified)?;
    if verified.accepted || verified.first == 0 || case.verifier.endorsed != Some(start.record) {
        return Ok(());
    }
    // something else was extended before a break that is accepted
    let accepted = case.verifier.accepts.map(|at| &host.records[at]);
    let mut records = case.list.records[..=verified.first].iter();
    let from = accepted.and_then(|accepted| records.position(|record| record == accepted));
    let before = Verified {
        first: from.unwrap_or(0),
        end: verified.first,
        ..*verified
    };
    let told = of_register(case, &before, host.kernel).map(|(_, digest)| digest);
    let told: Vec<Digest> = told.collect();
    let got = host.tpm.between(register, 0, start.moment);
    let skipped = got.len().checked_sub(told.len()).ok_or(Wrong::Leading)?;
    match got.into_iter().skip(skipped).eq(&told) {
        true => Ok(()),
        false => Err(Wrong::Leading),
    }
}

/// Are the digests of the records that are called verified those that the TPM got, in order?
fn digests(case: &Case, verified: &Verified) -> Result<(), Wrong> {
    let register = verified.register();
    if moments(case, register).next().is_none() {
        return Err(Wrong::Unanchored);
    }
    // that nothing was extended shows in the value alone
    if register.1.is_weak() && of_register(case, verified, Kernel::Usual).next().is_some() {
        return Err(Wrong::Weak);
    }
    let from = start(case, verified)?;
    // root can extend the full digests, whatever the kernel does
    if proven_at(case, verified, from, Kernel::Usual).is_some() {
        return Ok(());
    }
    match proven_at(case, verified, from, case.host.kernel) {
        Some(_) => Err(Wrong::Weak),
        None => Err(Wrong::Digests),
    }
}

/// The moments at which a register was looked at: by the verifier, and by quotes of known keys.
fn moments(case: &Case, register: Register) -> impl Iterator<Item = usize> + '_ {
    let verifier = &case.verifier;
    let mut anchors = verifier.anchors.iter();
    let asked = anchors.any(|(anchor, _)| *anchor == register);
    let quoted = case.host.made.iter().filter(move |made| {
        verifier.has_keys && made.key < KNOWN && made.registers.contains(&register)
    });
    let quoted = quoted.map(|made| made.moment);
    asked.then_some(verifier.moment).into_iter().chain(quoted)
}

/// The latest of these at which the digests that are called verified, as this kernel extends them, were
/// all that the TPM had got.
fn proven_at(case: &Case, verified: &Verified, from: usize, kernel: Kernel) -> Option<usize> {
    let register = verified.register();
    let told: Vec<Digest> = of_register(case, verified, kernel)
        .map(|(_, digest)| digest)
        .collect();
    let is_so = |moment: &usize| {
        // a quote in the list may be a little older than the verifier's base
        let nothing_since = case.host.tpm.between(register, *moment, from).is_empty();
        let got = case.host.tpm.between(register, from, *moment);
        (*moment >= from || nothing_since) && got.into_iter().eq(&told)
    };
    moments(case, register).filter(is_so).max()
}

/// The moment up to which the default PCR is called verified.
fn end(case: &Case, judged: &Judged) -> usize {
    let of_default = judged.verified.iter().filter(|one| one.pcr == PCR);
    let ends =
        of_default.filter_map(|one| proven_at(case, one, start(case, one).ok()?, Kernel::Usual));
    ends.max().unwrap_or(case.verifier.moment)
}

/// Are all records of the PCR from the start of the list on called verified?
fn is_whole(case: &Case, verified: &Verified) -> bool {
    let mut records = case.list.records.iter().take(verified.first);
    records.all(|record| record.pcr != verified.pcr)
}

/// The records of the list that are called verified: place, and what this kernel extends.
fn of_register<'a>(
    case: &'a Case,
    verified: &Verified,
    kernel: Kernel,
) -> impl Iterator<Item = (usize, Digest)> + 'a {
    let (pcr, bank) = verified.register();
    let end = verified.end.min(case.list.records.len());
    let first = verified.first.min(end);
    let range = case.list.records[first..end].iter().enumerate();
    let of_pcr = range.filter(move |(_, record)| record.pcr == pcr);
    of_pcr.map(move |(at, record)| (first + at, kernel.extended(record, bank)))
}

/// Records that the kernel made between the start and the moment that the verifier asks about.
fn covered(case: &Case, end: usize) -> impl Iterator<Item = (usize, &Record)> {
    let start = case.verifier.base_record;
    let moments = &case.host.moments;
    let records = case.host.records.iter().enumerate().skip(start);
    records.filter(move |(at, _)| moments[*at].1 <= end)
}

fn mentioned(case: &Case, judged: &Judged) -> Result<(), Wrong> {
    // what the verifier asked for is of its own moment, whatever a quote in the list proves later
    let forgotten = covered(case, case.verifier.moment).any(|(_, record)| {
        let mut anchors = case.verifier.anchors.iter();
        let asked = anchors.any(|((pcr, _), _)| *pcr == record.pcr);
        asked && !judged.mentioned.contains(&record.pcr)
    });
    match forgotten {
        true => Err(Wrong::Unmentioned),
        false => Ok(()),
    }
}

/// Is each PCR called verified that a record was extended into up to where the default one is?
fn proven(case: &Case, judged: &Judged) -> Result<(), Wrong> {
    let ends = judged.verified.iter();
    let ends = ends.filter(|one| one.pcr == PCR).map(|one| one.end);
    let end = ends.max().ok_or(Wrong::Unproven)?;
    let mut covered = case.list.records.iter().take(end);
    let proven = |pcr| judged.verified.iter().any(|one| one.pcr == pcr);
    match covered.all(|record| proven(record.pcr)) {
        true => Ok(()),
        false => Err(Wrong::Unproven),
    }
}

/// Are sealed segments those that their checkpoints were made of, in all that they show?
fn sealed(case: &Case, end: usize) -> Result<(), Wrong> {
    let records = &case.list.records;
    let verifier = &case.verifier;
    let first = verifier.accepts.unwrap_or(verifier.base_record);
    let first = first.max(verifier.endorsed.unwrap_or(0));
    for (at, checkpoint) in covered(case, end) {
        let number = case.host.checkpoints.binary_search(&at);
        let Some(number) = number.ok().filter(|_| at >= first) else {
            continue;
        };
        let place = records.iter().position(|record| record == checkpoint);
        let place = place.ok_or(Wrong::HiddenCheckpoint)?;
        let start = match number.checked_sub(1) {
            Some(before) => case.host.checkpoints[before],
            None => 0,
        };
        // of the segment in which the verifier starts only a part is here
        if start >= first && at > start {
            let sealed = &case.host.records[start..at];
            let here = place
                .checked_sub(sealed.len())
                .map(|from| &records[from..place]);
            if here != Some(sealed) {
                return Err(Wrong::SealedRecord);
            }
        }
    }
    Ok(())
}

/// Is it said of records that look like another template that they do?
fn unambiguous(case: &Case, judged: &Judged, verified: &Verified) -> Result<(), Wrong> {
    let (pcr, _) = verified.register();
    let from = begins(case, verified)?.record;
    let made = case.host.records[from..].iter();
    let made = made.filter(|record| record.pcr == pcr);
    let told = of_register(case, verified, Kernel::Usual).map(|(at, _)| at);
    let silent = told.zip(made).any(|(at, made)| {
        let legacy = case.list.records[at].template == "ima";
        // of what a violation says, no digest tells
        let told = legacy != (made.template == "ima") && !made.violation;
        told && !judged.reported.contains(&at)
    });
    match silent {
        true => Err(Wrong::Ambiguous),
        false => Ok(()),
    }
}
