// SPDX-License-Identifier: GPL-2.0

//! The buffers of checkpoints and truncations: what parses is written again to the same bytes.

#![no_main]

use ima_checkpoint_format::{
    checkpoint::{Builder, Checkpoint, Entry, Flags, Header, Kind, State},
    truncate::Truncation,
    Error,
};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;

fuzz_target!(|buffer: &[u8]| {
    if let Ok(truncation) = Truncation::parse(buffer) {
        let mut out = [0; Truncation::SIZE];
        let again = truncation.encode(&mut out).expect("it was parsed");
        assert_eq!(Truncation::parse(again), Ok(truncation));
        if buffer.len() == Truncation::SIZE {
            assert_eq!(again, buffer);
        }
    }
    if let Ok(checkpoint) = Checkpoint::parse(buffer) {
        agrees(&checkpoint);
        rebuilds(&checkpoint);
        for cut in 0..buffer.len() {
            let _ = Checkpoint::parse(&buffer[..cut]);
        }
    }
});

/// What the reader promises of a checkpoint.
fn agrees(checkpoint: &Checkpoint<'_>) {
    assert!(checkpoint.header().sequence > 0);
    assert!(checkpoint
        .label()
        .as_str()
        .bytes()
        .all(|byte| (0x20..0x7f).contains(&byte)));
    let mut seen = BTreeSet::new();
    for value in checkpoint.values() {
        assert!(seen.insert((value.pcr, value.algorithm)));
        assert!((1..=64).contains(&value.value.len()));
        assert_eq!(checkpoint.value(value.pcr, value.algorithm), Some(value));
        let shadow = checkpoint.shadow(value.pcr, value.algorithm);
        assert_eq!(shadow.is_some(), value.state == State::Differs);
        assert!(shadow.is_none_or(|shadow| shadow.len() == value.value.len()));
        let flagged = checkpoint.header().flags.contains(Flags::DIFFERS);
        assert!(shadow.is_none() || flagged);
    }
    let before: Vec<_> = checkpoint
        .before()
        .map(|entry| (entry.pcr, entry.algorithm))
        .collect();
    assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), before.len());
}

/// The writer gives a checkpoint that says the same.
fn rebuilds(checkpoint: &Checkpoint<'_>) {
    let mut out = [0; 2 * Header::SIZE + 4096];
    let header = checkpoint.header();
    let builder = Builder::new(&mut out, header, checkpoint.label());
    let mut builder = builder.expect("it was parsed");
    let default_pcr = header.default_pcr;
    let mut values: Vec<_> = checkpoint.values().collect();
    values.sort_by_key(|value| (u32::from(value.pcr) != default_pcr, value.pcr));
    for value in &values {
        let shadow = checkpoint.shadow(value.pcr, value.algorithm);
        let shadow = shadow.map(|shadow| Entry {
            value: shadow,
            ..*value
        });
        let mut entries = vec![(Kind::Value, *value)];
        entries.extend(shadow.map(|shadow| (Kind::Shadow, shadow)));
        for (kind, entry) in entries {
            match builder.push(kind, &entry) {
                Ok(()) => (),
                Err(Error::NoSpace) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
    let again = Checkpoint::parse(builder.finish()).expect("it was built");
    let flags = header.flags | again.header().flags;
    assert_eq!(*again.header(), Header { flags, ..*header });
    assert_eq!(again.label(), checkpoint.label());
    assert!(again
        .values()
        .eq(values.into_iter().take(again.values().count())));
}
