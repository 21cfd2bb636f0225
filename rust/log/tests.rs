// SPDX-License-Identifier: GPL-2.0

//! Logs of the tests' own, without a TPM, beside the machine's.

use super::{
    Log,
    NewRecord,
    Sealed, //
};
use crate::{
    config::Config,
    env::{
        Digest,
        Env, //
    },
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
    store::{
        self,
        known::{
            Scope,
            Step,
            Wanted, //
        },
        Span, //
    },
};
use kernel::{
    bindings,
    prelude::*,
    sync::Arc, //
};

static CONFIG: Config = Config::new();

/// A log of our own with the machine's banks.
fn fresh() -> Result<Arc<Log>> {
    let machine = Log::get().ok_or(ENODEV)?;
    Log::new(Env::without_tpm(machine.env())?, &CONFIG)
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

/// The digest that tells whether a file's record is a duplicate.
fn file_digest(log: &Log, n: u32) -> Result<Digest> {
    let mut digest = *b"sha256:\0................................";
    digest[8..].copy_from_slice(&sha256(&n.to_le_bytes()));
    let mut encoded = [0; 256];
    let fields: [&[u8]; 2] = [&digest, b"/usr/bin/file\0"];
    let encoder = Encoder {
        pcr: log.env().pcr(),
        digest: &[1; 20],
        template_name: b"ima-ng",
        fields: fields.into_iter(),
        order: log.env().order(),
    };
    encoder.encode(&mut encoded).map_err(|_| EINVAL)?;
    let (record, _) = Record::parse(&encoded, 20, log.env().order()).map_err(|_| EINVAL)?;
    let bank = log.env().banks().get(log.env().hash_index());
    log.env().template_digest(&record, bank.ok_or(EINVAL)?)
}

/// Was a file measured?
fn knows(log: &Log, held: &mut Extend, n: u32) -> Result<bool> {
    let digest = file_digest(log, n)?;
    let digest = digest.get(..log.env().hash_size()).ok_or(EINVAL)?;
    Ok(log.is_known(held, log.env().pcr(), digest))
}

/// Truncates as the log does, but for the TPM.
fn cut(log: &Log, held: &mut Extend, seq: u64, scope: Scope) -> Result {
    let mut freed = KVVec::with_capacity(8, GFP_KERNEL)?;
    let known = &mut log.state.get(held).known;
    known.reserve(8)?;
    log.store().remove_before(seq, &mut freed);
    if scope == Scope::Log {
        known.keep(&mut freed);
    }
    Ok(())
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
        assert!(!knows(&log, &mut held, 1)?);
        for n in 0..1000 {
            add_file(&log, &mut held, n)?;
        }
        let unique = log.env().unique();
        for n in 0..1000 {
            assert_eq!(knows(&log, &mut held, n)?, unique);
            assert!(!knows(&log, &mut held, n + 1000)?);
        }
        let known = log.state.get(&mut held).known.len();
        let fields: [&[u8]; 2] = [b"sha1:\0....................", b"/v\0"];
        add(&log, &mut held, b"ima-ng", &fields, true)?;
        assert_eq!(log.state.get(&mut held).known.len(), known);
        Ok(())
    }

    #[test]
    fn a_digest_is_known_in_its_pcr_only() -> Result {
        let mut held = seam::lock();
        let log = fresh()?;
        add_file(&log, &mut held, 1)?;
        let digest = file_digest(&log, 1)?;
        let digest = digest.get(..log.env().hash_size()).ok_or(EINVAL)?;
        let pcr = log.env().pcr();
        assert_eq!(log.is_known(&mut held, pcr, digest), log.env().unique());
        assert!(!log.is_known(&mut held, pcr + 1, digest));
        Ok(())
    }

    #[test]
    fn freed_digests_stay_known_in_scope_log() -> Result {
        let log = fresh()?;
        let unique = log.env().unique();
        let mut held = seam::lock();
        for n in 0..3000 {
            add_file(&log, &mut held, n)?;
            if n % 1000 == 500 {
                seal(&log, &mut held)?;
            }
        }
        // Known before the worker has come to it, meanwhile, and after it.
        cut(&log, &mut held, 2, Scope::Log)?;
        for n in 0..3000 {
            assert_eq!(knows(&log, &mut held, n)?, unique);
        }
        drop(held);
        let before = store::committed_bytes();
        while log.tidy() {
            let mut held = seam::lock();
            assert_eq!(knows(&log, &mut held, 0)?, unique);
            assert_eq!(knows(&log, &mut held, 1500)?, unique);
        }
        if unique {
            assert!(store::committed_bytes() < before);
        }
        let mut held = seam::lock();
        for n in 0..3000 {
            assert_eq!(knows(&log, &mut held, n)?, unique);
            assert!(!knows(&log, &mut held, n + 3000)?);
        }
        cut(&log, &mut held, 3, Scope::Log)?;
        drop(held);
        while log.tidy() {}
        let mut held = seam::lock();
        for n in 0..3000 {
            assert_eq!(knows(&log, &mut held, n)?, unique);
        }
        let memory = log.state.get(&mut held).known.memory();
        // 2500 were freed; a block more of digests, and buckets that are half full.
        assert!(memory < 3000 * 48 + 65536);
        Ok(())
    }

    #[test]
    fn nothing_is_kept_of_freed_digests_in_scope_live() -> Result {
        let log = fresh()?;
        let mut held = seam::lock();
        for n in 0..3000 {
            add_file(&log, &mut held, n)?;
            if n == 1999 {
                seal(&log, &mut held)?;
            }
        }
        cut(&log, &mut held, 1, Scope::Live)?;
        drop(held);
        for _ in 0..1000 {
            let mut held = seam::lock();
            let step = log
                .state
                .get(&mut held)
                .known
                .next_step(&log.store, Scope::Live);
            drop(held);
            match step {
                Step::Done => break,
                Step::Drop(garbage) => drop(garbage),
                Step::Digest(_) => return Err(EINVAL),
            }
        }
        let mut held = seam::lock();
        let state = log.state.get(&mut held);
        for n in 0..3000 {
            let digest = file_digest(&log, n)?;
            let digest = digest.get(..log.env().hash_size()).ok_or(EINVAL)?;
            let pcr = log.env().pcr();
            let wanted = Wanted { pcr, digest };
            let known = &state.known;
            let known = known.contains(&log.env, &log.store, Scope::Live, wanted);
            assert_eq!(known, log.env().unique() && n >= 2000);
        }
        assert!(state.known.len() <= 1002);
        assert!(state.known.memory() < 1000 * 16);
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
        let mut freed = KVVec::with_capacity(4, GFP_KERNEL)?;
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

#[kunit_tests(ima_checkpoint_automatic)]
mod automatic {
    use super::{
        super::automatic::{
            Due,
            Fresh, //
        },
        *, //
    };

    fn config(lines: &[u8]) -> Result<Config> {
        let config = Config::new();
        config.set_lines(lines)?;
        Ok(config)
    }

    #[test]
    fn nothing_is_due_without_a_limit_or_a_record() -> Result {
        let none = Config::new();
        let all = config(b"checkpoint_records=1\ncheckpoint_bytes=1\ncheckpoint_seconds=1")?;
        let mut fresh = Fresh::default();
        assert_eq!(fresh.due(&all, u64::MAX), Due::Never);
        assert_eq!(fresh.count(&none, 100), Due::Never);
        assert_eq!(fresh.due(&none, u64::MAX), Due::Never);
        assert_eq!(fresh.due(&all, 0), Due::Now);
        Ok(())
    }

    #[test]
    fn records_and_bytes_are_counted() -> Result {
        let records = config(b"checkpoint_records=3")?;
        let bytes = config(b"checkpoint_bytes=250")?;
        let mut fresh = Fresh::default();
        assert_eq!(fresh.count(&records, 100), Due::Never);
        assert_eq!(fresh.count(&records, 100), Due::Never);
        assert_eq!(fresh.due(&bytes, 0), Due::Never);
        assert_eq!(fresh.count(&records, 100), Due::Now);
        assert_eq!(fresh.due(&records, 0), Due::Now);
        assert_eq!(fresh.due(&bytes, 0), Due::Now);
        Ok(())
    }

    #[test]
    fn the_first_record_starts_the_clock() -> Result {
        let config = config(b"checkpoint_seconds=60")?;
        let mut fresh = Fresh::default();
        assert_eq!(fresh.count(&config, 100), Due::InSeconds(60));
        assert_eq!(fresh.count(&config, 100), Due::Never);
        assert!(matches!(fresh.due(&config, 0), Due::InSeconds(60)));
        assert_eq!(fresh.due(&config, u64::MAX), Due::Now);
        Ok(())
    }

    #[test]
    fn the_log_s_own_records_are_nothing_new() -> Result {
        let mut held = seam::lock();
        let log = fresh()?;
        let all = config(b"checkpoint_records=1")?;
        add_file(&log, &mut held, 1)?;
        assert_eq!(log.state.get(&mut held).fresh.due(&all, 0), Due::Now);
        seal(&log, &mut held)?;
        assert_eq!(log.state.get(&mut held).fresh.due(&all, 0), Due::Never);
        let mut digest = *b"sha256:\0................................";
        digest[8..].copy_from_slice(&sha256(b"x"));
        let fields: [&[u8]; 3] = [&digest, b".ima/truncate\0", b"x"];
        add(&log, &mut held, b"ima-buf", &fields, false)?;
        assert_eq!(log.state.get(&mut held).fresh.due(&all, 0), Due::Never);
        // The next kernel sees it the same way.
        let copy = fresh()?;
        copy.restore_into(&mut held, &dumped(&log, 0)?)?;
        assert_eq!(copy.state.get(&mut held).fresh.due(&all, 0), Due::Never);
        add_file(&log, &mut held, 2)?;
        let copy = fresh()?;
        copy.restore_into(&mut held, &dumped(&log, 0)?)?;
        assert_eq!(copy.state.get(&mut held).fresh.due(&all, 0), Due::Now);
        Ok(())
    }
}
