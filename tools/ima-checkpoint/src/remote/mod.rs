// SPDX-License-Identifier: GPL-2.0

//! Object stores: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage, and a
//! directory by the same interface.
//!
//! What a store holds and answers is as hostile as a directory that came from anybody. Memory and
//! time are bounded whatever it sends ([`meter`]), names are checked by whoever asks for them, and
//! what an object holds is read as a file of an archive is. The runtime that `object_store` needs
//! does not leave this module: everything here blocks.

mod connect;
mod error;
mod folder;
mod location;
mod meter;
mod object;
mod profile;
mod store;
#[cfg(test)]
mod tests;

pub use self::{
    error::{Error, Unfit},
    folder::Folder,
    location::{Location, StoreUrl},
    object::Object,
    store::Store,
};
