// SPDX-License-Identifier: GPL-2.0

//! `archive`: take over what is sealed, and free it in the kernel.

use super::{
    exit::{worst, Code},
    failure::Failure,
    print, Result,
};
use crate::{
    archive::{
        archiver::{dry_run, Archiver, Options},
        durable::Access,
        follow::{follow, Stop},
        here,
        notice::Notice,
        receipts::ReceiptsFrom,
        rules::{Keep, Remove},
    },
    cli::{KernelOption, ReadersOption},
    evidence::trust,
    kernel::Kernel,
    notify::{complain, Level},
    quoting::Tools,
    remote::{Location, StoreUrl},
};
use clap::Args;
use std::{cell::Cell, ffi::OsString, path::PathBuf, rc::Rc, time::Duration};

/// Archive every sealed segment that the archive lacks, then free segments in the kernel
///
/// Without any --keep option nothing is freed. A segment is freed only after it was written to the
/// disk, read back and verified.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The archive
    #[arg(long, value_name = "DIR", default_value = "/var/lib/ima-checkpoint")]
    archive: PathBuf,

    /// The name of this host in the archive [default: its own]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// Keep running. On SIGTERM: seal, archive what is left, keep the unsealed tail, and end
    #[arg(long)]
    follow: bool,

    /// Make a checkpoint this often if something is new, such as `15min` or `1h`
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "follow")]
    checkpoint_every: Option<Duration>,

    /// Have the TPM quote each checkpoint with this key: a persistent handle, or a file with its context
    ///
    /// The quotes become records of the log, as `checkpoint --quote` makes them.
    #[arg(long, value_name = "HANDLE|CONTEXT", conflicts_with = "dry_run")]
    quote_key: Option<OsString>,

    /// Keep the newest N sealed segments in the kernel
    #[arg(long, value_name = "N")]
    keep_segments: Option<u64>,

    /// Keep the newest sealed segments in the kernel that together have at most SIZE, such as 4M
    #[arg(long, value_name = "SIZE", value_parser = size)]
    keep_bytes: Option<u64>,

    /// Keep segments in the kernel that were sealed less than DURATION ago, such as `1day`
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    keep_age: Option<Duration>,

    /// Free and remove only segments that an endorsement in DIR names, as `endorse` writes it
    #[arg(long, value_name = "DIR", requires = "endorser")]
    require_ack: Option<PathBuf>,

    /// The public key of somebody whose endorsements count: P-256 or Ed25519, in PEM
    ///
    /// May be given more than once.
    #[arg(long, value_name = "KEY", requires = "require_ack")]
    endorser: Vec<PathBuf>,

    /// Copy sealed segments into this store, such as s3://BUCKET/PREFIX or file:///DIRECTORY
    ///
    /// Credentials come from the environment or the usual files, never from the command line.
    #[arg(long, value_name = "URL")]
    copy_to: Option<String>,

    /// Free and remove only segments that have a copy in the store of --copy-to
    #[arg(long, requires = "copy_to")]
    require_copy: bool,

    /// Let this group read the archive
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,

    /// Remove segments from the archive that were archived longer ago than DURATION
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    remove_age: Option<Duration>,

    /// Remove the oldest segments from the archive while this host has more than SIZE there
    #[arg(long, value_name = "SIZE", value_parser = size)]
    remove_bytes: Option<u64>,

    /// Only print what would be done, provided that nothing fails
    #[arg(long, conflicts_with = "follow")]
    dry_run: bool,

    #[command(flatten)]
    readers: ReadersOption,

    #[command(flatten)]
    kernel: KernelOption,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<Code> {
    let kernel = arguments.kernel.open()?;
    let host = arguments.host.clone().or_else(here).ok_or_else(|| {
        Failure::usage(
            "the name of this host cannot be the name of a directory: choose one with --host",
        )
    })?;
    let keep = Keep {
        segments: arguments.keep_segments,
        bytes: arguments.keep_bytes,
        age: arguments.keep_age,
    };
    let frees = keep.frees();
    let copy_to = arguments.copy_to.as_deref();
    let options = Options {
        dir: Location::parse(&arguments.archive)?.into_directory()?,
        host,
        access: Access::new(arguments.group.as_deref())?,
        keep,
        remove: Remove {
            age: arguments.remove_age,
            bytes: arguments.remove_bytes,
        },
        receipts: match &arguments.require_ack {
            Some(folder) => Some(ReceiptsFrom {
                folder: folder.clone(),
                endorsers: trust::endorsers(&arguments.endorser)?,
            }),
            None => None,
        },
        copy_to: copy_to.map(StoreUrl::parse).transpose()?,
        require_copy: arguments.require_copy,
        readers: arguments.readers.into(),
    };
    if arguments.dry_run {
        return foretell(&kernel, &options);
    }
    let watch = kernel.watch()?;
    // before the lock is taken: who has it ends in order
    let stop = arguments.follow.then(Stop::new).transpose()?;
    let code = Rc::new(Cell::new(Code::Verified));
    let seen = Rc::clone(&code);
    let say = move |notice: &Notice| {
        if let Notice::Warning(warning) = notice {
            seen.set(worst([seen.get(), warning.into()]));
        }
        say(notice);
    };
    let signer = match &arguments.quote_key {
        Some(key) => {
            kernel.takes_quotes()?;
            Some(Tools::open(key)?)
        }
        None => None,
    };
    let mut archiver = Archiver::new(kernel, options, Box::new(say))?;
    if let Some(signer) = signer {
        archiver.quote_with(Box::new(signer));
    }
    if !frees {
        print(
            "nothing is freed in the kernel without --keep-segments, --keep-bytes or --keep-age\n",
        )?;
    }
    let wait = if let Some(stop) = stop {
        follow(&mut archiver, watch, &stop, arguments.checkpoint_every)?
    } else {
        let wait = archiver.pass()?;
        let unsealed = archiver.unsealed()?;
        print(&format!(
            "{unsealed} records are not sealed; `ima-checkpoint checkpoint` seals them\n"
        ))?;
        wait
    };
    Ok(worst([code.get(), wait.into()]))
}

/// Prints the plan, a step a line.
fn foretell(kernel: &Kernel, options: &Options) -> Result<Code> {
    let mut code = Code::Verified;
    let steps = dry_run(kernel, options, |warning| {
        code = worst([code, (&warning).into()]);
        complain(Level::Warning, warning);
    })?;
    for step in &steps {
        print(&format!("would {step}\n"))?;
    }
    if steps.is_empty() {
        print("nothing to do\n")?;
    }
    Ok(code)
}

/// A line for each event: the journal reads it.
fn say(notice: &Notice) {
    match notice {
        // that nobody listens is no reason to stop archiving
        Notice::Event(text) => drop(print(&format!("{text}\n"))),
        Notice::Failed(error) => complain(Level::Warning, format!("{error}. Will retry")),
        Notice::Warning(warning) => complain(Level::Warning, warning),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map(Duration::from_secs);
    seconds
        .or_else(|_| humantime::parse_duration(text))
        .map_err(|error| format!("{error}; examples: 90s, 15min, 1day"))
}

/// Bytes, with an optional K, M, G or T for powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit = text.strip_prefix(digits).unwrap_or_default();
    let shift = match unit.trim_end_matches("iB").trim_end_matches('B') {
        "" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("expected a number of bytes, optionally with K, M, G or T".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|error| format!("{error}"))?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("4M"), Ok(4 << 20));
        assert_eq!(size("3KiB"), Ok(3 << 10));
        assert_eq!(size("7B"), Ok(7));
        for wrong in ["", "M", "1.5G", "-1", "1X", "99999999T", "+"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("15min"), Ok(Duration::from_secs(900)));
        assert!(duration("soon").is_err());
    }
}
