// SPDX-License-Identifier: GPL-2.0

//! Verifies the measurement lists of many hosts as they grow, and acts on what they break.
//!
//! A host attests in rounds, in [Keylime's push protocol](ima_push). What it sends is verified by
//! `ima-log`, from where the last round ended. [`host`] decides what follows from that, and [`policy`]
//! what a record may be: both are pure. [`store`] keeps the result of a round in one transaction:
//! how far the host is proven, what was found, and what is to be done about it. [`outbox`] does it,
//! and only then notes that it is done. So whenever the monitor is killed, a round either counts or
//! is asked for again, and each finding is acted on at least once. [`limits`] holds for those who have
//! no session yet.

pub mod action;
pub mod commands;
pub mod config;
pub mod credential;
pub mod finding;
pub mod host;
pub mod limits;
pub mod metrics;
pub mod outbox;
pub mod policy;
pub mod server;
pub mod session;
pub mod store;
pub mod tls;

mod time;
