// SPDX-License-Identifier: GPL-2.0

//! The template digests of a batch of records, in each bank that needs them.
//!
//! They do not depend on other records, so that batches can be worked on at the same time.

use super::{
    hash::{self, Hash, Message},
    Run,
};
use crate::{
    bank::{Bank, Content, Digest},
    list::{
        batch::Batch,
        own::{examine, examine_labels, Remark},
        text::may_be_lossy,
    },
};

/// What is extended into PCRs of one bank, for each record of a batch. Those that are computed most
/// often stay the words that they are computed with.
#[derive(Clone, Debug)]
pub(super) enum Column {
    Sha1(Vec<[u32; 5]>),
    Sha256(Vec<[u32; 8]>),
    Other(Bank, Vec<Digest>),
}

impl Column {
    fn new(bank: Bank, records: usize) -> Self {
        match bank {
            Bank::Sha1 => Self::Sha1(Vec::with_capacity(records)),
            Bank::Sha256 => Self::Sha256(Vec::with_capacity(records)),
            _ => Self::Other(bank, Vec::with_capacity(records)),
        }
    }

    pub(super) fn push(&mut self, digest: &Digest) {
        match self {
            Self::Sha1(words) => words.push(hash::words(digest.as_bytes()).unwrap_or_default()),
            Self::Sha256(words) => words.push(hash::words(digest.as_bytes()).unwrap_or_default()),
            Self::Other(_, digests) => digests.push(*digest),
        }
    }

    /// Replaces the last one.
    fn replace(&mut self, digest: &Digest) {
        match self {
            Self::Sha1(words) => drop(words.pop()),
            Self::Sha256(words) => drop(words.pop()),
            Self::Other(_, digests) => drop(digests.pop()),
        }
        self.push(digest);
    }

    pub(super) fn bank(&self) -> Bank {
        match self {
            Self::Sha1(_) => Bank::Sha1,
            Self::Sha256(_) => Bank::Sha256,
            Self::Other(bank, _) => *bank,
        }
    }

    fn digest(&self, at: usize) -> Digest {
        let digest = match self {
            Self::Sha1(words) => words.get(at).map(|words| hash::digest(words)),
            Self::Sha256(words) => words.get(at).map(|words| hash::digest(words)),
            Self::Other(_, digests) => digests.get(at).copied(),
        };
        digest.unwrap_or(self.bank().zeros())
    }

    fn is(&self, at: usize, digest: &[u8]) -> bool {
        match self {
            Self::Sha1(words) => words.get(at).is_some_and(|words| hash::is(words, digest)),
            Self::Sha256(words) => words.get(at).is_some_and(|words| hash::is(words, digest)),
            Self::Other(_, digests) => digests.get(at).is_some_and(|at| at.as_bytes() == digest),
        }
    }
}

/// The template digests of a batch, and what its records tell by themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct Digests {
    // INVARIANT: each has as many digests as the batch has records.
    columns: Vec<Column>,
    /// Index of the record, and what it tells, in order.
    pub(super) remarks: Vec<(usize, Remark)>,
}

impl Digests {
    /// Computes those of these banks. That of the list's bank is compared with the list.
    pub(super) fn of(batch: &Batch, banks: &[(Bank, Content)]) -> Self {
        let items = batch.items();
        let columns = banks.iter();
        let columns = columns.map(|(bank, _)| Column::new(*bank, items.len()));
        let mut new = Self {
            columns: columns.collect(),
            remarks: Vec::new(),
        };
        let contents = || banks.iter().map(|(_, content)| *content);
        let layout = batch.layout();
        let shown = banks.iter().position(|at| *at == layout.digests());
        for (at, item) in items.iter().enumerate() {
            if item.is_violation() {
                for (to, content) in new.columns.iter_mut().zip(contents()) {
                    hash::push_violation(to, content);
                }
                if layout.ascii && batch.record(*item).is_none_or(|one| may_be_lossy(&one)) {
                    new.remarks.push((at, Remark::Inexact));
                }
            } else {
                let legacy = item.is_legacy().then(|| batch.record(*item)).flatten();
                let legacy = legacy.as_ref().map(hash::legacy_input);
                let message = match &legacy {
                    Some(input) => Message::new(input, input.len()),
                    None => Message::new(batch.data_and_rest(*item), batch.data(*item).len()),
                };
                for (to, content) in new.columns.iter_mut().zip(contents()) {
                    message.push(to, content);
                }
                let column = shown.and_then(|shown| new.columns.get(shown));
                let digest = layout.unpadded(batch.digest(*item));
                if column.is_some_and(|to| !to.is(at, digest.unwrap_or_default())) {
                    if new.is_unchecked(batch, at, banks) {
                        continue;
                    }
                    new.remarks.push((at, Remark::TemplateDigest(layout.bank)));
                }
            }
            if item.needs_look() {
                if let Some(record) = batch.record(*item) {
                    examine(&record, |remark| new.remarks.push((at, remark)));
                }
            }
        }
        new
    }

    /// Can a record whose template digest is not that of its data not be checked, because it is in
    /// ASCII? Then that digest is what was extended, as far as anybody can tell.
    fn is_unchecked(&mut self, batch: &Batch, at: usize, banks: &[(Bank, Content)]) -> bool {
        let layout = batch.layout();
        let item = batch.items().get(at).filter(|_| layout.ascii);
        let Some((item, record)) = item.and_then(|item| Some((*item, batch.record(*item)?))) else {
            return false;
        };
        let digest = layout.unpadded(record.digest());
        let Some(digest) = digest.filter(|_| may_be_lossy(&record)) else {
            return false;
        };
        for (to, (bank, content)) in self.columns.iter_mut().zip(banks) {
            if layout.tells(*bank, *content) {
                to.replace(&hash::with_zeros(*bank, digest));
            }
        }
        let pcr = item.pcr();
        self.remarks.push((at, Remark::Unchecked { pcr, layout }));
        examine_labels(&record, |remark| self.remarks.push((at, remark)));
        true
    }

    /// Those of the banks that are replayed come first, in the same order.
    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The digest of a record in a bank, as the list of that bank shows it, but for violations.
    pub(super) fn digest(&self, bank: Bank, at: usize) -> Digest {
        let column = self.columns.iter().find(|column| column.bank() == bank);
        column.map_or(bank.zeros(), |column| column.digest(at))
    }
}

/// Extends a PCR in all banks with the digests of a record. The columns are those of the banks.
#[inline]
pub(super) fn extend(runs: &mut [Run], columns: &[Column], at: usize) {
    // its message is written in pieces, so that others are hashed between that and its turn
    let mut sha1 = None;
    for (run, column) in runs.iter_mut().zip(columns) {
        match (&mut run.value, column) {
            (Hash::Sha1(value), Column::Sha1(digests)) => {
                let message = digests.get(at).map(|at| hash::message_sha1(value, at));
                sha1 = message.map(|message| (value, message));
            }
            (Hash::Sha256(value), Column::Sha256(digests)) => {
                if let Some(digest) = digests.get(at) {
                    hash::extend_sha256(value, digest);
                }
            }
            (value, column) => {
                let bank = column.bank();
                let extended = bank.extend(&value.digest(), &column.digest(at));
                *value = Hash::new(bank, &extended);
            }
        }
    }
    if let Some((value, message)) = sha1 {
        hash::extend_sha1(value, &message);
    }
}
