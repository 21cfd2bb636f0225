// SPDX-License-Identifier: GPL-2.0

//! Lists to verify. Each byte is read once, when its turn comes: what is verified is what was read.

use crate::{
    archive::Log,
    escape::Escaped,
    input::decompressed,
    kernel::Kernel,
    outcome::{
        Code,
        Error,
        Result, //
    },
    whole::Whole,
};
use ima_log::{
    replay::Hint,
    verify::{
        Foreign,
        Input, //
    },
};
use indicatif::ProgressBar;
use memchr::memmem;
use rustix::{
    fs::{
        fcntl_getfl,
        fcntl_setfl,
        OFlags, //
    },
    io::Errno,
};
use std::{
    fs::{
        File,
        OpenOptions, //
    },
    io::{
        self,
        Read, //
    },
    os::unix::{
        ffi::OsStrExt,
        fs::{
            FileExt,
            FileTypeExt,
            OpenOptionsExt, //
        },
    },
    path::{
        Path,
        PathBuf, //
    },
};

/// The event name of a checkpoint, with the NUL that the kernel puts behind it.
const CHECKPOINT: &[u8] = b".ima/checkpoint\0";

/// Bytes that are searched at once.
const STRETCH: usize = 1 << 20;

/// Inputs, in the order of the list.
pub type Inputs<'a> = Box<dyn Iterator<Item = Result<Input<'a>, Foreign>> + 'a>;

/// A list, and what else there is of it.
pub struct Evidence<'a> {
    /// The list.
    pub inputs: Inputs<'a>,
    /// Files with other bytes for a segment that is in the list.
    pub forks: Vec<(u64, String)>,
}

impl<'a> Evidence<'a> {
    fn of(inputs: impl Iterator<Item = Result<Input<'a>>> + 'a) -> Self {
        Self {
            inputs: Box::new(inputs.map(|input| input.map_err(Foreign::from))),
            forks: Vec::new(),
        }
    }

    /// Files, or standard input if one is called `-`.
    pub fn files(paths: &'a [PathBuf], progress: &'a ProgressBar) -> Self {
        let known = paths.iter().filter_map(|path| path.metadata().ok());
        progress.set_length(known.map(|meta| meta.len()).sum());
        let last = paths.len().saturating_sub(1);
        let inputs = paths.iter().enumerate();
        // what a file ends with is sealed by the checkpoint at the start of the next one
        Self::of(inputs.map(move |(number, path)| file(path, number == last, progress)))
    }

    /// The segments of an archive.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn archived(log: &'a Log, progress: &'a ProgressBar) -> Result<Self> {
        let segments = log.segments()?;
        progress.set_length(segments.iter().map(|meta| meta.bytes).sum());
        let inputs = segments.into_iter().map(move |meta| {
            let bytes = progress.wrap_read(log.open(&meta)?);
            let name = name(&log.path(&meta));
            Ok(Input {
                segment: Some(meta.seq),
                ..Input::new(name, bytes)
            })
        });
        Self::of(inputs).with_forks(log)
    }

    /// The segments of an archive, and those that the kernel has behind them. A gap between them is
    /// for the verification to find.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn whole(whole: &'a Whole<'a>, log: &'a Log, progress: &'a ProgressBar) -> Result<Self> {
        let inputs = whole.parts().iter().map(move |part| {
            let bytes = progress.wrap_read(whole.bytes(part)?);
            let name = match part.archived() {
                Some(meta) => name(&log.path(meta)),
                None => format!("live segment {}", part.seq).into_bytes(),
            };
            Ok(Input {
                segment: Some(part.seq),
                ..Input::new(name, bytes)
            })
        });
        Self::of(inputs).with_forks(log)
    }

    /// The segments of an archive before those of the kernel, which do not join, and the list of
    /// the kernel.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn torn(log: &'a Log, kernel: &'a Kernel, progress: &'a ProgressBar) -> Result<Self> {
        let first = kernel.segments()?.first().map_or(0, |segment| segment.seq);
        let before = log.segments()?.into_iter();
        let before = before
            .filter(move |meta| meta.seq < first)
            .map(move |meta| {
                let name = name(&log.path(&meta));
                Ok(Input {
                    segment: Some(meta.seq),
                    ..Input::new(name, progress.wrap_read(log.open(&meta)?))
                })
            });
        let live = Self::live(kernel.ima(), progress)?.inputs;
        let live =
            live.map(|input| input.map_err(|error| Error::new(Code::Internal, error.to_string())));
        Self::of(before.chain(live)).with_forks(log)
    }

    /// The list of any kernel with IMA.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub fn live(ima: &Path, progress: &'a ProgressBar) -> Result<Self> {
        let path = ima.join("binary_runtime_measurements");
        let file = File::open(&path).map_err(|error| refused(&path, &error))?;
        let input = Input::new(name(&path), progress.wrap_read(file));
        Ok(Self::of(std::iter::once(Ok(input))))
    }

    fn with_forks(mut self, log: &Log) -> Result<Self> {
        let forks = log.forks()?;
        let forks = forks.iter().map(|meta| (meta.seq, log.path(meta)));
        let forks = forks.map(|(seq, path)| (seq, Escaped::path(&path).to_string()));
        self.forks = forks.collect();
        Ok(self)
    }
}

/// What messages call a file.
fn name(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_owned()
}

fn refused(path: &Path, error: &io::Error) -> Error {
    let hint = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::PERM | Errno::ACCESS) => "run this as root",
        Some(Errno::NOENT) => "mount securityfs there, or boot a kernel with CONFIG_IMA=y",
        _ => return Error::io("open", path, error),
    };
    Error::new(
        Code::Kernel,
        format!("{}: {error}: {hint}", Escaped::path(path)),
    )
}

/// A file, or standard input. Only behind the last one no checkpoint can come.
fn file<'a>(path: &Path, last: bool, progress: &'a ProgressBar) -> Result<Input<'a>> {
    if path == Path::new("-") {
        let name = "standard input";
        let bytes = decompressed(io::stdin());
        let bytes = bytes.map_err(|error| Error::io("read", name, &error))?;
        return Ok(Input::new(name, bytes));
    }
    let name = name(path);
    let failed = |error: io::Error| Error::io("read", path, &error);
    let (file, regular) = open(path)?;
    if regular {
        let end = file.metadata().map_err(failed)?.len();
        let mut magic = [0; 4];
        let read = file.read_at(&mut magic, 0).map_err(failed)?;
        // files of the kernel have no size
        if end > 0 && !crate::input::is_zstd(magic.get(..read).unwrap_or_default()) {
            let hint = match last {
                true => Hint::Until(checkpoints_end(&file, end).map_err(failed)?),
                false => Hint::Unknown,
            };
            return Ok(Input {
                hint,
                ..Input::new(name, progress.wrap_read(file.take(end)))
            });
        }
    }
    let bytes = decompressed(progress.wrap_read(file)).map_err(failed)?;
    Ok(Input::new(name, bytes))
}

/// Opens a regular file, or a pipe, as `<(command)` gives it; nothing that blocks already when it is
/// opened, or has no end. Tells which it is.
fn open(path: &Path) -> Result<(File, bool)> {
    let failed = |error: io::Error| Error::io("open", path, &error);
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path)
        .map_err(failed)?;
    let kind = file.metadata().map_err(failed)?.file_type();
    if !kind.is_file() && !kind.is_fifo() {
        let text = format!("{}: this is neither a file nor a pipe", Escaped::path(path));
        return Err(Error::new(Code::Internal, text));
    }
    let flags = fcntl_getfl(&file).map_err(|error| failed(error.into()))?;
    let blocking = fcntl_setfl(&file, flags - OFlags::NONBLOCK);
    blocking.map_err(|error| failed(error.into()))?;
    Ok((file, kind.is_file()))
}

/// Behind which byte no checkpoint starts. Without any, segments need not be hashed.
fn checkpoints_end(file: &File, end: u64) -> io::Result<u64> {
    let finder = memmem::FinderRev::new(CHECKPOINT);
    let mut bytes = vec![0; STRETCH];
    // from the end: the last one decides
    let mut stretch = end;
    while stretch > 0 {
        let start = stretch.saturating_sub(STRETCH as u64);
        // one may lie across the border
        let to = stretch.saturating_add(CHECKPOINT.len() as u64).min(end);
        bytes.resize((to - start) as usize, 0);
        file.read_exact_at(&mut bytes, start)?;
        if let Some(at) = finder.rfind(&bytes) {
            return Ok(start + at as u64 + 1);
        }
        stretch = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_last_checkpoint_is_found_wherever_it_lies() -> io::Result<()> {
        for (before, behind) in [
            (0, 0),
            (5, STRETCH - 3),
            (STRETCH, 0),
            (STRETCH - 7, STRETCH - 9),
            (3 * STRETCH + 1, 2 * STRETCH),
        ] {
            let mut file = tempfile::tempfile()?;
            file.write_all(&vec![b'.'; before])?;
            file.write_all(CHECKPOINT)?;
            file.write_all(&vec![b'.'; behind])?;
            let size = file.metadata()?.len();
            assert_eq!(checkpoints_end(&file, size)?, before as u64 + 1);
            assert_eq!(checkpoints_end(&file, before as u64)?, 0);
        }
        Ok(())
    }
}
