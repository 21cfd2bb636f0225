// SPDX-License-Identifier: GPL-2.0

//! A machine whose TPM is a key of OpenSSL, and what is made of its evidence.

use super::*;
use crate::policy::Compiler;
use ima_checkpoint_format::{record::NewRecord, ByteOrder};
use openssl::{
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Rsa,
    sign::Signer,
};
use std::sync::LazyLock;

static KEY: LazyLock<PKey<Private>> =
    LazyLock::new(|| PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap());

/// A record of a file whose digest is all `byte`.
fn file(name: &str, byte: u8) -> Vec<u8> {
    let d_ng = [b"sha256:\0".as_slice(), &[byte; 32]].concat();
    let name = [name.as_bytes(), b"\0"].concat();
    let mut data = Vec::new();
    for field in [&d_ng, &name] {
        data.extend((field.len() as u32).to_le_bytes());
        data.extend(field);
    }
    let digest = Bank::Sha1.hash(&[&data]);
    let new = NewRecord {
        pcr: 10,
        digest: digest.as_bytes(),
        template_name: b"ima-ng",
        fields: [d_ng.as_slice(), &name].into_iter(),
        order: ByteOrder::Little,
    };
    let mut out = vec![0; new.encoded_len().unwrap()];
    new.encode(&mut out).unwrap();
    out
}

/// The template digest in sha256: the data starts after PCR, digest, template and two lengths.
fn extended(raw: &[u8]) -> Digest {
    Bank::Sha256.hash(&[&raw[4 + 20 + 4 + 6 + 4..]])
}

#[derive(Clone)]
struct Machine {
    records: Vec<Vec<u8>>,
    pcr: Digest,
    clock: Clock,
    boot_time: &'static str,
}

const NONCE: &[u8] = b"nonce";

impl Machine {
    fn boot(resets: u32) -> Self {
        let clock = Clock {
            clock: 1000,
            reset: resets,
            restart: 0,
            safe: true,
        };
        let mut new = Self {
            records: Vec::new(),
            pcr: Bank::Sha256.zeros(),
            clock,
            boot_time: "then",
        };
        new.measure("boot_aggregate", 0);
        new
    }

    fn measure(&mut self, name: &str, byte: u8) {
        let raw = file(name, byte);
        self.pcr = Bank::Sha256.extend(&self.pcr, &extended(&raw));
        self.records.push(raw);
        self.clock.clock += 1;
    }

    /// TPM2B_PUBLIC of a restricted signing key.
    fn key() -> AttestationKey {
        let mut area = b"\x00\x01\x00\x0b\x00\x05\x00\x72\x00\x00\x00\x10\x00\x14\x00\x0b\x08\x00\0\0\0\0\x01\x00".to_vec();
        area.extend(KEY.rsa().unwrap().n().to_vec());
        let size = (area.len() as u16).to_be_bytes();
        AttestationKey::parse(&[size.as_slice(), &area].concat()).unwrap()
    }

    /// The message, the signature and the values of a quote.
    fn quote(&self, nonce: &[u8]) -> [Vec<u8>; 3] {
        let mut message = b"\xffTCG\x80\x18\x00\x00".to_vec();
        message.extend((nonce.len() as u16).to_be_bytes());
        message.extend(nonce);
        message.extend(self.clock.clock.to_be_bytes());
        message.extend(self.clock.reset.to_be_bytes());
        message.extend(self.clock.restart.to_be_bytes());
        message.push(1);
        message.extend([0; 8]);
        message.extend(b"\0\0\0\x01\x00\x0b\x03\x00\x04\x00\x00\x20");
        message.extend(Bank::Sha256.hash(&[self.pcr.as_bytes()]).as_bytes());
        let mut signer = Signer::new(MessageDigest::sha256(), &KEY).unwrap();
        let raw = signer.sign_oneshot_to_vec(&message).unwrap();
        let mut signature = b"\x00\x14\x00\x0b\x01\x00".to_vec();
        signature.extend(raw);
        let values = format!("sha256:10={}", self.pcr);
        [message, signature, values.into_bytes()]
    }

    /// A round, of which the host sends this list from the record on that is asked for.
    fn round_with(&self, before: Option<&Proven>, doubt: bool, list: &[Vec<u8>]) -> Round {
        let from = super::super::ask(before, self.boot_time, list.len() as u64, doubt);
        let sent = list[from as usize..].concat();
        self.judged(before, from, NONCE, &sent)
    }

    fn judged(&self, before: Option<&Proven>, from: u64, nonce: &[u8], list: &[u8]) -> Round {
        let asked = Asked {
            nonce: NONCE.try_into().unwrap(),
            from,
            boot_time: self.boot_time.into(),
            bank: Bank::Sha256,
        };
        let [message, signature, pcrs] = self.quote(nonce);
        let evidence = Evidence {
            message: &message,
            signature: &signature,
            pcrs: &pcrs,
            list,
        };
        judge(&Self::key(), &asked, before, evidence, &policy())
    }

    fn round(&self, before: Option<&Proven>) -> Round {
        self.round_with(before, false, &self.records)
    }
}

fn policy() -> Policy {
    let mut compiler = Compiler::default();
    let sums = format!("{}  /bin/good\n", "11".repeat(32));
    compiler.sums(sums.as_bytes()).unwrap();
    compiler.finish()
}

fn kinds(round: &Round) -> Vec<Kind> {
    round.findings.iter().map(|finding| finding.kind).collect()
}

/// The new state of a round that finds nothing.
fn good(round: Round) -> Proven {
    assert_eq!(round.findings, [], "{round:?}");
    round.proven.unwrap()
}

#[test]
fn rounds_go_on_from_each_other() {
    let mut machine = Machine::boot(7);
    machine.measure("/bin/good", 0x11);
    let first = machine.round(None);
    assert_eq!(first.new, 2);
    let first = good(first);
    assert_eq!(first.records, 2);
    let bank = Bank::Sha256;
    assert_eq!(
        first.base.get(&Register { pcr: 10, bank }),
        Some(&machine.pcr)
    );
    // nothing new
    let second = machine.round(Some(&first));
    assert_eq!((second.new, good(second)), (0, first.clone()));
    machine.measure("/bin/bad", 0x11);
    machine.measure("/bin/good", 0x11);
    machine.measure("/bin/good", 0x12);
    let third = machine.round(Some(&first));
    assert_eq!(
        (third.new, kinds(&third)),
        (3, vec![Kind::File, Kind::File])
    );
    let record = third.findings[0].record.as_ref().unwrap();
    assert_eq!((record.index, record.path.as_str()), (2, "/bin/bad"));
    assert_eq!(third.findings[1].record.as_ref().unwrap().index, 4);
    let third = third.proven.unwrap();
    assert_eq!(third.records, 5);
    good(machine.round(Some(&third)));
}

#[test]
fn what_the_quote_does_not_cover_is_not_believed() {
    let mut machine = Machine::boot(7);
    let mut later = machine.clone();
    later.measure("/bin/bad", 1);
    let round = machine.round_with(None, false, &later.records);
    assert_eq!((round.new, good(round).records), (1, 1));
    // it is found as soon as it is covered
    let first = good(machine.round(None));
    machine.measure("/bin/bad", 1);
    assert_eq!(kinds(&machine.round(Some(&first))), [Kind::File]);
}

#[test]
fn the_whole_list_again_tells_nothing_twice() {
    let mut machine = Machine::boot(7);
    machine.measure("/bin/bad", 1);
    let first = machine.round(None).proven.unwrap();
    machine.measure("/bin/good", 0x11);
    let doubted = machine.round_with(Some(&first), true, &machine.records);
    assert_eq!((doubted.new, good(doubted).records), (1, 3));
    // a kexec, of which an agent of Keylime says that it was a boot
    machine.boot_time = "now";
    machine.measure("/bin/good", 0x11);
    let after = good(machine.round(Some(&first)));
    assert_eq!((after.records, after.boot_time.as_str()), (4, "now"));
}

#[test]
fn a_reboot_starts_anew() {
    let mut machine = Machine::boot(7);
    machine.measure("/bin/good", 0x11);
    let before = good(machine.round(None));
    let mut machine = Machine::boot(8);
    machine.boot_time = "now";
    let after = good(machine.round(Some(&before)));
    assert_eq!((after.records, after.clock.reset), (1, 8));

    let mut machine = Machine::boot(11);
    machine.boot_time = "now";
    machine.measure("/bin/bad", 1);
    let jumped = machine.round(Some(&before));
    assert_eq!(kinds(&jumped), [Kind::ResetJump, Kind::File]);
    assert!(
        jumped.findings[0].text.contains("3 more times"),
        "{jumped:?}"
    );
    assert_eq!(jumped.proven.unwrap().records, 2);
}

#[test]
fn a_reset_that_is_denied() {
    let mut machine = Machine::boot(7);
    machine.measure("/bin/good", 0x11);
    let before = good(machine.round(None));
    let mut machine = Machine::boot(8);
    machine.measure("/bin/bad", 1);
    let denied = machine.round(Some(&before));
    assert_eq!(kinds(&denied), [Kind::ResetWithoutNewLog]);
    assert_eq!(denied.proven, None);
    // asked for all of it, the host cannot deny it any more
    let told = machine.round_with(Some(&before), true, &machine.records);
    assert_eq!(
        (kinds(&told), told.proven.unwrap().clock.reset),
        (vec![Kind::File], 8)
    );
}

#[test]
fn a_tpm_that_was_set_back() {
    let mut machine = Machine::boot(7);
    machine.measure("/bin/good", 0x11);
    let before = good(machine.round(None));
    let mut earlier = machine.clone();
    earlier.clock.clock = 5;
    assert_eq!(kinds(&earlier.round(Some(&before))), [Kind::WentBack]);
    assert_eq!(
        kinds(&Machine::boot(6).round(Some(&before))),
        [Kind::WentBack]
    );
    // the clock of a snapshot that has caught up, with fewer records
    let mut shorter = Machine::boot(7);
    shorter.clock.clock = 10_000;
    let found = shorter.round(Some(&before));
    assert_eq!((kinds(&found), found.proven), (vec![Kind::Fork], None));
    // and with another history
    shorter.measure("/bin/good", 0x12);
    shorter.measure("/bin/good", 0x11);
    let found = shorter.round_with(Some(&before), true, &shorter.records);
    assert_eq!((kinds(&found), found.proven), (vec![Kind::Fork], None));
}

#[test]
fn lists_that_are_not_true() {
    let mut machine = Machine::boot(7);
    machine.measure("/bin/good", 0x11);
    let before = good(machine.round(None));
    machine.measure("/bin/bad", 1);
    machine.measure("/bin/good", 0x11);
    let all = machine.records.clone();
    let without = [&all[..2], &all[3..]].concat();
    let mut changed = all.clone();
    changed[2] = file("/bin/good", 0x11);
    let mut swapped = all.clone();
    swapped.swap(2, 3);
    for (what, list) in [
        ("left out", &without),
        ("changed", &changed),
        ("swapped", &swapped),
    ] {
        for doubt in [false, true] {
            let round = machine.round_with(Some(&before), doubt, list);
            assert_eq!(
                (kinds(&round), round.proven),
                (vec![Kind::Mismatch], None),
                "{what}"
            );
        }
        let round = machine.round_with(None, false, list);
        assert_eq!(
            (kinds(&round), round.proven),
            (vec![Kind::Mismatch], None),
            "{what}"
        );
    }
    // at the start of the host's history, too
    let round = machine.judged(None, 0, NONCE, &all[1..].concat());
    assert!(
        round.proven.is_none() && !round.findings.is_empty(),
        "{round:?}"
    );
    for garbage in [b"".as_slice(), b"x", &[0xff; 1000], b"10 zz ima-ng\n"] {
        for (before, from) in [(None, 0), (Some(&before), before.records)] {
            let round = machine.judged(before, from, NONCE, garbage);
            assert!(
                round.proven.is_none() && round.findings.len() == 1,
                "{round:?}"
            );
        }
    }
}

#[test]
fn quotes_that_are_not_true() {
    let machine = Machine::boot(7);
    let list = machine.records.concat();
    let old = machine.judged(None, 0, b"other", &list);
    assert_eq!((kinds(&old), old.proven), (vec![Kind::Quote], None));
    let asked = Asked {
        nonce: NONCE.try_into().unwrap(),
        from: 0,
        boot_time: String::new(),
        bank: Bank::Sha256,
    };
    let [message, signature, pcrs] = machine.quote(NONCE);
    let good = Evidence {
        message: &message,
        signature: &signature,
        pcrs: &pcrs,
        list: &list,
    };
    let judged = |evidence: Evidence<'_>| judge(&Machine::key(), &asked, None, evidence, &policy());
    assert!(judged(good).proven.is_some());
    for at in 0..message.len() {
        let mut message = message.clone();
        message[at] ^= 1;
        let evidence = Evidence {
            message: &message,
            ..good
        };
        assert_eq!(kinds(&judged(evidence)), [Kind::Quote], "{at}");
    }
    let evidence = Evidence { pcrs: b"x", ..good };
    assert_eq!(kinds(&judged(evidence)), [Kind::Evidence]);
    // a bank that was not asked for
    let asked = Asked {
        bank: Bank::Sha384,
        ..asked.clone()
    };
    let round = judge(&Machine::key(), &asked, None, good, &policy());
    assert_eq!(kinds(&round), [Kind::Evidence]);
}

#[test]
fn a_policy_of_another_host_does_not_flood() {
    let mut machine = Machine::boot(7);
    for number in 0..MAX_REFUSED + 5 {
        machine.measure(&format!("/bin/{number}"), 1);
    }
    let round = machine.round(None);
    assert_eq!(round.findings.len(), MAX_REFUSED + 1);
    let last = &round.findings[MAX_REFUSED];
    assert!(last.text.contains("5 more records"), "{last:?}");
}
