// SPDX-License-Identifier: GPL-2.0

//! The examples in `Documentation/record-format.rst` are what the encoder writes.

use std::fmt::Write;

use ima_checkpoint_format::{
    checkpoint::{
        self,
        Builder,
        Checkpoint,
        Entry,
        Flags,
        Header,
        Kind,
        Label,
        State, //
    },
    config,
    quote::{
        Evidence,
        Quote, //
    },
    record::{
        NewRecord,
        Record, //
    },
    truncate::{
        Reason,
        Truncation, //
    },
    ByteOrder, //
};
use sha1::Sha1;
use sha2::{
    Digest,
    Sha256, //
};

const DOCUMENT: &str = include_str!("../../../Documentation/record-format.rst");

const PCR: u8 = 10;
const SHA1: u16 = 0x0004;
const SHA256: u16 = 0x000b;
const LOG_ID: [u8; 16] = *b"\x5c\x1f\x0b\x9e\x33\x61\x4d\x0a\x8e\xc2\x77\xd0\x12\x4a\xb8\x95";

/// A record in the sha1 view, whose file digest is the SHA-256 of `content`.
fn record(template: &str, content: &[u8], name: &str, buffer: Option<&[u8]>) -> Vec<u8> {
    let digest = [b"sha256:\0", Sha256::digest(content).as_slice()].concat();
    let name = [name.as_bytes(), b"\0"].concat();
    let fields = [digest.as_slice(), &name].into_iter().chain(buffer);
    let encode = |digest: &[u8]| {
        let record = NewRecord {
            pcr: PCR.into(),
            digest,
            template_name: template.as_bytes(),
            fields: fields.clone(),
            order: ByteOrder::Little,
        };
        let mut out = vec![0; record.encoded_len().unwrap()];
        record.encode(&mut out).unwrap();
        out
    };
    let undigested = encode(&[0; 20]);
    encode(&template_digest::<Sha1>(&undigested))
}

fn template_digest<H: Digest>(record: &[u8]) -> Vec<u8> {
    let (record, _) = Record::parse(record, 20, ByteOrder::Little).unwrap();
    let mut hash = H::new();
    record.digest_input(|bytes| hash.update(bytes));
    hash.finalize().to_vec()
}

/// What a PCR holds after its first extend.
fn extend_zeros<H: Digest>(record: &[u8]) -> Vec<u8> {
    let digest = template_digest::<H>(record);
    let mut hash = H::new();
    hash.update(vec![0; digest.len()]);
    hash.update(digest);
    hash.finalize().to_vec()
}

/// The first record of a boot whose PCRs 0 to 9 are zero.
fn boot_aggregate() -> Vec<u8> {
    record("ima-ng", &[0; 10 * 32], "boot_aggregate", None)
}

fn header() -> Header {
    let segment = boot_aggregate();
    Header {
        flags: Flags::default(),
        log_id: LOG_ID,
        sequence: 1,
        generation: 0,
        default_pcr: PCR.into(),
        record: 1,
        offset: segment.len() as u64,
        violations: 0,
        wall_ns: 1_800_000_000_000_000_000,
        boot_ns: 3_600_000_000_000,
        segment_records: 1,
        segment_bytes: segment.len() as u64,
        segment_digest: Sha256::digest(&segment).into(),
        previous: [0; 32],
    }
}

/// A checkpoint of a TPM whose sha256 bank was extended by someone else.
fn checkpoint() -> Vec<u8> {
    let sha1 = extend_zeros::<Sha1>(&boot_aggregate());
    let sha256 = extend_zeros::<Sha256>(&boot_aggregate());
    let found = Sha256::digest(&sha256);
    let mut out = [0; checkpoint::MAX_BUFFER];
    let label = Label::new(b"nightly").unwrap();
    let mut builder = Builder::new(&mut out, &header(), label).unwrap();
    for (kind, state, algorithm, value) in [
        (Kind::Value, State::Match, SHA1, sha1.as_slice()),
        (Kind::Before, State::Match, SHA1, &[0; 20]),
        (Kind::Value, State::Differs, SHA256, &found),
        (Kind::Shadow, State::Differs, SHA256, &sha256),
        (Kind::Before, State::Match, SHA256, &[0; 32]),
    ] {
        let entry = Entry {
            pcr: PCR,
            state,
            algorithm,
            value,
        };
        builder.push(kind, &entry).unwrap();
    }
    builder.finish().to_vec()
}

fn truncation() -> Vec<u8> {
    let header = header();
    let truncation = Truncation {
        reason: Reason::User,
        log_id: header.log_id,
        sequence: header.sequence,
        digest: Sha256::digest(checkpoint()).into(),
        records: header.segment_records,
        bytes: header.segment_bytes,
    };
    truncation
        .encode(&mut [0; Truncation::SIZE])
        .unwrap()
        .to_vec()
}

fn changes() -> Vec<u8> {
    let mut out = [0; 100];
    let reason = config::Reason::User;
    let mut builder = config::Builder::new(&mut out, reason, &LOG_ID).unwrap();
    builder.push("duplicate_scope", "log", "live").unwrap();
    builder.finish().to_vec()
}

/// Lines of a literal block: offset, bytes in hex, what they are.
fn annotate(mut bytes: &[u8], parts: &[(usize, String)]) -> String {
    let mut text = String::new();
    let mut offset = 0;
    for (len, meaning) in parts {
        let (part, rest) = bytes.split_at(*len);
        for (index, line) in part.chunks(16).enumerate() {
            let hex: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            let meaning = if index == 0 { meaning } else { "" };
            let line = format!("  {offset:>3}  {:<47}  {meaning}", hex.join(" "));
            writeln!(text, "{}", line.trim_end()).unwrap();
            offset += hex.len();
        }
        bytes = rest;
    }
    assert!(bytes.is_empty(), "{} bytes have no meaning", bytes.len());
    text
}

fn part(len: usize, meaning: impl Into<String>) -> (usize, String) {
    (len, meaning.into())
}

fn record_parts(template: &str, data: &[(usize, String)]) -> Vec<(usize, String)> {
    let data_len: usize = data.iter().map(|(len, _)| len).sum();
    let mut parts = vec![
        part(4, format!("PCR {PCR}")),
        part(20, "template digest (sha1)"),
        part(
            4,
            format!("length of the template name: {}", template.len()),
        ),
        part(template.len(), format!("\"{template}\"")),
        part(4, format!("length of the template data: {data_len}")),
    ];
    parts.extend_from_slice(data);
    parts
}

fn field_parts(name: &str, digest_of: &str) -> Vec<(usize, String)> {
    let name_len = name.len() + 1;
    vec![
        part(4, "d-ng: length 40"),
        part(8, "\"sha256:\", NUL"),
        part(32, format!("SHA-256 of {digest_of}")),
        part(4, format!("n-ng: length {name_len}")),
        part(name_len, format!("\"{name}\", NUL")),
    ]
}

fn header_parts() -> Vec<(usize, String)> {
    let header = header();
    vec![
        part(8, "magic \"IMA-CKPT\""),
        part(2, "version 1"),
        part(2, format!("length of the fixed part: {}", Header::SIZE)),
        part(4, "flags: 32, a PCR differed"),
        part(16, "log id"),
        part(8, format!("sequence number {}", header.sequence)),
        part(4, format!("kexec generation {}", header.generation)),
        part(4, format!("default PCR {}", header.default_pcr)),
        part(8, format!("record {}", header.record)),
        part(8, format!("byte offset {}", header.offset)),
        part(8, format!("violations: {}", header.violations)),
        part(8, format!("wall clock: {} ns", header.wall_ns)),
        part(8, format!("since boot: {} ns", header.boot_ns)),
        part(
            8,
            format!("records of the segment: {}", header.segment_records),
        ),
        part(8, format!("bytes of the segment: {}", header.segment_bytes)),
        part(32, "SHA-256 of the segment"),
        part(32, "previous checkpoint: none"),
    ]
}

fn item_parts() -> Vec<(usize, String)> {
    let item = |kind: &str, state: &str, algorithm: &str, len: usize, value: &str| {
        [
            part(2, format!("{kind}, critical")),
            part(2, format!("length {}", len + 4)),
            part(1, format!("PCR {PCR}")),
            part(1, format!("state: {state}")),
            part(2, format!("bank: {algorithm}")),
            part(len, value),
        ]
    };
    let mut parts = vec![
        part(2, "LABEL"),
        part(2, "length 7"),
        part(7, "\"nightly\""),
    ];
    let zeros = "value before the first record";
    for part in [
        item("VALUE", "match", "sha1", 20, "value, the base of segment 1"),
        item("BEFORE", "match", "sha1", 20, zeros),
        item(
            "VALUE",
            "differs",
            "sha256",
            32,
            "value, the base of segment 1",
        ),
        item("SHADOW", "differs", "sha256", 32, "value by replay"),
        item("BEFORE", "match", "sha256", 32, zeros),
    ] {
        parts.extend(part);
    }
    parts
}

fn truncation_parts() -> Vec<(usize, String)> {
    let header = header();
    vec![
        part(8, "magic \"IMA-TRUN\""),
        part(2, "version 1"),
        part(2, "reason: user"),
        part(4, format!("length of the fixed part: {}", Truncation::SIZE)),
        part(16, "log id"),
        part(8, format!("to checkpoint {}", header.sequence)),
        part(32, "SHA-256 of the buffer of that checkpoint"),
        part(8, format!("records freed: {}", header.segment_records)),
        part(8, format!("bytes freed: {}", header.segment_bytes)),
    ]
}

fn change_parts() -> Vec<(usize, String)> {
    vec![
        part(8, "magic \"IMA-CONF\""),
        part(2, "version 1"),
        part(2, "reason: user"),
        part(4, "length of the fixed part: 32"),
        part(16, "log id"),
        part(26, "\"duplicate_scope=log->live\", newline"),
    ]
}

/// TPM2B_NAME, TPM2B_ATTEST and TPMT_SIGNATURE, and what their bytes are. PCR 10 of the sha256 bank is
/// quoted as the checkpoint has it.
fn evidence() -> (Vec<u8>, Vec<(usize, String)>) {
    let name = [b"\0\x0b".as_slice(), &Sha256::digest(b"public area")].concat();
    let qualified = [b"\0\x0b".as_slice(), &Sha256::digest(b"parents")].concat();
    let digest = Sha256::digest(checkpoint());
    let value = Sha256::digest(extend_zeros::<Sha256>(&boot_aggregate()));
    let quoted = Sha256::digest(value);
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let pieces: [(&[u8], &str); 20] = [
        (&length(&name), "TPM2B_NAME: size 34"),
        (&name, "the Name of the key: SHA-256 and a digest"),
        (&[0, 145], "TPM2B_ATTEST: size 145"),
        (b"\xffTCG", "TPM_GENERATED_VALUE"),
        (b"\x80\x18", "TPM_ST_ATTEST_QUOTE"),
        (&length(&qualified), "qualifiedSigner: size 34"),
        (&qualified, "the qualified name of the key"),
        (&length(&digest), "extraData: size 32"),
        (&digest, "SHA-256 of the buffer of the checkpoint"),
        (&60_000_u64.to_be_bytes(), "clock: 60000 ms"),
        (
            &[0, 0, 0, 2, 0, 0, 0, 0, 1],
            "resetCount 2, restartCount 0, safe",
        ),
        (&[0, 0, 0, 1, 0, 0, 0, 0], "firmwareVersion"),
        (b"\0\0\0\x01\0\x0b\x03\0\x04\0", "one bank: sha256, PCR 10"),
        (&length(&quoted), "pcrDigest: size 32"),
        (&quoted, "SHA-256 of the value of PCR 10"),
        (b"\0\x18\0\x0b", "TPMT_SIGNATURE: ECDSA with SHA-256"),
        (&[0, 32], "signatureR: size 32"),
        (&[0x52; 32], "r, not a real one"),
        (&[0, 32], "signatureS: size 32"),
        (&[0x53; 32], "s, not a real one"),
    ];
    let bytes = pieces.iter().flat_map(|(bytes, _)| *bytes).copied();
    let parts = pieces.iter().map(|(bytes, what)| part(bytes.len(), *what));
    (bytes.collect(), parts.collect())
}

fn quote() -> (Vec<u8>, Vec<(usize, String)>) {
    let header = header();
    let (evidence, evidence_parts) = evidence();
    let quote = Quote {
        log_id: header.log_id,
        sequence: header.sequence,
        digest: Sha256::digest(checkpoint()).into(),
        evidence: Evidence::parse(&evidence).unwrap(),
    };
    let mut out = [0; 500];
    let mut parts = vec![
        part(8, "magic \"IMA-QUOT\""),
        part(2, "version 1"),
        part(2, "reserved"),
        part(4, "length of the fixed part: 72"),
        part(16, "log id"),
        part(8, "over checkpoint 1"),
        part(32, "SHA-256 of the buffer of that checkpoint"),
    ];
    parts.extend(evidence_parts);
    (quote.encode(&mut out).unwrap().to_vec(), parts)
}

#[track_caller]
fn assert_documented(block: &str) {
    assert!(DOCUMENT.contains(block), "not in the document:\n{block}");
}

#[test]
fn first_record() {
    let parts = field_parts("boot_aggregate", "PCRs 0 to 9");
    let parts = record_parts("ima-ng", &parts);
    assert_documented(&annotate(&boot_aggregate(), &parts));
}

#[test]
fn checkpoint_record() {
    let buffer = checkpoint();
    let name = std::str::from_utf8(checkpoint::EVENT_NAME).unwrap();
    let mut parts = field_parts(name, "the buffer");
    parts.push(part(4, format!("buf: length {}", buffer.len())));
    parts.extend(header_parts());
    parts.extend(item_parts());
    let parts = record_parts("ima-buf", &parts);
    let bytes = record("ima-buf", &buffer, name, Some(&buffer));
    assert_documented(&annotate(&bytes, &parts));
}

#[test]
fn truncate_buffer() {
    assert_documented(&annotate(&truncation(), &truncation_parts()));
}

#[test]
fn config_buffer() {
    assert_documented(&annotate(&changes(), &change_parts()));
}

#[test]
fn quote_buffer() {
    let (bytes, parts) = quote();
    assert_documented(&annotate(&bytes, &parts));
}

#[test]
fn example_parses() {
    let buffer = checkpoint();
    let parsed = Checkpoint::parse(&buffer).unwrap();
    let differs = Header {
        flags: Flags::DIFFERS,
        ..header()
    };
    assert_eq!(*parsed.header(), differs);
    assert_eq!(parsed.values().count(), 2);
    assert_eq!(Truncation::parse(&truncation()).unwrap().records, 1);
}
