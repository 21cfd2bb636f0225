// SPDX-License-Identifier: GPL-2.0

//! Event logs of the firmware: what it extended before the kernel ran, and what the PCRs hold of that.
//!
//! The kernel shows the log as `/sys/kernel/security/tpm0/binary_bios_measurements`: what firmware
//! and boot loader logged, followed by the final events, which came after the log was fetched. Both
//! formats of the TCG PC Client Platform Firmware Profile (PFP; sections are those of version 1.04)
//! are read: SHA-1 digests only (section 9.2.1) and crypto-agile (section 9.2.2), whose first event
//! is of the other format and names the algorithms (section 9.4.5.1). All numbers have their lowest
//! byte first.
//!
//! # What it proves
//!
//! **Nothing by itself.** The log comes from the host and can say anything. It is true only as far as
//! its replay gives a value that a TPM signed:
//!
//! - Nobody extends the PCRs 0 to 9 once IMA measures, or else the log does not explain them any more.
//!   Where the quoted value of such a PCR equals [`EventLog::start`], its events are those that were
//!   extended, in this order: their digests, that is. The data of an event is proven only where its
//!   digest is that of the data, which depends on its kind, and is not looked at here.
//! - A PCR that IMA continues (10, or 11) is not quoted at that point. The value from here is the start
//!   of the measurement list's replay, and a list that reaches the quoted value from there proves both
//!   together.
//! - What no digest covers is proven by no PCR: the kind of an event, events that are not extended
//!   ([`Kind::NO_ACTION`]), and how events of one PCR lie between those of another. The locality that
//!   the TPM was started from is an exception, as PCR 0 starts from it.
//! - A bank that the log lacks, or a PCR from 16 on without an event, has no value here.
//!
//! # What is refused
//!
//! A log must be a sequence of whole events up to its end, each with one digest for each algorithm of
//! the header, in PCRs that exist. Behind the last event there may be padding, as in an area of memory
//! that the firmware did not fill: bytes that are all 0x00, or all 0xff, up to the end. The kernel
//! rather ends the log at the first event that has the type 0 and no data, or that it cannot read, so
//! its files have no padding. Here such an event is refused, as in a log from elsewhere it would hide
//! whatever follows.
//!
//! Digests of algorithms that have no [`Bank`] are skipped. No other memory is taken than for 24 PCRs,
//! and time is linear in the size of the log, which [`MAX_SIZE`] bounds.
//!
//! # Why not with a crate
//!
//! Those that exist were tried with the logs of the tests, and none is fit for hostile bytes:
//!
//! - `uefi-eventlog` 0.3.0 (of 2021) sets memory aside for as many digests and bytes as a 32-bit number
//!   asks for, which ends the program; panics where the header names more algorithms than it has; takes
//!   a log that is cut in the PCR of an event for a whole one; refuses logs with events whose data it
//!   reads and does not understand. It knows neither SM3 nor SHA-3 nor StartupLocality, and pulls in a
//!   second library for TPMs and `serde_yaml` 0.8.
//! - `eventlog-rs` 0.1.8 indexes the bytes unchecked and panics at nearly every cut; takes all events
//!   that are not extended for headers, so that it refuses logs with StartupLocality; replays the first
//!   digest of each event as SHA-384, for TDX.
//! - `tcg-log-core-rs` 0.1.2 takes a path and not bytes, casts them to structures through raw pointers,
//!   takes most logs that are cut for whole ones, refuses the SHA-1 log of SeaBIOS, and replays nothing.
//!
//! # Example
//!
//! ```
//! use ima_log::{
//!     bank::Bank,
//!     eventlog::{EventLog, Kind},
//!     replay::Register,
//! };
//!
//! # fn main() -> Result<(), ima_log::eventlog::Error> {
//! // one event of the SHA-1 format: PCR 7, EV_SEPARATOR, digest, four bytes of data
//! let digest = Bank::Sha1.hash(&[&[0; 4]]);
//! let log = [b"\x07\0\0\0\x04\0\0\0", digest.as_bytes(), b"\x04\0\0\0", &[0; 4]].concat();
//!
//! let log = EventLog::parse(&log)?;
//! let mut events = log.events();
//! let event = events.next().expect("it has one");
//! assert_eq!((event.pcr, event.kind), (7, Kind::SEPARATOR));
//! assert_eq!(event.digest(Bank::Sha1), Some(digest));
//!
//! let register = |pcr, bank| Register { pcr, bank };
//! let value = Bank::Sha1.extend(&Bank::Sha1.zeros(), &digest);
//! assert_eq!(log.start(register(7, Bank::Sha1)), Some(value));
//! assert_eq!(log.start(register(10, Bank::Sha1)), Some(Bank::Sha1.zeros()));
//! assert_eq!(log.start(register(7, Bank::Sha256)), None);
//! # Ok(())
//! # }
//! ```

mod error;
mod kind;
mod parse;

pub use self::{
    error::{Error, Part},
    kind::Kind,
};

use self::parse::{Layout, Reader};
use crate::{
    bank::{Bank, Digest},
    replay::{Register, Values},
};
use std::collections::BTreeMap;

/// Largest log, in bytes. Firmware sets aside 64 KiB to some MiB; real logs take 20 to 200 KiB.
pub const MAX_SIZE: usize = 16 << 20;

/// Most algorithms that a log can have digests of, as for the kernel (TPM2_MAX_PCR_BANKS).
pub const MAX_ALGORITHMS: usize = 8;

/// PCRs of a TPM of a PC (PC Client Platform TPM Profile 1.05, section 4.6): 0 to 23.
pub const PCRS: u32 = 24;

/// What the data of the event starts with that tells where PCR 0 starts (section 9.4.5.3). A byte
/// follows, the locality.
const STARTUP_LOCALITY: &[u8; 16] = b"StartupLocality\0";

/// The format of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TCG_PCClientPCREvent: a SHA-1 digest for each event.
    Sha1,
    /// TCG_PCR_EVENT2: for each event a digest of each algorithm that the header names.
    CryptoAgile,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Bytes of the log before it.
    pub offset: usize,
    /// The PCR that it extends: 0 to 23, or any number if it extends none.
    pub pcr: u32,
    /// What it is about.
    pub kind: Kind,
    /// What it extends, in each bank once, in the order of the log.
    pub digests: Vec<(Bank, Digest)>,
    /// What it is about in detail, in a form that depends on `kind`. Hostile, and not always what
    /// was hashed.
    pub data: &'a [u8],
}

impl Event<'_> {
    /// What it extends in this bank.
    pub fn digest(&self, bank: Bank) -> Option<Digest> {
        let mut digests = self.digests.iter();
        let found = digests.find(|(other, _)| *other == bank);
        found.map(|(_, digest)| *digest)
    }

    /// Does it extend a PCR? All do but those that only inform.
    pub fn is_extended(&self) -> bool {
        self.kind != Kind::NO_ACTION
    }

    /// The locality from which the TPM was started, if it is the event that says so: 0; 3; or 4 if
    /// an H-CRTM was measured before.
    fn startup_locality(&self) -> Result<Option<u8>, Error> {
        if self.is_extended() || self.pcr != 0 {
            return Ok(None);
        }
        let at = self.offset;
        match self.data.strip_prefix(STARTUP_LOCALITY) {
            None => Ok(None),
            Some([locality @ (0 | 3 | 4)]) => Ok(Some(*locality)),
            Some([locality]) => Err(Error::Locality {
                at,
                locality: *locality,
            }),
            Some(_) => Err(Error::LocalitySize {
                at,
                size: self.data.len(),
            }),
        }
    }
}

/// A log that is well-formed, and its replay.
#[derive(Clone, Debug)]
pub struct EventLog<'a> {
    // INVARIANT: nothing but events of this layout, at least one.
    bytes: &'a [u8],
    layout: Layout,
    padding: usize,
    locality: Option<u8>,
    used: BTreeMap<u32, u64>,
    // INVARIANT: for each PCR in `used` and each bank of the layout a value.
    values: Values,
}

impl<'a> EventLog<'a> {
    /// Reads and replays a log.
    ///
    /// # Errors
    ///
    /// [`Error`]: it is not one, or is larger than [`MAX_SIZE`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_SIZE {
            return Err(Error::TooLarge { size: bytes.len() });
        }
        let padded_from = padded_from(bytes);
        if padded_from == 0 {
            return Err(Error::Empty);
        }
        let layout = Layout::of(bytes)?;
        let mut log = Self {
            bytes,
            layout,
            padding: 0,
            locality: None,
            used: BTreeMap::new(),
            values: Values::new(),
        };
        let end = log.check(padded_from)?;
        log.padding = bytes.len() - end;
        log.bytes = bytes.get(..end).unwrap_or_default();
        log.replay_all();
        Ok(log)
    }

    /// Reads all events, remembers the locality, and tells where the last one ends.
    fn check(&mut self, padded_from: usize) -> Result<usize, Error> {
        let mut reader = Reader {
            bytes: self.bytes,
            at: 0,
        };
        while reader.at < padded_from {
            let event = reader.event(&self.layout)?;
            let Some(second) = event.startup_locality()? else {
                continue;
            };
            match self.locality.replace(second) {
                Some(first) if first != second => {
                    return Err(Error::Localities {
                        at: event.offset,
                        first,
                        second,
                    });
                }
                _ => (),
            }
        }
        Ok(reader.at)
    }

    fn replay_all(&mut self) {
        for event in self.events().filter(Event::is_extended) {
            let pcr = event.pcr;
            *self.used.entry(pcr).or_default() += 1;
            for (bank, digest) in event.digests {
                let register = Register { pcr, bank };
                let reset = reset(register, self.startup_locality());
                let value = self.values.entry(register).or_insert(reset);
                *value = bank.extend(value, &digest);
            }
        }
    }

    /// The events, the header too.
    pub fn events(&self) -> impl Iterator<Item = Event<'a>> + 'a {
        let layout = self.layout.clone();
        let mut reader = Reader {
            bytes: self.bytes,
            at: 0,
        };
        // no byte is left after the last one, which is an error
        std::iter::from_fn(move || reader.event(&layout).ok())
    }

    /// The format of its events.
    pub fn format(&self) -> Format {
        self.layout.format()
    }

    /// The banks that it has digests for, as far as they can be replayed.
    pub fn banks(&self) -> Vec<Bank> {
        self.layout.banks()
    }

    /// Has it digests for this bank?
    pub fn has(&self, bank: Bank) -> bool {
        self.layout.banks().contains(&bank)
    }

    /// The PCRs that it extends, and by how many events.
    pub fn used(&self) -> &BTreeMap<u32, u64> {
        &self.used
    }

    /// What the PCRs held when the log ended: those that an event extends, in all banks of the log.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// What these PCRs held in one bank. Empty for a bank that the log lacks.
    pub fn replay(&self, bank: Bank) -> BTreeMap<u32, Digest> {
        let of_bank = self.values.iter();
        let of_bank = of_bank.filter(|(register, _)| register.bank == bank);
        of_bank.map(|(at, value)| (at.pcr, *value)).collect()
    }

    /// What the log says that a register held when it ended, from where a measurement list goes on.
    ///
    /// The PCRs 0 to 15 hold what they were reset to if no event extends them. There is no value for
    /// a bank that the log lacks, nor for PCRs from 16 on that no event extends: they can be
    /// reset without a reboot, by means that no event tells.
    pub fn start(&self, register: Register) -> Option<Digest> {
        if !self.has(register.bank) {
            return None;
        }
        let untouched = || (register.pcr < 16).then(|| reset(register, self.startup_locality()));
        let extended = self.values.get(&register).copied();
        extended.or_else(untouched)
    }

    /// The locality from which the TPM was started, 0 if no event says so: 0; 3; or 4 if an H-CRTM
    /// was measured before. It is the last byte of PCR 0 at its start (section 9.4.5.3).
    pub fn startup_locality(&self) -> u8 {
        self.locality.unwrap_or(0)
    }

    /// Bytes after the last event.
    pub fn padding(&self) -> usize {
        self.padding
    }
}

/// What a register holds when the TPM was started from this locality (PC Client Platform TPM Profile
/// 1.05, section 4.6.2): zeros, but ones in those of a dynamic launch, and the locality in PCR 0.
pub(crate) fn reset(register: Register, locality: u8) -> Digest {
    let size = register.bank.size();
    let mut value = [0; Digest::MAX];
    match register.pcr {
        0 => value[size - 1] = locality,
        17..=22 => value = [0xff; Digest::MAX],
        _ => (),
    }
    Digest::new(&value[..size])
}

/// From where on all bytes are 0x00, or all are 0xff. Where an event starts in there, the log ends:
/// neither is an event, as one of the type 0 has data, and no log has 0xffffffff bytes of it.
fn padded_from(bytes: &[u8]) -> usize {
    let from = |padding| {
        let last = bytes.iter().rposition(|byte| *byte != padding);
        last.map_or(0, |last| last + 1)
    };
    from(0x00).min(from(0xff))
}
