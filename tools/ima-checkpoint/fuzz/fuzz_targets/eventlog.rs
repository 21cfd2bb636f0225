// SPDX-License-Identifier: GPL-2.0

//! The event log of a firmware, in either format.

#![no_main]

use ima_log::{
    eventlog::{Event, EventLog},
    replay::{Register, Values},
};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;

/// The smallest event: of the crypto-agile format, with one digest of one byte, which is skipped, and no
/// data.
const SMALLEST: usize = 19;

fuzz_target!(|bytes: &[u8]| {
    match EventLog::parse(bytes) {
        Ok(log) => agrees(&log, bytes),
        Err(error) => {
            assert!(error.at() <= bytes.len());
            assert!(!error.to_string().contains(|shown: char| shown.is_control()));
        }
    }
});

/// What the reader promises of a log.
fn agrees(log: &EventLog<'_>, bytes: &[u8]) {
    let end = bytes.len() - log.padding();
    let (kept, padding) = bytes.split_at(end);
    for same in [0x00, 0xff] {
        assert!(padding.first() != Some(&same) || padding.iter().all(|byte| *byte == same));
    }
    let events: Vec<Event<'_>> = log.events().collect();
    assert!(!events.is_empty() && events.len() <= end.div_ceil(SMALLEST));
    assert_eq!(events[0].offset, 0);
    for (number, event) in events.iter().enumerate() {
        let next = events.get(number + 1).map_or(end, |next| next.offset);
        assert!(event.offset + SMALLEST + event.data.len() <= next);
        assert!(kept[..next].ends_with(event.data));
        let banks: BTreeSet<_> = event.digests.iter().map(|(bank, _)| bank).collect();
        assert_eq!(banks.len(), event.digests.len());
        assert!(event
            .digests
            .iter()
            .all(|(bank, digest)| digest.as_bytes().len() == bank.size()));
        assert!(!event.is_extended() || event.pcr < 24);
    }
    replays(log, &events);
    // the work is linear: each hash is for a digest that the log has room for, of 20 bytes at least. Its time
    // is not measured: a machine that does other things as well would make that fail
    let hashes = log.used().values().sum::<u64>() * log.banks().len() as u64;
    assert!(hashes * 20 <= end as u64);

    // each event counts, and nothing else does
    let again = EventLog::parse(kept).expect("it was parsed");
    assert_eq!(again.values(), log.values());
    if let Some(last) = events.last().filter(|last| last.offset > 0) {
        let shorter = EventLog::parse(&kept[..last.offset]).expect("it was parsed");
        assert!(shorter.padding() == 0 && shorter.events().eq(events[..events.len() - 1].to_vec()));
    }
}

/// The replay, from the events that are shown.
fn replays(log: &EventLog<'_>, events: &[Event<'_>]) {
    let mut values = Values::new();
    for event in events.iter().filter(|event| event.is_extended()) {
        for (bank, digest) in &event.digests {
            let register = Register {
                pcr: event.pcr,
                bank: *bank,
            };
            let mut start = [if (17..=22).contains(&event.pcr) {
                0xff
            } else {
                0
            }; 64];
            if event.pcr == 0 {
                start[bank.size() - 1] = log.startup_locality();
            }
            let start = ima_log::bank::Digest::new(&start[..bank.size()]);
            let value = values.entry(register).or_insert(start);
            *value = bank.extend(value, digest);
        }
    }
    assert_eq!(&values, log.values());
    for (register, value) in &values {
        assert_eq!(log.start(*register), Some(*value));
        assert!(log.has(register.bank) && log.used().contains_key(&register.pcr));
    }
}
