// SPDX-License-Identifier: GPL-2.0

//! A store, and waiting for its answers.

use super::{connect::connect, error::Error, folder::Folder, location::StoreUrl, meter::Meter};
use crate::error::{self as failure, Result};
use futures_util::FutureExt;
use object_store::{path::Path as Key, ObjectStore};
use std::{
    fmt,
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

/// The object that shows whether the store replaces what is there, and what it holds. No host can
/// have this name as a prefix of objects, for it is no prefix.
const MARKER: (&str, &[u8]) = ("ima-checkpoint", b"ima-checkpoint/archive/1\n");

/// How long an operation may take that moves hardly any bytes: it may be tried a few times.
const PATIENCE: Duration = Duration::from_secs(120);

/// Bytes a second at least that an operation must move: 32 KiB.
const PACE: u64 = 32 << 10;

/// Answers that an operation may take, credentials and further attempts included.
pub(super) const ANSWERS: u32 = 32;

/// What one operation may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) answers: u32,
    pub(super) patience: Duration,
}

impl Limits {
    /// For an operation that moves so many bytes.
    pub(super) fn of(bytes: u64) -> Self {
        Self {
            answers: ANSWERS,
            patience: PATIENCE + Duration::from_secs(bytes / PACE),
        }
    }
}

/// A store that can be used.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    /// For messages.
    path: PathBuf,
    prefix: Key,
    objects: Arc<dyn ObjectStore>,
    meter: Meter,
    /// Locked while it is waited: the meter is of one operation. A directory needs none, because
    /// `object_store` calls the system itself where there is no runtime.
    runtime: Option<Mutex<Runtime>>,
}

impl Store {
    /// The store that a URL names. Nothing is asked of it yet.
    ///
    /// # Errors
    ///
    /// The environment does not say how to reach it, or [`crate::archive::Error::Writable`] if it is
    /// a directory into which others may write.
    pub fn open(url: &StoreUrl) -> Result<Self> {
        let meter = Meter::default();
        let objects = connect(url, &meter)?;
        match url.is_directory() {
            true => Ok(Self::of(url.path(), Key::default(), objects, meter, None)),
            false => Self::behind_network(url.path(), url.prefix.clone(), objects, meter),
        }
    }

    /// A store that is asked over the network.
    pub(super) fn behind_network(
        path: PathBuf,
        prefix: Key,
        objects: Arc<dyn ObjectStore>,
        meter: Meter,
    ) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failure::Error::io("open", &path, error))?;
        Ok(Self::of(path, prefix, objects, meter, Some(runtime)))
    }

    fn of(
        path: PathBuf,
        prefix: Key,
        objects: Arc<dyn ObjectStore>,
        meter: Meter,
        runtime: Option<Runtime>,
    ) -> Self {
        Self(Arc::new(Inner {
            path,
            prefix,
            objects,
            meter,
            runtime: runtime.map(Mutex::new),
        }))
    }

    /// What messages call it.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// What is directly in it.
    pub fn root(&self) -> Folder {
        let Inner { path, prefix, .. } = &*self.0;
        Folder::new(self.clone(), path.clone(), prefix.clone())
    }

    /// Makes sure that it keeps what is there. A server that does not know conditional writes ignores
    /// the condition and replaces the object, without saying so. So an object is written until it
    /// is refused.
    ///
    /// # Errors
    ///
    /// [`Error::Overwrites`] if it does not, else it cannot be written.
    pub fn refuse_overwriting(&self) -> Result<()> {
        let (name, text) = MARKER;
        let root = self.root();
        // if it is not there yet, it is the second attempt that tells
        for _ in 0..2 {
            if !root.create(name, text.to_vec())? {
                return Ok(());
            }
        }
        let path = self.path().to_owned();
        Err(Error::Overwrites { path }.into())
    }

    /// How many answers the last operation may still get.
    pub(super) fn answers_left(&self) -> u32 {
        self.0.meter.left()
    }

    pub(super) fn objects(&self) -> &dyn ObjectStore {
        &*self.0.objects
    }

    /// Waits for what the store answers. `what` is done with an object: "read", "list".
    pub(super) fn wait<T>(
        &self,
        what: &'static str,
        path: &Path,
        limits: Limits,
        answer: impl Future<Output = object_store::Result<T>>,
    ) -> std::result::Result<T, Error> {
        let Inner { meter, runtime, .. } = &*self.0;
        let path = || path.to_owned();
        let answer = match runtime {
            // each operation is done when it is asked for
            None => answer.now_or_never(),
            Some(runtime) => {
                // what a panic interrupted was one operation
                let runtime = runtime.lock().unwrap_or_else(PoisonError::into_inner);
                meter.allow(limits.answers);
                let answer = async { timeout(limits.patience, answer).await };
                runtime.block_on(answer).ok()
            }
        };
        match answer {
            Some(answer) => answer.map_err(|error| match error {
                // of something that was listed: what we ask for has a valid name
                object_store::Error::InvalidPath { .. } => Error::Absurd {
                    path: path(),
                    why: "it names an object as no archiver would",
                },
                error => Error::Failed {
                    what,
                    path: path(),
                    error,
                },
            }),
            None => Err(Error::Slow { what, path: path() }),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the parts that are left out may hold secrets
        f.debug_tuple("Store").field(&self.0.path).finish()
    }
}
