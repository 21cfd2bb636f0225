// SPDX-License-Identifier: GPL-2.0

//! From sources of bytes to an observer, on several threads.
//!
//! One thread reads and parses batches, extends the PCRs and tells the observer, all in order. What
//! does not depend on order, the template digests, is done by whoever is free, this thread
//! too when it would only wait. Segments are hashed in order, by whoever finds the next batch ready.
//! So a list is worked on by all processors whether or not it has segments, and nothing that a list
//! claims decides how.

use super::{
    digests::Digests,
    seal::{Sealed, Sealer},
    Introduction, Observer, Place, Replay, Seen,
};
use crate::{
    bank::{Bank, Content},
    list::{
        batch::{Batch, Batches},
        detect::Layout,
        records::{Fault, Position},
    },
};
use std::{
    collections::{BTreeMap, VecDeque},
    io::Read,
    sync::{Condvar, Mutex, MutexGuard},
    thread,
};

/// Bytes of batches that are read ahead, at most; one batch is always read.
const AHEAD: usize = 8 << 20;

/// Bytes with records.
pub struct Source<'a> {
    /// What messages call it.
    pub name: String,
    /// The bytes, which are read once.
    pub bytes: Box<dyn Read + 'a>,
    /// How the records are written.
    pub layout: Layout,
    /// The segment that it is, if it is said to be one.
    pub segment: Option<u64>,
    /// Hash its segments?
    pub seals: bool,
}

impl Source<'_> {
    fn introduction(&self) -> Introduction {
        Introduction {
            name: self.name.clone(),
            segment: self.segment,
            layout: self.layout,
        }
    }
}

/// How to replay.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The banks to replay, and what is extended into them.
    pub banks: Vec<(Bank, Content)>,
    /// Threads that may work.
    pub jobs: usize,
    /// Compare the template digests of the list with those that are computed?
    pub checks: bool,
}

/// What goes through the pipeline: records, and what is told before and after them.
struct Work {
    introduction: Option<Introduction>,
    seals: bool,
    batch: Option<Batch>,
    /// Why nothing more can be read, and after which place.
    fault: Option<(Position, Fault)>,
    digests: Digests,
    sealed: Vec<(usize, Sealed)>,
}

/// Reads sources, one after the other as one list, and tells the observer of all that is in them.
///
/// # Errors
///
/// A source cannot be had, or the observer wants it to stop.
pub fn run<'a, O: Observer>(
    sources: impl Iterator<Item = Result<Source<'a>, O::Error>>,
    plan: &Plan,
    observer: &mut O,
) -> Result<Replay, O::Error> {
    let shared = Shared::new(plan);
    thread::scope(|scope| {
        let _end = End(&shared);
        for _ in 1..plan.jobs {
            scope.spawn(|| shared.help_until_the_end());
        }
        let mut list = List {
            replay: Replay::new(plan.banks.iter().map(|(bank, _)| *bank).collect()),
            observer,
            record: 0,
        };
        let mut reader = Reader::new(sources);
        let (mut read, mut told) = (0, 0);
        loop {
            while shared.has_room() {
                let Some(work) = reader.next()? else {
                    break;
                };
                shared.put(read, work);
                read += 1;
            }
            if told == read {
                return Ok(list.replay);
            }
            list.tell(shared.take(told))?;
            told += 1;
        }
    })
}

/// Gives the work of one source after the other.
struct Reader<'a, I> {
    sources: I,
    current: Option<(Batches<Box<dyn Read + 'a>>, bool)>,
    introduction: Option<Introduction>,
}

impl<'a, E, I: Iterator<Item = Result<Source<'a>, E>>> Reader<'a, I> {
    fn new(sources: I) -> Self {
        Self {
            sources,
            current: None,
            introduction: None,
        }
    }

    fn next(&mut self) -> Result<Option<Work>, E> {
        loop {
            let Some((batches, seals)) = &mut self.current else {
                let Some(source) = self.sources.next().transpose()? else {
                    return Ok(None);
                };
                self.introduction = Some(source.introduction());
                self.current = Some((Batches::new(source.bytes, source.layout), source.seals));
                continue;
            };
            let mut work = Work {
                introduction: None,
                seals: *seals,
                batch: None,
                fault: None,
                digests: Digests::default(),
                sealed: Vec::new(),
            };
            match batches.next() {
                Ok(Some(batch)) => work.batch = Some(batch),
                Ok(None) => {
                    self.current = None;
                    // a source without any record is told of as well
                    if self.introduction.is_none() {
                        continue;
                    }
                }
                Err(fault) => {
                    work.fault = Some((batches.position(), fault));
                    self.current = None;
                }
            }
            work.introduction = self.introduction.take();
            return Ok(Some(work));
        }
    }
}

/// The end of the pipeline: what happens in the order of the list.
struct List<'o, O> {
    replay: Replay,
    observer: &'o mut O,
    /// Records so far.
    record: u64,
}

impl<O: Observer> List<'_, O> {
    fn tell(&mut self, work: Work) -> Result<(), O::Error> {
        if let Some(introduction) = &work.introduction {
            self.observer.source(introduction, self.record)?;
        }
        let mut inner = work.batch.as_ref().map(Batch::position).unwrap_or_default();
        if let Some(batch) = &work.batch {
            let mut remarks = work.digests.remarks.iter().peekable();
            let mut sealed = work.sealed.iter().peekable();
            for (number, item) in batch.items().iter().enumerate() {
                let at = Place {
                    record: self.record,
                    inner,
                };
                while let Some((_, remark)) = remarks.next_if(|(at, _)| *at == number) {
                    let sealed = sealed.next_if(|(at, _)| *at == number);
                    let sealed = sealed.map_or(Sealed::Nothing, |(_, sealed)| *sealed);
                    let replay = &mut self.replay;
                    self.observer.remark(at, remark, &sealed, replay)?;
                }
                let observer = &*self.observer;
                let start = |register| observer.start(register);
                let digests = &work.digests;
                self.replay
                    .extend(*item, self.record, digests, number, start);
                let seen = Seen {
                    at,
                    batch,
                    item: *item,
                };
                self.observer.record(&seen, &self.replay)?;
                self.record += 1;
                inner.record += 1;
                inner.offset += item.length();
            }
        }
        if let Some((inner, fault)) = work.fault {
            let record = self.record;
            self.observer.fault(Place { record, inner }, fault)?;
        }
        Ok(())
    }
}

/// What threads share.
struct Shared<'p> {
    plan: &'p Plan,
    state: Mutex<State>,
    /// Something is to be done, or was done.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Without template digests yet, by their number.
    waiting: VecDeque<(u64, Work)>,
    /// With template digests, but segments are not hashed.
    digested: BTreeMap<u64, Work>,
    /// Ready to be told.
    ready: BTreeMap<u64, Work>,
    /// Who hashes segments; nobody has it while somebody is at it.
    sealer: Option<Sealer>,
    /// Number of the work whose segments are hashed next.
    next: u64,
    /// Bytes of all work here and in somebody's hands.
    bytes: usize,
    ended: bool,
    /// A helper panicked, so that its work is never done.
    failed: bool,
}

/// Tells that a helper panicked, so that nobody waits for its work.
struct Alive<'s, 'p>(&'s Shared<'p>);

impl Drop for Alive<'_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().failed = true;
            self.0.changed.notify_all();
        }
    }
}

/// Ends the helpers, also if the observer stopped or somebody panicked.
struct End<'s, 'p>(&'s Shared<'p>);

impl Drop for End<'_, '_> {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

impl<'p> Shared<'p> {
    fn new(plan: &'p Plan) -> Self {
        Self {
            plan,
            state: Mutex::new(State {
                sealer: Some(Sealer::default()),
                ..State::default()
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // a thread that panicked ends the program when it is joined
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// May more be read ahead?
    fn has_room(&self) -> bool {
        let state = self.lock();
        let held = state.waiting.len() + state.digested.len() + state.ready.len();
        state.bytes == 0 || (state.bytes < AHEAD && held < 4 * self.plan.jobs)
    }

    fn put(&self, number: u64, work: Work) {
        let mut state = self.lock();
        state.bytes += size(&work);
        state.waiting.push_back((number, work));
        self.changed.notify_one();
    }

    /// Waits until this work is done, and does what is to be done meanwhile.
    fn take(&self, number: u64) -> Work {
        let mut state = self.lock();
        loop {
            if let Some(work) = state.ready.remove(&number) {
                state.bytes -= size(&work);
                return work;
            }
            assert!(!state.failed, "a thread of the replay panicked");
            state = match self.work(state) {
                (state, true) => state,
                (state, false) => self.wait(state),
            };
        }
    }

    fn help_until_the_end(&self) {
        let _alive = Alive(self);
        let mut state = self.lock();
        while !state.ended {
            state = match self.work(state) {
                (state, true) => state,
                (state, false) => self.wait(state),
            };
        }
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        let waited = self.changed.wait(state);
        waited.unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Does one thing, if there is one to do.
    fn work<'s>(&'s self, mut state: MutexGuard<'s, State>) -> (MutexGuard<'s, State>, bool) {
        let next = state.next;
        if let Some(mut sealer) = state.sealer.take() {
            if let Some(mut work) = state.digested.remove(&next) {
                drop(state);
                if let Some(batch) = &work.batch {
                    work.sealed = sealer.pass(batch, &work.digests, work.seals);
                }
                state = self.lock();
                state.sealer = Some(sealer);
                state.next += 1;
                state.ready.insert(next, work);
                self.changed.notify_all();
                return (state, true);
            }
            state.sealer = Some(sealer);
        }
        if let Some((number, mut work)) = state.waiting.pop_front() {
            drop(state);
            if let Some(batch) = &work.batch {
                work.digests = Digests::of(batch, &self.banks(batch.layout(), work.seals));
            }
            state = self.lock();
            state.digested.insert(number, work);
            self.changed.notify_all();
            return (state, true);
        }
        (state, false)
    }

    /// The banks whose template digests are needed: those that are replayed, that of the list, whose
    /// digests are compared, and sha1, in whose view segments are hashed.
    fn banks(&self, layout: Layout, seals: bool) -> Vec<(Bank, Content)> {
        let mut banks = self.plan.banks.clone();
        let sha1 = (Bank::Sha1, Content::Own);
        for (bank, needed) in [(layout.digests(), self.plan.checks), (sha1, seals)] {
            if needed && !banks.contains(&bank) {
                banks.push(bank);
            }
        }
        banks
    }
}

fn size(work: &Work) -> usize {
    work.batch.as_ref().map_or(0, Batch::size)
}
