// SPDX-License-Identifier: GPL-2.0

//! Endorsements: what of a verdict is signed, what a verification takes from it, and what not.

mod common;

use common::{
    judge::{against, code, expect, expect_verified, host, judge, kinds, pcrs, PCR_11, SHA256},
    signer::{buffer, Held, Key, Moment},
    Host, LOG_ID, PCR,
};
use ima_checkpoint_format::ByteOrder;
use ima_log::{
    bank::{Bank, Digest},
    endorsement::{
        Believed, ConsentKey, Endorsed, Endorsement, Endorsements, Endorsers, Error as Wrong,
        Limits, NotEndorsable, SigningKey, Verifier, Words,
    },
    quote::{AttestationKey, KeyName},
    replay::{Origin, Values},
    report,
    verify::{
        finding::Kind,
        policy::Policy,
        verdict::{Outcome, Verdict},
    },
};
use openssl::{
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    x509::extension::SubjectKeyIdentifier,
};
use serde_json::{json, Value};
use std::{
    error::Error,
    time::{Duration, UNIX_EPOCH},
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// An endorser.
struct Signer {
    key: SigningKey,
    private: PKey<Private>,
    public: Vec<u8>,
}

impl Signer {
    fn new(private: PKey<Private>) -> Result<Self> {
        Ok(Self {
            key: SigningKey::parse(&private.private_key_to_pem_pkcs8()?)?,
            public: private.public_key_to_pem()?,
            private,
        })
    }

    fn ed25519() -> Result<Self> {
        Self::new(PKey::generate_ed25519()?)
    }

    fn p256() -> Result<Self> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        Self::new(PKey::from_ec_key(EcKey::generate(&group)?)?)
    }

    fn trusted(&self) -> Result<Endorsers> {
        let mut endorsers = Endorsers::new();
        endorsers.add(&self.public)?;
        Ok(endorsers)
    }

    /// Signs it, and reads it again.
    fn believed(&self, endorsement: &Endorsement) -> Result<Believed> {
        let (text, id) = self.key.sign(endorsement)?;
        let believed = self.trusted()?.open(text.as_bytes())?;
        assert_eq!((&believed.endorsement, believed.id), (endorsement, id));
        Ok(believed)
    }

    /// What is signed of an endorsement.
    fn payload(&self, endorsement: &Endorsement) -> Result<Vec<u8>> {
        let envelope: Value = serde_json::from_str(&self.key.sign(endorsement)?.0)?;
        let payload = envelope["payload"].as_str().unwrap_or_default();
        Ok(openssl::base64::decode_block(payload)?)
    }

    /// An envelope around any payload, written without what is tested.
    fn envelope(&self, kind: &str, payload: &[u8]) -> Result<String> {
        let head = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
        let message = [head.as_bytes(), payload].concat();
        let signature = openssl::sign::Signer::new_without_digest(&self.private)?
            .sign_oneshot_to_vec(&message)?;
        let encode = openssl::base64::encode_block;
        let signatures = json!([{"keyid": "any", "sig": encode(&signature)}]);
        let envelope =
            json!({"payloadType": kind, "payload": encode(payload), "signatures": signatures});
        Ok(envelope.to_string())
    }
}

const IN_TOTO: &str = "application/vnd.in-toto+json";

fn words(seconds: u64) -> Words {
    Words {
        host: Some("web1".to_owned()),
        verifier: Verifier {
            id: "https://example.org/auditor".to_owned(),
            version: "1.2.3".to_owned(),
        },
        time: UNIX_EPOCH + Duration::from_secs(seconds),
    }
}

/// What is endorsed of a host whose PCRs held this.
fn endorsed(host: &Host, held: Values) -> Result<Endorsement> {
    let verdict = judge(&[&host.view(Bank::Sha1)?], &against(held))?;
    Ok(Endorsement::of(&verdict, words(1_900_000_000))?)
}

fn policy(held: Values, believed: &[Believed], limits: &Limits) -> Policy {
    let mut endorsements = Endorsements::default();
    for (number, one) in believed.iter().enumerate() {
        endorsements.add(&format!("number {number}"), one.clone(), limits);
    }
    Policy {
        endorsements,
        firmware: Values::new(),
        ..against(held)
    }
}

/// Verifies a list from this segment on.
fn from(host: &Host, segment: usize, policy: &Policy) -> Result<Verdict> {
    let first = host.first_of(segment);
    let list = host.view_of(Bank::Sha1, first..host.records.len())?;
    Ok(judge(&[&list], policy)?)
}

/// A host that stops right before its third checkpoint would be, and the host that goes on.
fn before_and_after() -> Result<(Values, Host)> {
    let mut host = host()?;
    let held = pcrs(&host);
    host.checkpoint("fourth")?;
    host.file(b"/bin/i", b"i");
    Ok((held, host))
}

#[test]
fn the_newest_proven_checkpoint_is_endorsed() -> Result {
    let (held, host) = before_and_after()?;
    let newest = endorsed(&host, pcrs(&host))?;
    assert_eq!(newest.checkpoint, 4);
    let segments = (0..4).map(|seq| {
        let of = host.first_of(seq as usize)..host.first_of(seq as usize + 1);
        Ok((seq, Bank::Sha256.hash(&[&host.view_of(Bank::Sha1, of)?])))
    });
    assert_eq!(newest.segments, segments.collect::<Result<_>>()?);
    let buffer = &host.checkpoints[3].buffer;
    assert_eq!(newest.digest, Bank::Sha256.hash(&[buffer]));
    assert_eq!(newest.records as usize, host.checkpoints[3].record);
    assert_eq!(newest.log_id, Digest::new(&LOG_ID));
    // what the TPM held, in the bank that counts
    let values = newest.values.iter();
    let values: Values = values.map(|(at, one)| (*at, one.value)).collect();
    let strong = held.iter().filter(|(at, _)| at.bank == Bank::Sha256);
    assert_eq!(values, strong.map(|(at, value)| (*at, *value)).collect());
    assert!(newest.values.values().all(|one| !one.accepted));

    // values from before the fourth checkpoint do not prove it
    let earlier = endorsed(&host, held)?;
    assert_eq!((earlier.checkpoint, earlier.segments.len()), (3, 3));
    Ok(())
}

#[test]
fn what_is_not_proven_is_not_endorsed() -> Result {
    let host = host()?;
    let list = host.view(Bank::Sha1)?;
    let refused = |policy: &Policy| -> Result<_> {
        let verdict = judge(&[&list], policy)?;
        Ok(Endorsement::of(&verdict, words(0)).err())
    };
    let nothing = against(Values::new());
    assert_eq!(refused(&nothing)?, Some(NotEndorsable::NotVerified));
    // nobody says what PCR 11 held before
    let policy = Policy {
        firmware: Values::new(),
        ..against(pcrs(&host))
    };
    assert_eq!(refused(&policy)?, Some(NotEndorsable::NotVerified));
    let mut early = Host::new(ByteOrder::Little, &host.banks);
    early.file(b"boot_aggregate", b"PCRs");
    let policy = against(pcrs(&early));
    early.checkpoint("")?;
    let verdict = judge(&[&early.view(Bank::Sha1)?], &policy)?;
    expect_verified("boot_aggregate alone", &verdict);
    let error = Endorsement::of(&verdict, words(0)).err();
    assert_eq!(error, Some(NotEndorsable::NoCheckpoint));
    Ok(())
}

#[test]
fn a_list_is_verified_from_its_middle() -> Result {
    let (_, host) = before_and_after()?;
    let held = pcrs(&host);
    let endorsement = endorsed(&host, held.clone())?;
    for signer in [Signer::ed25519()?, Signer::p256()?] {
        let believed = [signer.believed(&endorsement)?];
        let policy = policy(held.clone(), &believed, &Limits::default());
        // from the endorsed checkpoint on, from one before, and the whole
        for segment in [4, 3, 2] {
            let verdict = from(&host, segment, &policy)?;
            expect_verified(&format!("from segment {segment}"), &verdict);
            let one = verdict.register(SHA256).ok_or("PCR 10")?;
            assert_eq!(one.origin, Origin::Endorsed(4));
            assert_eq!(verdict.endorsements, believed);
            let text = report::text(&verdict);
            let headline = text.lines().next().unwrap_or_default();
            assert!(
                headline.contains("https://example.org/auditor"),
                "{headline}"
            );
            assert!(headline.contains("checkpoint 4"), "{headline}");
        }
        // PCR 11 is first used in segment 1, and held something before that nobody knows
        let unknown = from(&host, 1, &policy)?;
        expect("what PCR 11 held before", &unknown, 5, Kind::Start);
        // it can be endorsed again, from there
        let next = Endorsement::of(&from(&host, 4, &policy)?, words(2_000_000_000))?;
        assert_eq!((next.checkpoint, next.segments.len()), (4, 0));
        let next = Endorsement::of(&from(&host, 2, &policy)?, words(2_000_000_000))?;
        assert!(next.segments.keys().eq(&[2, 3]), "{next:?}");
        assert_eq!(next.inputs, [believed[0].id]);
    }
    let none = policy(held, &[], &Limits::default());
    expect("without", &from(&host, 4, &none)?, 5, Kind::Start);
    Ok(())
}

#[test]
fn what_follows_must_still_be_proven() -> Result {
    let (_, host) = before_and_after()?;
    let held = pcrs(&host);
    let believed = [Signer::ed25519()?.believed(&endorsed(&host, held.clone())?)?];
    let of = |held: Values| policy(held, &believed, &Limits::default());
    let nothing = from(&host, 4, &of(Values::new()))?;
    assert_eq!(nothing.outcome(), Outcome::Unanchored);
    // another record after it
    let mut other = host.clone();
    other.records.last_mut().ok_or("a record")?.fields[1] = common::nul(b"/bin/j");
    assert_eq!(code(&from(&other, 4, &of(held.clone()))?), 1);
    // another record before it, in the segment that it seals
    let mut other = host.clone();
    other.records[host.first_of(3) + 1].fields[1] = common::nul(b"/bin/j");
    expect(
        "before it",
        &from(&other, 3, &of(held.clone()))?,
        1,
        Kind::Value,
    );
    // records before the first checkpoint, of which nothing is known
    let first = host.first_of(2) + 1;
    let list = host.view_of(Bank::Sha1, first..host.records.len())?;
    expect(
        "a part of a segment",
        &judge(&[&list], &of(held))?,
        5,
        Kind::Start,
    );
    Ok(())
}

#[test]
fn it_vouches_for_what_it_names_and_no_more() -> Result {
    let (_, host) = before_and_after()?;
    let held = pcrs(&host);
    let signer = Signer::ed25519()?;
    let endorsement = endorsed(&host, held.clone())?;
    let judged = |endorsement: &Endorsement, segment| -> Result<Verdict> {
        let believed = [signer.believed(endorsement)?];
        let policy = policy(held.clone(), &believed, &Limits::default());
        from(&host, segment, &policy)
    };
    let mut some = endorsement.clone();
    some.values.remove(&PCR_11);
    expect("PCR 11 is not endorsed", &judged(&some, 4)?, 5, Kind::Start);
    let mut other = endorsement.clone();
    other.log_id = Digest::new(&[1; 16]);
    expect(
        "another log",
        &judged(&other, 4)?,
        5,
        Kind::EndorsementUnused,
    );
    let mut other = endorsement.clone();
    other.checkpoint = 3;
    other.segments.clear();
    expect(
        "another number",
        &judged(&other, 4)?,
        5,
        Kind::EndorsementUnused,
    );
    // whoever signs another value, or another checkpoint, has seen another history
    let mut other = endorsement.clone();
    other.digest = Bank::Sha256.hash(&[b"another"]);
    expect(
        "another checkpoint",
        &judged(&other, 4)?,
        1,
        Kind::TwoHistories,
    );
    let mut other = endorsement.clone();
    let value = Bank::Sha256.hash(&[b"another"]);
    let accepted = false;
    other.values.insert(SHA256, Endorsed { value, accepted });
    expect("another value", &judged(&other, 4)?, 1, Kind::TwoHistories);
    // what was accepted stays accepted
    let mut other = endorsement;
    for one in other.values.values_mut() {
        one.accepted = true;
    }
    let verdict = judged(&other, 4)?;
    assert_eq!(verdict.outcome(), Outcome::Accepted);
    assert_eq!(verdict.endorsements.len(), 1);
    let next = Endorsement::of(&verdict, words(0))?;
    assert!(next.values.values().all(|one| one.accepted), "{next:?}");
    Ok(())
}

#[test]
fn two_that_disagree_are_a_finding() -> Result {
    let (_, host) = before_and_after()?;
    let held = pcrs(&host);
    let endorsement = endorsed(&host, held.clone())?;
    let signers = [Signer::ed25519()?, Signer::p256()?];
    let judged = |other: &Endorsement| -> Result<Verdict> {
        let believed = [
            signers[0].believed(&endorsement)?,
            signers[1].believed(other)?,
        ];
        let policy = policy(held.clone(), &believed, &Limits::default());
        from(&host, 4, &policy)
    };
    expect_verified("the same twice", &judged(&endorsement)?);
    // it is not about a checkpoint that is here, so that only the two tell
    let mut other = endorsement.clone();
    other.checkpoint = 7;
    let verdict = judged(&other)?;
    expect("two places at once", &verdict, 1, Kind::TwoHistories);
    other.records += 1;
    assert_eq!(kinds(&judged(&other)?), []);
    let moment = |reset_count| {
        Some(ima_log::endorsement::Moment {
            key_name: None,
            reset_count,
            restart_count: 0,
            clock: 0,
            safe: true,
        })
    };
    let mut boots = [endorsement.clone(), other];
    boots[0].quote = moment(7);
    boots[1].quote = moment(8);
    let believed = [
        signers[0].believed(&boots[0])?,
        signers[1].believed(&boots[1])?,
    ];
    let policy = policy(held.clone(), &believed, &Limits::default());
    expect(
        "two boots",
        &from(&host, 4, &policy)?,
        1,
        Kind::TwoHistories,
    );
    Ok(())
}

#[test]
fn what_was_revoked_or_is_too_old_does_not_count() -> Result {
    let (_, host) = before_and_after()?;
    let held = pcrs(&host);
    let believed = [Signer::ed25519()?.believed(&endorsed(&host, held.clone())?)?];
    let judged = |limits: &Limits| from(&host, 4, &policy(held.clone(), &believed, limits));
    let at = |seconds| Limits {
        not_before: Some(UNIX_EPOCH + Duration::from_secs(seconds)),
        ..Limits::default()
    };
    expect_verified("in time", &judged(&at(1_900_000_000))?);
    let late = judged(&at(1_900_000_001))?;
    expect("too old", &late, 5, Kind::EndorsementUnused);
    assert!(late.endorsements.is_empty());
    let revoked = Limits {
        revoked: [believed[0].id].into(),
        ..Limits::default()
    };
    expect("revoked", &judged(&revoked)?, 5, Kind::EndorsementUnused);
    Ok(())
}

fn seal(host: &mut Host, key: &Key, at: Moment) -> Result {
    host.checkpoint("")?;
    let held: Held = pcrs(host)
        .into_iter()
        .filter(|(at, _)| at.pcr == PCR)
        .collect();
    let digest = Bank::Sha256.hash(&[&host.checkpoints.last().ok_or("one")?.buffer]);
    let evidence = key.evidence(digest.as_bytes(), &held, at);
    let seq = host.checkpoints.len() as u64;
    host.own_record(
        b".ima/quote",
        &buffer(LOG_ID, seq, digest.as_bytes(), &evidence),
    );
    Ok(())
}

/// The quotes of a log are of the boot that was endorsed, and by a key whose quotes count.
#[test]
fn it_is_of_one_tpm_and_one_boot() -> Result {
    let mut host = Host::new(ByteOrder::Little, &[Bank::Sha1, Bank::Sha256]);
    host.file(b"boot_aggregate", b"PCRs");
    let keys = [Key::new(1), Key::new(2)];
    let at = |reset, clock| Moment {
        reset,
        restart: 0,
        clock,
    };
    seal(&mut host, &keys[0], at(7, 1000))?;
    let trusting = |keys: &[&Key]| -> Result<Policy> {
        let mut policy = Policy::default();
        for key in keys {
            policy.keys.add(AttestationKey::parse(&key.public)?);
        }
        Ok(policy)
    };
    let verdict = judge(&[&host.view(Bank::Sha1)?], &trusting(&[&keys[0]])?)?;
    let endorsement = Endorsement::of(&verdict, words(0))?;
    let moment = endorsement.quote.clone().ok_or("a quote proves it")?;
    assert_eq!((moment.reset_count, moment.clock), (7, 1000));
    assert_eq!(
        moment.key_name,
        Some(KeyName::try_from(keys[0].name.as_slice()).map_err(|e| e.to_string())?)
    );

    let signer = Signer::ed25519()?;
    let believed = signer.believed(&endorsement)?;
    let judged = |keys: &[&Key], signed_by: &Key, when: Moment| -> Result<Verdict> {
        let mut host = host.clone();
        host.file(b"/bin/a", b"a");
        seal(&mut host, signed_by, when)?;
        let mut policy = trusting(keys)?;
        let limits = Limits {
            keys: policy.keys.names(),
            ..Limits::default()
        };
        policy.endorsements.add("it", believed.clone(), &limits);
        // the first quote is not among it
        let first = host.first_of(1);
        let mut list = host.view_of(Bank::Sha1, first..first + 1)?;
        list.extend(host.view_of(Bank::Sha1, first + 1..host.records.len())?);
        Ok(judge(&[&list], &policy)?)
    };
    let [ours, other] = [&keys[0], &keys[1]];
    expect_verified("goes on", &judged(&[ours], ours, at(7, 2000))?);
    let reset = judged(&[ours], ours, at(8, 2000))?;
    expect("another boot", &reset, 1, Kind::QuoteBoot);
    let early = judged(&[ours], ours, at(7, 999))?;
    expect("an earlier time", &early, 1, Kind::QuoteBoot);
    let foreign = judged(&[other], other, at(7, 2000))?;
    expect("another TPM", &foreign, 5, Kind::EndorsementUnused);
    Ok(())
}

#[test]
fn who_signed_it_is_found_out_first() -> Result {
    let (_, host) = before_and_after()?;
    let endorsement = endorsed(&host, pcrs(&host))?;
    let (signer, other) = (Signer::ed25519()?, Signer::p256()?);
    let (text, _) = signer.key.sign(&endorsement)?;
    let mut both = Endorsers::new();
    both.add(&other.public)?;
    assert_eq!(both.open(text.as_bytes()), Err(Wrong::Unsigned));
    both.add(&signer.public)?;
    assert!(both.open(text.as_bytes()).is_ok());
    assert_eq!(Endorsers::new().open(text.as_bytes()), Err(Wrong::Unsigned));
    let envelope: Value = serde_json::from_str(&text)?;
    let changed = |change: fn(&mut Value)| {
        let mut envelope = envelope.clone();
        change(&mut envelope);
        both.open(envelope.to_string().as_bytes())
    };
    let unsigned = changed(|it| it["signatures"] = json!([]));
    assert_eq!(unsigned, Err(Wrong::Unsigned));
    let unsigned = changed(|it| it["signatures"][0]["sig"] = json!("AAAA"));
    assert_eq!(unsigned, Err(Wrong::Unsigned));
    let unsigned = changed(|it| it["payload"] = json!("e30="));
    assert_eq!(unsigned, Err(Wrong::Unsigned));
    let other = changed(|it| it["payloadType"] = json!("text/plain"));
    assert_eq!(other, Err(Wrong::PayloadType("text/plain".to_owned())));
    // in the alphabet of URLs, without padding, beside a signature that is nobody's
    let url = changed(|it| {
        let text = it["payload"].as_str().unwrap_or_default();
        let text = text.replace('+', "-").replace('/', "_");
        it["payload"] = json!(text.trim_end_matches('='));
        let mine = it["signatures"][0].clone();
        it["signatures"] = json!([{"sig": "AAAA"}, mine]);
    });
    assert!(url.is_ok(), "{url:?}");
    for bad in ["", "{}", "[]", "null", "\u{0}", "{\"payloadType\": 1}"] {
        let wrong = both.open(bad.as_bytes());
        assert!(
            matches!(wrong, Err(Wrong::NotAnEnvelope(_))),
            "{bad}: {wrong:?}"
        );
    }
    Ok(())
}

/// Statements that an endorser signed, and that are none that this program takes.
#[test]
fn statements_of_another_kind() -> Result {
    let (_, host) = before_and_after()?;
    let endorsement = endorsed(&host, pcrs(&host))?;
    let signer = Signer::ed25519()?;
    let statement: Value = serde_json::from_slice(&signer.payload(&endorsement)?)?;
    let open = |statement: &Value| -> Result<_> {
        let text = signer.envelope(IN_TOTO, statement.to_string().as_bytes())?;
        Ok(signer.trusted()?.open(text.as_bytes()))
    };
    let same = open(&statement)?.map(|believed| believed.endorsement);
    assert_eq!(same, Ok(endorsement));
    // a member that nobody knows changes nothing
    let mut more = statement.clone();
    more["predicate"]["imaCheckpoint"]["another"] = json!(1);
    more["predicate"]["another"] = json!({});
    assert!(open(&more)?.is_ok());
    let own = "/predicate/imaCheckpoint";
    for (at, value) in [
        ("/_type", json!("https://in-toto.io/Statement/v0.1")),
        ("/predicateType", json!("https://slsa.dev/provenance/v1")),
        ("/predicate/verificationResult", json!("FAILED")),
        ("/predicate/timeVerified", json!("yesterday")),
        ("/predicate/verifier/id", json!("x".repeat(2000))),
        ("/subject", json!([])),
        ("/subject/0/digest/sha256", json!("00")),
        ("/subject/0/name", json!("another")),
        ("/subject/1/digest/sha256", json!("00")),
        (
            &format!("{own}/schema"),
            json!("ima-checkpoint/endorsement/2"),
        ),
        (&format!("{own}/log_id"), json!("00")),
        (&format!("{own}/checkpoint"), json!("5")),
        (&format!("{own}/checkpoint"), json!(4)),
        (&format!("{own}/pcrs/0/value"), json!("00")),
        (&format!("{own}/pcrs/0/pcr"), json!(24_000)),
        (&format!("{own}/pcrs/0/standing"), json!("partial")),
        (
            &format!("{own}/pcrs/1"),
            statement["predicate"]["imaCheckpoint"]["pcrs"][0].clone(),
        ),
        (
            &format!("{own}/quote"),
            json!({"key_name": "00", "reset_count": 0, "restart_count": 0, "clock": "0", "safe": true}),
        ),
    ] {
        let mut other = statement.clone();
        *other.pointer_mut(at).ok_or(at)? = value;
        let opened = open(&other)?;
        assert!(opened.is_err(), "{at}: {opened:?}");
    }
    Ok(())
}

/// The kernel's keyring knows a key by its subject key identifier, and a signature of IMA's says which.
#[test]
fn who_endorses_can_let_segments_go() -> Result {
    let (_, host) = before_and_after()?;
    let endorsement = endorsed(&host, pcrs(&host))?;
    let digest = Bank::Sha256.hash(&[&host.checkpoints[3].buffer]);
    let line = format!("ima-checkpoint truncate 1 {} 4 {digest}\n", "5c".repeat(16));
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let rsa = PKey::from_rsa(openssl::rsa::Rsa::generate(2048)?)?;
    let ecdsa = PKey::from_ec_key(EcKey::generate(&group)?)?;
    for key in [&rsa, &ecdsa] {
        let consent = ConsentKey::parse(&key.private_key_to_pem_pkcs8()?)?;
        let signature = consent.sign(&endorsement)?;
        let mut name = openssl::x509::X509Name::builder()?;
        name.append_entry_by_text("CN", "test")?;
        let name = name.build();
        let mut certificate = openssl::x509::X509::builder()?;
        certificate.set_pubkey(key)?;
        certificate.set_subject_name(&name)?;
        let context = certificate.x509v3_context(None, None);
        let identifier = SubjectKeyIdentifier::new().build(&context)?;
        certificate.append_extension(identifier)?;
        certificate.sign(key, MessageDigest::sha256())?;
        let certificate = certificate.build();
        let identifier = certificate.subject_key_id().ok_or("an identifier")?;
        let id = identifier.as_slice();
        assert_eq!(signature[..3], [3, 2, 4]);
        assert_eq!(signature[3..7], id[id.len() - 4..]);
        let size = u16::from_be_bytes([signature[7], signature[8]]);
        assert_eq!(signature.len(), 9 + usize::from(size));
        let mut verifier = openssl::sign::Verifier::new(MessageDigest::sha256(), key)?;
        assert!(verifier.verify_oneshot(&signature[9..], line.as_bytes())?);
    }
    for bad in [
        PKey::generate_ed25519()?.private_key_to_pem_pkcs8()?,
        b"x".to_vec(),
    ] {
        let wrong = ConsentKey::parse(&bad).err();
        assert!(matches!(wrong, Some(Wrong::NotAConsentKey(_))), "{wrong:?}");
    }
    Ok(())
}

/// Whatever an endorser signs, it is read in bounded time, and nothing panics.
#[test]
fn statements_that_were_changed_at_random() -> Result {
    let (_, host) = before_and_after()?;
    let endorsement = endorsed(&host, pcrs(&host))?;
    let signer = Signer::ed25519()?;
    let payload = signer.payload(&endorsement)?;
    let trusted = signer.trusted()?;
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..2000 {
        let mut changed = payload.clone();
        for _ in 0..1 + random(3) {
            let at = random(changed.len());
            match random(4) {
                0 => changed[at] = b"0123456789abcdef{}[]\",:-\\"[random(25)],
                1 => changed[at] ^= 1 << random(8),
                2 => drop(changed.remove(at)),
                _ => {
                    let end = changed.len().min(at + random(64));
                    let piece = changed[at..end].to_vec();
                    let to = random(changed.len());
                    changed.splice(to..to, piece);
                }
            }
        }
        match trusted.open(signer.envelope(IN_TOTO, &changed)?.as_bytes()) {
            Ok(believed) => {
                taken += 1;
                // what was taken can be written again, and says the same
                assert_eq!(
                    signer.believed(&believed.endorsement)?.endorsement,
                    believed.endorsement
                );
            }
            Err(_) => refused += 1,
        }
    }
    assert!(taken > 100 && refused > 100, "{taken} {refused}");
    let deep = "[".repeat(100_000);
    assert!(trusted
        .open(signer.envelope(IN_TOTO, deep.as_bytes())?.as_bytes())
        .is_err());
    Ok(())
}

#[test]
fn keys_that_do_not_sign_or_endorse() -> Result {
    let rsa = PKey::from_rsa(openssl::rsa::Rsa::generate(2048)?)?;
    let group = EcGroup::from_curve_name(Nid::SECP384R1)?;
    let p384 = PKey::from_ec_key(EcKey::generate(&group)?)?;
    let mut endorsers = Endorsers::new();
    for key in [&rsa, &p384] {
        let wrong = endorsers.add(&key.public_key_to_pem()?);
        assert!(matches!(wrong, Err(Wrong::NotAKey(_))), "{wrong:?}");
        let wrong = SigningKey::parse(&key.private_key_to_pem_pkcs8()?).err();
        assert!(matches!(wrong, Some(Wrong::NotASigningKey(_))), "{wrong:?}");
    }
    let good = PKey::generate_ed25519()?;
    let cipher = openssl::symm::Cipher::aes_128_cbc();
    let sealed = good.private_key_to_pem_pkcs8_passphrase(cipher, b"secret")?;
    let public = good.public_key_to_pem()?;
    for bad in [sealed.as_slice(), &public, b"", b"rubbish"] {
        let wrong = SigningKey::parse(bad).err();
        assert!(matches!(wrong, Some(Wrong::NotASigningKey(_))), "{wrong:?}");
    }
    assert!(endorsers.is_empty());
    Ok(())
}
