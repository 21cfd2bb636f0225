// SPDX-License-Identifier: GPL-2.0

//! The measurement list: its records, and what checkpoints and truncations among them say.

mod algorithm;
pub mod batch;
pub mod claim;
pub mod detect;
pub mod own;
pub mod records;
pub mod signed;
pub mod text;
