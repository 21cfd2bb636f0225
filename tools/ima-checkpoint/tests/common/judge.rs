// SPDX-License-Identifier: GPL-2.0

//! What the tests of `verify` share: a log with something of everything, and its verdict.

use super::{
    d_ng,
    nul,
    Host,
    Measured, //
};
use ima_checkpoint::{
    bank::{
        Bank,
        Digest, //
    },
    chain::Trust,
    finding::Kind,
    outcome::Result,
    replay::{
        Register,
        Values, //
    },
    verify::{
        anchor::Anchor,
        gather::Evidence,
        pieces::Told,
        source::Source,
        verdict::Verdict,
        verify,
        Options, //
    },
};
use ima_checkpoint_format::{
    record::Record,
    ByteOrder,
    Error, //
};
use indicatif::ProgressBar;
use std::num::NonZeroUsize;

/// The banks of the host.
pub(crate) const BANKS: [Bank; 2] = [Bank::Sha1, Bank::Sha256];

/// A host with three checkpoints, a violation, a signature, another PCR, and a truncation.
pub(crate) fn host() -> Result<Host, Error> {
    let mut host = Host::new(ByteOrder::Little, &BANKS);
    host.foreign_extend(11, Bank::Sha1, b"before IMA");
    host.foreign_extend(11, Bank::Sha256, b"before IMA");
    host.file(b"boot_aggregate", b"PCRs");
    host.file(b"/bin/a", b"a");
    host.violation(b"/var/log/b");
    host.append(
        b"ima-sig",
        vec![d_ng(b"c"), nul(b"/bin/c"), b"\x03\x02\x04".to_vec()],
        false,
    );
    host.checkpoint("first")?;
    host.file(b"/bin/d", b"d");
    host.measure(Measured {
        pcr: 11,
        template: b"ima-ng".to_vec(),
        fields: vec![d_ng(b"e"), nul(b"/bin/e")],
        violation: false,
    });
    host.checkpoint("")?;
    host.truncation(0, 1)?;
    host.file(b"/bin/f", b"f");
    host.checkpoint("third")?;
    host.file(b"/bin/g", b"g");
    host.file(b"/bin/h", b"h");
    Ok(host)
}

/// What the TPM of the host holds.
pub(crate) fn pcrs(host: &Host) -> Values {
    let pcrs = host.tpm.iter();
    pcrs.map(|((pcr, bank), value)| {
        (
            Register {
                pcr: *pcr,
                bank: *bank,
            },
            *value,
        )
    })
    .collect()
}

/// Compares with these PCRs.
pub(crate) fn against(values: Values) -> Options {
    Options {
        told: Told::default(),
        trust: Trust::default(),
        anchor: Anchor {
            values,
            ..Anchor::default()
        },
        accept_truncated: false,
        allow_weak_bank: false,
        jobs: NonZeroUsize::MIN,
    }
}

/// Verifies files that are one list.
pub(crate) fn judge(files: &[&[u8]], options: &Options) -> Result<Verdict> {
    let sources = files.iter().enumerate();
    let sources = sources.map(|(number, bytes)| Source::spool(format!("file {number}"), *bytes));
    let evidence = Evidence {
        sources: sources.collect::<Result<_>>()?,
        forks: Vec::new(),
    };
    verify(evidence, options, &ProgressBar::hidden())
}

/// Every exit code that holds.
pub(crate) fn codes(verdict: &Verdict) -> Vec<u8> {
    verdict.codes().into_iter().map(|code| code as u8).collect()
}

/// The kinds of the findings that cause an exit code.
pub(crate) fn kinds(verdict: &Verdict) -> Vec<Kind> {
    let kinds = verdict.findings.iter().map(|finding| finding.kind);
    kinds.filter(|kind| kind.code() as u8 > 0).collect()
}

/// The records of a list in the sha1 view.
pub(crate) fn split(mut list: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let Ok((_, length)) = Record::parse(list, 20, ByteOrder::Little) {
        let (record, rest) = list.split_at(length);
        records.push(record.to_vec());
        list = rest;
    }
    assert!(list.is_empty());
    records
}

/// Puts the right template digest into a record of the sha1 view.
pub(crate) fn rehash(record: &mut [u8]) {
    let Ok((parsed, _)) = Record::parse(record, 20, ByteOrder::Little) else {
        return;
    };
    let digest: Digest = Bank::Sha1.hash(&[parsed.data()]);
    record[4..24].copy_from_slice(digest.as_bytes());
}
