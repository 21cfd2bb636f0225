// SPDX-License-Identifier: GPL-2.0

//! What is wrong with a host.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a finding is about. The names in JSON never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The policy does not have this file, or has other digests of it.
    File,
    /// A file was written while it was measured, or measured while it was written.
    Violation,
    /// The policy does not have this key, or other buffer.
    Buffer,
    /// The evidence is not what was asked for, or cannot be read.
    Evidence,
    /// The quote is not genuine, or answers another question.
    Quote,
    /// The list does not lead from what is proven to what the TPM quoted.
    Mismatch,
    /// Records are missing.
    Gap,
    /// The host is where it was before.
    WentBack,
    /// The list is genuine, but does not have the history that was proven.
    Fork,
    /// Another attestation key than before.
    OtherKey,
    /// The TPM was reset, but the list goes on as if it was not.
    ResetWithoutNewLog,
    /// The TPM was reset more often than there are logs.
    ResetJump,
    /// Something about the log, as `ima-checkpoint verify` finds it.
    Log,
    /// Nothing was heard from the host for too long.
    Silent,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::File,
        Self::Violation,
        Self::Buffer,
        Self::Evidence,
        Self::Quote,
        Self::Mismatch,
        Self::Gap,
        Self::WentBack,
        Self::Fork,
        Self::OtherKey,
        Self::ResetWithoutNewLog,
        Self::ResetJump,
        Self::Log,
        Self::Silent,
    ];

    /// The name in JSON and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Violation => "violation",
            Self::Buffer => "buffer",
            Self::Evidence => "evidence",
            Self::Quote => "quote",
            Self::Mismatch => "mismatch",
            Self::Gap => "gap",
            Self::WentBack => "went-back",
            Self::Fork => "fork",
            Self::OtherKey => "other-key",
            Self::ResetWithoutNewLog => "reset-without-new-log",
            Self::ResetJump => "reset-jump",
            Self::Log => "log",
            Self::Silent => "silent",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A record of the list, for whoever acts on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Records before it since cold boot.
    pub index: u64,
    /// The PCR that it was extended into.
    pub pcr: u32,
    /// Its template.
    pub template: String,
    /// The file or event, with nothing that could harm a terminal.
    pub path: String,
    /// The digest of the file or buffer: `sha256:HEX`. Nothing in a violation.
    pub digest: Option<String>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about.
    pub kind: Kind,
    /// What tells it from others of the host: as long as it is not acknowledged, it is the same one
    /// when it is found again.
    pub key: String,
    /// What it says to a person.
    pub text: String,
    /// The record, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
}

impl Finding {
    /// One of which a host has at most one at a time.
    pub fn of_host(kind: Kind, text: impl Into<String>) -> Self {
        Self {
            kind,
            key: kind.name().to_owned(),
            text: text.into(),
            record: None,
        }
    }
}
