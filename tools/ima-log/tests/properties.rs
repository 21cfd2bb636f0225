// SPDX-License-Identifier: GPL-2.0

//! Any log: what the program says of it is what a slow replay says, and no changed byte is proven.

mod common;
mod slow;

use common::{Host, Measured, PCR};
use ima_checkpoint_format::ByteOrder;
use ima_log::{
    bank::{Bank, Digest},
    replay::{Register, Values},
    verify::{
        policy::{Anchor, Policy},
        verdict::{Outcome, Standing, Verdict},
        verify, Input, Layouts,
    },
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{subsequence, Index},
    test_runner::Config,
};

/// What happens on a host.
#[derive(Clone, Debug)]
enum Event {
    Measured(Measured),
    Checkpoint(String),
    Truncation(Index),
    /// Something else extends the PCR in this bank.
    Foreign(u32, Index),
}

const FIELDS: [&str; 16] = [
    "d",
    "n",
    "d-ng",
    "d-ngv2",
    "n-ng",
    "sig",
    "buf",
    "d-modsig",
    "modsig",
    "evmsig",
    "iuid",
    "igid",
    "imode",
    "xattrnames",
    "xattrlengths",
    "xattrvalues",
];

/// A template, and how many fields it has.
fn template() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let named = prop_oneof![
        4 => Just(("ima-ng", 2)),
        1 => Just(("ima-sig", 3)),
        1 => Just(("ima-ngv2", 2)),
        1 => Just(("ima-sigv2", 3)),
        1 => Just(("ima-modsig", 5)),
        1 => Just(("evm-sig", 9)),
    ];
    let custom = vec(proptest::sample::select(&FIELDS[..]), 1..6);
    prop_oneof![
        3 => named.prop_map(|(name, fields)| (name.as_bytes().to_vec(), fields)),
        1 => custom.prop_map(|ids| (ids.join("|").into_bytes(), ids.len())),
    ]
}

/// These fields as IMA fills them: the digest is that of the buffer, where a template has both.
fn hashed(template: &[u8], mut fields: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut ids = template.split(|byte| *byte == b'|');
    let buffer = ids.position(|id| id == b"buf");
    if let (Some(buffer), true) = (buffer, template.starts_with(b"d-ng|n-ng|")) {
        fields[0] = common::d_ng(&fields[buffer]);
    }
    fields
}

fn measured() -> impl Strategy<Value = Event> {
    let pcr = prop_oneof![4 => Just(PCR), 1 => 11..14_u32];
    let any_fields = (template(), any::<bool>()).prop_flat_map(|((template, count), violation)| {
        vec(vec(any::<u8>(), 0..40), count).prop_map(move |fields| Measured {
            pcr: PCR,
            fields: hashed(&template, fields),
            template: template.clone(),
            violation,
        })
    });
    let legacy = ([any::<u8>(); 20], vec(1..=255_u8, 0..255)).prop_map(|(digest, name)| Measured {
        pcr: PCR,
        template: b"ima".to_vec(),
        fields: vec![digest.to_vec(), name],
        violation: false,
    });
    let buffer = vec(any::<u8>(), 0..300).prop_map(|buffer| Measured {
        pcr: PCR,
        template: b"ima-buf".to_vec(),
        fields: vec![common::d_ng(&buffer), b".ima\0".to_vec(), buffer],
        violation: false,
    });
    let record = prop_oneof![6 => any_fields, 1 => legacy, 2 => buffer];
    (pcr, record).prop_map(|(pcr, record)| {
        // violations are always in the default PCR
        let pcr = if record.violation { PCR } else { pcr };
        Event::Measured(Measured { pcr, ..record })
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => measured(),
        3 => "[ -~]{0,64}".prop_map(Event::Checkpoint),
        1 => any::<Index>().prop_map(Event::Truncation),
    ]
}

/// A host on which all of this happened since cold boot.
fn host(order: ByteOrder, banks: &[Bank], events: &[Event]) -> Host {
    let mut host = Host::new(order, banks);
    host.file(b"boot_aggregate", b"PCRs");
    let mut start = 0;
    for event in events {
        match event {
            Event::Measured(record) => host.measure(record.clone()),
            Event::Checkpoint(label) => host.checkpoint(label).expect("it fits"),
            Event::Truncation(to) if host.checkpoints.len() > start => {
                let to = start + 1 + to.index(host.checkpoints.len() - start);
                host.truncation(start, to).expect("it fits");
                start = to;
            }
            Event::Truncation(_) => (),
            Event::Foreign(pcr, bank) => {
                let bank = *bank.get(banks);
                host.foreign_extend(*pcr, bank, b"somebody else");
            }
        }
    }
    host
}

/// Banks that a TPM has, sha256 among them, and the one whose view is read.
fn banks() -> impl Strategy<Value = (Vec<Bank>, Bank)> {
    let others = subsequence(
        vec![Bank::Sha1, Bank::Sha384, Bank::Sha512, Bank::Sm3],
        0..=3,
    );
    let all = (others, prop::option::weighted(0.2, Just(Bank::Sha3_256)));
    let all = all.prop_map(|(banks, unmapped)| {
        let mut banks = [banks, vec![Bank::Sha256], Vec::from_iter(unmapped)].concat();
        banks.sort();
        banks
    });
    (all, any::<Index>()).prop_map(|(banks, view)| {
        // the sha1 view is there without the bank
        let views = [vec![Bank::Sha1], banks.clone()].concat();
        (banks, *view.get(&views))
    })
}

fn order() -> impl Strategy<Value = ByteOrder> {
    prop_oneof![Just(ByteOrder::Little), Just(ByteOrder::Big)]
}

/// What a machine's PCRs hold.
fn held(host: &Host) -> Values {
    let tpm = host.tpm.iter();
    tpm.map(|((pcr, bank), value)| {
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

fn policy(host: &Host) -> Policy {
    let values = held(host);
    Policy {
        anchor: Anchor {
            demanded: values.keys().copied().collect(),
            values,
            ..Anchor::default()
        },
        ..Policy::default()
    }
}

fn judge(list: &[u8], host: &Host, view: Bank, policy: &Policy) -> Verdict {
    let layouts = Layouts {
        view: Some(view),
        order: Some(host.order),
    };
    verify([Ok(Input::new("list", list))], policy, layouts).expect("it can be judged")
}

/// What the slow replay says, in the banks of the host.
fn slowly(host: &Host, list: &[u8], view: Bank) -> Option<slow::Replayed> {
    let banks: Vec<u16> = host.banks.iter().map(|bank| bank.tpm_id()).collect();
    slow::replay(list, view.tpm_id(), host.order == ByteOrder::Big, &banks)
}

/// Does it replay to what the PCRs hold?
fn reaches(host: &Host, replayed: &slow::Replayed) -> bool {
    let held = host.tpm.iter();
    held.map(|((pcr, bank), value)| ((*pcr, bank.tpm_id()), value.as_bytes().to_vec()))
        .eq(replayed.values.clone())
}

fn weak(bank: Bank) -> bool {
    bank == Bank::Sha1 || !bank.mapped()
}

/// As many cases as PROPTEST_CASES says, or some that take seconds.
fn config() -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok();
    Config {
        cases: cases.and_then(|cases| cases.parse().ok()).unwrap_or(100),
        failure_persistence: None,
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_truth_is_verified((banks, view) in banks(), order in order(), events in vec(event(), 0..30)) {
        let host = host(order, &banks, &events);
        let list = host.view(view).expect("it can be written");
        let replayed = slowly(&host, &list, view).expect("it is true");
        prop_assert!(reaches(&host, &replayed) && replayed.broken.is_empty());

        let verdict = judge(&list, &host, view, &policy(&host));
        prop_assert_eq!(verdict.outcome(), Outcome::Verified, "{:?}", verdict.findings.kept());
        for one in &verdict.registers {
            let Register { pcr, bank } = one.register;
            // the sha1 view of a TPM without that bank
            let Some(value) = replayed.values.get(&(pcr, bank.tpm_id())) else {
                continue;
            };
            prop_assert_eq!(one.replayed, Digest::new(value));
            let standing = if weak(bank) { Standing::Weak } else { Standing::Verified };
            prop_assert_eq!(one.standing, standing);
        }
    }

    #[test]
    fn a_truncated_list_needs_a_base(
        (banks, view) in banks(),
        events in vec(event(), 1..30),
        label in "[a-z]*",
        more in vec(measured(), 1..5),
        from in any::<Index>(),
    ) {
        let events = [events, vec![Event::Checkpoint(label.chars().take(64).collect())], more].concat();
        let host = host(ByteOrder::Little, &banks, &events);
        let from = 1 + from.index(host.checkpoints.len());
        let first = host.first_of(from);
        let list = host.view_of(view, first..host.records.len()).expect("it can be written");
        let before = host.view_of(view, 0..first).expect("it can be written");
        let replayed = slowly(&host, &before, view).expect("it is true");

        let mut policy = policy(&host);
        prop_assert_eq!(judge(&list, &host, view, &policy).outcome(), Outcome::Missing);
        let digest = Bank::Sha256.hash(&[&host.checkpoints[from - 1].buffer]);
        policy.start = Some((from as u64, digest));
        prop_assert_eq!(judge(&list, &host, view, &policy).outcome(), Outcome::Accepted);
        policy.start = None;
        let base = replayed.values.iter().filter_map(|((pcr, bank), value)| {
            let bank = Bank::from_tpm_id(*bank)?;
            Some((Register { pcr: *pcr, bank }, Digest::new(value)))
        });
        policy.base = base.collect();
        let verdict = judge(&list, &host, view, &policy);
        prop_assert_eq!(verdict.outcome(), Outcome::Verified, "{:?}", verdict.findings.kept());

        // a base that is not what the checkpoint says
        let wrong = Bank::Sha256.hash(&[b"wrong"]);
        policy.base.insert(Register { pcr: PCR, bank: Bank::Sha256 }, wrong);
        prop_assert_eq!(judge(&list, &host, view, &policy).outcome(), Outcome::Tampered);
    }

    #[test]
    fn a_foreign_extend_breaks_its_segment_only(
        (banks, view) in banks(),
        before in vec(event(), 0..15),
        after in vec(event(), 0..15),
        bank in any::<Index>(),
    ) {
        let foreign = vec![Event::Foreign(PCR, bank)];
        let seal = vec![Event::Checkpoint(String::new())];
        let events = [before.clone(), foreign, seal, after].concat();
        let host = host(ByteOrder::Little, &banks, &events);
        let list = host.view(view).expect("it can be written");
        let replayed = slowly(&host, &list, view).expect("it is true");
        let checkpoints = before.iter().filter(|event| matches!(event, Event::Checkpoint(_)));
        let broken = checkpoints.count() as u64;
        prop_assert_eq!(&replayed.broken, &[broken]);
        prop_assert!(reaches(&host, &replayed));

        let mut policy = policy(&host);
        prop_assert_eq!(judge(&list, &host, view, &policy).outcome(), Outcome::Tampered);
        let digest = Bank::Sha256.hash(&[&host.checkpoints[broken as usize].buffer]);
        policy.breaks = [(broken, digest)].into();
        let verdict = judge(&list, &host, view, &policy);
        // in a bank without the foreign extend, all of it is proven
        prop_assert!(verdict.outcome() <= Outcome::Accepted, "{:?}", verdict.findings.kept());
        policy.breaks = [(broken + 1, digest)].into();
        prop_assert_eq!(judge(&list, &host, view, &policy).outcome(), Outcome::Tampered);
    }

    #[test]
    fn no_changed_byte_is_proven(
        (banks, view) in banks(),
        order in order(),
        events in vec(event(), 0..20),
        changes in vec((any::<Index>(), 1..=255_u8), 20),
    ) {
        let host = host(order, &banks, &events);
        let list = host.view(view).expect("it can be written");
        let policy = policy(&host);
        let sealed = host.first_of(host.checkpoints.len());
        let sealed = host.view_of(view, 0..sealed).expect("it can be written").len();
        for (at, mask) in changes {
            let at = at.index(list.len());
            let mut list = list.clone();
            list[at] ^= mask;
            let verified = judge(&list, &host, view, &policy).outcome() == Outcome::Verified;
            let replayed = slowly(&host, &list, view);
            let reached = replayed.is_some_and(|end| end.broken.is_empty() && reaches(&host, &end));
            prop_assert_eq!(verified, reached, "byte {}", at);
            // all of a sealed segment is covered by the checkpoint after it
            prop_assert!(!verified || at >= sealed, "byte {}", at);
        }
    }

    #[test]
    fn nothing_cut_off_is_proven(
        (banks, view) in banks(),
        events in vec(event(), 1..15),
        cuts in vec(any::<Index>(), 10),
    ) {
        let host = host(ByteOrder::Little, &banks, &events);
        let list = host.view(view).expect("it can be written");
        let policy = policy(&host);
        for cut in cuts {
            // of nothing there is nothing to say
            let cut = 1 + cut.index(list.len() - 1);
            let code = judge(&list[..cut], &host, view, &policy).outcome();
            prop_assert_ne!(code, Outcome::Verified, "cut at {}", cut);
        }
    }

    /// Checkpoints of a kernel that lies, extended as it says.
    #[test]
    fn a_false_claim_is_found(
        (banks, view) in banks(),
        events in vec(event(), 1..15),
        at in prop_oneof![16..40_usize, 48..64_usize, 88..168_usize],
        mask in 1..=255_u8,
    ) {
        let seal = Event::Checkpoint("to be forged".into());
        let events = [events, vec![seal.clone(), seal]].concat();
        let mut host = host(ByteOrder::Little, &banks, &events);
        let last = host.records.len() - 1;
        let mut forged = host.records.pop().expect("there are some");
        let buffer = &mut forged.fields[2];
        buffer[at] ^= mask;
        forged.fields[0] = common::d_ng(buffer);
        let mut again = Host::new(host.order, &banks);
        for record in host.records.drain(..).chain([forged]) {
            again.measure(record);
        }
        prop_assert_eq!(again.records.len(), last + 1);
        let list = again.view(view).expect("it can be written");
        let verdict = judge(&list, &again, view, &policy(&again));
        prop_assert_ne!(verdict.outcome(), Outcome::Verified);
        prop_assert!(slowly(&again, &list, view).is_none());
    }
}
