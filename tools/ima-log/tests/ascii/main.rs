// SPDX-License-Identifier: GPL-2.0

//! Lists in ASCII: the same verdict as that of the binary list, unless the text cannot tell.

#[path = "../common/mod.rs"]
mod common;

mod changed;
mod kernels;
mod names;

use common::{
    judge::{against, code, host, judge, pcrs, quoted, BANKS},
    Host, PCR,
};
use ima_checkpoint_format::{
    ascii::{write_ascii, Sink},
    record::Record,
    ByteOrder,
};
use ima_log::{
    bank::{Bank, Digest},
    replay::{Register, Values},
    verify::policy::Policy,
};
use std::error::Error;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const SHA1: Register = Register {
    pcr: PCR,
    bank: Bank::Sha1,
};

struct Text(Vec<u8>);

impl Sink for Text {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// A binary list as the kernel shows it in ASCII.
fn ascii(mut list: &[u8], bank: Bank, order: ByteOrder) -> Result<Vec<u8>> {
    let mut text = Text(Vec::new());
    while !list.is_empty() {
        let parsed = Record::parse_any(list, bank.size(), order);
        let (record, length) = parsed.map_err(|error| error.to_string())?;
        write_ascii(&record, record.digest(), &mut text);
        list = &list[length..];
    }
    Ok(text.0)
}

/// A text in which one thing was exchanged for another, as often as it is there.
fn replaced(text: &[u8], from: &str, to: &str) -> Result<Vec<u8>> {
    let text = std::str::from_utf8(text)?;
    assert!(text.contains(from), "{text}");
    Ok(text.replace(from, to).into_bytes())
}

fn values(bank: Bank, held: &str) -> Result<Values> {
    let value = Digest::from_hex(held).ok_or("no digest")?;
    Ok(Values::from([(Register { pcr: PCR, bank }, value)]))
}

/// A host with a name that not every text shows as it is.
fn with_a_strange_name() -> Result<Host> {
    let mut host = Host::new(ByteOrder::Little, &BANKS);
    host.file(b"boot_aggregate", b"PCRs");
    host.file("/home/j\u{fc}rgen/a".as_bytes(), b"a");
    host.file(b"/bin/b", b"b");
    Ok(host)
}

/// The values of one bank.
fn only(host: &Host, bank: Bank) -> Values {
    let mut values = pcrs(host);
    values.retain(|register, _| register.bank == bank);
    values
}

fn strong(values: Values) -> Policy {
    Policy {
        allow_weak_bank: true,
        ..against(values)
    }
}

/// Checkpoints are checked as in the binary list, with what they seal.
#[test]
fn checkpoints() -> Result {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let mut host = host()?;
        if order == ByteOrder::Big {
            host = Host::new(order, &BANKS);
            host.file(b"boot_aggregate", b"PCRs");
            host.checkpoint("first")?;
            host.file(b"/bin/a", b"a");
            host.checkpoint("second")?;
        }
        for bank in BANKS {
            let binary = host.view(bank)?;
            let text = ascii(&binary, bank, order)?;
            for policy in [against(pcrs(&host)), quoted(pcrs(&host))] {
                let (verdict, wanted) = (judge(&[&text], &policy)?, judge(&[&binary], &policy)?);
                assert_eq!(code(&verdict), 0, "{:#?}", verdict.findings.kept());
                assert_eq!(verdict.findings.kept(), wanted.findings.kept());
                assert_eq!(verdict.log.segments, wanted.log.segments);
                assert_eq!(verdict.log.bytes, wanted.log.bytes);
            }
        }
    }
    Ok(())
}

/// Parts of a log may be binary and in ASCII.
#[test]
fn files_of_both_kinds() -> Result {
    let host = host()?;
    let policy = against(pcrs(&host));
    let first = host.view_of(Bank::Sha256, 0..host.first_of(1))?;
    let rest = host.view_of(Bank::Sha1, host.first_of(1)..host.records.len())?;
    let text = ascii(&first, Bank::Sha256, host.order)?;
    assert_eq!(code(&judge(&[&text, &rest], &policy)?), 0);
    let text = ascii(&rest, Bank::Sha1, host.order)?;
    assert_eq!(code(&judge(&[&first, &text], &policy)?), 0);
    Ok(())
}
