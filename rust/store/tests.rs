// SPDX-License-Identifier: GPL-2.0

//! Appending and looking up, with bytes that are no records.

use super::*;
use crate::env::SHA1_SIZE;
use crate::memory::KVec;

/// An empty store and its writer.
fn empty() -> Result<(Arc<Store>, Writer)> {
    let first = Segment::new(0, [0; 32], Span::default(), KVec::new())?;
    let store = Arc::pin_init(Store::new(first.clone())?, GFP_KERNEL)?;
    Ok((store, Writer::new(first)))
}

/// Appends `len` bytes of `value`, which count as twice as many of ASCII.
fn add(
    store: &Store,
    writer: &mut Writer,
    next: Option<Arc<Segment>>,
    len: usize,
    value: u8,
) -> Result {
    writer.append(store, next, len, |out| {
        out.fill(value);
        Ok(2 * len as u64)
    })
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
        let next = Segment::new(1, [1; 32], writer.end(), KVec::new())?;
        store.reserve_segment()?;
        assert!(writer
            .append(&store, Some(next), 10, |_| Err(EINVAL))
            .is_err());
        assert!(writer.append(&store, None, 10, |_| Err(EINVAL)).is_err());
        assert!((store.end(), writer.sha256()) == before);
        assert_eq!(store.segments()?.len(), 1);
        assert!(!store.segment(0)?.is_sealed());
        add(&store, &mut writer, None, 10, 2)?;
        assert_eq!(store.end().bytes, 20);
        Ok(())
    }

    #[test]
    fn freed_bytes_are_gone_once_nobody_reads_them() -> Result {
        let (store, mut writer) = empty()?;
        let before = committed_bytes();
        for seq in 1..6 {
            add(&store, &mut writer, None, 1000, 1)?;
            let next = Segment::new(seq, [1; 32], writer.end(), KVec::new())?;
            store.reserve_segment()?;
            add(&store, &mut writer, Some(next), 10, 2)?;
        }
        let pinned = store.segment(1)?;
        let mut freed = KVec::with_capacity(5, GFP_KERNEL)?;
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
        assert_eq!(writer.sha256(), crate::seam::sha256(b"aaa"));
        let next = Segment::new(1, [1; 32], writer.end(), KVec::new())?;
        store.reserve_segment()?;
        add(&store, &mut writer, Some(next), 2, b'b')?;
        assert_eq!(writer.sha256(), crate::seam::sha256(b"bb"));
        Ok(())
    }
}
