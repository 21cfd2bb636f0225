// SPDX-License-Identifier: GPL-2.0

//! `inspect`: show records.

use super::{exit::Code, Result};
use crate::{
    cli::{SourceOption, ViewOption},
    detect::detect,
    error::Error,
    escape::Escaped,
    evidence::{Evidence, Pipes},
    inspect::{Filter, Style},
    records::{Fault, Position, Records},
};
use clap::Args;
use ima_log::verify::{self, Input};
use indicatif::ProgressBar;
use std::io::{self, BufWriter, Write};

/// Show the records of a measurement list as they are, without verifying them
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    #[command(flatten)]
    source: SourceOption,

    /// Print each record as a JSON object on a line of its own
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    view: ViewOption,

    #[command(flatten)]
    filter: Filter,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<Code> {
    let mut out = BufWriter::new(io::stdout().lock());
    let progress = ProgressBar::hidden();
    let source = &arguments.source;
    let pipes = Pipes::read_once();
    let shown = source.read(true, &progress, &pipes, |evidence| {
        Ok(show(arguments, evidence, &mut out))
    })?;
    // what is before a fault is shown
    let flushed = out.flush();
    match (shown, flushed) {
        (Err(Stopped::Input(error)), _) => Err(error.into()),
        (Err(Stopped::Output(error)), _) | (Ok(()), Err(error))
            if error.kind() != io::ErrorKind::BrokenPipe =>
        {
            Err(Error::io("write", "standard output", error).into())
        }
        _ => Ok(Code::Verified),
    }
}

enum Stopped {
    Input(Error),
    Output(io::Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Input(error)
    }
}

fn show(
    arguments: &Arguments,
    evidence: Evidence<'_>,
    out: &mut impl Write,
) -> Result<(), Stopped> {
    let style = if arguments.json {
        Style::Json
    } else {
        Style::Text
    };
    let mut at = Position::default();
    for input in evidence.inputs {
        let Input { name, bytes, .. } =
            input.map_err(verify::Error::Source).map_err(Error::from)?;
        let name = Escaped::new(&name).to_string();
        let ViewOption { view, byte_order } = arguments.view;
        let found = detect(bytes, view, byte_order.map(Into::into));
        let (layout, source) = found.map_err(|error| Error::io("read", &name, error))?;
        let mut records = Records::new(source, layout.bank.size(), layout.order, at);
        let blame = |fault: Fault| Error::from(fault).during(&name);
        while !arguments.filter.ends_before(records.position().record) {
            let Some(entry) = records.next().map_err(blame)? else {
                break;
            };
            if arguments.filter.admits(&entry) {
                let shown = style.show(&entry, layout.bank, out);
                shown.map_err(Stopped::Output)?;
            }
        }
        at = records.position();
    }
    Ok(())
}
