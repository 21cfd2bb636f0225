// SPDX-License-Identifier: GPL-2.0

//! What PCRs hold after records of every length and kind, against extends that are done one by one.

use super::*;
use crate::bank::Content;
use ima_checkpoint_format::{record::NewRecord, ByteOrder, Error as FormatError};
use proptest::{collection::vec, prelude::*};
use std::{
    convert::Infallible,
    io::{self, Read},
};

/// Starts PCRs from a base, and counts.
#[derive(Default)]
struct Counter {
    base: Values,
    records: u64,
    faults: u64,
    /// Where the last fault was.
    fault: Place,
}

impl Observer for Counter {
    type Error = Infallible;

    fn start(&self, register: Register) -> Start {
        let value = self.base.get(&register).copied();
        Start {
            value: value.unwrap_or(register.bank.zeros()),
            origin: Origin::Given,
        }
    }

    fn record(&mut self, seen: &Seen<'_>, _replay: &Replay) -> Result<(), Infallible> {
        assert_eq!(seen.at.record, self.records);
        self.records += 1;
        Ok(())
    }

    fn fault(&mut self, at: Place, _fault: Fault) -> Result<(), Infallible> {
        self.faults += 1;
        self.fault = at;
        Ok(())
    }
}

fn record(template: &[u8], digest: &[u8], fields: &[&[u8]]) -> Result<Vec<u8>, FormatError> {
    let new = NewRecord {
        pcr: 10,
        digest,
        template_name: template,
        fields: fields.iter().copied(),
        order: ByteOrder::Little,
    };
    let mut out = vec![0; new.encoded_len()?];
    new.encode(&mut out)?;
    Ok(out)
}

fn replayed(list: impl Read, banks: &[Bank], jobs: usize, counter: &mut Counter) -> Replay {
    let source = Source {
        name: "list".to_owned(),
        bytes: Box::new(list),
        layout: Layout {
            bank: Bank::Sha1,
            order: ByteOrder::Little,
            padded: false,
            ascii: false,
        },
        segment: None,
        seals: true,
    };
    let plan = Plan {
        banks: banks
            .iter()
            .map(|bank| (*bank, Content::usual(*bank)))
            .collect(),
        jobs,
        checks: true,
    };
    match run(std::iter::once(Ok(source)), &plan, counter) {
        Ok(replay) => replay,
        Err(never) => match never {},
    }
}

/// Two extends of zeros, the slow way.
fn check(list: &[u8], digest: impl Fn(Bank) -> Digest) {
    let replay = replayed(list, &Bank::ALL, 1, &mut Counter::default());
    for bank in Bank::ALL {
        let twice = bank.extend(&bank.extend(&bank.zeros(), &digest(bank)), &digest(bank));
        let register = Register { pcr: 10, bank };
        assert_eq!(replay.value(register), Some(twice), "{bank}");
    }
    assert!(replay.used().eq([(10, 2)]));
}

/// SHA-1 followed by zeros, for a bank whose hash IMA does not know.
fn of_ima(bank: Bank, input: &[u8]) -> Digest {
    if bank.mapped() {
        return bank.hash(&[input]);
    }
    let mut padded = Bank::Sha1.hash(&[input]).as_bytes().to_vec();
    padded.resize(bank.size(), 0);
    Digest::new(&padded)
}

#[test]
fn every_length_around_a_block() -> Result<(), FormatError> {
    for length in (0..300).chain([4000, 70_000]) {
        let name = vec![b'n'; length];
        let input = [
            b"\0\0\0\0".as_slice(),
            &(length as u32).to_le_bytes(),
            &name,
        ]
        .concat();
        let list = record(b"ima-ng", &[1; 20], &[b"", &name])?.repeat(2);
        check(&list, |bank| of_ima(bank, &input));
    }
    Ok(())
}

#[test]
fn the_legacy_template_hashes_the_padded_name() -> Result<(), FormatError> {
    let list = record(b"ima", &[1; 20], &[&[7; 20], b"/bin/sh"])?.repeat(2);
    let mut input = [0; 276];
    input[..20].fill(7);
    input[20..27].copy_from_slice(b"/bin/sh");
    check(&list, |bank| of_ima(bank, &input));
    Ok(())
}

#[test]
fn violations_extend_ones() -> Result<(), FormatError> {
    let list = record(b"ima-ng", &[0; 20], &[b"", b""])?.repeat(2);
    check(&list, ones);
    Ok(())
}

/// What IMA extends for a violation.
fn ones(bank: Bank) -> Digest {
    let mut ones = [0xff; Digest::MAX];
    if !bank.mapped() {
        ones[20..].fill(0);
    }
    Digest::new(&ones[..bank.size()])
}

#[test]
fn starts_from_the_base() -> Result<(), FormatError> {
    let register = |pcr| Register {
        pcr,
        bank: Bank::Sha256,
    };
    let value = Bank::Sha256.hash(&[b"base"]);
    let mut counter = Counter {
        base: Values::from([(register(10), value)]),
        ..Counter::default()
    };
    let list = record(b"ima-ng", &[0; 20], &[b"", b""])?;
    let replay = replayed(&*list, &Bank::ALL, 1, &mut counter);
    let ones = Digest::new(&[0xff; 32]);
    let expected = Bank::Sha256.extend(&value, &ones);
    assert_eq!(replay.value(register(10)), Some(expected));
    assert_eq!(replay.value(register(11)), None);
    Ok(())
}

proptest! {
    /// Many records of any length, violations among them, in several PCRs: what follows a message in
    /// its batch is no part of it.
    #[test]
    fn lists_of_any_records(
        records in vec((10..13_u32, vec(any::<u8>(), 0..300), 0..5), 1..12),
    ) {
        let mut list = Vec::new();
        let mut expected = Values::new();
        for (pcr, name, kind) in records {
            let violation = kind == 0;
            let input = [[0; 4].as_slice(), &(name.len() as u32).to_le_bytes(), &name].concat();
            let shown = if violation { [0; 20] } else { [1; 20] };
            let made = record(b"ima-ng", &shown, &[b"", &name]);
            prop_assert!(made.is_ok());
            let mut made = made.unwrap_or_default();
            made[0] = pcr as u8;
            list.extend(made);
            for bank in Bank::ALL {
                let value = expected.entry(Register { pcr, bank }).or_insert(bank.zeros());
                let digest = match violation {
                    true => ones(bank),
                    false => of_ima(bank, &input),
                };
                *value = bank.extend(value, &digest);
            }
        }
        let replay = replayed(&*list, &Bank::ALL, 2, &mut Counter::default());
        let values: Values = replay.registers().map(|(at, start)| (at, start.value)).collect();
        prop_assert_eq!(values, expected);
    }
}

/// However many work on it, the order is that of the list.
#[test]
fn threads_change_nothing() -> Result<(), FormatError> {
    let banks = [Bank::Sha1, Bank::Sha256];
    let mut list = Vec::new();
    for number in 0..20_000_u32 {
        let name = number.to_le_bytes().repeat(1 + number as usize % 40);
        list.extend(record(b"ima-ng", &[1; 20], &[b"", &name])?);
    }
    list.extend(b"\x0a\0\0\0cut");
    let mut one = Counter::default();
    let alone = replayed(&*list, &banks, 1, &mut one);
    for jobs in [2, 3, 8] {
        let mut many = Counter::default();
        let together = replayed(&*list, &banks, jobs, &mut many);
        assert!(alone.registers().eq(together.registers()));
        assert_eq!((many.records, many.faults), (20_000, 1));
    }
    assert_eq!((one.records, one.faults), (20_000, 1));
    Ok(())
}

/// A compressed file that is damaged is told with the place up to which it could be read.
#[test]
fn what_cannot_be_read_has_a_place() -> Result<(), FormatError> {
    struct Damaged;

    impl Read for Damaged {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    let list = record(b"ima-ng", &[1; 20], &[b"", b"n"])?.repeat(3);
    let mut counter = Counter::default();
    replayed(list.chain(Damaged), &[Bank::Sha1], 1, &mut counter);
    let inner = Position {
        record: 3,
        offset: list.len() as u64,
    };
    let at = Place { record: 3, inner };
    assert_eq!((counter.faults, counter.fault), (1, at));
    Ok(())
}
