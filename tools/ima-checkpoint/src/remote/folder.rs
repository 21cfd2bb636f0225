// SPDX-License-Identifier: GPL-2.0

//! What a store holds under one prefix, as a directory holds files.

use super::{
    error::Error,
    object::Object,
    store::{Limits, Store, ANSWERS},
};
use crate::{archive, error::Result};
use futures_util::StreamExt;
use object_store::{path::Path as Key, PutMode};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Names that are taken from one folder. An archive makes 8760 a year if it seals every hour.
const MAX_NAMES: u64 = 10_000_000;

/// Answers that a list of so many names takes at most.
const LIST_ANSWERS: u32 = 20_000;

/// How long a list may take.
const LIST_PATIENCE: Duration = Duration::from_secs(3600);

/// What a store holds under one prefix.
#[derive(Clone, Debug)]
pub struct Folder {
    store: Store,
    /// For messages.
    path: PathBuf,
    key: Key,
}

impl Folder {
    pub(super) fn new(store: Store, path: PathBuf, key: Key) -> Self {
        Self { store, path, key }
    }

    /// The store that it is in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What messages call it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What messages call the object of that name.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder of that name in it. It is there if it holds anything.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        Self::new(
            self.store.clone(),
            self.path_of(name),
            self.key.clone().join(name),
        )
    }

    /// The names of folders in it, in any order.
    ///
    /// # Errors
    ///
    /// They cannot be listed.
    pub fn folders(&self) -> Result<Vec<String>> {
        let list = self.store.objects().list_with_delimiter(Some(&self.key));
        let limits = Limits {
            answers: ANSWERS,
            patience: LIST_PATIENCE,
        };
        let list = self.store.wait("list", &self.path, limits, list)?;
        let names = list.common_prefixes.iter();
        Ok(names.filter_map(|key| self.name(key)).collect())
    }

    /// Calls `each` with the name of each object in it, in any order.
    ///
    /// # Errors
    ///
    /// They cannot be listed, there are too many, or `each` fails.
    pub fn each_name(&self, mut each: impl FnMut(String) -> Result<()>) -> Result<()> {
        let mut list = self.store.objects().list(Some(&self.key));
        let mut answers = LIST_ANSWERS;
        let start = Instant::now();
        for _ in 0..MAX_NAMES {
            let limits = Limits {
                answers,
                patience: LIST_PATIENCE.saturating_sub(start.elapsed()),
            };
            let next = async { list.next().await.transpose() };
            let Some(next) = self.store.wait("list", &self.path, limits, next)? else {
                return Ok(());
            };
            answers = self.store.answers_left();
            if let Some(name) = self.name(&next.location) {
                each(name)?;
            }
        }
        let path = self.path.clone();
        let why = "it has more names than any archive";
        Err(Error::Absurd { path, why }.into())
    }

    /// The name of something that is directly in it.
    fn name(&self, key: &Key) -> Option<String> {
        let mut parts = key.prefix_match(&self.key)?;
        let name = parts.next()?;
        parts.next().is_none().then(|| name.as_ref().to_owned())
    }

    /// Opens the object of that name for reading.
    ///
    /// # Errors
    ///
    /// [`archive::Error::Absent`] if there is none, else it cannot be read.
    pub fn open(&self, name: &str) -> Result<Object> {
        let key = self.key.clone().join(name);
        let path = self.path_of(name);
        match Object::open(self.store.clone(), key, path.clone()) {
            Err(Error::Failed {
                error: object_store::Error::NotFound { .. },
                ..
            }) => Err(archive::Error::Absent { path }.into()),
            object => Ok(object?),
        }
    }

    /// Writes an object, if there is none of that name. Was it written? It is whole, or not there.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn create(&self, name: &str, bytes: Vec<u8>) -> Result<bool> {
        let key = self.key.clone().join(name);
        let limits = Limits::of(bytes.len() as u64);
        let put = self
            .store
            .objects()
            .put_opts(&key, bytes.into(), PutMode::Create.into());
        let path = self.path_of(name);
        match self.store.wait("write", &path, limits, put) {
            Ok(_) => Ok(true),
            Err(Error::Failed {
                error:
                    object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. },
                ..
            }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
