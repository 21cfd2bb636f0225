// SPDX-License-Identifier: GPL-2.0

//! The interface in securityfs: the directory `ima/checkpoint`, and operations for the list files
//! that IMA creates.

mod config;
mod create;
mod export;
mod list;
mod quote;
mod segments;
mod status;
mod text;
mod truncate;

use self::{
    config::Settings,
    create::Create,
    export::Export,
    list::List,
    quote::Quote,
    segments::Segments,
    status::Status,
    truncate::Truncate, //
};
use crate::abstractions::securityfs::{
    Directory,
    Operations, //
};
use kernel::prelude::*;

/// Creates the files of `directory`, or nothing.
pub(crate) fn populate(directory: Directory) -> Result {
    directory.add::<Create>(c"create", 0o600)?;
    directory.add::<Quote>(c"quote", 0o600)?;
    directory.add::<Segments>(c"segments", 0o440)?;
    directory.add::<Export>(c"export", 0o600)?;
    directory.add::<Truncate>(c"truncate", 0o200)?;
    directory.add::<Status>(c"status", 0o440)?;
    directory.add::<Settings>(c"config", 0o600)?;
    directory.keep();
    Ok(())
}

/// Operations of IMA's list files; the inode's private data is the number of the bank.
pub(crate) fn list_operations(ascii: bool) -> Operations {
    if ascii {
        Operations::of::<List<true>>()
    } else {
        Operations::of::<List<false>>()
    }
}
