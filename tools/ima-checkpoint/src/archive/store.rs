// SPDX-License-Identifier: GPL-2.0

//! Writing a segment's file, and reading it back from the disk.

use super::{
    contents::{self, Contents, SKIPPABLE},
    damaged,
    durable::{self, Folder},
    meta::Meta,
    survey::{survey, Reading, Survey},
};
use crate::{
    archive,
    claim::Claim,
    error::{Error, Result},
    escape::Escaped,
};
use std::{
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::Path,
};
use zstd::stream::write::Encoder;

/// Bytes of the frame with the metadata, which are known only when the segment is written.
const HEADER: usize = 1024;

/// Digests do not compress and paths repeat: higher levels take far longer and gain nothing.
const LEVEL: i32 = 1;

/// Exports a segment into the log's directory. What is known of it stands in `meta`: its place,
/// its bytes, whether it is sealed, its digest. The rest is filled in. It has its name and is on
/// the disk when this returns, and was read back from there and replayed up to the checkpoint
/// `next`. Of as many bytes as `prefix` says, the SHA-256 is told.
///
/// # Errors
///
/// There is no such file. [`archive::Error::Short`] if the kernel gave something else than it said.
pub(super) fn store(
    log: &Folder,
    source: impl Read,
    meta: Meta,
    next: Option<&Claim>,
    prefix: Option<u64>,
) -> Result<(Meta, Survey)> {
    let path = log.path().join(meta.file_name());
    let write = |file: &mut File| {
        let meta = fill(file, source, meta, &path)?;
        durable::sync(file, &path)?;
        durable::forget(file);
        let survey = read_back(file, &meta, next, prefix, &path)?;
        Ok((meta, survey))
    };
    log.create(write, |(meta, _)| meta.file_name())
}

/// Writes the file, and completes the metadata.
fn fill(file: &mut File, source: impl Read, mut meta: Meta, path: &Path) -> Result<Meta> {
    let failed = |error: io::Error| Error::io("write", path, error);
    file.write_all(&[0; HEADER]).map_err(failed)?;
    let encoder = Encoder::new(BufWriter::new(&mut *file), LEVEL).and_then(|mut encoder| {
        encoder.include_checksum(true)?;
        encoder.set_pledged_src_size(Some(meta.bytes))?;
        encoder.include_contentsize(true)?;
        Ok(encoder)
    });
    let mut encoder = encoder.map_err(failed)?;
    let mut left = meta.bytes;
    let exported = survey(source.take(meta.bytes), Reading::of(&meta), |record| {
        left -= record.len() as u64;
        encoder.write_all(record).map_err(failed)
    })?;
    if left > 0 || (exported.records != meta.records) {
        return Err(archive::Error::Short {
            seq: meta.seq,
            said: (meta.records, meta.bytes),
            gave: (exported.records, exported.bytes),
        }
        .into());
    }
    let finished = encoder.finish().and_then(|mut out| out.flush());
    finished.map_err(failed)?;

    meta.ascii_bytes = exported.ascii_bytes;
    meta.sha256 = exported.sha256;
    if let Some(claim) = exported.head {
        meta.generation = claim.header.generation;
    }
    let header = header(&meta).map_err(failed)?;
    file.write_all_at(&header, 0).map_err(failed)?;
    Ok(meta)
}

/// The metadata as a frame, padded with blanks.
fn header(meta: &Meta) -> io::Result<Vec<u8>> {
    let size = (HEADER - 8) as u32;
    let mut frame = SKIPPABLE.to_le_bytes().to_vec();
    frame.extend(size.to_le_bytes());
    serde_json::to_writer(&mut frame, meta)?;
    if frame.len() >= HEADER {
        return Err(io::Error::other("the metadata are too long"));
    }
    frame.resize(HEADER - 1, b' ');
    frame.push(b'\n');
    Ok(frame)
}

/// Reads a file that is open from its start, and compares it with its metadata.
fn read_back(
    file: &mut File,
    meta: &Meta,
    next: Option<&Claim>,
    prefix: Option<u64>,
    path: &Path,
) -> Result<Survey> {
    let opened = file.seek(SeekFrom::Start(0)).and_then(|_| {
        let found = contents::read_meta(file, &meta.file_name())?;
        let contents = Contents::new(file.try_clone()?, found.bytes)?;
        Ok((found, contents))
    });
    let (found, contents) = opened.map_err(|error| damaged(path, "read back", error))?;
    let reading = Reading {
        prefix,
        ..Reading::replaying(meta, next)
    };
    let seen = survey(contents, reading, |_| Ok(()));
    let seen = seen.and_then(|seen| {
        seen.agrees(meta)?;
        Ok(seen)
    });
    let seen = seen.map_err(|error| error.during(Escaped::path(path)))?;
    if found == *meta {
        Ok(seen)
    } else {
        let path = path.to_owned();
        Err(archive::Error::NotKept { path }.into())
    }
}

/// Makes sure that a file that was there already is on the disk and holds what it says.
pub(super) fn recheck(
    log: &Folder,
    meta: &Meta,
    next: Option<&Claim>,
    prefix: Option<u64>,
) -> Result<Survey> {
    let name = meta.file_name();
    let path = log.directory().path_of(&name);
    let mut file = log.directory().open(&name)?;
    durable::sync(&file, &path)?;
    log.sync()?;
    durable::forget(&file);
    read_back(&mut file, meta, next, prefix, &path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{
        fixture::Work,
        meta::{Name, State},
    };

    const NAME: &str = "0000000000.zst";

    #[test]
    fn what_the_kernel_gives_must_be_what_it_says() {
        let mut work = Work::new(1);
        work.store(0..1);
        let meta = work.place.log().meta(Name::of(0, State::Sealed)).unwrap();
        let bytes = work.kernel.bytes(0);
        std::fs::remove_file(work.path(NAME)).unwrap();
        let store = |bytes: &[u8], meta: &Meta| {
            store(
                &work.place.folder,
                bytes,
                meta.clone(),
                None,
                Some(meta.bytes),
            )
        };
        let (_, survey) = store(&bytes, &meta).unwrap();
        assert_eq!(survey.prefix, Some(meta.sha256));
        std::fs::remove_file(work.path(NAME)).unwrap();
        let mut more = meta.clone();
        more.records += 1;
        let error = store(&bytes, &more).unwrap_err();
        let short = matches!(error.cause(), Error::Archive(archive::Error::Short { .. }));
        assert!(short, "{error}");
        assert_eq!(work.names(), [""; 0]);
    }

    #[test]
    fn a_file_is_what_its_metadata_say() {
        let mut work = Work::new(1);
        work.store(0..1);
        let meta = work.place.log().meta(Name::of(0, State::Sealed)).unwrap();
        assert!(recheck(&work.place.folder, &meta, None, None).is_ok());
        work.damage(NAME);
        let error = recheck(&work.place.folder, &meta, None, None).unwrap_err();
        assert!(error.is_of_contents(), "{error}");
    }

    #[test]
    fn metadata_have_a_frame_of_their_own() {
        let mut work = Work::new(1);
        work.store(0..1);
        let bytes = std::fs::read(work.path(NAME)).unwrap();
        assert_eq!(bytes[..4], SKIPPABLE.to_le_bytes());
        assert_eq!(bytes[4..8], 1016_u32.to_le_bytes());
        let json: serde_json::Value = serde_json::from_slice(&bytes[8..HEADER]).unwrap();
        assert_eq!(json["seq"], 0);
        assert_eq!(
            zstd::decode_all(&bytes[HEADER..]).unwrap(),
            work.kernel.bytes(0)
        );
    }
}
