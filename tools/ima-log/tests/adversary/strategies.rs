// SPDX-License-Identifier: GPL-2.0

//! What adversaries are after. Random edits alone seldom make a list that agrees with the PCRs, so
//! some adversaries have a plan.

use crate::{
    bank::Bank,
    claims::{Claims, Kind, State, DIFFERS, LOG_LOST},
    edits::{checkpoints, replay, Edit, List},
    host::{Host, PCR},
    quotes::is_quote,
    record::{Record, LEGACY},
    rng::Rng,
    tpm::Values,
    world::{self, Verifier},
};

/// A plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strategy {
    /// There is no adversary.
    Honest,
    /// Somebody on the way edits at random.
    Edits,
    /// Leaves out the start of a PCR, and claims after what is anchored that it held something.
    CutStart,
    /// Makes checkpoints unrecognisable, and then edits.
    HideCheckpoints,
    /// Leaves out all records of a PCR.
    HidePcr,
    /// Tells a record as one of another template that has the same digest.
    Ambiguous,
    /// Moves, drops, duplicates and forges quotes, and edits.
    Quotes,
    /// Root invents a history, and a checkpoint that leads from it to what the TPM holds.
    Bridge,
    /// Root edits at random, and extends the TPM with records of his own.
    Root,
}

impl Strategy {
    pub(crate) const ALL: [Self; 9] = [
        Self::Honest,
        Self::Edits,
        Self::CutStart,
        Self::HideCheckpoints,
        Self::HidePcr,
        Self::Ambiguous,
        Self::Quotes,
        Self::Bridge,
        Self::Root,
    ];

    /// Does it use the TPM?
    pub(crate) fn is_root(self) -> bool {
        matches!(self, Self::Bridge | Self::Root)
    }
}

/// A machine, what a verifier knows of it, and what he gets.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) strategy: Strategy,
    pub(crate) edits: Vec<Edit>,
    pub(crate) host: Host,
    pub(crate) verifier: Verifier,
    pub(crate) list: List,
}

impl Case {
    /// The case of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let rng = &mut Rng::new(seed);
        let strategy = rng.pick(&Strategy::ALL);
        match strategy.is_root() {
            true => Self::by_root(strategy, rng),
            false => Self::on_the_way(strategy, rng),
        }
    }

    fn on_the_way(strategy: Strategy, rng: &mut Rng) -> Self {
        let host = world::host(rng);
        let verifier = Verifier::new(&host, rng);
        let list = List {
            order: host.order,
            kernel: host.kernel,
            records: host.records[verifier.base_record..].to_vec(),
            cut: 0,
        };
        let mut case = Self {
            strategy,
            edits: Vec::new(),
            host,
            verifier,
            list,
        };
        case.edit_on_the_way(rng);
        case
    }

    fn by_root(strategy: Strategy, rng: &mut Rng) -> Self {
        let mut host = world::host(rng);
        let mut edits = Vec::new();
        let mut list = match strategy {
            Strategy::Bridge => bridge(&mut host, rng),
            _ => forge_as_root(&mut host, &mut edits, rng),
        };
        // the kernel does not know, and goes on
        for _ in 0..rng.below(4) {
            let record = world::record(rng, host.order);
            host.measure(record.clone());
            list.records.push(record);
        }
        let verifier = Verifier::new(&host, rng);
        if strategy == Strategy::Root {
            Edit::DropBefore(verifier.base_record).apply(&mut list, rng);
        }
        Self {
            strategy,
            edits,
            host,
            verifier,
            list,
        }
    }

    fn edit(&mut self, edit: Edit, rng: &mut Rng) {
        edit.apply(&mut self.list, rng);
        self.edits.push(edit);
    }

    fn edit_at_random(&mut self, count: usize, rng: &mut Rng) {
        for _ in 0..count {
            let edit = Edit::random(&self.list, rng);
            self.edit(edit, rng);
        }
    }

    fn edit_on_the_way(&mut self, rng: &mut Rng) {
        let records = &self.list.records;
        match self.strategy {
            Strategy::Edits => {
                let count = 1 + rng.below(4);
                self.edit_at_random(count, rng);
            }
            Strategy::CutStart => self.cut_start(rng),
            Strategy::Quotes => self.shuffle_quotes(rng),
            Strategy::HideCheckpoints => {
                let names = ["d-ng|sig|buf", "sig|sig|sig", "ima-sig"];
                self.edit(Edit::RelabelCheckpoints(rng.pick(&names)), rng);
                let at = rng.below(self.list.records.len());
                let edits = [
                    Edit::Relabel(at, "sig|sig|sig"),
                    Edit::Relabel(at, "d-ng|sig"),
                    Edit::RewriteViolation(at),
                ];
                self.edit(rng.pick(&edits), rng);
            }
            Strategy::HidePcr => {
                let pcrs: Vec<u32> = self.host.used().into_iter().collect();
                self.edit(Edit::DropAllOf(rng.pick(&pcrs)), rng);
            }
            Strategy::Ambiguous => {
                let long = records.iter().enumerate();
                let long = long.filter(|(_, record)| record.data.len() == LEGACY);
                for at in long.map(|(at, _)| at).collect::<Vec<_>>() {
                    self.edit(Edit::AsLegacy(at), rng);
                }
            }
            _ => (),
        }
    }

    fn shuffle_quotes(&mut self, rng: &mut Rng) {
        for _ in 0..1 + rng.below(3) {
            let records = self.list.records.iter().enumerate();
            let quotes = records.filter(|(_, record)| is_quote(record));
            let quotes: Vec<usize> = quotes.map(|(at, _)| at).collect();
            let to = rng.below(self.list.records.len() + 1);
            let edit = match (rng.below(5), quotes.as_slice()) {
                (0, _) | (_, []) => Edit::ForgeQuote(to),
                (1, some) => Edit::Drop(rng.pick(some)),
                (2, some) => Edit::Duplicate(rng.pick(some), to),
                (3, some) => Edit::FlipData(rng.pick(some)),
                (_, some) => Edit::Move(rng.pick(some), to),
            };
            self.edit(edit, rng);
        }
        let count = rng.below(3);
        self.edit_at_random(count, rng);
    }

    fn cut_start(&mut self, rng: &mut Rng) {
        let records = &self.list.records;
        let pcr = records[rng.below(records.len())].pcr;
        let all = records.iter().enumerate();
        let all = all.filter(|(_, record)| record.pcr == pcr);
        let places: Vec<usize> = all.map(|(at, _)| at).collect();
        let count = rng.below(places.len());
        let at = places[count];
        let edit = match rng.once_in(2) {
            true => Edit::DropBefore(at),
            false => Edit::DropFirstOf(pcr, count),
        };
        let moment = self.host.moments[self.verifier.base_record + at].0;
        let banks = self.host.tpm.banks.clone();
        let registers = banks.iter().map(|bank| (pcr, *bank));
        let cut: Values = registers
            .map(|register| (register, self.host.tpm.value_at(register, moment)))
            .collect();
        self.edit(edit, rng);
        let (order, kernel) = (self.list.order, self.list.kernel);
        let mut claims = Claims::of(&self.list.records, order);
        for (register, value) in replay(&self.list.records, &banks, kernel, cut.clone()) {
            claims.say(Kind::Value, State::Match, register, &value);
        }
        for (register, value) in cut {
            claims.say(Kind::Before, State::Match, register, &value);
        }
        claims.default_pcr = rng.pick(&[PCR, 11, 12]);
        let record = claims.record(claims.default_pcr, order);
        self.list.records.push(record);
        self.edits.push(Edit::AppendCheckpoint);
    }
}

/// A history that never was, and a checkpoint that says how the TPM comes to hold what it does.
fn bridge(host: &mut Host, rng: &mut Rng) -> List {
    let order = host.order;
    let mut banks = host.tpm.banks.clone();
    if !banks.contains(&Bank::Sha1) {
        banks.insert(0, Bank::Sha1);
    }
    let mut invented = world::boot(rng, order, host.kernel, banks.clone());
    if rng.once_in(2) {
        invented.named = vec![Bank::Sha1];
    }
    for _ in 1..sequence(host, rng) {
        invent(&mut invented, rng);
        invented.checkpoint(0);
    }
    invent(&mut invented, rng);
    let claims = leading_claims(host, &invented, rng);
    let mut records = invented.records;
    if rng.once_in(16) {
        records.clear();
    }
    let record = claims.record(PCR, order);
    root_extends(host, &record, rng);
    records.push(record);
    List {
        order,
        kernel: host.kernel,
        records,
        cut: 0,
    }
}

/// The number of the checkpoint that leads to the truth: of one that may be excused, best.
fn sequence(host: &Host, rng: &mut Rng) -> usize {
    let found = host.broken.iter().filter_map(|broken| {
        let mut checkpoints = host.checkpoints.iter();
        checkpoints.position(|checkpoint| checkpoint == broken)
    });
    let numbers: Vec<usize> = found.map(|at| at + 1).collect();
    match numbers.as_slice() {
        [] => rng.within(1, 4),
        some => rng.pick(some),
    }
}

fn invent(host: &mut Host, rng: &mut Rng) {
    for _ in 0..rng.below(3) {
        let mut record = world::record(rng, host.order);
        record.pcr = PCR;
        host.measure(record);
    }
}

fn leading_claims(host: &Host, invented: &Host, rng: &mut Rng) -> Claims {
    let mut claims = Claims::of(&invented.records, host.order);
    claims.generation += rng.below(2) as u32;
    claims.sequence += u64::from(rng.once_in(8));
    claims.flags |= rng.pick(&[0, 0, 0, LOG_LOST]);
    let state = rng.pick(&[
        State::Match,
        State::Match,
        State::Differs,
        State::Unshadowed,
        State::Unreadable,
        State::Virtual,
    ]);
    // the weak bank agrees with the invention: nobody compares it
    for bank in &invented.tpm.banks {
        let register = (PCR, *bank);
        let replayed = invented.tpm.value(register);
        let held = host.tpm.value(register);
        if bank.is_weak() {
            claims.say(Kind::Value, State::Match, register, &replayed);
            continue;
        }
        claims.say(Kind::Value, state, register, &held);
        if state == State::Differs {
            claims.flags |= DIFFERS;
            claims.say(Kind::Shadow, state, register, &replayed);
        }
        if rng.once_in(4) {
            claims.say(Kind::Before, State::Match, register, &held);
        }
    }
    claims
}

/// Edits the list, and extends the TPM with what is appended to it.
fn forge_as_root(host: &mut Host, edits: &mut Vec<Edit>, rng: &mut Rng) -> List {
    let mut list = List {
        order: host.order,
        kernel: host.kernel,
        records: host.records.clone(),
        cut: 0,
    };
    for _ in 0..rng.below(4) {
        let edit = Edit::random(&list, rng);
        edit.apply(&mut list, rng);
        edits.push(edit);
    }
    for _ in 0..rng.below(4) {
        let edit = match rng.below(3) {
            0 => Edit::Append,
            _ => Edit::AppendCheckpoint,
        };
        edit.apply(&mut list, rng);
        edits.push(edit);
        if let Some(record) = list.records.last() {
            root_extends(host, record, rng);
        }
    }
    // root may have the TPM quote what it holds, over any checkpoint
    let newest = checkpoints(&list.records).pop().filter(|_| rng.once_in(3));
    if let Some(newest) = newest {
        let quote = host.sign(&list.records[newest].clone(), 0);
        root_extends(host, &quote, rng);
        list.records.push(quote);
    }
    // what was extended may be told otherwise than it was
    if let Some(at) = checkpoints(&list.records).pop().filter(|_| rng.once_in(3)) {
        let edit = Edit::Relabel(at, "d-ng|sig|buf");
        edit.apply(&mut list, rng);
        edits.push(edit);
    }
    list
}

/// Extends the TPM with a record, as the kernel of the machine would, or another one.
fn root_extends(host: &mut Host, record: &Record, rng: &mut Rng) {
    let kernel = match rng.once_in(8) {
        true => world::kernel(rng, &host.tpm.banks),
        false => host.kernel,
    };
    for bank in host.tpm.banks.clone() {
        host.disturb((record.pcr, bank), kernel.extended(record, bank));
    }
}
