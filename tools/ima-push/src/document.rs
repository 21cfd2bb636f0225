// SPDX-License-Identifier: GPL-2.0

//! The frame of each message of version 3, as JSON:API 1.1 has it.

use serde::{Deserialize, Serialize};

/// One resource.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document<T> {
    /// It.
    pub data: Resource<T>,
    /// What the verifier says beside.
    #[serde(default, skip_serializing_if = "Meta::is_empty")]
    pub meta: Meta,
}

/// A resource of some type.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Resource<T> {
    /// `session` or `attestation`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which one, if it exists already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it consists of.
    pub attributes: T,
}

/// What the verifier says beside the resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// When the next attestation is welcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_to_next_attestation: Option<u64>,
    /// Of `ima-monitor` only: segments that it verified and keeps, as SHA-256 in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<String>,
}

impl Meta {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl<T> Document<T> {
    /// A resource that does not have an identifier yet.
    pub fn new(kind: &str, attributes: T) -> Self {
        Self {
            data: Resource {
                kind: kind.to_owned(),
                id: None,
                attributes,
            },
            meta: Meta::default(),
        }
    }
}

/// Why something was refused.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Errors {
    /// At least one.
    #[serde(default)]
    pub errors: Vec<Problem>,
}

/// One of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Problem {
    /// The HTTP status, as text.
    #[serde(default)]
    pub status: String,
    /// In a few words.
    #[serde(default)]
    pub title: String,
    /// In sentences.
    #[serde(default)]
    pub detail: String,
}
