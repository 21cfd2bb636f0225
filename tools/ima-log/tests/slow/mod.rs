// SPDX-License-Identifier: GPL-2.0

//! A second reading of `Documentation/record-format.rst`: slow, plain, and sharing nothing with the
//! program but the hash functions.
//!
//! It takes the list from cold boot on, whole, and says what the PCRs hold at its end; or that
//! something is wrong, not what.

use sha2::Digest;
use std::collections::BTreeMap;

/// What a PCR holds in the bank of that TPM algorithm identifier.
pub(crate) type Values = BTreeMap<(u32, u16), Vec<u8>>;

pub(crate) const SHA1: u16 = 4;
pub(crate) const SHA256: u16 = 11;
const SHA384: u16 = 12;
const SHA512: u16 = 13;
const SM3: u16 = 18;

/// What the list replays to, or nothing if it contradicts itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replayed {
    pub(crate) values: Values,
    /// Segments that do not replay to the values in the checkpoint after them.
    pub(crate) broken: Vec<u64>,
}

fn hash(bank: u16, bytes: &[u8]) -> Option<Vec<u8>> {
    Some(match bank {
        SHA1 => sha1::Sha1::digest(bytes).to_vec(),
        SHA256 => sha2::Sha256::digest(bytes).to_vec(),
        SHA384 => sha2::Sha384::digest(bytes).to_vec(),
        SHA512 => sha2::Sha512::digest(bytes).to_vec(),
        SM3 => sm3::Sm3::digest(bytes).to_vec(),
        0x27 => sha3::Sha3_256::digest(bytes).to_vec(),
        0x28 => sha3::Sha3_384::digest(bytes).to_vec(),
        0x29 => sha3::Sha3_512::digest(bytes).to_vec(),
        _ => return None,
    })
}

fn size(bank: u16) -> Option<usize> {
    hash(bank, b"").map(|digest| digest.len())
}

/// The hash that IMA has for a bank: SHA-1 where it has none of its own.
fn hash_of_ima(bank: u16) -> u16 {
    match bank {
        SHA1 | SHA256 | SHA384 | SHA512 | SM3 => bank,
        _ => SHA1,
    }
}

struct Record {
    pcr: u32,
    digest: Vec<u8>,
    template: Vec<u8>,
    fields: Vec<Vec<u8>>,
    /// The bytes that are hashed.
    input: Vec<u8>,
    /// The record without its digest: its PCR, and what is after the digest.
    rest: (Vec<u8>, Vec<u8>),
}

/// Reads bytes from the front.
struct Bytes<'a>(&'a [u8], bool);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn number(&mut self) -> Option<u32> {
        let bytes: [u8; 4] = self.take(4)?.try_into().ok()?;
        Some(if self.1 {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        })
    }

    fn counted(&mut self) -> Option<&'a [u8]> {
        let count = self.number()?;
        self.take(count as usize)
    }
}

fn record(bytes: &mut Bytes<'_>, digest_size: usize) -> Option<Record> {
    let start = bytes.0;
    let pcr = bytes.number()?;
    let digest = bytes.take(digest_size)?.to_vec();
    let template = bytes.counted()?.to_vec();
    let mut fields = Vec::new();
    let mut input;
    if template == b"ima" {
        fields.push(bytes.take(20)?.to_vec());
        fields.push(bytes.counted()?.to_vec());
        if fields[1].len() > 255 {
            return None;
        }
        input = fields.concat();
        input.resize(276, 0);
    } else {
        input = bytes.counted()?.to_vec();
        let mut data = Bytes(&input, bytes.1);
        while !data.0.is_empty() {
            fields.push(data.counted()?.to_vec());
        }
    }
    match identifiers(&template) {
        Some(known) if fields.len() != known.len() => return None,
        Some(_) => (),
        None => {
            let graphic = |byte: &u8| (b'!'..=b'~').contains(byte);
            let is_name = (1..255).contains(&template.len()) && template.iter().all(graphic);
            if !is_name || fields.is_empty() || fields.len() > 15 {
                return None;
            }
        }
    }
    let length = start.len() - bytes.0.len();
    let rest = (start[..4].to_vec(), start[4 + digest_size..length].to_vec());
    Some(Record {
        pcr,
        digest,
        template,
        fields,
        input,
        rest,
    })
}

/// The fields of a template.
fn identifiers(template: &[u8]) -> Option<Vec<&str>> {
    let format = match std::str::from_utf8(template).ok()? {
        "ima" => "d|n",
        "ima-ng" => "d-ng|n-ng",
        "ima-sig" => "d-ng|n-ng|sig",
        "ima-ngv2" => "d-ngv2|n-ng",
        "ima-sigv2" => "d-ngv2|n-ng|sig",
        "ima-buf" => "d-ng|n-ng|buf",
        "ima-modsig" => "d-ng|n-ng|sig|d-modsig|modsig",
        "evm-sig" => "d-ng|n-ng|evmsig|xattrnames|xattrlengths|xattrvalues|iuid|igid|imode",
        format => format,
    };
    const KNOWN: [&str; 16] = [
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
    let names: Vec<_> = format.split('|').collect();
    (names.len() <= 15 && names.iter().all(|name| KNOWN.contains(name))).then_some(names)
}

/// What there is before a checkpoint, counted.
#[derive(Default)]
struct Counted {
    records: u64,
    bytes: u64,
    violations: u64,
    segment_records: u64,
    segment: Vec<u8>,
    last: Option<Last>,
}

struct Last {
    sequence: u64,
    log_id: Vec<u8>,
    digest: Vec<u8>,
}

/// Replays a list that is the view of `view`, in these banks.
pub(crate) fn replay(list: &[u8], view: u16, big: bool, banks: &[u16]) -> Option<Replayed> {
    let mut bytes = Bytes(list, big);
    let mut replayed = Replayed::default();
    let mut counted = Counted::default();
    while !bytes.0.is_empty() {
        let record = record(&mut bytes, size(view)?)?;
        let violation = record.digest.iter().all(|byte| *byte == 0);
        if !violation && record.digest != extended(&record, view, false)? || record.pcr > 63 {
            return None;
        }
        let is_buffer = record.template == b"ima-buf" && !violation;
        if is_buffer && !d_ng_matches(&record) {
            return None;
        }
        // in an unknown template, any field may be our name
        let ours = record.fields.iter().any(|field| {
            [b".ima/checkpoint\0".as_slice(), b".ima/truncate\0"].contains(&field.as_slice())
        });
        if ours && identifiers(&record.template).is_none() {
            return None;
        }
        let name = name(&record);
        let own: [&[u8]; 3] = [b".ima/checkpoint", b".ima/truncate", b".ima/config"];
        if name.is_some_and(|name| own.contains(&name)) {
            if !is_buffer {
                return None;
            }
            if name == Some(b".ima/checkpoint") {
                checkpoint(&record, &mut counted, &mut replayed)?;
            }
        }
        for bank in banks {
            let value = replayed.values.entry((record.pcr, *bank));
            let value = value.or_insert(vec![0; size(*bank)?]);
            let digest = extended(&record, *bank, violation)?;
            *value = hash(*bank, &[value.as_slice(), &digest].concat())?;
        }
        let sha1 = match violation {
            true => vec![0; 20],
            false => extended(&record, SHA1, false)?,
        };
        let shown = [record.rest.0, sha1, record.rest.1].concat();
        counted.records += 1;
        counted.segment_records += 1;
        counted.violations += u64::from(violation);
        counted.bytes += shown.len() as u64;
        counted.segment.extend(shown);
    }
    Some(replayed)
}

fn extended(record: &Record, bank: u16, violation: bool) -> Option<Vec<u8>> {
    let own = hash_of_ima(bank);
    let mut digest = match violation {
        true => vec![0xff; size(own)?],
        false => hash(own, &record.input)?,
    };
    digest.resize(size(bank)?, 0);
    Some(digest)
}

/// The first event name.
fn name(record: &Record) -> Option<&[u8]> {
    let names = identifiers(&record.template)?;
    let at = names.iter().position(|name| ["n", "n-ng"].contains(name))?;
    let field = record.fields.get(at)?;
    Some(field.strip_suffix(b"\0").unwrap_or(field))
}

fn d_ng_matches(record: &Record) -> bool {
    let digest = |algorithm: &[u8], bank| {
        hash(bank, &record.fields[2]).map(|digest| [algorithm, &digest].concat())
    };
    let known: [(&[u8], u16); 5] = [
        (b"sha1:\0", SHA1),
        (b"sha256:\0", SHA256),
        (b"sha384:\0", SHA384),
        (b"sha512:\0", SHA512),
        (b"sm3-256:\0", SM3),
    ];
    known
        .iter()
        .any(|(name, bank)| digest(name, *bank).as_ref() == Some(&record.fields[0]))
}

fn u64_at(buffer: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(buffer.get(at..at + 8)?.try_into().ok()?))
}

/// Compares what a checkpoint claims, and goes on from its values.
fn checkpoint(record: &Record, counted: &mut Counted, replayed: &mut Replayed) -> Option<()> {
    let buffer = &record.fields[2];
    if buffer.len() > 3968 || buffer.get(..12)? != b"IMA-CKPT\x01\0\xa8\0" {
        return None;
    }
    let (sequence, log_id) = (u64_at(buffer, 32)?, buffer.get(16..32)?.to_vec());
    let (previous, expected_sequence) = match &counted.last {
        Some(last) if last.log_id != log_id => return None,
        Some(last) => (last.digest.clone(), last.sequence + 1),
        None => (vec![0; 32], 1),
    };
    let claims = [
        (32, expected_sequence),
        (48, counted.records),
        (56, counted.bytes),
        (64, counted.violations),
        (88, counted.segment_records),
        (96, counted.segment.len() as u64),
    ];
    let holds = claims
        .iter()
        .all(|(at, number)| u64_at(buffer, *at) == Some(*number))
        && buffer.get(44..48)? == record.pcr.to_le_bytes()
        && buffer.get(104..136)? == hash(SHA256, &counted.segment)?
        && buffer.get(136..168)? == previous;
    if !holds {
        return None;
    }
    if values(buffer.get(168..)?, replayed)? {
        replayed.broken.push(sequence - 1);
    }
    let digest = hash(SHA256, buffer)?;
    counted.last = Some(Last {
        sequence,
        log_id,
        digest,
    });
    counted.segment_records = 0;
    counted.segment.clear();
    Some(())
}

/// Does one of the values differ from the replay?
fn values(items: &[u8], replayed: &mut Replayed) -> Option<bool> {
    let mut items = items.to_vec();
    let mut differs = false;
    let (mut shadows, mut broken) = (Values::new(), Values::new());
    while !items.is_empty() {
        let number = |at: usize| Some(u16::from_le_bytes(items.get(at..at + 2)?.try_into().ok()?));
        let (kind, length) = (number(0)?, usize::from(number(2)?));
        let payload = items.get(4..4 + length)?;
        if kind != 4 {
            let key = (u32::from(*payload.first()?), number(6)?);
            let value = payload.get(4..)?.to_vec();
            let replay = replayed.values.get(&key);
            match kind {
                0x8001 if replay != Some(&value) => {
                    differs = true;
                    broken.insert(key, replay.cloned().unwrap_or_default());
                    replayed.values.insert(key, value);
                }
                0x8001 => (),
                0x8002 => drop(shadows.insert(key, value)),
                0x8003 if value.iter().all(|byte| *byte == 0) => (),
                _ => return None,
            }
        }
        items.drain(..4 + length);
    }
    // of a hash that it does not know, the kernel has no shadow
    broken.retain(|(_, bank), _| hash_of_ima(*bank) == *bank);
    (broken == shadows).then_some(differs)
}
