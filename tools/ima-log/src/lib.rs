// SPDX-License-Identifier: GPL-2.0

//! IMA measurement lists with checkpoints: reading them, replaying them, and finding out what the
//! PCRs of a TPM prove of them.
//!
//! Nothing here opens a file of the kernel, needs a privilege, talks to a network or writes to a
//! terminal. Bytes become records in [`list`], records a [`replay`] in each [`bank`]; the
//! [`chain`] joins segments by their checkpoints; [`verify`] compares with what the PCRs held, as a
//! [`quote`] says, and makes a verdict, which [`report`] shows. An [`endorsement`] hands it on.

pub mod bank;
pub mod chain;
pub mod endorsement;
pub mod escape;
pub mod eventlog;
pub mod list;
pub mod quote;
pub mod replay;
pub mod report;
pub mod verify;
