// SPDX-License-Identifier: GPL-2.0

//! Handing the list over to the kernel that a kexec starts.

use super::{
    error_name,
    Log, //
};
use crate::{
    abstractions::ima::{
        self,
        Extend, //
    },
    config::Setting,
    format::{
        checkpoint::{
            Flags,
            Label,
            MAX_BUFFER, //
        },
        kexec::Header,
        truncate::{
            Reason,
            Truncation, //
        }, //
    },
    store::{
        Segment,
        Span, //
    },
};
use kernel::prelude::*;

/// What the next kernel gets.
#[derive(Clone, Copy)]
pub(super) struct Handover {
    /// Number of the segment that the buffer starts with.
    first: u64,
    /// What became of the record of what is left behind, if anything is.
    left_behind: Option<Result>,
}

/// Bytes of an `ima-buf` record besides its buffer, at most: header, template name, `d-ng` with the
/// longest hash name and digest, the event name.
const AROUND_BUFFER: usize = 4 + 20 + 4 + 7 + 4 + (4 + 16 + 2 + 64) + (4 + 32) + 4;
/// What IMA measures on its own account when a kexec begins: `IMA_KEXEC_EVENT_LEN`.
const IMA_EVENT: usize = 256;

/// Bytes that the records of a kexec need: the checkpoint, the truncation, and IMA's event twice.
const RESERVE: usize = 4 * AROUND_BUFFER + MAX_BUFFER + Truncation::SIZE + 2 * IMA_EVENT;

/// Bytes that are reserved at least for what is measured between loading an image and its kexec.
const MIN_RESERVE: u64 = 1 << 20;

/// The least that a buffer must have: then the newest segment of a kexec fits.
pub(crate) const MIN_SIZE: usize = Header::SIZE + RESERVE;

impl Log {
    /// Bytes of the buffer: for the list as it is, what is likely to be measured until the kexec,
    /// and what the kexec adds.
    ///
    /// Whoever can cause measurements can make the list outgrow its buffer, and its oldest part is
    /// then left behind. The reserve makes that a matter of many records.
    pub(crate) fn kexec_size(&self) -> usize {
        let live = self.store.live().bytes;
        let percent = self.config.get(Setting::KexecReservePercent);
        let reserve = (live / 100).saturating_mul(percent).max(MIN_RESERVE);
        let size = live.saturating_add(reserve);
        usize::try_from(size)
            .unwrap_or(usize::MAX)
            .saturating_add(MIN_SIZE)
    }

    /// Decides what is handed over, before measuring is suspended. `room`: bytes of the buffer.
    ///
    /// A checkpoint comes first, so that the next kernel need not carry more than that. What does
    /// not fit is left behind, in whole segments, oldest first, and a record says so.
    pub(crate) fn suspend(&self, held: &mut Extend, kexec: bool, room: usize) {
        if !kexec {
            return;
        }
        if room < Header::SIZE {
            pr_warn!("the image has no room for the measurement list: it is not carried\n");
            return;
        }
        let flags = Flags::AUTOMATIC | Flags::BEFORE_KEXEC;
        if let Err(error) = self.seal(held, Label::default(), flags) {
            pr_warn!(
                "cannot make a checkpoint before the kexec: {}\n",
                error_name(error)
            );
        }
        match self.choose(held, room) {
            Ok(handover) => self.state.get(held).handover = Some(handover),
            Err(_) => pr_warn!(
                "no segment fits the {room} bytes that the image has: the list is not carried\n"
            ),
        }
    }

    /// Starts with the oldest segment from which on the list fits. ENOSPC if not even the newest
    /// does.
    ///
    /// Allocates no table of segments: there may be many, and memory is short in pieces by now.
    fn choose(&self, held: &mut Extend, room: usize) -> Result<Handover> {
        let oldest = self.store.walk(0).next().ok_or(ENOSPC)?;
        let find = |more| self.store.walk(0).find(|s| self.fits(s, room, more));
        if self.fits(&oldest, room, 0) {
            return Ok(Handover {
                first: oldest.seq(),
                left_behind: None,
            });
        }
        let mut result = Err(ENOSPC);
        if let Some(first) = find(AROUND_BUFFER + Truncation::SIZE) {
            let size = first.start() - oldest.start();
            report(&first, size);
            result = self.measure_truncation(held, Reason::Kexec, &first, size);
            if result.is_ok() {
                return Ok(Handover {
                    first: first.seq(),
                    left_behind: Some(result),
                });
            }
        }
        if let Err(error) = result {
            pr_warn!("cannot record what is left behind: {}\n", error_name(error));
        }
        Ok(Handover {
            first: find(0).ok_or(ENOSPC)?.seq(),
            left_behind: Some(result),
        })
    }

    /// Does the list from `first` on fit `room` bytes, with `more` bytes added to it?
    pub(super) fn fits(&self, first: &Segment, room: usize, more: usize) -> bool {
        let bytes = (self.store.end() - first.start()).bytes;
        usize::try_from(bytes)
            .ok()
            .and_then(|bytes| bytes.checked_add(Header::SIZE)?.checked_add(more))
            .is_some_and(|needed| needed <= room)
    }

    /// Writes the buffer that [`Log::suspend`] decided on, and returns its length. If nothing is
    /// carried, the buffer says so: the memory that it is in may hold anything. 0 if it has not
    /// even room for that.
    pub(crate) fn dump(&self, out: &mut [u8]) -> usize {
        let handover = self.state.get(&mut ima::lock()).handover;
        if let Some(result) = handover.and_then(|handover| handover.left_behind) {
            self.audit_truncation(Reason::Kexec, result);
        }
        let written = match handover {
            Some(handover) => self.write_kexec(handover.first, out),
            None => self.write_header(out, Header::SIZE, 0),
        };
        written
            .or_else(|error| {
                pr_err!("writing the kexec buffer failed: {}\n", error_name(error));
                self.write_header(out, Header::SIZE, 0)
            })
            .unwrap_or(0)
    }

    /// Writes header and records from segment `first` on; returns the length.
    pub(super) fn write_kexec(&self, first: u64, out: &mut [u8]) -> Result<usize> {
        let mut len = Header::SIZE;
        let mut count = 0;
        for segment in self.store.walk(first) {
            segment.for_each_chunk(|records| {
                let end = len.checked_add(records.len()).ok_or(ENOSPC)?;
                out.get_mut(len..end)
                    .ok_or(ENOSPC)?
                    .copy_from_slice(records);
                len = end;
                Ok(())
            })?;
            count += segment.len().records;
        }
        self.write_header(out, len, count)
    }

    /// Writes the header of a buffer of `len` bytes, the header included; returns `len`.
    fn write_header(&self, out: &mut [u8], len: usize, count: u64) -> Result<usize> {
        let header = Header {
            size: len as u64,
            count,
        };
        let front = out.get_mut(..Header::SIZE).ok_or(ENOSPC)?;
        header
            .encode(front, self.platform.order())
            .map_err(super::invalid)?;
        Ok(len)
    }
}

fn report(first: &Segment, size: Span) {
    pr_warn!(
        "{} records, {} bytes before checkpoint {} do not fit into the image and are left behind\n",
        size.records,
        size.bytes,
        first.seq()
    );
}
