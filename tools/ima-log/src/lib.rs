// SPDX-License-Identifier: GPL-2.0

//! IMA measurement lists with checkpoints: reading them, replaying them, and finding out what the
//! PCRs of a TPM prove of them.
//!
//! Nothing here opens a file of the kernel, needs a privilege, talks to a network or writes to a
//! terminal. Bytes become records in [`list`], records a replay in each [`bank`]. What the firmware
//! extended before IMA measured is in the log that [`eventlog`] reads.

pub mod bank;
pub mod escape;
pub mod eventlog;
pub mod list;
pub mod replay;
