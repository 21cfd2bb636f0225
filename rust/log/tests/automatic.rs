// SPDX-License-Identifier: GPL-2.0

//! When a checkpoint is due.

use super::*;
use crate::{
    abstractions::ima,
    config::Config,
    log::automatic::{
        Due,
        Fresh, //
    },
};

fn config(lines: &[u8]) -> Result<Config> {
    let config = Config::new();
    config.set_lines(lines)?;
    Ok(config)
}

/// The same log, after a kexec.
fn restored(rig: &Rig, held: &mut Extend) -> Result<Rig> {
    let copy = Rig::new(false)?;
    copy.log.restore_into(held, &dumped(&rig.log, 0)?)?;
    Ok(copy)
}

fn due(rig: &Rig, held: &mut Extend, config: &Config) -> Due {
    rig.log.state.get(held).fresh.due(config, 0)
}

#[kunit_tests(ima_checkpoint_automatic)]
mod cases {
    use super::*;

    #[test]
    fn nothing_is_due_without_a_limit_or_a_record() -> Result {
        let none = Config::new();
        let all = config(b"checkpoint_records=1\ncheckpoint_bytes=1\ncheckpoint_seconds=1")?;
        let mut fresh = Fresh::default();
        ensure_eq!(fresh.due(&all, u64::MAX), Due::Never);
        ensure_eq!(fresh.count(&none, 100), Due::Never);
        ensure_eq!(fresh.due(&none, u64::MAX), Due::Never);
        ensure_eq!(fresh.due(&all, 0), Due::Now);
        Ok(())
    }

    #[test]
    fn records_and_bytes_are_counted() -> Result {
        let records = config(b"checkpoint_records=3")?;
        let bytes = config(b"checkpoint_bytes=250")?;
        let mut fresh = Fresh::default();
        ensure_eq!(fresh.count(&records, 100), Due::Never);
        ensure_eq!(fresh.count(&records, 100), Due::Never);
        ensure_eq!(fresh.due(&bytes, 0), Due::Never);
        ensure_eq!(fresh.count(&records, 100), Due::Now);
        ensure_eq!(fresh.due(&records, 0), Due::Now);
        ensure_eq!(fresh.due(&bytes, 0), Due::Now);
        Ok(())
    }

    #[test]
    fn the_first_record_starts_the_clock() -> Result {
        let config = config(b"checkpoint_seconds=60")?;
        let mut fresh = Fresh::default();
        ensure_eq!(fresh.count(&config, 100), Due::InSeconds(60));
        ensure_eq!(fresh.count(&config, 100), Due::Never);
        ensure!(matches!(fresh.due(&config, 0), Due::InSeconds(60)));
        ensure_eq!(fresh.due(&config, u64::MAX), Due::Now);
        Ok(())
    }

    #[test]
    fn the_log_s_own_records_are_nothing_new() -> Result {
        let mut held = ima::lock();
        let rig = Rig::new(false)?;
        let all = config(b"checkpoint_records=1")?;
        rig.measure_file(&mut held, 1)?;
        ensure_eq!(due(&rig, &mut held, &all), Due::Now);
        rig.seal(&mut held)?;
        ensure_eq!(due(&rig, &mut held, &all), Due::Never);
        cut(&rig.log, &mut held, 1)?;
        ensure_eq!(rig.log.store().live().records, 2);
        ensure_eq!(due(&rig, &mut held, &all), Due::Never);
        // The next kernel sees it the same way.
        let copy = restored(&rig, &mut held)?;
        ensure_eq!(due(&copy, &mut held, &all), Due::Never);
        rig.measure_file(&mut held, 2)?;
        let copy = restored(&rig, &mut held)?;
        ensure_eq!(due(&copy, &mut held, &all), Due::Now);
        Ok(())
    }
}
