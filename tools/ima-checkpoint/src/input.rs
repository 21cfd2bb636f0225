// SPDX-License-Identifier: GPL-2.0

//! Lists named on the command line: files, archived segments, standard input.

use crate::{
    error::{Error, Result},
    escape::Escaped,
    evidence,
    own::LAST_PCR,
    text,
};
use flate2::read::MultiGzDecoder;
use ima_checkpoint_format::{kexec, ByteOrder};
use liblzma::{
    bufread::XzDecoder,
    stream::{Stream, CONCATENATED},
};
use std::{
    fmt,
    fs::File,
    io::{self, BufReader, Cursor, Read},
    path::Path,
};
use zstd::stream::read::Decoder;

/// Largest window of a compressed file, as a power of two: what it may cost in memory.
const MAX_WINDOW: u32 = 23;

/// Most memory for a file that is compressed with xz, in bytes: its strongest preset takes 65 MiB.
const MAX_MEMORY: u64 = 80 << 20;

/// The bytes of a list.
pub struct Input {
    /// What messages call it.
    pub name: String,
    /// The bytes, decompressed if need be.
    pub bytes: Box<dyn Read + Send>,
}

impl Input {
    /// Opens a file, or standard input if it is called `-`. What is compressed with Zstandard, gzip
    /// or xz is decompressed, and the buffer of a kexec is read as the list that is in it.
    ///
    /// # Errors
    ///
    /// It cannot be opened or read.
    pub fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            let name = "standard input".to_owned();
            let bytes = recognised(&name, unwrapped(io::stdin()))?;
            return Ok(Self { name, bytes });
        }
        let name = Escaped::path(path).to_string();
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        let bytes = recognised(&name, unwrapped(file))?;
        Ok(Self { name, bytes })
    }
}

/// The bytes, if they may be a list.
///
/// # Errors
///
/// They cannot be read, or are something else.
pub(crate) fn recognised<'a>(
    name: &str,
    bytes: io::Result<Box<dyn Read + Send + 'a>>,
) -> Result<Box<dyn Read + Send + 'a>> {
    let mut bytes = bytes.map_err(|error| Error::io("read", name, error))?;
    let mut start = Vec::new();
    let read = bytes.by_ref().take(START as u64).read_to_end(&mut start);
    let start = Cursor::new(start);
    if let Err(error) = read {
        if error.raw_os_error().is_some() {
            return Err(Error::io("read", name, error));
        }
        // damage belongs to the list, after what could be read of it
        return Ok(Box::new(start.chain(Failing(Some(error)))));
    }
    if let Some(looks) = Looks::of(start.get_ref()) {
        let name = name.to_owned();
        return Err(evidence::Error::NotMeasured { name, looks }.into());
    }
    Ok(Box::new(start.chain(bytes)))
}

/// Gives an error, once.
struct Failing(Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// What somebody gave who has no list, by its first [`START`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// What the firmware measured.
    EventLog,
    /// JSON, such as the log of systemd.
    Json,
    /// What a TPM signed.
    Quote,
    /// Bytes as text.
    Base64,
    /// Some other text.
    Text,
    /// Nothing that is known here.
    Other,
}

/// Bytes from which is told what a file is not.
pub(crate) const START: usize = 4096;

impl Looks {
    /// What these bytes look like that are at the start of no list; nothing if they may be one. A
    /// binary list starts with a PCR, and there is none beyond 63.
    pub(crate) fn of(start: &[u8]) -> Option<Self> {
        if start.get(32..48) == Some(b"Spec ID Event03\0") {
            return Some(Self::EventLog);
        }
        if text::is_list(start) {
            return None;
        }
        let pcr = start.first_chunk()?;
        let orders = [ByteOrder::Little, ByteOrder::Big];
        if orders.iter().any(|order| order.get_u32(*pcr) <= LAST_PCR) {
            return None;
        }
        let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~' | 0x80..);
        let is_base64 = |byte: &u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'\n' | b'\r')
        };
        let text = start
            .strip_prefix(b"\x1e")
            .unwrap_or(start)
            .trim_ascii_start();
        Some(if start.starts_with(b"\xffTCG") {
            Self::Quote
        } else if matches!(text.first(), Some(b'{' | b'[')) {
            Self::Json
        } else if text.iter().all(is_base64) {
            Self::Base64
        } else if std::str::from_utf8(text).is_ok() && text.iter().all(is_text) {
            Self::Text
        } else {
            Self::Other
        })
    }
}

impl fmt::Display for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EventLog => {
                "this looks like the event log of the firmware: give it with --event-log, and \
                 IMA's list as the input"
            }
            Self::Json => "this looks like JSON, such as the log of systemd's own measurements",
            Self::Quote => {
                "this looks like the message of a quote: give it with --quote, and IMA's list as \
                 the input"
            }
            Self::Base64 => "this looks like base64: decode it first, for example with base64 -d",
            Self::Text => "this looks like text",
            Self::Other => "it does not start with the number of a PCR",
        })
    }
}

/// How the bytes of a list are wrapped, as far as its start tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrapping {
    Zstd,
    Gzip,
    Xz,
    /// A kernel hands its list to the next one in a buffer: a header with the number of bytes that
    /// follow it, and those.
    Kexec(u64),
}

impl Wrapping {
    /// No list starts like this: its first number is a PCR.
    fn of(start: &[u8]) -> Option<Self> {
        let magic = start.first_chunk().copied().map(u32::from_le_bytes);
        if magic.is_some_and(|magic| magic == 0xfd2f_b528 || magic & !0xf == 0x184d_2a50) {
            return Some(Self::Zstd);
        }
        if start.starts_with(b"\x1f\x8b\x08") {
            return Some(Self::Gzip);
        }
        if start.starts_with(b"\xfd7zXZ\0") {
            return Some(Self::Xz);
        }
        let orders = [ByteOrder::Little, ByteOrder::Big];
        orders.into_iter().find_map(|order| kexec(start, order))
    }
}

/// The header of such a buffer. A violation in PCR 1 starts with the same bytes, and then come zeros
/// where the header has its size.
fn kexec(start: &[u8], order: ByteOrder) -> Option<Wrapping> {
    let (version, rest) = start.split_first_chunk()?;
    let (reserved, rest) = rest.split_first_chunk::<6>()?;
    let (size, rest) = rest.split_first_chunk()?;
    let count = order.get_u64(*rest.first_chunk()?);
    let records = order
        .get_u64(*size)
        .checked_sub(kexec::Header::SIZE as u64)?;
    let fits = order.get_u16(*version) == 1 && *reserved == [0; 6] && count <= records;
    fits.then_some(Wrapping::Kexec(records))
}

/// Are the bytes that start like this a list as it stands?
pub(crate) fn is_plain(start: &[u8]) -> bool {
    Wrapping::of(start).is_none()
}

/// The list that is in these bytes, which may be compressed, or in the buffer of a kexec.
///
/// # Errors
///
/// They cannot be read. Damage is told where the bytes of the list would be read.
pub(crate) fn unwrapped<'a>(
    mut source: impl Read + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut start = Vec::new();
    source
        .by_ref()
        .take(kexec::Header::SIZE as u64)
        .read_to_end(&mut start)?;
    let wrapping = Wrapping::of(&start);
    let source = Cursor::new(start).chain(source);
    Ok(match wrapping {
        None => Box::new(source),
        Some(Wrapping::Zstd) => {
            let mut decoder = Decoder::new(source)?;
            decoder.window_log_max(MAX_WINDOW)?;
            Box::new(decoder)
        }
        Some(Wrapping::Gzip) => Box::new(MultiGzDecoder::new(source)),
        Some(Wrapping::Xz) => {
            let stream = Stream::new_stream_decoder(MAX_MEMORY, CONCATENATED)?;
            Box::new(XzDecoder::new_stream(BufReader::new(source), stream))
        }
        Some(Wrapping::Kexec(records)) => {
            let mut source = source;
            io::copy(
                &mut source.by_ref().take(kexec::Header::SIZE as u64),
                &mut io::sink(),
            )?;
            Box::new(source.take(records))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        unwrapped(Cursor::new(bytes.to_vec()))?.read_to_end(&mut out)?;
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
    fn the_buffer_of_a_kexec() -> io::Result<()> {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let header = kexec::Header { size: 30, count: 1 };
            let mut buffer = vec![0; 24];
            let written = header.encode(&mut buffer, order);
            assert!(written.is_ok());
            // the buffer has whole pages
            let pages = [buffer.as_slice(), b"a list and what is after it"].concat();
            assert_eq!(read(&pages)?, b"a list");
            assert_eq!(read(&buffer)?, b"");
        }
        // a violation in PCR 1
        let violation = [b"\x01\0\0\0".as_slice(), &[0; 20], b"\x06\0\0\0ima-ng"].concat();
        assert_eq!(read(&violation)?, violation);
        Ok(())
    }

    #[test]
    fn what_is_no_list() {
        let ascii = format!("10 {} ima-ng sha256:00 /init\n", "a".repeat(40));
        let mut events = [0; 100];
        events[32..48].copy_from_slice(b"Spec ID Event03\0");
        for (bytes, looks) in [
            (ascii.as_bytes(), None),
            (&ascii.as_bytes()[3..], Some(Looks::Text)),
            (&events, Some(Looks::EventLog)),
            (b"\x1e{\"pcr\":11}", Some(Looks::Json)),
            (b"\xffTCG\x80\x18", Some(Looks::Quote)),
            (b"CgAAAJPeUuR3\n", Some(Looks::Base64)),
            (b"measured nothing\n", Some(Looks::Text)),
            (b"\x7fELF\x02\x01", Some(Looks::Other)),
            (b"\x0a\0\0\0", None),
            (b"\0\0\0\x0b", None),
            (b"", None),
        ] {
            assert_eq!(Looks::of(bytes), looks);
        }
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
