// SPDX-License-Identifier: GPL-2.0

//! A TPM that fails at any call, and memory that runs out at any allocation: each gives an error or
//! none, and the list stays whole.

use super::*;
use crate::{
    abstractions::ima,
    format::{
        checkpoint::State,
        kexec::Header, //
    },
    log::testing::{
        Fault,
        When, //
    },
    memory::failing::failing_at,
};

/// More than any operation allocates.
const MOST_ALLOCATIONS: u64 = 1000;

/// What is done while something fails.
type Operation = fn(&Rig, &mut Extend) -> Result;

fn first_use(rig: &Rig, held: &mut Extend) -> Result {
    let pcr = rig.log.platform().pcr() + 1;
    with_file(&rig.log, 50, |file| {
        let file = crate::log::testing::TestRecord { pcr, ..*file };
        rig.measure(held, &file)
    })
}

fn append(rig: &Rig, held: &mut Extend) -> Result {
    rig.measure_file(held, 51)
}

fn seal(rig: &Rig, held: &mut Extend) -> Result {
    rig.seal(held).map(|_| ())
}

fn truncate(rig: &Rig, held: &mut Extend) -> Result {
    cut(&rig.log, held, 2)
}

fn suspend(rig: &Rig, held: &mut Extend) -> Result {
    rig.log.suspend(held, true, rig.log.kexec_size());
    Ok(())
}

const OPERATIONS: [Operation; 5] = [first_use, append, seal, truncate, suspend];

/// The list is whole, and the log goes on: two checkpoints later nothing is left of the fault.
fn recovers(rig: &Rig, held: &mut Extend) -> Result {
    after_kexec(rig, held)?;
    rig.seal(held)?;
    rig.measure_file(held, 60)?;
    rig.seal(held)?;
    for pcr in rig.log.state.get(held).pcrs.iter() {
        let matches = |register: &crate::log::shadow::Register| {
            matches!(
                register.state(),
                Some(State::Match | State::Virtual | State::Unshadowed)
            )
        };
        ensure!(pcr.registers().iter().all(matches));
    }
    ensure!(shadows_match(rig, held)?);
    cut(&rig.log, held, rig.log.store().first() + 1)?;
    after_kexec(rig, held)?;
    Ok(())
}

#[kunit_tests(ima_checkpoint_faults)]
mod cases {
    use super::*;

    #[test]
    fn a_tpm_that_fails_at_any_call_costs_no_record() -> Result {
        for operation in OPERATIONS {
            for fault in [Fault::Fails, Fault::Lies, Fault::Meddles] {
                for call in 0.. {
                    let mut held = ima::lock();
                    let rig = example(true, &mut held)?;
                    rig.machine.fail(fault, When::At(call));
                    let result = operation(&rig, &mut held);
                    ensure!(matches!(result, Ok(()) | Err(EIO)));
                    let calls = rig.machine.calls();
                    rig.machine.fail(fault, When::Never);
                    recovers(&rig, &mut held)?;
                    if call >= calls {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    #[test]
    fn a_tpm_that_is_gone_leaves_no_record_that_is_not_true() -> Result {
        let mut held = ima::lock();
        let rig = example(true, &mut held)?;
        let end = rig.log.store().end();
        rig.machine.fail(Fault::Fails, When::Always);
        ensure_eq!(cut(&rig.log, &mut held, 2), Err(EIO));
        ensure!(rig.seal(&mut held).is_err());
        drop(held);
        ensure_eq!(rig.log.configure(b"duplicate_scope=live"), Err(EIO));
        ensure!(rig.log.store().end() == end);
        Ok(())
    }

    #[test]
    fn memory_that_runs_out_at_any_allocation_costs_no_record() -> Result {
        for operation in OPERATIONS {
            for victim in 0..MOST_ALLOCATIONS {
                let mut held = ima::lock();
                let rig = example(true, &mut held)?;
                let end = rig.log.store().end();
                let (result, reached) = failing_at(victim, || operation(&rig, &mut held));
                ensure!(matches!(result, Ok(()) | Err(ENOMEM)));
                ensure!(result.is_ok() || rig.log.store().end() == end);
                recovers(&rig, &mut held)?;
                if !reached {
                    ensure!(result.is_ok());
                    break;
                }
                ensure!(victim + 1 < MOST_ALLOCATIONS);
            }
        }
        Ok(())
    }

    #[test]
    fn a_restore_that_runs_out_of_memory_leaves_what_it_restored() -> Result {
        let mut held = ima::lock();
        let rig = example(true, &mut held)?;
        for first in 0..3 {
            let buffer = dumped(&rig.log, first)?;
            for victim in 0..MOST_ALLOCATIONS {
                let copy = Rig::booted(rig.machine.clone(), true, &CONFIG)?;
                let (result, reached) =
                    failing_at(victim, || copy.log.restore_into(&mut held, &buffer));
                ensure!(matches!(result, Ok(()) | Err(ENOMEM)));
                if !reached {
                    ensure!(result.is_ok());
                    break;
                }
                // Each checkpoint in the list starts a segment, and nothing else does.
                let whole = dumped(&copy.log, copy.log.store().first())?;
                let (header, _) =
                    Header::parse(&whole, copy.log.platform().order()).map_err(|_| EINVAL)?;
                ensure_eq!(header.count, copy.log.store().live().records);
                let again = Rig::booted(rig.machine.clone(), true, &CONFIG)?;
                again.log.restore_into(&mut held, &whole)?;
                ensure!(same_segments(&copy.log, &again.log, 0)?);
                ensure_eq!(again.log.state.get(&mut held).doubted, 0);
                ensure!(victim + 1 < MOST_ALLOCATIONS);
            }
        }
        Ok(())
    }
}
