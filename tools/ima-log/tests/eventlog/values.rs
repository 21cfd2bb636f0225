// SPDX-License-Identifier: GPL-2.0

//! What made logs replay to, as Python's hashlib says.

use crate::made::{algorithms, event, header, locality};
use ima_log::{
    bank::Bank,
    eventlog::{Error, EventLog, Kind},
    replay::Register,
};
use std::collections::BTreeMap;

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
