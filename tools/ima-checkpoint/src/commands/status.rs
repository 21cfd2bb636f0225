// SPDX-License-Identifier: GPL-2.0

//! `status`: the log of this host in numbers.

use super::{exit::Code, print, print_json, Result};
use crate::{
    archive::{here, summary::Summary, Archive, LogName},
    cli::KernelOption,
    kernel::{Config, Segment, Status},
};
use clap::Args;
use serde::Serialize;
use std::{fmt::Write, path::PathBuf};

/// Show the log, segments, memory and configuration of the running kernel
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,

    /// The archive [default: /var/lib/ima-checkpoint, if it exists]
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,

    /// The name of this host in the archive [default: its own]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    #[command(flatten)]
    kernel: KernelOption,
}

/// Where the archive usually is.
const ARCHIVE: &str = "/var/lib/ima-checkpoint";

#[derive(Serialize)]
struct Report {
    schema: &'static str,
    status: Status,
    segments: Vec<Segment>,
    /// None if the kernel does not show it.
    config: Option<Config>,
    archive: Option<Summary>,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<Code> {
    let kernel = arguments.kernel.open()?;
    let status = kernel.status()?;
    let report = Report {
        schema: "ima-checkpoint/status/1",
        archive: archive(arguments, status.log_id())?,
        status,
        segments: kernel.segments()?,
        config: kernel.config()?,
    };
    if arguments.json {
        print_json(&report)?;
    } else {
        print(&table(&report))?;
    }
    Ok(Code::Verified)
}

/// What the archive has of this log. That the usual one is not there, or may not be read, is no
/// error.
fn archive(arguments: &Arguments, log_id: &str) -> Result<Option<Summary>> {
    let name = LogName {
        host: arguments.host.clone().or_else(here).unwrap_or_default(),
        log_id: log_id.to_owned(),
    };
    match &arguments.archive {
        Some(dir) => Ok(Some(Summary::of(&Archive::open(dir)?, name)?)),
        None => Ok(Archive::open(ARCHIVE)
            .and_then(|archive| Summary::of(&archive, name))
            .ok()),
    }
}

/// The PCR and bank that a line of `status` is about, in words.
fn pcr(key: &str) -> Option<String> {
    let (pcr, bank) = key.strip_prefix("pcr")?.split_once('_')?;
    Some(format!("PCR {pcr} in {bank}"))
}

fn table(report: &Report) -> String {
    let status = &report.status;
    let number = |key| status.number(key);
    let memory = number("memory_chunks").saturating_add(number("memory_known"));
    let mut out = String::new();
    // writing to a string cannot fail
    let _ = writeln!(
        out,
        "log {}, kexec generation {}, {}\n\n\
         {:16}{:>12}{:>16}\n\
         {:16}{:>12}{:>16}\n\
         {:16}{:>12}{:>16}\n\n\
         kernel memory     {} for records, {} for the duplicate check, {} in all\n\
         violations        {}\n\
         last error        {}",
        status.log_id(),
        number("generation"),
        if number("tpm") == 1 { "TPM" } else { "no TPM" },
        "",
        "records",
        "bytes",
        "live",
        number("records_live"),
        number("bytes_live"),
        "freed",
        number("records_freed"),
        number("bytes_freed"),
        size(number("memory_chunks")),
        size(number("memory_known")),
        size(memory),
        number("violations"),
        status.text("last_error"),
    );
    for (name, state) in status
        .0
        .iter()
        .filter_map(|(key, state)| Some((pcr(key)?, state)))
    {
        let state = match state.as_str() {
            "none" => "not read so far",
            state => state,
        };
        let _ = writeln!(out, "{name:<18}{state}");
    }
    out += &settings(report.config.as_ref());
    let _ = writeln!(
        out,
        "\n{:>8} {:8}{:>12}{:>12}{:>14}  digest of the checkpoint",
        "segment", "state", "first", "records", "bytes"
    );
    for segment in &report.segments {
        let state = match (segment.broken, segment.active) {
            (true, _) => "BROKEN",
            (false, true) => "active",
            (false, false) => "sealed",
        };
        let Segment {
            seq,
            first,
            records,
            bytes,
            digest,
            ..
        } = segment;
        let digest = match seq {
            0 => "none".to_owned(),
            _ => digest.to_string(),
        };
        let _ = writeln!(
            out,
            "{seq:>8} {state:8}{first:>12}{records:>12}{bytes:>14}  {digest}"
        );
    }
    if let Some(archive) = &report.archive {
        let _ = write!(out, "\n{}", paragraph(archive));
    }
    out
}

/// The configuration, a setting a line.
fn settings(config: Option<&Config>) -> String {
    let Some(config) = config else {
        return "configuration     not shown: the kernel is older, or this is not root of the \
                host\n"
            .to_owned();
    };
    let names = std::iter::once("configuration").chain(std::iter::repeat(""));
    let lines = names.zip(&config.0);
    lines
        .map(|(name, (setting, value))| format!("{name:<18}{setting}={value}\n"))
        .collect()
}

/// What the archive has, in words.
fn paragraph(archive: &Summary) -> String {
    let mut out = format!(
        "archive {}/{}: {}\n",
        archive.archive,
        archive.host,
        match archive.archiver {
            Some(pid) => format!("process {pid} is archiving"),
            None => "no archiver is running".to_owned(),
        }
    );
    let newest = archive
        .newest
        .map_or("none".to_owned(), |newest| newest.to_string());
    let _ = writeln!(
        out,
        "sealed segments   {}, {} records, {}; the newest is {newest}\n\
         unsealed tail     {} records",
        archive.segments,
        archive.records,
        size(archive.bytes),
        archive.tail_records
    );
    if archive.removed_before > 0 {
        let _ = writeln!(
            out,
            "removed           all segments before {}",
            archive.removed_before
        );
    }
    if archive.gaps + archive.forks > 0 {
        let (gaps, forks) = (archive.gaps, archive.forks);
        let _ = writeln!(
            out,
            "FAULTS            {gaps} gaps, {forks} forks: run `ima-checkpoint fsck`"
        );
    }
    out
}

/// Bytes with a unit.
fn size(bytes: u64) -> impl std::fmt::Display {
    indicatif::BinaryBytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let config = Config(
            [
                pair("checkpoint_records", "7"),
                pair("duplicate_scope", "log"),
            ]
            .into(),
        );
        assert_eq!(
            settings(Some(&config)),
            "configuration     checkpoint_records=7\n                  duplicate_scope=log\n"
        );
        assert!(settings(None).contains("not shown"));
    }
}
