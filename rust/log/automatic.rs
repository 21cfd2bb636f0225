// SPDX-License-Identifier: GPL-2.0

//! What the log does on its own, in a worker, so that no measurement waits for it: checkpoints that
//! the configuration asks for, retention, and the digests of what was freed.

use super::{
    error_name,
    Log, //
};
use crate::{
    abstractions::ima::{
        self,
        Extend, //
    },
    config::{
        Config,
        Setting, //
    },
    format::checkpoint::{
        Flags,
        Label, //
    },
    store::known::Step,
};
use kernel::{
    prelude::*,
    sync::Arc,
    time::{
        msecs_to_jiffies,
        BootTime,
        ClockSource, //
    },
    workqueue::{
        self,
        impl_has_delayed_work,
        impl_has_work,
        WorkItem, //
    },
};

/// The work item that does what is due.
pub(super) const DUTY: u64 = 0;
/// The work item that waits, and then has it done.
pub(super) const NAP: u64 = 1;

/// Seconds between two looks at the clock: one that waits cannot be told of a new configuration,
/// and does not count the time that the machine was suspended.
const LONGEST_NAP: u64 = 5;
/// Most seconds between two tries.
const LONGEST_PAUSE: u64 = 64;

impl_has_work! {
    impl HasWork<Self, 0> for Log { self.duty }
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self, 1> for Log { self.nap }
}

impl WorkItem<DUTY> for Log {
    type Pointer = Arc<Self>;

    fn run(log: Arc<Self>) {
        log.do_what_is_due();
    }
}

impl WorkItem<NAP> for Log {
    type Pointer = Arc<Self>;

    // Only one worker at a time works for the log.
    fn run(log: Arc<Self>) {
        let _ = workqueue::system_freezable().enqueue::<Arc<Self>, DUTY>(log);
    }
}

/// Has the worker look whether anything is due. If it is asked already, that serves.
pub(super) fn wake() {
    if let Some(log) = Log::shared() {
        let _ = workqueue::system_freezable().enqueue::<Arc<Log>, DUTY>(log.clone());
    }
}

/// Has the worker look after so many seconds, or somewhat earlier.
pub(super) fn wake_in(seconds: u64) {
    if let Some(log) = Log::shared() {
        let millis = seconds.clamp(1, LONGEST_NAP).saturating_mul(1000) as u32;
        let _ = workqueue::system_freezable()
            .enqueue_delayed::<Arc<Log>, NAP>(log.clone(), msecs_to_jiffies(millis));
    }
}

/// Seconds since boot, those included in which the machine was suspended.
fn now() -> u64 {
    u64::try_from(BootTime::ktime_get()).unwrap_or_default() / 1_000_000_000
}

/// Records of the active segment that no checkpoint covers. The log's own do not count, or each
/// truncation would ask for another checkpoint.
#[derive(Default)]
pub(super) struct Fresh {
    records: u64,
    bytes: u64,
    /// Time of the first of them.
    since: u64,
    /// A checkpoint is due whatever the numbers are.
    asked: bool,
}

/// When a checkpoint is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    Now,
    InSeconds(u64),
    /// Not unless something is measured.
    Never,
}

impl Fresh {
    /// Counts a record that was just appended. Tells when a checkpoint is due, if the worker may
    /// not know.
    pub(super) fn count(&mut self, config: &Config, bytes: u64) -> Due {
        if self.records == 0 {
            self.since = now();
        }
        self.records = self.records.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.is_full(config) {
            return Due::Now;
        }
        match config.get(Setting::CheckpointSeconds) {
            limit if limit > 0 && self.records == 1 => Due::InSeconds(limit),
            _ => Due::Never,
        }
    }

    fn is_full(&self, config: &Config) -> bool {
        let reached = |setting, value| {
            let limit = config.get(setting);
            limit > 0 && value >= limit
        };
        self.asked
            || reached(Setting::CheckpointRecords, self.records)
            || reached(Setting::CheckpointBytes, self.bytes)
    }

    /// When a checkpoint is due.
    pub(super) fn due(&self, config: &Config, now: u64) -> Due {
        if self.records == 0 {
            return Due::Never;
        }
        if self.is_full(config) {
            return Due::Now;
        }
        match config.get(Setting::CheckpointSeconds) {
            0 => Due::Never,
            limit => match limit.saturating_sub(now.saturating_sub(self.since)) {
                0 => Due::Now,
                left => Due::InSeconds(left),
            },
        }
    }
}

/// Work that failed is tried again, after ever longer pauses.
#[derive(Default)]
pub(super) struct Retry {
    /// Failures since it last succeeded, or was not due: the pauses grow with them.
    failures: u32,
    /// Time of the next try.
    at: u64,
    /// Failures since it last succeeded, whatever was due meanwhile. The kernel log knows of them.
    outage: u32,
}

/// What the kernel log is to hear of a try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum News {
    Nothing,
    /// It failed, and had not failed before.
    Failed,
    /// It succeeded after so many failures.
    Succeeded(u32),
}

impl Retry {
    /// Seconds until the next try; 0 if it may be now.
    pub(super) fn pause(&self) -> u64 {
        if self.failures == 0 {
            return 0;
        }
        self.at.saturating_sub(now())
    }

    /// Something is being tried again.
    pub(super) fn is_pausing(&self) -> bool {
        self.failures > 0
    }

    /// What failed is not due any more: somebody else did it, or the configuration changed. That
    /// does not say that it would succeed now, so the outage goes on.
    pub(super) fn give_up(&mut self) {
        self.failures = 0;
    }

    /// Counts a try that ended at `now`, and tells what is new about it.
    pub(super) fn count(&mut self, now: u64, succeeded: bool) -> News {
        if succeeded {
            self.failures = 0;
            return match core::mem::take(&mut self.outage) {
                0 => News::Nothing,
                failures => News::Succeeded(failures),
            };
        }
        let pause = 1u64.checked_shl(self.failures).unwrap_or(LONGEST_PAUSE);
        self.at = now.saturating_add(pause.min(LONGEST_PAUSE));
        self.failures = self.failures.saturating_add(1);
        self.outage = self.outage.saturating_add(1);
        match self.outage {
            1 => News::Failed,
            _ => News::Nothing,
        }
    }

    /// Notes how `what` ended. The kernel log hears of the first failure, and when it is over.
    pub(super) fn note(&mut self, what: &str, result: Result) {
        match (self.count(now(), result.is_ok()), result) {
            (News::Succeeded(failures), _) => {
                pr_info!("{what} succeeded again after {failures} failures\n");
            }
            (News::Failed, Err(error)) => {
                pr_warn!("{what} failed: {}; will retry\n", error_name(error));
            }
            _ => (),
        }
    }
}

impl Log {
    /// A kexec image is being loaded.
    pub(crate) fn kexec_loads(&self) {
        if self.config.get(Setting::CheckpointKexecLoad) == 0 {
            return;
        }
        let mut held = ima::lock();
        let suspended = self.machine.is_suspended(&held);
        let state = self.state.get(&mut held);
        if suspended || state.fresh.records == 0 {
            return;
        }
        state.fresh.asked = true;
        if self.seal_automatically(&mut held).is_err() {
            // Nobody else may have a reason to.
            wake();
        }
    }

    /// Does what is due.
    fn do_what_is_due(&self) {
        let mut next = self.seal_if_due();
        #[cfg(CONFIG_IMA_CHECKPOINT_RETENTION)]
        {
            next = [next, self.retain()].into_iter().flatten().min();
        }
        if let Some(seconds) = next.take() {
            wake_in(seconds);
        }
        if self.tidy() {
            wake();
        }
    }

    /// Returns the seconds until the next look at the clock, if it takes one.
    fn seal_if_due(&self) -> Option<u64> {
        let mut held = ima::lock();
        if self.machine.is_suspended(&held) {
            return None;
        }
        let state = self.state.get(&mut held);
        match state.fresh.due(self.config, now()) {
            Due::Never => {
                state.retry.give_up();
                return None;
            }
            Due::InSeconds(seconds) => {
                state.retry.give_up();
                return Some(seconds);
            }
            Due::Now if state.retry.pause() > 0 => return Some(state.retry.pause()),
            Due::Now => (),
        }
        let result = self.seal_automatically(&mut held);
        result
            .err()
            .map(|_| self.state.get(&mut held).retry.pause())
    }

    fn seal_automatically(&self, held: &mut Extend) -> Result {
        let result = self
            .seal(held, Label::default(), Flags::AUTOMATIC)
            .map(|_| ());
        let state = self.state.get(held);
        state.retry.note("the automatic checkpoint", result);
        result
    }

    /// Does a step of what the duplicate check has to do. False if nothing is left.
    pub(super) fn tidy(&self) -> bool {
        let scope = self.config.duplicate_scope();
        let step = {
            let mut held = ima::lock();
            self.state
                .get(&mut held)
                .known
                .next_step(&self.store, scope)
        };
        match step {
            Step::Done => return false,
            Step::Drop(garbage) => drop(garbage),
            Step::Digest(records) => {
                let digests = records.digest(&self.platform);
                let garbage = {
                    let mut held = ima::lock();
                    self.state.get(&mut held).known.digested(digests)
                };
                drop(garbage);
            }
        }
        true
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kunit_tests(ima_checkpoint_retry)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_said_once() {
        let mut retry = Retry::default();
        assert_eq!(retry.count(0, true), News::Nothing);
        assert_eq!(retry.count(0, false), News::Failed);
        // Somebody else seals, again and again, while it fails for us.
        for now in 1..174 {
            retry.give_up();
            assert!(!retry.is_pausing());
            assert_eq!(retry.count(now, false), News::Nothing);
        }
        retry.give_up();
        assert_eq!(retry.count(174, true), News::Succeeded(174));
        assert_eq!(retry.count(175, true), News::Nothing);
        assert_eq!(retry.count(176, false), News::Failed);
        assert_eq!(retry.count(177, true), News::Succeeded(1));
    }

    #[test]
    fn pauses_grow_until_it_succeeds_or_is_not_due() {
        let mut retry = Retry::default();
        for pause in [1, 2, 4, 8, 16, 32, 64, 64, 64] {
            retry.count(1000, false);
            assert!(retry.is_pausing());
            assert_eq!(retry.at, 1000 + pause);
        }
        for _ in 0..100 {
            retry.count(u64::MAX, false);
        }
        assert_eq!(retry.at, u64::MAX);
        retry.give_up();
        assert!(!retry.is_pausing());
        assert_eq!(retry.pause(), 0);
        retry.count(1000, false);
        assert_eq!(retry.at, 1001);
        retry.count(1000, true);
        assert!(!retry.is_pausing());
    }
}
