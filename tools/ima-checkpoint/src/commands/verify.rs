// SPDX-License-Identifier: GPL-2.0

//! `verify`: is this log what the TPM saw?

use super::{
    print,
    print_json, //
};
use crate::{
    archive::Archive,
    bank::{
        Bank,
        Digest, //
    },
    chain::Trust,
    cli::KernelOption,
    escape::Escaped,
    outcome::{
        Code,
        Error,
        Result, //
    },
    quote::{
        self,
        pcrs::PcrValues,
        AttestationKey,
        Quote, //
    },
    replay::{
        Register,
        Values, //
    },
    verify::{
        anchor::Anchor,
        gather::{
            self,
            Evidence,
            TPM, //
        },
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

    /// Verify a log of this archive
    #[arg(long, value_name = "DIR", conflicts_with = "input")]
    archive: Option<PathBuf>,

    /// The host in the archive [default: the name of this host, or the only one]
    #[arg(long, value_name = "NAME", requires = "archive")]
    host: Option<String>,

    /// The log of that host [default: the one that the kernel has, or the only one]
    #[arg(long, value_name = "ID", requires = "archive")]
    log_id: Option<String>,

    /// Verify the list of the running kernel, behind what the archive has
    #[arg(long, conflicts_with = "input")]
    live: bool,

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

    /// The same for many PCRs, in a file as tpm2_pcrread or evmctl write it
    #[arg(long, value_name = "[BANK,]FILE")]
    pcrs: Vec<PcrFile>,

    /// The same for all PCRs of the TPM of this host
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true,
        default_missing_value = TPM)]
    tpm: Option<PathBuf>,

    /// A quote's message, as tpm2_quote writes it. The PCRs that the list does not use must be
    /// given by --pcrs or --pcr
    #[arg(long, value_name = "MESSAGE", requires = "signature", requires = "key")]
    quote: Option<PathBuf>,

    /// The quote's signature
    #[arg(long, value_name = "FILE", requires = "quote")]
    signature: Option<PathBuf>,

    /// The public key that signed the quote: PEM, or TPM2B_PUBLIC
    #[arg(long, value_name = "FILE", requires = "quote")]
    key: Option<PathBuf>,

    /// What the quote was asked to contain
    #[arg(long, value_name = "HEX", requires = "quote", value_parser = nonce)]
    nonce: Option<Digest>,

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

/// `[BANK,]FILE`
#[derive(Clone, Debug)]
struct PcrFile {
    bank: Option<Bank>,
    path: PathBuf,
}

impl FromStr for PcrFile {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (bank, path) = match text.split_once(',') {
            Some((name, path)) => (Some(bank(name)?), path),
            None => (None, text),
        };
        let path = path.into();
        Ok(Self { bank, path })
    }
}

/// The TPM takes at most 64 bytes.
fn nonce(digits: &str) -> std::result::Result<Digest, String> {
    Digest::from_hex(digits).ok_or_else(|| "write at most 64 bytes in hexadecimal digits".into())
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<Code> {
    // before the list: then the list has all that the TPM has
    let options = options(arguments)?;
    let evidence = evidence(arguments)?;
    let verdict = verify(evidence, &options, &progress(arguments.quiet))?;
    if arguments.json {
        print_json(&Json::new(&verdict))?;
    } else if !arguments.quiet {
        print(&report::text(&verdict))?;
    }
    Ok(verdict.code())
}

fn evidence(arguments: &Arguments) -> Result<Evidence> {
    let ima = &arguments.kernel.ima;
    if let Some(dir) = &arguments.archive {
        let archive = Archive::open(dir)?;
        let log = archive.log(arguments.host.as_deref(), arguments.log_id.as_deref())?;
        let kernel = match arguments.live {
            true => Some(arguments.kernel.open()?),
            false => None,
        };
        return Evidence::archived(&log, kernel.as_ref());
    }
    if arguments.live {
        return Evidence::live(ima);
    }
    if arguments.input.is_empty() {
        let text = "what is to be verified? Name lists or segments, or use --archive or --live";
        return Err(Error::usage(text));
    }
    let sources = arguments.input.iter().map(|path| Source::open(path));
    Ok(Evidence {
        sources: sources.collect::<Result<_>>()?,
        forks: Vec::new(),
    })
}

fn options(arguments: &Arguments) -> Result<Options> {
    let pairs = |values: &[PcrValue]| -> Values {
        let pairs = values.iter().map(|pair| (pair.register, pair.value));
        pairs.collect()
    };
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
        anchor: anchor(arguments)?,
        accept_truncated: arguments.accept_truncated,
        allow_weak_bank: arguments.allow_weak_bank,
        jobs: match arguments.jobs {
            Some(jobs) => jobs,
            None => thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        },
    })
}

/// What the PCRs held. What is said twice must be the same.
fn anchor(arguments: &Arguments) -> Result<Anchor> {
    let quote = match quote(arguments) {
        // what is wrong with the list is said all the same
        Err(refused) if is_about_quote(refused.code()) => {
            return Ok(Anchor {
                refused: Some(refused),
                ..Anchor::default()
            });
        }
        quote => quote?,
    };
    let mut values = Values::new();
    let mut add = |register: Register, value: Digest| match values.insert(register, value) {
        Some(other) if other != value => {
            Err(Error::usage(format!("there are two values for {register}")))
        }
        _ => Ok(()),
    };
    for pair in &arguments.pcr {
        add(pair.register, pair.value)?;
    }
    for PcrFile { bank, path } in &arguments.pcrs {
        let selection = quote
            .iter()
            .flat_map(|quote| quote.attest.selection.clone());
        let selection: Vec<_> = selection.collect();
        let parsed = PcrValues::parse(&quote::read_file(path)?, *bank, &selection);
        let parsed = parsed.map_err(|error| error.during(Escaped::path(path)))?;
        for register in registers() {
            if let Some(value) = parsed.get(register.bank, register.pcr) {
                add(register, value)?;
            }
        }
    }
    if let Some(folder) = &arguments.tpm {
        for (register, value) in gather::tpm(folder)? {
            add(register, value)?;
        }
    }
    Ok(Anchor {
        values,
        demanded: arguments.pcr.iter().map(|pair| pair.register).collect(),
        quote,
        refused: None,
    })
}

/// Was the quote read, and found to prove nothing?
fn is_about_quote(code: Code) -> bool {
    matches!(code, Code::Tampered | Code::Stale | Code::Unanchored)
}

fn registers() -> impl Iterator<Item = Register> {
    let of_bank = |bank| (0..=31).map(move |pcr| Register { pcr, bank });
    Bank::ALL.into_iter().flat_map(of_bank)
}

fn quote(arguments: &Arguments) -> Result<Option<Quote>> {
    let files = arguments.quote.as_ref().zip(arguments.signature.as_ref());
    let Some(((message, signature), key)) = files.zip(arguments.key.as_ref()) else {
        return Ok(None);
    };
    let parsed = AttestationKey::parse(&quote::read_file(key)?);
    let quote = Quote::verify(
        &quote::read_file(message)?,
        &quote::read_file(signature)?,
        &parsed.map_err(|error| error.during(Escaped::path(key)))?,
        arguments.nonce.as_ref().map(Digest::as_bytes),
        arguments.allow_weak_bank,
    );
    quote
        .map(Some)
        .map_err(|error| error.during(Escaped::path(message)))
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
