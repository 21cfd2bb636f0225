// SPDX-License-Identifier: GPL-2.0

//! The report for an auditor as a page of HTML: one file without script, and without anything that
//! is loaded from elsewhere.
//!
//! The page is a pure function of the [`Report`], which bounds its size. Whatever comes from lists
//! and archives gets into it through the template, `templates/report.html`, which escapes it;
//! pictures are made of numbers alone. The template is compiled, so that what it names exists.

mod show;
mod timeline;

use askama::Template;
use ima_log::{
    report::{
        audit::{Bin, Judged, Level, Log, Report},
        Number,
    },
    verify::finding::Kind,
};
use std::collections::BTreeSet;

/// The page. Its methods are what the template shows.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
}

/// The report as HTML.
///
/// # Errors
///
/// None is known: writing to memory does not fail.
pub fn html(report: &Report) -> Result<String, askama::Error> {
    Page { report }.render()
}

/// A sign for a verdict, with a form of its own.
fn sign(level: &Level) -> &'static str {
    match level {
        Level::Good => "M5 12.5l4.5 4.5L19 7.5",
        Level::Open => "M12 5.5v8.5M12 18v.6",
        Level::Bad => "M6.5 6.5l11 11M17.5 6.5l-11 11",
    }
}

/// The name of a kind of finding, as in JSON.
fn kind(kind: &Kind) -> String {
    let name = serde_json::to_value(kind).ok();
    let name = name.as_ref().and_then(|name| name.as_str());
    name.unwrap_or_default().to_owned()
}

/// The class of a verdict.
fn class(level: &Level) -> &'static str {
    match level {
        Level::Good => "good",
        Level::Open => "open",
        Level::Bad => "bad",
    }
}

impl Page<'_> {
    fn title(&self) -> String {
        let host = self.report.host.as_deref();
        let of = host.map_or(String::new(), |host| format!(" of {host}"));
        format!("{}: integrity report{of}", self.report.headline)
    }

    /// The number of a boot, of which the oldest is the first. They come newest first.
    fn boot(&self, index0: &usize) -> u64 {
        self.report.count().saturating_sub(*index0 as u64)
    }

    /// What is proven of a log, as a list of records.
    fn stretches(&self, judged: &Judged) -> String {
        show::stretches(&judged.timeline.proven)
    }

    fn is_proven(&self, judged: &Judged) -> bool {
        !judged.timeline.proven.is_empty()
    }

    fn is_partial(&self, judged: &Judged) -> bool {
        let mut bins = judged.timeline.bins.iter();
        bins.any(|bin| bin.partial.0 > 0)
    }

    /// The names of the keys of quotes, each once.
    fn keys(&self, judged: &Judged) -> BTreeSet<String> {
        let quotes = judged.quotes.shown.iter();
        quotes.filter_map(|quote| quote.key_name.clone()).collect()
    }

    /// The end of a long name.
    fn short(&self, name: &str) -> String {
        match name.char_indices().rev().nth(11) {
            Some((at, _)) if at > 0 => format!("…{}", name.get(at..).unwrap_or_default()),
            _ => name.to_owned(),
        }
    }

    /// Does something rest on a key of which nobody confirmed that it is in a TPM?
    fn is_unconfirmed(&self) -> bool {
        let judged = self.report.logs.iter();
        let judged = judged.filter_map(|log| log.judged.as_ref());
        let mut quotes = judged.flat_map(|judged| &judged.quotes.shown);
        quotes.any(|quote| quote.decides && quote.proven.is_some() && !quote.key_name_checked)
    }

    fn is_one(&self) -> bool {
        self.report.count() == 1
    }

    fn picture(&self, judged: &Judged, number: &usize) -> String {
        timeline::picture(&judged.timeline, *number)
    }

    fn swatch(&self, kind: &str, number: &usize) -> String {
        timeline::swatch(kind, *number)
    }

    fn time(&self, ns: &Number) -> String {
        show::time(*ns)
    }

    fn when(&self, ns: &Option<Number>) -> String {
        ns.map_or("unknown".to_owned(), show::time)
    }

    fn count(&self, number: &Number) -> String {
        show::count(number.0)
    }

    fn size(&self, bytes: &Number) -> String {
        show::size(bytes.0)
    }

    fn duration(&self, ms: &Number) -> String {
        show::duration(ms.0)
    }

    fn plural(&self, number: &Number) -> &'static str {
        show::plural(number.0)
    }

    fn range(&self, range: &(Number, Number)) -> String {
        show::range(range.0 .0, range.1 .0)
    }

    fn records_of(&self, bin: &Bin) -> String {
        match bin.records.0.checked_sub(1) {
            Some(more) => show::range(bin.record.0, bin.record.0.saturating_add(more)),
            None => "none".to_owned(),
        }
    }

    fn segments_of(&self, bin: &Bin) -> String {
        match (bin.first, bin.last) {
            (Some(first), Some(last)) => show::range(first.0, last.0),
            _ => "unknown".to_owned(),
        }
    }

    fn proof_of(&self, bin: &Bin) -> String {
        show::proof(bin)
    }

    /// What else there is to say of a bin.
    fn events_of(&self, bin: &Bin) -> String {
        show::events(bin)
    }

    /// The verdict on a log is grave?
    fn is_bad(&self, log: &Log) -> bool {
        log.level == Level::Bad
    }
}
