// SPDX-License-Identifier: GPL-2.0

//! `verify`: is this log what the TPM saw?

use super::{exit::Code, failure::Failure, print, print_json, Result};
use crate::{
    bank::{Bank, Digest},
    cli::SourceOption,
    error::Error,
    escape::Escaped,
    evidence,
    evidence::{
        files,
        tpm::{self, TPM},
        trust, Evidence, Pipes,
    },
    quote::{self, AttestationKey, KeyName, Nonce, PcrValue, PcrValues, Quote, TrustedKeys},
    replay::{Register, Values},
};
use clap::{ArgGroup, Args, ValueEnum};
use ima_checkpoint_format::ByteOrder;
use ima_log::{
    eventlog::{self, EventLog},
    report::{text, Json},
    verify::{
        self, contents,
        finding::{Finding, Kind},
        policy::{Anchor, Contents, Policy, Told},
        verdict::Verdict,
        verify, Layouts,
    },
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    borrow::Cow,
    collections::BTreeSet,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    str::FromStr,
    thread,
};

/// Verify a log: replay it, check every checkpoint, and compare the result with what the PCRs held
///
/// The exit code is 0 if the log is complete from a trusted start and the PCRs prove it, 1 if it
/// was tampered with or does not match, 3 if it is consistent but was not compared with a PCR, and
/// 5 if a part of it is missing. Nothing that a list says about itself is a trusted start.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("signer").args(["key", "trust"]).multiple(true))]
pub struct Arguments {
    #[command(flatten)]
    source: SourceOption,

    /// The bank of the template digests in the list [default: detected]
    #[arg(long, value_name = "BANK", value_parser = bank)]
    view: Option<Bank>,

    /// The byte order of the list [default: detected]
    #[arg(long, value_name = "ORDER")]
    byte_order: Option<Order>,

    /// What a PCR held before the first record: sha256:10=00ff...
    #[arg(long, value_name = "BANK:PCR=HEX")]
    base: Vec<PcrValue>,

    /// What a PCR held at the end of the list or earlier: sha256:10=00ff...
    #[arg(long, value_name = "BANK:PCR=HEX")]
    pcr: Vec<PcrValue>,

    /// What many PCRs held, in a file as tpm2_pcrread or evmctl write it
    #[arg(long, value_name = "[BANK,]FILE")]
    pcrs: Vec<PcrFile>,

    /// Compare with all PCRs of this host's TPM
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true,
        default_missing_value = TPM)]
    tpm: Option<PathBuf>,

    /// The firmware's event log: binary_bios_measurements, as the kernel shows it
    ///
    /// It says what PCRs held before IMA used them, and explains those that IMA does not use. Its
    /// replay is compared with what PCRs 0 to 9 held.
    #[arg(long, value_name = "FILE")]
    event_log: Option<PathBuf>,

    /// The message of a quote, as tpm2_quote writes it. Give the values of quoted PCRs that the
    /// list does not use with --pcrs or --pcr
    #[arg(long, value_name = "MESSAGE", requires = "signature", requires = "key")]
    quote: Option<PathBuf>,

    /// The signature of the quote
    #[arg(long, value_name = "FILE", requires = "quote")]
    signature: Option<PathBuf>,

    /// The public key that quotes are signed with: TPM2B_PUBLIC or PEM
    ///
    /// That of --quote, and those that are in the log.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// A directory of public keys in TPMs whose quotes in the log count: TPM2B_PUBLIC
    ///
    /// A quote is looked up by the TPM Name of its key, whatever the files are called. Hidden files
    /// are left out.
    #[arg(long, value_name = "DIR")]
    trust: Option<PathBuf>,

    /// The TPM Name that this key must have, as tpm2_readpublic shows it
    ///
    /// Without it, nothing says that the key is in a TPM: a program can write a TPM2B_PUBLIC of its
    /// own key with the same attributes.
    #[arg(long, value_name = "HEX", requires = "key")]
    key_name: Option<KeyName>,

    /// The nonce that the quote must contain
    ///
    /// Without --quote, a quote in the log must be over a checkpoint whose label it is, as
    /// `checkpoint --quote --nonce` makes it.
    #[arg(long, value_name = "HEX", requires = "signer")]
    nonce: Option<Nonce>,

    /// The PCR that IMA extends by default: CONFIG_IMA_MEASURE_PCR_IDX of the kernel
    #[arg(long, value_name = "PCR", default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(..24))]
    default_pcr: u32,

    /// Accept a broken segment: its number, and the digest of the checkpoint that follows it
    ///
    /// What is proven then starts with that checkpoint. The finding `broken` says what to write.
    #[arg(long, value_name = "SEQ:DIGEST")]
    accept_break: Vec<Pin>,

    /// Accept the checkpoint that the list starts with: its number, and the digest of its buffer
    ///
    /// The finding `start` says what to write. The digest is also in `segments` in securityfs.
    #[arg(long, value_name = "SEQ:DIGEST")]
    accept_start: Option<Pin>,

    /// Let sha1, and banks that are extended with SHA-1 digests, count as proof
    #[arg(long)]
    allow_weak_bank: bool,

    /// The number of threads [default: one for each processor]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Print nothing; the exit code tells the result
    #[arg(long, conflicts_with = "json")]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Order {
    Little,
    Big,
}

fn bank(name: &str) -> std::result::Result<Bank, String> {
    let names = || Bank::ALL.map(Bank::name).join(", ");
    Bank::from_name(name).ok_or_else(|| format!("no such bank; the known banks are {}", names()))
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

/// A checkpoint that is meant, and no other.
#[derive(Clone, Copy, Debug)]
struct Pin {
    seq: u64,
    digest: Digest,
}

impl FromStr for Pin {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let parts = || {
            let (seq, digest) = text.split_once(':')?;
            let digest = Digest::from_hex(digest)?;
            let seq = seq.parse().ok()?;
            (digest.as_bytes().len() == 32).then_some(Self { seq, digest })
        };
        parts().ok_or(
            "expected SEQ:DIGEST, a number and 64 hexadecimal digits, as the finding shows it: a \
             number alone would accept any checkpoint that somebody gives this number",
        )
    }
}

/// How often the live list is read again because it was truncated meanwhile.
const ATTEMPTS: usize = 10;

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<Code> {
    // before the list: then the list has all that the TPM has
    let policy = policy(arguments)?;
    let mut left = ATTEMPTS;
    let verdict = loop {
        match settle(arguments, &policy) {
            Err(error) if arguments.source.live && Code::from(&error) == Code::Stale => {
                if left == 0 {
                    return Err(Failure::Restless(Box::new(error)));
                }
                left -= 1;
            }
            verdict => break verdict?,
        }
    };
    if arguments.json {
        print_json(&Json::new(&verdict, |outcome| Code::from(outcome) as u8))?;
    } else if !arguments.quiet {
        print(&text(&verdict))?;
    }
    Ok(verdict.outcome().into())
}

/// Finds out what the kernel extends, unless a list can only be read once.
fn settle(arguments: &Arguments, policy: &Policy) -> Result<Verdict> {
    let pipes = Pipes::kept();
    let mut first = judge(arguments, policy, &pipes)?;
    if pipes.is_lost() {
        if contents::is_worth_settling(&first) {
            let text = "the kernel may extend SHA-1 digests into other banks, as old kernels do. \
                        To find this out, the list must be read again, and there was no room to \
                        keep what came through the pipe: give the list as a file, or set TMPDIR \
                        to a directory with room";
            first.find(Finding::new(Kind::PaddedBank, text));
        }
        return Ok(first);
    }
    let mut first = Some(first);
    contents::settle(policy, |policy| match first.take() {
        Some(verdict) => Ok(verdict),
        None => judge(arguments, policy, &pipes),
    })
}

/// Verifies the list; once more for banks that turn out to be quoted in it.
fn judge(arguments: &Arguments, policy: &Policy, pipes: &Pipes) -> Result<Verdict> {
    let mut policy = Cow::Borrowed(policy);
    loop {
        match judge_banks(arguments, &policy, pipes) {
            Err(Failure::Program(Error::Verify(verify::Error::BanksNeeded(banks))))
                if !pipes.is_lost() && !banks.is_subset(&policy.banks) =>
            {
                policy.to_mut().banks.extend(banks);
            }
            verdict => return verdict,
        }
    }
}

fn judge_banks(arguments: &Arguments, policy: &Policy, pipes: &Pipes) -> Result<Verdict> {
    let progress = progress(arguments.quiet);
    let judge = |seals| {
        let source = &arguments.source;
        source.read(seals, &progress, pipes, |evidence| {
            judge_evidence(arguments, evidence, policy)
        })
    };
    let verdict = match judge(false) {
        // nothing of the first reading is used
        Err(Failure::Program(Error::Verify(verify::Error::Unsealed { .. }))) => judge(true),
        verdict => verdict,
    };
    progress.finish_and_clear();
    verdict
}

fn layouts(arguments: &Arguments) -> Layouts {
    Layouts {
        view: arguments.view,
        order: arguments.byte_order.map(|order| match order {
            Order::Little => ByteOrder::Little,
            Order::Big => ByteOrder::Big,
        }),
    }
}

fn judge_evidence(
    arguments: &Arguments,
    evidence: Evidence<'_>,
    policy: &Policy,
) -> Result<Verdict> {
    let mut verdict = verify(evidence.inputs, policy, layouts(arguments))?;
    for (seq, path) in evidence.forks.iter() {
        let file = Escaped::path(&path);
        let text = format!(
            "the archive has a different segment {seq} in {file}: find out which one is true"
        );
        verdict.find(Finding {
            segment: Some(seq),
            ..Finding::new(Kind::Fork, text)
        });
    }
    Ok(verdict)
}

fn policy(arguments: &Arguments) -> Result<Policy> {
    let mut base = Values::new();
    for pair in &arguments.base {
        add(&mut base, pair.register, pair.value)?;
    }
    let breaks = arguments.accept_break.iter();
    let told = anchor(arguments)?;
    Ok(Policy {
        default_pcr: arguments.default_pcr,
        base,
        firmware: match &arguments.event_log {
            Some(path) => firmware(path)?,
            None => Values::new(),
        },
        keys: keys(arguments)?,
        nonce: match arguments.quote {
            Some(_) => None,
            None => arguments.nonce.clone(),
        },
        banks: BTreeSet::new(),
        anchor: told,
        breaks: breaks.map(|pin| (pin.seq, pin.digest)).collect(),
        start: arguments.accept_start.map(|pin| (pin.seq, pin.digest)),
        allow_weak_bank: arguments.allow_weak_bank,
        contents: Contents::new(),
        jobs: match arguments.jobs {
            Some(jobs) => jobs.get(),
            None => thread::available_parallelism().map_or(1, NonZeroUsize::get),
        },
    })
}

/// What each PCR held when the firmware's event log ended.
fn firmware(path: &Path) -> Result<Values> {
    let bytes = files::read_up_to(path, eventlog::MAX_SIZE as u64)?;
    let log = EventLog::parse(&bytes).map_err(|error| {
        let path = path.to_owned();
        evidence::Error::EventLog { path, error }
    })?;
    let registers = log
        .banks()
        .into_iter()
        .flat_map(|bank| (0..eventlog::PCRS).map(move |pcr| Register { pcr, bank }));
    let known = registers.filter_map(|register| Some((register, log.start(register)?)));
    Ok(known.collect())
}

/// What the PCRs held. What is said twice must be the same.
fn anchor(arguments: &Arguments) -> Result<Anchor> {
    let told = quote(arguments)?;
    let quote = match &told {
        Told::Quote(quote) => Some(quote),
        _ => None,
    };
    let mut values = Values::new();
    for pair in &arguments.pcr {
        add(&mut values, pair.register, pair.value)?;
    }
    for PcrFile { bank, path } in &arguments.pcrs {
        let selection = quote
            .iter()
            .flat_map(|quote| quote.attest.selection.clone());
        let selection: Vec<_> = selection.collect();
        let parsed = PcrValues::parse(&files::read(path)?, *bank, &selection);
        let parsed = parsed.map_err(|error| Error::from(error).during(Escaped::path(path)))?;
        for pair in parsed.iter() {
            add(&mut values, pair.register, pair.value)?;
        }
    }
    if let Some(folder) = &arguments.tpm {
        for (register, value) in tpm::values(folder)? {
            add(&mut values, register, value)?;
        }
    }
    Ok(Anchor {
        told,
        values,
        demanded: arguments.pcr.iter().map(|pair| pair.register).collect(),
    })
}

/// Adds what a PCR held. Nothing tells which of two values is true.
fn add(values: &mut Values, register: Register, value: Digest) -> Result<()> {
    match values.insert(register, value) {
        Some(other) if other != value => Err(Failure::usage(format!(
            "there are two values for {register}, {other} and {value}: give only the one that it \
             held"
        ))),
        _ => Ok(()),
    }
}

fn quote(arguments: &Arguments) -> Result<Told> {
    let files = arguments.quote.as_ref().zip(arguments.signature.as_ref());
    let Some(((message, signature), key)) = files.zip(arguments.key.as_ref()) else {
        return Ok(Told::Values);
    };
    let mut parsed = AttestationKey::parse(&files::read(key)?);
    if let Some(name) = &arguments.key_name {
        parsed = parsed.and_then(|parsed| parsed.expect_name(name));
    }
    let (message_bytes, signature) = (files::read(message)?, files::read(signature)?);
    let quote = match &parsed {
        Ok(key) => Quote::verify(
            &message_bytes,
            &signature,
            key,
            arguments.nonce.as_ref(),
            arguments.allow_weak_bank,
        ),
        Err(error) => Err(error.clone()),
    };
    match quote {
        Ok(quote) => Ok(Told::Quote(quote)),
        // no verdict on a quote, but an error of whoever gave the file
        Err(error @ (quote::Error::NotAKey(_) | quote::Error::NoKeyName { .. })) => {
            Err(Error::from(error).during(Escaped::path(key)).into())
        }
        // what is wrong with the list is said all the same
        Err(error) => Ok(Told::Refused(error)),
    }
}

/// The keys whose quotes count that are in the log.
fn keys(arguments: &Arguments) -> Result<TrustedKeys> {
    let mut keys = match &arguments.trust {
        Some(folder) => trust::keys(folder)?,
        None => TrustedKeys::default(),
    };
    if let Some(path) = &arguments.key {
        let key = AttestationKey::parse(&files::read(path)?);
        let key = match &arguments.key_name {
            Some(name) => key.and_then(|key| key.expect_name(name)),
            None => key,
        };
        match key {
            Ok(key) => keys.add(key),
            // said of the quote that was given
            Err(_) if arguments.quote.is_some() => (),
            Err(error) => return Err(Error::from(error).during(Escaped::path(path)).into()),
        }
    }
    Ok(keys)
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
