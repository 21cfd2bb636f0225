// SPDX-License-Identifier: GPL-2.0

//! Writing the index of a log anew.

use super::{
    durable::{
        Access,
        Folder,
        PARTIAL, //
    },
    index::Index,
    lock::lock,
    meta::parse_file_name,
    names,
    now_ns,
    Archive,
    LogName, //
};
use crate::outcome::{
    Error,
    Result, //
};
use std::os::unix::fs::MetadataExt;

/// Makes the index of a log from its files. What an index that is there says of segments that were
/// removed or never archived is kept; files that it names and that are not there are given up.
/// Gives the number of files, and what is wrong with those that were left out.
///
/// # Errors
///
/// The log cannot be read, its index not written, or an archiver works on this host.
pub fn reindex(archive: &Archive, name: &LogName) -> Result<(usize, Vec<Error>)> {
    let access = access_of(archive)?;
    let host = Folder::open(&archive.dir().join(&name.host), access)?;
    lock(&host)?;
    let folder = host.folder(&name.log_id)?;
    folder.remove_if_there(PARTIAL)?;
    let log = archive.log(Some(&name.host), Some(&name.log_id))?;
    let (mut files, mut faults) = (Vec::new(), Vec::new());
    let all = names(log.dir())?;
    for name in all
        .into_iter()
        .filter(|name| parse_file_name(name).is_some())
    {
        match log.meta(&name) {
            Ok(meta) => files.push(meta),
            Err(error) => faults.push(error),
        }
    }
    files.sort_by_key(|meta| (meta.seq, meta.fork, meta.state));
    let mut index = Index::read(log.dir())?;
    index.rebuild(&folder, &files, now_ns())?;
    Ok((files.len(), faults))
}

/// The group that may read the archive, if there is one, may read the new file.
fn access_of(archive: &Archive) -> Result<Access> {
    let dir = archive.dir();
    let seen = std::fs::metadata(dir).map_err(|error| Error::io("look at", dir, &error))?;
    let group = (seen.mode() & 0o040 != 0).then(|| seen.gid().to_string());
    Access::new(group.as_deref())
}
