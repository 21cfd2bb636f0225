// SPDX-License-Identifier: GPL-2.0

//! `verify`: is this log what the TPM saw?

use super::{
    print,
    print_json, //
};
use crate::{
    bank::{
        Bank,
        Digest, //
    },
    chain::Trust,
    cli::KernelOption,
    outcome::{
        Code,
        Error,
        Result, //
    },
    replay::Register,
    verify::{
        anchor::Anchor,
        pieces::Told,
        report::{
            self,
            Json, //
        },
        source::Source,
        verify,
        Options, //
    },
};
use clap::{
    Args,
    ValueEnum, //
};
use ima_checkpoint_format::ByteOrder;
use indicatif::{
    ProgressBar,
    ProgressDrawTarget,
    ProgressStyle, //
};
use std::{
    num::NonZeroUsize,
    path::PathBuf,
    str::FromStr,
    thread, //
};

/// Verify a log: replay it, check every checkpoint, and compare with what the PCRs held
///
/// Ends with 0 if the log is complete from a trusted start and the PCRs prove it, 1 if it was
/// tampered with or does not match, 3 if it agrees with itself but was compared with no PCR, 5 if a
/// part of it is missing.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Lists or segments in order, which are one list; - is standard input
    #[arg(value_name = "INPUT")]
    input: Vec<PathBuf>,

    /// The bank of the list's template digests [default: what fits]
    #[arg(long, value_name = "BANK", value_parser = bank)]
    view: Option<Bank>,

    /// The byte order of the list [default: what fits]
    #[arg(long, value_name = "ORDER")]
    byte_order: Option<Order>,

    /// What a PCR held before the first record: sha256:10=00ff...
    #[arg(long, value_name = "BANK:PCR=HEX")]
    base: Vec<PcrValue>,

    /// What a PCR held at the end of the list, or earlier
    #[arg(long, value_name = "BANK:PCR=HEX")]
    pcr: Vec<PcrValue>,

    /// A segment that may be broken
    #[arg(long, value_name = "SEQ")]
    accept_break: Vec<u64>,

    /// Accept a list that starts with a checkpoint that nobody vouches for
    #[arg(long)]
    accept_truncated: bool,

    /// Let sha1, and banks that are extended with SHA-1 digests, prove something
    #[arg(long)]
    allow_weak_bank: bool,

    /// Segments that are examined at the same time [default: one for each processor]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Print nothing: only the exit code tells
    #[arg(long, conflicts_with = "json")]
    quiet: bool,

    #[command(flatten)]
    kernel: KernelOption,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Order {
    Little,
    Big,
}

fn bank(name: &str) -> std::result::Result<Bank, String> {
    let names = || Bank::ALL.map(Bank::name).join(", ");
    Bank::from_name(name).ok_or_else(|| format!("no such bank; there are {}", names()))
}

/// `BANK:PCR=HEX`
#[derive(Clone, Copy, Debug)]
struct PcrValue {
    register: Register,
    value: Digest,
}

impl FromStr for PcrValue {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parts = || {
            let (place, value) = text.split_once('=')?;
            let (bank, pcr) = place.split_once(':')?;
            Some((bank, pcr.parse().ok()?, value))
        };
        let (name, pcr, value) = parts().ok_or("write BANK:PCR=HEX, as in sha256:10=00ff...")?;
        let bank = bank(name)?;
        let value = Digest::from_hex(value).filter(|value| value.as_bytes().len() == bank.size());
        let wrong = || {
            format!(
                "a value of {bank} has {} hexadecimal digits",
                2 * bank.size()
            )
        };
        let register = Register { pcr, bank };
        Ok(Self {
            register,
            value: value.ok_or_else(wrong)?,
        })
    }
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<Code> {
    if arguments.input.is_empty() {
        return Err(Error::usage(
            "what is to be verified? Name lists or segments",
        ));
    }
    let sources = arguments.input.iter().map(|path| Source::open(path));
    let sources = sources.collect::<Result<Vec<_>>>()?;
    let verdict = verify(sources, &options(arguments)?, &progress(arguments.quiet))?;
    if arguments.json {
        print_json(&Json::new(&verdict))?;
    } else if !arguments.quiet {
        print(&report::text(&verdict))?;
    }
    Ok(verdict.code())
}

fn options(arguments: &Arguments) -> Result<Options> {
    let pairs = |values: &[PcrValue]| {
        let pairs = values.iter().map(|pair| (pair.register, pair.value));
        pairs.collect()
    };
    let values = pairs(&arguments.pcr);
    let one = NonZeroUsize::MIN;
    Ok(Options {
        told: Told {
            view: arguments.view,
            order: arguments.byte_order.map(|order| match order {
                Order::Little => ByteOrder::Little,
                Order::Big => ByteOrder::Big,
            }),
        },
        trust: Trust {
            base: pairs(&arguments.base),
            breaks: arguments.accept_break.iter().copied().collect(),
        },
        anchor: Anchor {
            demanded: arguments.pcr.iter().map(|pair| pair.register).collect(),
            values,
            quote: None,
        },
        accept_truncated: arguments.accept_truncated,
        allow_weak_bank: arguments.allow_weak_bank,
        jobs: arguments
            .jobs
            .unwrap_or_else(|| thread::available_parallelism().unwrap_or(one)),
    })
}

/// A bar on standard error, if that is a terminal.
fn progress(quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(5));
    let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left");
    style.map_or_else(|_| ProgressBar::hidden(), |style| bar.with_style(style))
}
