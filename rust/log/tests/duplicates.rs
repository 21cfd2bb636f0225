// SPDX-License-Identifier: GPL-2.0

//! The duplicate check, across truncations.

use super::*;
use crate::{
    abstractions::ima,
    config::Config,
    store, //
};

static LIVE: Config = Config::new();

#[kunit_tests(ima_checkpoint_duplicates)]
mod cases {
    use super::*;

    #[test]
    fn known_digests_are_those_measured_here() -> Result {
        let mut held = ima::lock();
        let rig = Rig::new(false)?;
        let log = &rig.log;
        ensure!(!knows(log, &mut held, 1)?);
        for n in 0..1000 {
            rig.measure_file(&mut held, n)?;
        }
        let unique = log.platform().unique();
        for n in 0..1000 {
            ensure_eq!(knows(log, &mut held, n)?, unique);
            ensure!(!knows(log, &mut held, n + 1000)?);
        }
        let known = log.state.get(&mut held).known.len();
        rig.violate(&mut held)?;
        ensure_eq!(log.state.get(&mut held).known.len(), known);
        Ok(())
    }

    #[test]
    fn a_digest_is_known_in_its_pcr_only() -> Result {
        let mut held = ima::lock();
        let rig = Rig::new(false)?;
        let log = &rig.log;
        rig.measure_file(&mut held, 1)?;
        let (_, digests) = with_file(log, 1, |record| record.encode(log.platform()))?;
        let digest = digests
            .get(log.platform().hash_index())
            .ok_or(EINVAL)?
            .value();
        let digest = digest.get(..log.platform().hash_size()).ok_or(EINVAL)?;
        let pcr = log.platform().pcr();
        ensure_eq!(
            log.is_known(&mut held, pcr, digest),
            log.platform().unique()
        );
        ensure!(!log.is_known(&mut held, pcr + 1, digest));
        Ok(())
    }

    #[test]
    fn freed_digests_stay_known_in_scope_log() -> Result {
        let rig = Rig::new(false)?;
        let log = &rig.log;
        let unique = log.platform().unique();
        let mut held = ima::lock();
        for n in 0..3000 {
            rig.measure_file(&mut held, n)?;
            if n % 1000 == 500 {
                rig.seal(&mut held)?;
            }
        }
        // Known before the worker has come to it, meanwhile, and after it.
        cut(log, &mut held, 2)?;
        for n in 0..3000 {
            ensure_eq!(knows(log, &mut held, n)?, unique);
        }
        drop(held);
        let before = store::committed_bytes();
        while log.tidy() {
            let mut held = ima::lock();
            ensure_eq!(knows(log, &mut held, 0)?, unique);
            ensure_eq!(knows(log, &mut held, 1500)?, unique);
        }
        if unique {
            ensure!(store::committed_bytes() < before);
        }
        let mut held = ima::lock();
        for n in 0..3000 {
            ensure_eq!(knows(log, &mut held, n)?, unique);
            ensure!(!knows(log, &mut held, n + 3000)?);
        }
        cut(log, &mut held, 3)?;
        drop(held);
        while log.tidy() {}
        let mut held = ima::lock();
        for n in 0..3000 {
            ensure_eq!(knows(log, &mut held, n)?, unique);
        }
        let memory = log.state.get(&mut held).known.memory();
        // 2500 were freed; a block more of digests, and buckets that are half full.
        ensure!(memory < 3000 * 48 + 65536);
        Ok(())
    }

    #[test]
    fn nothing_is_kept_of_freed_digests_in_scope_live() -> Result {
        LIVE.set(b"duplicate_scope", b"live")?;
        let rig = Rig::configured(false, &LIVE)?;
        let log = &rig.log;
        let mut held = ima::lock();
        for n in 0..3000 {
            rig.measure_file(&mut held, n)?;
            if n == 1999 {
                rig.seal(&mut held)?;
            }
        }
        cut(log, &mut held, 1)?;
        drop(held);
        while log.tidy() {}
        let mut held = ima::lock();
        for n in 0..3000 {
            let known = log.platform().unique() && n >= 2000;
            ensure_eq!(knows(log, &mut held, n)?, known);
        }
        let state = log.state.get(&mut held);
        ensure!(state.known.len() <= 1003);
        ensure!(state.known.memory() < 1000 * 16);
        Ok(())
    }
}
