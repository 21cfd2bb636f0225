// SPDX-License-Identifier: GPL-2.0

//! The list, from any record on, counted from cold boot.

use crate::{
    error::{Error, Result},
    whole::Whole,
};
use ima_checkpoint::{
    archive::{Archive, Log as Archived},
    bank::Bank,
    full_list::{FullList, Part},
    kernel::{Format, Kernel},
    view::View,
};
use std::path::{Path, PathBuf};

/// Where the list is.
#[derive(Debug)]
pub enum Log {
    /// A kernel with checkpoints, and the archive of what was freed there.
    Kernel {
        /// The kernel.
        kernel: Kernel,
        /// The archive. It need not be there as long as nothing was freed.
        archive: PathBuf,
    },
    /// A file that has all records, in the sha1 view: of a kernel that frees none, or of the mount.
    File(Whole),
}

/// Records that follow each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    /// How many there are.
    pub count: u64,
    /// Their bytes, in the format that was asked for.
    pub bytes: Vec<u8>,
}

impl Log {
    /// The list of this host: of a file if one is named, else of the kernel.
    ///
    /// # Errors
    ///
    /// There is no list.
    pub fn open(file: Option<&Path>, ima: &Path, archive: &Path) -> Result<Self> {
        if let Some(file) = file {
            return Ok(Self::File(Whole::new(file)));
        }
        match Kernel::open(ima) {
            Ok(kernel) => Ok(Self::Kernel {
                kernel,
                archive: archive.to_owned(),
            }),
            Err(error) => {
                // a kernel without checkpoints frees nothing
                let file = ima.join("binary_runtime_measurements");
                match file.exists() {
                    true => Ok(Self::File(Whole::new(&file))),
                    false => Err(error.into()),
                }
            }
        }
    }

    /// How many records there are by now.
    ///
    /// # Errors
    ///
    /// The list cannot be read.
    pub fn count(&mut self) -> Result<u64> {
        match self {
            Self::Kernel { kernel, .. } => {
                let segments = kernel.segments()?;
                let last = segments.last();
                Ok(last.map_or(0, |last| last.first.saturating_add(last.records)))
            }
            Self::File(whole) => whole.count(),
        }
    }

    /// The records from `from` on.
    ///
    /// # Errors
    ///
    /// The list cannot be read, or has fewer records.
    pub fn from(&mut self, from: u64, format: Format) -> Result<Stretch> {
        let view = View {
            format,
            bank: Bank::Sha1,
        };
        match self {
            Self::Kernel { kernel, archive } => kept(kernel, archive, from, view),
            Self::File(whole) => whole.from(from, view),
        }
    }
}

/// What archive and kernel have from there on.
fn kept(kernel: &Kernel, archive: &Path, from: u64, view: View) -> Result<Stretch> {
    let log = archived(archive, kernel.status()?.log_id())?;
    let list = FullList::assemble_from(log.as_ref(), Some(kernel), from)?;
    let (mut bytes, mut end) = (Vec::new(), 0);
    for part in list.parts() {
        let mut records = list.records(part)?;
        while let Some(entry) = records
            .next()
            .map_err(|fault| Error::List(fault.to_string()))?
        {
            if entry.at.record >= from {
                view.render(&entry.record, entry.raw, &mut bytes);
            }
        }
        end = records.position().record;
        let complete = end == part.end() || end > part.end() && !part.sealed;
        if !complete {
            return Err(short(part, end));
        }
    }
    let count = end.checked_sub(from).ok_or_else(|| fewer(end, from))?;
    Ok(Stretch { count, bytes })
}

/// The server wants records that are not there.
pub(crate) fn fewer(end: u64, from: u64) -> Error {
    Error::List(format!(
        "there are {end} records, and it is to start with record {from}"
    ))
}

fn short(part: &Part, end: u64) -> Error {
    Error::List(format!(
        "segment {} ends before record {end}, and {} were expected",
        part.seq,
        part.end()
    ))
}

/// The log in the archive, if there is one.
fn archived(archive: &Path, log_id: &str) -> Result<Option<Archived>> {
    let found = Archive::open(archive).and_then(|found| found.log(None, Some(log_id)));
    match found {
        Ok(log) => Ok(Some(log)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
