// SPDX-License-Identifier: GPL-2.0

//! Asks the program. This is the only file that knows its interface.

use crate::{
    bank,
    claims::{self, Claims},
    quotes,
    record::{view, Order},
    strategies::Case,
    world::Verifier,
};
use ima_checkpoint_format::ByteOrder;
use ima_log::{
    bank::{Bank, Digest},
    endorsement::{self, Believed, Endorsed, Endorsement, Endorsements, Limits},
    quote::{Algorithm, Attest, AttestationKey, HashId, Hex, Quote, Scheme, Selected, TrustedKeys},
    replay::{Register, Values},
    verify::{
        contents::settle,
        policy::{Anchor, Policy, Told},
        verdict::{Outcome, PcrVerdict, Standing, Verdict},
        verify, Error, Input, Layouts,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// A register that is called verified from a trusted start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verified {
    pub(crate) pcr: u32,
    pub(crate) bank: bank::Bank,
    /// The first record of the list that is meant, and the one after the last.
    pub(crate) first: usize,
    pub(crate) end: usize,
    /// Is it only said to be proven from a checkpoint on that the verifier accepts?
    pub(crate) accepted: bool,
}

impl Verified {
    pub(crate) fn register(&self) -> bank::Register {
        (self.pcr, self.bank)
    }
}

/// A verdict.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judged {
    pub(crate) exit: u8,
    pub(crate) verified: Vec<Verified>,
    /// PCRs that it says something of: that they are verified, or that the list does not explain
    /// them.
    pub(crate) mentioned: BTreeSet<u32>,
    /// Records of the list that a finding is about.
    pub(crate) reported: BTreeSet<usize>,
    /// What the findings say.
    pub(crate) findings: Vec<String>,
}

/// What the program says of a case.
pub(crate) fn judge(case: &Case) -> Judged {
    let verifier = &case.verifier;
    let mut list = view(
        &case.list.records,
        verifier.view,
        case.list.order,
        case.list.kernel,
    );
    list.truncate(list.len() - case.list.cut.min(list.len()));
    let order = match case.list.order {
        Order::Little => ByteOrder::Little,
        Order::Big => ByteOrder::Big,
    };
    let layouts = Layouts {
        view: verifier.told.then_some(known(verifier.view)),
        order: verifier.told.then_some(order),
    };
    let verdict = settle(&policy(case), |policy| {
        let mut policy = policy.clone();
        loop {
            match verify([Ok(Input::new("list", &*list))], &policy, layouts) {
                Err(Error::BanksNeeded(banks)) => policy.banks.extend(banks),
                verdict => return verdict,
            }
        }
    });
    match verdict {
        Ok(verdict) => judged(&verdict),
        Err(error) => Judged {
            exit: 2,
            findings: vec![error.to_string()],
            ..Judged::default()
        },
    }
}

fn policy(case: &Case) -> Policy {
    let verifier = &case.verifier;
    let accepts = verifier.accepts.map(|at| &case.host.records[at]);
    let accepts = accepts.and_then(|record| {
        let digest = bank::Bank::Sha256.hash(claims::buffer(record));
        Some((Claims::read(record)?.sequence - 1, Digest::new(&digest)))
    });
    let mut keys = TrustedKeys::default();
    if verifier.has_keys {
        for key in &quotes::keys()[..quotes::KNOWN] {
            keys.add(AttestationKey::parse(&key.public).expect("it is one"));
        }
    }
    let mut endorsements = Endorsements::default();
    if let Some(at) = verifier.endorsed {
        endorsements.add("it", endorsed(case, at), &Limits::default());
    }
    Policy {
        endorsements,
        keys,
        base: values(&verifier.base),
        breaks: accepts.into_iter().collect(),
        anchor: Anchor {
            values: values(verifier.anchors.iter().map(|(at, value)| (at, value))),
            told: match verifier.quoted {
                true => Told::Quote(quote(verifier)),
                false => Told::Values,
            },
            ..Anchor::default()
        },
        ..Policy::default()
    }
}

/// What somebody endorses who knows what happened: what the TPM held at a checkpoint.
fn endorsed(case: &Case, at: usize) -> Believed {
    let buffer = claims::buffer(&case.host.records[at]);
    let claims = Claims::read(&case.host.records[at]).expect("it is a checkpoint");
    let values = case.host.endorsable(at).into_iter();
    let values = values.map(|((pcr, bank), value)| {
        let bank = known(bank);
        let value = Digest::new(&value);
        let accepted = false;
        (Register { pcr, bank }, Endorsed { value, accepted })
    });
    let nobody = Digest::new(&[0; 32]);
    Believed {
        id: nobody,
        by: nobody,
        endorsement: Endorsement {
            host: None,
            log_id: Digest::new(&claims.log_id),
            checkpoint: claims.sequence,
            digest: Digest::new(&bank::Bank::Sha256.hash(buffer)),
            records: at as u64,
            segments: BTreeMap::new(),
            values: values.collect(),
            quote: None,
            verifier: endorsement::Verifier {
                id: "test:adversary".to_owned(),
                version: String::new(),
            },
            time: std::time::UNIX_EPOCH,
            inputs: Vec::new(),
        },
    }
}

fn known(bank: bank::Bank) -> Bank {
    Bank::from_tpm_id(bank.tpm_id()).expect("it has all")
}

fn values<'a>(values: impl IntoIterator<Item = (&'a bank::Register, &'a bank::Digest)>) -> Values {
    let values = values.into_iter().map(|((pcr, bank), value)| {
        let register = Register {
            pcr: *pcr,
            bank: known(*bank),
        };
        (register, Digest::new(value))
    });
    values.collect()
}

/// A quote whose signature was verified: what it proves is tried here, not how it is signed.
fn quote(verifier: &Verifier) -> Quote {
    let mut selection: Vec<Selected> = Vec::new();
    for ((pcr, bank), _) in &verifier.anchors {
        let bank = HashId(bank.tpm_id());
        match selection.last_mut().filter(|last| last.bank == bank) {
            Some(last) => last.pcrs.push(*pcr),
            None => selection.push(Selected {
                bank,
                pcrs: vec![*pcr],
            }),
        }
    }
    let held = verifier.anchors.iter().flat_map(|(_, value)| value);
    let held: Vec<u8> = held.copied().collect();
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
            pcr_digest: Digest::new(&bank::Bank::Sha256.hash(&held)),
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

fn judged(verdict: &Verdict) -> Judged {
    let registers = verdict.registers.iter();
    let findings = verdict.findings.kept().iter();
    let places = findings.clone().filter_map(|finding| finding.record);
    let unexplained = verdict.unexplained.iter();
    let mentioned = registers.clone().map(|one| one.register);
    let mentioned = mentioned.chain(unexplained.map(|one| one.register));
    Judged {
        exit: match verdict.outcome() {
            Outcome::Verified | Outcome::Accepted => 0,
            _ => 1,
        },
        verified: registers.filter_map(verified).collect(),
        mentioned: mentioned.map(|register| register.pcr).collect(),
        reported: places.map(|record| record as usize).collect(),
        findings: findings.map(ToString::to_string).collect(),
    }
}

/// With exit code 0, the report calls these proven.
fn verified(one: &PcrVerdict) -> Option<Verified> {
    if !matches!(one.standing, Standing::Verified | Standing::Accepted) {
        return None;
    }
    let (first, end) = one.proven?;
    let banks = [bank::Bank::Sha1, bank::Bank::Sha256, bank::Bank::Sha384];
    Some(Verified {
        pcr: one.register.pcr,
        bank: banks
            .into_iter()
            .find(|bank| known(*bank) == one.register.bank)?,
        first: first as usize,
        end: end as usize,
        accepted: one.standing == Standing::Accepted,
    })
}
