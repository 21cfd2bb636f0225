// SPDX-License-Identifier: GPL-2.0

//! Readers against a list of records that are shown one by one and joined.

use super::{
    reader::Output,
    *, //
};
use crate::{
    format::{
        ascii,
        record::{
            NewRecord,
            Record, //
        },
    },
    log::Log,
    memory::KVVec, //
    platform::{
        Bank,
        Platform, //
    },
};

/// Bytes and where each record of them ends.
struct Shown {
    bytes: KVVec<u8>,
    ends: KVVec<usize>,
}

impl ascii::Sink for Shown {
    fn put(&mut self, bytes: &[u8]) {
        // Without memory, the comparison fails.
        let _ = self.bytes.extend_from_slice(bytes, GFP_KERNEL);
    }
}

impl Shown {
    /// The records of `list` from number `first` on, as `view` shows them.
    fn new(platform: &Platform, view: View, list: &[KVVec<u8>], first: usize) -> Result<Self> {
        let mut shown = Self {
            bytes: KVVec::new(),
            ends: KVVec::new(),
        };
        let bank = platform.banks().get(view.bank).ok_or(EINVAL)?;
        for raw in list.get(first..).ok_or(EINVAL)? {
            shown.add(platform, view, bank, raw)?;
            shown.ends.push(shown.bytes.len(), GFP_KERNEL)?;
        }
        Ok(shown)
    }

    fn add(&mut self, platform: &Platform, view: View, bank: &Bank, raw: &[u8]) -> Result {
        let (record, _) = Record::parse(raw, SHA1_SIZE, platform.order()).map_err(|_| EINVAL)?;
        let other = platform.template_digest(&record, bank)?;
        let digest = if view.bank == platform.sha1() {
            &raw[4..24]
        } else {
            bank.trim(&other)
        };
        if view.encoding == Encoding::Ascii {
            ascii::write_ascii(&record, digest, self);
            return Ok(());
        }
        for part in [&raw[..4], digest, &raw[24..]] {
            self.bytes.extend_from_slice(part, GFP_KERNEL)?;
        }
        Ok(())
    }

    /// What a read of `size` bytes from `offset` on gives: whole records if one fits.
    fn read(&self, offset: usize, size: usize) -> &[u8] {
        let most = (offset + size).min(self.bytes.len());
        let whole = self.ends.iter().rfind(|&&end| end <= most);
        let end = whole.copied().filter(|&end| end > offset).unwrap_or(most);
        self.bytes.get(offset..end).unwrap_or_default()
    }

    /// Offsets around the records' ends, and others.
    fn offsets(&self) -> impl Iterator<Item = usize> + '_ {
        let around = self.ends.iter().flat_map(|&end| end - 1..end + 2);
        Iterator::chain(around, (0..self.bytes.len()).step_by(197))
    }
}

/// Takes up to `room` bytes. Calls `before` each time.
struct Taker<F> {
    bytes: KVVec<u8>,
    room: usize,
    before: F,
}

impl<F: FnMut() -> Result> Output for Taker<F> {
    fn room(&self) -> usize {
        self.room
    }

    fn put(&mut self, bytes: &[u8]) -> Result {
        (self.before)()?;
        self.room = self.room.checked_sub(bytes.len()).ok_or(EFAULT)?;
        Ok(self.bytes.extend_from_slice(bytes, GFP_KERNEL)?)
    }
}

/// Reads up to `size` bytes from `offset` on.
fn read(reader: &mut Reader<'_>, offset: usize, size: usize) -> Result<KVVec<u8>> {
    read_with(reader, offset, size, || Ok(()))
}

fn read_with(
    reader: &mut Reader<'_>,
    offset: usize,
    size: usize,
    before: impl FnMut() -> Result,
) -> Result<KVVec<u8>> {
    let mut taker = Taker {
        bytes: KVVec::new(),
        room: size,
        before,
    };
    let count = reader.read(offset as u64, &mut taker)?;
    if count != taker.bytes.len() {
        return Err(EIO);
    }
    Ok(taker.bytes)
}

/// Reads all from `offset` on in pieces of up to `size` bytes.
fn read_all(reader: &mut Reader<'_>, offset: usize, size: usize) -> Result<KVVec<u8>> {
    let mut all = KVVec::new();
    loop {
        let piece = read(reader, offset + all.len(), size)?;
        if piece.is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(&piece, GFP_KERNEL)?;
    }
}

/// Record number `n`, of another length each. Some are violations, one is larger than a chunk.
fn record(platform: &Platform, n: usize) -> Result<KVVec<u8>> {
    let mut file = *b"sha256:\0................................";
    file[8..].copy_from_slice(&sha256(&[n as u8]));
    let mut name = KVVec::from_elem(b'n', n * 37 % 300 + 1, GFP_KERNEL)?;
    if n == 9 {
        name.resize(2 * chunk::MIN_SIZE, b'x', GFP_KERNEL)?;
    }
    name.push(0, GFP_KERNEL)?;
    let fields: [&[u8]; 2] = [&file, &name];
    let digest = if n % 7 == 3 {
        [0; 20]
    } else {
        [n as u8 + 1; 20]
    };
    let encoder = NewRecord {
        pcr: platform.pcr(),
        digest: &digest,
        template_name: b"ima-ng",
        fields: fields.into_iter(),
        order: platform.order(),
    };
    let len = encoder.encoded_len().map_err(|_| EINVAL)?;
    let mut raw = KVVec::zeroed(len, GFP_KERNEL)?;
    encoder.encode(&mut raw).map_err(|_| EINVAL)?;
    Ok(raw)
}

/// A store that holds `records`.
struct List {
    platform: &'static Platform,
    store: Arc<Store>,
    writer: Writer,
    records: KVVec<KVVec<u8>>,
}

impl List {
    fn add(&mut self, seq: Option<u64>) -> Result {
        let platform = self.platform;
        let raw = record(platform, self.records.len())?;
        let seal = seq.map(|seq| seal(&self.writer, seq, false)).transpose()?;
        self.writer.append(&self.store, seal, raw.len(), |out| {
            out.copy_from_slice(&raw);
            let (record, _) =
                Record::parse(out, SHA1_SIZE, platform.order()).map_err(|_| EINVAL)?;
            Ok(ascii::ascii_len(&record, SHA1_SIZE))
        })?;
        Ok(self.records.push(raw, GFP_KERNEL)?)
    }

    fn views(&self) -> impl Iterator<Item = View> {
        let banks = 0..self.platform.banks().len();
        banks.flat_map(|bank| {
            [Encoding::Binary, Encoding::Ascii].map(|encoding| View { bank, encoding })
        })
    }

    fn shown(&self, view: View, first: u64) -> Result<Shown> {
        Shown::new(self.platform, view, &self.records, first as usize)
    }

    fn live(&self, view: View) -> Result<Reader<'_>> {
        Reader::live(self.platform, &self.store, view)
    }

    fn free_before(&self, seq: u64) -> Result {
        let mut freed = KVVec::with_capacity(8, GFP_KERNEL)?;
        self.store.remove_before(seq, &mut freed);
        Ok(())
    }
}

/// Four segments, the second of which has a few chunks.
fn list() -> Result<List> {
    let (store, writer) = empty()?;
    let mut list = List {
        platform: Log::get().ok_or(ENODEV)?.platform(),
        store,
        writer,
        records: KVVec::new(),
    };
    for n in 0..60 {
        let seq = match n {
            5 => Some(1),
            45 => Some(2),
            46 => Some(3),
            _ => None,
        };
        list.add(seq)?;
    }
    Ok(list)
}

const SIZES: [usize; 6] = [1, 2, 100, 777, 5000, 1_000_000];

#[kunit_tests(ima_checkpoint_readers)]
mod cases {
    use super::*;

    #[test]
    fn any_offset_and_size_gives_the_list() -> Result {
        let list = list()?;
        assert!(contents(&list.store)?.1.len() > 6);
        for view in list.views() {
            let shown = list.shown(view, 0)?;
            // One that looks here and there, and ones that never looked before.
            let mut reader = list.live(view)?;
            for offset in shown.offsets() {
                for size in SIZES {
                    let expected = shown.read(offset, size);
                    assert!(*read(&mut reader, offset, size)? == *expected);
                    assert!(*read(&mut list.live(view)?, offset, size)? == *expected);
                }
            }
        }
        Ok(())
    }

    #[test]
    fn pieces_of_any_size_make_up_the_list() -> Result {
        let list = list()?;
        for view in list.views() {
            let shown = list.shown(view, 0)?;
            for size in [37, 100, 777, 4096, 5000, 65536] {
                let mut reader = list.live(view)?;
                assert!(*read_all(&mut reader, 0, size)? == *shown.bytes);
                // The end is not for ever.
                assert!(read(&mut reader, shown.bytes.len(), size)?.is_empty());
                assert!(read(&mut reader, shown.bytes.len() + 9, size)?.is_empty());
            }
        }
        Ok(())
    }

    #[test]
    fn a_reader_goes_on_where_the_list_grows() -> Result {
        let mut list = list()?;
        let view = View {
            bank: list.platform.sha1(),
            encoding: Encoding::Ascii,
        };
        let (store, platform) = (list.store.clone(), list.platform);
        let mut reader = Reader::live(platform, &store, view)?;
        let mut pinned = Reader::segment(platform, store.active(), view)?;
        let first = store.active().first_record();
        let before = list.shown(view, 0)?.bytes.len();
        let pinned_before = list.shown(view, first)?.bytes.len();
        assert!(*read_all(&mut reader, 0, 5000)? == *list.shown(view, 0)?.bytes);
        assert!(*read_all(&mut pinned, 0, 5000)? == *list.shown(view, first)?.bytes);
        list.add(None)?;
        let ends = list.records.len() as u64;
        list.add(Some(4))?;
        list.add(None)?;
        let after = list.shown(view, 0)?;
        assert!(read_all(&mut reader, before, 5000)?[..] == after.bytes[before..]);
        // The pinned segment was sealed: one more record, and no more.
        let after = list.shown(view, first)?;
        let end = after.bytes.len() - list.shown(view, ends)?.bytes.len();
        assert!(read_all(&mut pinned, pinned_before, 5000)?[..] == after.bytes[pinned_before..end]);
        Ok(())
    }

    #[test]
    fn what_is_freed_is_stale_and_the_rest_stays() -> Result {
        for view in list()?.views() {
            let list = list()?;
            let shown = list.shown(view, 0)?;
            let mut reader = list.live(view)?;
            assert!(*read(&mut reader, 0, 100)? == *shown.read(0, 100));
            list.free_before(2)?;
            let rest = list.shown(view, list.store.segment(2)?.first_record())?;
            let start = shown.bytes.len() - rest.bytes.len();
            for offset in shown.offsets() {
                let result = read(&mut reader, offset, 300);
                if offset < start {
                    assert!(result.err() == Some(ESTALE));
                } else {
                    assert!(*result? == *shown.read(offset, 300));
                }
            }
            // Who comes now starts with what is first now.
            assert!(*read_all(&mut list.live(view)?, 0, 300)? == *rest.bytes);
        }
        Ok(())
    }

    #[test]
    fn a_pinned_segment_outlives_its_freeing() -> Result {
        for view in list()?.views() {
            let list = list()?;
            let shown = list.shown(view, 5)?;
            let end = shown.bytes.len() - list.shown(view, 45)?.bytes.len();
            let segment = list.store.segment(1)?;
            let mut reader = Reader::segment(list.platform, segment.clone(), view)?;
            let mut other = Reader::segment(list.platform, segment, view)?;
            assert!(*read(&mut reader, 0, 3000)? == *shown.read(0, 3000));
            list.free_before(3)?;
            assert!(read_all(&mut reader, 10, 3000)?[..] == shown.bytes[10..end]);
            assert!(read_all(&mut other, 0, 700)?[..] == shown.bytes[..end]);
        }
        Ok(())
    }

    #[test]
    fn what_is_freed_during_a_read_ends_it_with_whole_records() -> Result {
        for view in list()?.views() {
            let list = list()?;
            let shown = list.shown(view, 0)?;
            let mut reader = list.live(view)?;
            let mut puts = 0;
            let got = read_with(&mut reader, 0, 1_000_000, || {
                puts += 1;
                if puts == 3 {
                    list.free_before(3)?;
                }
                Ok(())
            })?;
            // All of the chunk that was being copied, and nothing after it.
            assert!(!got.is_empty() && got.len() < shown.bytes.len());
            assert!(shown.ends.iter().any(|&end| end == got.len()));
            assert!(*got == shown.bytes[..got.len()]);
            assert!(read(&mut reader, got.len(), 100).err() == Some(ESTALE));
        }
        Ok(())
    }

    #[test]
    fn a_fault_copies_nothing_and_harms_nothing() -> Result {
        let list = list()?;
        for view in list.views() {
            let shown = list.shown(view, 0)?;
            let mut reader = list.live(view)?;
            for offset in [0, 1, shown.ends[3], shown.ends[3] + 5, shown.ends[20]] {
                let result = read_with(&mut reader, offset, 3000, || Err(EFAULT));
                assert!(result.err() == Some(EFAULT));
                assert!(*read(&mut reader, offset, 3000)? == *shown.read(offset, 3000));
            }
        }
        Ok(())
    }
}
