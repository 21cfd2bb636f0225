// SPDX-License-Identifier: GPL-2.0

//! Lists to verify. Each byte is read once, when its turn comes: what is verified is what was read.

use super::{Error as Unfit, Pipes};
use crate::{
    archive::{Log, Name},
    error::{Error, Result},
    escape::Escaped,
    full_list::{FullList, Source},
    input::{is_plain, recognised, unwrapped, Looks, START},
    kernel::Kernel,
};
use ima_log::verify::{Foreign, Input};
use indicatif::ProgressBar;
use memchr::memmem;
use rustix::{
    fs::{fcntl_getfl, fcntl_setfl, OFlags},
    io::Errno,
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, FileTypeExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

/// The event name of a checkpoint, in a binary list and in ASCII.
const CHECKPOINT: &[u8] = b".ima/checkpoint";

/// Bytes at each end of a file that are looked at.
const STRETCH: u64 = 256 << 10;

/// Inputs, in the order of the list.
pub type Inputs<'a> = Box<dyn Iterator<Item = Result<Input<'a>, Foreign>> + 'a>;

/// The forks of a log.
#[derive(Default)]
pub struct Forks<'a> {
    log: Option<&'a Log>,
    names: Vec<Name>,
}

impl Forks<'_> {
    /// The number of the segment, and the path of the file.
    pub fn iter(&self) -> impl Iterator<Item = (u64, PathBuf)> + '_ {
        let logs = self.log.iter();
        logs.flat_map(|log| self.names.iter().map(|name| (name.seq, log.path(*name))))
    }
}

/// A list, and what else there is of it.
pub struct Evidence<'a> {
    /// The list.
    pub inputs: Inputs<'a>,
    /// Files of an archive with other bytes for a segment that is in the list.
    pub forks: Forks<'a>,
}

impl<'a> Evidence<'a> {
    fn of(inputs: impl Iterator<Item = Result<Input<'a>>> + 'a) -> Self {
        Self {
            inputs: Box::new(inputs.map(|input| input.map_err(Foreign::from))),
            forks: Forks::default(),
        }
    }

    /// Files, or standard input if one is called `-`. `seals` tells that there are checkpoints in them.
    pub fn files(
        paths: &'a [PathBuf],
        seals: bool,
        progress: &'a ProgressBar,
        pipes: &'a Pipes,
    ) -> Self {
        let known = paths.iter().filter_map(|path| path.metadata().ok());
        progress.set_length(known.map(|meta| meta.len()).sum());
        let paths = paths.iter().enumerate();
        Self::of(paths.map(move |(number, path)| file(number, path, seals, progress, pipes)))
    }

    /// The segments of an archive.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn archived(log: &'a Log, progress: &'a ProgressBar) -> Result<Self> {
        let segments = log.segments()?;
        // of these nothing is believed; if nobody looks, they are not read
        if !progress.is_hidden() {
            let metadata = segments.iter().filter_map(|name| log.meta(name).ok());
            progress.set_length(metadata.map(|meta| meta.bytes).sum());
        }
        let inputs = segments
            .into_iter()
            .map(|name| archived(log, name, progress));
        Self::of(inputs).with_forks(log)
    }

    /// The segments of an archive, and those that the kernel has after them. A gap between them is
    /// for the verification to find.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn whole(whole: FullList<'a>, log: &'a Log, progress: &'a ProgressBar) -> Result<Self> {
        let inputs = whole.into_sources().map(|source| match source {
            Source::Archived(name) => archived(log, name, progress),
            Source::Live(seq, file) => Ok(Input {
                segment: Some(seq),
                ..Input::new(format!("live segment {seq}"), progress.wrap_read(file))
            }),
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
            .filter(move |name| name.seq < first)
            .map(|name| archived(log, name, progress));
        let live = Self::live(kernel.ima(), progress)?.inputs;
        let before = Self::of(before).inputs;
        let all = Self {
            inputs: Box::new(before.chain(live)),
            forks: Forks::default(),
        };
        all.with_forks(log)
    }

    /// The list of any kernel with IMA.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub fn live(ima: &Path, progress: &'a ProgressBar) -> Result<Self> {
        let path = ima.join("binary_runtime_measurements");
        let file = File::open(&path).map_err(|error| refused(&path, error))?;
        let input = Input::new(name(&path), progress.wrap_read(file));
        Ok(Self::of(std::iter::once(Ok(input))))
    }

    fn with_forks(mut self, log: &'a Log) -> Result<Self> {
        let names = log.forks()?.map(|fork| Ok(fork?.name()));
        self.forks = Forks {
            names: names.collect::<Result<_>>()?,
            log: Some(log),
        };
        Ok(self)
    }
}

/// A segment of the archive.
fn archived<'a>(log: &Log, file: Name, progress: &'a ProgressBar) -> Result<Input<'a>> {
    let (meta, contents) = log.read(file)?;
    Ok(Input {
        segment: Some(meta.seq),
        ..Input::new(name(&log.path(file)), progress.wrap_read(contents))
    })
}

/// What messages call a file.
fn name(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_owned()
}

fn refused(path: &Path, error: io::Error) -> Error {
    let privilege = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::PERM | Errno::ACCESS) => true,
        Some(Errno::NOENT) => false,
        _ => return Error::io("open", path, error),
    };
    let path = path.to_owned();
    Unfit::NoIma {
        path,
        error,
        privilege,
    }
    .into()
}

fn file<'a>(
    number: usize,
    path: &Path,
    seals: bool,
    progress: &'a ProgressBar,
    pipes: &Pipes,
) -> Result<Input<'a>> {
    if path == Path::new("-") {
        let name = "standard input";
        let pipe = pipes.open(number, || Ok::<_, Error>(Box::new(io::stdin()) as _))?;
        let bytes = recognised(name, unwrapped(pipe))?;
        return Ok(Input::new(name, bytes));
    }
    let shown = Escaped::path(path).to_string();
    let name = name(path);
    if path
        .metadata()
        .is_ok_and(|metadata| metadata.file_type().is_fifo())
    {
        let pipe = pipes.open(number, || Ok::<_, Error>(Box::new(open(path)?.0) as _))?;
        let bytes = recognised(&shown, unwrapped(progress.wrap_read(pipe)))?;
        return Ok(Input::new(name, bytes));
    }
    let failed = |error: io::Error| Error::io("read", path, error);
    let (file, regular) = open(path)?;
    if regular {
        let end = file.metadata().map_err(failed)?.len();
        let mut start = vec![0; START];
        let read = file.read_at(&mut start, 0).map_err(failed)?;
        start.truncate(read);
        // files of the kernel have no size
        if end > 0 && is_plain(&start) {
            if let Some(looks) = Looks::of(&start) {
                return Err(Unfit::NotMeasured { name: shown, looks }.into());
            }
            let seals = seals || seems_sealed(&file, end).map_err(failed)?;
            return Ok(Input {
                seals,
                ..Input::new(name, progress.wrap_read(file.take(end)))
            });
        }
    }
    let bytes = recognised(&shown, unwrapped(progress.wrap_read(file)))?;
    Ok(Input::new(name, bytes))
}

/// Opens a regular file, or a pipe, as `<(command)` gives it; nothing that blocks already when it is
/// opened, or has no end. Tells which it is.
fn open(path: &Path) -> Result<(File, bool)> {
    let failed = |error: io::Error| Error::io("open", path, error);
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path)
        .map_err(failed)?;
    let kind = file.metadata().map_err(failed)?.file_type();
    if !kind.is_file() && !kind.is_fifo() {
        let path = path.to_owned();
        return Err(Unfit::NotAList { path }.into());
    }
    let flags = fcntl_getfl(&file).map_err(|error| failed(error.into()))?;
    let blocking = fcntl_setfl(&file, flags - OFlags::NONBLOCK);
    blocking.map_err(|error| failed(error.into()))?;
    Ok((file, kind.is_file()))
}

/// Is there a checkpoint near one of the ends of a file? If not there is probably none, and segments
/// need not be hashed; should one come all the same, the file is verified again, with hashing.
fn seems_sealed(file: &File, size: u64) -> io::Result<bool> {
    let finder = memmem::Finder::new(CHECKPOINT);
    let length = STRETCH.min(size);
    let mut bytes = vec![0; length as usize];
    for start in [0, size - length] {
        file.read_exact_at(&mut bytes, start)?;
        if finder.find(&bytes).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_checkpoint_near_an_end_is_seen() -> io::Result<()> {
        let long = 3 * STRETCH as usize;
        for (before, after, seen) in [
            (0, 0, true),
            (5, long, true),
            (long, 5, true),
            (long, long, false),
        ] {
            let mut file = tempfile::tempfile()?;
            file.write_all(&vec![b'.'; before])?;
            file.write_all(CHECKPOINT)?;
            file.write_all(&vec![b'.'; after])?;
            let size = file.metadata()?.len();
            assert_eq!(seems_sealed(&file, size)?, seen);
        }
        Ok(())
    }
}
