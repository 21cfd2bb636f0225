// SPDX-License-Identifier: GPL-2.0

//! What the tests of `verify` share: a log with something of everything, and its verdict.

use super::{d_ng, nul, Host, Measured, PCR};
use ima_checkpoint_format::{record::Record, ByteOrder, Error};
use ima_log::{
    bank::{Bank, Digest},
    quote::{Algorithm, Attest, HashId, Hex, Quote, Scheme, Selected},
    replay::{Register, Values},
    verify::{
        contents::settle,
        finding::{Gravity, Kind},
        policy::{Anchor, Policy, Told},
        verdict::{Outcome, Standing, Verdict},
        verify, Error as VerifyError, Input, Layouts,
    },
};

/// The default PCR in the bank that counts, and the other PCR of the host in it.
pub(crate) const SHA256: Register = Register {
    pcr: PCR,
    bank: Bank::Sha256,
};
pub(crate) const PCR_11: Register = Register { pcr: 11, ..SHA256 };

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

/// A host that has booted, and done nothing else.
pub(crate) fn booted(banks: &[Bank]) -> Host {
    let mut host = Host::new(ByteOrder::Little, banks);
    host.file(b"boot_aggregate", b"PCRs");
    host
}

/// A record of a file in PCR 11.
pub(crate) fn record_of_pcr_11(name: &[u8]) -> Measured {
    Measured {
        pcr: 11,
        template: b"ima-ng".to_vec(),
        fields: vec![d_ng(name), nul(name)],
        violation: false,
    }
}

/// Policies that compare with values of PCRs, and with a quote of them; nothing is known of what
/// firmware did.
pub(crate) fn both(values: &Values) -> [(&'static str, Policy); 2] {
    let policies = [
        ("values", against(values.clone())),
        ("a quote", quoted(values.clone())),
    ];
    policies.map(|(what, mut policy)| {
        policy.firmware.clear();
        (what, policy)
    })
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

/// What the PCR held that something extended before IMA used it, which the verifier has to know.
pub(crate) fn before_ima(host: &Host) -> Values {
    let banks = host.banks.iter().map(|bank| {
        let register = Register {
            pcr: 11,
            bank: *bank,
        };
        let before = bank.extend(&bank.zeros(), &bank.hash(&[b"before IMA"]));
        (register, before)
    });
    banks.collect()
}

/// Compares with these PCRs, and knows the event log of [`host`].
pub(crate) fn against(values: Values) -> Policy {
    let host = Host::new(ByteOrder::Little, &BANKS);
    Policy {
        firmware: before_ima(&host),
        anchor: Anchor {
            values,
            ..Anchor::default()
        },
        ..Policy::default()
    }
}

/// The same, by a quote of these PCRs; the values of those that the list does not use are given, too.
/// What it proves is tried here, not how it is signed.
pub(crate) fn quoted(values: Values) -> Policy {
    let mut policy = against(values);
    policy.anchor.told = Told::Quote(quote(&policy.anchor.values));
    policy
}

fn quote(values: &Values) -> Quote {
    let mut selection: Vec<Selected> = Vec::new();
    let mut held: Vec<u8> = Vec::new();
    for bank in Bank::ALL {
        let of_bank = values.iter().filter(|(register, _)| register.bank == bank);
        let pcrs: Vec<u32> = of_bank.clone().map(|(register, _)| register.pcr).collect();
        held.extend(of_bank.flat_map(|(_, value)| value.as_bytes()));
        if !pcrs.is_empty() {
            let bank = HashId(bank.tpm_id());
            selection.push(Selected { bank, pcrs });
        }
    }
    Quote {
        attest: Attest {
            qualified_signer: Hex(Vec::new()),
            extra_data: Hex(Vec::new()),
            clock: 0,
            reset_count: 0,
            restart_count: 0,
            safe: true,
            firmware_version: 0,
            selection,
            pcr_digest: Bank::Sha256.hash(&[&held]),
        },
        scheme: Scheme {
            algorithm: Algorithm::EcDsa,
            hash: Bank::Sha256,
        },
        key_name: None,
        key_name_checked: false,
        fresh: true,
    }
}

/// Has the verdict this exit code, and a finding of this kind?
#[track_caller]
pub(crate) fn expect(what: &str, verdict: &Verdict, wanted: u8, kind: Kind) {
    let found = verdict.findings.kept();
    assert_eq!(code(verdict), wanted, "{what}: {found:#?}");
    let has = found.iter().any(|found| found.kind == kind);
    assert!(has, "{what}: {found:#?}");
}

/// Is it verified, and nothing grave found?
#[track_caller]
pub(crate) fn expect_verified(what: &str, verdict: &Verdict) {
    let found = verdict.findings.kept();
    assert_eq!(verdict.outcome(), Outcome::Verified, "{what}: {found:#?}");
}

/// What is said of a PCR in a bank.
pub(crate) fn standing(verdict: &Verdict, register: Register) -> Option<Standing> {
    Some(verdict.register(register)?.standing)
}

/// Verifies files that are one list.
pub(crate) fn judge(files: &[&[u8]], policy: &Policy) -> Result<Verdict, VerifyError> {
    settle(policy, |policy| {
        let inputs = files.iter().enumerate();
        let inputs = inputs.map(|(number, bytes)| Ok(Input::new(format!("file {number}"), *bytes)));
        verify(inputs, policy, Layouts::default())
    })
}

/// The exit code that the program gives an outcome.
pub(crate) fn exit(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Verified | Outcome::Accepted => 0,
        Outcome::Tampered => 1,
        Outcome::Unanchored => 3,
        Outcome::Missing => 5,
        Outcome::Stale => 9,
    }
}

/// The exit code.
pub(crate) fn code(verdict: &Verdict) -> u8 {
    exit(verdict.outcome())
}

/// Every exit code that holds.
pub(crate) fn codes(verdict: &Verdict) -> Vec<u8> {
    let mut codes: Vec<u8> = verdict.outcomes().into_iter().map(exit).collect();
    codes.sort_unstable();
    codes
}

/// The kinds of the findings that cause an exit code.
pub(crate) fn kinds(verdict: &Verdict) -> Vec<Kind> {
    let grave = verdict.findings.kept().iter();
    let grave = grave.filter(|finding| finding.gravity() > Gravity::Note);
    grave.map(|finding| finding.kind).collect()
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
