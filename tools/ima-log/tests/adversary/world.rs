// SPDX-License-Identifier: GPL-2.0

//! Random machines, and random verifiers that look at them.

use crate::{
    bank::{Bank, Digest, Register},
    host::{Host, PCR},
    kernel::Kernel,
    record::{d_ng, Order, Record, LEGACY},
    rng::Rng,
    tpm::Values,
};

/// PCRs that policies name here.
const PCRS: [u32; 3] = [PCR, 11, 12];

/// A machine on which something happened.
pub(crate) fn host(rng: &mut Rng) -> Host {
    let order = match rng.once_in(6) {
        true => Order::Big,
        false => Order::Little,
    };
    let banks = match rng.below(6) {
        0 => vec![Bank::Sha256],
        1 => vec![Bank::Sha1, Bank::Sha256, Bank::Sha384],
        _ => vec![Bank::Sha1, Bank::Sha256],
    };
    let kernel = kernel(rng, &banks);
    let mut host = boot(rng, order, kernel, banks);
    // half of the machines are never disturbed, so that there is something to verify
    let disturbed = rng.once_in(4);
    for _ in 0..rng.below(14) {
        happen(&mut host, disturbed, rng);
    }
    host
}

/// A kernel, now and then one that pads.
pub(crate) fn kernel(rng: &mut Rng, banks: &[Bank]) -> Kernel {
    match (rng.below(12), rng.pick(banks)) {
        (0, _) => Kernel::Old,
        // sha1 is what it pads with
        (1, bank) if bank != Bank::Sha1 => Kernel::Lacks(bank),
        _ => Kernel::Usual,
    }
}

/// A machine that has just booted.
pub(crate) fn boot(rng: &mut Rng, order: Order, kernel: Kernel, banks: Vec<Bank>) -> Host {
    let named = match rng.once_in(4) {
        true => vec![rng.pick(&banks)],
        false => banks.clone(),
    };
    let mut host = Host::new(order, kernel, banks.clone(), named);
    let firmware = [
        Some(0),
        rng.once_in(6).then_some(11),
        rng.once_in(12).then_some(12),
    ];
    for pcr in firmware.into_iter().flatten() {
        for bank in &banks {
            host.disturb((pcr, *bank), rng.bytes(bank.size()));
        }
    }
    host.boot_aggregate();
    host
}

/// Something happens on the machine.
pub(crate) fn happen(host: &mut Host, disturbed: bool, rng: &mut Rng) {
    match rng.below(20) {
        0..=3 => host.checkpoint(0),
        4 => {
            let to = host.truncatable();
            if !to.is_empty() {
                host.truncate(rng.pick(&to));
            }
        }
        5 => host.kexec(host.tpm.banks.clone()),
        6 | 7 if disturbed => {
            let bank = rng.pick(&host.tpm.banks);
            host.disturb((rng.pick(&PCRS), bank), rng.bytes(bank.size()));
        }
        8 | 9 => host.measure(violation(rng, host.order)),
        10..=12 => {
            let key = rng.pick(&[0, 0, 0, 1, 2]);
            let meanwhile = (0..rng.below(3)).map(|_| record(rng, host.order));
            let meanwhile = meanwhile.collect();
            host.quote(key, meanwhile);
        }
        _ => host.measure(record(rng, host.order)),
    }
}

/// A record of a file, key or policy.
pub(crate) fn record(rng: &mut Rng, order: Order) -> Record {
    let pcr = match rng.once_in(5) {
        true => rng.pick(&PCRS),
        false => PCR,
    };
    let content = rng.bytes(8);
    let digest = d_ng(&content);
    let name = name(rng);
    let signature = rng.bytes(12);
    let verity = [b"verity:".as_slice(), &digest].concat();
    let (template, fields): (_, Vec<&[u8]>) = match rng.below(16) {
        0 | 1 => ("ima-sig", vec![&digest, &name, &signature]),
        2 => ("ima-ngv2", vec![&verity, &name]),
        3 | 4 => ("ima-buf", vec![&digest, b".ima\0", &content]),
        5 => ("d-ng|n-ng", vec![&digest, &name]),
        6 => return legacy(rng, pcr),
        // a rule for files may name this template, too: then there is no buffer
        7 if rng.once_in(2) => ("ima-buf", vec![&digest, &name, b""]),
        _ => ("ima-ng", vec![&digest, &name]),
    };
    Record::of(pcr, template, &fields, order)
}

/// A path, now and then as long as makes a record that can be told as one of the template `ima`.
fn name(rng: &mut Rng) -> Vec<u8> {
    let length = match rng.once_in(12) {
        true => LEGACY - 4 - 40 - 4 - 1,
        false => rng.within(5, 30),
    };
    let mut name = b"/bin/".to_vec();
    name.extend((5..length).map(|_| b'a' + rng.below(26) as u8));
    name.push(0);
    name
}

fn legacy(rng: &mut Rng, pcr: u32) -> Record {
    let mut data = rng.bytes(20);
    data.extend(b"/bin/");
    data.extend((0..rng.within(1, 40)).map(|_| b'a' + rng.below(26) as u8));
    data.resize(LEGACY, 0);
    Record::new(pcr, "ima", data)
}

fn violation(rng: &mut Rng, order: Order) -> Record {
    let digest = [b"sha256:\0".as_slice(), &[0; 32]].concat();
    let mut record = Record::of(PCR, "ima-ng", &[&digest, &name(rng)], order);
    record.violation = true;
    record
}

/// What a verifier knows and asks. All of it is true.
#[derive(Clone, Debug)]
pub(crate) struct Verifier {
    /// The bank whose list it gets.
    pub(crate) view: Bank,
    /// Does it know the bank and the byte order of the list?
    pub(crate) told: bool,
    /// What registers held at `moment`.
    pub(crate) anchors: Vec<(Register, Digest)>,
    /// Is that told by a quote over all of them?
    pub(crate) quoted: bool,
    /// Does it know keys, whose quotes in the list count?
    pub(crate) has_keys: bool,
    /// The moment of the TPM.
    pub(crate) moment: usize,
    /// What registers held at `base_moment`.
    pub(crate) base: Values,
    pub(crate) base_moment: usize,
    /// The record that came next then: the list should start with it.
    pub(crate) base_record: usize,
    /// A checkpoint that found a break which it accepts.
    pub(crate) accepts: Option<usize>,
    /// A checkpoint that somebody endorses whom it believes.
    pub(crate) endorsed: Option<usize>,
}

impl Verifier {
    /// One that looks at the machine at some moment.
    pub(crate) fn new(host: &Host, rng: &mut Rng) -> Self {
        let checkpoints = host.checkpoints.as_slice();
        let endorsed = !checkpoints.is_empty() && rng.once_in(4);
        let endorsed = endorsed.then(|| rng.pick(checkpoints));
        // it may know nothing else, and want no list from before that, or only some of it
        let rests_on = endorsed.filter(|_| !rng.once_in(3));
        let base_record = match rests_on {
            Some(at) if rng.once_in(2) => at,
            Some(at) => rng.within(0, at),
            None if rng.once_in(4) => rng.below(host.records.len()),
            None => 0,
        };
        let base_moment = match base_record.checked_sub(1) {
            Some(last) => host.moments[last].1,
            None => host.moments[0].0,
        };
        let moment = match rng.once_in(2) {
            true => host.moments[rng.within(base_record, host.moments.len())].1,
            false => host.tpm.now(),
        };
        let broken = host.broken.iter().copied();
        let broken: Vec<usize> = broken.filter(|at| *at > base_record).collect();
        let has_keys = rng.once_in(2);
        let asks = !has_keys || rng.once_in(3);
        Self {
            view: match rng.once_in(3) {
                true => rng.pick(&host.tpm.banks),
                false => Bank::Sha1,
            },
            told: !rng.once_in(16),
            anchors: match asks {
                true => anchors(host, moment, rng),
                false => Vec::new(),
            },
            quoted: asks && rng.once_in(2),
            has_keys,
            moment,
            base: match rests_on {
                Some(_) => Values::new(),
                None => base(host, base_record, base_moment, rng),
            },
            base_moment,
            base_record,
            accepts: match broken.as_slice() {
                [] => None,
                some => (!rng.once_in(3)).then(|| rng.pick(some)),
            },
            endorsed,
        }
    }
}

/// What a verifier knows of the start. From cold boot on it needs only what is not zero, and now
/// and then it lacks that.
fn base(host: &Host, record: usize, moment: usize, rng: &mut Rng) -> Values {
    let banks = host.tpm.banks.iter();
    let registers = banks.flat_map(|bank| PCRS.map(|pcr| (pcr, *bank)));
    let values = registers.map(|register| (register, host.tpm.value_at(register, moment)));
    let lacks = record == 0 && rng.once_in(8);
    let known = values.filter(|(_, value)| record > 0 || value.iter().any(|byte| *byte != 0));
    known.filter(|_| !lacks).collect()
}

/// What a verifier asks for: the PCRs that IMA uses, maybe more, in a bank that counts, most times.
fn anchors(host: &Host, moment: usize, rng: &mut Rng) -> Vec<(Register, Digest)> {
    let mut pcrs = host.used();
    pcrs.extend(PCRS.into_iter().filter(|_| rng.once_in(2)));
    if rng.once_in(8) {
        pcrs.extend(0..10);
    }
    let weak = rng.once_in(32);
    let mut anchors = Vec::new();
    for bank in &host.tpm.banks {
        let needed = (*bank == Bank::Sha256) != weak;
        if needed || rng.once_in(3) {
            let values = pcrs.iter().map(|pcr| {
                let register = (*pcr, *bank);
                (register, host.tpm.value_at(register, moment))
            });
            anchors.extend(values);
        }
    }
    anchors
}
