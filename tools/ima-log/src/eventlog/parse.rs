// SPDX-License-Identifier: GPL-2.0

//! Reading events, in either format.

use super::{
    error::{self, Error, Part},
    kind::Kind,
    Event, Format, MAX_ALGORITHMS, PCRS,
};
use crate::bank::{Bank, Digest};

/// What the header of a log starts with, in either format; two digits and a NUL follow.
const SIGNATURE: &[u8] = b"Spec ID Event";

/// The signature of a crypto-agile log (section 9.4.5.1, TCG_EfiSpecIDEvent).
const AGILE: [u8; 16] = *b"Spec ID Event03\0";

/// Those of SHA-1 logs: "00" of a BIOS (PC Client Implementation 1.21, section 11.3.4.1), "02" of
/// UEFI with a TPM 1.2 (EFI Platform 1.22, section 7.4).
const SHA1: [[u8; 16]; 2] = [*b"Spec ID Event00\0", *b"Spec ID Event02\0"];

/// An algorithm that a log has digests of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Algorithm {
    id: u16,
    size: usize,
}

impl Algorithm {
    /// The bank, if it is one that can be replayed.
    pub(super) fn bank(self) -> Option<Bank> {
        Bank::from_tpm_id(self.id)
    }
}

/// How the digests of events are laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// TCG_PCClientPCREvent: a SHA-1 digest.
    Sha1,
    /// TCG_PCR_EVENT2: a digest of each of these.
    // INVARIANT: 1 to `MAX_ALGORITHMS`, none twice, with the size that the bank has where it is known.
    Agile(Vec<Algorithm>),
}

impl Layout {
    pub(super) fn format(&self) -> Format {
        match self {
            Self::Sha1 => Format::Sha1,
            Self::Agile(_) => Format::CryptoAgile,
        }
    }

    /// Those that can be replayed.
    pub(super) fn banks(&self) -> Vec<Bank> {
        match self {
            Self::Sha1 => vec![Bank::Sha1],
            Self::Agile(algorithms) => algorithms.iter().filter_map(|a| a.bank()).collect(),
        }
    }

    /// The layout that the first event tells of all others.
    pub(super) fn of(log: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader { bytes: log, at: 0 };
        let event = reader.sha1_event()?;
        let signature = event.data.first_chunk().copied().unwrap_or([0; 16]);
        let is_header = event.kind == Kind::NO_ACTION && signature.starts_with(SIGNATURE);
        if !is_header || SHA1.contains(&signature) {
            return Ok(Self::Sha1);
        }
        let at = reader.at - event.data.len();
        if signature != AGILE {
            return Err(Error::Version { at, signature });
        }
        // as the kernel demands it, or it shows no event after this one
        if event.pcr != 0 || event.digests.iter().any(|(_, digest)| !digest.is_zero()) {
            return Err(Error::Header { at: 0 });
        }
        let mut header = Reader {
            bytes: log.get(..reader.at).unwrap_or_default(),
            at,
        };
        Ok(Self::Agile(header.algorithms()?))
    }
}

/// Takes one thing after the other from a log.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    // INVARIANT: at most `bytes.len()`.
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    /// The next event of a log of this layout, whose first event is always of the SHA-1 format.
    pub(super) fn event(&mut self, layout: &Layout) -> Result<Event<'a>, Error> {
        match layout {
            Layout::Agile(algorithms) if self.at > 0 => self.agile_event(algorithms),
            _ => self.sha1_event(),
        }
    }

    /// TCG_PCClientPCREvent (section 9.2.1): PCR, type, a SHA-1 digest, the size of the data as
    /// 32 bits, data.
    fn sha1_event(&mut self) -> Result<Event<'a>, Error> {
        let offset = self.at;
        let start: &[u8; 28] = self.array(Part::Event)?;
        let [pcr, kind] = [word(start, 0), word(start, 4)];
        let digest = start.get(8..).unwrap_or_default();
        self.finish(offset, pcr, kind, vec![(Bank::Sha1, Digest::new(digest))])
    }

    /// TCG_PCR_EVENT2 (section 9.2.2): PCR, type, number of digests, for each an algorithm and the
    /// digest, the size of the data as 32 bits, data.
    fn agile_event(&mut self, algorithms: &[Algorithm]) -> Result<Event<'a>, Error> {
        let offset = self.at;
        let start: &[u8; 12] = self.array(Part::Event)?;
        let [pcr, kind, count] = [word(start, 0), word(start, 4), word(start, 8)];
        if usize::try_from(count) != Ok(algorithms.len()) {
            return Err(Error::DigestCount {
                at: offset + 8,
                count,
                algorithms: algorithms.len(),
            });
        }
        let digests = self.digests(algorithms)?;
        self.finish(offset, pcr, kind, digests)
    }

    /// One digest for each algorithm, in any order. Those that cannot be replayed are left out.
    fn digests(&mut self, algorithms: &[Algorithm]) -> Result<Vec<(Bank, Digest)>, Error> {
        let mut seen = [false; MAX_ALGORITHMS];
        let mut digests = Vec::with_capacity(algorithms.len());
        for _ in algorithms {
            let at = self.at;
            let id = u16::from_le_bytes(*self.array(Part::Algorithm)?);
            let mut places = algorithms.iter().zip(&mut seen);
            let Some((algorithm, seen)) = places.find(|(algorithm, _)| algorithm.id == id) else {
                return Err(Error::UnknownDigest { at, algorithm: id });
            };
            if std::mem::replace(seen, true) {
                return Err(Error::Repeated { at, algorithm: id });
            }
            let digest = self.take(algorithm.size as u64, Part::Digest)?;
            digests.extend(algorithm.bank().map(|bank| (bank, Digest::new(digest))));
        }
        Ok(digests)
    }

    /// What both formats end with: the data.
    fn finish(
        &mut self,
        offset: usize,
        pcr: u32,
        kind: u32,
        digests: Vec<(Bank, Digest)>,
    ) -> Result<Event<'a>, Error> {
        let size = u32::from_le_bytes(*self.array(Part::Size)?);
        let data = self.take(size.into(), Part::Data)?;
        if kind == 0 && data.is_empty() {
            return Err(Error::Blank { at: offset });
        }
        let kind = Kind(kind);
        // others may be in no PCR at all: firmware uses 0xffffffff
        if kind != Kind::NO_ACTION && pcr >= PCRS {
            return Err(Error::Pcr { at: offset, pcr });
        }
        Ok(Event {
            offset,
            pcr,
            kind,
            digests,
            data,
        })
    }

    /// TCG_EfiSpecIDEvent (section 9.4.5.1): signature, platform class as 32 bits, minor and major
    /// version, errata, size of a UINTN, number of algorithms, and the identifier and the size of
    /// digests of each as 16 bits. The vendor's information that follows is ignored.
    fn algorithms(&mut self) -> Result<Vec<Algorithm>, Error> {
        let start: &[u8; 28] = self.array(Part::Header)?;
        let count = word(start, 24);
        let at = self.at - 4;
        if count == 0 || usize::try_from(count).is_ok_and(|count| count > MAX_ALGORITHMS) {
            return Err(Error::AlgorithmCount { at, count });
        }
        let mut algorithms: Vec<Algorithm> = Vec::new();
        let at = self.at;
        let listed = self.take(4 * u64::from(count), Part::Algorithms)?;
        for (number, listed) in listed.chunks_exact(4).enumerate() {
            let at = at + 4 * number;
            let [id, size] = [half(listed, 0), half(listed, 2)];
            if algorithms.iter().any(|algorithm| algorithm.id == id) {
                return Err(Error::Repeated { at, algorithm: id });
            }
            let algorithm = Algorithm {
                id,
                size: size.into(),
            };
            if !is_size_of(algorithm) {
                return Err(Error::AlgorithmSize {
                    at,
                    algorithm: id,
                    size,
                });
            }
            algorithms.push(algorithm);
        }
        Ok(algorithms)
    }

    fn array<const SIZE: usize>(&mut self, part: Part) -> Result<&'a [u8; SIZE], Error> {
        let array = self.rest().first_chunk();
        let array = array.ok_or(self.cut(part, SIZE as u64))?;
        self.at += SIZE;
        Ok(array)
    }

    fn take(&mut self, size: u64, part: Part) -> Result<&'a [u8], Error> {
        let length = usize::try_from(size).ok();
        let taken = length.and_then(|length| self.rest().get(..length));
        let taken = taken.ok_or(self.cut(part, size))?;
        self.at += taken.len();
        Ok(taken)
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn cut(&self, part: Part, needed: u64) -> Error {
        Error::Cut {
            at: self.at,
            part,
            needed,
            left: self.rest().len() as u64,
        }
    }
}

/// Is the size the one that digests of a known algorithm have, or one that others can have?
fn is_size_of(algorithm: Algorithm) -> bool {
    match algorithm.bank() {
        Some(bank) => algorithm.size == bank.size(),
        None => error::is_digest_size(algorithm.size),
    }
}

/// The 32 bits there, with the lowest byte first; 0 where there are none.
fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(<[u8]>::first_chunk);
    word.map_or(0, |word| u32::from_le_bytes(*word))
}

/// The 16 bits there.
fn half(bytes: &[u8], at: usize) -> u16 {
    let half = bytes.get(at..).and_then(<[u8]>::first_chunk);
    half.map_or(0, |half| u16::from_le_bytes(*half))
}
