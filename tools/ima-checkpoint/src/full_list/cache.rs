// SPDX-License-Identifier: GPL-2.0

//! Any bytes of archived segments, in bounded memory.
//!
//! A segment is one compressed frame, which can only be read from its start. So a few of them are
//! kept open where they were last read, and what was decompressed last is kept.

use super::{Error, Part};
use crate::error::Result;
use std::{collections::VecDeque, io::Read, ops::Range, sync::Arc};

/// Bytes that are decompressed and kept together.
const CHUNK: u64 = 256 << 10;

/// Chunks that are kept: 16 MiB.
const CHUNKS: usize = 64;

/// Segments that are kept open, each with a window of at most 8 MiB.
const OPEN: usize = 4;

/// A cache, the least recently used first.
#[derive(Debug)]
pub(super) struct Cache<R> {
    chunks: VecDeque<Chunk>,
    open: VecDeque<Open<R>>,
}

/// Chunk `number` of segment `seq`.
#[derive(Debug)]
struct Chunk {
    seq: u64,
    number: u64,
    bytes: Arc<[u8]>,
}

/// A segment that was read up to chunk `next`.
#[derive(Debug)]
struct Open<R> {
    seq: u64,
    next: u64,
    source: R,
}

impl<R: Read> Cache<R> {
    /// An empty cache.
    pub(super) fn new() -> Self {
        Self {
            chunks: VecDeque::new(),
            open: VecDeque::new(),
        }
    }

    /// Appends these bytes of a segment, which `open` gives from its start.
    pub(super) fn read(
        &mut self,
        part: &Part,
        range: Range<u64>,
        open: impl Fn() -> Result<R>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            let number = at / CHUNK;
            let chunk = self.chunk(part, number, &open)?;
            let skip = (at - number * CHUNK) as usize;
            let room = (range.end - at) as usize;
            let found = chunk.get(skip..).unwrap_or_default();
            let found = found.get(..room).unwrap_or(found);
            if found.is_empty() {
                return Err(Error::Ends {
                    seq: part.seq,
                    unit: "byte",
                    at,
                    wanted: part.bytes,
                }
                .into());
            }
            out.extend_from_slice(found);
            at += found.len() as u64;
        }
        Ok(())
    }

    fn chunk(
        &mut self,
        part: &Part,
        number: u64,
        open: impl Fn() -> Result<R>,
    ) -> Result<Arc<[u8]>> {
        let wanted = |chunk: &Chunk| (chunk.seq, chunk.number) == (part.seq, number);
        let known = self.chunks.iter().position(wanted);
        let chunk = match known.and_then(|at| self.chunks.remove(at)) {
            Some(chunk) => chunk,
            None => Chunk {
                seq: part.seq,
                number,
                bytes: self.decompress(part, number, open)?,
            },
        };
        let bytes = Arc::clone(&chunk.bytes);
        keep(&mut self.chunks, chunk, CHUNKS);
        Ok(bytes)
    }

    fn decompress(
        &mut self,
        part: &Part,
        number: u64,
        open: impl Fn() -> Result<R>,
    ) -> Result<Arc<[u8]>> {
        let before = |open: &Open<R>| open.seq == part.seq && open.next <= number;
        let nearest = (0..self.open.len())
            .filter(|at| self.open.get(*at).is_some_and(before))
            .max_by_key(|at| self.open.get(*at).map(|open| open.next));
        let mut open = match nearest.and_then(|at| self.open.remove(at)) {
            Some(open) => open,
            None => Open {
                seq: part.seq,
                next: 0,
                source: open()?,
            },
        };
        let mut bytes = Vec::new();
        while open.next <= number {
            bytes.clear();
            let read = open.source.by_ref().take(CHUNK).read_to_end(&mut bytes);
            read.map_err(|error| part.unreadable(error))?;
            open.next += 1;
        }
        keep(&mut self.open, open, OPEN);
        Ok(bytes.into())
    }
}

/// Adds one, and drops the least recently used if there are more than `limit`.
fn keep<T>(kept: &mut VecDeque<T>, new: T, limit: usize) {
    if kept.len() >= limit {
        kept.pop_front();
    }
    kept.push_back(new);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        cell::Cell,
        io::{self, Cursor},
    };

    const SIZE: u64 = 100 * CHUNK + 1000;

    fn part(seq: u64) -> Part {
        Part {
            seq,
            first: 0,
            offset: 0,
            records: 1,
            bytes: SIZE,
            sealed: true,
            ascii_bytes: 0,
            checkpoint: [0; 8],
            is_archived: false,
        }
    }

    /// The byte there: each eight bytes are their own offset.
    fn bytes(range: Range<u64>) -> Vec<u8> {
        range
            .map(|at| (at & !7).to_le_bytes()[(at & 7) as usize])
            .collect()
    }

    #[test]
    fn anywhere_in_bounded_memory() -> Result<()> {
        let all = bytes(0..SIZE);
        let mut cache = Cache::new();
        for seq in 0..10 {
            for at in [0, CHUNK - 3, 7, 50 * CHUNK, SIZE - 2000, 49 * CHUNK + 1] {
                let range = at..at + 2000;
                let mut out = b"x".to_vec();
                cache.read(
                    &part(seq),
                    range.clone(),
                    || Ok(Cursor::new(&all)),
                    &mut out,
                )?;
                assert_eq!(out[1..], bytes(range));
                assert!(cache.chunks.len() <= CHUNKS && cache.open.len() <= OPEN);
            }
        }
        Ok(())
    }

    #[test]
    fn two_readers_do_not_make_each_other_start_again() -> Result<()> {
        let all = bytes(0..SIZE);
        let mut cache = Cache::new();
        let opened = Cell::new(0);
        let open = || {
            opened.set(opened.get() + 1);
            Ok(Cursor::new(&all))
        };
        for step in 0..400 {
            for start in [0, 40 * CHUNK] {
                let at = start + step * CHUNK / 10;
                cache.read(&part(0), at..at + 5000, open, &mut Vec::new())?;
            }
        }
        assert!(opened.get() <= 2, "{}", opened.get());
        Ok(())
    }

    #[test]
    fn what_ends_early_or_fails() {
        let read = |source: Box<dyn Read>| {
            let source = Cell::new(Some(source));
            let open = || Ok(source.take().expect("it is opened once"));
            Cache::new().read(&part(0), 10..20, open, &mut Vec::new())
        };
        let early = read(Box::new(Cursor::new(vec![0; 15])));
        assert!(matches!(
            early,
            Err(crate::error::Error::FullList(Error::Ends {
                at: 15,
                wanted: SIZE,
                ..
            }))
        ));
        assert!(read(Box::new(Cursor::new(vec![0; 20]))).is_ok());
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("no"))
            }
        }
        assert!(matches!(
            read(Box::new(Failing)),
            Err(crate::error::Error::FullList(Error::Unreadable { .. }))
        ));
    }
}
