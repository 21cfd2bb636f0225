// SPDX-License-Identifier: GPL-2.0

//! The logs that IMA asked for.

use super::Log;
use crate::{
    platform::Platform,
    store::Span, //
};
use kernel::{
    prelude::*,
    sync::{
        Arc,
        SetOnce, //
    },
};

/// The logs that IMA asked for, of which the last counts. When IMA cannot be initialised with the
/// hash of `ima_hash=`, it tries once more with the default hash, which other banks may belong to.
pub(super) struct Attempts([SetOnce<Arc<Log>>; 2]);

impl Attempts {
    pub(super) const fn new() -> Self {
        Self([SetOnce::new(), SetOnce::new()])
    }

    /// The log that counts.
    pub(super) fn last(&self) -> Option<&Arc<Log>> {
        self.0.iter().rev().find_map(SetOnce::as_ref)
    }

    /// Makes a log; changes nothing if the last one has the same environment. EINVAL if there are
    /// records in that, or no further attempt is allowed.
    pub(super) fn add(
        &self,
        platform: Platform,
        make: impl FnOnce(Platform) -> Result<Arc<Log>>,
    ) -> Result {
        match self.last() {
            Some(log) if log.platform == platform => return Ok(()),
            Some(log) if log.store.end() != Span::default() => return Err(EINVAL),
            _ => (),
        }
        let free = self.0.iter().find(|log| log.as_ref().is_none());
        free.ok_or(EINVAL)?.populate(make(platform)?);
        Ok(())
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kunit_tests(ima_checkpoint_attempts)]
mod tests {
    use super::{
        super::testing::Rig,
        *, //
    };
    use crate::abstractions::ima;

    /// IMA asks for a log in an environment with a TPM or without one. Gives the log and its
    /// machine, unless there was one.
    fn attempt(attempts: &Attempts, has_tpm: bool) -> Result<Option<Rig>> {
        let mut made = None;
        let platform = Platform::with_tpm(Log::get().ok_or(ENODEV)?.platform(), has_tpm)?;
        attempts.add(platform, |platform| {
            let rig = made.insert(Rig::new(platform.has_tpm())?);
            Ok(rig.log.clone())
        })?;
        Ok(made)
    }

    /// Is it the log that counts?
    fn counts(attempts: &Attempts, log: &Arc<Log>) -> bool {
        attempts.last().is_some_and(|last| Arc::ptr_eq(last, log))
    }

    #[test]
    fn a_second_environment_counts_while_nothing_is_measured() -> Result {
        let attempts = Attempts::new();
        assert!(attempts.last().is_none());
        let first = attempt(&attempts, false)?.ok_or(EINVAL)?;
        assert!(counts(&attempts, &first.log));
        assert!(attempt(&attempts, false)?.is_none());
        assert!(counts(&attempts, &first.log));

        let second = attempt(&attempts, true)?.ok_or(EINVAL)?;
        assert!(counts(&attempts, &second.log));
        assert!(attempt(&attempts, true)?.is_none());
        // IMA tries no third time.
        assert!(attempt(&attempts, false).err() == Some(EINVAL));
        assert!(counts(&attempts, &second.log));
        second.measure_file(&mut ima::lock(), 1)?;
        assert_eq!(second.log.store().end().records, 1);
        assert!(attempt(&attempts, true)?.is_none());
        Ok(())
    }

    #[test]
    fn records_are_not_left_for_a_second_environment() -> Result {
        let attempts = Attempts::new();
        let first = attempt(&attempts, false)?.ok_or(EINVAL)?;
        first.measure_file(&mut ima::lock(), 1)?;
        assert!(attempt(&attempts, true).err() == Some(EINVAL));
        assert!(counts(&attempts, &first.log));
        assert!(attempt(&attempts, false)?.is_none());
        Ok(())
    }
}
