// SPDX-License-Identifier: GPL-2.0

//! Whether the quotes in a log are of one boot, as the TPM counts.
//!
//! A log is of one boot. Whoever boots another system on the machine can extend its PCRs with what an
//! honest list had, go on as it suits, and have that quoted. The counts of resets give it away, if a
//! quote of the honest boot is in the list.

use crate::{
    endorsement::Moment,
    quote::{KeyName, Quote},
};
use std::collections::BTreeMap;

/// The quotes of each key so far.
#[derive(Debug, Default)]
pub(super) struct Boots(
    // by the key's TPM Name; that of a key without one is empty
    BTreeMap<Vec<u8>, Boot>,
);

#[derive(Clone, Copy, Debug)]
struct Boot {
    reset: u32,
    /// Restart count and clock of quotes over earlier checkpoints. Those over one checkpoint may be
    /// appended in another order than they were made.
    before: Option<(u32, u64)>,
    /// The checkpoint of the newest ones, and the latest of them.
    checkpoint: u64,
    latest: (u32, u64),
}

impl Boots {
    /// Says what is wrong if a quote over this checkpoint cannot be of the same boot as those before.
    pub(super) fn check(&mut self, checkpoint: u64, quoted: &Moment) -> Option<String> {
        let name = quoted.key_name.as_ref().map(KeyName::as_bytes);
        let moment = (quoted.restart_count, quoted.clock);
        let boot = self.0.entry(name.unwrap_or_default().to_vec());
        let boot = boot.or_insert(Boot {
            reset: quoted.reset_count,
            before: None,
            checkpoint,
            latest: moment,
        });
        boot.check(quoted.reset_count, checkpoint, moment)
    }

    /// The same of a quote of which nobody says what it is over, and which may be older than those.
    pub(super) fn other(&self, quote: &Quote) -> Option<String> {
        let name = quote.key_name.as_ref().map(KeyName::as_bytes);
        let boot = self.0.get(name.unwrap_or_default())?;
        boot.other(quote.attest.reset_count)
    }
}

impl Boot {
    fn other(&self, reset: u32) -> Option<String> {
        let was = self.reset;
        (reset != was).then(|| format!("its reset count is {reset}, and was {was}"))
    }

    fn check(&mut self, reset: u32, checkpoint: u64, moment: (u32, u64)) -> Option<String> {
        if self.checkpoint != checkpoint {
            (self.checkpoint, self.before) = (checkpoint, Some(self.latest));
        }
        if let Some(wrong) = self.other(reset) {
            return Some(wrong);
        }
        let (restart, clock) = moment;
        // a key outside of the endorsement hierarchy tells counts with something added to them
        let went_back = |before: u32| restart.wrapping_sub(before) > u32::MAX / 2;
        match self.before {
            Some((before, _)) if went_back(before) => {
                return Some(format!("its restart count is {restart}, and was {before}"));
            }
            Some((_, before)) if clock < before => {
                return Some(format!("its clock says {clock} ms, and said {before} ms"));
            }
            _ => (),
        }
        if !went_back(self.latest.0) {
            self.latest = (restart, clock.max(self.latest.1));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of quotes, each with its checkpoint and reset, restart and clock.
    fn wrong(quotes: &[(u64, u32, u32, u64)]) -> Vec<usize> {
        let mut boot = None;
        let mut wrong = Vec::new();
        for (at, (checkpoint, reset, restart, clock)) in quotes.iter().enumerate() {
            let moment = (*restart, *clock);
            let boot = boot.get_or_insert(Boot {
                reset: *reset,
                before: None,
                checkpoint: *checkpoint,
                latest: moment,
            });
            if boot.check(*reset, *checkpoint, moment).is_some() {
                wrong.push(at);
            }
        }
        wrong
    }

    #[test]
    fn counts_and_clocks_go_on() {
        assert_eq!(
            wrong(&[(1, 7, 0, 100), (2, 7, 0, 100), (3, 7, 2, 101)]),
            [0; 0]
        );
        assert_eq!(
            wrong(&[(1, 7, 0, 100), (2, 8, 0, 200), (3, 7, 0, 300)]),
            [1]
        );
        assert_eq!(wrong(&[(1, 7, 0, 100), (2, 6, 0, 200)]), [1]);
        assert_eq!(wrong(&[(1, 7, 2, 100), (2, 7, 1, 200)]), [1]);
        assert_eq!(wrong(&[(1, 7, 2, 100), (2, 7, 2, 99), (3, 7, 2, 100)]), [1]);
        // obfuscated counts may overflow
        assert_eq!(
            wrong(&[(1, 7, u32::MAX, 100), (2, 7, 0, 200), (3, 7, u32::MAX, 300)]),
            [2]
        );
    }

    #[test]
    fn quotes_over_one_checkpoint_come_in_any_order() {
        assert_eq!(wrong(&[(1, 7, 0, 100), (1, 7, 0, 90), (2, 7, 0, 95)]), [2]);
        assert_eq!(
            wrong(&[(1, 7, 0, 90), (1, 7, 0, 100), (1, 7, 0, 95), (2, 7, 0, 100)]),
            [0; 0]
        );
    }
}
