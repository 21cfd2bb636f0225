// SPDX-License-Identifier: GPL-2.0

//! Restoring what a previous kernel handed over, or somebody in its place.

use super::*;
use crate::{
    abstractions::{
        ima,
        sha256::sha256, //
    },
    format::{
        checkpoint::{
            Builder,
            Entry,
            Flags,
            Header as CheckpointHeader,
            Kind,
            Label,
            State,
            MAX_BUFFER, //
        },
        kexec::Header, //
    },
    log::testing::TestRecord,
    platform::Platform,
    store, //
};

/// A kexec buffer of a checkpoint as the first record, made by somebody who can compute digests,
/// and then a file.
fn forged_head(log: &Log, header: &CheckpointHeader, entries: &[Entry<'_>]) -> Result<KVVec<u8>> {
    let mut buffer = KVVec::zeroed(MAX_BUFFER, GFP_KERNEL)?;
    let mut builder = Builder::new(&mut buffer, header, Label::default()).map_err(|_| EINVAL)?;
    for entry in entries {
        builder.push(Kind::Value, entry).map_err(|_| EINVAL)?;
    }
    let buffer = builder.finish();
    let mut digest = *b"sha256:\0................................";
    digest[8..].copy_from_slice(&sha256(buffer));
    let record = TestRecord {
        pcr: log.platform().pcr(),
        violation: false,
        template: b"ima-buf",
        fields: &[&digest, b".ima/checkpoint\0", buffer],
    };
    let (first, _) = record.encode(log.platform())?;
    let (second, _) = with_file(log, 1, |record| record.encode(log.platform()))?;
    let mut out = KVVec::zeroed(Header::SIZE, GFP_KERNEL)?;
    out.extend_from_slice(&first, GFP_KERNEL)?;
    out.extend_from_slice(&second, GFP_KERNEL)?;
    let kexec = Header {
        size: out.len() as u64,
        count: 2,
    };
    kexec
        .encode(&mut out, log.platform().order())
        .map_err(|_| EINVAL)?;
    Ok(out)
}

/// The header of a checkpoint that nothing is wrong with.
fn header(log: &Log) -> CheckpointHeader {
    CheckpointHeader {
        flags: Flags::default(),
        log_id: [7; 16],
        sequence: 5,
        generation: 1,
        default_pcr: log.platform().pcr(),
        record: 100,
        offset: 10_000,
        violations: 3,
        wall_ns: 1,
        boot_ns: 1,
        segment_records: 10,
        segment_bytes: 1000,
        segment_digest: [1; 32],
        previous: [2; 32],
    }
}

/// The value of a PCR in the bank that the list is kept in.
fn value(log: &Log, pcr: u32) -> Result<Entry<'static>> {
    let bank = log
        .platform()
        .banks()
        .get(log.platform().sha1())
        .ok_or(EINVAL)?;
    Ok(Entry {
        pcr: pcr as u8,
        state: State::Match,
        algorithm: bank.alg_id(),
        value: &[9; 20],
    })
}

/// The log goes on as any does.
fn goes_on(rig: &Rig, held: &mut Extend) -> Result {
    rig.measure_file(held, 70)?;
    let seq = rig.seal(held)?.seq;
    rig.measure_file(held, 71)?;
    cut(&rig.log, held, seq)?;
    rig.seal(held)?;
    after_kexec(rig, held)?;
    Ok(())
}

#[kunit_tests(ima_checkpoint_restore)]
mod cases {
    use super::*;

    #[test]
    fn restoring_rebuilds_segments_and_shadows() -> Result {
        let mut held = ima::lock();
        let rig = example(true, &mut held)?;
        for first in 0..3 {
            let copy = Rig::booted(rig.machine.clone(), true, &CONFIG)?;
            copy.log
                .restore_into(&mut held, &dumped(&rig.log, first)?)?;
            ensure!(same_segments(&rig.log, &copy.log, first)?);
            ensure!(shadows_match(&copy, &mut held)?);
            ensure!(copy.log.store().end().bytes == rig.log.store().end().bytes);
            let left = rig.log.state.get(&mut held).identity.clone();
            let state = copy.log.state.get(&mut held);
            ensure_eq!(left.log_id, state.identity.log_id);
            ensure_eq!(left.sequence, state.identity.sequence);
            ensure_eq!(left.digest, state.identity.digest);
            ensure_eq!(left.generation + 1, state.identity.generation);
            ensure_eq!(state.known.len(), 0);
            ensure_eq!(state.violations, 1);
        }
        Ok(())
    }

    #[test]
    fn a_checkpoint_that_contradicts_the_replay_is_an_ordinary_record() -> Result {
        let mut held = ima::lock();
        let rig = example(false, &mut held)?;
        // Another first file, and nothing that follows agrees with it any more.
        let mut forged = dumped(&rig.log, 0)?;
        let name = b"/usr/bin/file";
        let at = forged
            .windows(name.len())
            .position(|window| window == name)
            .ok_or(EINVAL)?;
        forged[at + 1] = b'X';
        let copy = Rig::new(false)?;
        copy.log.restore_into(&mut held, &forged)?;
        ensure_eq!(copy.log.segments()?.len(), 1);
        ensure_eq!(copy.log.store().live().records, 8);
        ensure_eq!(copy.log.state.get(&mut held).doubted, 2);
        goes_on(&copy, &mut held)
    }

    #[test]
    fn a_head_is_believed_if_the_log_can_go_on_from_it() -> Result {
        let mut held = ima::lock();
        let rig = Rig::new(false)?;
        let value = value(&rig.log, rig.log.platform().pcr())?;
        let buffer = forged_head(&rig.log, &header(&rig.log), &[value])?;
        rig.log.restore_into(&mut held, &buffer)?;
        ensure_eq!(rig.log.segment(5)?.first_record(), 100);
        ensure_eq!(rig.log.state.get(&mut held).doubted, 0);
        ensure_eq!(rig.log.state.get(&mut held).violations, 3);
        goes_on(&rig, &mut held)
    }

    #[test]
    fn a_head_is_believed_without_the_hash_of_its_buffer() -> Result {
        let mut held = ima::lock();
        let platform = Log::get().ok_or(ENODEV)?.platform();
        let rig = Rig::on(Platform::without_hash(platform, b"sha256")?, &CONFIG)?;
        let value = value(&rig.log, rig.log.platform().pcr())?;
        let buffer = forged_head(&rig.log, &header(&rig.log), &[value])?;
        rig.log.restore_into(&mut held, &buffer)?;
        ensure_eq!(rig.log.state.get(&mut held).doubted, 0);
        ensure_eq!(rig.log.segment(5)?.first_record(), 100);
        Ok(())
    }

    #[test]
    fn a_head_that_leaves_no_room_is_an_ordinary_record() -> Result {
        let mut held = ima::lock();
        let most = i64::MAX as u64;
        let changes: [fn(&mut CheckpointHeader, u64); 4] = [
            |header, count| header.record = count,
            |header, count| header.offset = count,
            |header, count| header.sequence = count,
            |header, count| header.violations = count,
        ];
        for change in changes {
            let rig = Rig::new(false)?;
            let value = value(&rig.log, rig.log.platform().pcr())?;
            let mut header = header(&rig.log);
            change(&mut header, most);
            let buffer = forged_head(&rig.log, &header, &[value])?;
            rig.log.restore_into(&mut held, &buffer)?;
            ensure_eq!(rig.log.store().end().records, 2);
            ensure_eq!(rig.log.state.get(&mut held).doubted, 1);
            goes_on(&rig, &mut held)?;
        }
        Ok(())
    }

    #[test]
    fn a_head_without_the_default_pcr_is_an_ordinary_record() -> Result {
        let mut held = ima::lock();
        let rig = Rig::new(false)?;
        let value = value(&rig.log, rig.log.platform().pcr() + 1)?;
        let buffer = forged_head(&rig.log, &header(&rig.log), &[value])?;
        rig.log.restore_into(&mut held, &buffer)?;
        ensure_eq!(rig.log.store().live().records, 2);
        ensure_eq!(rig.log.state.get(&mut held).doubted, 1);
        ensure_eq!(rig.log.segments()?.len(), 1);
        goes_on(&rig, &mut held)
    }

    #[test]
    fn short_segments_take_little_memory() -> Result {
        let mut held = ima::lock();
        let rig = example(false, &mut held)?;
        for n in 0..200 {
            rig.seal(&mut held)?;
            rig.measure_file(&mut held, 100 + n)?;
        }
        let before = store::allocated_bytes();
        let copy = after_kexec(&rig, &mut held)?;
        let taken = store::allocated_bytes() - before;
        // Whoever can hand over a list cannot make it many times as large.
        ensure!(taken <= 3 * copy.log.store().live().bytes);
        Ok(())
    }

    #[test]
    fn a_checkpoint_with_a_wrong_violation_count_is_an_ordinary_record() -> Result {
        let mut held = ima::lock();
        let other = Rig::new(false)?;
        let value = value(&other.log, other.log.platform().pcr())?;
        let mut head = header(&other.log);
        head.violations = 3;
        let buffer = forged_head(&other.log, &head, &[value])?;
        other.log.restore_into(&mut held, &buffer)?;
        other.violate(&mut held)?;
        other.seal(&mut held)?;
        let again = after_kexec(&other, &mut held)?;
        ensure_eq!(again.log.state.get(&mut held).violations, 4);
        again.log.state.get(&mut held).violations = 9;
        again.seal(&mut held)?;
        let copy = Rig::new(false)?;
        copy.log.restore_into(&mut held, &dumped(&again.log, 5)?)?;
        ensure_eq!(copy.log.state.get(&mut held).doubted, 1);
        Ok(())
    }

    #[test]
    fn a_flipped_byte_never_stops_the_boot() -> Result {
        let mut held = ima::lock();
        let rig = example(false, &mut held)?;
        let mut buffer = dumped(&rig.log, 0)?;
        for at in 0..buffer.len() {
            buffer[at] ^= 0x40;
            let copy = Rig::new(false)?;
            let result = copy.log.restore_into(&mut held, &buffer);
            ensure!(copy.log.store().live().records <= 8);
            // What was restored can be carried on.
            if result.is_ok() {
                copy.measure_file(&mut held, 70)?;
                copy.seal(&mut held)?;
            }
            buffer[at] ^= 0x40;
        }
        Ok(())
    }

    #[test]
    fn a_torn_buffer_gives_what_is_whole() -> Result {
        let mut held = ima::lock();
        let log = example(false, &mut held)?.log;
        let buffer = dumped(&log, 0)?;
        for len in 0..Header::SIZE {
            let copy = Rig::new(false)?.log;
            ensure!(copy.restore_into(&mut held, &buffer[..len]).is_err());
        }
        let mut torn = dumped(&log, 0)?;
        let len = torn.len() - 1;
        torn.truncate(len);
        // The header says how long it was.
        let copy = Rig::new(false)?.log;
        ensure!(copy.restore_into(&mut held, &torn).is_err());
        let header = Header {
            size: len as u64,
            count: 8,
        };
        header
            .encode(&mut torn, log.platform().order())
            .map_err(|_| EINVAL)?;
        let copy = Rig::new(false)?.log;
        ensure!(copy.restore_into(&mut held, &torn).is_err());
        ensure_eq!(copy.store().live().records, 7);
        Ok(())
    }
}
