// SPDX-License-Identifier: GPL-2.0

//! `truncate`: free the segments before a checkpoint.

use super::{exit::Code, failure::Failure, print, Result};
use crate::{
    cli::{KernelOption, ReadersOption},
    error::Error,
    escape::Escaped,
    kernel::Kernel,
    open_files::{self, Readers},
};
use clap::Args;
use ima_checkpoint_format::consent::Signature;
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Free the segments before a checkpoint. Segments that were not exported are lost
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The checkpoint that the list will start with
    seq: u64,

    /// Only print what would be freed
    #[arg(long)]
    dry_run: bool,

    /// Only print the line that a key must sign, if the kernel was booted with
    /// ima_checkpoint.truncate_needs_signature=1
    #[arg(long, conflicts_with_all = ["dry_run", "signature"])]
    message: bool,

    /// The signature of that line, as `evmctl ima_sign --sigfile --hashalgo sha256` writes it, by a
    /// key in the kernel's keyring .ima
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,

    #[command(flatten)]
    readers: ReadersOption,

    #[command(flatten)]
    kernel: KernelOption,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<Code> {
    let kernel = arguments.kernel.open()?;
    let seq = arguments.seq;
    let segments = kernel.segments()?;
    let target = segments.iter().find(|segment| segment.seq == seq);
    let Some(target) = target.filter(|_| seq > 0) else {
        return Err(no_such(seq, segments.first().map_or(0, |first| first.seq)));
    };
    if arguments.message {
        let message = kernel.consent(seq, &target.digest)?.message();
        print(&String::from_utf8_lossy(message.as_bytes()))?;
        return Ok(Code::Verified);
    }
    let file = match &arguments.signature {
        None => None,
        Some(path) => Some((path, read_signature(path)?)),
    };
    let signature = match &file {
        None => None,
        Some((path, bytes)) => Some(parse_signature(path, bytes)?),
    };
    let freed = segments.iter().filter(|segment| segment.seq < seq);
    let (records, bytes) = freed.fold((0_u64, 0_u64), |(records, bytes), segment| {
        (
            records.saturating_add(segment.records),
            bytes.saturating_add(segment.bytes),
        )
    });
    if arguments.dry_run {
        print(&format!("would free {records} records, {bytes} bytes\n"))?;
        return Ok(Code::Verified);
    }
    if Readers::from(arguments.readers) == Readers::Wait {
        refuse_open_files(&kernel)?;
    }
    match &signature {
        None => kernel.truncate(seq, &target.digest)?,
        Some(signature) => kernel.truncate_signed(seq, &target.digest, signature)?,
    }
    print(&format!("freed {records} records, {bytes} bytes\n"))?;
    Ok(Code::Verified)
}

fn no_such(seq: u64, first: u64) -> Failure {
    if seq == 0 {
        Failure::usage("the list cannot be truncated to segment 0: nothing precedes it")
    } else if seq < first {
        Failure::Freed { seq, first }
    } else {
        Failure::usage(format!("there is no checkpoint {seq} yet"))
    }
}

/// An agent that reads the kernel's own files would lose its place.
fn refuse_open_files(kernel: &Kernel) -> Result<()> {
    let programs = open_files::of_list_files(kernel);
    match programs.is_empty() {
        true => Ok(()),
        false => Err(Failure::Held { programs }),
    }
}

/// The bytes of a file that is to hold a signature: one too many, if it holds more.
fn read_signature(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = Signature::MAX as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| Error::io("read", path, error))?;
    Ok(bytes)
}

fn parse_signature<'b>(path: &Path, bytes: &'b [u8]) -> Result<Signature<'b>> {
    Signature::parse(bytes).map_err(|error| {
        Failure::usage(format!(
            "{}: {error}. `evmctl ima_sign --sigfile --hashalgo sha256` writes one, of the line \
             that `--message` prints",
            Escaped::path(path)
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &[u8]) -> std::result::Result<(), String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = folder.path().join("sig\u{1b}");
        std::fs::write(&path, bytes).map_err(|error| error.to_string())?;
        let bytes = read_signature(&path).map_err(|error| error.to_string())?;
        assert!(bytes.len() <= Signature::MAX + 1);
        let parsed = parse_signature(&path, &bytes).map(|_| ());
        parsed.map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_no_signature_is_said_before_the_kernel_is_asked() {
        assert_eq!(parsed(b"\x03\x02\x04\0\0\0\0\0\x01s"), Ok(()));
        for (bytes, says) in [
            (b"".as_slice(), "ends too early"),
            (b"\x03\x02\x04\0\0\0\0\0\x02s", "ends too early"),
            (b"\x03\x01\x04\0\0\0\0\0\x01s", "unknown version 1"),
            (b"030204", "no signature of IMA's over a SHA-256"),
            (b"\x03\x02\x02\0\0\0\0\0\x01s", "over a SHA-256"),
            (&[3; Signature::MAX * 2], "a length is beyond its limit"),
        ] {
            let said = parsed(bytes).err().unwrap_or_default();
            assert!(said.contains(says) && said.contains("evmctl"), "{said}");
            assert!(!said.contains('\u{1b}'));
        }
        let absent = read_signature(Path::new("/nonexistent/sig"));
        assert!(absent.is_err_and(|error| error.to_string().contains("/nonexistent/sig")));
    }
}
