// SPDX-License-Identifier: GPL-2.0

//! Reading an object from its start.
//!
//! It is read in stretches, each by a request of its own: a reader may stop for as long as it likes,
//! a connection that breaks costs one stretch, and memory is bounded by what was asked for. That
//! they are of the same object, its tag tells.

use super::{
    error::Error,
    store::{Limits, Store},
};
use futures_util::StreamExt;
use object_store::{path::Path as Key, GetOptions, GetRange};
use std::{
    fmt,
    io::{self, Read},
    ops::Range,
    path::PathBuf,
    result,
};

/// Bytes that are asked for first: the metadata of a segment, or all of a small one.
const FIRST: u64 = 64 << 10;

/// Bytes that are asked for at most.
const LAST: u64 = 4 << 20;

type Result<T> = result::Result<T, Error>;

/// An object that is read.
pub struct Object {
    store: Store,
    key: Key,
    path: PathBuf,
    /// Its bytes, as the store says.
    size: u64,
    /// What the store calls this version of it.
    tag: Option<String>,
    /// The bytes up to here were asked for.
    at: u64,
    /// Those of them that were not read yet, from `next` on.
    stretch: Vec<u8>,
    next: usize,
    /// Bytes to ask for the next time.
    room: u64,
}

/// What a store says and gives of an object.
struct Answer {
    size: u64,
    tag: Option<String>,
    range: Range<u64>,
    bytes: Vec<u8>,
}

impl Object {
    /// Reads its first bytes.
    pub(super) fn open(store: Store, key: Key, path: PathBuf) -> Result<Self> {
        let mut object = Self {
            store,
            key,
            path,
            size: u64::MAX,
            tag: None,
            at: 0,
            stretch: Vec::new(),
            next: 0,
            room: FIRST,
        };
        match object.get() {
            Ok(answer) => {
                object.size = answer.size;
                object.tag.clone_from(&answer.tag);
                object.accept(answer)?;
            }
            // of an empty object no range can be asked for
            Err(error) => match object.is_empty() {
                true => object.size = 0,
                false => return Err(error),
            },
        }
        Ok(object)
    }

    /// Its bytes, as the store says.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Asks for the next stretch.
    fn get(&self) -> Result<Answer> {
        let end = self.size.min(self.at.saturating_add(self.room));
        let wanted = end - self.at;
        let options = GetOptions {
            range: Some(GetRange::Bounded(self.at..end)),
            if_match: self.tag.clone(),
            ..GetOptions::default()
        };
        let answer = async {
            let got = self.store.objects().get_opts(&self.key, options).await?;
            let (size, tag, range) = (got.meta.size, got.meta.e_tag.clone(), got.range.clone());
            let mut bytes = Vec::new();
            let mut stream = got.into_stream();
            // one more than was asked for is enough to tell
            while bytes.len() as u64 <= wanted {
                let Some(part) = stream.next().await else {
                    break;
                };
                bytes.extend_from_slice(&part?);
            }
            Ok(Answer {
                size,
                tag,
                range,
                bytes,
            })
        };
        self.store
            .wait("read", &self.path, Limits::of(wanted), answer)
            .map_err(|error| match error {
                Error::Failed {
                    error: object_store::Error::Precondition { .. },
                    path,
                    ..
                } => Error::Changed { path },
                error => error,
            })
    }

    /// Keeps what was got, if it is what was asked for.
    fn accept(&mut self, answer: Answer) -> Result<()> {
        let Answer {
            size,
            tag,
            range,
            bytes,
        } = answer;
        if (size, tag.as_ref()) != (self.size, self.tag.as_ref()) {
            let path = self.path.clone();
            return Err(Error::Changed { path });
        }
        let end = size.min(self.at.saturating_add(self.room));
        if range != (self.at..end) || bytes.len() as u64 != end - self.at {
            let path = self.path.clone();
            let why = "it gave other bytes than were asked for";
            return Err(Error::Absurd { path, why });
        }
        self.at = end;
        self.stretch = bytes;
        self.next = 0;
        self.room = LAST.min(self.room.saturating_mul(2));
        Ok(())
    }

    /// Does the store say that it is there, and empty?
    fn is_empty(&self) -> bool {
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let head = async {
            let head = self.store.objects().get_opts(&self.key, options).await?;
            Ok(head.meta.size)
        };
        let size = self.store.wait("read", &self.path, Limits::of(0), head);
        size.is_ok_and(|size| size == 0)
    }
}

impl Read for Object {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.next == self.stretch.len() && self.at < self.size && !out.is_empty() {
            let taken = self.get().and_then(|answer| self.accept(answer));
            taken.map_err(Error::into_io)?;
        }
        let left = self.stretch.get(self.next..).unwrap_or_default();
        let read = { left }.read(out)?;
        self.next += read;
        Ok(read)
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("path", &self.path)
            .field("size", &self.size)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
