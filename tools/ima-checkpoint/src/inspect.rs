// SPDX-License-Identifier: GPL-2.0

//! Showing records to people and programs.

pub mod filter;
mod json;
mod text;

pub use self::{filter::Filter, json::SCHEMA};

use crate::{bank::Bank, own::own_record, records::Entry};
use ima_checkpoint_format::{
    checkpoint::{Checkpoint, Flags, State},
    config,
    record::Record,
    template::Field,
    truncate::Reason,
};
use std::{
    collections::BTreeMap,
    io::{self, Write},
};

/// How records are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For people: a line each, and more for checkpoints, truncations and settings.
    Text,
    /// For programs: a JSON object a line, as the schema [`SCHEMA`] says.
    Json,
}

impl Style {
    /// Shows a record of a list that is the view of `bank`.
    ///
    /// # Errors
    ///
    /// The output cannot be written.
    pub fn show(self, entry: &Entry<'_>, bank: Bank, out: &mut impl Write) -> io::Result<()> {
        let own = own_record(&entry.record);
        match self {
            Self::Text => text::write(entry, &own, out),
            Self::Json => json::write(entry, bank, &own, out),
        }
    }
}

/// The fields of a record with their identifiers.
fn fields<'r, 'a: 'r>(record: &'r Record<'a>) -> impl Iterator<Item = (Field, &'a [u8])> + 'r {
    let fields = record.template().fields().iter().copied();
    fields.zip(record.fields())
}

/// The identifier of a field, as in formats of templates.
fn id(field: Field) -> &'static str {
    match field {
        Field::Digest => "d",
        Field::Name => "n",
        Field::DigestNg => "d-ng",
        Field::DigestNgV2 => "d-ngv2",
        Field::NameNg => "n-ng",
        Field::Signature => "sig",
        Field::Buffer => "buf",
        Field::DigestModsig => "d-modsig",
        Field::Modsig => "modsig",
        Field::EvmSignature => "evmsig",
        Field::Uid => "iuid",
        Field::Gid => "igid",
        Field::Mode => "imode",
        Field::XattrNames => "xattrnames",
        Field::XattrLengths => "xattrlengths",
        Field::XattrValues => "xattrvalues",
        Field::Unknown => "unknown",
    }
}

/// What replay gives by PCR and bank, where it differs from the value. Looking for each in the
/// checkpoint would read all its items as often as there are values.
fn shadows<'a>(checkpoint: &Checkpoint<'a>) -> BTreeMap<(u8, u16), &'a [u8]> {
    let shadows = checkpoint.shadows();
    shadows
        .map(|shadow| ((shadow.pcr, shadow.algorithm), shadow.value))
        .collect()
}

/// Names of the flags that are set in a checkpoint.
fn flag_names(flags: Flags) -> impl Iterator<Item = &'static str> {
    let names = [
        (Flags::AUTOMATIC, "automatic"),
        (Flags::BEFORE_KEXEC, "before-kexec"),
        (Flags::NO_TPM, "no-tpm"),
        (Flags::LOG_LOST, "log-lost"),
        (Flags::INCOMPLETE, "incomplete"),
        (Flags::DIFFERS, "differs"),
    ];
    let set = move |(flag, name)| flags.contains(flag).then_some(name);
    names.into_iter().filter_map(set)
}

/// The name of the state of a PCR value.
fn state_name(state: State) -> &'static str {
    match state {
        State::Match => "match",
        State::Differs => "differs",
        State::Unshadowed => "unshadowed",
        State::Unreadable => "unreadable",
        State::Virtual => "virtual",
    }
}

/// The name of a bank, known or not.
fn bank_name(algorithm: u16) -> String {
    Bank::from_tpm_id(algorithm).map_or_else(
        || format!("tpm_alg_{algorithm:x}"),
        |bank| bank.name().to_owned(),
    )
}

/// The name of when settings were changed.
fn change_reason_name(reason: config::Reason) -> &'static str {
    match reason {
        config::Reason::Boot => "boot",
        config::Reason::User => "user",
    }
}

/// The name of the reason of a truncation.
fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::User => "user",
        Reason::Retention => "retention",
        Reason::Kexec => "kexec",
    }
}
