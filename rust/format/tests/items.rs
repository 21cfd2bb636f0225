// SPDX-License-Identifier: GPL-2.0

//! The items of a checkpoint, against a second reading of `Documentation/record-format.rst` that
//! compares each with all others.

use ima_checkpoint_format::checkpoint::{
    Builder,
    Checkpoint,
    Flags,
    Header,
    Label,
    MAX_BANKS,
    MAX_BUFFER, //
};
use std::{
    collections::BTreeSet,
    hint::black_box,
    time::Instant, //
};

const VALUE: u16 = 0x8001;
const SHADOW: u16 = 0x8002;
const BEFORE: u16 = 0x8003;

#[derive(Clone, Debug)]
struct Item {
    kind: u16,
    pcr: u8,
    state: u8,
    bank: u16,
    size: usize,
}

impl Item {
    fn bytes(&self) -> Vec<u8> {
        let mut out = self.kind.to_le_bytes().to_vec();
        out.extend((4 + self.size as u16).to_le_bytes());
        out.extend([self.pcr, self.state]);
        out.extend(self.bank.to_le_bytes());
        out.resize(out.len() + self.size, b'V');
        out
    }
}

fn checkpoint(flags: Flags, items: &[Item]) -> Vec<u8> {
    let mut out = [0; MAX_BUFFER];
    let header = Header {
        sequence: 1,
        flags,
        ..Header::default()
    };
    let builder = Builder::new(&mut out, &header, Label::default()).expect("there is room");
    let mut buffer = builder.finish().to_vec();
    buffer.extend(items.iter().flat_map(Item::bytes));
    buffer
}

/// Does a reader take them, by the rules?
fn legal(flags: Flags, items: &[Item]) -> bool {
    let banks: BTreeSet<u16> = items.iter().map(|item| item.bank).collect();
    let of = |kind, item: &Item| {
        let (pcr, bank) = (item.pcr, item.bank);
        items
            .iter()
            .filter(move |other| (other.kind, other.pcr, other.bank) == (kind, pcr, bank))
    };
    let each = |item: &Item| {
        let states: &[u8] = match item.kind {
            VALUE => &[0, 1, 2, 3, 4],
            SHADOW => &[1],
            _ => &[0, 3, 4],
        };
        let pairs = match (item.kind, item.state) {
            (VALUE, 1) => of(SHADOW, item).count() == 1 && flags.contains(Flags::DIFFERS),
            (VALUE, _) => of(SHADOW, item).count() == 0,
            (SHADOW, _) => of(VALUE, item).any(|value| value.state == 1),
            _ => true,
        };
        let mut of_bank = items.iter().filter(|other| other.bank == item.bank);
        states.contains(&item.state)
            && pairs
            && of(item.kind, item).count() == 1
            && of_bank.all(|other| other.size == item.size)
    };
    banks.len() <= MAX_BANKS && items.iter().all(each)
}

/// Numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Mostly what is legal, with something wrong here and there.
fn invent(numbers: &mut Numbers) -> Vec<Item> {
    let many = numbers.below(8) == 0;
    let banks = 1 + numbers.below(if many { 19 } else { 3 });
    let mut items = Vec::new();
    for _ in 0..numbers.below(if many { 60 } else { 16 }) {
        let bank = numbers.below(banks) as u16;
        let mut item = Item {
            kind: VALUE,
            pcr: [10, 11, 63, 64, 255][numbers.below(5) as usize],
            state: [0, 0, 1, 1, 2, 3, 4][numbers.below(7) as usize],
            bank,
            size: 1 + usize::from(bank),
        };
        if numbers.below(60) == 0 {
            item.size += 1;
        }
        if item.state == 1 && numbers.below(8) > 0 {
            let shadow = Item {
                kind: SHADOW,
                ..item
            };
            items.push(shadow);
        }
        if numbers.below(4) == 0 {
            let before = Item {
                kind: BEFORE,
                state: 4,
                ..item
            };
            items.push(before);
        }
        let there = items
            .iter()
            .any(|other: &Item| (other.kind, other.pcr, other.bank) == (VALUE, item.pcr, bank));
        if !there || numbers.below(8) == 0 {
            items.push(item);
        }
    }
    // in any order
    for at in (1..items.len()).rev() {
        items.swap(at, numbers.below(at as u64 + 1) as usize);
    }
    items
}

#[test]
fn the_same_verdict_as_by_comparing_each_with_all_others() {
    let mut numbers = Numbers(0x5eed);
    let mut verdicts = [0; 2];
    for _ in 0..100_000 {
        let items = invent(&mut numbers);
        let flags = match numbers.below(8) {
            0 => Flags::default(),
            _ => Flags::DIFFERS,
        };
        let buffer = checkpoint(flags, &items);
        let expected = legal(flags, &items);
        verdicts[usize::from(expected)] += 1;
        assert_eq!(Checkpoint::parse(&buffer).is_ok(), expected, "{items:?}");
    }
    assert!(verdicts.iter().all(|count| *count > 10_000), "{verdicts:?}");
}

/// As many items as there is room for, of that many banks.
fn crowded(banks: u16) -> Vec<u8> {
    let items = (0..422_u16).map(|number| Item {
        kind: [VALUE, BEFORE][usize::from(number / banks / 256)],
        pcr: (number / banks % 256) as u8,
        state: 0,
        bank: number % banks,
        size: 1,
    });
    checkpoint(Flags::default(), &items.collect::<Vec<_>>())
}

/// The best of some runs, in nanoseconds a call.
fn nanoseconds(mut what: impl FnMut()) -> u128 {
    let mut run = || {
        let start = Instant::now();
        (0..10).for_each(|_| what());
        start.elapsed().as_nanos() / 10
    };
    (0..20).map(|_| run()).min().unwrap_or_default()
}

/// Nanoseconds to parse a full checkpoint, and one with half of its items.
fn full_and_half(banks: u16) -> (u128, u128) {
    let full = crowded(banks);
    let half = &full[..Header::SIZE + (full.len() - Header::SIZE) / 9 / 2 * 9];
    assert!(Checkpoint::parse(&full).is_ok() && Checkpoint::parse(half).is_ok());
    let parse = |buffer: &[u8]| assert!(Checkpoint::parse(black_box(buffer)).is_ok());
    (nanoseconds(|| parse(&full)), nanoseconds(|| parse(half)))
}

/// Twice as many items take twice as long. To compare each with all others takes four times as
/// long, however busy the machine is: one good run of some tells.
#[test]
fn the_time_grows_with_the_number_of_items() {
    for banks in [2, MAX_BANKS as u16] {
        let mut runs = (0..10).map(|_| full_and_half(banks));
        let linear = runs.any(|(full, half)| full < 3 * half);
        assert!(linear, "{banks} banks: {:?}", full_and_half(banks));
    }
}

#[test]
#[ignore = "a measurement: cargo test --release --test items -- --ignored --nocapture"]
fn how_long_items_take() {
    for banks in [2, MAX_BANKS as u16] {
        let (full, half) = full_and_half(banks);
        println!("{banks} banks: 422 items take {full} ns, half of them {half} ns");
    }
}
