// SPDX-License-Identifier: GPL-2.0

//! Shadow PCRs: the value that the replay of the list gives, for every PCR and bank.

use super::machine::Machine;
use crate::{
    abstractions::ima::{
        Extend,
        MAX_DIGEST, //
    },
    format::checkpoint::State,
    memory::KVec,
    platform::{
        Bank,
        Digest,
        Platform, //
    },
};
use kernel::prelude::*;

/// The highest PCR that an IMA policy can name. A corrupted record may name any.
pub(crate) const LAST_PCR: u32 = 63;

/// What violations extend.
pub(super) const VIOLATION: Digest = [0xff; MAX_DIGEST];

/// Reads of a PCR until its banks stop changing under us.
const MAX_READS: usize = 4;

/// What the TPM said of a PCR, per bank; `None` where it was not asked, or did not answer.
type Readings = KVec<Option<Digest>>;

/// A PCR in one bank.
#[derive(Clone, Copy)]
pub(crate) struct Register {
    /// What the replay gives.
    value: Digest,
    /// What the next segment's replay starts from, as of the newest checkpoint being made.
    base: Digest,
    /// How the two compared then; `None` before the first checkpoint.
    state: Option<State>,
}

impl Register {
    fn new(value: Digest) -> Self {
        Self {
            value,
            base: value,
            state: None,
        }
    }

    pub(crate) fn value(&self) -> &Digest {
        &self.value
    }

    pub(crate) fn base(&self) -> &Digest {
        &self.base
    }

    pub(crate) fn state(&self) -> Option<State> {
        self.state
    }

    /// Follows an extend.
    fn extend(&mut self, bank: &Bank, digest: &[u8]) -> Result {
        let size = bank.digest_size();
        let mut message = [0u8; 2 * MAX_DIGEST];
        let message = message.get_mut(..2 * size).ok_or(EINVAL)?;
        let (value, extended) = message.split_at_mut_checked(size).ok_or(EINVAL)?;
        value.copy_from_slice(bank.trim(&self.value));
        extended.copy_from_slice(digest.get(..size).ok_or(EINVAL)?);
        bank.hash(message, &mut self.value)
    }

    /// Compares with what the TPM said.
    fn judge(&mut self, bank: &Bank, reading: Option<Digest>) {
        let (state, base) = match reading {
            _ if !bank.in_tpm() => (State::Virtual, self.value),
            None => (State::Unreadable, self.value),
            Some(read) if !bank.mapped() => (State::Unshadowed, read),
            Some(read) if read == self.value => (State::Match, read),
            Some(read) => (State::Differs, read),
        };
        self.state = Some(state);
        self.base = base;
    }
}

/// What a PCR held before its first record, in one bank.
#[derive(Clone, Copy)]
pub(crate) struct Before {
    pub(crate) state: State,
    pub(crate) value: Digest,
}

/// A PCR in use, in all banks.
pub(crate) struct Pcr {
    index: u32,
    registers: KVec<Register>,
    /// While it was first used in the active segment.
    before: Option<KVec<Before>>,
}

impl Pcr {
    /// A PCR that starts from `before`.
    pub(crate) fn new(index: u32, before: KVec<Before>) -> Result<Self> {
        let mut registers = KVec::with_capacity(before.len(), GFP_KERNEL)?;
        for before in &before {
            registers.push(Register::new(before.value), GFP_KERNEL)?;
        }
        Ok(Self {
            index,
            registers,
            before: Some(before),
        })
    }

    fn copied(&self) -> Result<Self> {
        let mut registers = KVec::new();
        registers.extend_from_slice(&self.registers, GFP_KERNEL)?;
        let before = match &self.before {
            Some(old) => {
                let mut before = KVec::new();
                before.extend_from_slice(old, GFP_KERNEL)?;
                Some(before)
            }
            None => None,
        };
        Ok(Self {
            index: self.index,
            registers,
            before,
        })
    }

    /// A PCR that this kernel is about to extend for the first time: asks the TPM what it holds.
    pub(crate) fn first_used(
        machine: &dyn Machine,
        held: &Extend,
        platform: &Platform,
        index: u32,
    ) -> Result<Self> {
        let readings = read(machine, held, platform, index)?;
        let mut before = KVec::with_capacity(readings.len(), GFP_KERNEL)?;
        for (bank, reading) in platform.banks().iter().zip(&readings) {
            let (state, value) = match reading {
                Some(value) => (State::Match, *value),
                None if bank.in_tpm() => (State::Unreadable, [0; MAX_DIGEST]),
                None => (State::Virtual, [0; MAX_DIGEST]),
            };
            before.push(Before { state, value }, GFP_KERNEL)?;
        }
        Self::new(index, before)
    }

    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    pub(crate) fn registers(&self) -> &[Register] {
        &self.registers
    }

    pub(crate) fn before(&self) -> Option<&[Before]> {
        self.before.as_deref()
    }

    /// Takes from a restored checkpoint what it found, and what the next segment starts from.
    pub(crate) fn recall(&mut self, bank: usize, state: State, base: Digest) {
        if let Some(register) = self.registers.get_mut(bank) {
            register.state = Some(state);
            register.base = base;
        }
    }

    /// Some bank differed at the last comparison.
    pub(crate) fn differs(&self) -> bool {
        self.registers
            .iter()
            .any(|register| register.state == Some(State::Differs))
    }

    /// What the next segment's replay starts from, per bank.
    pub(crate) fn bases(&self) -> Result<KVec<Digest>> {
        let mut bases = KVec::with_capacity(self.registers.len(), GFP_KERNEL)?;
        for register in &self.registers {
            bases.push(register.base, GFP_KERNEL)?;
        }
        Ok(bases)
    }

    /// Forgets what it held before, once a checkpoint has recorded it.
    fn sealed(&mut self) {
        self.before = None;
        for register in &mut self.registers {
            register.value = register.base;
        }
    }

    /// Follows an extend; `digest` gives the digest in the bank with a number.
    fn extend<'d>(&mut self, platform: &Platform, digest: impl Fn(usize) -> &'d [u8]) {
        for (bank, register) in platform.banks().iter().zip(&mut self.registers) {
            if bank.mapped() {
                // A failure shows as a difference at the next checkpoint.
                let _ = register.extend(bank, digest(bank.index()));
            }
        }
    }

    /// Every bank that the TPM has and we can replay agrees with the replay.
    fn agrees(&self, platform: &Platform, readings: &[Option<Digest>]) -> bool {
        platform
            .banks()
            .iter()
            .zip(&self.registers)
            .zip(readings)
            .filter(|((bank, _), _)| bank.in_tpm() && bank.mapped())
            .all(|((_, register), reading)| *reading == Some(register.value))
    }
}

/// Asks the TPM for a PCR in every bank that it has.
fn read(machine: &dyn Machine, held: &Extend, platform: &Platform, pcr: u32) -> Result<Readings> {
    let mut readings = KVec::with_capacity(platform.banks().len(), GFP_KERNEL)?;
    for bank in platform.banks() {
        let mut value = [0; MAX_DIGEST];
        let reading = bank.in_tpm()
            && machine
                .read_pcr(held, bank.index(), pcr, &mut value)
                .is_ok();
        readings.push(reading.then_some(value), GFP_KERNEL)?;
    }
    Ok(readings)
}

/// The PCRs in use, in ascending order.
pub(crate) struct Pcrs(KVec<Pcr>);

/// EIO if the TPM cannot be asked what the default PCR holds.
pub(super) fn require_answer(machine: &dyn Machine, held: &Extend, platform: &Platform) -> Result {
    let readings = read(machine, held, platform, platform.pcr())?;
    let mut banks = platform.banks().iter().zip(&readings);
    if banks.any(|(bank, reading)| bank.in_tpm() && reading.is_none()) {
        return Err(EIO);
    }
    Ok(())
}

impl Pcrs {
    pub(crate) fn new() -> Self {
        Self(KVec::new())
    }

    /// A copy, to try changes on.
    pub(crate) fn copied(&self) -> Result<Self> {
        let mut pcrs = KVec::with_capacity(self.0.len().saturating_add(1), GFP_KERNEL)?;
        for pcr in &self.0 {
            pcrs.push(pcr.copied()?, GFP_KERNEL)?;
        }
        Ok(Self(pcrs))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pcr> {
        self.0.iter()
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Pcr> {
        self.0.iter().find(|pcr| pcr.index == index)
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Pcr> {
        self.0.iter_mut().find(|pcr| pcr.index == index)
    }

    /// Follows the extend of a PCR with a record; `digest` gives the record's digest in the bank
    /// with a number.
    pub(crate) fn extend<'d>(
        &mut self,
        platform: &Platform,
        index: u32,
        is_violation: bool,
        digest: impl Fn(usize) -> &'d [u8],
    ) {
        let Some(pcr) = self.get_mut(index) else {
            return;
        };
        if is_violation {
            pcr.extend(platform, |_| &VIOLATION);
        } else {
            pcr.extend(platform, digest);
        }
    }

    pub(crate) fn add(&mut self, pcr: Pcr) -> Result {
        self.reserve()?;
        self.insert(pcr);
        Ok(())
    }

    /// Makes room for [`Pcrs::insert`].
    pub(crate) fn reserve(&mut self) -> Result {
        Ok(self.0.reserve(1, GFP_KERNEL)?)
    }

    /// Adds one for which there is room.
    pub(crate) fn insert(&mut self, pcr: Pcr) {
        let at = self.0.partition_point(|other| other.index < pcr.index);
        let _ = self.0.insert_within_capacity(at, pcr);
    }

    /// Compares PCR number `index` with the TPM.
    ///
    /// One that differs is read again until it is stable: somebody may be extending it right now.
    /// EIO if it is the default PCR and a bank of it cannot be read.
    pub(crate) fn measure(
        &mut self,
        machine: &dyn Machine,
        held: &Extend,
        platform: &Platform,
        at: usize,
    ) -> Result {
        let pcr = self.0.get_mut(at).ok_or(EINVAL)?;
        let mut readings = read(machine, held, platform, pcr.index)?;
        for _ in 1..MAX_READS {
            if pcr.agrees(platform, &readings) {
                break;
            }
            let again = read(machine, held, platform, pcr.index)?;
            let stable = *again == *readings;
            readings = again;
            if stable {
                break;
            }
        }
        for ((bank, register), reading) in platform
            .banks()
            .iter()
            .zip(&mut pcr.registers)
            .zip(&readings)
        {
            if pcr.index == platform.pcr() && bank.in_tpm() && reading.is_none() {
                return Err(EIO);
            }
            register.judge(bank, *reading);
        }
        Ok(())
    }

    /// Takes it that all PCRs are what the replay gives, unless [`Pcr::recall`] tells better.
    pub(crate) fn assume(&mut self) {
        for register in self.0.iter_mut().flat_map(|pcr| &mut pcr.registers) {
            register.base = register.value;
            register.state = None;
        }
    }

    /// A checkpoint recorded the bases: from here on the replay continues from them.
    pub(crate) fn sealed(&mut self) {
        for pcr in &mut self.0 {
            pcr.sealed();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn position(&self, index: u32) -> Option<usize> {
        self.0.iter().position(|pcr| pcr.index == index)
    }
}

#[kunit_tests(ima_checkpoint_shadow)]
mod tests {
    use super::*;
    use crate::{
        abstractions::ima,
        log::{
            testing::Rig,
            Log, //
        },
    };

    /// A log without a TPM, and the number of a bank that can be hashed.
    fn rig() -> Result<(Rig, usize)> {
        let rig = Rig::new(false)?;
        let sha1 = rig.log.platform().sha1();
        Ok((rig, sha1))
    }

    /// A PCR that no bank of which was read.
    fn first_used(rig: &Rig, index: u32) -> Result<Pcr> {
        Pcr::first_used(&*rig.machine, &ima::lock(), rig.log.platform(), index)
    }

    #[test]
    fn an_extend_hashes_value_and_digest() -> Result {
        let (rig, bank) = rig()?;
        let platform = rig.log.platform();
        let mut pcr = first_used(&rig, 11)?;
        pcr.extend(platform, |_| &[7; MAX_DIGEST]);
        let size = platform.banks().get(bank).ok_or(EINVAL)?.digest_size();
        let mut message = [0; 40];
        message[20..].fill(7);
        let mut expected = [0; MAX_DIGEST];
        ima::hash_bank(bank, &message, &mut expected)?;
        assert_eq!(size, 20);
        assert!(*pcr.registers()[bank].value() == expected);
        assert!(pcr.registers()[bank].state().is_none());
        Ok(())
    }

    #[test]
    fn without_a_tpm_values_are_virtual() -> Result {
        let (rig, bank) = rig()?;
        let platform = rig.log.platform();
        let pcr = first_used(&rig, 11)?;
        let before = pcr.before().ok_or(EINVAL)?;
        assert!(before.iter().all(|b| b.state == State::Virtual));
        let mut pcrs = Pcrs::new();
        pcrs.add(pcr)?;
        pcrs.measure(&*rig.machine, &ima::lock(), platform, 0)?;
        let pcr = pcrs.get(11).ok_or(EINVAL)?;
        assert!(pcr.registers()[bank].state() == Some(State::Virtual));
        assert!(!pcr.differs());
        Ok(())
    }

    #[test]
    fn the_tpm_s_answer_decides_the_state() -> Result {
        let Some(log) = Log::get().filter(|log| log.platform().has_tpm()) else {
            pr_info!("no TPM: nothing to compare with\n");
            return Ok(());
        };
        let bank = log
            .platform()
            .banks()
            .iter()
            .find(|b| b.in_tpm() && b.mapped());
        let bank = bank.ok_or(ENODEV)?;
        let mut register = Register::new([1; MAX_DIGEST]);
        register.judge(bank, Some([1; MAX_DIGEST]));
        assert!(register.state() == Some(State::Match));
        register.judge(bank, Some([2; MAX_DIGEST]));
        assert!(register.state() == Some(State::Differs));
        assert!(*register.base() == [2; MAX_DIGEST]);
        assert!(*register.value() == [1; MAX_DIGEST]);
        register.judge(bank, None);
        assert!(register.state() == Some(State::Unreadable));
        assert!(*register.base() == [1; MAX_DIGEST]);
        Ok(())
    }

    #[test]
    fn a_checkpoint_sets_the_replay_right() -> Result {
        let (rig, bank) = rig()?;
        let mut pcr = first_used(&rig, 11)?;
        pcr.recall(bank, State::Differs, [9; MAX_DIGEST]);
        assert!(pcr.differs());
        assert!(*pcr.registers()[bank].value() == [0; MAX_DIGEST]);
        pcr.sealed();
        assert!(*pcr.registers()[bank].value() == [9; MAX_DIGEST]);
        assert!(pcr.before().is_none());
        Ok(())
    }

    #[test]
    fn pcrs_are_kept_in_order() -> Result {
        let (rig, _) = rig()?;
        let mut pcrs = Pcrs::new();
        for index in [14, 10, 12] {
            pcrs.add(first_used(&rig, index)?)?;
        }
        assert!(pcrs.iter().map(Pcr::index).eq([10, 12, 14]));
        assert!(pcrs.get(11).is_none());
        Ok(())
    }
}
