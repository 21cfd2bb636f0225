// SPDX-License-Identifier: GPL-2.0

//! An index that somebody edited: it can neither have anything removed, nor hide what is missing.

use crate::{
    disk,
    machine::{Asked, Machine},
    Result,
};
use ima_checkpoint::{
    archive::{
        check::Check,
        receipts::ReceiptsFrom,
        remark::{Finding, Remark},
    },
    commands::exit::Code,
};
use ima_log::endorsement::Endorsers;
use std::{
    fs::{self, OpenOptions},
    io::Write,
    time::Duration,
};

fn edit(machine: &Machine, line: &str) -> Result {
    let path = machine.log().join("index");
    let mut index = OpenOptions::new().append(true).open(path)?;
    Ok(writeln!(index, "{line}")?)
}

#[test]
fn what_it_says_was_removed_stays() -> Result {
    let disk = disk()?;
    let machine = Machine::new(disk.path(), "a", 3);
    assert_eq!(machine.run(&Asked::freeing())?.code, Code::Verified);
    let receipts = machine.folder.join("receipts");
    fs::create_dir(&receipts)?;
    let all = machine.names();
    assert_eq!(all.len(), 3);
    for before in [3, u64::MAX] {
        let line = format!("{{\"removed\":{{\"before\":{before},\"at_ns\":0}}}}");
        edit(&machine, &line)?;
        let from = ReceiptsFrom {
            folder: receipts.clone(),
            endorsers: Endorsers::new(),
        };
        for receipts in [None, Some(from)] {
            let asked = Asked {
                remove_age: Some(Duration::from_secs(1000 * 24 * 3600)),
                receipts,
                ..Asked::default()
            };
            machine.run(&asked)?;
            assert_eq!(machine.names(), all, "{before} {asked:?}");
        }
    }
    // what an interrupted removal left goes by its own age
    machine.run(&Asked::removing(0))?;
    assert_eq!(machine.names(), [""; 0]);
    Ok(())
}

/// `fsck` says that files are there which the index says were removed.
#[test]
fn what_it_says_was_removed_is_told() -> Result {
    let disk = disk()?;
    let machine = Machine::new(disk.path(), "a", 3);
    machine.run(&Asked::default())?;
    edit(&machine, "{\"removed\":{\"before\":2,\"at_ns\":0}}")?;
    let mut found = Vec::new();
    let mut say = |remark: Remark| found.push(remark);
    Check::new(&mut say).log(&machine.open()?, &Machine::log_name())?;
    let is_told = |remark: &Remark| {
        matches!(
            remark,
            Remark::Of {
                finding: Finding::NotRemoved { before: 2 },
                ..
            }
        )
    };
    assert!(found.iter().any(is_told), "{found:?}");
    Ok(())
}

#[test]
fn what_it_names_is_missed() -> Result {
    let disk = disk()?;
    let machine = Machine::new(disk.path(), "a", 3);
    machine.run(&Asked::freeing())?;
    fs::remove_file(machine.log().join("0000000001.zst"))?;
    for _ in 0..2 {
        let run = machine.run(&Asked::freeing())?;
        assert_eq!(run.code, Code::Missing, "{run:?}");
        assert!(
            run.warnings[0].contains("segments 1 to 1 were archived"),
            "{run:?}"
        );
    }
    Ok(())
}

/// As long as the kernel has it, it is archived again.
#[test]
fn what_the_kernel_has_is_archived_again() -> Result {
    let disk = disk()?;
    let machine = Machine::new(disk.path(), "a", 3);
    machine.run(&Asked::default())?;
    let all = machine.files();
    fs::remove_file(machine.log().join("0000000001.zst"))?;
    let run = machine.run(&Asked::default())?;
    assert_eq!((run.code, run.warnings.len()), (Code::Verified, 0));
    assert_eq!(machine.files(), all);
    Ok(())
}
