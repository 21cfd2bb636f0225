// SPDX-License-Identifier: GPL-2.0

//! Logs that are damaged, or larger than they may be.

use crate::{
    made::{algorithms, event, header, sha1_event, spec_id, UNKNOWN},
    recorded::recorded,
};
use ima_log::{
    bank::Digest,
    eventlog::{Error, Event, EventLog, Format, Kind, Part, MAX_ALGORITHMS, MAX_SIZE},
    replay::Register,
};

#[test]
fn headers() {
    let parsed = |bytes: &[u8]| EventLog::parse(bytes).map(|log| log.format());
    let sha256 = (0x000b, 32);
    assert_eq!(parsed(&header(&[sha256])), Ok(Format::CryptoAgile));
    for signature in [
        "Spec ID Event00\0",
        "Spec ID Event02\0",
        "something else",
        "",
    ] {
        let log = sha1_event(0, Kind::NO_ACTION, &[0; 20], signature.as_bytes());
        assert_eq!(parsed(&log), Ok(Format::Sha1), "{signature}");
    }
    let later = [sha1_event(1, Kind(5), &[1; 20], b""), header(&[sha256])].concat();
    assert_eq!(parsed(&later), Ok(Format::Sha1));

    let of = |kind, pcr, digest, data: &[u8]| parsed(&sha1_event(pcr, kind, &[digest; 20], data));
    let good = spec_id(&[sha256]);
    assert_eq!(
        of(Kind::NO_ACTION, 1, 0, &good),
        Err(Error::Header { at: 0 })
    );
    assert_eq!(
        of(Kind::NO_ACTION, 0, 1, &good),
        Err(Error::Header { at: 0 })
    );
    assert_eq!(of(Kind::SEPARATOR, 0, 0, &good), Ok(Format::Sha1));
    let signature = *b"Spec ID Event04\0";
    let version = Error::Version { at: 32, signature };
    assert_eq!(of(Kind::NO_ACTION, 0, 0, &signature), Err(version));
    assert_eq!(
        version.to_string(),
        "event log at byte 32: unknown format \"Spec ID Event04\""
    );

    for count in [0, MAX_ALGORITHMS as u32 + 1, u32::MAX] {
        let mut log = header(&[sha256]);
        log[56..60].copy_from_slice(&count.to_le_bytes());
        assert_eq!(parsed(&log), Err(Error::AlgorithmCount { at: 56, count }));
    }
    for (algorithm, size) in [
        (0x000b, 31),
        (0x000b, 0),
        (0x0004, 32),
        (0x0999, 0),
        (0x0999, 65),
    ] {
        let error = Error::AlgorithmSize {
            at: 64,
            algorithm,
            size,
        };
        assert_eq!(
            parsed(&header(&[(0x000c, 48), (algorithm, size)])),
            Err(error)
        );
    }
    for twice in [sha256, UNKNOWN] {
        let error = Error::Repeated {
            at: 64,
            algorithm: twice.0,
        };
        assert_eq!(parsed(&header(&[twice, twice])), Err(error));
    }
    // it is bounded by its event, not by the log
    let mut short = header(&[sha256, UNKNOWN]);
    short[28..32].copy_from_slice(&32_u32.to_le_bytes());
    let error = Error::Cut {
        at: 60,
        part: Part::Algorithms,
        needed: 8,
        left: 4,
    };
    assert_eq!(parsed(&short), Err(error));
    assert_eq!(
        error.to_string(),
        "event log at byte 60: the algorithms of the header of 8 bytes, but only 4 are left"
    );
}

#[test]
fn digests_are_those_of_the_header() {
    let algorithms = algorithms();
    let start = header(&algorithms);
    let at = start.len();
    let parsed = |listed: &[(u16, u16)]| {
        let event = event(4, Kind::SEPARATOR, 1, b"", listed);
        let log = [start.clone(), event].concat();
        EventLog::parse(&log).map(|log| log.values().len())
    };
    assert_eq!(parsed(&algorithms), Ok(MAX_ALGORITHMS - 1));
    for listed in [&algorithms[1..], &[], &[&*algorithms, &algorithms].concat()] {
        let error = Error::DigestCount {
            at: at + 8,
            count: listed.len() as u32,
            algorithms: MAX_ALGORITHMS,
        };
        assert_eq!(parsed(listed), Err(error));
    }
    for last in [0, 1] {
        let mut listed = algorithms.clone();
        *listed.last_mut().expect("the last") = algorithms[last];
        let size: u16 = listed[..7].iter().map(|(_, size)| 2 + size).sum();
        let error = Error::Repeated {
            at: at + 12 + usize::from(size),
            algorithm: algorithms[last].0,
        };
        assert_eq!(parsed(&listed), Err(error));
    }
    let mut listed = algorithms.clone();
    listed[0] = (0x0029, 64);
    let error = Error::UnknownDigest {
        at: at + 12,
        algorithm: 0x0029,
    };
    assert_eq!(parsed(&listed), Err(error));
}

#[test]
fn sizes_are_bounded() {
    assert_eq!(EventLog::parse(b"").map(|_| ()), Err(Error::Empty));
    let large = vec![0; MAX_SIZE + 1];
    let error = Error::TooLarge { size: large.len() };
    assert_eq!(EventLog::parse(&large).map(|_| ()), Err(error));
    assert_eq!(EventLog::parse(&large[1..]).map(|_| ()), Err(Error::Empty));

    for size in [1, 4, 0x7fff_ffff, u32::MAX - 1, u32::MAX] {
        let mut log = sha1_event(4, Kind::SEPARATOR, &[1; 20], b"");
        log[28..32].copy_from_slice(&size.to_le_bytes());
        let error = Error::Cut {
            at: 32,
            part: Part::Data,
            needed: size.into(),
            left: 0,
        };
        assert_eq!(EventLog::parse(&log).map(|_| ()), Err(error));
    }
    for pcr in [24, 63, u32::MAX] {
        let log = sha1_event(pcr, Kind::SEPARATOR, &[1; 20], b"");
        let error = Error::Pcr { at: 0, pcr };
        assert_eq!(EventLog::parse(&log).map(|_| ()), Err(error));
    }
}

#[test]
fn padding_ends_the_log() {
    for recorded in recorded() {
        let whole = EventLog::parse(&recorded.log).expect("it is one");
        for padding in [0x00, 0xff] {
            for size in [1, 4, 28, 100, 70_000] {
                let padded = [recorded.log.clone(), vec![padding; size]].concat();
                let log = EventLog::parse(&padded).expect("it is one");
                assert_eq!(log.padding(), size);
                assert_eq!(log.values(), whole.values());
                assert!(log.events().eq(whole.events()));
            }
        }
        for end in [vec![0, 0xff], [vec![0; 100], vec![1]].concat()] {
            let log = [recorded.log.clone(), end].concat();
            assert!(EventLog::parse(&log).is_err(), "{}", recorded.name);
        }
    }
    // nothing after the first blank event is hidden
    let blank = sha1_event(4, Kind(0), &[1; 20], b"");
    for event in [&blank, &[0; 32].to_vec()] {
        let first = sha1_event(4, Kind::SEPARATOR, &[1; 20], b"");
        let log = [&*first, event, &first].concat();
        let error = Error::Blank { at: first.len() };
        assert_eq!(EventLog::parse(&log).map(|_| ()), Err(error));
    }
    let event = event(4, Kind(0), 1, b"", &algorithms());
    let log = [header(&algorithms()), event].concat();
    let at = header(&algorithms()).len();
    assert_eq!(EventLog::parse(&log).map(|_| ()), Err(Error::Blank { at }));
    // the zeros in front belong to the event
    let log = sha1_event(4, Kind::SEPARATOR, &[1; 20], &[0; 100]);
    let padded = [log, vec![0; 50]].concat();
    let log = EventLog::parse(&padded).expect("it is one");
    assert_eq!(log.padding(), 50);
    assert_eq!(
        log.events().map(|event| event.data.len()).sum::<usize>(),
        100
    );
}

/// A log that is cut is refused, or it is cut after an event and is nothing but the events before.
#[test]
fn cut_anywhere() {
    for recorded in recorded() {
        let whole = EventLog::parse(&recorded.log).expect("it is one");
        let ends: Vec<usize> = whole.events().map(|event| event.offset).skip(1).collect();
        for cut in 0..recorded.log.len() {
            let bytes = &recorded.log[..cut];
            let before = ends.iter().rev().find(|end| **end <= cut);
            match EventLog::parse(bytes) {
                Ok(log) => {
                    let end = *before.expect("no event is whole");
                    assert!(bytes[end..].iter().all(|byte| *byte == 0), "{cut}");
                    assert_eq!(log.padding(), cut - end);
                    assert!(log.events().eq(whole.events().take(log.events().count())));
                }
                Err(Error::Empty) => assert!(bytes.iter().all(|byte| *byte == 0)),
                Err(Error::Cut {
                    at, needed, left, ..
                }) => {
                    assert!(at <= cut && left < needed);
                    assert!(before.is_none_or(|before| at >= *before));
                }
                Err(error) => panic!("{}, cut at {cut}: {error}", recorded.name),
            }
        }
    }
}

/// What holds of every log, whatever is in it; the replay is done another way.
fn examine(bytes: &[u8]) {
    let log = match EventLog::parse(bytes) {
        Ok(log) => log,
        Err(error) => {
            assert!(error.at() <= bytes.len());
            assert!(!error.to_string().contains(|shown: char| shown.is_control()));
            return;
        }
    };
    let events: Vec<Event<'_>> = log.events().collect();
    let offsets = events.iter().map(|event| event.offset);
    assert!(offsets.clone().is_sorted_by(|before, after| before < after));
    assert!(offsets.max() < Some(bytes.len() - log.padding()));
    for bank in log.banks() {
        for pcr in 0..24 {
            let register = Register { pcr, bank };
            let of_pcr = events.iter().filter(|event| event.pcr == pcr);
            let digests = of_pcr.filter(|event| event.is_extended());
            let mut digests = digests.map(|event| event.digest(bank).expect("one in each bank"));
            let mut start = bank.zeros().as_bytes().to_vec();
            match pcr {
                0 => *start.last_mut().expect("a byte") = log.startup_locality(),
                17..=22 => start.fill(0xff),
                _ => (),
            }
            let start = Digest::new(&start);
            let value = match digests.next() {
                None if pcr >= 16 => None,
                None => Some(start),
                Some(first) => {
                    let first = bank.extend(&start, &first);
                    Some(digests.fold(first, |value, digest| bank.extend(&value, &digest)))
                }
            };
            assert_eq!(log.start(register), value, "{register}");
        }
    }
}

proptest::proptest! {
    /// Real logs with some bytes changed, taken out, or put in.
    #[test]
    fn damaged_logs(
        which: proptest::sample::Index,
        edits in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0..4, 0_u8..), 0..6),
    ) {
        let mut bytes = which.get(recorded()).log.clone();
        for (at, edit, byte) in edits {
            let at = at.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                // of nothing no byte can be chosen
                2 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        examine(&bytes);
    }

    #[test]
    fn anything(bytes: Vec<u8>) {
        examine(&bytes);
        examine(&[header(&algorithms()), bytes].concat());
    }
}
