// SPDX-License-Identifier: GPL-2.0

//! `checkpoint`: seal the active segment, and have a TPM prove it.

use super::{exit::Code, failure::Failure, print, print_json, Result};
use crate::{
    cli::KernelOption,
    kernel::Created,
    quote::{KeyName, Nonce},
    quoting::{self, Signed, Tools},
};
use clap::Args;
use ima_checkpoint_format::checkpoint::Label;
use serde::Serialize;
use std::ffi::OsString;

/// The handle at which the key is that quotes, unless somebody says otherwise.
const KEY: &str = "0x81010002";

/// Append a checkpoint to the measurement list, which seals the active segment
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// A remark that stays in the list: at most 64 printable ASCII characters
    #[arg(long, default_value = "", hide_default_value = true)]
    label: String,

    /// Have the TPM quote the checkpoint, and append the quote to the list
    ///
    /// The quote is over all PCRs and banks of which the checkpoint has a value. It proves the list
    /// up to here to everybody who has the key: see `verify --key`. tpm2-tools must be installed.
    #[arg(long)]
    quote: bool,

    /// The key that signs the quote: a persistent handle, or a file with its context
    #[arg(long, value_name = "HANDLE|CONTEXT", default_value = KEY, requires = "quote")]
    key: OsString,

    /// A nonce of at most 32 bytes, which becomes the label of the checkpoint
    ///
    /// The quote binds the whole checkpoint, so it binds the nonce, and `verify --nonce` finds it.
    #[arg(long, value_name = "HEX", requires = "quote", conflicts_with = "label")]
    nonce: Option<Nonce>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    kernel: KernelOption,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    created: Created,
    #[serde(skip_serializing_if = "Option::is_none")]
    quote: Option<Quoted<'a>>,
}

#[derive(Serialize)]
struct Quoted<'a> {
    key_name: &'a KeyName,
    reset_count: u32,
    restart_count: u32,
    /// Milliseconds, as text: it may exceed 2^53.
    clock: String,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<Code> {
    let nonce = arguments.nonce.as_ref().map(Nonce::to_string);
    let label = nonce.as_ref().unwrap_or(&arguments.label);
    Label::new(label.as_bytes()).map_err(|error| match nonce {
        Some(_) => Failure::usage("--nonce: it has more than 32 bytes, and fits into no label"),
        None => Failure::usage(format!("--label: {error}")),
    })?;
    let kernel = arguments.kernel.open()?;
    if !arguments.quote {
        return report(arguments, kernel.checkpoint(label)?, None);
    }
    // nothing is appended if the key is not there
    kernel.takes_quotes()?;
    let key = Tools::open(&arguments.key)?;
    let (created, signed) = quoting::seal(&kernel, &key, label)?;
    report(arguments, created, Some(&signed))
}

fn report(arguments: &Arguments, created: Created, signed: Option<&Signed>) -> Result<Code> {
    if arguments.json {
        let quote = signed.map(|signed| Quoted {
            key_name: &signed.key,
            reset_count: signed.quote.attest.reset_count,
            restart_count: signed.quote.attest.restart_count,
            clock: signed.quote.attest.clock.to_string(),
        });
        print_json(&Report { created, quote })?;
        return Ok(Code::Verified);
    }
    let (seq, digest) = (created.seq, created.digest);
    print(&format!("checkpoint {seq} {digest}\n"))?;
    if let Some(Signed { quote, .. }) = signed {
        print(&format!("quote {quote}\n"))?;
    }
    Ok(Code::Verified)
}
