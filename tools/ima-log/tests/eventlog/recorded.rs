// SPDX-License-Identifier: GPL-2.0

//! Event logs of real firmware, and what a TPM held after them.

use ima_log::{
    bank::{Bank, Digest},
    eventlog::{EventLog, Format, Kind},
    replay::{Register, Values},
};
use std::sync::OnceLock;

/// A log, and what a TPM held after it.
pub(crate) struct Recorded {
    pub(crate) name: String,
    pub(crate) log: Vec<u8>,
    values: Values,
}

/// What tools/testing/make-eventlogs recorded.
pub(crate) fn recorded() -> &'static [Recorded] {
    static LOGS: OnceLock<Vec<Recorded>> = OnceLock::new();
    LOGS.get_or_init(|| {
        let mut logs: Vec<Recorded> = Vec::new();
        for line in include_str!("../data/eventlogs").lines() {
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

pub(crate) fn bytes(digits: &str) -> Vec<u8> {
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
