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
/// not all fit is left out, and so are those that follow: highest PCRs are dropped first.
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
    /// [`Error::NoSpace`], [`Error::BadSequence`], or [`Error::TooLarge`].
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

    /// Adds an entry. The flags `INCOMPLETE` and `DIFFERS` are set as needed, the latter even if
    /// the entry is left out. The entries may be of [`MAX_BANKS`](super::MAX_BANKS) banks, which is
    /// what the kernel has room for.
    ///
    /// # Errors
    ///
    /// [`Error::BadItem`] if the value's size is not 1 to 64 bytes or the state not one of the
    /// kind; [`Error::OutOfOrder`]; [`Error::NoSpace`] if the default PCR does not fit. Nothing
    /// was added.
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

#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(ima_checkpoint_builder)
)]
#[cfg_attr(not(CONFIG_KUNIT = "y"), cfg(test))]
mod tests {
    use super::{
        super::Checkpoint,
        *, //
    };

    const HEADER: Header = Header {
        flags: Flags::AUTOMATIC,
        log_id: [1; 16],
        sequence: 2,
        generation: 3,
        default_pcr: 10,
        record: 4,
        offset: 5,
        violations: 6,
        wall_ns: 7,
        boot_ns: 8,
        segment_records: 9,
        segment_bytes: 10,
        segment_digest: [11; 32],
        previous: [12; 32],
    };

    fn entry(pcr: u8, algorithm: u16) -> Entry<'static> {
        Entry {
            pcr,
            state: State::Match,
            algorithm,
            value: &[0xaa; 64],
        }
    }

    #[test]
    fn layout() -> Result<(), Error> {
        let mut out = [0xff; MAX_BUFFER];
        let mut builder = Builder::new(&mut out, &HEADER, Label::new(b"why")?)?;
        let value = Entry {
            value: b"VALUE",
            ..entry(10, 0x000b)
        };
        builder.push(Kind::Value, &value)?;
        let buffer = builder.finish();

        assert_eq!(buffer.len(), 168 + 7 + 13);
        assert!(buffer.starts_with(b"IMA-CKPT\x01\0\xa8\0\x01\0\0\0\x01\x01"));
        assert!(buffer.ends_with(b"\x04\0\x03\0why\x01\x80\x09\0\x0a\0\x0b\0VALUE"));
        let numbers = b"\x02\0\0\0\0\0\0\0\x03\0\0\0\x0a\0\0\0\x04\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\
            \x06\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\
            \x0a\0\0\0\0\0\0\0";
        assert_eq!(buffer.get(32..104), Some(numbers.as_slice()));
        assert_eq!(buffer.get(104..136), Some([11; 32].as_slice()));
        assert_eq!(buffer.get(136..168), Some([12; 32].as_slice()));
        Ok(())
    }

    #[test]
    fn default_pcr_always_fits() -> Result<(), Error> {
        let mut out = [0; MAX_BUFFER];
        let mut builder = Builder::new(&mut out, &HEADER, Label::new(&[b'x'; 64])?)?;
        for bank in 0..16 {
            let differs = Entry {
                state: State::Differs,
                ..entry(10, bank)
            };
            builder.push(Kind::Value, &differs)?;
            builder.push(Kind::Shadow, &differs)?;
            builder.push(Kind::Before, &entry(10, bank))?;
        }
        let checkpoint = Checkpoint::parse(builder.finish())?;
        assert_eq!(checkpoint.values().count(), 16);
        assert_eq!(checkpoint.before().count(), 16);
        let flags = Flags::AUTOMATIC | Flags::DIFFERS;
        assert_eq!(checkpoint.header().flags, flags);
        assert_eq!(checkpoint.shadow(10, 15), Some([0xaa; 64].as_slice()));
        Ok(())
    }

    #[test]
    fn highest_pcrs_are_dropped_whole() -> Result<(), Error> {
        let mut out = [0; MAX_BUFFER];
        let mut builder = Builder::new(&mut out, &HEADER, Label::default())?;
        // 72 bytes each: 52 fit after the fixed part.
        builder.push(Kind::Value, &entry(10, 0))?;
        for pcr in 0..10 {
            for bank in 0..6 {
                builder.push(Kind::Value, &entry(pcr, bank))?;
            }
        }
        // Small enough for what is left, but after one that was dropped.
        let small = Entry {
            value: &[0; 20],
            ..entry(23, 0)
        };
        builder.push(Kind::Value, &small)?;

        let checkpoint = Checkpoint::parse(builder.finish())?;
        let kept = checkpoint.values().map(|entry| entry.pcr);
        let expected = [10].into_iter().chain((0..8).flat_map(|pcr| [pcr; 6]));
        assert!(kept.eq(expected));
        let flags = Flags::AUTOMATIC | Flags::INCOMPLETE;
        assert_eq!(checkpoint.header().flags, flags);
        Ok(())
    }

    #[test]
    fn a_dropped_difference_is_still_flagged() -> Result<(), Error> {
        let mut out = [0; Header::SIZE + 8];
        let mut builder = Builder::new(&mut out, &HEADER, Label::default())?;
        let differs = Entry {
            state: State::Differs,
            ..entry(11, 0)
        };
        builder.push(Kind::Value, &differs)?;
        builder.push(Kind::Shadow, &differs)?;
        let checkpoint = Checkpoint::parse(builder.finish())?;
        assert_eq!(checkpoint.values().count(), 0);
        let flags = Flags::INCOMPLETE | Flags::DIFFERS;
        assert!(checkpoint.header().flags.contains(flags));
        Ok(())
    }

    #[test]
    fn refused() -> Result<(), Error> {
        let mut out = [0; Header::SIZE + 80];
        let mut builder = Builder::new(&mut out, &HEADER, Label::default())?;
        let empty = Entry {
            value: &[],
            ..entry(10, 0)
        };
        let bad = Err(Error::BadItem(Kind::Value.into()));
        assert_eq!(builder.push(Kind::Value, &empty), bad);
        let long = Entry {
            value: &[0; 65],
            ..empty
        };
        assert_eq!(builder.push(Kind::Value, &long), bad);
        let bad = Err(Error::BadItem(Kind::Shadow.into()));
        assert_eq!(builder.push(Kind::Shadow, &entry(10, 0)), bad);
        builder.push(Kind::Value, &entry(10, 0))?;
        assert_eq!(
            builder.push(Kind::Value, &entry(10, 1)),
            Err(Error::NoSpace)
        );
        builder.push(Kind::Value, &entry(9, 1))?;
        assert_eq!(
            builder.push(Kind::Value, &entry(8, 1)),
            Err(Error::OutOfOrder)
        );
        assert_eq!(
            builder.push(Kind::Value, &entry(10, 1)),
            Err(Error::OutOfOrder)
        );
        let checkpoint = Checkpoint::parse(builder.finish())?;
        assert_eq!(checkpoint.values().count(), 1);

        let short = out.get_mut(..Header::SIZE - 1).unwrap_or_default();
        let result = Builder::new(short, &HEADER, Label::default());
        assert_eq!(result.err(), Some(Error::NoSpace));
        let zero = Header {
            sequence: 0,
            ..HEADER
        };
        let result = Builder::new(&mut out, &zero, Label::default());
        assert_eq!(result.err(), Some(Error::BadSequence));
        Ok(())
    }
}
