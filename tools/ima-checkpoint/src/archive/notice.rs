// SPDX-License-Identifier: GPL-2.0

//! What the archiver says while it works.

use super::writer::Added;
use crate::outcome::{
    worst,
    Code,
    Error, //
};
use indicatif::{
    BinaryBytes,
    HumanCount, //
};
use std::collections::BTreeSet;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// As it should.
    Event(String),
    /// Somebody has to look at it. The exit code tells what kind it is of.
    Warning(Code, String),
}

/// Says what happens, a warning only once.
pub(super) struct Notices {
    say: Box<dyn FnMut(&Notice)>,
    codes: Vec<Code>,
    warned: BTreeSet<String>,
}

impl Notices {
    pub(super) fn new(say: Box<dyn FnMut(&Notice)>) -> Self {
        Self {
            say,
            codes: Vec::new(),
            warned: BTreeSet::new(),
        }
    }

    /// The gravest of what was warned of.
    pub(super) fn code(&self) -> Code {
        worst(self.codes.clone())
    }

    pub(super) fn event(&mut self, text: impl Into<String>) {
        (self.say)(&Notice::Event(text.into()));
    }

    pub(super) fn warn(&mut self, code: Code, text: impl Into<String>) {
        self.codes.push(code);
        let text = text.into();
        if self.warned.insert(text.clone()) {
            (self.say)(&Notice::Warning(code, text));
        }
    }

    /// Something failed and will be tried again.
    pub(super) fn failed(&mut self, error: &Error) {
        let text = format!("{error}. It is tried again");
        (self.say)(&Notice::Warning(error.code(), text));
    }

    pub(super) fn archived(&mut self, added: &Added) {
        let meta = &added.meta;
        let (seq, name) = (meta.seq, meta.file_name());
        self.event(format!(
            "archived segment {seq}: {} records, {} -> {}{}",
            HumanCount(meta.records),
            BinaryBytes(meta.bytes),
            BinaryBytes(added.file_bytes),
            if meta.broken {
                ", BROKEN: something else extended the PCR"
            } else {
                ""
            },
        ));
        if meta.fork {
            self.warn(
                Code::Tampered,
                format!(
                    "FORK: the archive had another segment {seq}. Both are kept, this one as \
                     {name}, and the kernel frees nothing from it on. Find out which is true, \
                     and move the other one out of the archive"
                ),
            );
        }
        self.forked_tail(added.forked_tail.as_deref());
        if let Some(fault) = &added.fault {
            self.refused(seq, fault);
        }
    }

    /// A tail became a fork of this name.
    pub(super) fn forked_tail(&mut self, fork: Option<&str>) {
        if let Some(name) = fork {
            let text = format!(
                "FORK: the tail in the archive is not what the kernel has. It is kept as {name}"
            );
            self.warn(Code::Tampered, text);
        }
    }

    /// A segment is not freed.
    pub(super) fn refused(&mut self, seq: u64, fault: &Error) {
        let text = format!("segment {seq} is kept in the kernel, for it does not verify: {fault}");
        self.warn(Code::Tampered, text);
    }
}
