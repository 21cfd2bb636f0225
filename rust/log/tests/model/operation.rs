// SPDX-License-Identifier: GPL-2.0

//! What happens in a case of the model, at random.

use super::FILES;
use crate::log::testing::Fault;

/// Numbers that look random.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    /// IMA measures a file into a PCR, unless it is known.
    Measure {
        file: u32,
        pcr: u32,
    },
    Violate,
    Seal,
    /// To a segment, counted from the oldest.
    Truncate {
        segment: u64,
    },
    /// Somebody opens a segment, and keeps it.
    Hold {
        segment: u64,
    },
    /// Whoever holds a segment lets it go.
    Release,
    /// A step of the worker.
    Tidy,
    /// The buffer has room for some more than it must have.
    Kexec {
        room: u64,
    },
    Reboot,
    /// Somebody extends the default PCR behind IMA's back.
    Meddle,
    /// Somebody reads the live list, from a place in thousandths of it.
    Read {
        place: u64,
        size: u64,
    },
    /// Records that were freed count as absent, or not.
    Configure {
        live: bool,
    },
    /// During the next operation the TPM fails at this call.
    TpmFault {
        fault: Fault,
        call: u64,
    },
    /// During the next operation this allocation fails.
    MemoryFault {
        victim: u64,
    },
}

impl Operation {
    pub(super) fn random(random: &mut Random) -> Self {
        match random.below(72) {
            0..=27 => Self::Measure {
                file: random.below(FILES) as u32,
                pcr: [10, 10, 10, 10, 11, 23][random.below(6) as usize],
            },
            28..=31 => Self::Violate,
            32..=39 => Self::Seal,
            40..=43 => Self::Truncate {
                segment: random.below(6),
            },
            44..=46 => Self::Hold {
                segment: random.below(4),
            },
            47..=48 => Self::Release,
            49..=52 => Self::Tidy,
            53..=54 => Self::Kexec {
                room: random.below(4096),
            },
            55 => Self::Reboot,
            56 => Self::Meddle,
            57 => Self::Configure {
                live: random.below(2) > 0,
            },
            58..=60 => Self::TpmFault {
                fault: [Fault::Fails, Fault::Lies, Fault::Meddles][random.below(3) as usize],
                call: random.below(6),
            },
            61..=65 => Self::Read {
                place: random.below(1100),
                size: [1, 7, 100, 1000, 70_000][random.below(5) as usize],
            },
            _ => Self::MemoryFault {
                victim: random.below(24),
            },
        }
    }
}
