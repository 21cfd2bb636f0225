// SPDX-License-Identifier: GPL-2.0

//! A verdict for a person, and for a program.

mod json;
mod text;

pub use self::{
    json::{Code, Json},
    text::text,
};
