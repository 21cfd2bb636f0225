// SPDX-License-Identifier: GPL-2.0

//! Event logs: of real firmware, compared with what a TPM held; made by hand, compared with what Python's
//! hashlib says; damaged in every way.

use ima_log::{
    bank::{
        Bank,
        Digest, //
    },
    eventlog::{
        Error,
        Event,
        EventLog,
        Format,
        Kind,
        Part,
        MAX_ALGORITHMS,
        MAX_SIZE, //
    },
    replay::{
        Register,
        Values, //
    },
};
use std::{
    collections::BTreeMap,
    sync::OnceLock, //
};

/// A log, and what a TPM held after it.
struct Recorded {
    name: String,
    log: Vec<u8>,
    values: Values,
}

/// What tools/testing/make-eventlogs recorded.
fn recorded() -> &'static [Recorded] {
    static LOGS: OnceLock<Vec<Recorded>> = OnceLock::new();
    LOGS.get_or_init(|| {
        let mut logs: Vec<Recorded> = Vec::new();
        for line in include_str!("data/eventlogs").lines() {
            if let Some(name) = line.strip_prefix('[') {
                logs.push(Recorded {
                    name: name.trim_end_matches(']').to_owned(),
                    log: Vec::new(),
                    values: Values::new(),
                });
            }
            let Some((key, digits)) = line.split_once(" = ") else {
                continue;
            };
            let log = logs.last_mut().expect("a section");
            if key == "log" {
                log.log = bytes(digits);
                continue;
            }
            let (bank, pcr) = key.split_once(':').expect("a register");
            let bank = Bank::from_name(bank).expect("a bank");
            let pcr = pcr.parse().expect("a number");
            let value = Digest::from_hex(digits).expect("a digest");
            log.values.insert(Register { pcr, bank }, value);
        }
        logs
    })
}

fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(std::str::from_utf8);
    let byte = |pair| u8::from_str_radix(pair, 16).expect("digits");
    pairs.map(|pair| byte(pair.expect("ASCII"))).collect()
}

fn with_name(name: &str) -> &'static Recorded {
    let mut logs = recorded().iter();
    logs.find(|log| log.name == name).expect("it was recorded")
}

#[test]
fn real_logs_give_what_the_tpm_held() {
    for recorded in recorded() {
        let log = EventLog::parse(&recorded.log).expect(&recorded.name);
        for (register, value) in &recorded.values {
            let start = log.start(*register);
            match register.pcr {
                10 => assert_ne!(start, Some(*value), "IMA extended it"),
                16.. => assert_eq!(start, None, "{register}"),
                _ => assert_eq!(start, Some(*value), "{}: {register}", recorded.name),
            }
        }
        let banks: Vec<Bank> = recorded.values.keys().map(|at| at.bank).collect();
        assert!(log.banks().iter().all(|bank| banks.contains(bank)));
        assert!(banks.iter().all(|bank| log.has(*bank)));
        assert_eq!(log.padding(), 0);
    }
}

/// As many as tpm2_eventlog shows (it does not read the last log, which was counted by hand), and those that
/// only one kind of firmware has.
#[test]
fn real_logs_have_their_events() {
    let events = |name: &str| {
        let log = EventLog::parse(&with_name(name).log).expect(name);
        (log.format(), log.events().count(), log.used().clone())
    };
    let (format, count, used) = events("ovmf");
    assert_eq!((format, count), (Format::CryptoAgile, 25));
    assert!(used.contains_key(&9), "the kernel's EFI stub: the initrd");
    let (format, count, used) = events("seabios");
    assert_eq!((format, count), (Format::CryptoAgile, 15));
    assert!(!used.contains_key(&9));
    let (format, count, _) = events("seabios-tpm1");
    assert_eq!((format, count), (Format::Sha1, 14));

    let log = EventLog::parse(&with_name("ovmf").log).expect("it is one");
    let last = log.events().last().expect("events");
    assert_eq!((last.pcr, last.kind.name()), (5, Some("EV_EFI_ACTION")));
    assert_eq!(last.data, b"Exit Boot Services Returned with Success");
    let of_data = Bank::Sha384.hash(&[last.data]);
    assert_eq!(last.digest(Bank::Sha384), Some(of_data));
    assert_eq!(last.digest(Bank::Sm3), None);
}

#[test]
fn the_locality_is_where_pcr_0_starts() {
    for locality in [0, 3, 4] {
        let recorded = with_name(&format!("locality{locality}"));
        let log = EventLog::parse(&recorded.log).expect("it is one");
        assert_eq!(log.startup_locality(), locality);
        let hcrtm = log
            .events()
            .any(|event| event.kind == Kind::EFI_HCRTM_EVENT);
        assert_eq!(hcrtm, locality == 4);
        assert_eq!(log.values(), &recorded.values);
    }
}

/// An event of the SHA-1 format.
fn sha1_event(pcr: u32, kind: Kind, digest: &[u8; 20], data: &[u8]) -> Vec<u8> {
    let mut event = [pcr.to_le_bytes(), kind.0.to_le_bytes()].concat();
    event.extend(digest);
    event.extend((data.len() as u32).to_le_bytes());
    event.extend(data);
    event
}

const UNKNOWN: (u16, u16) = (0x0999, 7);

/// All banks, and an algorithm that is none, but not more than there may be.
fn algorithms() -> Vec<(u16, u16)> {
    let known = Bank::ALL.iter().take(MAX_ALGORITHMS - 1);
    let known = known.map(|bank| (bank.tpm_id(), bank.size() as u16));
    std::iter::once(UNKNOWN).chain(known).collect()
}

/// The data of a header.
fn spec_id(algorithms: &[(u16, u16)]) -> Vec<u8> {
    let mut data = b"Spec ID Event03\0\0\0\0\0\0\x02\0\x02".to_vec();
    data.extend((algorithms.len() as u32).to_le_bytes());
    for (id, size) in algorithms {
        data.extend([id.to_le_bytes(), size.to_le_bytes()].concat());
    }
    data.extend(b"\x02us"); // the vendor's information
    data
}

fn header(algorithms: &[(u16, u16)]) -> Vec<u8> {
    sha1_event(0, Kind::NO_ACTION, &[0; 20], &spec_id(algorithms))
}

/// An event of the crypto-agile format, with digests of nothing but `fill`.
fn event(pcr: u32, kind: Kind, fill: u8, data: &[u8], algorithms: &[(u16, u16)]) -> Vec<u8> {
    let count = algorithms.len() as u32;
    let mut event = [pcr, kind.0, count].map(u32::to_le_bytes).concat();
    for (id, size) in algorithms {
        event.extend(id.to_le_bytes());
        event.extend(vec![fill; usize::from(*size)]);
    }
    event.extend((data.len() as u32).to_le_bytes());
    event.extend(data);
    event
}

fn locality(value: u8) -> Vec<u8> {
    let data = [b"StartupLocality\0".as_slice(), &[value]].concat();
    event(0, Kind::NO_ACTION, 0, &data, &algorithms())
}

/// `rep('sha256', bytes(32), b'\1' * 32, b'\2' * 32)` for PCR 4 and `rep('sha256', b'\xff' * 32, b'\1' * 32)`
/// for PCR 17, for every hash, with
///
///     def rep(hash, value, *digests):
///         for digest in digests: value = hashlib.new(hash, value + digest).digest()
///         return value.hex()
#[test]
fn every_bank() {
    let known = [
        (Bank::Sha1, "0e88991a168f2648", "dac21fb44c8da0dc"),
        (Bank::Sha256, "a7f2fad943905535", "a7a649638f6253f3"),
        (Bank::Sha384, "11422093d9248558", "f73d13c45db0a1b7"),
        (Bank::Sha512, "362aaa752c8c0d7f", "ee55e75e15d30953"),
        (Bank::Sm3, "3e7ee5763f97162f", "f790ec95d5a8fd53"),
        (Bank::Sha3_256, "919fc19b1904e5b2", "ddd86d3f50e79f61"),
        (Bank::Sha3_384, "6e09e60c2947ae13", "ab9bfa049c6cb93d"),
        (Bank::Sha3_512, "f84d0dcde5644d93", "d3f277fb0f8cdb89"),
    ];
    let all: Vec<_> = Bank::ALL
        .map(|bank| (bank.tpm_id(), bank.size() as u16))
        .into();
    let bytes = [
        header(&all),
        event(4, Kind::SEPARATOR, 1, b"one", &all),
        event(4, Kind::NO_ACTION, 3, b"not extended", &all),
        event(u32::MAX, Kind::NO_ACTION, 3, b"in no PCR", &all),
        event(17, Kind(0x8000_1234), 1, b"", &all),
        event(4, Kind(5), 2, b"two", &all),
    ]
    .concat();
    let log = EventLog::parse(&bytes).expect("it is one");
    assert_eq!(log.banks(), Bank::ALL);
    assert_eq!(log.used(), &BTreeMap::from([(4, 2), (17, 1)]));
    for (bank, four, seventeen) in known {
        let start = |pcr| log.start(Register { pcr, bank });
        let digits = |pcr| start(pcr).expect("a value").to_string();
        assert!(digits(4).starts_with(four), "{bank}");
        assert!(digits(17).starts_with(seventeen), "{bank}");
        assert_eq!(start(0), Some(bank.zeros()));
        assert_eq!(start(15), Some(bank.zeros()));
        assert_eq!([16, 18, 23, 24].map(start), [None; 4]);
        let replay = log.replay(bank);
        assert_eq!(replay.keys().copied().collect::<Vec<_>>(), [4, 17]);
        assert_eq!(replay.get(&4).copied(), start(4));
    }
    assert_eq!(log.values().len(), 2 * Bank::ALL.len());
}

#[test]
fn an_unknown_algorithm_is_skipped() {
    let algorithms = algorithms();
    let mut reversed = algorithms.clone();
    reversed.reverse();
    let bytes = [
        header(&algorithms),
        event(4, Kind::SEPARATOR, 1, b"one", &algorithms),
        event(4, Kind(5), 2, b"two", &reversed),
    ]
    .concat();
    let log = EventLog::parse(&bytes).expect("it is one");
    assert!(log.has(Bank::Sha256) && !log.has(Bank::Sha3_512));
    assert!(log.replay(Bank::Sha3_512).is_empty());
    let register = |bank| Register { pcr: 4, bank };
    assert_eq!(log.start(register(Bank::Sha3_512)), None);
    let value = log.start(register(Bank::Sha256)).expect("a value");
    assert!(value.to_string().starts_with("a7f2fad943905535"));
}

/// `rep('sha256', bytes(31) + b'\3', b'\1' * 32)` and the like.
#[test]
fn start_of_pcr_0() {
    let algorithms = algorithms();
    let separator = event(0, Kind::SEPARATOR, 1, b"", &algorithms);
    for (value, sha1, sha256) in [
        (3, "9657e951b0b5175e", "c4b53db2451179ae"),
        (4, "0a653b90b8255cf9", "85aba9ac14799f65"),
    ] {
        let event = locality(value);
        for events in [
            [&event, &separator].as_slice(),
            &[&separator, &event],
            &[&event, &separator, &event],
        ] {
            let mut bytes = header(&algorithms);
            events.iter().for_each(|event| bytes.extend(*event));
            let log = EventLog::parse(&bytes).expect("it is one");
            for (bank, expected) in [(Bank::Sha1, sha1), (Bank::Sha256, sha256)] {
                let start = log.start(Register { pcr: 0, bank }).expect("a value");
                assert!(start.to_string().starts_with(expected), "{bank} {value}");
            }
        }
        // nothing extends it
        let bytes = [header(&algorithms), event].concat();
        let log = EventLog::parse(&bytes).expect("it is one");
        let bank = Bank::Sha1;
        let start = log.start(Register { pcr: 0, bank }).expect("a value");
        assert_eq!(start.to_string(), format!("{value:040x}"));
        assert_eq!(log.start(Register { pcr: 1, bank }), Some(bank.zeros()));
    }
    let with = |events: &[Vec<u8>]| {
        let bytes = [header(&algorithms), events.concat()].concat();
        EventLog::parse(&bytes).map(|log| log.startup_locality())
    };
    let at = header(&algorithms).len();
    let next = at + locality(0).len();
    for value in [1, 2, 5, 255] {
        let error = Error::Locality {
            at,
            locality: value,
        };
        assert_eq!(with(&[locality(value)]), Err(error));
    }
    let (first, second) = (0, 3);
    let error = Error::Localities {
        at: next,
        first,
        second,
    };
    assert_eq!(with(&[locality(0), locality(3)]), Err(error));
    let long = event(
        0,
        Kind::NO_ACTION,
        0,
        b"StartupLocality\0\x03\0",
        &algorithms,
    );
    assert_eq!(with(&[long]), Err(Error::LocalitySize { at, size: 18 }));
    let elsewhere = event(1, Kind::NO_ACTION, 0, b"StartupLocality\0\x09", &algorithms);
    assert_eq!(with(&[elsewhere]), Ok(0));
    let extended = event(0, Kind(5), 0, b"StartupLocality\0\x03", &algorithms);
    assert_eq!(with(&[extended]), Ok(0));
}

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
        "event log at byte 32: \"Spec ID Event04\" is no format that is known"
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
        "event log at byte 60: the algorithms of the header of 8 bytes, where 4 are left"
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
    // nothing behind the first blank event is hidden
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

/// A log that is cut is refused, or it is cut behind an event and is nothing but the events before.
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
