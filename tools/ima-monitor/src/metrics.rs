// SPDX-License-Identifier: GPL-2.0

//! What Prometheus may ask: numbers, and nothing of any one host.

use crate::finding::Kind;
use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// The media type of the text, version 0.0.4 of Prometheus' exposition format.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What happened since the program was started.
#[derive(Debug, Default)]
pub struct Counters {
    proven: AtomicU64,
    failed: AtomicU64,
    records: AtomicU64,
    refused: AtomicU64,
}

impl Counters {
    /// A round proved so many records that were new, or nothing.
    pub fn round(&self, proven: Option<u64>) {
        match proven {
            Some(records) => {
                self.proven.fetch_add(1, Relaxed);
                self.records.fetch_add(records, Relaxed);
            }
            None => {
                self.failed.fetch_add(1, Relaxed);
            }
        }
    }

    /// A request was one too many.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }
}

/// What the database has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// Hosts that wait for approval.
    pub pending: i64,
    /// Hosts that may attest.
    pub approved: i64,
    /// Of these, those whose last round failed.
    pub doubted: i64,
    /// Findings that nobody has acknowledged, by kind.
    pub findings: Vec<(Kind, i64)>,
    /// Actions that are still to be done.
    pub actions: i64,
}

/// One metric: its name, its type, what it is, and its values, each with a label.
fn metric(
    out: &mut String,
    name: &str,
    kind: &str,
    what: &str,
    values: impl IntoIterator<Item = (String, i128)>,
) {
    // a String takes everything
    let _ = writeln!(out, "# HELP ima_monitor_{name} {what}");
    let _ = writeln!(out, "# TYPE ima_monitor_{name} {kind}");
    for (label, value) in values {
        let _ = writeln!(out, "ima_monitor_{name}{label} {value}");
    }
}

fn label(name: &str, value: &str) -> String {
    format!("{{{name}=\"{value}\"}}")
}

/// All of it as text.
pub fn text(counters: &Counters, stock: &Stock) -> String {
    let mut out = String::new();
    let state = |state, count: i64| (label("state", state), i128::from(count));
    let hosts = [
        state("pending", stock.pending),
        state("approved", stock.approved),
    ];
    metric(&mut out, "hosts", "gauge", "Hosts by state.", hosts);
    let one = |count: i128| [(String::new(), count)];
    let doubted = one(stock.doubted.into());
    let what = "Approved hosts whose last round failed.";
    metric(&mut out, "hosts_doubted", "gauge", what, doubted);
    let findings = Kind::ALL.map(|kind| {
        let found = stock.findings.iter().find(|(found, _)| *found == kind);
        let count = found.map_or(0, |(_, count)| *count);
        (label("kind", kind.name()), i128::from(count))
    });
    let what = "Findings that nobody has acknowledged.";
    metric(&mut out, "findings", "gauge", what, findings);
    let what = "Actions that are still to be done.";
    metric(
        &mut out,
        "actions_waiting",
        "gauge",
        what,
        one(stock.actions.into()),
    );
    let round = |result, count: &AtomicU64| (label("result", result), count.load(Relaxed).into());
    let rounds = [
        round("proven", &counters.proven),
        round("failed", &counters.failed),
    ];
    metric(
        &mut out,
        "rounds_total",
        "counter",
        "Rounds by result.",
        rounds,
    );
    let records = one(counters.records.load(Relaxed).into());
    let what = "Records that were proven.";
    metric(&mut out, "records_total", "counter", what, records);
    let refused = one(counters.refused.load(Relaxed).into());
    let what = "Requests that were too many for their address.";
    metric(&mut out, "requests_refused_total", "counter", what, refused);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let counters = Counters::default();
        counters.round(Some(7));
        counters.round(Some(0));
        counters.round(None);
        counters.refused();
        let stock = Stock {
            pending: 1,
            approved: 3,
            doubted: 2,
            findings: vec![(Kind::WentBack, 4)],
            actions: 5,
        };
        let text = text(&counters, &stock);
        for line in [
            "ima_monitor_hosts{state=\"pending\"} 1",
            "ima_monitor_hosts{state=\"approved\"} 3",
            "ima_monitor_hosts_doubted 2",
            "ima_monitor_findings{kind=\"went-back\"} 4",
            "ima_monitor_findings{kind=\"silent\"} 0",
            "ima_monitor_actions_waiting 5",
            "ima_monitor_rounds_total{result=\"proven\"} 2",
            "ima_monitor_rounds_total{result=\"failed\"} 1",
            "ima_monitor_records_total 7",
            "ima_monitor_requests_refused_total 1",
        ] {
            assert_eq!(
                text.matches(&format!("{line}\n")).count(),
                1,
                "{line}: {text}"
            );
        }
        assert!(text.lines().all(|line| line.contains("ima_monitor_")));
        assert_eq!(text.matches("# TYPE").count(), 7);
    }
}
