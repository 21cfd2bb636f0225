// SPDX-License-Identifier: GPL-2.0

//! The interface in securityfs: the directory `ima/checkpoint`, and operations for the list files
//! that IMA creates.

mod config;
mod create;
mod export;
mod list;
mod securityfs;
mod segments;
mod status;
mod text;
mod truncate;

use kernel::{
    bindings,
    ffi::c_int,
    prelude::*, //
};

use self::{
    config::Settings,
    create::Create,
    export::Export,
    list::List,
    securityfs::{
        Directory,
        Operations, //
    },
    segments::Segments,
    status::Status,
    truncate::Truncate, //
};

/// Creates the directory `checkpoint` and its files, or nothing.
///
/// # Safety
///
/// `parent` is a directory of securityfs.
unsafe fn populate(parent: *mut bindings::dentry) -> Result {
    // SAFETY: By the safety requirements.
    let directory = unsafe { Directory::create(parent, c"checkpoint") }?;
    directory.add::<Create>(c"create", 0o600)?;
    directory.add::<Segments>(c"segments", 0o440)?;
    directory.add::<Export>(c"export", 0o600)?;
    directory.add::<Truncate>(c"truncate", 0o200)?;
    directory.add::<Status>(c"status", 0o440)?;
    directory.add::<Settings>(c"config", 0o600)?;
    directory.keep();
    Ok(())
}

/// Creates `checkpoint` in `dir`. 0 or a negative errno, and then nothing was created.
///
/// # Safety
///
/// `dir` is a directory of securityfs.
#[export]
pub(crate) unsafe extern "C" fn ima_store_fs_init(dir: *mut bindings::dentry) -> c_int {
    // SAFETY: By the safety requirements.
    match unsafe { populate(dir) } {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
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
    if ascii {
        Operations::<List<true>>::TABLE
    } else {
        Operations::<List<false>>::TABLE
    }
}
