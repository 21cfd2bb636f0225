// SPDX-License-Identifier: GPL-2.0

//! The log that fuzzing starts from.

use super::{d_ng, nul, Host, Measured, PCR};
use ima_checkpoint_format::{ByteOrder, Error};
use ima_log::bank::Bank;

/// A host with something of everything: templates, a violation, a broken segment, a truncation, and a
/// second PCR.
pub(crate) fn busy(order: ByteOrder) -> Result<Host, Error> {
    let mut host = Host::new(order, &[Bank::Sha1, Bank::Sha256]);
    host.file(b"boot_aggregate", b"PCRs");
    host.violation(b"/var/log/wtmp");
    host.checkpoint("first")?;
    let (digest, name) = (d_ng(b"content"), nul(b"/bin/sh"));
    let number = order.put_u32(1000).to_vec();
    let templates: [(&[u8], Vec<&[u8]>); 8] = [
        (b"ima", vec![&[7; 20], b"/bin/sh"]),
        (b"ima-sig", vec![&digest, &name, b"\x03\x02\x04"]),
        (b"ima-ngv2", vec![b"verity:sha256:\0\x0a", &name]),
        (b"ima-sigv2", vec![b"ima:sha512:\0\x0a", &name, b"\x03"]),
        (b"ima-buf", vec![&digest, b".ima\0", b"content"]),
        (
            b"ima-modsig",
            vec![&digest, &name, b"\x03", b"sha1:\0\x0b", b"\x30\0"],
        ),
        (
            b"evm-sig",
            vec![
                &digest,
                &name,
                b"\x05",
                b"security.ima",
                b"\x04\0\0\0",
                b"\x01\x02\x03\x04",
                &number,
                &number,
                b"\xed\x81",
            ],
        ),
        (b"n-ng|d|imode", vec![&name, b"\x44", b"\xed\x81"]),
    ];
    for (template, fields) in templates {
        host.measure(Measured {
            pcr: PCR,
            template: template.to_vec(),
            fields: fields.into_iter().map(<[u8]>::to_vec).collect(),
            violation: false,
        });
    }
    host.foreign_extend(PCR, Bank::Sha256, b"somebody else");
    host.checkpoint("")?;
    host.truncation(0, 1)?;
    host.measure(Measured {
        pcr: 11,
        template: b"ima-ng".to_vec(),
        fields: vec![digest, name],
        violation: false,
    });
    host.checkpoint("with another PCR")?;
    Ok(host)
}
