// SPDX-License-Identifier: GPL-2.0

//! When the next attempt is due.

use crate::error::Error;
use std::time::Duration;

const FIRST: u64 = 2;
const LONGEST: u64 = 300;

/// The pause after so many failures in a row. `random` is 0 to 255: hosts that lost the same server do not
/// come back together.
pub fn pause_after(failures: u32, error: &Error, random: u8) -> Duration {
    let doubled = FIRST.saturating_mul(1 << failures.min(16)).min(LONGEST);
    let told = match error {
        Error::Status { retry_after, .. } => retry_after.unwrap_or(0).min(LONGEST),
        _ => 0,
    };
    // up to half as much again
    let pause = doubled.max(told) * 1000;
    Duration::from_millis(pause + pause * u64::from(random) / 512)
}

/// Is it worthwhile to open a new session?
pub fn is_of_session(error: &Error) -> bool {
    matches!(
        error,
        Error::Status {
            status: 401 | 403,
            ..
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ() {
        let pause = |failures, random| pause_after(failures, &Error::NoBank, random).as_millis();
        assert_eq!([pause(0, 0), pause(1, 0), pause(3, 0)], [2000, 4000, 16000]);
        assert_eq!([pause(30, 0), pause(u32::MAX, 0)], [300_000, 300_000]);
        assert!((2900..3000).contains(&pause(0, 255)));
        let busy = Error::Status {
            what: "x",
            status: 503,
            retry_after: Some(40),
            detail: String::new(),
        };
        assert_eq!(pause_after(0, &busy, 0).as_secs(), 40);
        assert!(!is_of_session(&busy));
    }
}
