// SPDX-License-Identifier: GPL-2.0

//! Random operations, with a TPM and memory that fail, against a list in the plainest form: what
//! the machine appended, one record after the other.
//!
//! A case is a seed: it gives the operations. One that fails is shrunk to the operations that it
//! takes, and printed; `ima_checkpoint.model=FIRST,COUNT` on the kernel's command line runs other
//! cases, or one of them again.

use super::*;
use crate::{
    abstractions::{
        command_line,
        ima,
        sha256::sha256, //
    },
    config::Snapshot,
    format::{
        checkpoint::{
            Checkpoint,
            EVENT_NAME, //
        },
        kexec::Header,
        record::Record, //
    },
    log::{
        kexec::MIN_SIZE,
        testing::{
            Fault,
            Taken,
            TestRecord,
            When, //
        },
    },
    memory::{
        failing::failing_at,
        KVec, //
    },
    store::{
        Encoding,
        Live,
        Reader,
        Segment,
        Span,
        View, //
    },
};
use kernel::sync::Arc;

/// Cases that run without a wish on the command line.
const CASES: u64 = 60;
/// Operations of a case.
const LENGTH: usize = 120;
static SETTINGS: Config = Config::new();

/// Files that there are to be measured.
const FILES: u64 = 40;

/// What went wrong.
type Fail = &'static str;
type Check<T = ()> = core::result::Result<T, Fail>;

/// Demands that something holds.
fn check(holds: bool, what: Fail) -> Check {
    if holds {
        Ok(())
    } else {
        Err(what)
    }
}

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Operation {
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
    fn random(random: &mut Random) -> Self {
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

/// A segment that somebody reads, and what it held when it was opened.
struct Held {
    segment: Arc<Segment>,
    first: u64,
}

/// The log, and what is expected of it.
struct World {
    rig: Rig,
    has_tpm: bool,
    /// First live record, counted since cold boot.
    first: u64,
    /// Files that this kernel measured, and their PCRs.
    measured: KVec<(u32, u32)>,
    /// The duplicate check may have forgotten.
    forgetful: bool,
    /// Nothing was done to the TPM since the last checkpoint that list and PCRs would not show.
    clean: bool,
    held: KVec<Held>,
    tpm_fault: Option<(Fault, u64)>,
    memory_fault: Option<u64>,
}

impl World {
    fn new(has_tpm: bool) -> Result<Self> {
        SETTINGS.store(Snapshot::DEFAULT);
        Ok(Self {
            rig: Rig::configured(has_tpm, &SETTINGS)?,
            has_tpm,
            first: 0,
            measured: KVec::new(),
            forgetful: false,
            clean: true,
            held: KVec::new(),
            tpm_fault: None,
            memory_fault: None,
        })
    }

    /// Does `work`, during which something may fail.
    fn with_faults<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        if let Some((fault, call)) = self.tpm_fault.take() {
            self.rig.machine.fail(fault, When::At(call));
        }
        let result = match self.memory_fault.take() {
            Some(victim) => {
                let (result, reached) = failing_at(victim, || work(self));
                self.forgetful |= reached;
                result
            }
            None => work(self),
        };
        self.rig.machine.fail(Fault::Fails, When::Never);
        result
    }

    fn file(&self, file: u32, pcr: u32) -> Result<bool> {
        let log = &self.rig.log;
        let pcr = if pcr == 10 { log.platform().pcr() } else { pcr };
        let mut held = ima::lock();
        with_file(log, file, |record| {
            let record = TestRecord { pcr, ..*record };
            let (_, digests) = crate::memory::failing::never(|| record.encode(log.platform()))?;
            let digest = digests
                .get(log.platform().hash_index())
                .ok_or(EINVAL)?
                .value();
            let digest = digest.get(..log.platform().hash_size()).ok_or(EINVAL)?;
            if log.is_known(&mut held, pcr, digest) {
                return Ok(false);
            }
            self.rig.measure(&mut held, &record).map(|()| true)
        })
    }

    fn end(&self) -> u64 {
        self.rig.machine.with_list(|list| list.ends.len() as u64)
    }

    fn step(&mut self, operation: Operation) -> Check {
        let faulty = self.tpm_fault.is_some() || self.memory_fault.is_some();
        let expected = |result: &Result| match result {
            Ok(()) => Ok(()),
            Err(error) if faulty && (*error == EIO || *error == ENOMEM) => Ok(()),
            Err(_) => Err("an operation failed for no reason"),
        };
        if self.tpm_fault.is_some() && !matches!(operation, Operation::Kexec { .. }) {
            self.clean = false;
        }
        match operation {
            Operation::Measure { file, pcr } => {
                let was_measured = self.measured.contains(&(file, pcr));
                let result = self.with_faults(|world| world.file(file, pcr));
                expected(&result.map(|_| ()))?;
                match result {
                    Ok(true) => {
                        let unique = self.rig.log.platform().unique();
                        check(
                            !was_measured || self.forgetful || !unique,
                            "a known file was measured again",
                        )?;
                        let _ = self.measured.push((file, pcr), GFP_KERNEL);
                    }
                    Ok(false) => check(was_measured, "a file that is not known was not measured")?,
                    Err(_) => (),
                }
            }
            Operation::Violate => {
                let result = self.with_faults(|world| world.rig.violate(&mut ima::lock()));
                expected(&result)?;
            }
            Operation::Seal => {
                let (before, fault) = (self.end(), self.tpm_fault.is_some());
                let pcr = self.rig.log.platform().pcr();
                let is_used = {
                    let mut held = ima::lock();
                    self.rig.log.state.get(&mut held).pcrs.get(pcr).is_some()
                };
                let result = self.with_faults(|world| world.rig.seal(&mut ima::lock()));
                let result = result.map(|_| ());
                // A PCR that was never used has no value to start from.
                if is_used {
                    expected(&result)?;
                } else {
                    check(result.is_err(), "a checkpoint without a PCR")?;
                }
                let sealed = self.end() > before;
                self.clean = !fault && (result.is_ok() || (self.clean && !sealed));
            }
            Operation::Truncate { segment } => {
                let log = self.rig.log.clone();
                let seq = log.store().first().wrapping_add(segment);
                let known = log.segment(seq).is_ok();
                let result =
                    self.with_faults(|world| world.rig.log.truncate(Reason::User, seq, None));
                match result {
                    Ok(()) => {
                        check(known && seq > 0, "a truncation to no checkpoint")?;
                        let start = log.segment(seq).map_err(|_| "the segment is gone")?;
                        self.first = start.first_record();
                    }
                    Err(error) if error == ENOENT || error == EINVAL => {
                        check(!known || seq == 0, "a segment that was not found")?;
                    }
                    other => expected(&other)?,
                }
            }
            Operation::Hold { segment } => {
                let log = &self.rig.log;
                if let Ok(segment) = log.segment(log.store().first().wrapping_add(segment)) {
                    let first = segment.first_record();
                    let _ = self.held.push(Held { segment, first }, GFP_KERNEL);
                }
            }
            Operation::Release => self.held.clear(),
            Operation::Tidy => {
                self.with_faults(|world| world.rig.log.tidy());
            }
            Operation::Kexec { room } => self.kexec(room)?,
            Operation::Reboot => {
                self.held.clear();
                *self = Self::new(self.has_tpm).map_err(|_| "no memory for a reboot")?;
            }
            Operation::Meddle => {
                let platform = self.rig.log.platform();
                let _ = self.rig.machine.meddle(platform, platform.pcr());
                self.clean = false;
            }
            Operation::Read { place, size } => self.read(place, size as usize)?,
            Operation::Configure { live } => {
                let line: &[u8] = if live {
                    b"duplicate_scope=live"
                } else {
                    b"duplicate_scope=log"
                };
                let result = self.with_faults(|world| world.rig.log.configure(line));
                expected(&result)?;
                self.forgetful |= live;
            }
            Operation::TpmFault { fault, call } => self.tpm_fault = Some((fault, call)),
            Operation::MemoryFault { victim } => self.memory_fault = Some(victim),
        }
        self.check_all()
    }

    /// What a read gives is what the list has there: whole records, or the part of one that fits.
    fn read(&mut self, place: u64, size: usize) -> Check {
        let log = self.rig.log.clone();
        let view = View {
            bank: log.platform().sha1(),
            encoding: Encoding::Binary,
        };
        let length = log.store().live().bytes;
        let at = length * place / 1000;
        let had_fault = self.memory_fault.is_some();
        let result = self.with_faults(|_| {
            let mut reader = Reader::live(log.platform(), log.store(), view)?;
            let mut taken = Taken::new(size);
            reader.read(at, &mut taken)?;
            Ok(taken.bytes)
        });
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(ENOMEM) if had_fault => return Ok(()),
            Err(_) => return Err("a read failed"),
        };
        self.rig.machine.with_list(|list| {
            let live = list.from(self.first);
            let expected = live.get(at as usize..).unwrap_or_default();
            check(expected.starts_with(&bytes), "a read gave other bytes")?;
            check(
                bytes.is_empty() == expected.is_empty(),
                "a read ended too early",
            )
        })
    }

    fn kexec(&mut self, room: u64) -> Check {
        let out_of_memory = "no memory for the test";
        let room = MIN_SIZE + room as usize;
        let mut buffer = KVVec::zeroed(room, GFP_KERNEL).map_err(|_| out_of_memory)?;
        buffer.fill(0xa5);
        let faulty = self.memory_fault.is_some();
        let clean = self.clean && self.tpm_fault.is_none();
        self.with_faults(|world| {
            world.rig.log.suspend(&mut ima::lock(), true, room);
        });
        let len = self.rig.log.dump(&mut buffer);
        let order = self.rig.log.platform().order();
        let (header, _) = Header::parse(&buffer, order).map_err(|_| "the buffer has no header")?;
        check(header.size == len as u64, "the header's size is wrong")?;
        let end = self.end();
        check(
            header.count > 0 || faulty || end == self.first,
            "nothing was carried",
        )?;
        self.held.clear();

        let rig = Rig::booted(self.rig.machine.clone(), self.has_tpm, &SETTINGS)
            .map_err(|_| out_of_memory)?;
        rig.log
            .restore(buffer.get(..len).ok_or("the buffer is too long")?)
            .map_err(|_| "the list was not restored")?;
        if header.count == 0 {
            // A list of its own: what a verifier cannot replay.
            return self.forget();
        }
        rig.log.compare_with_tpm();
        let (doubted, lost) = {
            let mut held = ima::lock();
            let state = rig.log.state.get(&mut held);
            (state.doubted, state.lost)
        };
        check(doubted == 0, "a checkpoint was doubted")?;
        self.rig = rig;
        self.first = end.wrapping_sub(header.count);
        self.measured.clear();
        SETTINGS.store(Snapshot::DEFAULT);
        // If the default PCR held more than the list, then a checkpoint has set all right.
        self.clean = clean || lost;
        self.forgetful = false;
        Ok(())
    }

    /// Starts anew.
    fn forget(&mut self) -> Check {
        *self = Self::new(self.has_tpm).map_err(|_| "no memory for the test")?;
        Ok(())
    }

    /// All that can be seen of the log.
    fn check_all(&self) -> Check {
        let log = &self.rig.log;
        let mut held = ima::lock();
        let segments = log.segments().map_err(|_| "no memory for the test")?;
        self.rig.machine.with_list(|list| {
            let end = list.ends.len() as u64;
            let live = list.from(self.first);
            let at = Span {
                records: self.first,
                bytes: list.start(self.first) as u64,
                ascii: log.store().start().ascii,
            };
            check(log.store().start() == at, "the list starts elsewhere")?;
            check(log.store().end().records == end, "records are missing")?;
            check(
                log.store().end().bytes == list.bytes.len() as u64,
                "bytes are missing",
            )?;
            let mut seen = 0;
            for segment in &segments {
                segment
                    .for_each_chunk(|bytes| {
                        let same = live.get(seen..seen + bytes.len()) == Some(bytes);
                        seen += bytes.len();
                        same.then_some(()).ok_or(EIO)
                    })
                    .map_err(|_| "the list has other bytes")?;
            }
            check(seen == live.len(), "the list ends early")?;
            check_segments(&segments)?;
            self.held
                .iter()
                .try_for_each(|one| check_held(one, list.from(one.first)))
        })?;
        check_checkpoints(log, &segments)?;
        let matches = shadows_match(&self.rig, &mut held).map_err(|_| "the TPM is broken")?;
        check(!self.clean || matches, "the shadow PCRs are wrong")
    }
}

/// One is active, the last; numbers and places follow each other.
fn check_segments(segments: &[Live]) -> Check {
    let (active, sealed) = segments.split_last().ok_or("there is no segment")?;
    check(!active.is_sealed(), "the active segment is sealed")?;
    check(
        sealed.iter().all(|segment| segment.is_sealed()),
        "an old segment is not sealed",
    )?;
    let follows = |pair: &[Live]| {
        pair[0].seq() + 1 == pair[1].seq() && pair[1].start() - pair[0].start() == pair[0].len()
    };
    check(
        segments.windows(2).all(follows),
        "segments do not follow each other",
    )
}

/// A segment that is held has the bytes that it had, freed or not.
fn check_held(held: &Held, expected: &[u8]) -> Check {
    let mut seen = 0;
    held.segment
        .for_each_chunk(|bytes| {
            let same = expected.get(seen..seen + bytes.len()) == Some(bytes);
            seen += bytes.len();
            same.then_some(()).ok_or(EIO)
        })
        .map_err(|_| "a segment that is held has other bytes")
}

/// Each checkpoint says the truth about the segment that it sealed, and about the violations.
fn check_checkpoints(log: &Log, segments: &[Live]) -> Check {
    let order = log.platform().order();
    let mut previous: Option<(KVVec<u8>, u64)> = None;
    let mut violations = None;
    for segment in segments {
        let mut bytes = KVVec::new();
        segment
            .for_each_chunk(|part| Ok(bytes.extend_from_slice(part, GFP_KERNEL)?))
            .map_err(|_| "no memory for the test")?;
        let mut rest: &[u8] = &bytes;
        let mut count = 0;
        while !rest.is_empty() {
            let (record, len) =
                Record::parse(rest, 20, order).map_err(|_| "a record is not whole")?;
            rest = rest.get(len..).unwrap_or_default();
            let starts = record.event_name() == Some(EVENT_NAME);
            check(
                starts == (count == 0 && segment.seq() > 0),
                "a checkpoint is not where a segment starts",
            )?;
            if starts {
                let checkpoint = record.buffer().and_then(|b| Checkpoint::parse(b).ok());
                let checkpoint = checkpoint.ok_or("a checkpoint cannot be read")?;
                let header = checkpoint.header();
                check(header.sequence == segment.seq(), "a wrong number")?;
                check(header.record == segment.first_record(), "a wrong place")?;
                if let Some((bytes, count)) = &previous {
                    check(
                        header.segment_digest == sha256(bytes),
                        "a wrong segment digest",
                    )?;
                    check(header.segment_records == *count, "a wrong record count")?;
                }
                let counted = *violations.get_or_insert(header.violations);
                check(header.violations == counted, "a wrong violation count")?;
            }
            if let Some(counted) = &mut violations {
                *counted += u64::from(record.is_violation());
            }
            count += 1;
        }
        previous = Some((bytes, count));
    }
    Ok(())
}

/// Runs the operations of a case that `kept` has; what went wrong, and at which.
fn run(seed: u64, kept: &[bool]) -> core::result::Result<(), (usize, Fail)> {
    let mut random = Random(seed);
    let has_tpm = random.below(8) > 0;
    let mut world = World::new(has_tpm).map_err(|_| (0, "no memory for the test"))?;
    for (at, kept) in kept.iter().enumerate() {
        let operation = Operation::random(&mut random);
        if *kept {
            world.step(operation).map_err(|what| (at, what))?;
        }
    }
    Ok(())
}

/// Drops operations for as long as the rest fails, and prints what is left.
fn shrink(seed: u64, kept: &mut [bool]) {
    loop {
        let mut dropped = false;
        for at in 0..kept.len() {
            if kept[at] {
                kept[at] = false;
                if run(seed, kept).is_err() {
                    dropped = true;
                } else {
                    kept[at] = true;
                }
            }
        }
        if !dropped {
            break;
        }
    }
    let mut random = Random(seed);
    random.below(8);
    for kept in kept.iter() {
        let operation = Operation::random(&mut random);
        if *kept {
            pr_err!("model case {seed}: {operation:?}\n");
        }
    }
    if let Err((_, what)) = run(seed, kept) {
        pr_err!("model case {seed}: {what}\n");
    }
}

/// First and number of the cases that the command line wants.
fn wanted_cases() -> Option<(u64, u64)> {
    let mut numbers = command_line::value(b"ima_checkpoint.model=")?.split(|byte| *byte == b',');
    let mut number = || crate::config::decimal(numbers.next()?);
    Some((number()?, number()?))
}

#[kunit_tests(ima_checkpoint_model)]
mod cases {
    use super::*;

    #[test]
    fn the_log_does_what_a_plain_list_does() -> Result {
        let (first, count) = wanted_cases().unwrap_or((0, CASES));
        let mut failed = 0;
        for seed in first..first.saturating_add(count) {
            let mut kept = [true; LENGTH];
            if run(seed, &kept).is_err() {
                failed += 1;
                if failed <= 3 {
                    shrink(seed, &mut kept);
                }
            }
        }
        pr_info!("model: {count} cases of {LENGTH} operations, {failed} failed\n");
        assert_eq!(failed, 0);
        Ok(())
    }
}
