// SPDX-License-Identifier: GPL-2.0

use super::*;
use ima_checkpoint_format::{record::NewRecord, ByteOrder};
use serde_json::json;

const FILE: [u8; 32] = [0xab; 32];

fn bytes(
    template: &str,
    name: &str,
    digest: &[u8],
    last: Option<&[u8]>,
    violation: bool,
) -> Vec<u8> {
    let d_ng = [b"sha256:\0", digest].concat();
    let name = [name.as_bytes(), b"\0"].concat();
    let fields: Vec<&[u8]> = [Some(d_ng.as_slice()), Some(&name), last]
        .into_iter()
        .flatten()
        .collect();
    let new = NewRecord {
        pcr: 10,
        digest: if violation { &[0; 20] } else { &[1; 20] },
        template_name: template.as_bytes(),
        fields: fields.iter().copied(),
        order: ByteOrder::Little,
    };
    let mut out = vec![0; new.encoded_len().unwrap()];
    new.encode(&mut out).unwrap();
    out
}

/// What a policy says of a record: nothing, or the kind of the finding and the end of the sentence.
fn said(policy: &Policy, raw: &[u8]) -> Option<(Kind, String)> {
    let (record, _) = Record::parse_any(raw, 20, ByteOrder::Little).unwrap();
    let refusal = policy.refuses(&record)?;
    Some((refusal.kind, refusal.text))
}

fn file(policy: &Policy, name: &str, digest: &[u8]) -> Option<Kind> {
    said(policy, &bytes("ima-ng", name, digest, None, false)).map(|(kind, _)| kind)
}

fn keylime(policy: serde_json::Value) -> Result<Policy, Error> {
    let mut compiler = Compiler::default();
    compiler.keylime(policy.to_string().as_bytes())?;
    Ok(compiler.finish())
}

fn plain() -> serde_json::Value {
    json!({
        "meta": {"version": 1, "generator": 2}, "release": 0,
        "digests": {"/bin/a": ["ab".repeat(32), "cd".repeat(20)]},
        "excludes": ["/tmp/", r"/var/log/.*\.log$"],
        "keyrings": {".ima": ["ab".repeat(32)]}, "ima-buf": {"kexec-cmdline": ["ab".repeat(32)]},
        "verification-keys": "",
        "ima": {"ignored_keyrings": [".builtin"], "log_hash_alg": "sha1", "dm_policy": null},
    })
}

#[test]
fn files_by_path_and_digest() {
    let policy = keylime(plain()).unwrap();
    assert_eq!(file(&policy, "/bin/a", &FILE), None);
    assert_eq!(file(&policy, "/bin/a", &[0xcd; 20]), None);
    let (kind, text) = said(&policy, &bytes("ima-ng", "/bin/a", &[0; 32], None, false)).unwrap();
    assert!(
        kind == Kind::File && text.contains("other digests"),
        "{text}"
    );
    let (kind, text) = said(&policy, &bytes("ima-ng", "/bin/b", &FILE, None, false)).unwrap();
    assert!(
        kind == Kind::File && text.contains("does not have it"),
        "{text}"
    );
    assert_eq!(file(&policy, "boot_aggregate", &[0; 32]), None);
    // without a policy nothing is judged
    assert_eq!(file(&Policy::default(), "/bin/b", &FILE), None);
}

#[test]
fn violations() {
    let policy = keylime(plain()).unwrap();
    for (name, wanted) in [
        ("/bin/a", Some(Kind::Violation)),
        ("/tmp/x", None),
        ("boot_aggregate", Some(Kind::Violation)),
    ] {
        let raw = bytes("ima-ng", name, &[0; 32], None, true);
        assert_eq!(said(&policy, &raw).map(|(kind, _)| kind), wanted, "{name}");
    }
}

/// Python: `[bool(re.match(p, s)) for ...]`, run with CPython 3.11.
#[test]
fn excludes_match_as_in_python() {
    let policy = keylime(plain()).unwrap();
    for (name, matches) in [
        ("/tmp/x", true),
        ("/tmpx", false),
        ("/a/tmp/", false),
        ("/var/log/a.log", true),
        ("/var/log/a.log.1", false),
        ("/var/log/a\nb.log", false),
    ] {
        assert_eq!(file(&policy, name, &FILE).is_none(), matches, "{name:?}");
    }
    // an alternative is anchored as a whole
    let mut with = plain();
    with["excludes"] = json!(["/a|/b"]);
    let policy = keylime(with).unwrap();
    assert_eq!(file(&policy, "/b", &FILE), None);
    assert_eq!(file(&policy, "/c/b", &FILE), Some(Kind::File));
}

#[test]
fn buffers_by_name() {
    let policy = keylime(plain()).unwrap();
    for (name, digest, wanted) in [
        (".ima", &FILE, None),
        ("kexec-cmdline", &FILE, None),
        (".builtin", &[0; 32], None),
        (".ima", &[0; 32], Some(Kind::Buffer)),
        ("/bin/a", &FILE, Some(Kind::Buffer)),
        // the name of a checkpoint, and nothing else of one
        (".ima/checkpoint", &FILE, Some(Kind::Buffer)),
    ] {
        let raw = bytes("ima-buf", name, digest, Some(b"0"), false);
        assert_eq!(said(&policy, &raw).map(|(kind, _)| kind), wanted, "{name}");
    }
}

#[test]
fn what_is_not_supported_is_an_error() {
    let change = |pointer: &str, value: serde_json::Value| {
        let mut policy = plain();
        *policy.pointer_mut(pointer).unwrap() = value;
        keylime(policy)
    };
    assert!(matches!(
        change("/verification-keys", json!("[]")),
        Err(Error::Unsupported(_))
    ));
    assert!(matches!(
        change("/ima/dm_policy", json!({})),
        Err(Error::Unsupported(_))
    ));
    assert!(matches!(
        change("/meta/version", json!(2)),
        Err(Error::Unsupported(_))
    ));
    assert!(matches!(
        change("/excludes", json!(["(?!x)"])),
        Err(Error::Pattern(..))
    ));
    assert!(matches!(
        change("/digests", json!({"/a": ["xy"]})),
        Err(Error::Digest(_))
    ));
    assert!(matches!(
        change("/digests", json!({"/a": [""]})),
        Err(Error::Digest(_))
    ));
    let mut more = plain();
    more["rules"] = json!([]);
    assert!(matches!(keylime(more), Err(Error::Json(_))));
}

#[test]
fn sums() {
    let hex = "ab".repeat(32);
    let mut compiler = Compiler::default();
    let text = format!("{hex}  /bin/a\n{hex} */bin/b\n\\{hex}  /bin/new\\nline\\\\\n");
    compiler.sums(text.as_bytes()).unwrap();
    let policy = compiler.finish();
    for name in ["/bin/a", "/bin/b", "/bin/new\nline\\"] {
        assert_eq!(file(&policy, name, &FILE), None, "{name:?}");
    }
    assert_eq!(file(&policy, "/bin/c", &FILE), Some(Kind::File));
    for wrong in [
        "x",
        &hex,
        &format!("{hex}  "),
        &format!("{hex} /a"),
        &format!("\\{hex}  \\x"),
    ] {
        assert!(
            matches!(
                Compiler::default().sums(wrong.as_bytes()),
                Err(Error::Line(1))
            ),
            "{wrong}"
        );
    }
}
