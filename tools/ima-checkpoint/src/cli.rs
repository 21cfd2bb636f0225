// SPDX-License-Identifier: GPL-2.0

//! The command line. Manual pages and shell completion are made from it.

use crate::{
    archive::Archive,
    bank::Bank,
    commands::{
        self, archive, cat, checkpoint, endorse, exit::Code, failure::Failure, fsck, generate,
        inspect, mount, reindex, report, status, truncate, verify,
    },
    error,
    evidence::{Evidence, Pipes},
    full_list::FullList,
    kernel::{Kernel, IMA},
    open_files::Readers,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use ima_checkpoint_format::ByteOrder;
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};

/// Archive, verify and restore the IMA measurement list of a kernel with checkpoints.
#[derive(Clone, Debug, Parser)]
#[command(name = "ima-checkpoint", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    Status(status::Arguments),
    Checkpoint(checkpoint::Arguments),
    Truncate(truncate::Arguments),
    Archive(archive::Arguments),
    Fsck(fsck::Arguments),
    Reindex(reindex::Arguments),
    Verify(Box<verify::Arguments>),
    Endorse(Box<endorse::Arguments>),
    Report(Box<report::Arguments>),
    Inspect(inspect::Arguments),
    Cat(cat::Arguments),
    Mount(mount::Arguments),
    Generate(generate::Arguments),
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    ///
    /// What kept the command from giving a result.
    pub fn run(self) -> commands::Result<Code> {
        match self.command {
            Command::Status(arguments) => status::run(&arguments),
            Command::Checkpoint(arguments) => checkpoint::run(&arguments),
            Command::Truncate(arguments) => truncate::run(&arguments),
            Command::Archive(arguments) => archive::run(&arguments),
            Command::Fsck(arguments) => fsck::run(&arguments),
            Command::Reindex(arguments) => reindex::run(&arguments),
            Command::Verify(arguments) => verify::run(&arguments),
            Command::Endorse(arguments) => endorse::run(&arguments),
            Command::Report(arguments) => report::run(&arguments),
            Command::Inspect(arguments) => inspect::run(&arguments),
            Command::Cat(arguments) => cat::run(&arguments),
            Command::Mount(arguments) => mount::run(&arguments),
            Command::Generate(arguments) => generate::run(&arguments),
        }
    }
}

/// Which kernel a command talks to.
#[derive(Args, Clone, Debug)]
pub struct KernelOption {
    /// The directory with IMA's files
    #[arg(long, value_name = "DIR", default_value = IMA)]
    pub ima: PathBuf,
}

impl KernelOption {
    /// The kernel.
    ///
    /// # Errors
    ///
    /// It has no checkpoints.
    pub fn open(&self) -> error::Result<Kernel> {
        Kernel::open(&self.ima)
    }
}

/// Whether programs that read the kernel's list are waited for.
#[derive(Args, Clone, Copy, Debug)]
pub struct ReadersOption {
    /// Truncate even if a program has the kernel's list files open
    #[arg(long)]
    force: bool,
}

impl From<ReadersOption> for Readers {
    fn from(option: ReadersOption) -> Self {
        match option.force {
            true => Self::Ignore,
            false => Self::Wait,
        }
    }
}
/// Where the archive is, unless somebody says otherwise.
const ARCHIVE: &str = "/var/lib/ima-checkpoint";

/// Which log of which archive a command uses.
#[derive(Args, Clone, Debug)]
pub struct ArchiveOption {
    /// The archive: a directory, or a store such as s3://BUCKET/PREFIX
    #[arg(long, value_name = "DIR|URL", default_value = ARCHIVE)]
    pub archive: PathBuf,

    /// The host in the archive [default: the name of this host]
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,

    /// The log of that host [default: the one that the kernel has, or the only one]
    #[arg(long, value_name = "ID")]
    pub log_id: Option<String>,
}

impl ArchiveOption {
    /// Whether an archive, or a log in it, was named.
    pub(crate) fn is_chosen(&self) -> bool {
        self.host.is_some() || self.log_id.is_some() || self.archive.as_path() != Path::new(ARCHIVE)
    }
}

/// The list that a command reads.
#[derive(Args, Clone, Debug)]
pub struct SourceOption {
    /// Lists or segments, in order, which together are one list; - is standard input
    #[arg(value_name = "INPUT")]
    pub input: Vec<PathBuf>,

    /// Read a log of this archive: a directory, or a store such as s3://BUCKET/PREFIX
    #[arg(long, value_name = "DIR|URL", conflicts_with = "input")]
    pub archive: Option<PathBuf>,

    /// The host in the archive [default: the name of this host, or the only one]
    #[arg(long, value_name = "NAME", requires = "archive")]
    pub host: Option<String>,

    /// The log of that host [default: the one that the kernel has, or the only one]
    #[arg(long, value_name = "ID", requires = "archive")]
    pub log_id: Option<String>,

    /// Read the list of the running kernel, after what the archive has
    #[arg(long, conflicts_with = "input")]
    pub live: bool,

    /// The kernel
    #[command(flatten)]
    pub kernel: KernelOption,
}

impl SourceOption {
    /// The host whose log it is, if that is known.
    ///
    /// # Errors
    ///
    /// There is no such log in the archive.
    pub(crate) fn log_host(&self) -> commands::Result<Option<String>> {
        let Some(dir) = &self.archive else {
            return Ok(crate::archive::here().filter(|_| self.live));
        };
        let log = Archive::open(dir)?.log(self.host.as_deref(), self.log_id.as_deref())?;
        Ok(Some(log.name().host.clone()))
    }

    /// Hands the list to `read`. `seals` tells that there are checkpoints in it.
    ///
    /// # Errors
    ///
    /// There is no such list, it cannot be opened, or what `read` says.
    pub(crate) fn read<T>(
        &self,
        seals: bool,
        progress: &ProgressBar,
        pipes: &Pipes,
        read: impl FnOnce(Evidence<'_>) -> commands::Result<T>,
    ) -> commands::Result<T> {
        let Some(dir) = &self.archive else {
            if self.live {
                return read(Evidence::live(&self.kernel.ima, progress)?);
            }
            if self.input.is_empty() {
                let text = "no list was given: name lists or segments, or use --archive or --live";
                return Err(Failure::usage(text));
            }
            return read(Evidence::files(&self.input, seals, progress, pipes));
        };
        let log = Archive::open(dir)?.log(self.host.as_deref(), self.log_id.as_deref())?;
        if !self.live {
            return read(Evidence::archived(&log, progress)?);
        }
        let kernel = self.kernel.open()?;
        match FullList::assemble(Some(&log), Some(&kernel)) {
            Err(error) if Code::from(&error) == Code::Missing => {
                read(Evidence::torn(&log, &kernel, progress)?)
            }
            whole => read(Evidence::whole(whole?, &log, progress)?),
        }
    }
}

/// How the lists that a command reads are written.
#[derive(Args, Clone, Copy, Debug)]
pub struct ViewOption {
    /// The bank of the template digests in the input [default: detected]
    #[arg(long, value_name = "BANK", value_parser = bank)]
    pub view: Option<Bank>,

    /// The byte order of the input [default: detected]
    #[arg(long, value_name = "ORDER")]
    pub byte_order: Option<Order>,
}

impl ViewOption {
    /// Does it say anything?
    pub(crate) fn is_given(self) -> bool {
        self.view.is_some() || self.byte_order.is_some()
    }
}

/// A byte order on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Order {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl From<Order> for ByteOrder {
    fn from(order: Order) -> Self {
        match order {
            Order::Little => Self::Little,
            Order::Big => Self::Big,
        }
    }
}

/// A bank on the command line.
///
/// # Errors
///
/// No bank has that name.
pub fn bank(name: &str) -> Result<Bank, String> {
    let names = Bank::ALL.map(Bank::name).join(", ");
    Bank::from_name(name).ok_or_else(|| format!("the known banks are {names}"))
}
