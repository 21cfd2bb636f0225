// SPDX-License-Identifier: GPL-2.0

//! Copies off the host: nothing is freed or removed without one, whatever becomes of the store.

use crate::{
    disk,
    machine::{Asked, Machine},
    Result,
};
use ima_checkpoint::commands::exit::Code;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

fn copying() -> Asked {
    Asked {
        copies: true,
        ..Asked::freeing()
    }
}

/// A machine with an empty store.
fn machine(disk: &tempfile::TempDir) -> Result<Machine> {
    let machine = Machine::new(disk.path(), "a", 3);
    fs::create_dir(machine.store())?;
    Ok(machine)
}

/// Each sealed segment of which the store has a copy.
fn copied(machine: &Machine) -> Vec<u64> {
    let copies = machine.copies();
    let is_copy = |seq: &u64| {
        let body = copies.get(&format!("{seq:010}.zst"));
        body == Some(&Some(machine.kernel.bytes(*seq)))
    };
    (0..machine.kernel.active()).filter(is_copy).collect()
}

#[test]
fn what_is_sealed_is_copied_and_then_freed() -> Result {
    let disk = disk()?;
    let machine = machine(&disk)?;
    let (steps, codes) = machine.dry_run(&copying())?;
    assert!(codes.is_empty(), "{codes:?}");
    assert_eq!(steps.len(), 3 + 3 + 1, "{steps:?}");
    assert!(
        steps[3].starts_with("copy 0000000000.zst of log "),
        "{steps:?}"
    );
    assert!(fs::read_dir(machine.store())?.next().is_none());
    let run = machine.run(&copying())?;
    assert_eq!(run.code, Code::Verified, "{run:?}");
    assert_eq!(copied(&machine), [0, 1, 2]);
    assert_eq!(machine.kernel.first(), 3);
    assert_eq!(machine.run(&copying())?.code, Code::Verified);
    Ok(())
}

/// The archive is older than the rule.
#[test]
fn what_was_archived_before_is_copied() -> Result {
    let disk = disk()?;
    let machine = machine(&disk)?;
    machine.run(&Asked::freeing())?;
    assert_eq!((machine.kernel.first(), copied(&machine)), (3, vec![]));
    let asked = Asked {
        copies: true,
        ..Asked::removing(0)
    };
    let run = machine.run(&asked)?;
    assert_eq!(run.code, Code::Verified, "{run:?}");
    assert_eq!(copied(&machine), [0, 1, 2]);
    assert!(machine.names().is_empty());
    Ok(())
}

#[test]
fn without_the_store_all_stays() -> Result {
    let disk = disk()?;
    let machine = machine(&disk)?;
    fs::remove_dir(machine.store())?;
    let asked = Asked {
        copies: true,
        ..Asked::removing(0)
    };
    for _ in 0..2 {
        let run = machine.run(&asked)?;
        assert_eq!(run.code, Code::Internal, "{run:?}");
        assert!(
            run.warnings[0].starts_with("nothing is copied for now: "),
            "{run:?}"
        );
        // it is archived all the same
        assert_eq!((machine.kernel.first(), machine.names().len()), (0, 3));
    }
    fs::create_dir(machine.store())?;
    assert_eq!(machine.run(&asked)?.code, Code::Verified);
    assert_eq!((machine.kernel.first(), machine.names().len()), (3, 0));
    assert_eq!(copied(&machine), [0, 1, 2]);
    Ok(())
}

#[test]
fn another_object_keeps_the_segment() -> Result {
    let disk = disk()?;
    let machine = machine(&disk)?;
    let copies = machine.run(&copying())?;
    assert_eq!(copies.code, Code::Verified);
    // as if nothing had been freed; segment 1 was exchanged in the store
    machine.kernel.set_first(0)?;
    fs::remove_dir_all(machine.archive())?;
    let names: Vec<String> = machine.copies().into_keys().collect();
    let log = machine.log();
    let log = log.strip_prefix(machine.archive())?;
    let [zero, one] = [0, 1].map(|at: usize| machine.store().join(log).join(&names[at]));
    let good = fs::read(&one)?;
    fs::copy(&zero, &one)?;
    let bad = fs::read(&one)?;
    let asked = Asked {
        copies: true,
        ..Asked::removing(0)
    };
    for _ in 0..2 {
        let run = machine.run(&asked)?;
        assert_eq!(run.code, Code::Tampered, "{run:?}");
        assert!(run.warnings[0].contains("holds something else"), "{run:?}");
        assert_eq!(machine.kernel.first(), 1);
        assert_eq!(fs::read(&one)?, bad);
        assert_eq!(machine.names(), ["0000000001.zst", "0000000002.zst"]);
    }
    fs::write(&one, good)?;
    assert_eq!(machine.run(&asked)?.code, Code::Verified);
    assert_eq!((machine.kernel.first(), machine.names().len()), (3, 0));
    Ok(())
}

/// What is damaged in the archive is not spread.
#[test]
fn a_damaged_file_is_not_copied() -> Result {
    let disk = disk()?;
    let machine = machine(&disk)?;
    machine.run(&Asked::freeing())?;
    let path = machine.log().join("0000000001.zst");
    let mut bytes = fs::read(&path)?;
    bytes[1100] ^= 1;
    fs::write(&path, bytes)?;
    let run = machine.run(&copying())?;
    assert_eq!(run.code, Code::Tampered, "{run:?}");
    assert_eq!(copied(&machine), [0, 2]);
    assert_eq!(machine.copies().len(), 2);
    Ok(())
}

#[test]
fn a_store_that_others_may_write_into() -> Result {
    let disk = disk()?;
    let machine = machine(&disk)?;
    fs::set_permissions(machine.store(), Permissions::from_mode(0o777))?;
    let run = machine.run(&copying())?;
    assert_eq!(run.code, Code::Usage, "{run:?}");
    assert_eq!((machine.kernel.first(), machine.copies().len()), (0, 0));
    Ok(())
}
