// SPDX-License-Identifier: GPL-2.0

//! Writing a checkpoint.

use super::{
    super::{
        bytes::Writer,
        ByteOrder,
        Error, //
    },
    Entry,
    Flags,
    Header,
    Kind,
    Label,
    State,
    MAX_BUFFER, //
};

/// Writes a checkpoint into a buffer.
///
/// The default PCR comes first, then the others in ascending order. The first one whose entries do
/// not all fit is left out, and so are those behind it: highest PCRs are dropped first.
#[derive(Debug)]
pub struct Builder<'b> {
    writer: Writer<'b>,
    flags: Flags,
    default_pcr: u32,
    /// The PCR whose entries are being pushed, and where they start.
    current: Option<(u8, usize)>,
    /// A PCR did not fit.
    full: bool,
}

impl<'b> Builder<'b> {
    /// Starts a checkpoint in `out`, of which at most [`MAX_BUFFER`] bytes are used.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`], or [`Error::BadSequence`].
    pub fn new(out: &'b mut [u8], header: &Header, label: Label<'_>) -> Result<Self, Error> {
        let len = out.len().min(MAX_BUFFER);
        let out = out.get_mut(..len).unwrap_or_default();
        let mut writer = Writer::new(out, ByteOrder::Little);
        header.write(&mut writer)?;
        label.write(&mut writer)?;
        Ok(Self {
            writer,
            flags: header.flags,
            default_pcr: header.default_pcr,
            current: None,
            full: false,
        })
    }

    /// Adds an entry. The flags `INCOMPLETE` and `DIFFERS` are set as needed, the latter even if the
    /// entry is left out.
    ///
    /// # Errors
    ///
    /// [`Error::BadItem`] if the value's size is not 1 to 64 bytes or the state not one of the kind;
    /// [`Error::OutOfOrder`]; [`Error::NoSpace`] if the default PCR does not fit. Nothing was added.
    pub fn push(&mut self, kind: Kind, entry: &Entry<'_>) -> Result<(), Error> {
        let end = self.writer.len();
        let start = match self.current {
            Some((pcr, start)) if pcr == entry.pcr => start,
            _ if self.may_follow(entry.pcr) => end,
            _ => return Err(Error::OutOfOrder),
        };
        self.current = Some((entry.pcr, start));

        if entry.state == State::Differs {
            self.flags = self.flags | Flags::DIFFERS;
        }
        if self.full {
            return Ok(());
        }
        let result = entry.write(kind, &mut self.writer);
        match result {
            Err(Error::NoSpace) if !self.is_default(entry.pcr) => {
                self.writer.truncate(start);
                self.full = true;
                self.flags = self.flags | Flags::INCOMPLETE;
                return Ok(());
            }
            Err(_) => self.writer.truncate(end),
            Ok(()) => (),
        }
        result
    }

    /// The finished buffer.
    pub fn finish(self) -> &'b [u8] {
        let flags = ByteOrder::Little.put_u32(self.flags.bits());
        let out = self.writer.finish();
        let slot = out.get_mut(Header::FLAGS_OFFSET..);
        if let Some(slot) = slot.and_then(|slot| slot.first_chunk_mut()) {
            *slot = flags;
        }
        out
    }

    fn is_default(&self, pcr: u8) -> bool {
        u32::from(pcr) == self.default_pcr
    }

    /// May the entries of `pcr` start now?
    fn may_follow(&self, pcr: u8) -> bool {
        match self.current {
            None => true,
            Some((before, _)) => !self.is_default(pcr) && (self.is_default(before) || before < pcr),
        }
    }
}
