// SPDX-License-Identifier: GPL-2.0

//! `status`: the log in numbers, a `key=value` a line.

use super::text::{
    Hex,
    Text, //
};
use crate::{
    abstractions::securityfs::{
        Opening,
        SecurityFile, //
    },
    format::checkpoint::State,
    log::{
        self,
        Log, //
    },
};
use core::fmt::{
    self,
    Write, //
};
use kernel::{
    prelude::*,
    uaccess::UserSliceWriter, //
};

/// The state of the log.
pub(super) struct Status {
    log: &'static Log,
    /// As of the last read from the start, so that a read in pieces fits together. Empty before.
    text: Text,
}

#[vtable]
impl SecurityFile for Status {
    fn open(_opening: &Opening<'_>) -> Result<Self> {
        Ok(Self {
            log: Log::get().ok_or(ENODEV)?,
            text: Text::default(),
        })
    }

    fn read(&mut self, position: u64, out: &mut UserSliceWriter) -> Result<usize> {
        if position == 0 || self.text.is_empty() {
            let status = self.log.status()?;
            self.text = Text::render(|text| lines(text, self.log, &status))?;
        }
        self.text.read(position, out)
    }
}

fn lines(text: &mut Text, log: &Log, status: &crate::log::Status) -> fmt::Result {
    writeln!(text, "log_id={}", Hex(&status.log_id))?;
    writeln!(text, "generation={}", status.generation)?;
    writeln!(text, "tpm={}", u8::from(status.tpm))?;
    writeln!(text, "records_total={}", status.total.records)?;
    writeln!(text, "bytes_total={}", status.total.bytes)?;
    writeln!(text, "records_live={}", status.live.records)?;
    writeln!(text, "bytes_live={}", status.live.bytes)?;
    writeln!(text, "records_freed={}", status.freed.records)?;
    writeln!(text, "bytes_freed={}", status.freed.bytes)?;
    writeln!(text, "segments_live={}", status.segments)?;
    writeln!(text, "checkpoints={}", status.checkpoints)?;
    writeln!(text, "violations={}", status.violations)?;
    writeln!(text, "bytes_pinned={}", status.bytes_pinned)?;
    writeln!(text, "memory_chunks={}", status.memory_chunks)?;
    writeln!(text, "memory_known={}", status.memory_known)?;
    writeln!(text, "suspended={}", u8::from(status.suspended))?;
    for pcr in &status.pcrs {
        let Some(bank) = log.platform().banks().get(pcr.bank) else {
            continue;
        };
        let state = pcr.state.map_or("none", state_name);
        writeln!(text, "pcr{}_{}={state}", pcr.pcr, bank.name())?;
    }
    match status.last_error {
        None => writeln!(text, "last_error=none"),
        Some(error) => writeln!(text, "last_error={}", log::error_name(error)),
    }
}

/// As in the record format's documentation.
fn state_name(state: State) -> &'static str {
    match state {
        State::Match => "match",
        State::Differs => "differs",
        State::Unshadowed => "unshadowed",
        State::Unreadable => "unreadable",
        State::Virtual => "virtual",
    }
}
