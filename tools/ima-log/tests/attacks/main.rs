// SPDX-License-Identifier: GPL-2.0

//! Attacks on a log, and the verdict that each must get.
//!
//! | attack | exit code | test |
//! |---|---|---|
//! | a byte flipped | 1 | `any_byte_flipped` |
//! | a record dropped, doubled, swapped | 1; 5 for a checkpoint | `any_record_dropped_doubled_or_swapped` |
//! | a template or PCR relabelled | 1 | `relabelled` |
//! | two logs spliced | 1 | `two_logs_spliced` |
//! | a base forged | 1 | `bases` |
//! | a list that starts with a checkpoint | 5 | `bases` |
//! | a checkpoint's claims forged | 1 | `claims`, `counts_at_the_limit`, `a_clock_or_a_generation_that_goes_back` |
//! | a truncation forged | 1 | `truncations` |
//! | rewound to an older checkpoint | 1 | `rewound` |
//! | an old quote | 9 | `exit_codes.rs` |
//! | a quote changed, or of another key | 1 | `quote.rs` of ima-log, `exit_codes.rs` |
//! | a quote that lacks a bank or a PCR | 3 | `values_of_too_few_pcrs_or_banks` |
//! | a violation hidden | 1 | `a_violation_hidden` |
//! | cut in a record, a length of 4 GiB | 1 | `cut_and_malformed` |
//! | the event name of a checkpoint on another record | 1 | `event_names_that_are_not_theirs` |
//! | segments missing | 5 | `segments_missing_moved_or_doubled` |
//! | segments moved or doubled | 1 | `segments_missing_moved_or_doubled` |
//! | something else extends the PCR | 1 | `a_foreign_extend` |

mod claims;
#[path = "../common/mod.rs"]
mod common;
mod records;
mod values;

use common::{
    judge::{against, codes, host, judge, kinds, pcrs, split, standing, SHA256},
    Host,
};
use ima_log::{
    bank::Bank,
    replay::Values,
    verify::verdict::{Standing, Verdict},
};
use std::error::Error;

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// The verdict on records, against what the TPM of the host holds.
pub(crate) fn verdict(records: &[Vec<u8>], host: &Host) -> Result<Verdict> {
    Ok(judge(&[&records.concat()], &against(pcrs(host)))?)
}

pub(crate) fn sha1_view(host: &Host) -> Result<Vec<Vec<u8>>> {
    Ok(split(&host.view(Bank::Sha1)?))
}

#[test]
fn untouched() -> Result {
    let host = host()?;
    for bank in [Bank::Sha1, Bank::Sha256] {
        let verdict = judge(&[&host.view(bank)?], &against(pcrs(&host)))?;
        assert_eq!(codes(&verdict), [0], "{:#?}", verdict.findings.kept());
        assert_eq!(kinds(&verdict), []);
        assert_eq!(standing(&verdict, SHA256), Some(Standing::Verified));
        assert_eq!(verdict.log.segments, 4);
    }
    let verdict = judge(&[&host.view(Bank::Sha1)?], &against(Values::new()))?;
    assert_eq!(codes(&verdict), [3]);
    Ok(())
}
