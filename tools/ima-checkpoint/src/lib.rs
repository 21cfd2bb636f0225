// SPDX-License-Identifier: GPL-2.0

//! Archives, verifies and gives back the IMA measurement list of a kernel with checkpoints.
//!
//! Bytes become [`records`], records a replay in each [`bank`]; [`kernel`] is the interface in
//! securityfs. The [`commands`] of the program are made of these, and end as [`commands::exit`] says.

// what tests share names this crate as they do
#[cfg(test)]
extern crate self as ima_checkpoint;
#[cfg(test)]
#[path = "../../ima-log/tests/common/mod.rs"]
mod common;

pub mod archive;
pub mod cli;
pub mod commands;
pub mod error;
pub mod evidence;
pub mod fuse;
pub mod input;
pub mod inspect;
pub mod kernel;
pub mod notify;
pub mod open_files;
pub mod page;
pub mod quoting;
pub mod remote;

pub mod full_list;
pub mod view;

pub use ima_log::{
    bank, escape,
    list::{claim, detect, own, records, text},
    quote, replay,
};
