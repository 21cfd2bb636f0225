// SPDX-License-Identifier: GPL-2.0

//! Logs of the tests' own, without a TPM, beside the machine's.

use super::{
    Log,
    NewRecord,
    Sealed, //
};
use crate::{
    env::Env,
    format::{
        checkpoint::{
            Flags,
            Label,
            MAX_BUFFER, //
        },
        kexec::Header,
        record::{
            NewRecord as Encoder,
            Record, //
        },
    },
    seam::{
        self,
        sha256,
        Extend, //
    },
    store::Span,
};
use kernel::{
    bindings,
    prelude::*,
    sync::Arc, //
};

/// A log of our own with the machine's banks.
fn fresh() -> Result<Arc<Log>> {
    let machine = Log::get().ok_or(ENODEV)?;
    Log::new(Env::without_tpm(machine.env())?)
}

/// Appends a record as IMA would.
fn add(log: &Log, held: &mut Extend, template: &[u8], fields: &[&[u8]], violation: bool) -> Result {
    let mut encoded = KVVec::zeroed(8192, GFP_KERNEL)?;
    let encoder = Encoder {
        pcr: log.env().pcr(),
        digest: if violation { &[0; 20] } else { &[1; 20] },
        template_name: template,
        fields: fields.iter().copied(),
        order: log.env().order(),
    };
    encoder.encode(&mut encoded).map_err(|_| EINVAL)?;
    let (record, _) = Record::parse(&encoded, 20, log.env().order()).map_err(|_| EINVAL)?;
    let mut digests = KVec::new();
    for bank in log.env().banks() {
        let digest = log.env().template_digest(&record, bank)?;
        let alg_id = bank.alg_id();
        digests.push(bindings::tpm_digest { alg_id, digest }, GFP_KERNEL)?;
    }
    log.append(
        held,
        &NewRecord {
            pcr: log.env().pcr(),
            violation,
            template,
            fields,
            digests: &digests,
        },
    )
}

/// A record of a file; each `n` is another file.
fn add_file(log: &Log, held: &mut Extend, n: u32) -> Result {
    let mut digest = *b"sha256:\0................................";
    digest[8..].copy_from_slice(&sha256(&n.to_le_bytes()));
    add(log, held, b"ima-ng", &[&digest, b"/usr/bin/file\0"], false)
}

/// Makes a checkpoint as the log does, but for the TPM.
fn seal(log: &Log, held: &mut Extend) -> Result<Sealed> {
    let mut buffer = KVVec::zeroed(MAX_BUFFER, GFP_KERNEL)?;
    let (made, buffer) = log.prepare(held, Label::default(), Flags::default(), &mut buffer)?;
    let mut digest = *b"sha256:\0................................";
    digest[8..].copy_from_slice(&sha256(buffer));
    let fields: [&[u8]; 3] = [&digest, b".ima/checkpoint\0", buffer];
    let result = add(log, held, b"ima-buf", &fields, false);
    log.conclude(held, made, result)?;
    Ok(made)
}

/// Three segments: 3 records, a checkpoint and 2, a checkpoint and 1.
fn example(held: &mut Extend) -> Result<Arc<Log>> {
    let log = fresh()?;
    for n in 0..3 {
        add_file(&log, held, n)?;
    }
    seal(&log, held)?;
    add_file(&log, held, 3)?;
    add(
        &log,
        held,
        b"ima-ng",
        &[b"sha1:\0....................", b"/violated\0"],
        true,
    )?;
    seal(&log, held)?;
    add_file(&log, held, 4)?;
    Ok(log)
}

/// The kexec buffer of a log from segment `first` on.
fn dumped(log: &Log, first: u64) -> Result<KVVec<u8>> {
    let mut buffer = KVVec::zeroed(log.kexec_size(), GFP_KERNEL)?;
    let len = log.write_kexec(first, &mut buffer)?;
    buffer.truncate(len);
    Ok(buffer)
}

/// Segments' numbers, records and digests agree.
fn same_segments(left: &Log, right: &Log, first: u64) -> Result<bool> {
    let left = left.segments()?;
    let right = right.segments()?;
    let mut kept = left.iter().filter(|segment| segment.seq() >= first);
    let same = right.iter().all(|right| {
        kept.next().is_some_and(|left| {
            left.seq() == right.seq()
                && left.digest() == right.digest()
                && left.first_record() == right.first_record()
                && left.len().records == right.len().records
                && left.len().bytes == right.len().bytes
                && left.is_sealed() == right.is_sealed()
        })
    });
    Ok(same && kept.next().is_none())
}

/// What the replay of the default PCR gives in every bank.
fn same_shadows(left: &Log, right: &Log, held: &mut Extend) -> Result<bool> {
    let pcr = left.env().pcr();
    let mut values = KVec::new();
    for register in left
        .state
        .get(held)
        .pcrs
        .get(pcr)
        .ok_or(EINVAL)?
        .registers()
    {
        values.push(*register.value(), GFP_KERNEL)?;
    }
    let right = right.state.get(held).pcrs.get(pcr).ok_or(EINVAL)?;
    Ok(right.registers().iter().map(|r| *r.value()).eq(values))
}

#[kunit_tests(ima_checkpoint_log)]
mod cases {
    use super::*;

    #[test]
    fn segments_count_their_records_and_bytes() -> Result {
        let mut held = seam::lock();
        let log = example(&mut held)?;
        let segments = log.segments()?;
        let records: [u64; 3] = [3, 3, 2];
        assert!(segments.iter().map(|s| s.len().records).eq(records));
        assert!(segments.iter().map(|s| s.seq()).eq(0..3));
        assert!(segments
            .iter()
            .map(|s| s.is_sealed())
            .eq([true, true, false]));
        let bytes: u64 = segments.iter().map(|s| s.len().bytes).sum();
        assert_eq!(bytes, log.store().live().bytes);
        assert_eq!(log.store().live().records, 8);
        Ok(())
    }

    #[test]
    fn known_digests_are_those_measured_here() -> Result {
        let mut held = seam::lock();
        let log = fresh()?;
        add_file(&log, &mut held, 1)?;
        let known = log.state.get(&mut held).known.len();
        assert_eq!(known, u64::from(log.env().unique()));
        let fields: [&[u8]; 2] = [b"sha1:\0....................", b"/v\0"];
        add(&log, &mut held, b"ima-ng", &fields, true)?;
        assert_eq!(log.state.get(&mut held).known.len(), known);
        Ok(())
    }

    #[test]
    fn a_record_that_cannot_be_encoded_is_refused_whole() -> Result {
        let mut held = seam::lock();
        let log = example(&mut held)?;
        let before = log.store().end();
        assert!(add(&log, &mut held, b"no-such", &[b"x"], false).is_err());
        assert!(log.store().end() == before);
        Ok(())
    }

    #[test]
    fn removing_frees_the_oldest_segments() -> Result {
        let mut held = seam::lock();
        let log = example(&mut held)?;
        let mut freed = KVec::with_capacity(4, GFP_KERNEL)?;
        log.store().remove_before(2, &mut freed);
        assert_eq!(freed.len(), 2);
        assert!(log.segment(1).err() == Some(ESTALE));
        assert!(log.segment(3).err() == Some(ENOENT));
        assert_eq!(log.segment(2)?.first_record(), 6);
        assert_eq!(log.store().start().records, 6);
        Ok(())
    }

    #[test]
    fn restoring_rebuilds_segments_and_shadows() -> Result {
        let mut held = seam::lock();
        let log = example(&mut held)?;
        for first in 0..3 {
            let copy = fresh()?;
            copy.restore_into(&mut held, &dumped(&log, first)?)?;
            assert!(same_segments(&log, &copy, first)?);
            assert!(same_shadows(&log, &copy, &mut held)?);
            assert!(copy.store().end().bytes == log.store().end().bytes);
            let left = log.state.get(&mut held).identity.clone();
            let right = copy.state.get(&mut held).identity.clone();
            assert_eq!(left.log_id, right.log_id);
            assert_eq!(left.sequence, right.sequence);
            assert_eq!(left.digest, right.digest);
            assert_eq!(left.generation + 1, right.generation);
            assert_eq!(copy.state.get(&mut held).known.len(), 0);
        }
        Ok(())
    }

    #[test]
    fn a_checkpoint_that_contradicts_the_replay_is_an_ordinary_record() -> Result {
        let mut held = seam::lock();
        let log = example(&mut held)?;
        let genuine = dumped(&log, 0)?;
        // Another first file, and nothing that follows agrees with it any more.
        let mut forged = dumped(&log, 0)?;
        let name = b"/usr/bin/file";
        let at = forged
            .windows(name.len())
            .position(|window| window == name)
            .ok_or(EINVAL)?;
        forged[at + 1] = b'X';
        assert!(*forged != *genuine);
        let copy = fresh()?;
        copy.restore_into(&mut held, &forged)?;
        assert_eq!(copy.segments()?.len(), 1);
        assert_eq!(copy.store().live().records, 8);
        assert_eq!(copy.state.get(&mut held).doubted, 2);
        Ok(())
    }

    #[test]
    fn a_flipped_byte_never_stops_the_boot() -> Result {
        let mut held = seam::lock();
        let log = example(&mut held)?;
        let mut buffer = dumped(&log, 0)?;
        for at in 0..buffer.len() {
            buffer[at] ^= 0x40;
            let copy = fresh()?;
            let result = copy.restore_into(&mut held, &buffer);
            assert!(copy.store().live().records <= 8);
            // What was restored can be carried on.
            if result.is_ok() {
                seal_any(&copy, &mut held)?;
            }
            buffer[at] ^= 0x40;
        }
        Ok(())
    }

    #[test]
    fn a_torn_buffer_gives_what_is_whole() -> Result {
        let mut held = seam::lock();
        let log = example(&mut held)?;
        let buffer = dumped(&log, 0)?;
        for len in 0..Header::SIZE {
            assert!(fresh()?.restore_into(&mut held, &buffer[..len]).is_err());
        }
        let mut torn = dumped(&log, 0)?;
        let len = torn.len() - 1;
        torn.truncate(len);
        // The header says how long it was.
        assert!(fresh()?.restore_into(&mut held, &torn).is_err());
        let header = Header {
            size: len as u64,
            count: 8,
        };
        header
            .encode(&mut torn, log.env().order())
            .map_err(|_| EINVAL)?;
        let copy = fresh()?;
        assert!(copy.restore_into(&mut held, &torn).is_err());
        assert_eq!(copy.store().live().records, 7);
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_left_behind_in_whole_segments() -> Result {
        let mut held = seam::lock();
        let log = example(&mut held)?;
        let segments = log.segments()?;
        let all = Header::SIZE + log.store().live().bytes as usize;
        let last = (log.store().end() - segments[2].start()).bytes as usize;
        assert!(log.fits(&segments[0], all, 0));
        assert!(!log.fits(&segments[0], all - 1, 0));
        assert!(!log.fits(&segments[0], all, 1));
        assert!(log.fits(&segments[2], Header::SIZE + last, 0));
        assert!(!log.fits(&segments[2], usize::MAX, usize::MAX));
        Ok(())
    }

    #[test]
    fn many_records_fill_many_chunks() -> Result {
        let mut held = seam::lock();
        let log = fresh()?;
        let mut bytes = 0u64;
        for n in 0..2000 {
            add_file(&log, &mut held, n)?;
        }
        log.segment(0)?.for_each_chunk(|records| {
            bytes += records.len() as u64;
            Ok(())
        })?;
        assert_eq!(bytes, log.store().end().bytes);
        assert!(log.store().start() == Span::default());
        Ok(())
    }

    /// Seals if there is something to seal.
    fn seal_any(log: &Log, held: &mut Extend) -> Result {
        if log.store().live().records > 0 {
            match seal(log, held) {
                // Without a record in the default PCR there is no base.
                Err(EIO) => Ok(()),
                other => other.map(|_| ()),
            }
        } else {
            Ok(())
        }
    }
}
