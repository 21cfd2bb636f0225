// SPDX-License-Identifier: GPL-2.0

//! `report`: what an auditor is told of all logs of a host.

use super::{exit::Code, failure::Failure, print, print_json, replace, verdict::Options, Result};
use crate::{
    archive::{history::History, Archive, LogName},
    error::Error,
    escape::Escaped,
    page,
};
use clap::Args;
use ima_log::{
    report::{
        audit::{Archived, Context, Entry, Found, Noticed, Removed, Report},
        Number,
    },
    verify::verdict::Outcome,
};
use std::{
    cmp::Reverse,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// Write a report on all logs of a host, for somebody else: what is proven, claimed, and missing
///
/// Each log of the host is verified by itself, and the gravest verdict decides the exit code, as
/// that of verify. --log-id names one of them. The options that say what is true of one boot only,
/// such as --quote and --pcr, need it if there are several.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    #[command(flatten)]
    options: Options,

    /// Write the report as a page to this file; - is standard output
    ///
    /// It is one file of HTML without script, which loads nothing. The file is replaced at once.
    #[arg(long, value_name = "FILE", required_unless_present = "json")]
    html: Option<PathBuf>,

    /// Print the report as JSON
    #[arg(long)]
    json: bool,

    /// Print nothing; the exit code tells the result
    #[arg(long, conflicts_with = "json")]
    quiet: bool,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<Code> {
    let piped = arguments.html.as_deref() == Some(Path::new("-"));
    if piped && arguments.json {
        let text =
            "standard output cannot have both the page and the JSON: name a file with --html";
        return Err(Failure::usage(text));
    }
    let report = make(arguments)?;
    if let Some(path) = &arguments.html {
        let text = page::html(&report).map_err(|error| {
            let error = std::io::Error::other(error.to_string());
            Error::io("write", path, error)
        })?;
        match piped {
            true => super::write(&text)?,
            false => replace::replace(path, text.as_bytes())?,
        }
    }
    if arguments.json {
        print_json(&report)?;
    } else if !arguments.quiet && !piped {
        print(&format!("{}: {}\n", report.headline, report.sentence))?;
    }
    Ok(code(&report))
}

fn code(report: &Report) -> Code {
    let mut all = super::exit::CODES.into_iter().map(|(code, _)| code);
    all.find(|code| *code as u8 == report.code)
        .unwrap_or(Code::Internal)
}

/// Verifies each log, and keeps of it what is told.
fn make(arguments: &Arguments) -> Result<Report> {
    let options = &arguments.options;
    let source = &options.source;
    let mut context = Context {
        host: None,
        source: match &source.archive {
            Some(dir) => Escaped::path(dir).to_string(),
            None => {
                let input = source.input.iter();
                let names: Vec<String> =
                    input.map(|path| Escaped::path(path).to_string()).collect();
                match names.is_empty() {
                    true => "the list of the running kernel".to_owned(),
                    false => names.join(" "),
                }
            }
        },
        made_ns: now_ns(),
        made_by: format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
    };
    let Some(dir) = &source.archive else {
        let verdict = options.verdict(arguments.quiet)?;
        let entry = Entry::new(&Found::Verdict(Box::new(verdict)), None, exit);
        return Ok(Report::new(context, [entry], exit));
    };
    let archive = Archive::open(dir)?;
    let names = chosen(options, &archive)?;
    context.host = names.first().map(|name| name.host.clone());
    // of many logs little is kept: each is gone before the next one is read
    let mut failure = None;
    let entries = names.into_iter().map_while(|name| {
        let entry = entry(arguments, &archive, name);
        entry.map_err(|error| failure = Some(error)).ok()
    });
    let report = Report::new(context, entries, exit);
    match failure {
        Some(failure) => Err(failure),
        None => Ok(report),
    }
}

fn exit(outcome: Outcome) -> u8 {
    Code::from(outcome) as u8
}

/// A log of the archive, verified.
fn entry(arguments: &Arguments, archive: &Archive, name: LogName) -> Result<Entry> {
    let mut options = arguments.options.clone();
    let history = archive.open_log(&name).and_then(|log| log.history());
    let archived = history.as_ref().ok();
    let archived = archived.map(|history| archived_of(&name, history));
    let found = match history {
        Err(error) => unreadable(error.into())?,
        Ok(history) if history.files == 0 && !options.source.live => {
            let text = "the archive has no segment of this log".to_owned();
            Found::Unreadable(Outcome::Missing, text)
        }
        Ok(_) => {
            options.source.host = Some(name.host);
            options.source.log_id = Some(name.log_id);
            match options.verdict(arguments.quiet) {
                Ok(verdict) => Found::Verdict(Box::new(verdict)),
                Err(failure) => unreadable(failure)?,
            }
        }
    };
    Ok(Entry::new(&found, archived, exit))
}

/// The logs that the report is about, the newest first: by when the last segment was archived.
fn chosen(options: &Options, archive: &Archive) -> Result<Vec<LogName>> {
    let source = &options.source;
    let (host, log_id) = (source.host.as_deref(), source.log_id.as_deref());
    // the kernel has one of them only
    let mut names = match source.live {
        true => vec![archive.log(host, log_id)?.name().clone()],
        false => archive.logs_of_host(host, log_id)?,
    };
    if let ([_, _, ..], Some(option)) = (names.as_slice(), options.of_one_boot()) {
        let count = names.len();
        return Err(Failure::usage(format!(
            "the archive has {count} logs of this host, and {option} is about one boot: name its \
             log with --log-id"
        )));
    }
    names.sort_by_cached_key(|name| {
        let log = archive.open_log(name);
        let history = log.and_then(|log| log.history()).ok();
        let archived = history.and_then(|history| history.archived_ns);
        (Reverse(archived.map(|(_, last)| last)), name.clone())
    });
    Ok(names)
}

/// What is wrong with a log that cannot be verified, if that is a verdict on what the archive has.
/// Else nothing can be said of the host.
fn unreadable(failure: Failure) -> Result<Found> {
    let outcome = match Code::from(&failure) {
        Code::Tampered => Outcome::Tampered,
        Code::Stale => Outcome::Stale,
        Code::Missing => Outcome::Missing,
        _ => return Err(failure),
    };
    Ok(Found::Unreadable(outcome, failure.to_string()))
}

fn archived_of(name: &LogName, history: &History) -> Archived {
    Archived {
        log_id: name.log_id.clone(),
        files: Number(history.files),
        first_ns: history.archived_ns.map(|(first, _)| Number(first)),
        last_ns: history.archived_ns.map(|(_, last)| Number(last)),
        removed: history.removed.map(|(before, at_ns)| Removed {
            before: Number(before),
            at_ns: Number(at_ns),
        }),
        gaps: {
            let gaps = history.gaps.iter();
            let gaps = gaps.map(|(from, to, at_ns)| Noticed {
                from: Number(*from),
                to: Number(*to),
                at_ns: Number(*at_ns),
            });
            gaps.collect()
        },
    }
}

/// The wall clock: nanoseconds since 1970-01-01 00:00 UTC.
fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}
