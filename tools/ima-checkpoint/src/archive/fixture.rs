// SPDX-License-Identifier: GPL-2.0

//! For tests: a log of an archive on a disk, and a kernel that is none.

#[path = "../../tests/archiver/kernel.rs"]
mod kernel;

pub(super) use self::kernel::{host, Kernel};

use super::{
    durable::{Access, Folder},
    execute::{Executor, Place},
    index::Index,
    live::Claims,
    notice::{Notice, Notices},
    observe,
    plan::{
        facts::{Facts, Outcome},
        Step,
    },
    rules::Rules,
    Archive, LogName,
};
use crate::{bank::Digest, common::LOG_ID, error::Result, kernel::byte_order, open_files::Readers};
use std::{cell::RefCell, path::Path, rc::Rc};
use tempfile::TempDir;

/// A log that is worked on.
pub(super) struct Work {
    pub(super) kernel: Kernel,
    pub(super) place: Place,
    pub(super) readers: Readers,
    claims: Claims,
    notices: Notices,
    /// What was said.
    pub(super) said: Rc<RefCell<Vec<String>>>,
    host: Folder,
    disk: TempDir,
}

/// A directory that is not in memory, where no archive may be.
pub(super) fn disk() -> TempDir {
    // a unit test is not told where its crate puts such things
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tmp");
    std::fs::create_dir_all(&folder).unwrap();
    tempfile::tempdir_in(folder).unwrap()
}

impl Work {
    /// An empty log, and a kernel that has sealed so many segments.
    pub(super) fn new(sealed: u64) -> Self {
        let disk = disk();
        let archive = Folder::open(&disk.path().join("archive"), Access::default()).unwrap();
        let host_folder = archive.folder("web1").unwrap();
        let name = LogName {
            host: "web1".to_owned(),
            log_id: Digest::new(&LOG_ID).to_string(),
        };
        let folder = host_folder.folder(&name.log_id).unwrap();
        let said: Rc<RefCell<Vec<String>>> = Rc::default();
        let heard = Rc::clone(&said);
        let say = move |notice: &Notice| {
            let text = match notice {
                Notice::Event(text) => text.clone(),
                Notice::Failed(error) => error.to_string(),
                Notice::Warning(warning) => warning.to_string(),
            };
            heard.borrow_mut().push(text);
        };
        Self {
            kernel: Kernel::new(host("a", sealed), &disk.path().join("first")),
            place: Place {
                name,
                folder,
                index: Index::default(),
            },
            readers: Readers::Wait,
            claims: Claims::new(byte_order()),
            notices: Notices::new(Box::new(say)),
            said,
            host: host_folder,
            disk,
        }
    }

    pub(super) fn facts(&mut self) -> Facts {
        let index = Index::read(self.place.folder.directory()).unwrap();
        let holdings = observe::holdings(&self.place.log(), &index, |_| ()).unwrap();
        let name = self.place.name.clone();
        let rules = Rules::default();
        observe::facts(
            &self.kernel,
            &mut self.claims,
            &rules,
            None,
            &name,
            holdings,
        )
        .unwrap()
    }

    /// Does a step, as the facts are now.
    pub(super) fn execute(&mut self, step: &Step) -> Result<Outcome> {
        let facts = self.facts();
        self.execute_with(step, &facts)
    }

    /// Does a step, as these facts say.
    pub(super) fn execute_with(&mut self, step: &Step, facts: &Facts) -> Result<Outcome> {
        let mut executor = Executor {
            live: &self.kernel,
            order: byte_order(),
            host: &self.host,
            place: &mut self.place,
            claims: &mut self.claims,
            notices: &mut self.notices,
            copier: &mut None,
            readers: self.readers,
        };
        executor.execute(step, facts)
    }

    /// Archives segments as they are.
    pub(super) fn store(&mut self, seqs: std::ops::Range<u64>) {
        for seq in seqs {
            self.execute(&Step::Store { seq, fork: false }).unwrap();
        }
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.place.folder.path().join(name)
    }

    pub(super) fn archive(&self) -> Archive {
        Archive::open(self.disk.path().join("archive")).unwrap()
    }

    /// Names of files, but for the index.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = self.place.folder.directory().names().unwrap();
        names.retain(|name| name != "index");
        names.sort();
        names
    }

    /// Changes a byte of a segment in its file.
    pub(super) fn damage(&self, name: &str) {
        let mut bytes = std::fs::read(self.path(name)).unwrap();
        bytes[1100] ^= 1;
        std::fs::write(self.path(name), bytes).unwrap();
    }
}
