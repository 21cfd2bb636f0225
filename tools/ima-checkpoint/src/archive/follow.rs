// SPDX-License-Identifier: GPL-2.0

//! The archiver as a service: it waits for what the kernel seals, until it is told to stop.

use super::{archiver::Archiver, live::Live, plan::Wait};
use crate::{
    error::{Error, Result},
    kernel::Watch,
};
use rustix::{
    event::{poll, PollFd, PollFlags, Timespec},
    io::Errno,
};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::{
    io::{self, Read},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

/// How often receipts, and programs that have the list open, are looked for when that would help.
const LOOK: Duration = Duration::from_secs(5);

/// How long a store that failed is left alone.
const STORE: Duration = Duration::from_secs(60);

/// Waiting after a failure, doubled each time.
const RETRY: Duration = Duration::from_secs(5);
const LAST_RETRY: Duration = Duration::from_secs(300);

/// The label of the checkpoints that are made from time to time, and of the last one.
const LABEL: &str = "archiver";
const LAST_LABEL: &str = "archiver stop";

/// Becomes readable when SIGTERM or SIGINT came. While it exists they do not end the program.
pub struct Stop(UnixStream);

impl Stop {
    /// From now on.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn new() -> Result<Self> {
        let pair = || -> io::Result<_> {
            let (read, write) = UnixStream::pair()?;
            read.set_nonblocking(true)?;
            signal_hook::low_level::pipe::register(SIGTERM, write.try_clone()?)?;
            signal_hook::low_level::pipe::register(SIGINT, write)?;
            Ok(read)
        };
        let read = pair().map_err(|error| Error::io("wait for", "signals", error))?;
        Ok(Self(read))
    }

    fn came(&self) -> bool {
        (&self.0).read(&mut [0]).is_ok_and(|read| read > 0)
    }
}

/// Archives until it is to stop; then it seals, archives what is left and keeps the tail. Gives what
/// the last pass waited for.
///
/// # Errors
///
/// The last pass failed: what is not in the archive is still in the kernel.
pub fn follow<L: Live>(
    archiver: &mut Archiver<L>,
    mut watch: Watch,
    stop: &Stop,
    every: Option<Duration>,
) -> Result<Wait> {
    let mut sealed = Instant::now();
    let mut delay = RETRY;
    let mut failure: Option<String> = None;
    loop {
        // what happens from here on wakes the poll
        watch.segments()?;
        let due = every.is_some_and(|every| sealed.elapsed() >= every);
        let sealing = if due { archiver.seal(LABEL) } else { Ok(()) };
        if due && sealing.is_ok() {
            sealed = Instant::now();
        }
        let pass = archiver.pass();
        let limit = match sealing.and(pass) {
            Ok(wait) => {
                if failure.take().is_some() {
                    archiver.notices.event("it works again");
                }
                delay = RETRY;
                let until_due = every.map(|every| every.saturating_sub(sealed.elapsed()));
                [sleep(wait), until_due].into_iter().flatten().min()
            }
            Err(error) => {
                let text = error.to_string();
                if failure.as_ref() != Some(&text) {
                    archiver.notices.failed(error);
                }
                failure = Some(text);
                let limit = delay;
                delay = (delay * 2).min(LAST_RETRY);
                Some(limit)
            }
        };
        wait(&watch, stop, limit)?;
        if stop.came() {
            return finish(archiver);
        }
    }
}

/// How long nothing can happen without an event.
fn sleep(wait: Wait) -> Option<Duration> {
    let look = (wait.receipt || wait.readers).then_some(LOOK);
    let store = wait.store.then_some(STORE);
    // a little later, for the next pass must find it old enough
    let age = wait.age.map(|age| age + Duration::from_millis(1));
    [look, store, age].into_iter().flatten().min()
}

/// Returns when segments were sealed or freed, the time is up, or it is to stop.
fn wait(watch: &Watch, stop: &Stop, limit: Option<Duration>) -> Result<()> {
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    let mut files = [
        PollFd::new(watch, PollFlags::PRI),
        PollFd::new(&stop.0, PollFlags::IN),
    ];
    match poll(&mut files, limit.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(Error::io("wait for", "the kernel", error)),
    }
}

fn finish<L: Live>(archiver: &mut Archiver<L>) -> Result<Wait> {
    // without a checkpoint, all that is not sealed becomes the tail
    if let Err(error) = archiver.seal(LAST_LABEL) {
        archiver
            .notices
            .event(format!("stopping without a checkpoint: {error}"));
    }
    let wait = archiver.pass()?;
    archiver.keep_tail()?;
    Ok(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_first_is_waited_for() {
        let wait = |receipt, readers, age: Option<u64>| {
            sleep(Wait {
                receipt,
                readers,
                age: age.map(Duration::from_millis),
                ..Wait::default()
            })
        };
        let store = Wait {
            store: true,
            ..Wait::default()
        };
        assert_eq!(sleep(store), Some(STORE));
        assert_eq!(wait(false, false, None), None);
        assert_eq!(wait(true, false, None), Some(LOOK));
        assert_eq!(wait(false, true, None), Some(LOOK));
        // a little later than it is due
        assert_eq!(
            wait(false, false, Some(100)),
            Some(Duration::from_millis(101))
        );
        assert_eq!(
            wait(true, false, Some(100)),
            Some(Duration::from_millis(101))
        );
        assert_eq!(wait(true, false, Some(60_000)), Some(LOOK));
    }
}
