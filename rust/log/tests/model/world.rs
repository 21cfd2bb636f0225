// SPDX-License-Identifier: GPL-2.0

//! A log that operations are done to, and what is expected of each.

use super::{
    check,
    operation::Operation,
    Check,
    SETTINGS, //
};
use crate::{
    abstractions::ima,
    config::Snapshot,
    format::{
        kexec::Header,
        truncate::Reason, //
    },
    log::{
        consent::Target,
        kexec::MIN_SIZE,
        testing::{
            with_file,
            Fault,
            Rig,
            Taken,
            TestRecord,
            When, //
        },
    },
    memory::{
        failing::{
            failing_at,
            never, //
        },
        KVVec,
        KVec, //
    },
    store::{
        Encoding,
        Reader,
        Segment,
        View, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A segment that somebody reads, and what it held when it was opened.
pub(super) struct Held {
    pub(super) segment: Arc<Segment>,
    pub(super) first: u64,
}

/// The log, and what is expected of it.
pub(super) struct World {
    pub(super) rig: Rig,
    has_tpm: bool,
    /// First live record, counted since cold boot.
    pub(super) first: u64,
    /// Files that this kernel measured, and their PCRs.
    measured: KVec<(u32, u32)>,
    /// The duplicate check may have forgotten.
    forgetful: bool,
    /// Nothing was done to the TPM since the last checkpoint that list and PCRs would not show.
    pub(super) clean: bool,
    pub(super) held: KVec<Held>,
    tpm_fault: Option<(Fault, u64)>,
    memory_fault: Option<u64>,
}

impl World {
    pub(super) fn new(has_tpm: bool) -> Result<Self> {
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
            let (_, digests) = never(|| record.encode(log.platform()))?;
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

    pub(super) fn step(&mut self, operation: Operation) -> Check {
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
                let result = self
                    .with_faults(|world| world.rig.log.truncate(Reason::User, Target::Number(seq)));
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
}
