// SPDX-License-Identifier: GPL-2.0

//! Verifies a log: from bytes to a verdict for each PCR and bank.
//!
//! A list is cut into [pieces], the segments are examined at once, the [chain](crate::chain) joins
//! them, [anchor] compares with what the PCRs held, and [verdict] says what is proven by that.

pub mod anchor;
pub mod gather;
pub mod pieces;
pub mod report;
pub mod source;
pub mod verdict;

use self::{
    anchor::Anchor,
    gather::Evidence,
    pieces::{
        List,
        Piece,
        Told, //
    },
    verdict::Verdict, //
};
use crate::{
    bank::Bank,
    chain::{
        Chain,
        Trust, //
    },
    outcome::Result,
    replay::{
        Register,
        Values, //
    },
    segment::{
        self,
        Plan,
        Summary, //
    },
};
use indicatif::ProgressBar;
use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    sync::{
        atomic::{
            AtomicUsize,
            Ordering, //
        },
        Mutex, //
    },
    thread,
};

/// What to verify against, and what to accept.
#[derive(Debug)]
pub struct Options {
    /// How the list is written.
    pub told: Told,
    /// Bases, and broken segments that are accepted.
    pub trust: Trust,
    /// What the PCRs held.
    pub anchor: Anchor,
    /// Accept a start that nobody vouches for.
    pub accept_truncated: bool,
    /// Let banks anchor that rest on SHA-1.
    pub allow_weak_bank: bool,
    /// Segments examined at the same time.
    pub jobs: NonZeroUsize,
}

/// Verifies a list.
///
/// # Errors
///
/// A source cannot be read, or a quote selects PCRs whose values are not known. All that is wrong
/// with the list itself is in the verdict.
pub fn verify(evidence: Evidence, options: &Options, progress: &ProgressBar) -> Result<Verdict> {
    let jobs = options.jobs.get();
    let list = List::cut(evidence.sources, options.told, jobs)?;
    progress.set_length(list.end.offset);
    let banks = banks(&list, options);
    let examiner = Examiner {
        list: &list,
        banks: &banks,
        progress,
    };
    let numbers: Vec<usize> = (0..list.pieces.len()).collect();
    let first = Chain::new(options.trust.clone());
    let summaries = parallel(jobs, &numbers, |number| {
        let (head, next) = examiner.heads(*number);
        // what only the segments before can tell is put right below
        let base = match (number, head) {
            (0, _) | (_, None) => first.base(head, next),
            (_, Some(_)) => Chain::default().base(head, next),
        };
        examiner.examine(*number, &base)
    })?;
    let mut chain = Chain::new(options.trust.clone());
    for (number, mut summary) in summaries.into_iter().enumerate() {
        let (head, next) = examiner.heads(number);
        let base = chain.base(head, next);
        if !starts_from(&summary, &base) {
            summary = examiner.examine(number, &base)?;
        }
        chain.push(summary, next);
    }
    progress.finish_and_clear();
    let anchored = options.anchor.search(&chain, &examiner)?;
    let mut verdict = Verdict::new(&list, chain, anchored, options);
    verdict.add_forks(&evidence.forks);
    Ok(verdict)
}

/// Examines the pieces of a list.
#[derive(Debug)]
pub struct Examiner<'a> {
    list: &'a List,
    banks: &'a [Bank],
    progress: &'a ProgressBar,
}

impl Examiner<'_> {
    /// The checkpoint at the front of a piece, and the one behind it.
    fn heads(&self, number: usize) -> (Option<&crate::claim::Claim>, Option<&crate::claim::Claim>) {
        let head = |number| {
            self.list
                .pieces
                .get(number)
                .and_then(|piece: &Piece| piece.head.as_ref())
        };
        (head(number), head(number + 1))
    }

    fn examine(&self, number: usize, base: &Values) -> Result<Summary> {
        self.watch(number, base, |_, _| ())
    }

    /// Replays a piece; `watch` sees the PCRs after each record.
    fn watch(
        &self,
        number: usize,
        base: &Values,
        watch: impl FnMut(crate::records::Position, &crate::replay::Replay),
    ) -> Result<Summary> {
        let piece = &self.list.pieces[number];
        let plan = Plan {
            layout: piece.layout,
            at: piece.start,
            banks: self.banks,
            base,
            digest: self.heads(number).1.is_some(),
        };
        let bytes = self.progress.wrap_read(self.list.read(piece)?);
        let (name, _) = self.list.locate(piece.start);
        segment::examine(bytes, &plan, watch).map_err(|error| error.during(name))
    }
}

/// The banks to replay: all that somebody has a value of, and those of the list itself.
fn banks(list: &List, options: &Options) -> Vec<Bank> {
    let heads = list.pieces.iter().filter_map(|piece| piece.head.as_ref());
    let claimed = heads.flat_map(|head| head.values.keys().chain(head.before.keys()));
    let given = options.trust.base.keys();
    let mut banks: BTreeSet<Bank> = claimed.chain(given).map(|register| register.bank).collect();
    banks.extend(options.anchor.banks());
    if banks.is_empty() {
        banks.extend([Bank::Sha1, Bank::Sha256]);
    }
    // the segment digests are those of the sha1 view
    banks.extend(list.pieces.iter().map(|piece| piece.layout.bank));
    if list
        .pieces
        .iter()
        .any(|piece| piece.layout.bank != Bank::Sha1)
    {
        banks.insert(Bank::Sha1);
    }
    banks.into_iter().collect()
}

/// Did the replay start from this base, as far as it used it?
fn starts_from(summary: &Summary, base: &Values) -> bool {
    let used = summary.values.keys().chain(base.keys());
    let mut used = used.filter(|register| summary.used.contains_key(&register.pcr));
    let value = |values: &Values, register: &Register| {
        values
            .get(register)
            .copied()
            .unwrap_or(register.bank.zeros())
    };
    used.all(|register| value(&summary.base, register) == value(base, register))
}

/// Does something with each item, some at the same time; results are in order.
fn parallel<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<R>>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let run = || {
        while let Some((item, slot)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            items.get(at).zip(results.get(at))
        } {
            let result = work(item);
            let failed = result.is_err();
            if let Ok(mut slot) = slot.lock() {
                *slot = Some(result);
            }
            if failed {
                next.store(items.len(), Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..jobs.min(items.len()) {
            scope.spawn(run);
        }
        run();
    });
    let results = results.into_iter();
    let done = results.filter_map(|slot| slot.into_inner().ok().flatten());
    done.collect()
}
