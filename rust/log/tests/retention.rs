// SPDX-License-Identifier: GPL-2.0

//! Freeing without user space.

use super::*;
use crate::{
    abstractions::ima,
    log::testing::{
        Fault,
        When, //
    }, //
};

static BY_NUMBER: Config = Config::new();
static BY_SIZE: Config = Config::new();

#[kunit_tests(ima_checkpoint_retention)]
mod cases {
    use super::*;

    #[test]
    fn as_many_sealed_segments_are_kept_as_configured() -> Result {
        BY_NUMBER.set(b"retain_segments", b"2")?;
        let rig = Rig::configured(true, &BY_NUMBER)?;
        for n in 0..6 {
            let mut held = ima::lock();
            rig.measure_file(&mut held, n)?;
            rig.seal(&mut held)?;
            drop(held);
            ensure_eq!(rig.log.retain(), None);
            ensure_eq!(rig.log.store().count() as u64, u64::from(n + 2).min(3));
        }
        ensure!(shadows_match(&rig, &mut ima::lock())?);
        Ok(())
    }

    #[test]
    fn as_many_sealed_bytes_are_kept_as_configured() -> Result {
        BY_SIZE.set(b"retain_bytes", b"2000")?;
        let rig = Rig::configured(true, &BY_SIZE)?;
        for n in 0..20 {
            let mut held = ima::lock();
            rig.measure_file(&mut held, n)?;
            rig.seal(&mut held)?;
            drop(held);
            ensure_eq!(rig.log.retain(), None);
            let active = rig.log.store().active().start();
            ensure!((active - rig.log.store().start()).bytes <= 2000);
        }
        ensure!(rig.log.store().count() > 2);
        Ok(())
    }

    #[test]
    fn a_tpm_that_fails_frees_nothing_and_is_asked_again_later() -> Result {
        BY_NUMBER.set(b"retain_segments", b"2")?;
        let rig = Rig::configured(true, &BY_NUMBER)?;
        let mut held = ima::lock();
        for n in 0..4 {
            rig.measure_file(&mut held, n)?;
            rig.seal(&mut held)?;
        }
        drop(held);
        rig.machine.fail(Fault::Fails, When::Always);
        ensure!(rig.log.retain().is_some_and(|seconds| seconds > 0));
        let calls = rig.machine.calls();
        // Not before the pause is over.
        ensure!(rig.log.retain().is_some());
        ensure_eq!(rig.machine.calls(), calls);
        ensure_eq!(rig.log.store().count(), 5);
        ensure!(rig.machine.audited().iter().eq(&[Err(EIO)]));
        Ok(())
    }
}
