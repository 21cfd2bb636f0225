// SPDX-License-Identifier: GPL-2.0

//! What the verifier knows and accepts, from the options and the files that they name.

use super::{Options, PcrFile};
use crate::{
    bank::Digest,
    commands::{failure::Failure, Result},
    error::Error,
    escape::Escaped,
    evidence::{self, files, tpm, trust},
    quote::{self, AttestationKey, PcrValues, Quote, TrustedKeys},
    replay::{Register, Values},
};
use ima_log::{
    endorsement::{Endorsements, Limits, MAX_SIZE},
    eventlog::{self, EventLog},
    verify::policy::{Anchor, Contents, Policy, Told},
};
use std::{collections::BTreeSet, num::NonZeroUsize, path::Path, thread};

/// Bytes of a file of revoked endorsements: a hundred thousand of them.
const MAX_REVOKED: u64 = 8 << 20;

/// All of it.
///
/// # Errors
///
/// A file cannot be read or is not what it should be, or two of them contradict each other.
pub(super) fn policy(options: &Options) -> Result<Policy> {
    let mut base = Values::new();
    for pair in &options.base {
        add(&mut base, pair.register, pair.value)?;
    }
    let breaks = options.accept_break.iter();
    let told = anchor(options)?;
    let keys = keys(options)?;
    Ok(Policy {
        default_pcr: options.default_pcr,
        base,
        firmware: match &options.event_log {
            Some(path) => firmware(path)?,
            None => Values::new(),
        },
        endorsements: endorsements(options, &keys)?,
        keys,
        nonce: match options.quote {
            Some(_) => None,
            None => options.nonce.clone(),
        },
        banks: BTreeSet::new(),
        anchor: told,
        breaks: breaks.map(|pin| (pin.seq, pin.digest)).collect(),
        start: options.accept_start.map(|pin| (pin.seq, pin.digest)),
        allow_weak_bank: options.allow_weak_bank,
        contents: Contents::new(),
        jobs: match options.jobs {
            Some(jobs) => jobs.get(),
            None => thread::available_parallelism().map_or(1, NonZeroUsize::get),
        },
    })
}

/// What each PCR held when the firmware's event log ended.
fn firmware(path: &Path) -> Result<Values> {
    let bytes = files::read_up_to(path, eventlog::MAX_SIZE as u64)?;
    let log = EventLog::parse(&bytes).map_err(|error| {
        let path = path.to_owned();
        evidence::Error::EventLog { path, error }
    })?;
    let registers = log
        .banks()
        .into_iter()
        .flat_map(|bank| (0..eventlog::PCRS).map(move |pcr| Register { pcr, bank }));
    let known = registers.filter_map(|register| Some((register, log.start(register)?)));
    Ok(known.collect())
}

/// What the PCRs held. What is said twice must be the same.
fn anchor(options: &Options) -> Result<Anchor> {
    let told = quote(options)?;
    let quote = match &told {
        Told::Quote(quote) => Some(quote),
        _ => None,
    };
    let mut values = Values::new();
    for pair in &options.pcr {
        add(&mut values, pair.register, pair.value)?;
    }
    for PcrFile { bank, path } in &options.pcrs {
        let selection = quote
            .iter()
            .flat_map(|quote| quote.attest.selection.clone());
        let selection: Vec<_> = selection.collect();
        let parsed = PcrValues::parse(&files::read(path)?, *bank, &selection);
        let parsed = parsed.map_err(|error| Error::from(error).during(Escaped::path(path)))?;
        for pair in parsed.iter() {
            add(&mut values, pair.register, pair.value)?;
        }
    }
    if let Some(folder) = &options.tpm {
        for (register, value) in tpm::values(folder)? {
            add(&mut values, register, value)?;
        }
    }
    Ok(Anchor {
        told,
        values,
        demanded: options.pcr.iter().map(|pair| pair.register).collect(),
    })
}

/// Adds what a PCR held. Nothing tells which of two values is true.
fn add(values: &mut Values, register: Register, value: Digest) -> Result<()> {
    match values.insert(register, value) {
        Some(other) if other != value => Err(Failure::usage(format!(
            "there are two values for {register}, {other} and {value}: give only the one that it \
             held"
        ))),
        _ => Ok(()),
    }
}

fn quote(options: &Options) -> Result<Told> {
    let files = options.quote.as_ref().zip(options.signature.as_ref());
    let Some(((message, signature), key)) = files.zip(options.key.as_ref()) else {
        return Ok(Told::Values);
    };
    let mut parsed = AttestationKey::parse(&files::read(key)?);
    if let Some(name) = &options.key_name {
        parsed = parsed.and_then(|parsed| parsed.expect_name(name));
    }
    let (message_bytes, signature) = (files::read(message)?, files::read(signature)?);
    let quote = match &parsed {
        Ok(key) => Quote::verify(
            &message_bytes,
            &signature,
            key,
            options.nonce.as_ref(),
            options.allow_weak_bank,
        ),
        Err(error) => Err(error.clone()),
    };
    match quote {
        Ok(quote) => Ok(Told::Quote(quote)),
        // no verdict on a quote, but an error of whoever gave the file
        Err(error @ (quote::Error::NotAKey(_) | quote::Error::NoKeyName { .. })) => {
            Err(Error::from(error).during(Escaped::path(key)).into())
        }
        // what is wrong with the list is said all the same
        Err(error) => Ok(Told::Refused(error)),
    }
}

/// The keys whose quotes count that are in the log.
fn keys(options: &Options) -> Result<TrustedKeys> {
    let mut keys = match &options.trust {
        Some(folder) => trust::keys(folder)?,
        None => TrustedKeys::default(),
    };
    if let Some(path) = &options.key {
        let key = AttestationKey::parse(&files::read(path)?);
        let key = match &options.key_name {
            Some(name) => key.and_then(|key| key.expect_name(name)),
            None => key,
        };
        match key {
            Ok(key) => keys.add(key),
            // said of the quote that was given
            Err(_) if options.quote.is_some() => (),
            Err(error) => return Err(Error::from(error).during(Escaped::path(path)).into()),
        }
    }
    Ok(keys)
}

/// What others say whom the verifier believes.
fn endorsements(options: &Options, keys: &TrustedKeys) -> Result<Endorsements> {
    let endorsers = trust::endorsers(&options.endorser)?;
    let limits = Limits {
        not_before: options.not_before,
        revoked: match &options.revoked {
            Some(path) => revoked(path)?,
            None => BTreeSet::new(),
        },
        keys: keys.names(),
    };
    let mut endorsements = Endorsements::default();
    for path in &options.endorsement {
        let name = Escaped::path(path).to_string();
        match endorsers.open(&files::read_up_to(path, MAX_SIZE)?) {
            Ok(believed) => endorsements.add(&name, believed, &limits),
            Err(error) => endorsements.refuse(&name, error),
        }
    }
    Ok(endorsements)
}

/// The endorsements that were revoked: the first word of each line that is no comment.
fn revoked(path: &Path) -> Result<BTreeSet<Digest>> {
    let text = files::read_up_to(path, MAX_REVOKED)?;
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().zip(1..);
    let ids = lines.filter_map(|(line, number)| {
        let id = line.split_whitespace().next()?;
        let id = (!id.starts_with('#')).then_some(id)?;
        let digest = Digest::from_hex(id).filter(|digest| digest.as_bytes().len() == 32);
        Some(digest.ok_or_else(|| {
            Failure::usage(format!(
                "{}: line {number} does not start with the ID of an endorsement, 64 hexadecimal \
                 digits as `ima-checkpoint endorse` shows it",
                Escaped::path(path)
            ))
        }))
    });
    ids.collect()
}
