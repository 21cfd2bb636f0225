// SPDX-License-Identifier: GPL-2.0

//! A list, verified against nothing: whatever it says, that proves nothing, and the report is text.

#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../mend.rs"]
mod mend;

use common::judge::{
    against,
    codes,
    judge, //
};
use ima_checkpoint::{
    outcome::Code,
    replay::Values,
    verify::report, //
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let list = mend::list(bytes);
    // a segment of its own for what comes behind the first half, wherever that cuts
    let (front, back) = list.split_at(list.len() / 2);
    for files in [[list.as_slice(), b""], [front, back]] {
        let Ok(verdict) = judge(&files, &against(Values::new())) else {
            continue;
        };
        assert!(!codes(&verdict).contains(&(Code::Verified as u8)));
        assert!(report::text(&verdict)
            .lines()
            .all(|line| !line.contains('\x1b')));
    }
});
