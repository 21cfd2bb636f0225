// SPDX-License-Identifier: GPL-2.0

//! Records for people.

use super::{
    bank_name, change_reason_name, fields, flag_names, id, reason_name, shadows, state_name,
};
use crate::{
    bank::Bank,
    escape::Escaped,
    own::{Impostor, OwnRecord},
    quote::Attest,
    records::Entry,
};
use ima_checkpoint_format::{
    checkpoint::Checkpoint, config::Changes, quote::Quote, record::Record, template::Field,
    truncate::Truncation,
};
use std::{
    fmt,
    io::{self, Write},
    time::{Duration, UNIX_EPOCH},
};

/// Bytes of a signature or buffer that are shown; the JSON has all.
const SHOWN: usize = 32;

/// Writes number, PCR, template, then the fields: the event name last, since it may hold blanks.
pub(super) fn write(
    entry: &Entry<'_>,
    own: &Result<Option<OwnRecord<'_>>, Impostor>,
    out: &mut impl Write,
) -> io::Result<()> {
    let record = &entry.record;
    write!(
        out,
        "{:>7} {:>2} {}",
        entry.at.record,
        record.pcr(),
        Escaped::word(record.template_name())
    )?;
    if record.is_violation() {
        out.write_all(b" VIOLATION")?;
    }
    write_fields(record, out)?;
    match own {
        Ok(None) => Ok(()),
        Ok(Some(OwnRecord::Checkpoint(checkpoint))) => write_checkpoint(record, checkpoint, out),
        Ok(Some(OwnRecord::Truncation(truncation))) => write_truncation(truncation, out),
        Ok(Some(OwnRecord::Config(changes))) => write_changes(changes, out),
        Ok(Some(OwnRecord::Quote(quote))) => write_quote(quote, out),
        Err(why) => writeln!(out, "        NOT WHAT ITS NAME SAYS: {why}"),
    }
}

fn write_fields(record: &Record<'_>, out: &mut impl Write) -> io::Result<()> {
    let is_name = |field| matches!(field, Field::Name | Field::NameNg);
    let mut name = None;
    for (field, data) in fields(record) {
        match field {
            _ if is_name(field) && name.is_none() => name = Some(data),
            Field::Digest | Field::DigestNg | Field::DigestNgV2 => write!(out, " {}", Hash(data))?,
            Field::DigestModsig => write!(out, " {}={}", id(field), Hash(data))?,
            Field::Name | Field::NameNg | Field::XattrNames => {
                write!(out, " {}={}", id(field), Escaped::word(until_nul(data)))?;
            }
            Field::Uid | Field::Gid | Field::Mode => {
                write!(out, " {}={}", id(field), Number(record, field, data))?;
            }
            Field::Unknown => write!(out, " {}", Raw(data))?,
            Field::Signature
            | Field::Buffer
            | Field::Modsig
            | Field::EvmSignature
            | Field::XattrLengths
            | Field::XattrValues => {
                if !data.is_empty() {
                    write!(out, " {}={}", id(field), Hex(data))?;
                }
            }
        }
    }
    match name {
        Some(name) => writeln!(out, " {}", Escaped::new(until_nul(name))),
        None => writeln!(out),
    }
}

fn write_checkpoint(
    record: &Record<'_>,
    checkpoint: &Checkpoint<'_>,
    out: &mut impl Write,
) -> io::Result<()> {
    let header = checkpoint.header();
    let flags: Vec<_> = flag_names(header.flags).collect();
    let digest = Bank::Sha256.hash(&[record.buffer().unwrap_or_default()]);
    writeln!(
        out,
        "        checkpoint {} {:?}, which claims:\n\
        \x20         log        {} generation {}, default PCR {}\n\
        \x20         place      record {}, byte {}, {} violations\n\
        \x20         made       {}, {:?} after boot\n\
        \x20         flags      {}\n\
        \x20         seals      {} records, {} bytes, sha256 {}\n\
        \x20         previous   {}\n\
        \x20         digest     {digest}",
        header.sequence,
        checkpoint.label().as_str(),
        Hex(&header.log_id),
        header.generation,
        header.default_pcr,
        header.record,
        header.offset,
        header.violations,
        humantime::format_rfc3339_nanos(UNIX_EPOCH + Duration::from_nanos(header.wall_ns)),
        Duration::from_nanos(header.boot_ns),
        if flags.is_empty() {
            "none".into()
        } else {
            flags.join(" ")
        },
        header.segment_records,
        header.segment_bytes,
        Hex(&header.segment_digest),
        Hex(&header.previous),
    )?;
    let shadows = shadows(checkpoint);
    for value in checkpoint.values() {
        let (pcr, bank) = (value.pcr, bank_name(value.algorithm));
        let state = state_name(value.state);
        writeln!(
            out,
            "          PCR {pcr:<2} {bank:8} {} {state}",
            Value(value.value)
        )?;
        if let Some(shadow) = shadows.get(&(value.pcr, value.algorithm)) {
            writeln!(out, "            by replay     {}", Value(shadow))?;
        }
    }
    for before in checkpoint.before() {
        let (pcr, bank) = (before.pcr, bank_name(before.algorithm));
        let (value, state) = (Value(before.value), state_name(before.state));
        writeln!(
            out,
            "          PCR {pcr:<2} {bank:8} {value} {state}, before its first record"
        )?;
    }
    Ok(())
}

fn write_truncation(truncation: &Truncation, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "        truncation to checkpoint {} ({}), which claims:\n\
        \x20         log        {}\n\
        \x20         freed      {} records, {} bytes\n\
        \x20         digest     {} of that checkpoint",
        truncation.sequence,
        reason_name(truncation.reason),
        Hex(&truncation.log_id),
        truncation.records,
        truncation.bytes,
        Hex(&truncation.digest),
    )
}

fn write_changes(changes: &Changes<'_>, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "        change of settings ({}), which claims:\n\
        \x20         log        {}",
        change_reason_name(changes.reason()),
        Hex(changes.log_id()),
    )?;
    changes.iter().try_for_each(|change| {
        let (name, old, new) = (change.name, change.old, change.new);
        writeln!(out, "          {name}: {old} -> {new}")
    })
}

fn write_quote(quote: &Quote<'_>, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "        quote over checkpoint {}, which claims:\n\
        \x20         log        {}\n\
        \x20         checkpoint {}\n\
        \x20         key        {}",
        quote.sequence,
        Hex(&quote.log_id),
        Hex(&quote.digest),
        Hex(quote.evidence.name()),
    )?;
    match Attest::parse(quote.evidence.attest()) {
        Ok(attest) => writeln!(
            out,
            "          made       reset {}, restart {}, {:?} of the TPM's clock",
            attest.reset_count,
            attest.restart_count,
            Duration::from_millis(attest.clock),
        ),
        Err(why) => writeln!(out, "          made       unknown: {why}"),
    }
}

/// The bytes before the first NUL, if only that follows; else all, so that nothing stays hidden.
fn until_nul(data: &[u8]) -> &[u8] {
    data.strip_suffix(b"\0").unwrap_or(data)
}

/// An algorithm, `:`, NUL, and a digest; or a bare digest.
struct Hash<'a>(&'a [u8]);

impl fmt::Display for Hash<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.iter().position(|byte| *byte == 0);
        let split = end.and_then(|end| self.0.split_at_checked(end));
        match split {
            Some((name, digest)) if name.ends_with(b":") => {
                let digest = digest.get(1..).unwrap_or_default();
                write!(f, "{}{}", Escaped::word(name), Value(digest))
            }
            _ => Value(self.0).fmt(f),
        }
    }
}

/// A field of which nobody knows what it is: text if it looks like that, or like a digest.
struct Raw<'a>(&'a [u8]);

impl fmt::Display for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = until_nul(self.0);
        let end = text.iter().position(|byte| *byte == 0);
        let prefix = end.and_then(|end| text.get(..end)).unwrap_or_default();
        if prefix.ends_with(b":") && prefix.is_ascii() {
            Hash(self.0).fmt(f)
        } else if !text.is_empty() && text.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            Escaped::word(text).fmt(f)
        } else {
            write!(f, "0x{}", Hex(self.0))
        }
    }
}

/// All of the bytes in hexadecimal digits.
struct Value<'a>(&'a [u8]);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The first bytes in hexadecimal digits, and how many there are if there are more.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self
            .0
            .get(..SHOWN)
            .filter(|start| start.len() < self.0.len())
        {
            Some(start) => write!(f, "{}...({}_bytes)", Value(start), self.0.len()),
            None => Value(self.0).fmt(f),
        }
    }
}

/// A user, a group, or a mode in octal digits; digits of the bytes if it has an unusual size.
struct Number<'a, 'r>(&'r Record<'a>, Field, &'a [u8]);

impl fmt::Display for Number<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = self.0.order();
        let number = match *self.2 {
            [a, b] => u32::from(order.get_u16([a, b])),
            [a, b, c, d] => order.get_u32([a, b, c, d]),
            _ => return write!(f, "0x{}", Value(self.2)),
        };
        match self.1 {
            Field::Mode => write!(f, "{number:04o}"),
            _ => number.fmt(f),
        }
    }
}
