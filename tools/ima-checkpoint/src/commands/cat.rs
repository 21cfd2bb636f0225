// SPDX-License-Identifier: GPL-2.0

//! `cat`: the full list, or one in files, as the kernel's files would show it.

mod convert;

use super::{exit::Code, failure::Failure, Result};
use crate::{
    archive::{Archive, Log},
    bank::Bank,
    cli::{ArchiveOption, KernelOption, ViewOption},
    error::{self, Error},
    evidence::{Evidence, Pipes},
    full_list,
    full_list::{FullList, Part},
    kernel::{self, Format, Kernel},
    view::View,
};
use clap::Args;
use indicatif::ProgressBar;
use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::AsFd,
    path::PathBuf,
};

/// Bytes that are read and written at once.
const BUFFER: usize = 256 << 10;

/// Write the full measurement list, or convert another list, to standard output
///
/// Without INPUT, the list consists of the archive and what the kernel has. INPUT can be a list of
/// any kernel: binary, in ASCII, or compressed.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Lists or segments, in order, which together are one list; - is standard input
    #[arg(value_name = "INPUT", conflicts_with_all = ["archive", "host", "log_id", "no_live", "ima"])]
    input: Vec<PathBuf>,

    #[command(flatten)]
    view: ViewOption,

    /// The bank of the template digests that are written
    #[arg(long, default_value = "sha1", value_parser = bank)]
    bank: Bank,

    /// Write lines of text instead of the binary list
    #[arg(long)]
    ascii: bool,

    /// Start with this record, counted from 0 at cold boot, or in INPUT
    #[arg(long, value_name = "RECORD", default_value_t = 0)]
    from: u64,

    /// Write only what the archive has
    #[arg(long)]
    no_live: bool,

    #[command(flatten)]
    archive: ArchiveOption,

    #[command(flatten)]
    kernel: KernelOption,
}

fn bank(name: &str) -> Result<Bank, String> {
    let known = || Bank::ALL.map(Bank::name).join(", ");
    Bank::from_name(name).ok_or_else(|| format!("no such bank; the known banks are {}", known()))
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<Code> {
    // without the buffer of lines that `io::stdout` has
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    let stdout = stdout.map_err(|error| Error::io("write", "standard output", error))?;
    let mut out = Output::new(File::from(stdout));
    match write(arguments, &mut out) {
        Err(_) if out.closed => Ok(Code::Verified),
        result => result.map(|()| Code::Verified),
    }
}

fn write(arguments: &Arguments, out: &mut Output<impl Write>) -> Result<()> {
    let format = match arguments.ascii {
        true => Format::Ascii,
        false => Format::Binary,
    };
    let view = View {
        format,
        bank: arguments.bank,
    };
    let Arguments { input, from, .. } = arguments;
    let progress = ProgressBar::hidden();
    let mut convert = |evidence| convert::convert(evidence, arguments.view, view, *from, out);
    if !input.is_empty() {
        let pipes = Pipes::read_once();
        return convert(Evidence::files(input, true, &progress, &pipes));
    }
    if arguments.view.is_given() {
        let text = "--view and --byte-order describe INPUT, but there is none";
        return Err(Failure::usage(text));
    }
    let kernel = match arguments.no_live {
        true => None,
        false => match arguments.kernel.open() {
            Ok(kernel) => Some(kernel),
            // nothing can be freed there, so that this is the whole list
            Err(error) if lacks_checkpoints(&error) && !arguments.archive.is_chosen() => {
                return convert(Evidence::live(&arguments.kernel.ima, &progress)?);
            }
            Err(error) => return Err(error.during("--no-live shows the archive alone").into()),
        },
    };
    let (log, kernel) = choose(&arguments.archive, kernel)?;
    let whole = FullList::assemble_from(log.as_ref(), kernel.as_ref(), *from)?;
    copy(&whole, view, *from, out)
}

/// Is there a kernel with IMA, and without checkpoints?
fn lacks_checkpoints(error: &Error) -> bool {
    use kernel::Error::Unsupported;
    matches!(error, Error::Kernel(Unsupported { has_ima: true, .. }))
}

/// The log in the archive that is asked for, and the kernel if it has the same one.
fn choose(
    archive: &ArchiveOption,
    kernel: Option<Kernel>,
) -> Result<(Option<Log>, Option<Kernel>)> {
    let wanted = archive.log_id.as_deref();
    if let Some(kernel) = kernel {
        let live = kernel.status()?.log_id().to_owned();
        if wanted.is_none_or(|wanted| wanted == live) {
            return Ok((find(archive, &live)?, Some(kernel)));
        }
    }
    let log = Archive::open(&archive.archive)?.log(archive.host.as_deref(), wanted)?;
    Ok((Some(log), None))
}

/// A log in the archive, if there is one: what the kernel has needs no archive.
pub(super) fn find(archive: &ArchiveOption, log_id: &str) -> error::Result<Option<Log>> {
    let found = Archive::open(&archive.archive)
        .and_then(|found| found.log(archive.host.as_deref(), Some(log_id)));
    match found {
        Ok(log) => Ok(Some(log)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}

fn copy(whole: &FullList<'_>, view: View, from: u64, out: &mut Output<impl Write>) -> Result<()> {
    let end = whole.parts().last().map_or(0, Part::end);
    if from > end {
        return Err(beyond(from, end));
    }
    for part in whole.parts() {
        if view == View::KEPT && part.first >= from {
            copy_bytes(whole, part, out)?;
        } else {
            copy_records(whole, part, view, from, out)?;
        }
    }
    Ok(())
}

fn beyond(from: u64, end: u64) -> Failure {
    Failure::usage(format!(
        "--from {from}: the log has only {end} records so far"
    ))
}

/// Copies a segment as it stands.
fn copy_bytes(whole: &FullList<'_>, part: &Part, out: &mut Output<impl Write>) -> Result<()> {
    let mut source = whole.bytes(part)?;
    let mut buffer = vec![0; BUFFER];
    let mut copied = 0;
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => return complete(part, part.offset + part.bytes, part.offset + copied, "byte"),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(part.unreadable(error).into()),
        };
        copied += read as u64;
        out.write(buffer.get(..read).unwrap_or_default())?;
    }
}

/// Copies what a view shows of a segment from record `from` on.
fn copy_records(
    whole: &FullList<'_>,
    part: &Part,
    view: View,
    from: u64,
    out: &mut Output<impl Write>,
) -> Result<()> {
    let mut records = whole.records(part)?;
    let mut shown = Vec::with_capacity(BUFFER);
    let during = || format!("segment {}", part.seq);
    while let Some(entry) = records
        .next()
        .map_err(|fault| Error::from(fault).during(during()))?
    {
        if entry.at.record >= from {
            view.render(&entry.record, entry.raw, &mut shown);
        }
        if shown.len() >= BUFFER / 2 {
            out.write(&shown)?;
            shown.clear();
        }
    }
    out.write(&shown)?;
    complete(part, part.end(), records.position().record, "record")
}

/// The active segment may have more by now; none may have less.
fn complete(part: &Part, wanted: u64, end: u64, unit: &'static str) -> Result<()> {
    if end == wanted || end > wanted && !part.sealed {
        return Ok(());
    }
    Err(full_list::Error::Ends {
        seq: part.seq,
        unit,
        at: end,
        wanted,
    }
    .into())
}

/// Standard output, which whoever reads it may close.
struct Output<W> {
    to: W,
    closed: bool,
}

impl<W: Write> Output<W> {
    fn new(to: W) -> Self {
        Self { to, closed: false }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.to.write_all(bytes).map_err(|error| {
            self.closed |= error.kind() == io::ErrorKind::BrokenPipe;
            Error::io("write", "standard output", error).into()
        })
    }
}
