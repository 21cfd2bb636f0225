// SPDX-License-Identifier: GPL-2.0

//! The formats of the IMA measurement list.
//!
//! [`record`], [`template`], [`ascii`] and [`kexec`] are IMA's own: what its securityfs files show
//! and what it hands to the next kernel. [`checkpoint`], [`truncate`], [`config`] and
//! [`quote`] are the buffers of the records that segments add to the list; they are specified in
//! `Documentation/record-format.rst`. [`consent`] is what a key signs to let segments go.
//!
//! This is plain `core` code without allocation. The kernel compiles it as a module, programs as a
//! library, so that there is one definition of each format. All input is taken as hostile: nothing
//! here panics, whatever the bytes.

#![cfg_attr(not(any(CONFIG_RUST, test)), no_std)]

pub mod ascii;
mod bytes;
pub mod checkpoint;
pub mod config;
pub mod consent;
mod error;
pub mod kexec;
pub mod quote;
pub mod record;
pub mod template;
#[cfg(any(test, CONFIG_KUNIT = "y"))]
mod testing;
mod text;
pub mod truncate;

pub use self::{
    bytes::ByteOrder,
    error::Error, //
};
