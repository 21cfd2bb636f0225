// SPDX-License-Identifier: GPL-2.0

//! What came before IMA and beside it: the boot aggregates, the firmware's event log, and PCRs that the
//! list does not explain.

use super::{
    aggregate::{self, Fit},
    finding::{Finding, Kind},
    judge::Judge,
    verdict::Unexplained,
};
use crate::{bank::Digest, eventlog, replay::Register};

/// PCRs that nothing extends once IMA measures, so that the firmware's log must explain them.
const FIRMWARE: std::ops::RangeInclusive<u32> = 0..=9;

impl Judge<'_> {
    /// Quoted or given PCRs that the list has no record of.
    pub(super) fn outside(&mut self) {
        let mut outside: Vec<(Register, Digest)> = Vec::new();
        if let Some(quote) = self.quote() {
            if let Some(reached) = &quote.reached {
                let unused = quote.outside.iter();
                let unused = unused.filter(|(at, ..)| reached.iter().all(|(used, _)| used != at));
                outside.extend(unused.map(|(at, value, _)| (*at, *value)));
            }
        }
        let unused = self.search.wanted.iter().filter(|wanted| {
            wanted.reached.is_none() && !self.used_when_covered(wanted.register.pcr)
        });
        outside.extend(unused.map(|wanted| (wanted.register, wanted.value)));
        outside.retain(|(register, value)| {
            let firmware = self.policy.firmware.get(register) == Some(value);
            let base = self.policy.base.get(register) == Some(value);
            let unused = *value == eventlog::reset(*register, 0);
            !value.is_zero() && !unused && !firmware && !base
        });
        let outside = outside.into_iter();
        let unexplained = outside.map(|(register, value)| Unexplained { register, value });
        self.verdict.unexplained = unexplained.collect();
        self.other_values();
    }

    /// Values that were given beside a quote and are not what it says, of PCRs that the list uses.
    pub(super) fn other_values(&mut self) {
        let Some(reached) = self.quote().and_then(|quote| quote.reached.clone()) else {
            return;
        };
        for (register, _) in reached {
            let given = self.policy.anchor.values.get(&register);
            let snapshot = self.search.snapshot.as_ref();
            let quoted = snapshot.and_then(|snapshot| {
                let mut held = snapshot.held.iter();
                held.find(|held| held.register == register)
                    .map(|held| held.value)
            });
            if let (Some(given), Some(quoted)) = (given, quoted) {
                if *given != quoted {
                    let text = format!(
                        "the value that was given for {register} is not that of the quote: it is \
                         from another time, and was not used"
                    );
                    self.find(Kind::OtherValue, text);
                }
            }
        }
    }

    /// What a PCR held when IMA started, as far as it is known.
    pub(super) fn firmware_value(&self, register: Register) -> Option<Digest> {
        if let Some(quote) = self.quote() {
            quote.reached.as_ref()?;
            let mut quoted = quote.outside.iter();
            if let Some((_, value, _)) = quoted.find(|(at, ..)| *at == register) {
                return Some(*value);
            }
        }
        self.policy.anchor.values.get(&register).copied()
    }

    pub(super) fn aggregates(&mut self) {
        for (aggregate, at) in std::mem::take(&mut self.chain.aggregates) {
            let fit = aggregate::fit(&aggregate, |register| self.firmware_value(register));
            let (kind, text) = match fit {
                Fit::Right | Fit::Unknown => continue,
                Fit::Old => (
                    Kind::OldAggregate,
                    "boot_aggregate leaves out PCRs 8 and 9, as kernels before 5.8 do",
                ),
                Fit::Wrong => (
                    Kind::BootAggregate,
                    "boot_aggregate is not the hash of PCRs 0 to 9 (0 to 7 in sha1): the list is \
                     from another boot or another machine",
                ),
            };
            let text = text.to_owned();
            self.verdict.find(Finding { kind, text, ..at });
        }
    }

    /// Does the firmware's event log replay to what the PCRs held?
    pub(super) fn firmware(&mut self) {
        for (register, logged) in &self.policy.firmware {
            let used = self.used_when_covered(register.pcr);
            if !FIRMWARE.contains(&register.pcr) || used {
                continue;
            }
            let held = self.firmware_value(*register);
            if let Some(held) = held.filter(|held| held != logged) {
                let text = format!(
                    "{register} held {held}, but the event log replays to {logged}: it is from \
                     another boot, or was changed"
                );
                self.verdict.find(Finding::new(Kind::EventLog, text));
            }
        }
    }
}
