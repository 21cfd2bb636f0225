// SPDX-License-Identifier: GPL-2.0

//! Retention without user space: only so much sealed log is kept, the oldest is freed first.
//!
//! Whoever can cause measurements can so push out the evidence of what was before. It is off unless
//! configured, and each truncation is measured. Nobody signs for it, so it cannot be configured
//! where truncations need a signature.

use super::{
    consent::Target,
    Log, //
};
use crate::{
    abstractions::ima,
    config::Setting,
    format::truncate::Reason,
    store::Segment, //
};

impl Log {
    /// Frees what is beyond the configured size. Returns the seconds until the next try, if it
    /// failed.
    pub(super) fn retain(&self) -> Option<u64> {
        let seq = self.beyond()?;
        let pause = {
            let mut held = ima::lock();
            if self.machine.is_suspended(&held) {
                return None;
            }
            self.state.get(&mut held).retention.pause()
        };
        if pause > 0 {
            return Some(pause);
        }
        let result = self.truncate(Reason::Retention, Target::Number(seq));
        let mut held = ima::lock();
        let retry = &mut self.state.get(&mut held).retention;
        retry.note("retention", result);
        result.err().map(|_| retry.pause())
    }

    /// Number of the first segment to be kept, if it is not the oldest.
    fn beyond(&self) -> Option<u64> {
        let most_segments = self.config.get(Setting::RetainSegments);
        let most_bytes = self.config.get(Setting::RetainBytes);
        if most_segments == 0 && most_bytes == 0 {
            return None;
        }
        let active = self.store.active();
        let fits = |first: &Segment| {
            let kept = active.seq().saturating_sub(first.seq());
            let bytes = active.start().bytes.saturating_sub(first.start().bytes);
            (most_segments == 0 || kept <= most_segments)
                && (most_bytes == 0 || bytes <= most_bytes)
        };
        let oldest = self.store.first();
        let mut segments = self.store.walk(oldest);
        let first = segments.find(|segment| fits(segment))?.seq();
        (first > oldest).then_some(first)
    }
}
