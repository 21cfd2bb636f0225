// SPDX-License-Identifier: GPL-2.0

//! A machine: a kernel, a disk with an archive, and what the archiver says.

#![allow(dead_code, reason = "each test uses a part of it")]

use crate::{
    common::LOG_ID,
    kernel::{host, Kernel},
};
use ima_checkpoint::{
    archive::{
        archiver::{dry_run, Archiver, Options},
        durable::Access,
        notice::{Notice, Warning},
        plan::Wait,
        receipts::ReceiptsFrom,
        rules::{Keep, Remove},
        Archive, LogName,
    },
    bank::Digest,
    commands::exit::{worst, Code},
    error::Result,
    open_files::Readers,
    remote::StoreUrl,
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

const HOST: &str = "web1";

/// What a run of the archiver ended with, and said.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Code,
    pub(crate) warnings: Vec<String>,
}

/// What the administrator asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) keep: Option<u64>,
    pub(crate) remove_age: Option<Duration>,
    pub(crate) receipts: Option<ReceiptsFrom>,
    /// Copy into a store, and require that.
    pub(crate) copies: bool,
    pub(crate) readers: Readers,
    pub(crate) keep_tail: bool,
}

impl Asked {
    /// Frees all that is sealed.
    pub(crate) fn freeing() -> Self {
        Self {
            keep: Some(0),
            ..Self::default()
        }
    }

    /// And removes what was archived longer ago than this.
    pub(crate) fn removing(seconds: u64) -> Self {
        Self {
            remove_age: Some(Duration::from_secs(seconds)),
            ..Self::freeing()
        }
    }
}

pub(crate) struct Machine {
    pub(crate) kernel: Kernel,
    pub(crate) folder: PathBuf,
}

impl Machine {
    /// With files in that directory, which is not in memory.
    pub(crate) fn new(folder: &Path, history: &str, sealed: u64) -> Self {
        Self {
            kernel: Kernel::new(host(history, sealed), &folder.join("first")),
            folder: folder.to_owned(),
        }
    }

    pub(crate) fn options(&self, asked: &Asked) -> Options {
        Options {
            dir: self.archive(),
            host: HOST.to_owned(),
            access: Access::default(),
            keep: Keep {
                segments: asked.keep,
                ..Keep::default()
            },
            remove: Remove {
                age: asked.remove_age,
                bytes: None,
            },
            receipts: asked.receipts.clone(),
            copy_to: asked.copies.then(|| self.store_url()),
            require_copy: asked.copies,
            readers: asked.readers,
        }
    }

    /// One run.
    pub(crate) fn run(&self, asked: &Asked) -> Result<Run> {
        let seen: Rc<RefCell<Vec<(Code, String)>>> = Rc::default();
        let said = Rc::clone(&seen);
        let say = move |notice: &Notice| {
            if let Notice::Warning(warning) = notice {
                said.borrow_mut()
                    .push((warning.into(), warning.to_string()));
            }
        };
        let options = self.options(asked);
        let mut archiver = Archiver::new(self.kernel.clone(), options, Box::new(say))?;
        let wait: Wait = archiver.pass()?;
        if asked.keep_tail {
            archiver.keep_tail()?;
        }
        drop(archiver);
        let seen = seen.take();
        let codes: Vec<Code> = seen.iter().map(|(code, _)| *code).collect();
        Ok(Run {
            code: worst(codes.into_iter().chain([wait.into()])),
            warnings: seen.into_iter().map(|(_, text)| text).collect(),
        })
    }

    /// What a run would do.
    pub(crate) fn dry_run(&self, asked: &Asked) -> Result<(Vec<String>, Vec<Code>)> {
        let mut codes = Vec::new();
        let fault = |warning: Warning| codes.push((&warning).into());
        let steps = dry_run(&self.kernel, &self.options(asked), fault)?;
        Ok((steps, codes))
    }

    pub(crate) fn archive(&self) -> PathBuf {
        self.folder.join("archive")
    }

    /// The directory that is the store.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    fn store_url(&self) -> StoreUrl {
        let url = format!("file://{}", self.store().display());
        StoreUrl::parse(&url).unwrap()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.log_in(&self.archive())
    }

    fn log_in(&self, archive: &Path) -> PathBuf {
        let log_id = Digest::new(&LOG_ID).to_string();
        archive.join(HOST).join(log_id)
    }

    pub(crate) fn log_name() -> LogName {
        LogName {
            host: HOST.to_owned(),
            log_id: Digest::new(&LOG_ID).to_string(),
        }
    }

    /// The names of the log's files, in order, and what each holds; nothing of one that is damaged.
    pub(crate) fn files(&self) -> BTreeMap<String, Option<Vec<u8>>> {
        self.files_in(&self.log())
    }

    /// The same of the store.
    pub(crate) fn copies(&self) -> BTreeMap<String, Option<Vec<u8>>> {
        self.files_in(&self.log_in(&self.store()))
    }

    fn files_in(&self, log: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
        let entries = fs::read_dir(log).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        let segments = names.filter(|name| name.ends_with(".zst"));
        segments
            .map(|name| {
                let body = body(&log.join(&name));
                (name, body)
            })
            .collect()
    }

    /// The names of the log's segments.
    pub(crate) fn names(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }

    pub(crate) fn open(&self) -> Result<Archive> {
        Archive::open(self.archive())
    }
}

/// What a file of an archive holds.
fn body(path: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(path).ok()?;
    // the metadata are a frame of 1024 bytes
    let mut decoder = zstd::Decoder::new(bytes.get(1024..)?).ok()?;
    let mut body = Vec::new();
    decoder.read_to_end(&mut body).ok()?;
    Some(body)
}
