// SPDX-License-Identifier: GPL-2.0

//! What the PCRs held, and after which record of the list that was.

use super::Examiner;
use crate::{
    bank::{
        Bank,
        Digest, //
    },
    chain::Chain,
    outcome::{
        Error,
        Result, //
    },
    quote::{
        PcrDigest,
        Quote, //
    },
    records::Position,
    replay::{
        Register,
        Replay,
        Values, //
    },
};
use std::collections::{
    BTreeMap,
    BTreeSet, //
};

/// What the PCRs held, as somebody says whom the user trusts: himself, or with a quote the TPM.
#[derive(Debug, Default)]
pub struct Anchor {
    /// Values. With a quote they only say what PCRs held that the list does not use.
    pub values: Values,
    /// Those that the list must reach even if it has no record of the PCR.
    pub demanded: BTreeSet<Register>,
    /// A quote whose signature was verified.
    pub quote: Option<Quote>,
    /// Why a quote that was given proves nothing. Then nothing else is here.
    pub refused: Option<Error>,
}

/// Where the list reaches what the PCRs held.
#[derive(Clone, Debug, Default)]
pub struct Anchored {
    /// What each PCR was compared with; not known if only a quote's digest was.
    pub expected: BTreeMap<Register, Option<Digest>>,
    /// The place behind the last record that is covered, where there is one.
    pub reached: BTreeMap<Register, Position>,
}

impl Anchor {
    /// The banks in which there is something to compare.
    pub fn banks(&self) -> BTreeSet<Bank> {
        let quoted = self.quote.iter().flat_map(Quote::pcrs);
        let quoted = quoted.filter_map(|pcr| Bank::from_tpm_id(pcr.bank.0));
        let demanded = self.demanded.iter().map(|register| register.bank);
        let values = self.values.keys().map(|register| register.bank);
        match &self.quote {
            Some(_) => quoted.collect(),
            None => demanded.chain(values).collect(),
        }
    }

    /// Looks for the values in the chain, from its end backwards.
    pub(super) fn search(&self, chain: &Chain, examiner: &Examiner<'_>) -> Result<Anchored> {
        match &self.quote {
            Some(quote) => self.search_quote(quote, chain, examiner),
            None => self.search_values(chain, examiner),
        }
    }

    fn search_values(&self, chain: &Chain, examiner: &Examiner<'_>) -> Result<Anchored> {
        let compared = self.values.iter().filter(|(register, _)| {
            chain.values.contains_key(register) && chain.used.contains_key(&register.pcr)
                || self.demanded.contains(register)
        });
        let mut left: Values = compared
            .map(|(register, value)| (*register, *value))
            .collect();
        let mut anchored = Anchored {
            expected: left.iter().map(|(at, value)| (*at, Some(*value))).collect(),
            reached: BTreeMap::new(),
        };
        for segment in chain.segments.iter().rev() {
            take(
                &mut left,
                &mut anchored.reached,
                segment.summary.end,
                |register| value_of(&segment.summary.values, register),
            );
        }
        if let Some(first) = chain.segments.first() {
            take(
                &mut left,
                &mut anchored.reached,
                first.summary.start,
                |register| value_of(&first.summary.base, register),
            );
        }
        for (number, segment) in chain.segments.iter().enumerate().rev() {
            left.retain(|register, _| chain.used.contains_key(&register.pcr));
            if left.is_empty() {
                break;
            }
            examiner.watch(number, &segment.summary.base, |after, replay| {
                take(&mut left, &mut anchored.reached, after, |register| {
                    replay.value(register)
                });
            })?;
        }
        Ok(anchored)
    }

    fn search_quote(
        &self,
        quote: &Quote,
        chain: &Chain,
        examiner: &Examiner<'_>,
    ) -> Result<Anchored> {
        let quoted: Vec<Register> = quote
            .pcrs()
            .filter_map(|pcr| {
                let bank = Bank::from_tpm_id(pcr.bank.0)?;
                Some(Register {
                    pcr: pcr.number,
                    bank,
                })
            })
            .filter(|register| chain.used.contains_key(&register.pcr))
            .collect();
        let mut unknown = quoted.iter();
        if let Some(unknown) = unknown.find(|register| !chain.values.contains_key(register)) {
            return Err(Error::usage(format!(
                "the quote is also over {unknown}: say by --base what that held before the list, too"
            )));
        }
        let mut anchored = Anchored {
            expected: quoted.iter().map(|register| (*register, None)).collect(),
            reached: BTreeMap::new(),
        };
        if quoted.is_empty() {
            return Ok(anchored);
        }
        let mut found = None;
        for (number, segment) in chain.segments.iter().enumerate().rev() {
            let base = &segment.summary.base;
            let mut digest = self.digest(quote, chain, base)?;
            let mut end = digest.clone();
            set(&mut end, &quoted, |register| {
                value_of(&segment.summary.values, register)
            });
            if end.matches() {
                found = Some(segment.summary.end);
                break;
            }
            if digest.matches() && number == 0 {
                found = Some(segment.summary.start);
                break;
            }
            examiner.watch(number, base, |after, replay: &Replay| {
                set(&mut digest, &quoted, |register| replay.value(register));
                if digest.matches() {
                    found = Some(after);
                }
            })?;
            if found.is_some() {
                break;
            }
        }
        if let Some(found) = found {
            anchored.reached = quoted.iter().map(|register| (*register, found)).collect();
        }
        Ok(anchored)
    }

    /// The digest of the quoted PCRs, with those that the list uses as at the start of a segment.
    fn digest(&self, quote: &Quote, chain: &Chain, base: &Values) -> Result<PcrDigest> {
        let search = quote.search(|bank, pcr| {
            let register = Register { pcr, bank };
            match chain.used.contains_key(&pcr) {
                true => Some(value_of(base, register)),
                false => self.values.get(&register).or(base.get(&register)).copied(),
            }
        });
        search.map_err(|missing| {
            let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
            let missing = missing.join(", ");
            Error::usage(format!(
                "the quote is also over {missing}, which this list does not use: give their values \
                 by --pcrs or --pcr"
            ))
        })
    }
}

fn value_of(values: &Values, register: Register) -> Digest {
    values
        .get(&register)
        .copied()
        .unwrap_or(register.bank.zeros())
}

fn set(digest: &mut PcrDigest, registers: &[Register], value: impl Fn(Register) -> Digest) {
    for register in registers {
        digest.set(register.bank, register.pcr, &value(*register));
    }
}

/// Moves what is reached here from `left` to `reached`.
fn take(
    left: &mut Values,
    reached: &mut BTreeMap<Register, Position>,
    at: Position,
    value: impl Fn(Register) -> Digest,
) {
    left.retain(|register, wanted| {
        let here = value(*register) == *wanted;
        if here {
            reached.insert(*register, at);
        }
        !here
    });
}
