// SPDX-License-Identifier: GPL-2.0

//! The host's agent: attests the IMA measurement list in [Keylime's push protocol](ima_push), to a
//! verifier of Keylime or to `ima-monitor`.
//!
//! [`tpm`] makes the keys and signs, [`log`] gives the list from any record on, also when most of it was
//! freed in the kernel or is in one file ([`whole`]), [`state`] keeps what must be the same after a restart, and [`client`] speaks with
//! the server. [`rounds`] says when the next attempt is due.

pub mod cli;
pub mod client;
pub mod error;
mod evidence;
pub mod log;
pub mod rounds;
pub mod state;
pub mod tpm;
pub mod whole;
