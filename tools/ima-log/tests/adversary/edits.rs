// SPDX-License-Identifier: GPL-2.0

//! What somebody on the way can do to a list: single edits, at random places.

use crate::{
    bank::{Bank, Register},
    claims::{is_checkpoint, is_special, Claims, Item, Kind, State, LOG_LOST},
    kernel::Kernel,
    quotes::{self, is_quote},
    record::{Order, Record, LEGACY},
    rng::Rng,
    tpm::Values,
    world,
};

/// A list that is being forged.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) order: Order,
    pub(crate) kernel: Kernel,
    pub(crate) records: Vec<Record>,
    /// Bytes that are cut off its end.
    pub(crate) cut: usize,
}

/// Names that records can be given. Those of the first half have three fields, as checkpoints.
const TEMPLATES: [&str; 8] = [
    "d-ng|sig|buf",
    "ima-sig",
    "ima-buf",
    "sig|sig|sig",
    "ima-ng",
    "d-ng|n-ng",
    "ima-ngv2",
    "d-ng|sig",
];

/// An edit, and the place of the record that it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Edit {
    Drop(usize),
    DropFrom(usize),
    DropBefore(usize),
    /// Leaves out the first records of a PCR, as many as this.
    DropFirstOf(u32, usize),
    DropAllOf(u32),
    Insert(usize),
    Append,
    Duplicate(usize, usize),
    Swap(usize, usize),
    Move(usize, usize),
    Relabel(usize, &'static str),
    RelabelCheckpoints(&'static str),
    Repcr(usize, u32),
    FlipData(usize),
    /// Other content for a violation, which no digest covers.
    RewriteViolation(usize),
    ToggleViolation(usize),
    Misprint(usize),
    AsLegacy(usize),
    AsIfNotLegacy(usize),
    ForgeClaims(usize),
    InsertCheckpoint(usize),
    AppendCheckpoint,
    /// Makes the numbers of a checkpoint fit what is before it.
    Mend(usize),
    Splice(usize),
    CutBytes(usize),
    /// Puts in a quote that names a known key, over the values that this list replays to there.
    ForgeQuote(usize),
}

impl Edit {
    /// One of all, at random.
    pub(crate) fn random(list: &List, rng: &mut Rng) -> Self {
        let count = list.records.len();
        let at = rng.below(count);
        let to = rng.below(count);
        let pcr = rng.within(9, 14) as u32;
        match rng.below(26) {
            0 => Self::Drop(at),
            1 => Self::DropFrom(at),
            2 => Self::DropBefore(at),
            3 => Self::DropFirstOf(pcr, 1 + rng.below(3)),
            4 => Self::DropAllOf(pcr),
            5 => Self::Insert(at),
            6 => Self::Append,
            7 => Self::Duplicate(at, to),
            8 => Self::Swap(at, to),
            9 => Self::Move(at, to),
            10 => Self::Relabel(at, rng.pick(&TEMPLATES)),
            11 => Self::RelabelCheckpoints(rng.pick(&TEMPLATES[..4])),
            12 => Self::Repcr(at, pcr),
            13 => Self::FlipData(at),
            14 => Self::RewriteViolation(at),
            15 => Self::ToggleViolation(at),
            16 => Self::Misprint(at),
            17 => Self::AsLegacy(at),
            18 => Self::AsIfNotLegacy(at),
            19 => Self::ForgeClaims(at),
            20 => Self::InsertCheckpoint(at),
            21 => Self::AppendCheckpoint,
            22 => Self::Mend(at),
            23 => Self::Splice(at),
            24 => Self::ForgeQuote(at),
            _ => Self::CutBytes(rng.within(1, 100)),
        }
    }

    /// Does it. What it needs is there from the place on, or it does nothing.
    pub(crate) fn apply(self, list: &mut List, rng: &mut Rng) {
        let (order, kernel) = (list.order, list.kernel);
        let records = &mut list.records;
        match self {
            Self::DropFrom(at) => records.truncate(at),
            Self::DropBefore(at) => drop(records.drain(..at.min(records.len()))),
            Self::DropFirstOf(pcr, count) => drop_first_of(records, pcr, count),
            Self::DropAllOf(pcr) => records.retain(|record| record.pcr != pcr),
            Self::Append => records.push(world::record(rng, order)),
            Self::RelabelCheckpoints(template) => {
                let specials = records.iter_mut().filter(|record| is_special(record));
                specials.for_each(|record| record.template = template);
            }
            Self::AppendCheckpoint => {
                let forged = forged_checkpoint(records, order, kernel, rng);
                records.push(forged);
            }
            Self::ForgeQuote(at) => forge_quote(records, at, order, kernel),
            Self::Splice(at) => {
                let banks = vec![Bank::Sha1, Bank::Sha256];
                let mut other = world::boot(rng, order, Kernel::Usual, banks);
                (0..rng.below(6)).for_each(|_| world::happen(&mut other, false, rng));
                // another machine has other keys: of this one, it would be another boot that is proven
                other.records.retain(|record| !is_quote(record));
                let from = rng.below(other.records.len());
                records.truncate(at);
                records.extend(other.records.drain(from..));
            }
            Self::CutBytes(count) => list.cut = count,
            _ => self.apply_to_one(records, order, kernel, rng),
        }
    }

    /// Those that are about one record.
    fn apply_to_one(self, records: &mut Vec<Record>, order: Order, kernel: Kernel, rng: &mut Rng) {
        let (Some(at), count) = (self.place(), records.len()) else {
            return;
        };
        if at >= count {
            return;
        }
        match self {
            Self::Drop(at) => drop(records.remove(at)),
            Self::Insert(at) => records.insert(at, world::record(rng, order)),
            Self::Duplicate(at, to) => records.insert(to.min(count), records[at].clone()),
            Self::Swap(at, with) => records.swap(at, with.min(count - 1)),
            Self::Move(at, to) => {
                let moved = records.remove(at);
                records.insert(to.min(count - 1), moved);
            }
            Self::InsertCheckpoint(at) => {
                let forged = forged_checkpoint(&records[..at], order, kernel, rng);
                records.insert(at, forged);
            }
            Self::Mend(at) => mend(records, at, order),
            _ => self.change(&mut records[at], order, rng),
        }
    }

    /// Those that change one record.
    fn change(self, record: &mut Record, order: Order, rng: &mut Rng) {
        match self {
            Self::Relabel(_, template) if record.template != "ima" => record.template = template,
            Self::Repcr(_, pcr) => record.pcr = pcr,
            Self::FlipData(_) => flip(record, rng),
            Self::RewriteViolation(_) if record.violation => flip(record, rng),
            Self::ToggleViolation(_) => {
                record.violation ^= true;
                record.misprinted = false;
            }
            Self::Misprint(_) if !record.violation => record.misprinted = true,
            Self::AsLegacy(_) if record.data.len() == LEGACY => record.template = "ima",
            Self::AsIfNotLegacy(_) if record.template == "ima" => record.template = "ima-ng",
            Self::ForgeClaims(_) => {
                if let Some(mut claims) = Claims::read(record) {
                    forge(&mut claims, rng);
                    *record = claims.record(record.pcr, order);
                }
            }
            _ => (),
        }
    }

    /// The record that it is about, of those that are about one.
    fn place(self) -> Option<usize> {
        match self {
            Self::Drop(at)
            | Self::Insert(at)
            | Self::Duplicate(at, _)
            | Self::Swap(at, _)
            | Self::Move(at, _)
            | Self::Relabel(at, _)
            | Self::Repcr(at, _)
            | Self::FlipData(at)
            | Self::RewriteViolation(at)
            | Self::ToggleViolation(at)
            | Self::Misprint(at)
            | Self::AsLegacy(at)
            | Self::AsIfNotLegacy(at)
            | Self::ForgeClaims(at)
            | Self::InsertCheckpoint(at)
            | Self::Mend(at) => Some(at),
            _ => None,
        }
    }
}

/// A quote by a key of somebody's own, over the newest checkpoint before this place.
fn forge_quote(records: &mut Vec<Record>, at: usize, order: Order, kernel: Kernel) {
    let before = &records[..at.min(records.len())];
    let Some(checkpoint) = before.iter().rfind(|record| is_checkpoint(record)) else {
        return;
    };
    let named = quotes::named(checkpoint);
    let banks = [Bank::Sha1, Bank::Sha256, Bank::Sha384];
    let replayed = replay(before, &banks, kernel, Values::new());
    let held = named.into_iter();
    let held = held.filter_map(|at| Some((at, replayed.get(&at)?.clone())));
    let quote = quotes::record(checkpoint, [0, 2], &held.collect(), 1 << 20, order);
    records.insert(at.min(records.len()), quote);
}

fn drop_first_of(records: &mut Vec<Record>, pcr: u32, count: usize) {
    let mut left = count;
    records.retain(|record| {
        let drop = record.pcr == pcr && left > 0;
        left -= usize::from(drop);
        !drop
    });
}

/// Changes a byte after the first length, mostly content.
fn flip(record: &mut Record, rng: &mut Rng) {
    let at = rng.within(4, record.data.len());
    if let Some(byte) = record.data.get_mut(at) {
        *byte ^= 1 << rng.below(8);
    }
}

/// What the list replays to, from these values.
pub(crate) fn replay(
    records: &[Record],
    banks: &[Bank],
    kernel: Kernel,
    mut from: Values,
) -> Values {
    for record in records {
        for bank in banks {
            let value = from.entry((record.pcr, *bank)).or_insert(bank.zeros());
            *value = bank.extend(value, &kernel.extended(record, *bank));
        }
    }
    from
}

/// A checkpoint that says of these records what is true, and then something that is not.
fn forged_checkpoint(records: &[Record], order: Order, kernel: Kernel, rng: &mut Rng) -> Record {
    let mut claims = Claims::of(records, order);
    let banks = [Bank::Sha1, Bank::Sha256];
    for (register, value) in replay(records, &banks, kernel, Values::new()) {
        claims.say(Kind::Value, State::Match, register, &value);
    }
    for _ in 0..rng.below(3) {
        forge(&mut claims, rng);
    }
    claims.record(claims.default_pcr, order)
}

/// Makes a checkpoint say something else.
fn forge(claims: &mut Claims, rng: &mut Rng) {
    let bank = rng.pick(&[Bank::Sha1, Bank::Sha256, Bank::Sha256]);
    let register: Register = (rng.within(10, 13) as u32, bank);
    let kind = rng.pick(&[Kind::Value, Kind::Shadow, Kind::Before]);
    let value = rng.bytes(bank.size());
    match rng.below(12) {
        0 => claims.flags ^= 1 << rng.below(6),
        1 => claims.flags |= LOG_LOST,
        2 => claims.log_id[0] ^= 1,
        3 => claims.sequence = claims.sequence.wrapping_add(1),
        4 => claims.generation = claims.generation.wrapping_add(1),
        5 => claims.default_pcr = rng.within(10, 13) as u32,
        6 => *rng.pick_mut(&mut claims.before) ^= 1,
        7 => *rng.pick_mut(&mut claims.segment) ^= 1,
        8 => claims.segment_digest = rng.bytes(32),
        9 => claims.items.retain(|item| item.register.1 != bank),
        10 => claims.items.iter_mut().for_each(|item| {
            if (item.kind, item.register) == (kind, register) {
                item.value.clone_from(&value);
            }
        }),
        _ => {
            let same = |item: &Item| (item.kind, item.register) == (kind, register);
            claims.items.retain(|item| !same(item));
            let state = rng.pick(&[State::Match, State::Unshadowed, State::Unreadable]);
            claims.say(kind, state, register, &value);
        }
    }
}

/// Makes the numbers of a checkpoint those of the records before it.
fn mend(records: &mut [Record], at: usize, order: Order) {
    let (before, after) = records.split_at_mut(at);
    let Some(old) = after.first().and_then(Claims::read) else {
        return;
    };
    let mut new = Claims::of(before, order);
    new.flags = old.flags;
    new.generation = old.generation;
    new.items = old.items;
    after[0] = new.record(after[0].pcr, order);
}

/// The places of checkpoints.
pub(crate) fn checkpoints(records: &[Record]) -> Vec<usize> {
    let places = records.iter().enumerate();
    let places = places.filter(|(_, record)| is_checkpoint(record));
    places.map(|(at, _)| at).collect()
}
