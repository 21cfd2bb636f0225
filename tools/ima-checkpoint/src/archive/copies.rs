// SPDX-License-Identifier: GPL-2.0

//! Copies of segments in a store. One that was read back vouches for a segment as a receipt does.
//!
//! Nothing is written down about what was copied: the store is asked. So there is no state that a
//! crash could leave behind or that somebody could edit. A file is put under its own name unless
//! there is an object of that name, in one request, so that it is there whole or not at all; then
//! the object is read and compared with the file, whoever put it there. What an earlier run copied
//! is found by listing, and read again before it counts.

use super::{
    contents::{self, Contents},
    meta::{Meta, Name},
    plan::facts::{self, Sha256},
    LogName,
};
use crate::{
    error::{Error, Result},
    remote::{self, Folder, Object, Store, StoreUrl},
};
use sha2::Digest as _;
use std::{
    collections::{btree_map::Entry, BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Bytes of a file that can be copied: they are in memory while they are written, for only an object
/// that is written at once can be refused if there is one already.
const MAX_FILE: u64 = 1 << 30;

/// Bytes that are read or compared at once.
const PIECE: usize = 1 << 20;

/// How long it is believed that an object holds what was read. A service waits for others to let a
/// segment go, and looks every few seconds.
const BELIEVED: Duration = Duration::from_secs(3600);

/// The copies of a host's logs in a store, which is asked as late as possible: that it cannot be
/// reached keeps nothing from being archived.
#[derive(Debug)]
pub(super) struct Copier {
    url: StoreUrl,
    host: String,
    store: Option<Store>,
    /// Did it show that it replaces nothing?
    trusted: bool,
    logs: BTreeMap<String, Copies>,
    /// What was read back, and when.
    kept: BTreeMap<Sha256, Instant>,
}

impl Copier {
    /// For a host, in the store that a URL names. Nothing is asked of it yet.
    pub(super) fn new(url: StoreUrl, host: &str) -> Self {
        Self {
            url,
            host: host.to_owned(),
            store: None,
            trusted: false,
            logs: BTreeMap::new(),
            kept: BTreeMap::new(),
        }
    }

    /// What is known of the store. `logs` are those of the host.
    ///
    /// # Errors
    ///
    /// The store cannot be used, or not be listed.
    pub(super) fn look<'a>(
        &mut self,
        logs: impl IntoIterator<Item = &'a str>,
    ) -> Result<facts::Copies> {
        let mut there = BTreeSet::new();
        for log_id in logs {
            let names = self.log(log_id)?.there.iter();
            there.extend(names.map(|name| (log_id.to_owned(), *name)));
        }
        self.kept.retain(|_, when| when.elapsed() < BELIEVED);
        Ok(facts::Copies {
            there,
            kept: self.kept.keys().copied().collect(),
            ..facts::Copies::default()
        })
    }

    /// As [`Copies::keep`], for a file that holds this. Before the first one, the store has to show
    /// that it does not replace what it has.
    ///
    /// # Errors
    ///
    /// As [`Copies::keep`], or [`remote::Error::Overwrites`].
    pub(super) fn keep(
        &mut self,
        log_id: &str,
        name: Name,
        file: &File,
        holds: Sha256,
    ) -> Result<Kept> {
        self.log(log_id)?;
        if let Some(store) = self.store.as_ref().filter(|_| !self.trusted) {
            store.refuse_overwriting()?;
            self.trusted = true;
        }
        let kept = self.log(log_id)?.keep(name, file)?;
        self.kept.insert(holds, Instant::now());
        Ok(kept)
    }

    /// What messages call an object.
    pub(super) fn path(&self, log_id: &str, name: Name) -> PathBuf {
        let log = self.url.path().join(&self.host).join(log_id);
        log.join(name.to_string())
    }

    /// Lists what there is of a log, the first time.
    fn log(&mut self, log_id: &str) -> Result<&mut Copies> {
        let store = match &mut self.store {
            Some(store) => store,
            none => none.insert(Store::open(&self.url)?),
        };
        Ok(match self.logs.entry(log_id.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let (host, log_id) = (self.host.clone(), log_id.to_owned());
                new.insert(Copies::of(store, &LogName { host, log_id })?)
            }
        })
    }
}

/// How a file came to have a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It was written.
    Written,
    /// It was there.
    There,
}

/// The copies of one log.
#[derive(Debug)]
pub struct Copies {
    folder: Folder,
    /// The files of which there is an object, as far as is known. What it holds is not.
    there: BTreeSet<Name>,
}

impl Copies {
    /// Looks what the store has of a log.
    ///
    /// # Errors
    ///
    /// It cannot be listed.
    pub fn of(store: &Store, log: &LogName) -> Result<Self> {
        let folder = store.root().below(&log.host).below(&log.log_id);
        let mut there = BTreeSet::new();
        folder.each_name(|name| {
            there.extend(Name::parse(&name));
            Ok(())
        })?;
        Ok(Self { folder, there })
    }

    /// Is there an object for this file? Whether it is a copy, only [`Copies::keep`] tells.
    pub fn has(&self, name: Name) -> bool {
        self.there.contains(&name)
    }

    /// Makes sure that the store has what this file holds: puts it there if nothing is, and reads it
    /// back. The file must have been verified, and hold what its name says.
    ///
    /// # Errors
    ///
    /// [`remote::Error::Differs`] if there is something else of that name,
    /// [`remote::Error::NotKept`] if what was written cannot be read back, or the store or the file
    /// cannot be read or written. In each case the file has no copy that counts.
    pub fn keep(&mut self, name: Name, file: &File) -> Result<Kept> {
        let file_name = name.to_string();
        let path = self.folder.path_of(&file_name);
        let created = !self.has(name) && self.put(&file_name, file)?;
        self.there.insert(name);
        let object = self.folder.open(&file_name).inspect_err(|error| {
            // removed since it was listed: the next attempt puts it there again
            if error.is_absent() {
                self.there.remove(&name);
            }
        });
        match (equal(object?, file, &file_name)?, created) {
            (true, true) => return Ok(Kept::Written),
            (true, false) => return Ok(Kept::There),
            (false, true) => return Err(remote::Error::NotKept { path }.into()),
            (false, false) => (),
        }
        match same_segment(self.folder.open(&file_name)?, file, &file_name)? {
            true => Ok(Kept::There),
            false => Err(remote::Error::Differs { path }.into()),
        }
    }

    /// Writes a file, unless there is an object of that name. Was it written?
    fn put(&self, name: &str, file: &File) -> Result<bool> {
        let failed = |error| Error::io("read", name, error);
        let size = file.metadata().map_err(failed)?.len();
        if size > MAX_FILE {
            return Err(remote::Error::TooLarge {
                path: self.folder.path_of(name),
                bytes: size,
                limit: MAX_FILE,
            }
            .into());
        }
        let mut bytes = vec![0; size as usize];
        file.read_exact_at(&mut bytes, 0).map_err(failed)?;
        self.folder.create(name, bytes)
    }
}

/// Does an object have the bytes of a file?
fn equal(mut object: Object, file: &File, name: &str) -> Result<bool> {
    let failed = |error| Error::io("read", name, error);
    if object.size() != file.metadata().map_err(failed)?.len() {
        return Ok(false);
    }
    let [mut ours, mut theirs] = [vec![0; PIECE], vec![0; PIECE]];
    let mut at = 0;
    loop {
        let read = object.read(&mut theirs).map_err(failed)?;
        if read == 0 {
            return Ok(true);
        }
        let ours = ours.get_mut(..read).unwrap_or_default();
        file.read_exact_at(ours, at).map_err(failed)?;
        if Some(&*ours) != theirs.get(..read) {
            return Ok(false);
        }
        at += read as u64;
    }
}

/// Is an object another file of the same segment? An archive that was lost is written anew from the
/// kernel, at another time, perhaps by another version of the compressor.
fn same_segment(object: Object, file: &File, name: &str) -> Result<bool> {
    let failed = |error| Error::io("read", name, error);
    let mut file = BufReader::new(file);
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let ours = contents::read_meta(&mut file, name).map_err(failed)?;
    match segment(object, name) {
        Ok((mut theirs, sha256)) => {
            theirs.archived_ns = ours.archived_ns;
            Ok(theirs == ours && sha256 == ours.sha256.as_bytes())
        }
        // it is no file of a segment, or a damaged one
        Err(error) if super::is_damage(&error) => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// The metadata of an object, and the SHA-256 of the bytes of the segment in it.
fn segment(mut object: Object, name: &str) -> io::Result<(Meta, Vec<u8>)> {
    let meta = contents::read_meta(&mut object, name)?;
    let mut contents = Contents::new(object, meta.bytes)?;
    let mut hash = sha2::Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        match contents.read(&mut piece)? {
            0 => return Ok((meta, hash.finalize().to_vec())),
            read => hash.update(piece.get(..read).unwrap_or_default()),
        }
    }
}
