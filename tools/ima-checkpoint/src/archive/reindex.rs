// SPDX-License-Identifier: GPL-2.0

//! Writing the index of a log anew.

use super::{
    durable::{Access, Folder, PARTIAL},
    index::Index,
    lock::lock,
    now_ns,
    open::Directory,
    Archive, Log, LogName,
};
use crate::{
    error::{Error, Result},
    remote,
};

/// Makes the index of a log from its files. What an index that is there says of segments that were
/// removed or never archived is kept; files that it names and that are not there are given up.
/// Gives the number of files; `fault` gets what is wrong with those that are left out.
///
/// # Errors
///
/// The log cannot be read, its index not written, or an archiver works on this host.
pub fn reindex(archive: &Archive, name: &LogName, mut fault: impl FnMut(Error)) -> Result<u64> {
    let directory = archive.directory().ok_or_else(|| {
        let path = archive.dir().to_owned();
        remote::Error::NotADirectory { path }
    })?;
    let access = access_of(directory)?;
    let host = Folder::of(directory.below(&name.host)?, access)?;
    lock(&host)?;
    let folder = host.folder(&name.log_id)?;
    folder.remove_if_there(PARTIAL)?;
    let log = Log::new(folder.directory().clone(), name.clone());
    let listing = log.list_with(|odd| {
        log.open(odd).map_or_else(&mut fault, drop);
        Ok(())
    })?;
    let mut count = 0;
    let files = listing.all().filter_map(|name| match log.meta(name) {
        Ok(meta) => {
            count += 1;
            Some((name, meta.sha256))
        }
        Err(error) => {
            fault(error);
            None
        }
    });
    let mut index = Index::read_history(folder.directory())?;
    // what is there was not removed
    index.removed = index.removed.min(listing.first().unwrap_or(u64::MAX));
    index.rebuild(&folder, files, now_ns())?;
    Ok(count)
}

/// The group that may read the archive, if there is one, may read the new file.
fn access_of(archive: &Directory) -> Result<Access> {
    let seen = archive.stat()?;
    let group = (seen.st_mode & 0o040 != 0).then(|| seen.st_gid.to_string());
    Access::new(group.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{fixture::Work, index::Event};
    use std::fs;

    #[test]
    fn what_the_files_say() {
        let mut work = Work::new(3);
        work.store(0..3);
        fs::remove_file(work.path("0000000001.zst")).unwrap();
        fs::write(work.path("index"), "damaged\n").unwrap();
        let files = reindex(&work.archive(), &work.place.name, |fault| panic!("{fault}"));
        assert_eq!(files.unwrap(), 2);
        let index = Index::read(work.place.folder.directory()).unwrap();
        assert_eq!((index.files().count(), index.damaged), (2, 0));
    }

    #[test]
    fn what_is_there_was_not_removed() {
        let mut work = Work::new(3);
        work.store(1..3);
        let event = |event, work: &mut Work| {
            work.place.index.append(&work.place.folder, event).unwrap();
        };
        let (before, from, to, at_ns) = (3, 7, 9, 0);
        event(Event::Removed { before, at_ns }, &mut work);
        event(Event::Gap { from, to, at_ns }, &mut work);
        reindex(&work.archive(), &work.place.name, |fault| panic!("{fault}")).unwrap();
        let index = Index::read(work.place.folder.directory()).unwrap();
        assert_eq!((index.removed, index.files().count()), (1, 2));
        assert!(index.gaps.covers(7, 9));
    }
}
