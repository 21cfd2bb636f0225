// SPDX-License-Identifier: GPL-2.0

//! Quotes that a software TPM made, and forgeries of them.

use ima_log::{
    bank::{Bank, Digest},
    quote::{
        proves_possession, AttestationKey, Attribute, Error, Forgery, Hex, KeyName, Nonce,
        PcrValues, Quote,
    },
};
use openssl::{hash::MessageDigest, pkey::PKey, rsa::Rsa, sign::Signer};
use std::collections::BTreeMap;

type Fields = BTreeMap<String, Vec<u8>>;

/// The sections of the fixture.
fn fixtures() -> BTreeMap<String, Fields> {
    sections(include_str!("data/quotes"))
}

fn sections(text: &str) -> BTreeMap<String, Fields> {
    let mut sections = BTreeMap::new();
    let mut current: Option<&mut Fields> = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            let name = name.trim_end_matches(']').to_owned();
            current = Some(sections.entry(name).or_default());
        } else if let (Some((key, value)), Some(fields)) = (line.split_once(" = "), &mut current) {
            let Hex(bytes) = value.parse().expect(line);
            fields.insert(key.to_owned(), bytes);
        }
    }
    sections
}

/// The sections that hold a quote.
fn quotes() -> impl Iterator<Item = (String, Fields)> {
    let is_quote = |(_, fields): &(_, Fields)| fields.contains_key("message");
    fixtures().into_iter().filter(is_quote)
}

fn verify(fields: &Fields, key: &[u8]) -> Result<Quote, Error> {
    verify_with(&AttestationKey::parse(key)?, fields)
}

fn verify_with(key: &AttestationKey, fields: &Fields) -> Result<Quote, Error> {
    Quote::verify(
        &fields["message"],
        &fields["signature"],
        key,
        Some(&nonce(&fields["nonce"])),
        true,
    )
}

fn nonce(bytes: &[u8]) -> Nonce {
    Nonce::try_from(bytes).expect("a nonce")
}

fn key_name(fields: &Fields) -> KeyName {
    KeyName::try_from(fields["name"].as_slice()).expect("a name")
}

/// Was it found out that no TPM made this quote with this key?
fn is_forged(error: &Error) -> bool {
    matches!(error, Error::Malformed { .. } | Error::Forged(_))
}

fn changed(fields: &Fields, name: &str, value: &[u8]) -> Fields {
    let mut fields = fields.clone();
    fields.insert(name.to_owned(), value.to_vec());
    fields
}

fn matches(quote: &Quote, values: impl Fn(Bank, u32) -> Option<Digest>) -> bool {
    quote.search(values).is_ok_and(|digest| digest.matches())
}

/// Every byte changed, one at a time: each in another bit.
fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len()).map(|at| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1 << (at % 8);
        bytes
    })
}

#[test]
fn real_quotes() {
    assert_eq!(quotes().count(), 10);
    for (name, fields) in quotes() {
        for format in ["tpm2b", "pem"] {
            let quote = verify(&fields, &fields[format]).expect(&name);
            assert_eq!(
                quote.scheme.to_string().as_bytes(),
                fields["scheme"],
                "{name}"
            );
            let key_name = (format == "tpm2b").then(|| key_name(&fields));
            assert_eq!(quote.key_name, key_name, "{name}");
            assert!(quote.fresh && quote.attest.safe, "{name}");
            let named = quote
                .to_string()
                .contains(&Hex(fields["name"].clone()).to_string());
            assert_eq!(named, format == "tpm2b", "{quote}");
            assert!(!quote.key_name_checked, "{name}");
            assert_eq!(quote.caveats().len(), 1, "{name}");
        }
        // TPMT_PUBLIC is what the size is in front of
        assert!(verify(&fields, &fields["tpm2b"][2..]).is_ok(), "{name}");
    }
}

#[test]
fn pcr_values() {
    let pcrs = &fixtures()["pcrs"];
    for (name, fields) in quotes() {
        let quote = verify(&fields, &fields["tpm2b"]).expect(&name);
        let shown: Vec<String> = quote.pcrs().map(|pcr| pcr.to_string()).collect();
        assert_eq!(
            shown,
            ["sha256:10", "sha1:0", "sha1:10", "sha1:23"],
            "{name}"
        );
        for format in ["text", "serialized", "values"] {
            let values =
                PcrValues::parse(&pcrs[format], None, &quote.attest.selection).expect(format);
            let get = |bank, pcr| values.get(bank, pcr);
            assert!(matches(&quote, get), "{name}, {format}");

            let lacking = |bank, pcr| {
                values
                    .get(bank, pcr)
                    .filter(|_| (bank, pcr) != (Bank::Sha1, 10))
            };
            let missing = quote.search(lacking).expect_err("a value is missing");
            assert_eq!(
                missing.iter().map(ToString::to_string).collect::<Vec<_>>(),
                ["sha1:10"]
            );

            let mut search = quote.search(get).expect("all values");
            let value = values.get(Bank::Sha256, 10).expect("it was quoted");
            search.set(Bank::Sha256, 10, &Bank::Sha256.zeros());
            assert!(!search.matches(), "{name}");
            search.set(Bank::Sha256, 11, &Bank::Sha256.zeros());
            search.set(Bank::Sha256, 10, &value);
            assert!(search.matches(), "{name}");

            let mut copy = search.clone();
            let slot = search.slot(Bank::Sha256, 10).expect("it was quoted");
            assert_eq!(search.slot(Bank::Sha256, 11), None);
            assert_eq!(search.slot(Bank::Sha384, 10), None);
            search.set_slot(slot, &[0; 32]);
            assert!(!search.matches() && copy.matches(), "{name}");
            for of_other_size in [[].as_slice(), &[0; 31], &[0; 48]] {
                copy.set_slot(slot, of_other_size);
                assert!(copy.matches(), "{name}");
            }
            search.set_slot(slot, value.as_bytes());
            assert!(search.matches(), "{name}");
        }
        let zeros = |bank: Bank, _| Some(bank.zeros());
        assert!(!matches(&quote, zeros), "{name}");
    }
}

#[test]
fn pcr_values_in_text() {
    let sha1 = "0123456789abcdef0123456789abcdef01234567";
    let parse = |text: &str, bank| {
        PcrValues::parse(text.as_bytes(), bank, &[]).map_err(|error| error.to_string())
    };
    let value = Digest::from_hex(sha1);
    let spaced: String = sha1
        .as_bytes()
        .chunks(2)
        .map(|pair| format!("{} ", String::from_utf8_lossy(pair)))
        .collect();
    for text in [
        format!("PCR-10: {sha1}\n"),
        format!("PCR-10: {spaced}\n"),
        format!("\nsha1:\n 10 : 0x{sha1}"),
        format!("sha1:10={sha1}\n"),
        format!("sha256:\n\n sha1:10=0x{sha1}"),
    ] {
        let values = parse(&text, Some(Bank::Sha1)).expect(&text);
        assert_eq!(values.get(Bank::Sha1, 10), value);
        let all: Vec<String> = values
            .iter()
            .map(|pair| format!("{}: {}", pair.register, pair.value))
            .collect();
        assert_eq!(all, [format!("PCR 10 in sha1: {sha1}")]);
        assert_eq!(values.get(Bank::Sha1, 0), None);
    }
    let foreign = parse(
        &format!("tpm_alg_99:\n 1: 0x00\nsha1:\n 1: 0x{sha1}\n"),
        None,
    );
    assert_eq!(foreign.map(|values| values.get(Bank::Sha1, 1)), Ok(value));
    for (text, why) in [
        (
            format!("PCR-10: {sha1}"),
            "line 1: the bank of this value is not named",
        ),
        (
            format!("sha256:\n\n10: {sha1}"),
            "line 3: a value of sha256 has 32 bytes",
        ),
        (format!("sha1:\n32: {sha1}"), "no PCR 32"),
        (
            format!("sha1:\n1: {sha1}\n1: {}", "0".repeat(40)),
            "line 3: a second value",
        ),
        ("sha1:\n1: 0xgg".into(), "line 2: not a value"),
        (
            format!("sha1:1={sha1}\nsha1:1={}", "0".repeat(40)),
            "line 2: a second value for PCR 1 in sha1",
        ),
        (format!("\nsha1:32={sha1}"), "line 2: there is no PCR 32"),
        (format!("sha1:-1={sha1}"), "line 1: expected BANK:PCR=HEX"),
        (
            format!("md5:1={sha1}"),
            "line 1: no such bank; the known banks are sha1,",
        ),
        (
            format!("sha1:1=0x0x{sha1}"),
            "line 1: a value of sha1 has 40",
        ),
        (format!("sha256:1={sha1}"), "a value of sha256 has 64"),
        (format!("10={sha1}"), "line 1: expected BANK:PCR=HEX"),
        ("hello".into(), "line 1: neither"),
        ("quoted: 00".into(), "line 1: neither"),
    ] {
        assert!(
            parse(&text, None).is_err_and(|error| error.contains(why)),
            "{text}"
        );
    }
}

#[test]
fn binary_pcr_values_that_are_cut_or_changed() {
    let pcrs = &fixtures()["pcrs"];
    let (_, fields) = quotes().next().expect("a quote");
    let quote = verify(&fields, &fields["tpm2b"]).expect("it is good");
    for format in ["serialized", "values"] {
        let parse = |bytes: &[u8]| PcrValues::parse(bytes, None, &quote.attest.selection);
        let whole = &pcrs[format];
        for len in 0..whole.len() {
            // of the length of other values, or no text at all
            let values = parse(&whole[..len]).unwrap_or_default();
            let equal = matches(&quote, |bank, pcr| values.get(bank, pcr));
            assert!(!equal, "{format}, {len}");
        }
        for flipped in flips(whole) {
            if let Ok(values) = parse(&flipped) {
                // or bytes that nothing is kept in
                let equal = matches(&quote, |bank, pcr| values.get(bank, pcr));
                assert_eq!(equal, Ok(values) == parse(whole), "{format}");
            }
        }
    }
}

#[test]
fn a_quote_that_was_changed_is_refused() {
    for (name, fields) in quotes() {
        for part in ["message", "signature"] {
            let whole = &fields[part];
            let cut = (0..whole.len()).map(|len| whole[..len].to_vec());
            let longer = [&whole[..], &[0]].concat();
            let all: Vec<Fields> = flips(whole)
                .chain(cut)
                .chain([longer])
                .map(|bytes| changed(&fields, part, &bytes))
                .collect();
            for key in ["tpm2b", "pem"] {
                let key = AttestationKey::parse(&fields[key]).expect(&name);
                for fields in &all {
                    let seen = verify_with(&key, fields);
                    assert!(seen.is_err_and(|error| is_forged(&error)), "{name}, {part}");
                }
            }
        }
    }
}

#[test]
fn a_key_that_was_changed_is_refused() {
    for (name, fields) in quotes() {
        for key in flips(&fields["tpm2b"]) {
            // attributes that do not matter here change the name
            if let Ok(quote) = verify(&fields, &key) {
                assert_ne!(quote.key_name, Some(key_name(&fields)), "{name}");
            }
        }
        for len in 0..fields["tpm2b"].len() {
            let seen = AttestationKey::parse(&fields["tpm2b"][..len]);
            assert!(matches!(seen, Err(Error::NotAKey(_))), "{name}");
        }
        for key in flips(&fields["pem"]) {
            if let Ok(quote) = verify(&fields, &key) {
                assert_eq!(quote.key_name, None);
            }
        }
    }
}

#[test]
fn another_key_and_another_quote() {
    let all: Vec<(String, Fields)> = quotes().collect();
    for (name, fields) in &all {
        for (other, others) in &all {
            if fields["name"] != others["name"] {
                for key in [&others["pem"], &others["tpm2b"]] {
                    let seen = verify(fields, key).err();
                    assert!(
                        matches!(
                            seen,
                            Some(Error::Forged(Forgery::Signature | Forgery::Scheme { .. }))
                        ),
                        "{name}, key of {other}: {seen:?}"
                    );
                }
            }
            if name != other {
                let seen = verify(
                    &changed(fields, "message", &others["message"]),
                    &fields["pem"],
                );
                assert_eq!(
                    seen.err(),
                    Some(Error::Forged(Forgery::Signature)),
                    "{name}, message of {other}"
                );
            }
        }
    }
}

#[test]
fn nonces() {
    let (_, fields) = quotes().next().expect("a quote");
    let key = AttestationKey::parse(&fields["tpm2b"]).expect("it is good");
    let verify = |nonce: Option<&Nonce>| {
        Quote::verify(&fields["message"], &fields["signature"], &key, nonce, true)
    };
    for wrong in [
        vec![0],
        fields["nonce"][1..].to_vec(),
        [&fields["nonce"][..], b"\0"].concat(),
    ] {
        let found = Hex(fields["nonce"].clone());
        let expected = nonce(&wrong);
        assert_eq!(
            verify(Some(&expected)).err(),
            Some(Error::Stale {
                expected: expected.clone(),
                found
            })
        );
    }
    let quote = verify(None).expect("it is good");
    assert!(!quote.fresh && quote.caveats()[0].contains("not fresh"));
}

#[test]
fn names_of_keys() {
    for (name, fields) in quotes() {
        let parse = |format: &str| AttestationKey::parse(&fields[format]).expect(&name);
        let expected = key_name(&fields);
        let key = parse("tpm2b").expect_name(&expected).expect(&name);
        let quote = verify_with(&key, &fields).expect(&name);
        assert!(
            quote.key_name_checked && quote.caveats().is_empty(),
            "{quote}"
        );
        let shown = parse("tpm2b");
        let quote = verify_with(&shown, &fields).expect(&name);
        let caveats = quote.caveats().join("\n");
        assert!(caveats.contains(&format!("compare the name {expected} with")));

        let seen = parse("pem").expect_name(&expected).expect_err(&name);
        assert!(seen.to_string().contains("give its TPM2B_PUBLIC"), "{seen}");
        for (other, others) in quotes() {
            let other_name = key_name(&others);
            if other_name != expected {
                let wrong = Error::WrongKeyName {
                    expected: other_name.clone(),
                    found: expected.clone(),
                };
                assert_eq!(
                    parse("tpm2b").expect_name(&other_name).err(),
                    Some(wrong),
                    "{name} for {other}"
                );
            }
        }
    }
}

/// What `--key-name` is for: nothing in the file tells it from a key of a TPM.
#[test]
fn a_key_that_a_program_made() {
    let fields = &fixtures()["rsassa"];
    let mut public = fields["tpm2b"].clone();
    let modulus = public.len() - 256;
    let software = Rsa::generate(2048).expect("a key");
    public[modulus..].copy_from_slice(&software.n().to_vec());
    let key = AttestationKey::parse(&public).expect("it says that it is in a TPM");
    let private = PKey::from_rsa(software).expect("a key");
    let mut signer = Signer::new(MessageDigest::sha256(), &private).expect("a signer");
    let signature = signer.sign_oneshot_to_vec(&fields["message"]);
    let fields = changed(fields, "signature", &signature.expect("a signature"));
    let quote = verify_with(&key, &fields).expect("it is signed with this key");
    assert!(quote
        .caveats()
        .iter()
        .any(|text| text.contains("a program can make a key")));
    assert!(matches!(
        key.expect_name(&key_name(&fields)),
        Err(Error::WrongKeyName { .. })
    ));
}

#[test]
fn sha1_must_be_allowed() {
    let fields = &fixtures()["sha1"];
    let key = AttestationKey::parse(&fields["tpm2b"]).expect("it is good");
    let seen = Quote::verify(&fields["message"], &fields["signature"], &key, None, false);
    assert_eq!(seen.err(), Some(Error::Weak { hash: Bank::Sha1 }));
    assert!(verify(fields, &fields["tpm2b"]).is_ok());
}

#[test]
fn keys_that_could_forge() {
    let seen = AttestationKey::parse(&fixtures()["ek"]["tpm2b"]).expect_err("it decrypts");
    assert!(
        seen.to_string().contains("decrypt is set, sign is clear"),
        "{seen}"
    );
    for (name, bit, set) in [
        ("fixedTPM", 1, false),
        ("fixedParent", 4, false),
        ("sensitiveDataOrigin", 5, false),
        ("restricted", 16, false),
        ("decrypt", 17, true),
        ("sign", 18, false),
    ] {
        let mut key = fixtures()["p256"]["tpm2b"].clone();
        let attributes = u32::from_be_bytes([key[6], key[7], key[8], key[9]]) ^ 1 << bit;
        key[6..10].copy_from_slice(&attributes.to_be_bytes());
        let attributes = vec![Attribute { name, set }];
        assert_eq!(
            AttestationKey::parse(&key).err(),
            Some(Error::UnfitKey { attributes })
        );
    }
}

/// A key that a TPM certified with itself, and nothing else, proves that somebody has it.
#[test]
fn possession() -> Result<(), Error> {
    let all = sections(include_str!("data/certifications"));
    for name in ["rsassa", "p256"] {
        let fields = &all[name];
        let (message, signature) = (&fields["message"], &fields["signature"]);
        let key = AttestationKey::parse(&fields["tpm2b"])?;
        let asked = nonce(&fields["nonce"]);
        proves_possession(message, signature, &key, &asked)?;
        let other = proves_possession(message, signature, &key, &nonce(b"other"));
        assert!(matches!(other, Err(Error::Stale { .. })), "{other:?}");
        for at in 0..message.len() {
            let mut changed = message.clone();
            changed[at] ^= 1;
            let changed = proves_possession(&changed, signature, &key, &asked);
            assert!(changed.is_err_and(|error| is_forged(&error)), "{at}");
        }
        for cut in [0, 4, 6, message.len() - 1] {
            assert!(proves_possession(&message[..cut], signature, &key, &asked).is_err());
        }
        // what was certified is not known by a key without a Name
        let bare = AttestationKey::parse(&fields["pem"])?;
        assert!(proves_possession(message, signature, &bare, &asked).is_err());
    }
    for name in ["p256-by-rsassa", "rsassa-by-p256"] {
        let fields = &all[name];
        let key = AttestationKey::parse(&fields["tpm2b"])?;
        let (message, signature) = (&fields["message"], &fields["signature"]);
        let other = proves_possession(message, signature, &key, &nonce(&fields["nonce"]));
        assert!(other.is_err_and(|error| is_forged(&error)), "{name}");
    }
    // a quote is none
    let quote = &fixtures()["rsassa"];
    let key = AttestationKey::parse(&quote["tpm2b"])?;
    let (message, signature) = (&quote["message"], &quote["signature"]);
    let wrong = proves_possession(message, signature, &key, &nonce(&quote["nonce"]));
    assert!(
        matches!(wrong, Err(Error::Forged(Forgery::Type(0x8018)))),
        "{wrong:?}"
    );
    Ok(())
}
