// SPDX-License-Identifier: GPL-2.0

//! Reading a segment's file: a skippable frame with the metadata as JSON, then a frame with the
//! bytes, as RFC 8878 (Zstandard) defines frames.

use super::{meta::Meta, place::Source};
use std::io::{self, BufRead, BufReader, Read};
use zstd::{stream::read::Decoder, zstd_safe};

/// Magic of the first skippable frame; the last four bits are free.
pub(crate) const SKIPPABLE: u32 = 0x184d_2a50;

/// Largest frame of metadata that is read, in bytes.
const MAX_META: u32 = 64 << 10;

const BUFFER: usize = 128 << 10;

/// Set in the byte after a frame's magic if a checksum is at its end.
const CHECKSUM: u8 = 4;

/// Largest window, as a power of two, which bounds the memory that a file can make us use.
const MAX_WINDOW: u32 = 23;

fn invalid(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

/// The decoder's own errors have no kind: they are of what the file holds. Those of a file or a store
/// have one.
fn damage(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::Other => invalid(format!("it is damaged: {error}")),
        _ => error,
    }
}

/// Reads the metadata at the front of a file of that name. The file stands after them then.
pub(crate) fn read_meta(file: &mut impl Read, file_name: &str) -> io::Result<Meta> {
    let cut = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => invalid("it ends within its metadata"),
        _ => error,
    };
    let mut start = [0; 8];
    file.read_exact(&mut start).map_err(cut)?;
    let [a, b, c, d, size @ ..] = start;
    if u32::from_le_bytes([a, b, c, d]) & !0xf != SKIPPABLE {
        return Err(invalid("it does not start with the metadata of a segment"));
    }
    let size = u32::from_le_bytes(size);
    if size > MAX_META {
        return Err(invalid(format!(
            "it has metadata of {size} bytes, more than {MAX_META}"
        )));
    }
    let mut json = vec![0; size as usize];
    file.read_exact(&mut json).map_err(cut)?;
    Meta::parse(&json, file_name).map_err(|text| invalid(format!("its metadata: {text}")))
}

/// The bytes of a segment, decompressed. Memory is bounded whatever the file says.
pub struct Contents {
    decoder: Decoder<'static, BufReader<Source>>,
    left: u64,
}

impl Contents {
    /// Gives exactly `bytes` bytes, or an error. The file must stand after the metadata.
    pub(super) fn new(source: impl Into<Source>, bytes: u64) -> io::Result<Self> {
        let mut source = BufReader::with_capacity(BUFFER, source.into());
        let front = source.fill_buf()?;
        let size = zstd_safe::get_frame_content_size(front);
        if !matches!(size, Ok(Some(size)) if size == bytes) {
            return Err(invalid("its frame does not have the size in its metadata"));
        }
        if front.get(4).is_none_or(|flags| flags & CHECKSUM == 0) {
            return Err(invalid("its frame has no checksum"));
        }
        let mut decoder = Decoder::with_buffer(source)?.single_frame();
        decoder.window_log_max(MAX_WINDOW)?;
        let mut contents = Self {
            decoder,
            left: bytes,
        };
        if bytes == 0 {
            contents.end()?;
        }
        Ok(contents)
    }

    /// Looks whether all ends where it should, which checks the checksum too.
    fn end(&mut self) -> io::Result<()> {
        if self.decoder.read(&mut [0]).map_err(damage)? > 0 {
            return Err(invalid("it has more bytes than its metadata claim"));
        }
        if !self.decoder.get_mut().fill_buf()?.is_empty() {
            return Err(invalid("something follows the segment"));
        }
        Ok(())
    }
}

impl Read for Contents {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(out.len());
        if room == 0 {
            return Ok(0);
        }
        let read = self.decoder.read(out.get_mut(..room).unwrap_or_default());
        let read = read.map_err(damage)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        if self.left == 0 {
            self.end()?;
        }
        Ok(read)
    }
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contents")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::fixture::Work;
    use std::fs::{self, File};

    const NAME: &str = "0000000000.zst";

    type Change = fn(&mut Vec<u8>);

    /// Reads the file of segment 0 after `change`; the error, if there is one.
    fn read(change: impl FnOnce(&mut Vec<u8>)) -> Result<Vec<u8>, String> {
        let mut work = Work::new(1);
        work.store(0..1);
        let mut bytes = fs::read(work.path(NAME)).unwrap();
        change(&mut bytes);
        fs::write(work.path(NAME), bytes).unwrap();
        let mut file = File::open(work.path(NAME)).unwrap();
        let read = || {
            let meta = read_meta(&mut file, NAME)?;
            let mut found = Vec::new();
            Contents::new(file, meta.bytes)?.read_to_end(&mut found)?;
            assert_eq!(found, work.kernel.bytes(0));
            Ok(found)
        };
        read().map_err(|error: io::Error| error.to_string())
    }

    #[test]
    fn what_an_archiver_wrote() {
        assert!(read(|_| ()).is_ok());
    }

    #[test]
    fn what_it_did_not_write() {
        let faults: [(Change, &str); 6] = [
            (|bytes| bytes.truncate(100), "it ends within its metadata"),
            (|bytes| bytes[0] = 0, "does not start with the metadata"),
            (|bytes| bytes[6] = 0xff, "more than 65536"),
            (|bytes| bytes.push(0), "something follows"),
            (|bytes| bytes[1100] ^= 1, "it is damaged"),
            (|bytes| bytes[1028] &= !CHECKSUM, "no checksum"),
        ];
        for (change, says) in faults {
            let error = read(change).unwrap_err();
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}
