// SPDX-License-Identifier: GPL-2.0

//! What keeps the archiver from freeing, and what it ends with.

use crate::{
    common::LOG_ID,
    disk,
    machine::{Asked, Machine},
    Result,
};
use ima_checkpoint::{
    archive::receipts::ReceiptsFrom,
    bank::{Bank, Digest},
    commands::exit::Code,
    open_files::Readers,
};
use ima_log::endorsement::{Endorsement, Endorsers, SigningKey, Verifier};
use openssl::pkey::PKey;
use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::UNIX_EPOCH,
};

fn set(path: &Path, mode: u32) -> std::io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Nothing is to be freed, and nobody looks at the segment but to see whether it is good.
#[test]
fn a_damaged_segment() -> Result {
    let disk = disk()?;
    let machine = Machine::new(disk.path(), "a", 3);
    machine.run(&Asked::default())?;
    let path = machine.log().join("0000000001.zst");
    let mut bytes = fs::read(&path)?;
    bytes[1100] ^= 1;
    fs::write(&path, bytes)?;
    for asked in [Asked::default(), Asked::freeing()] {
        let run = machine.run(&asked)?;
        assert_eq!(run.code, Code::Tampered, "{run:?}");
        assert!(run.warnings[0].contains("segment 1 is kept"), "{run:?}");
    }
    assert_eq!(machine.kernel.first(), 1);
    Ok(())
}

/// Whoever can write there can let nothing go that the endorser did not name.
#[test]
fn receipts_are_endorsements() -> Result {
    let disk = disk()?;
    let machine = Machine::new(disk.path(), "a", 3);
    machine.run(&Asked::default())?;
    let receipts = machine.folder.join("receipts");
    fs::create_dir(&receipts)?;
    set(&receipts, 0o777)?;
    let private = PKey::generate_ed25519()?;
    let mut endorsers = Endorsers::new();
    endorsers.add(&private.public_key_to_pem()?)?;
    let signer = SigningKey::parse(&private.private_key_to_pem_pkcs8()?)?;
    let other = SigningKey::parse(&PKey::generate_ed25519()?.private_key_to_pem_pkcs8()?)?;
    let digest = |seq| Bank::Sha256.hash(&[&machine.kernel.bytes(seq)]);
    let receipt = |key: &SigningKey, seqs: &[u64]| -> Result<String> {
        let endorsement = Endorsement {
            host: None,
            log_id: Digest::new(&LOG_ID),
            checkpoint: 3,
            digest: Digest::new(&[0; 32]),
            records: 100,
            segments: seqs.iter().map(|seq| (*seq, digest(*seq))).collect(),
            values: BTreeMap::new(),
            quote: None,
            verifier: Verifier {
                id: "test:rules".to_owned(),
                version: String::new(),
            },
            time: UNIX_EPOCH,
            inputs: Vec::new(),
        };
        Ok(key.sign(&endorsement)?.0)
    };
    let asked = Asked {
        receipts: Some(ReceiptsFrom {
            folder: receipts.clone(),
            endorsers,
        }),
        ..Asked::freeing()
    };
    let path = receipts.join("of web1");
    fs::write(&path, receipt(&other, &[0, 1, 2])?)?;
    let run = machine.run(&asked)?;
    assert_eq!(run.code, Code::Policy, "{run:?}");
    assert!(run.warnings[0].contains("is not a receipt"), "{run:?}");
    assert_eq!(machine.kernel.first(), 0);
    // oldest first, and without a gap
    for (seqs, first) in [(&[1, 2][..], 0), (&[0], 1), (&[0, 1, 2], 3)] {
        fs::write(&path, receipt(&signer, seqs)?)?;
        assert_eq!(machine.run(&asked)?.code, Code::Verified);
        assert_eq!(machine.kernel.first(), first, "{seqs:?}");
    }
    Ok(())
}

#[test]
fn a_program_that_has_the_list_open() -> Result {
    let disk = disk()?;
    let machine = Machine::new(disk.path(), "a", 3);
    let agents = vec!["keylime_agent (812)".to_owned()];
    machine.kernel.readers.replace(agents);
    let run = machine.run(&Asked::freeing())?;
    assert_eq!(run.code, Code::Busy, "{run:?}");
    assert!(run.warnings[0].contains("keylime_agent (812)"), "{run:?}");
    assert_eq!((machine.kernel.first(), machine.names().len()), (0, 3));
    // nobody is waited for when nothing is to be freed
    assert_eq!(machine.run(&Asked::default())?.code, Code::Verified);
    let forced = Asked {
        readers: Readers::Ignore,
        ..Asked::freeing()
    };
    assert_eq!(machine.run(&forced)?.code, Code::Verified);
    assert_eq!(machine.kernel.first(), 3);
    Ok(())
}

#[test]
fn a_dry_run_changes_nothing() -> Result {
    let disk = disk()?;
    let machine = Machine::new(disk.path(), "a", 2);
    let (steps, codes) = machine.dry_run(&Asked::removing(0))?;
    let bytes: usize = [0, 1]
        .map(|seq| machine.kernel.bytes(seq).len())
        .iter()
        .sum();
    assert!(codes.is_empty());
    assert_eq!(steps.len(), 4, "{steps:?}");
    assert_eq!(steps[1], "archive segment 1, read it back and verify it");
    assert!(steps[2].starts_with("truncate the kernel's list to checkpoint 2: "));
    assert!(steps[3].starts_with("remove the segments before 2 of log "));
    assert!(bytes > 0 && !machine.archive().exists());
    assert_eq!(machine.kernel.first(), 0);

    machine.run(&Asked::default())?;
    let index = fs::read(machine.log().join("index"))?;
    let (steps, _) = machine.dry_run(&Asked::freeing())?;
    let check =
        |seq| format!("read segment {seq} back, which an earlier run archived, and verify it");
    assert_eq!(steps[..2], [check(0), check(1)]);
    assert_eq!(steps.len(), 3, "{steps:?}");
    assert_eq!(machine.kernel.first(), 0);
    assert_eq!(fs::read(machine.log().join("index"))?, index);
    // after all was done, nothing is left to do
    machine.run(&Asked::freeing())?;
    assert_eq!(machine.dry_run(&Asked::freeing())?.0, [""; 0]);
    Ok(())
}
