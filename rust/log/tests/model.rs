// SPDX-License-Identifier: GPL-2.0

//! Random operations, with a TPM and memory that fail, against a list in the plainest form: what
//! the machine appended, one record after the other.
//!
//! A case is a seed: it gives the operations. One that fails is shrunk to the operations that it
//! takes, and printed; `ima_checkpoint.model=FIRST,COUNT` on the kernel's command line runs other
//! cases, or one of them again.

mod look;
mod operation;
mod world;

use self::{
    operation::{
        Operation,
        Random, //
    },
    world::World,
};
use crate::{
    abstractions::command_line,
    config::Config, //
};
use kernel::prelude::*;

/// Cases that run without a wish on the command line.
const CASES: u64 = 60;
/// Operations of a case.
const LENGTH: usize = 120;
/// Files that there are to be measured.
const FILES: u64 = 40;

static SETTINGS: Config = Config::new();

/// What went wrong.
type Fail = &'static str;
type Check<T = ()> = core::result::Result<T, Fail>;

/// Demands that something holds.
fn check(holds: bool, what: Fail) -> Check {
    if holds {
        Ok(())
    } else {
        Err(what)
    }
}

/// Runs the operations of a case that `kept` has; what went wrong, and at which.
fn run(seed: u64, kept: &[bool]) -> core::result::Result<(), (usize, Fail)> {
    let mut random = Random(seed);
    let has_tpm = random.below(8) > 0;
    let mut world = World::new(has_tpm).map_err(|_| (0, "no memory for the test"))?;
    for (at, kept) in kept.iter().enumerate() {
        let operation = Operation::random(&mut random);
        if *kept {
            world.step(operation).map_err(|what| (at, what))?;
        }
    }
    Ok(())
}

/// Drops operations for as long as the rest fails, and prints what is left.
fn shrink(seed: u64, kept: &mut [bool]) {
    loop {
        let mut dropped = false;
        for at in 0..kept.len() {
            if kept[at] {
                kept[at] = false;
                if run(seed, kept).is_err() {
                    dropped = true;
                } else {
                    kept[at] = true;
                }
            }
        }
        if !dropped {
            break;
        }
    }
    let mut random = Random(seed);
    random.below(8);
    for kept in kept.iter() {
        let operation = Operation::random(&mut random);
        if *kept {
            pr_err!("model case {seed}: {operation:?}\n");
        }
    }
    if let Err((_, what)) = run(seed, kept) {
        pr_err!("model case {seed}: {what}\n");
    }
}

/// First and number of the cases that the command line wants.
fn wanted_cases() -> Option<(u64, u64)> {
    let mut numbers = command_line::value(b"ima_checkpoint.model=")?.split(|byte| *byte == b',');
    let mut number = || crate::config::decimal(numbers.next()?);
    Some((number()?, number()?))
}

#[kunit_tests(ima_checkpoint_model)]
mod cases {
    use super::*;

    #[test]
    fn the_log_does_what_a_plain_list_does() -> Result {
        let (first, count) = wanted_cases().unwrap_or((0, CASES));
        let mut failed = 0;
        for seed in first..first.saturating_add(count) {
            let mut kept = [true; LENGTH];
            if run(seed, &kept).is_err() {
                failed += 1;
                if failed <= 3 {
                    shrink(seed, &mut kept);
                }
            }
        }
        pr_info!("model: {count} cases of {LENGTH} operations, {failed} failed\n");
        assert_eq!(failed, 0);
        Ok(())
    }
}
