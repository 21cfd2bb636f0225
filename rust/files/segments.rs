// SPDX-License-Identifier: GPL-2.0

//! `segments`: a line a segment, oldest first.

use super::text::{
    Hex,
    Text, //
};
use crate::{
    abstractions::securityfs::{
        Opening,
        Ready,
        SecurityFile,
        Waiter, //
    },
    log::Log,
    platform::Platform,
    store::Live, //
};
use core::fmt::{
    self,
    Write, //
};
use kernel::{
    prelude::*,
    uaccess::UserSliceWriter, //
};

/// The live segments.
pub(super) struct Segments {
    log: &'static Log,
    /// Number of changes that whoever reads this file can know of.
    seen: u64,
    /// As of the last read from the start, so that a read in pieces fits together. Empty before.
    text: Text,
}

#[vtable]
impl SecurityFile for Segments {
    fn open(_opening: &Opening<'_>) -> Result<Self> {
        let log = Log::get().ok_or(ENODEV)?;
        Ok(Self {
            log,
            seen: log.events().changes(),
            text: Text::default(),
        })
    }

    fn read(&mut self, position: u64, out: &mut UserSliceWriter) -> Result<usize> {
        if position == 0 || self.text.is_empty() {
            // Counted before the list is taken: a change in between is reported twice rather than
            // never.
            let seen = self.log.events().changes();
            let segments = self.log.segments()?;
            self.text = Text::render(|text| {
                segments
                    .iter()
                    .try_for_each(|segment| line(text, self.log.platform(), segment))
            })?;
            self.seen = seen;
        }
        self.text.read(position, out)
    }

    fn poll(&mut self, waiter: &Waiter<'_>) -> Ready {
        let events = self.log.events();
        waiter.wait_for(events.poll());
        if events.changes() == self.seen {
            Ready::Readable
        } else {
            Ready::Changed
        }
    }
}

fn line(text: &mut Text, platform: &Platform, segment: &Live) -> fmt::Result {
    let state = if segment.is_sealed() {
        "sealed"
    } else {
        "active"
    };
    let size = segment.len();
    write!(
        text,
        "seq={} state={state} first={} records={} bytes={} digest={} broken={}",
        segment.seq(),
        segment.first_record(),
        size.records,
        size.bytes,
        Hex(segment.digest()),
        u8::from(segment.is_broken()),
    )?;
    for bank in platform.banks() {
        if let Some(base) = segment.base(platform, bank.index()) {
            write!(text, " base_{}={}", bank.name(), Hex(bank.trim(base)))?;
        }
    }
    text.write_char('\n')
}
