// SPDX-License-Identifier: GPL-2.0

//! A verdict for a person, and for a program; and [`audit`], the verdicts on all logs of a host.

pub mod audit;
mod json;
mod number;
mod text;

pub use self::{
    json::{Code, Json},
    number::Number,
    text::text,
};
