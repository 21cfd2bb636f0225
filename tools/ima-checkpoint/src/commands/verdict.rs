// SPDX-License-Identifier: GPL-2.0

//! A verdict on a list, for each command that needs one: the options that it follows from, and the
//! readings of the list that it takes.

mod policy;

use super::{exit::Code, failure::Failure, Result};
use crate::{
    bank::{Bank, Digest},
    cli::SourceOption,
    error::Error,
    escape::Escaped,
    evidence::{tpm::TPM, Evidence, Pipes},
    quote::{KeyName, Nonce, PcrValue},
};
use clap::{ArgGroup, Args, ValueEnum};
use ima_checkpoint_format::ByteOrder;
use ima_log::verify::{
    self, contents,
    finding::{Finding, Kind},
    policy::Policy,
    verdict::Verdict,
    verify, Layouts,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{borrow::Cow, num::NonZeroUsize, path::PathBuf, str::FromStr, time::SystemTime};

/// What a verdict follows from: the list, what the verifier knows, and what it accepts.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("signer").args(["key", "trust"]).multiple(true))]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) source: SourceOption,

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

    /// A statement that the log was verified up to a checkpoint, as `endorse` writes it
    ///
    /// The list may start with that checkpoint, or have it anywhere. May be given more than once.
    #[arg(long, value_name = "FILE", requires = "endorser")]
    endorsement: Vec<PathBuf>,

    /// The public key of somebody whose endorsements are believed: P-256 or Ed25519, in PEM
    ///
    /// May be given more than once.
    #[arg(long, value_name = "KEY", requires = "endorsement")]
    endorser: Vec<PathBuf>,

    /// Endorsements that were made before this time do not count: 2026-11-01, or 2026-11-01T12:00:00Z
    #[arg(long, value_name = "TIME", requires = "endorsement", value_parser = time)]
    not_before: Option<SystemTime>,

    /// A file of endorsements that were revoked: in each line the ID of one, as `endorse` shows it
    #[arg(long, value_name = "FILE", requires = "endorsement")]
    revoked: Option<PathBuf>,

    /// Let sha1, and banks that are extended with SHA-1 digests, count as proof
    #[arg(long)]
    allow_weak_bank: bool,

    /// The number of threads [default: one for each processor]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
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

fn time(text: &str) -> std::result::Result<SystemTime, &'static str> {
    let midnight = format!("{text}T00:00:00Z");
    let time = humantime::parse_rfc3339(text).or_else(|_| humantime::parse_rfc3339(&midnight));
    time.map_err(|_| "expected a day, or a time in UTC as in 2026-11-01T12:00:00Z")
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

impl Options {
    /// Verifies the list; nothing is written to the terminal but, unless it is to be quiet, a bar.
    ///
    /// # Errors
    ///
    /// There is no verdict: something that was named cannot be read, or is not what it should be.
    pub(super) fn verdict(&self, quiet: bool) -> Result<Verdict> {
        // before the list: then the list has all that the TPM has
        let policy = policy::policy(self)?;
        let mut left = ATTEMPTS;
        loop {
            match settle(self, &policy, quiet) {
                Err(error) if self.source.live && Code::from(&error) == Code::Stale => {
                    if left == 0 {
                        return Err(Failure::Restless(Box::new(error)));
                    }
                    left -= 1;
                }
                verdict => return verdict,
            }
        }
    }
}

impl Options {
    /// The first option that says what is true of one boot only.
    pub(super) fn of_one_boot(&self) -> Option<&'static str> {
        let given = [
            ("--base", !self.base.is_empty()),
            ("--pcr", !self.pcr.is_empty()),
            ("--pcrs", !self.pcrs.is_empty()),
            ("--tpm", self.tpm.is_some()),
            ("--event-log", self.event_log.is_some()),
            ("--quote", self.quote.is_some()),
            ("--nonce", self.nonce.is_some()),
            ("--accept-break", !self.accept_break.is_empty()),
            ("--accept-start", self.accept_start.is_some()),
        ];
        let mut given = given.into_iter();
        given.find_map(|(option, is_given)| is_given.then_some(option))
    }
}

/// Finds out what the kernel extends, unless a list can only be read once.
fn settle(options: &Options, policy: &Policy, quiet: bool) -> Result<Verdict> {
    let pipes = Pipes::kept();
    let mut first = judge(options, policy, &pipes, quiet)?;
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
        None => judge(options, policy, &pipes, quiet),
    })
}

/// Verifies the list; once more for banks that turn out to be quoted in it.
fn judge(options: &Options, policy: &Policy, pipes: &Pipes, quiet: bool) -> Result<Verdict> {
    let mut policy = Cow::Borrowed(policy);
    loop {
        match judge_banks(options, &policy, pipes, quiet) {
            Err(Failure::Program(Error::Verify(verify::Error::BanksNeeded(banks))))
                if !pipes.is_lost() && !banks.is_subset(&policy.banks) =>
            {
                policy.to_mut().banks.extend(banks);
            }
            verdict => return verdict,
        }
    }
}

fn judge_banks(options: &Options, policy: &Policy, pipes: &Pipes, quiet: bool) -> Result<Verdict> {
    let progress = progress(quiet);
    let judge = |seals| {
        let source = &options.source;
        source.read(seals, &progress, pipes, |evidence| {
            judge_evidence(options, evidence, policy)
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

fn layouts(options: &Options) -> Layouts {
    Layouts {
        view: options.view,
        order: options.byte_order.map(|order| match order {
            Order::Little => ByteOrder::Little,
            Order::Big => ByteOrder::Big,
        }),
    }
}

fn judge_evidence(options: &Options, evidence: Evidence<'_>, policy: &Policy) -> Result<Verdict> {
    let mut verdict = verify(evidence.inputs, policy, layouts(options))?;
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

/// A bar on standard error, if that is a terminal.
fn progress(quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(5));
    let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left");
    style.map_or_else(|_| ProgressBar::hidden(), |style| bar.with_style(style))
}
