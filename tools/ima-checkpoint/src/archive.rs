// SPDX-License-Identifier: GPL-2.0

//! The archive: what was exported from kernels, segment by segment.
//!
//! `DIR/HOST/LOGID/SEQ.zst` is a segment, `SEQ.tail.zst` the unsealed rest of a log, and
//! `SEQ.fork-DIGEST.zst` a segment with other bytes than the one archived before. The
//! files describe themselves; `Documentation/archive.rst` specifies them.

pub mod archiver;
pub mod check;
pub mod contents;
pub mod copies;
pub mod durable;
pub mod error;
mod execute;
#[cfg(test)]
mod fixture;
pub mod follow;
pub mod history;
mod index;
mod listing;
pub mod live;
mod lock;
pub mod meta;
pub mod notice;
mod observe;
mod open;
mod place;
pub mod plan;
mod ranges;
pub mod receipts;
pub mod reindex;
pub mod remark;
pub mod rules;
mod store;
pub mod summary;
mod survey;

pub use self::{
    contents::Contents,
    error::Error,
    listing::Names,
    meta::{Meta, Name, State},
};

use self::{
    listing::Listing,
    open::Directory,
    place::{Place, Source},
};
use crate::{
    error::{self as failure, Result},
    kernel::{Kernel, IMA},
    remote::{Location, Store},
};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// An archive, of which there may be one for many hosts.
#[derive(Clone, Debug)]
pub struct Archive {
    place: Place,
}

/// The name of a host whose place in the archive is no directory, and what it is.
type BadHost = (String, failure::Error);

/// The name of a log in an archive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct LogName {
    /// The host that it was exported from.
    pub host: String,
    /// Its identifier: 32 hexadecimal digits.
    pub log_id: String,
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.log_id)
    }
}

impl Archive {
    /// Opens an archive for reading: the directory of that path, or the store of that URL.
    ///
    /// # Errors
    ///
    /// [`Error::NoArchive`] if there is no such directory, the URL or the environment does not say
    /// how to reach a store, else it cannot be read.
    pub fn open(place: impl AsRef<Path>) -> Result<Self> {
        let dir = match Location::parse(place.as_ref())? {
            Location::Directory(dir) => dir,
            Location::Store(url) => {
                let place = Store::open(&url)?.root().into();
                return Ok(Self { place });
            }
        };
        match Directory::named(&dir) {
            Ok(directory) => Ok(Self {
                place: directory.into(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::NoArchive { dir }.into())
            }
            Err(error) => Err(failure::Error::io("read", &dir, error)),
        }
    }

    /// Its directory, or the URL of the store, for messages.
    pub fn dir(&self) -> &Path {
        self.place.path()
    }

    /// Its directory, unless it is in a store.
    pub(crate) fn directory(&self) -> Option<&Directory> {
        self.place.directory()
    }

    /// All logs, by host and log id.
    ///
    /// # Errors
    ///
    /// A directory cannot be read.
    pub fn logs(&self) -> Result<Vec<LogName>> {
        Ok(self.list()?.0)
    }

    /// All logs, and what is wrong with hosts that can have none: a link, say.
    fn list(&self) -> Result<(Vec<LogName>, Vec<BadHost>)> {
        let (mut logs, mut faults) = (Vec::new(), Vec::new());
        let names = self.place.folders()?;
        for host in names.into_iter().filter(|name| is_host(name)) {
            match self.place.below(&host) {
                Ok(place) => {
                    let names = place.folders()?.into_iter();
                    logs.extend(names.filter(|name| is_log_id(name)).map(|log_id| LogName {
                        host: host.clone(),
                        log_id,
                    }));
                }
                Err(error) if error.is_of_contents() => faults.push((host, error)),
                Err(error) => return Err(error),
            }
        }
        logs.sort();
        Ok((logs, faults))
    }

    /// The log of that name.
    ///
    /// # Errors
    ///
    /// It is not there, or something in its place is no directory.
    pub fn open_log(&self, name: &LogName) -> Result<Log> {
        let host = self.place.below(&name.host)?;
        Ok(Log::new(host.below(&name.log_id)?, name.clone()))
    }

    /// One log. The host is by default this host, or the only one; the log that which the
    /// running kernel has, or the only one.
    ///
    /// # Errors
    ///
    /// [`Error::NoLog`] if there is no such log, [`Error::SeveralLogs`] if there are several to
    /// choose from.
    pub fn log(&self, host: Option<&str>, log_id: Option<&str>) -> Result<Log> {
        let mut logs = self.logs_of(host, log_id)?;
        if log_id.is_none() && logs.len() > 1 {
            let live = live_log_id().unwrap_or_default();
            if logs.iter().any(|log| log.log_id == live) {
                logs.retain(|log| log.log_id == live);
            }
        }
        match logs.as_slice() {
            [name] => self.open_log(name),
            _ => {
                let dir = self.dir().to_owned();
                Err(Error::SeveralLogs { dir, logs }.into())
            }
        }
    }

    /// All logs of one host, at least one: by default of this host, or of the only one.
    ///
    /// # Errors
    ///
    /// [`Error::NoLog`] if there is none, [`Error::SeveralLogs`] if there are several hosts to
    /// choose from.
    pub fn logs_of_host(&self, host: Option<&str>, log_id: Option<&str>) -> Result<Vec<LogName>> {
        let logs = self.logs_of(host, log_id)?;
        if logs
            .iter()
            .any(|log| Some(&log.host) != logs.first().map(|first| &first.host))
        {
            let dir = self.dir().to_owned();
            return Err(Error::SeveralLogs { dir, logs }.into());
        }
        Ok(logs)
    }

    /// The logs that are meant, at least one: of the host that is named, else of this host if it
    /// has any, else of all hosts.
    fn logs_of(&self, host: Option<&str>, log_id: Option<&str>) -> Result<Vec<LogName>> {
        let (mut logs, mut faults) = self.list()?;
        let here = here().filter(|here| {
            let mut hosts = logs.iter().map(|log| &log.host);
            hosts.any(|host| host == here) || faults.iter().any(|(host, _)| host == here)
        });
        if let Some(host) = host.or(here.as_deref()) {
            logs.retain(|log| log.host == host);
            faults.retain(|(name, _)| name == host);
        }
        if let Some((_, fault)) = faults.pop() {
            return Err(fault);
        }
        if let Some(log_id) = log_id {
            logs.retain(|log| log.log_id == log_id);
        }
        match logs.is_empty() {
            true => Err(self.no_log(host, log_id)),
            false => Ok(logs),
        }
    }

    /// The error that there is no such log.
    pub(crate) fn no_log(&self, host: Option<&str>, log_id: Option<&str>) -> failure::Error {
        let [host, log_id] = [host, log_id].map(|name| name.map(str::to_owned));
        let dir = self.dir().to_owned();
        Error::NoLog { dir, host, log_id }.into()
    }
}

/// One log of an archive, for reading.
#[derive(Clone, Debug)]
pub struct Log {
    place: Place,
    name: LogName,
}

impl Log {
    fn new(place: impl Into<Place>, name: LogName) -> Self {
        let place = place.into();
        Self { place, name }
    }

    /// Host and log id.
    pub fn name(&self) -> &LogName {
        &self.name
    }

    /// Its directory, or the URL of the store with its name, for messages.
    pub fn dir(&self) -> &Path {
        self.place.path()
    }

    fn directory(&self) -> Option<&Directory> {
        self.place.directory()
    }

    /// The file of a segment, for messages: [`Log::read`] opens it.
    pub fn path(&self, name: Name) -> PathBuf {
        self.place.path_of(&name.to_string())
    }

    /// The segments without forks in ascending order, a tail last. A tail whose segment is there
    /// sealed is left out.
    ///
    /// # Errors
    ///
    /// The directory cannot be read, or a file looks like a segment and no archiver would name one
    /// so.
    pub fn segments(&self) -> Result<Names> {
        Ok(self.list()?.into_segments())
    }

    /// The metadata of the forks, in ascending order.
    ///
    /// # Errors
    ///
    /// As for [`Log::segments`], or a file is not what its name says.
    pub fn forks(&self) -> Result<impl Iterator<Item = Result<Meta>> + '_> {
        let forks = self.list()?.into_forks().into_iter();
        Ok(forks.map(|name| self.meta(name)))
    }

    fn list(&self) -> Result<Listing> {
        self.list_with(|odd| self.open(odd).map(drop))
    }

    /// The files. `odd` gets names that look like one of a segment, but that no archiver makes.
    fn list_with(&self, mut odd: impl FnMut(&str) -> Result<()>) -> Result<Listing> {
        let mut listing = Listing::default();
        self.place.each_name(|name| {
            match Name::parse(&name) {
                Some(name) => listing.push(name),
                None if meta::looks_like_segment(&name) => odd(&name)?,
                None => (),
            }
            Ok(())
        })?;
        listing.sort();
        Ok(listing)
    }

    /// The metadata of a file.
    ///
    /// # Errors
    ///
    /// It is not what its name says, or cannot be read.
    pub fn meta(&self, name: Name) -> Result<Meta> {
        Ok(self.open(&name.to_string())?.1)
    }

    /// The metadata of the file of that name, which stands after them.
    fn open(&self, file_name: &str) -> Result<(Source, Meta)> {
        let path = self.place.path_of(file_name);
        let mut file = self.place.open(file_name)?;
        let meta = contents::read_meta(&mut file, file_name)
            .map_err(|error| damaged(&path, "read", error))?;
        let named = LogName {
            host: meta.host.clone(),
            log_id: meta.log_id.clone(),
        };
        if named == self.name {
            Ok((file, meta))
        } else {
            Err(Error::Misplaced { path, log: named }.into())
        }
    }

    /// The metadata of a file, and the bytes of the segment in the sha1 view: exactly as many as
    /// the metadata say, else reading them ends with an error.
    ///
    /// # Errors
    ///
    /// It is not what its name says, or cannot be read.
    pub fn read(&self, name: Name) -> Result<(Meta, Contents)> {
        let (file, meta) = self.open(&name.to_string())?;
        let contents = Contents::new(file, meta.bytes);
        let contents = contents.map_err(|error| damaged(&self.path(name), "read", error))?;
        Ok((meta, contents))
    }
}

/// A file that does not follow the format was tampered with; others cannot be read.
fn damaged(path: &Path, what: &'static str, error: io::Error) -> failure::Error {
    if !is_damage(&error) {
        return failure::Error::io(what, path, error);
    }
    let path = Some(path.to_owned());
    Error::Damaged { path, error }.into()
}

/// Is it the contents of a file that are wrong?
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}

/// The name of this host, if it can be a directory.
pub(crate) fn here() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim_end().to_owned()).filter(|name| is_host(name))
}

/// Can a host have this name? At most 64 letters, digits, dots, dashes and underscores, and no
/// dot in front.
pub(crate) fn is_host(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with('.')
}

fn is_log_id(name: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    name.len() == 32 && name.bytes().all(digit)
}

fn live_log_id() -> Result<String> {
    Ok(Kernel::open(IMA)?.status()?.log_id().to_owned())
}

/// The wall clock: nanoseconds since 1970-01-01 00:00 UTC.
fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}
