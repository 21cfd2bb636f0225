// SPDX-License-Identifier: GPL-2.0

//! Logs whose history went back: a snapshot of a virtual machine was restored, or somebody pretends.

use crate::{
    disk,
    kernel::host,
    machine::{Asked, Machine},
    Result,
};
use ima_checkpoint::{archive::reindex::reindex, commands::exit::Code};
use std::fs;

/// Everything that the kernel has is in the archive, whatever it is called, and the kernel has it still.
fn nothing_is_lost(machine: &Machine, first: u64) {
    assert_eq!(machine.kernel.first(), first, "nothing was freed");
    let files = machine.files();
    for seq in first..machine.kernel.active() {
        let bytes = machine.kernel.bytes(seq);
        let number = format!("{seq:010}");
        let mut of = files.iter().filter(|(name, _)| name.starts_with(&number));
        let has = of.any(|(_, body)| body.as_ref() == Some(&bytes));
        assert!(has, "{seq}: {:?}", files.keys());
    }
}

/// All was archived, freed and removed; then the machine is what it was before, and goes on otherwise.
#[test]
fn below_what_was_removed() -> Result {
    for age in [0, 30 * 24 * 3600] {
        let disk = disk()?;
        let machine = Machine::new(disk.path(), "before", 3);
        assert_eq!(machine.run(&Asked::removing(0))?.code, Code::Verified);
        assert_eq!(machine.names(), [""; 0]);

        machine.kernel.set_first(0)?;
        machine.kernel.host.replace(host("after", 2));
        for _ in 0..2 {
            let run = machine.run(&Asked::removing(age))?;
            assert_eq!(run.code, Code::Tampered, "{run:?}");
            assert!(run.warnings[0].contains("the log went back"), "{run:?}");
            nothing_is_lost(&machine, 0);
            assert_eq!(machine.files().len(), 2, "{:?}", machine.names());
        }
    }
    Ok(())
}

/// The same, and the kernel has exactly what it had: nobody can tell any more.
#[test]
fn the_same_history_again() -> Result {
    let disk = disk()?;
    let machine = Machine::new(disk.path(), "once", 3);
    machine.run(&Asked::removing(0))?;
    machine.kernel.set_first(0)?;
    let run = machine.run(&Asked::default())?;
    assert_eq!(run.code, Code::Tampered, "{run:?}");
    let run = machine.run(&Asked::removing(0))?;
    assert_eq!(run.code, Code::Tampered, "{run:?}");
    nothing_is_lost(&machine, 0);
    Ok(())
}

/// The archive has what the kernel did not seal yet.
#[test]
fn the_archive_is_ahead() -> Result {
    let disk = disk()?;
    let machine = Machine::new(disk.path(), "one", 4);
    assert_eq!(machine.run(&Asked::default())?.code, Code::Verified);
    machine.kernel.host.replace(host("one", 2));
    let run = machine.run(&Asked::removing(0))?;
    assert_eq!(run.code, Code::Tampered, "{run:?}");
    assert!(
        run.warnings[0]
            .contains("segments 0 to 2, but the archive already had all segments before 4"),
        "{run:?}"
    );
    assert_eq!(machine.kernel.first(), 0);
    assert_eq!(machine.names().len(), 4);
    // it goes on otherwise
    let mut other = host("one", 2);
    other.file(b"/other", b"other");
    for _ in 0..3 {
        other.checkpoint("")?;
    }
    machine.kernel.host.replace(other);
    let run = machine.run(&Asked::removing(0))?;
    assert_eq!(run.code, Code::Tampered, "{run:?}");
    assert!(
        run.warnings
            .iter()
            .any(|said| said.contains("a different segment 2")),
        "{run:?}"
    );
    // what precedes the fork is the same in both, and is freed
    assert_eq!(machine.kernel.first(), 2);
    nothing_is_lost(&machine, 2);
    Ok(())
}

/// Somebody found out that the new history is the true one.
#[test]
fn the_way_out() -> Result {
    let disk = disk()?;
    let machine = Machine::new(disk.path(), "before", 3);
    machine.run(&Asked::removing(0))?;
    machine.kernel.set_first(0)?;
    machine.kernel.host.replace(host("after", 2));
    assert_eq!(machine.run(&Asked::freeing())?.code, Code::Tampered);
    for name in machine.names() {
        let (number, _) = name.split_once('.').ok_or("no number")?;
        let plain = machine.log().join(format!("{number}.zst"));
        fs::rename(machine.log().join(name), plain)?;
    }
    let files = reindex(&machine.open()?, &Machine::log_name(), |fault| {
        panic!("{fault}")
    })?;
    assert_eq!(files, 2);
    let run = machine.run(&Asked::freeing())?;
    assert_eq!((run.code, run.warnings.len()), (Code::Verified, 0));
    assert_eq!(machine.kernel.first(), 2);
    assert_eq!(machine.names(), ["0000000000.zst", "0000000001.zst"]);
    Ok(())
}
