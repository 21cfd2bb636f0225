// SPDX-License-Identifier: GPL-2.0

//! A record, and how it is written in a list.

use crate::{bank::Bank, kernel::Kernel};

/// The order of the bytes in the numbers of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    fn number(self, number: usize) -> [u8; 4] {
        match self {
            Self::Little => (number as u32).to_le_bytes(),
            Self::Big => (number as u32).to_be_bytes(),
        }
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) pcr: u32,
    pub(crate) template: &'static str,
    /// What the template digest is the hash of.
    pub(crate) data: Vec<u8>,
    pub(crate) violation: bool,
    /// The list shows another digest than that of the data.
    pub(crate) misprinted: bool,
}

/// Bytes of the data of a record of the template `ima`: a SHA-1, and a name filled up with zeros.
pub(crate) const LEGACY: usize = 20 + 256;

impl Record {
    pub(crate) fn new(pcr: u32, template: &'static str, data: Vec<u8>) -> Self {
        Self {
            pcr,
            template,
            data,
            violation: false,
            misprinted: false,
        }
    }

    /// A record with these fields.
    pub(crate) fn of(pcr: u32, template: &'static str, fields: &[&[u8]], order: Order) -> Self {
        let mut data = Vec::new();
        for field in fields {
            data.extend(order.number(field.len()));
            data.extend(*field);
        }
        Self::new(pcr, template, data)
    }

    /// The part after the digest.
    fn rest(&self, order: Order) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.data.len() + 32);
        out.extend(order.number(self.template.len()));
        out.extend(self.template.as_bytes());
        if self.template == "ima" {
            let (digest, name) = self.data.split_at(20.min(self.data.len()));
            let length = name.iter().rposition(|byte| *byte != 0);
            let name = &name[..length.map_or(0, |last| last + 1)];
            out.extend(digest);
            out.extend(order.number(name.len()));
            out.extend(name);
        } else {
            out.extend(order.number(self.data.len()));
            out.extend(&self.data);
        }
        out
    }

    /// Appends it as the list of a bank shows it.
    fn write(&self, view: Bank, order: Order, kernel: Kernel, out: &mut Vec<u8>) {
        out.extend(order.number(self.pcr as usize));
        match (self.violation, self.misprinted) {
            (true, _) => out.extend(view.zeros()),
            (false, false) => out.extend(kernel.digest(self, view)),
            (false, true) => out.extend(vec![0x5a; view.size()]),
        }
        out.extend(self.rest(order));
    }
}

/// These records as a kernel's list of a bank shows them.
pub(crate) fn view(records: &[Record], view: Bank, order: Order, kernel: Kernel) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        record.write(view, order, kernel, &mut out);
    }
    out
}

/// The field d-ng of some content.
pub(crate) fn d_ng(content: &[u8]) -> Vec<u8> {
    [b"sha256:\0".as_slice(), &Bank::Sha256.hash(content)].concat()
}
