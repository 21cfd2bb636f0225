// SPDX-License-Identifier: GPL-2.0

//! Handing the list over: what fits, what is left behind, and what is said of it.

use super::*;
use crate::{
    abstractions::ima,
    format::kexec::Header,
    log::{
        kexec::MIN_SIZE,
        testing::{
            Fault,
            When, //
        }, //
    },
};

/// A log whose last segment alone fits `MIN_SIZE` bytes.
fn long(held: &mut Extend) -> Result<Rig> {
    let rig = Rig::new(true)?;
    for n in 0..600 {
        rig.measure_file(held, n)?;
    }
    rig.violate(held)?;
    rig.seal(held)?;
    rig.measure_file(held, 600)?;
    Ok(rig)
}

#[kunit_tests(ima_checkpoint_handover)]
mod cases {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_behind_in_whole_segments() -> Result {
        let mut held = ima::lock();
        let log = example(false, &mut held)?.log;
        let segments = log.segments()?;
        let all = Header::SIZE + log.store().live().bytes as usize;
        let last = (log.store().end() - segments[2].start()).bytes as usize;
        ensure!(log.fits(&segments[0], all, 0));
        ensure!(!log.fits(&segments[0], all - 1, 0));
        ensure!(!log.fits(&segments[0], all, 1));
        ensure!(log.fits(&segments[2], Header::SIZE + last, 0));
        ensure!(!log.fits(&segments[2], usize::MAX, usize::MAX));
        Ok(())
    }

    #[test]
    fn the_whole_list_goes_over_if_it_fits() -> Result {
        let mut held = ima::lock();
        let rig = long(&mut held)?;
        let mut buffer = KVVec::zeroed(rig.log.kexec_size(), GFP_KERNEL)?;
        rig.log.suspend(&mut held, true, buffer.len());
        drop(held);
        let len = rig.log.dump(&mut buffer);
        ensure!(rig.machine.audited().is_empty());
        let next = Rig::booted(rig.machine.clone(), true, &CONFIG)?;
        next.log.restore(buffer.get(..len).ok_or(EINVAL)?)?;
        let mut held = ima::lock();
        ensure_eq!(next.log.store().first(), 0);
        ensure!(same_segments(&rig.log, &next.log, 0)?);
        ensure!(shadows_match(&next, &mut held)?);
        ensure_eq!(next.machine.violations(), 1);
        drop(held);
        next.log.compare_with_tpm();
        let mut held = ima::lock();
        ensure!(!next.log.state.get(&mut held).lost);
        Ok(())
    }

    #[test]
    fn what_is_left_behind_is_measured_and_audited() -> Result {
        let mut held = ima::lock();
        let rig = long(&mut held)?;
        let mut buffer = KVVec::zeroed(MIN_SIZE, GFP_KERNEL)?;
        rig.log.suspend(&mut held, true, buffer.len());
        drop(held);
        let len = rig.log.dump(&mut buffer);
        ensure!(rig.machine.audited().iter().eq(&[Ok(())]));
        let next = Rig::booted(rig.machine.clone(), true, &CONFIG)?;
        next.log.restore(buffer.get(..len).ok_or(EINVAL)?)?;
        let mut held = ima::lock();
        ensure!(next.log.store().first() > 0);
        ensure!(shadows_match(&next, &mut held)?);
        Ok(())
    }

    #[test]
    fn a_truncation_that_is_not_measured_is_not_audited_as_a_success() -> Result {
        let mut held = ima::lock();
        let rig = long(&mut held)?;
        rig.machine.fail(Fault::Fails, When::Always);
        let mut buffer = KVVec::zeroed(MIN_SIZE, GFP_KERNEL)?;
        rig.log.suspend(&mut held, true, buffer.len());
        drop(held);
        ensure!(rig.log.dump(&mut buffer) > Header::SIZE);
        ensure!(rig.machine.audited().iter().eq(&[Err(EIO)]));
        Ok(())
    }

    #[test]
    fn a_buffer_that_carries_nothing_says_so() -> Result {
        let mut held = ima::lock();
        let rig = example(true, &mut held)?;
        rig.log.suspend(&mut held, true, Header::SIZE);
        drop(held);
        // The memory of an image is not always zeroed.
        let mut buffer = [0xa5; 2 * Header::SIZE];
        ensure_eq!(rig.log.dump(&mut buffer), Header::SIZE);
        let (header, records) =
            Header::parse(&buffer, rig.log.platform().order()).map_err(|_| EINVAL)?;
        ensure_eq!(header.count, 0);
        ensure!(records.is_empty());
        let next = Rig::new(true)?;
        next.log.restore(&buffer)?;
        ensure_eq!(next.log.store().end().records, 0);
        Ok(())
    }
}
