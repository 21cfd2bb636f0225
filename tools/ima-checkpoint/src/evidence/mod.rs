// SPDX-License-Identifier: GPL-2.0

//! What a verification is made of: lists from files, archives and the running kernel, and the small
//! files that quotes and values of PCRs are in.

mod error;
pub mod files;
pub mod lists;
mod pipes;
pub mod tpm;
pub mod trust;

pub use self::{error::Error, lists::Evidence, pipes::Pipes};
