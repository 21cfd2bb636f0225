// SPDX-License-Identifier: GPL-2.0

//! Lists named on the command line: files, archived segments, standard input.

use crate::{
    error::{
        Error,
        Result, //
    },
    escape::Escaped,
};
use std::{
    fs::File,
    io::{
        self,
        Cursor,
        Read, //
    },
    path::Path,
};
use zstd::stream::read::Decoder;

/// Largest window of a compressed file, as a power of two: what it may cost in memory.
const MAX_WINDOW: u32 = 23;

/// The bytes of a list.
pub struct Input {
    /// What messages call it.
    pub name: String,
    /// The bytes, decompressed if need be.
    pub bytes: Box<dyn Read + Send>,
}

impl Input {
    /// Opens a file, or standard input if it is called `-`. What is compressed with Zstandard is
    /// decompressed, which no list can be taken for: it would start with the PCR 0x184d2a50 or
    /// 0xfd2fb528.
    ///
    /// # Errors
    ///
    /// It cannot be opened or read.
    pub fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            let name = "standard input".to_owned();
            let bytes = decompressed(io::stdin());
            let bytes = bytes.map_err(|error| Error::io("read", &name, error))?;
            return Ok(Self { name, bytes });
        }
        let name = Escaped::path(path).to_string();
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        let bytes = decompressed(file).map_err(|error| Error::io("read", path, error))?;
        Ok(Self { name, bytes })
    }
}

pub(crate) fn decompressed<'a>(
    mut source: impl Read + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut start = Vec::new();
    source.by_ref().take(4).read_to_end(&mut start)?;
    let compressed = is_zstd(&start);
    let source = Cursor::new(start).chain(source);
    if !compressed {
        return Ok(Box::new(source));
    }
    let mut decoder = Decoder::new(source)?;
    decoder.window_log_max(MAX_WINDOW)?;
    Ok(Box::new(decoder))
}

/// Is it the magic of a frame, or of a skippable one, as an archived segment has in front?
pub(crate) fn is_zstd(start: &[u8]) -> bool {
    let magic = start.try_into().map(u32::from_le_bytes);
    magic.is_ok_and(|magic| magic == 0xfd2f_b528 || magic & !0xf == 0x184d_2a50)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decompressed(Cursor::new(bytes.to_vec()))?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn compressed_or_not() -> io::Result<()> {
        let skippable = b"\x50\x2a\x4d\x18\x02\0\0\0{}";
        let frame = zstd::encode_all(b"a list".as_slice(), 3)?;
        assert_eq!(read(&frame)?, b"a list");
        assert_eq!(read(&[skippable, &*frame].concat())?, b"a list");
        for bytes in [b"".as_slice(), b"\x0a", b"\x0a\0\0\0 and more"] {
            assert_eq!(read(bytes)?, bytes);
        }
        assert!(read(&frame[..frame.len() - 1]).is_err());
        Ok(())
    }

    #[test]
    fn a_window_beyond_the_limit_is_refused() -> io::Result<()> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1)?;
        encoder.window_log(MAX_WINDOW + 1)?;
        io::Write::write_all(&mut encoder, b"a list")?;
        assert!(read(&encoder.finish()?).is_err());
        Ok(())
    }
}
