// SPDX-License-Identifier: GPL-2.0

//! `status`: the log of this host in numbers.

use super::{
    print,
    print_json, //
};
use crate::{
    cli::KernelOption,
    kernel::{
        Segment,
        Status, //
    },
    outcome::{
        Code,
        Result, //
    },
};
use clap::Args;
use serde::Serialize;
use std::fmt::Write;

/// Show log, segments and memory of the running kernel
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    kernel: KernelOption,
}

#[derive(Serialize)]
struct Report {
    schema: &'static str,
    status: Status,
    segments: Vec<Segment>,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<Code> {
    let kernel = arguments.kernel.open()?;
    let report = Report {
        schema: "ima-checkpoint/status/1",
        status: kernel.status()?,
        segments: kernel.segments()?,
    };
    if arguments.json {
        print_json(&report)?;
    } else {
        print(&table(&report))?;
    }
    Ok(Code::Verified)
}

/// What `status` says of a PCR is shown in lines of its own.
fn is_pcr(key: &str) -> bool {
    key.starts_with("pcr")
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
    for (key, state) in status.0.iter().filter(|(key, _)| is_pcr(key)) {
        let _ = writeln!(out, "{key:<18}{state}");
    }
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
        let _ = writeln!(
            out,
            "{seq:>8} {state:8}{first:>12}{records:>12}{bytes:>14}  {digest}"
        );
    }
    out
}

/// Bytes with a unit.
fn size(bytes: u64) -> impl std::fmt::Display {
    indicatif::BinaryBytes(bytes)
}
