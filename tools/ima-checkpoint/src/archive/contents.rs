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

/// Set in the byte behind a frame's magic if a checksum is at its end.
const CHECKSUM: u8 = 4;

/// Largest window, as a power of two, which bounds the memory that a file can make us use.
const MAX_WINDOW: u32 = 23;

fn invalid(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

/// Reads the metadata at the front of a file of that name. The file stands behind them then.
pub(crate) fn read_meta(file: &mut impl Read, file_name: &str) -> io::Result<Meta> {
    let cut = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => invalid("it ends before its metadata do"),
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
            "metadata of {size} bytes: at most {MAX_META} are read"
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
    /// Gives exactly `bytes` bytes, or an error. The file must stand behind the metadata.
    pub(super) fn new(source: impl Into<Source>, bytes: u64) -> io::Result<Self> {
        let mut source = BufReader::with_capacity(BUFFER, source.into());
        let front = source.fill_buf()?;
        let size = zstd_safe::get_frame_content_size(front);
        if !matches!(size, Ok(Some(size)) if size == bytes) {
            return Err(invalid(
                "its frame does not have the size that the metadata say",
            ));
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
        if self.decoder.read(&mut [0])? > 0 {
            return Err(invalid("it has more bytes than its metadata say"));
        }
        if !self.decoder.get_mut().fill_buf()?.is_empty() {
            return Err(invalid("something follows behind the segment"));
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
        // the decoder's own errors have no kind, those of the source have
        let read = read.map_err(|error| match error.kind() {
            io::ErrorKind::Other => invalid(format!("it is damaged: {error}")),
            _ => error,
        })?;
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
