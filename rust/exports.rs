// SPDX-License-Identifier: GPL-2.0

//! What IMA calls, declared in `include/linux/ima_store.h`. Each function turns C's arguments into
//! safe types and an error into an errno.

use crate::{
    abstractions::{
        ima::{
            Extend,
            TemplateDigest, //
        },
        securityfs::Directory, //
    },
    files,
    format::template::MAX_FIELDS,
    log::{
        Log,
        NewRecord, //
    },
    platform::{
        Facts,
        NewBank, //
        Platform,
    },
};
use core::{
    ptr,
    slice, //
};
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_ulong,
        c_void, //
    },
    prelude::*, //
};

fn errno(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// The log, where IMA cannot come before it initialised the store.
fn log() -> Result<&'static Log> {
    Log::get().ok_or(ENODEV)
}

/// Makes the log; a second call changes nothing.
///
/// # Safety
///
/// `platform` must point to a valid environment.
#[export]
pub(crate) unsafe extern "C" fn ima_store_init(
    platform: *const bindings::ima_store_platform,
) -> c_int {
    // SAFETY: By the safety requirements.
    errno(read_platform(unsafe { &*platform }).and_then(Log::init))
}

/// What IMA tells of this boot.
fn read_platform(raw: &bindings::ima_store_platform) -> Result<Platform> {
    let facts = Facts {
        sha1: raw.sha1 as usize,
        hash: raw.hash as usize,
        pcr: raw.pcr,
        has_tpm: raw.tpm,
        is_canonical: raw.canonical,
        is_unique: raw.unique,
    };
    let banks = raw.banks.get(..raw.nr_banks as usize).ok_or(EINVAL)?;
    let banks = banks.iter().map(|bank| NewBank {
        alg_id: bank.alg_id,
        digest_size: bank.digest_size.into(),
        in_tpm: bank.tpm,
        is_mapped: bank.mapped,
        name: bank
            .name
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default(),
    });
    Platform::new(&facts, banks)
}

/// Restores the list that the previous kernel handed over.
///
/// # Safety
///
/// `buf` must be readable for `size` bytes.
#[export]
pub(crate) unsafe extern "C" fn ima_store_restore(buf: *const c_void, size: usize) -> c_int {
    // SAFETY: By the safety requirements.
    let buffer = unsafe { slice::from_raw_parts(buf.cast::<u8>(), size) };
    errno(log().and_then(|log| log.restore(buffer)))
}

/// Compares the PCR with the list once boot_aggregate is in it.
///
/// # Safety
///
/// None.
#[export]
pub(crate) unsafe extern "C" fn ima_store_begin() {
    if let Ok(log) = log() {
        log.compare_with_tpm();
    }
}

/// Tells whether `digest` was measured into `pcr` by this kernel.
///
/// # Safety
///
/// The extend mutex is held, and `digest` has the size of the `ima_hash=` bank's digests.
#[export]
pub(crate) unsafe extern "C" fn ima_store_known(pcr: u32, digest: *const u8) -> bool {
    let Ok(log) = log() else {
        return false;
    };
    // SAFETY: The caller holds the mutex and this crate's frames below hold no reference.
    let mut held = unsafe { Extend::assume_held() };
    // SAFETY: By the safety requirements.
    let digest = unsafe { slice::from_raw_parts(digest, log.platform().hash_size()) };
    log.is_known(&mut held, pcr, digest)
}

/// Appends a record. 0 or a negative errno, and then nothing was appended.
///
/// # Safety
///
/// The extend mutex is held, and `record` and all that it points to are valid.
#[export]
pub(crate) unsafe extern "C" fn ima_store_append(
    record: *const bindings::ima_store_record,
) -> c_int {
    // SAFETY: The caller holds the mutex. If the caller is `ima_extend_buffer()`, then
    // `extend_buffer` borrows the outer proof, so that no reference derived from it is live.
    let mut held = unsafe { Extend::assume_held() };
    // SAFETY: By the safety requirements.
    let result = log().and_then(|log| unsafe { append(log, &mut held, &*record) });
    errno(result)
}

/// # Safety
///
/// All that `record` points to is valid.
unsafe fn append(log: &Log, held: &mut Extend, record: &bindings::ima_store_record) -> Result {
    let mut fields: [&[u8]; MAX_FIELDS] = [&[]; MAX_FIELDS];
    let count = record.nr_fields as usize;
    let used = fields.get_mut(..count).ok_or(EINVAL)?;
    for (index, field) in used.iter_mut().enumerate() {
        // SAFETY: There are `nr_fields` fields.
        let data = unsafe { &*record.fields.add(index) };
        if data.len != 0 && !data.data.is_null() {
            // SAFETY: A field's data is readable for its length.
            *field = unsafe { slice::from_raw_parts(data.data, data.len as usize) };
        }
    }
    // SAFETY: The name is readable for its length.
    let template = unsafe {
        slice::from_raw_parts(
            record.template_name.cast::<u8>(),
            record.template_name_len as usize,
        )
    };
    let digests = record.digests.cast::<TemplateDigest>();
    // SAFETY: There is a digest for each bank, and `TemplateDigest` is transparent.
    let digests = unsafe { slice::from_raw_parts(digests, log.platform().banks().len()) };
    log.append(
        held,
        &NewRecord {
            pcr: record.pcr,
            violation: record.violation,
            template,
            fields: used,
            digests,
        },
    )
}

/// Allocates ahead for a record of `size` bytes.
///
/// # Safety
///
/// None; the extend mutex must not be held.
#[export]
pub(crate) unsafe extern "C" fn ima_store_prepare(size: usize) {
    if let Ok(log) = log() {
        log.store().prepare(size);
    }
}

/// Number of live records.
///
/// # Safety
///
/// None.
#[export]
pub(crate) unsafe extern "C" fn ima_store_count() -> c_ulong {
    log().map_or(0, |log| log.store().live().records as c_ulong)
}

/// Records and bytes since cold boot.
///
/// # Safety
///
/// Both pointers must be valid for a write.
#[export]
pub(crate) unsafe extern "C" fn ima_store_totals(records: *mut u64, bytes: *mut u64) {
    let end = log().map(|log| log.store().end()).unwrap_or_default();
    // SAFETY: By the safety requirements.
    unsafe {
        ptr::write(records, end.records);
        ptr::write(bytes, end.bytes);
    }
}

/// Bytes that the list and what a kexec adds need in the kexec buffer.
///
/// # Safety
///
/// None.
#[export]
pub(crate) unsafe extern "C" fn ima_store_kexec_size() -> usize {
    log().map_or(0, Log::kexec_size)
}

/// A kexec image is being loaded, and its buffer will be sized next.
///
/// # Safety
///
/// None; the extend mutex must not be held.
#[export]
pub(crate) unsafe extern "C" fn ima_store_kexec_load() {
    if let Ok(log) = log() {
        log.kexec_loads();
    }
}

/// The least that a kexec buffer must have.
///
/// # Safety
///
/// None.
#[export]
pub(crate) unsafe extern "C" fn ima_store_kexec_min() -> usize {
    crate::log::kexec::MIN_SIZE
}

/// Last call before measuring is suspended.
///
/// # Safety
///
/// The extend mutex is held.
#[export]
pub(crate) unsafe extern "C" fn ima_store_suspend(kexec: bool, room: usize) {
    if let Ok(log) = log() {
        // SAFETY: The caller holds the mutex and this crate's frames below hold no reference.
        let mut held = unsafe { Extend::assume_held() };
        log.suspend(&mut held, kexec, room);
    }
}

/// Writes the kexec buffer; bytes written, 0 if nothing is carried.
///
/// # Safety
///
/// `buf` must be writable for `size` bytes, and nobody else accesses it meanwhile.
#[export]
pub(crate) unsafe extern "C" fn ima_store_dump(buf: *mut c_void, size: usize) -> usize {
    // SAFETY: By the safety requirements.
    let buffer = unsafe { slice::from_raw_parts_mut(buf.cast::<u8>(), size) };
    log().map_or(0, |log| log.dump(buffer))
}

/// Creates `checkpoint` in `dir`. 0 or a negative errno, and then nothing was created.
///
/// # Safety
///
/// `dir` is a directory of securityfs.
#[export]
pub(crate) unsafe extern "C" fn ima_store_fs_init(dir: *mut bindings::dentry) -> c_int {
    // SAFETY: By the safety requirements.
    let directory = unsafe { Directory::create(dir, c"checkpoint") };
    errno(directory.and_then(files::populate))
}

/// Operations of the list files; the inode's private data is the number of the bank.
///
/// # Safety
///
/// None.
#[export]
pub(crate) unsafe extern "C" fn ima_store_list_ops(
    ascii: bool,
) -> *const bindings::file_operations {
    files::list_operations(ascii).as_ptr()
}
