// SPDX-License-Identifier: GPL-2.0

//! The real log, on machines of the tests' own.

mod automatic;
mod duplicates;
mod faults;
mod handover;
mod list;
mod model;
mod restore;
#[cfg(CONFIG_IMA_CHECKPOINT_RETENTION)]
mod retention;

use super::{
    consent::Target,
    testing::{
        ensure,
        ensure_eq,
        with_file,
        Rig, //
    },
    Log, //
};
use crate::{abstractions::ima::Extend, config::Config, format::truncate::Reason, memory::KVVec};
use kernel::prelude::*;

static CONFIG: Config = Config::new();

/// Three segments: 3 records, a checkpoint and 2, a checkpoint and 1.
fn example(has_tpm: bool, held: &mut Extend) -> Result<Rig> {
    let rig = Rig::new(has_tpm)?;
    for n in 0..3 {
        rig.measure_file(held, n)?;
    }
    rig.seal(held)?;
    rig.measure_file(held, 3)?;
    rig.violate(held)?;
    rig.seal(held)?;
    rig.measure_file(held, 4)?;
    Ok(rig)
}

/// Truncates to checkpoint `seq`.
fn cut(log: &Log, held: &mut Extend, seq: u64) -> Result {
    let mut freed = KVVec::new();
    let permitted = log.permit(Target::Number(seq))?;
    log.try_truncate(held, Reason::User, permitted, &mut freed)?;
    Ok(())
}

/// Was file `n` measured?
fn knows(log: &Log, held: &mut Extend, n: u32) -> Result<bool> {
    let (_, digests) = with_file(log, n, |record| record.encode(log.platform()))?;
    let digest = digests
        .get(log.platform().hash_index())
        .ok_or(EINVAL)?
        .value();
    let digest = digest.get(..log.platform().hash_size()).ok_or(EINVAL)?;
    Ok(log.is_known(held, log.platform().pcr(), digest))
}

/// The kexec buffer of a log from segment `first` on.
fn dumped(log: &Log, first: u64) -> Result<KVVec<u8>> {
    let mut buffer = KVVec::zeroed(log.kexec_size(), GFP_KERNEL)?;
    let len = log.write_kexec(first, &mut buffer)?;
    buffer.truncate(len);
    Ok(buffer)
}

/// What the replay of the default PCR gives in every bank is what the TPM holds.
fn shadows_match(rig: &Rig, held: &mut Extend) -> Result<bool> {
    let platform = rig.log.platform();
    let state = rig.log.state.get(held);
    for pcr in state.pcrs.iter() {
        for (bank, register) in platform.banks().iter().zip(pcr.registers()) {
            let wrong = *register.value() != rig.machine.pcr(bank.index(), pcr.index())?;
            if bank.in_tpm() && bank.mapped() && wrong {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// A log with the same records, as the next kernel has it, which believed each checkpoint.
fn after_kexec(rig: &Rig, held: &mut Extend) -> Result<Rig> {
    let first = rig.log.store().first();
    let copy = Rig::booted(rig.machine.clone(), rig.log.platform().has_tpm(), &CONFIG)?;
    copy.log.restore_into(held, &dumped(&rig.log, first)?)?;
    ensure_eq!(copy.log.state.get(held).doubted, 0);
    ensure!(same_segments(&rig.log, &copy.log, first)?);
    Ok(copy)
}

/// Segments' numbers, records and digests agree.
fn same_segments(left: &Log, right: &Log, first: u64) -> Result<bool> {
    let left = left.segments()?;
    let right = right.segments()?;
    let mut kept = left.iter().filter(|segment| segment.seq() >= first);
    let same = right.iter().all(|right| {
        kept.next().is_some_and(|left| {
            left.seq() == right.seq()
                && left.digest() == right.digest()
                && left.first_record() == right.first_record()
                && left.len().records == right.len().records
                && left.len().bytes == right.len().bytes
                && left.is_sealed() == right.is_sealed()
        })
    });
    Ok(same && kept.next().is_none())
}
