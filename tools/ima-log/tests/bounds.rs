// SPDX-License-Identifier: GPL-2.0

//! Time and memory: what a list costs grows with its bytes, whatever is in them.
//!
//! The bounds leave room for a build without optimization on a busy machine. What they are to find
//! takes many times as long: work for each checkpoint that grows with their number, and kilobytes
//! that are kept of each.

mod common;

use common::{
    d_ng,
    judge::{against, exit},
    nul, LOG_ID, PCR,
};
use ima_checkpoint_format::{
    checkpoint::{self, Builder, Entry, Flags, Header, Kind as ItemKind, Label, State},
    record::NewRecord,
    truncate::{self, Reason, Truncation},
    ByteOrder, Error as FormatError,
};
use ima_log::{
    bank::Bank,
    replay::Values,
    report,
    verify::{finding::Kind, verdict::Verdict, verify, Input, Layouts},
};
use std::{
    error::Error,
    fs,
    io::{self, Read},
    time::Duration,
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// What any list may take here.
const TIME: Duration = Duration::from_secs(10);

/// What the whole process may have had, with all tests at the same time.
const MEMORY: u64 = 128 << 20;

/// Makes a list while it is read, so that it takes no memory itself.
struct Made<F> {
    next: F,
    bytes: Vec<u8>,
    at: usize,
}

impl<F: FnMut() -> Option<Vec<u8>>> Read for Made<F> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.bytes.len() {
            let Some(bytes) = (self.next)() else {
                return Ok(0);
            };
            (self.bytes, self.at) = (bytes, 0);
        }
        let mut rest = &self.bytes[self.at..];
        let read = rest.read(out)?;
        self.at += read;
        Ok(read)
    }
}

/// What this thread, which does all the work, had of a processor: other load does not count.
fn cpu_time() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/thread-self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no name")?;
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    let ticks: u64 = ticks
        .map(str::parse::<u64>)
        .sum::<std::result::Result<_, _>>()?;
    // USER_HZ, which is 100 on all machines
    Ok(Duration::from_millis(10 * ticks))
}

/// The verdict on a list, within the bounds.
fn judged(next: impl FnMut() -> Option<Vec<u8>>) -> Result<Verdict> {
    let source = Made {
        next,
        bytes: Vec::new(),
        at: 0,
    };
    let start = cpu_time()?;
    let verdict = verify(
        [Ok(Input::new("list", source))],
        &against(Values::new()),
        Layouts::default(),
    )?;
    let taken = cpu_time()?.saturating_sub(start);
    assert!(taken < TIME, "it took {taken:?}");
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let peak = peak.ok_or("no VmHWM")? << 10;
    assert!(peak < MEMORY, "{} MiB", peak >> 20);
    // what is said of it is bounded, too
    assert!(verdict.findings.kept().len() < 4000);
    assert!(report::text(&verdict).len() < 16 << 10);
    Ok(verdict)
}

fn record(fields: &[Vec<u8>]) -> std::result::Result<Vec<u8>, FormatError> {
    let mut data = Vec::new();
    for field in fields {
        data.extend((field.len() as u32).to_le_bytes());
        data.extend(field);
    }
    let digest = Bank::Sha1.hash(&[&data]);
    let new = NewRecord {
        pcr: PCR,
        digest: digest.as_bytes(),
        template_name: b"ima-buf",
        fields: fields.iter().map(Vec::as_slice),
        order: ByteOrder::Little,
    };
    let mut bytes = vec![0; new.encoded_len()?];
    new.encode(&mut bytes)?;
    Ok(bytes)
}

fn own_record(name: &[u8], buffer: &[u8]) -> std::result::Result<Vec<u8>, FormatError> {
    record(&[d_ng(buffer), nul(name), buffer.to_vec()])
}

/// Checkpoints that follow each other, with nothing in between.
#[derive(Default)]
struct Bare {
    sequence: u64,
    offset: u64,
    /// The record before, and SHA-256 of the buffer in it.
    before: Vec<u8>,
    previous: [u8; 32],
}

impl Bare {
    fn next(&mut self, items: &[Entry<'_>]) -> std::result::Result<Vec<u8>, FormatError> {
        let sealed = Bank::Sha256.hash(&[&self.before]);
        let header = Header {
            flags: Flags::default(),
            log_id: LOG_ID,
            sequence: self.sequence + 1,
            default_pcr: PCR,
            record: self.sequence,
            offset: self.offset,
            segment_records: self.sequence.min(1),
            segment_bytes: self.before.len() as u64,
            segment_digest: sealed.as_bytes().try_into().unwrap_or_default(),
            previous: self.previous,
            ..Header::default()
        };
        let mut out = [0; checkpoint::MAX_BUFFER];
        let mut builder = Builder::new(&mut out, &header, Label::default())?;
        for item in items {
            builder.push(ItemKind::Value, item)?;
        }
        let buffer = builder.finish();
        let digest = Bank::Sha256.hash(&[buffer]);
        self.previous = digest.as_bytes().try_into().unwrap_or_default();
        self.before = own_record(checkpoint::EVENT_NAME, buffer)?;
        self.sequence += 1;
        self.offset += self.before.len() as u64;
        Ok(self.before.clone())
    }
}

#[test]
fn many_bare_checkpoints() -> Result {
    const COUNT: u64 = 50_000;
    let mut bare = Bare::default();
    let verdict = judged(|| (bare.sequence < COUNT).then(|| bare.next(&[]))?.ok())?;
    assert_eq!(verdict.end.record, COUNT);
    assert_eq!(verdict.log.segments, COUNT);
    assert!(verdict.log.shown.len() <= 1000);
    assert_ne!(exit(verdict.outcome()), 0);
    Ok(())
}

/// As many values as a buffer has room for, in banks that nobody has.
#[test]
fn checkpoints_full_of_values() -> Result {
    const COUNT: u64 = 200;
    let banks = 8;
    let values = (0..400_u16).map(|number| Entry {
        pcr: PCR as u8 + (number / banks) as u8,
        state: State::Unshadowed,
        algorithm: 0x100 + number % banks,
        value: &[1],
    });
    let values: Vec<_> = values.collect();
    let mut bare = Bare::default();
    let verdict = judged(|| (bare.sequence < COUNT).then(|| bare.next(&values))?.ok())?;
    assert_eq!(verdict.end.record, COUNT);
    assert_eq!(verdict.log.segments, COUNT);
    Ok(())
}

/// Truncations look for the checkpoint that they are about.
#[test]
fn truncations_times_checkpoints() -> Result {
    const COUNT: u64 = 20_000;
    let mut bare = Bare::default();
    let (mut heads, mut truncated) = (Vec::new(), 0_u64);
    let verdict = judged(|| {
        if bare.sequence < COUNT {
            let bytes = bare.next(&[]).ok()?;
            heads.push(bare.previous);
            return Some(bytes);
        }
        truncated += 1;
        let truncation = Truncation {
            reason: Reason::User,
            log_id: LOG_ID,
            sequence: truncated,
            digest: *heads.get(truncated as usize - 1)?,
            records: 1,
            bytes: 1,
        };
        let mut out = [0; Truncation::SIZE];
        let buffer = truncation.encode(&mut out).ok()?;
        own_record(truncate::EVENT_NAME, buffer).ok()
    })?;
    assert_eq!(verdict.end.record, 2 * COUNT);
    let more: u64 = verdict.findings.more().map(|(_, more)| more).sum();
    let kept = verdict.findings.kept().iter();
    let kept = kept.filter(|found| found.kind == Kind::Truncation).count() as u64;
    // none of them is true
    assert!(more + kept >= COUNT - 1);
    Ok(())
}

/// Findings are counted; 100 of a kind are kept.
#[test]
fn many_findings() -> Result {
    const COUNT: u64 = 100_000;
    let mut made = 0;
    let bytes = record(&[
        d_ng(b"a file"),
        nul(checkpoint::EVENT_NAME),
        b"none".to_vec(),
    ])?;
    let verdict = judged(|| {
        made += 1;
        (made <= COUNT).then(|| bytes.clone())
    })?;
    assert_eq!(verdict.end.record, COUNT);
    assert_eq!(exit(verdict.outcome()), 1);
    assert!(verdict
        .findings
        .more()
        .any(|(kind, more)| { kind == Kind::SpoofedName && more == COUNT - 100 }));
    Ok(())
}

/// A source without an end is no list, which is told when the first record should be there.
#[test]
fn bytes_without_end() -> Result {
    for byte in [1, 10, 0xff] {
        let verdict = judged(|| Some(vec![byte; 4096]))?;
        assert_eq!(exit(verdict.outcome()), 1);
    }
    Ok(())
}
