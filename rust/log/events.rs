// SPDX-License-Identifier: GPL-2.0

//! Waiting for seals and frees.

use kernel::{
    new_poll_condvar,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Release, //
        },
        poll::PollCondVar, //
    },
};

/// Counts seals and frees, and wakes who waits for them.
#[pin_data]
pub(crate) struct Events {
    count: Atomic<u64>,
    #[pin]
    poll: PollCondVar,
}

impl Events {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            count: Atomic::new(0),
            poll <- new_poll_condvar!("ima_checkpoint_events"),
        })
    }

    /// Seals and frees so far.
    pub(crate) fn changes(&self) -> u64 {
        self.count.load(Acquire)
    }

    /// To wait on.
    pub(crate) fn poll(&self) -> &PollCondVar {
        &self.poll
    }

    /// A segment was sealed, or some were freed.
    pub(super) fn notify(&self) {
        self.count.fetch_add(1, Release);
        self.poll.notify_all();
    }
}
