// SPDX-License-Identifier: GPL-2.0

//! Appending and looking up, with bytes that are no records.

mod readers;

use super::*;
use crate::{
    abstractions::sha256::sha256,
    memory::{
        failing::failing_at,
        KVVec,
        KVec, //
    },
    platform::SHA1_SIZE,
};
use kernel::{
    sync::atomic::{
        Acquire,
        AtomicFlag,
        Release, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    workqueue, //
};

/// An empty store and its writer.
fn empty() -> Result<(Arc<Store>, Writer)> {
    let first = Segment::new(0, [0; 32], Span::default(), KVec::new())?;
    let store = Arc::pin_init(Store::new(first.clone()), GFP_KERNEL)?;
    Ok((store, Writer::new(first)))
}

/// Appends `len` bytes of `value`, which count as twice as many of ASCII.
fn add(store: &Store, writer: &mut Writer, seal: Option<Seal>, len: usize, value: u8) -> Result {
    writer.append(store, seal, len, |out| {
        out.fill(value);
        Ok(2 * len as u64)
    })
}

/// What has the next record start segment `seq`.
fn seal(writer: &Writer, seq: u64, broken: bool) -> Result<Seal> {
    let next = Segment::new(seq, [1; 32], writer.end(), KVec::new())?;
    Ok(Seal { next, broken })
}

/// All bytes that the live segments hold, and the sizes of their chunks' records.
fn contents(store: &Store) -> Result<(KVVec<u8>, KVec<usize>)> {
    let mut bytes = KVVec::new();
    let mut sizes = KVec::new();
    for segment in store.walk(0) {
        segment.for_each_chunk(|records| {
            bytes.extend_from_slice(records, GFP_KERNEL)?;
            Ok(sizes.push(records.len(), GFP_KERNEL)?)
        })?;
    }
    Ok((bytes, sizes))
}

/// Bytes of the spare memory.
fn spare(store: &Store) -> Option<usize> {
    store.spare.lock().as_ref().map(Memory::size)
}

/// Is all that a snapshot says of segments true at one moment, where [`seal_often`] makes them?
fn fits_together(segments: &[Live]) -> bool {
    let Some((active, sealed)) = segments.split_last() else {
        return false;
    };
    let whole = |segment: &Live| {
        let seq = segment.seq();
        let records = 1 + seq % 4;
        segment.is_sealed()
            && segment.is_broken() == (seq % 3 == 0)
            && segment.len().records == records
            && segment.len().bytes == 10 * records
    };
    let follows = |pair: &[Live]| match pair {
        [left, right] => {
            left.seq() + 1 == right.seq() && right.start() - left.start() == left.len()
        }
        _ => false,
    };
    sealed.iter().all(whole)
        && !active.is_sealed()
        && !active.is_broken()
        && active.len().records <= 1 + active.seq() % 4
        && segments.windows(2).all(follows)
}

/// Makes segments as fast as it can until it is to `stop`, and frees most of them.
fn seal_often(store: &Store, mut writer: Writer, stop: &AtomicFlag) -> Result {
    let mut seq = 0;
    add(store, &mut writer, None, 10, 1)?;
    while !stop.load(Relaxed) {
        let seal = seal(&writer, seq + 1, seq % 3 == 0)?;
        add(store, &mut writer, Some(seal), 10, 1)?;
        seq += 1;
        for _ in 0..seq % 4 {
            add(store, &mut writer, None, 10, 2)?;
        }
        if seq % 64 == 0 {
            let mut freed = KVVec::with_capacity(64, GFP_KERNEL)?;
            store.remove_before(seq - 20, &mut freed);
        }
    }
    Ok(())
}

fn binary() -> ResolvedView {
    let view = View {
        bank: 0,
        encoding: Encoding::Binary,
    };
    ResolvedView::new(view, SHA1_SIZE)
}

#[kunit_tests(ima_checkpoint_store)]
mod cases {
    use super::*;

    #[test]
    fn every_byte_is_found_in_its_chunk() -> Result {
        let (store, mut writer) = empty()?;
        for n in 0..500 {
            add(&store, &mut writer, None, 300, n as u8)?;
        }
        let view = binary();
        for at in (0..500 * 300).step_by(299) {
            let Lookup::Chunk(chunk) = store.lookup(&view, at) else {
                return Err(EINVAL);
            };
            let offset = at - chunk.start().bytes;
            let value = chunk.records().get(offset as usize).copied();
            assert_eq!(value, Some((at / 300) as u8));
        }
        assert_eq!(store.end().records, 500);
        assert_eq!(store.end().ascii, 500 * 600);
        Ok(())
    }

    #[test]
    fn offsets_of_other_views_follow_from_records() -> Result {
        let (store, mut writer) = empty()?;
        for _ in 0..10 {
            add(&store, &mut writer, None, 100, 1)?;
        }
        let view = |encoding, size| ResolvedView::new(View { bank: 0, encoding }, size);
        let end = store.end();
        assert_eq!(view(Encoding::Binary, 20).position(&end), 1000);
        assert_eq!(view(Encoding::Binary, 32).position(&end), 1120);
        assert_eq!(view(Encoding::Binary, 16).position(&end), 960);
        assert_eq!(view(Encoding::Ascii, 20).position(&end), 2000);
        assert_eq!(view(Encoding::Ascii, 32).position(&end), 2240);
        Ok(())
    }

    #[test]
    fn a_record_larger_than_a_chunk_gets_its_own() -> Result {
        let (store, mut writer) = empty()?;
        add(&store, &mut writer, None, 10, 1)?;
        add(&store, &mut writer, None, 3 * chunk::MAX_SIZE, 2)?;
        add(&store, &mut writer, None, 10, 3)?;
        let mut sizes = KVec::new();
        store.segment(0)?.for_each_chunk(|records| {
            sizes.push(records.len(), GFP_KERNEL)?;
            Ok(())
        })?;
        let expected: [usize; 3] = [10, 3 * chunk::MAX_SIZE, 10];
        assert!(sizes.iter().eq(&expected));
        Ok(())
    }

    #[test]
    fn a_record_that_fails_leaves_nothing() -> Result {
        let (store, mut writer) = empty()?;
        add(&store, &mut writer, None, 10, 1)?;
        let before = (store.end(), writer.sha256());
        let seal = seal(&writer, 1, true)?;
        let fail = |_: &mut [u8]| Err(EINVAL);
        assert!(writer.append(&store, Some(seal), 10, fail) == Err(EINVAL));
        assert!(writer.append(&store, None, 10, fail) == Err(EINVAL));
        assert!(writer.append(&store, None, 100_000, fail) == Err(EINVAL));
        assert!((store.end(), writer.sha256()) == before);
        assert_eq!(store.count(), 1);
        // What comes after it is where readers look, after what was there.
        add(&store, &mut writer, None, 10, 2)?;
        assert_eq!(store.end().bytes, 20);
        let (bytes, sizes) = contents(&store)?;
        assert!(bytes[..10] == [1; 10] && bytes[10..] == [2; 10]);
        assert!(sizes.iter().eq(&[20usize]));
        assert_eq!(writer.sha256(), sha256(&bytes));
        Ok(())
    }

    #[test]
    fn freed_bytes_are_gone_once_nobody_reads_them() -> Result {
        let (store, mut writer) = empty()?;
        let before = committed_bytes();
        for seq in 1..6 {
            add(&store, &mut writer, None, 1000, 1)?;
            let seal = seal(&writer, seq, false)?;
            add(&store, &mut writer, Some(seal), 10, 2)?;
        }
        let pinned = store.segment(1)?;
        let mut freed = KVVec::with_capacity(5, GFP_KERNEL)?;
        store.remove_before(5, &mut freed);
        assert_eq!(freed.len(), 5);
        drop(freed);
        assert_eq!(committed_bytes() - before, 1010 + 10);
        assert!(matches!(store.lookup(&binary(), 1000), Lookup::Freed));
        assert_eq!(store.segment(5)?.start().bytes, store.start().bytes);
        drop(pinned);
        assert_eq!(committed_bytes() - before, 10);
        Ok(())
    }

    #[test]
    fn a_digest_per_segment() -> Result {
        let (store, mut writer) = empty()?;
        add(&store, &mut writer, None, 3, b'a')?;
        assert_eq!(writer.sha256(), sha256(b"aaa"));
        let seal = seal(&writer, 1, false)?;
        add(&store, &mut writer, Some(seal), 2, b'b')?;
        assert_eq!(writer.sha256(), sha256(b"bb"));
        Ok(())
    }

    #[test]
    fn the_last_segment_is_active_and_no_other() -> Result {
        let (store, mut writer) = empty()?;
        let [only] = &store.segments()?[..] else {
            return Err(EINVAL);
        };
        assert!(!only.is_sealed() && !only.is_broken());
        assert!(only.len() == Span::default());
        add(&store, &mut writer, None, 10, 1)?;
        for (seq, broken) in [(1, false), (2, true), (3, false)] {
            let seal = seal(&writer, seq, broken)?;
            add(&store, &mut writer, Some(seal), 10, 1)?;
        }
        add(&store, &mut writer, None, 7, 1)?;
        let segments = store.segments()?;
        assert!(segments
            .iter()
            .map(|s| s.is_sealed())
            .eq([true, true, true, false]));
        assert!(segments
            .iter()
            .map(|s| s.is_broken())
            .eq([false, true, false, false]));
        assert!(segments.iter().map(|s| s.len().bytes).eq([10, 10, 10, 17]));
        assert!(segments.iter().map(|s| s.len().records).eq([1, 1, 1, 2]));
        assert_eq!(store.active().seq(), 3);
        assert!(store.live() == store.end());
        Ok(())
    }

    #[test]
    fn a_snapshot_shows_one_moment() -> Result {
        const RUNNING: u32 = 0;
        const DONE: u32 = 1;
        const FAILED: u32 = 2;
        let (store, writer) = empty()?;
        let shared = Arc::new((AtomicFlag::new(false), Atomic::new(RUNNING)), GFP_KERNEL)?;
        let (copy, theirs) = (store.clone(), shared.clone());
        workqueue::system_unbound().try_spawn(GFP_KERNEL, move || {
            let result = seal_often(&copy, writer, &theirs.0);
            theirs
                .1
                .store(if result.is_ok() { DONE } else { FAILED }, Release);
        })?;
        let mut torn = 0;
        for n in 0..5000 {
            torn += store
                .segments()
                .map_or(1, |segments| u32::from(!fits_together(&segments)));
            if n % 256 == 0 {
                // On one processor the writer would never get its turn.
                fsleep(Delta::from_micros(50));
            }
        }
        shared.0.store(true, Relaxed);
        while shared.1.load(Acquire) == RUNNING {
            fsleep(Delta::from_micros(50));
        }
        assert_eq!(shared.1.load(Acquire), DONE);
        assert_eq!(torn, 0);
        assert!(store.active().seq() > 0);
        Ok(())
    }

    #[test]
    fn a_walk_goes_on_after_what_is_freed() -> Result {
        let (store, mut writer) = empty()?;
        for seq in 1..10 {
            let seal = seal(&writer, seq, false)?;
            add(&store, &mut writer, Some(seal), 10, 1)?;
        }
        assert!(store.walk(0).map(|s| s.seq()).eq(0..10));
        assert!(store.walk(7).map(|s| s.seq()).eq(7..10));
        assert!(store.walk(9).map(|s| s.is_sealed()).eq([false]));
        assert!(store.walk(10).next().is_none());
        assert!(store.walk(u64::MAX).next().is_none());
        let mut walk = store.walk(1);
        assert_eq!(walk.next().map(|s| s.seq()), Some(1));
        let mut freed = KVVec::with_capacity(9, GFP_KERNEL)?;
        store.remove_before(6, &mut freed);
        assert!(walk.map(|s| s.seq()).eq(6..10));
        assert!(store.segment(5).err() == Some(ESTALE));
        assert_eq!(store.segment(6)?.seq(), 6);
        assert_eq!(store.segment(9)?.seq(), 9);
        assert!(store.segment(10).err() == Some(ENOENT));
        Ok(())
    }

    #[test]
    fn a_walk_allocates_nothing() -> Result {
        let (store, mut writer) = empty()?;
        for seq in 1..20 {
            let seal = seal(&writer, seq, false)?;
            add(&store, &mut writer, Some(seal), 10, 1)?;
        }
        let walk = || {
            let mut bytes = 0;
            for segment in store.walk(3) {
                let visited = segment.for_each_chunk(|records| {
                    bytes += records.len();
                    Ok(())
                });
                if visited.is_err() {
                    return None;
                }
            }
            Some(bytes)
        };
        let (bytes, allocated) = failing_at(0, walk);
        assert_eq!(bytes, Some(170));
        assert!(!allocated);
        // As this test would notice.
        let (copy, allocated) = failing_at(0, || store.segments());
        assert!(copy.is_err() && allocated);
        Ok(())
    }

    #[test]
    fn an_append_without_memory_leaves_nothing() -> Result {
        let (store, mut writer) = empty()?;
        let mut expected = KVVec::new();
        let mut failures = 0;
        // Every fourth record starts a segment, and every fifth has a chunk of its own.
        for n in 1..100u8 {
            let len = if n % 5 == 0 { 5000 } else { 10 };
            for victim in 0.. {
                let before = (store.end(), store.count(), writer.sha256());
                let seq = store.active().seq() + 1;
                let seal = if n % 4 == 0 {
                    Some(seal(&writer, seq, false)?)
                } else {
                    None
                };
                let (result, failed) =
                    failing_at(victim, || add(&store, &mut writer, seal, len, n));
                assert_eq!(result.is_err(), failed);
                if !failed {
                    break;
                }
                failures += 1;
                assert!((store.end(), store.count(), writer.sha256()) == before);
                assert!(*contents(&store)?.0 == *expected);
            }
            expected.extend_with(len, n, GFP_KERNEL)?;
            assert!(*contents(&store)?.0 == *expected);
        }
        assert!(failures > 50);
        Ok(())
    }

    #[test]
    fn tables_outgrow_contiguous_memory() -> Result {
        // A table of so many is larger than `kmalloc()` ever gives. All are the same segment, which
        // spares the test their memory.
        const MANY: usize = 150_000;
        let (store, writer) = empty()?;
        let again = seal(&writer, 0, false)?;
        for _ in 0..MANY {
            store.reserve()?;
            store.append(Some(again.clone()), Span::default());
        }
        assert_eq!(store.count(), MANY + 1);
        let mut freed = KVVec::with_capacity(MANY, GFP_KERNEL)?;
        known::Known::new(SHA1_SIZE).reserve(MANY)?;
        store.remove_before(1, &mut freed);
        assert_eq!(freed.len(), MANY);
        assert_eq!(store.count(), 1);
        Ok(())
    }

    #[test]
    fn a_spare_that_does_not_suit_is_replaced() -> Result {
        let (store, mut writer) = empty()?;
        store.prepare(100);
        assert_eq!(spare(&store), Some(chunk::MIN_SIZE));
        // Too small for a large record, and too large for small ones once that is a duplicate.
        store.prepare(1_000_000);
        assert!(spare(&store) >= Some(1_000_000));
        store.prepare(1_000_000);
        assert!(spare(&store) >= Some(1_000_000));
        store.prepare(100);
        assert_eq!(spare(&store), Some(chunk::MIN_SIZE));
        // Each chunk from now on is looked ahead for.
        for _ in 0..10_000 {
            let room = store.room.load(Relaxed);
            store.prepare(100);
            let prepared = spare(&store);
            assert!(room >= 100 || prepared.is_some());
            add(&store, &mut writer, None, 100, 1)?;
            assert!(room >= 100 || spare(&store).is_none());
        }
        // What a long segment leaves is too large for the next one.
        while store.room.load(Relaxed) >= 100 {
            add(&store, &mut writer, None, 100, 1)?;
        }
        store.prepare(100);
        assert_eq!(spare(&store), Some(chunk::MAX_SIZE));
        let seal = seal(&writer, 1, false)?;
        add(&store, &mut writer, Some(seal), chunk::MIN_SIZE - 50, 1)?;
        store.prepare(100);
        assert_eq!(spare(&store), Some(chunk::MIN_SIZE));
        Ok(())
    }
}
