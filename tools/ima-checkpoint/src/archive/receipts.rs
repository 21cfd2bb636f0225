// SPDX-License-Identifier: GPL-2.0

//! Receipts: somebody off the host has verified segments, and has them. A receipt is an endorsement, so
//! it does not matter who can write to where receipts are: only the endorser can let evidence go.

use super::{
    notice::Warning,
    open::Directory,
    plan::facts::{sha256, Sha256},
};
use crate::{
    archive,
    error::{Error, Result},
};
use ima_log::endorsement::{Endorsers, MAX_SIZE};
use rustix::fs::{fstat, Stat};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::PathBuf,
};

/// Receipts that are looked at. Each of them names up to a thousand segments, in 32 bytes.
const MAX: usize = 1000;

/// Where receipts are, and whose count.
#[derive(Clone, Debug)]
pub struct ReceiptsFrom {
    /// A directory of endorsements. Hidden files are left out.
    pub folder: PathBuf,
    /// Whose they must be.
    pub endorsers: Endorsers,
}

/// Knows which segments are safe elsewhere.
pub(super) trait Acknowledge {
    /// Which of these are? `fault` gets what somebody has to look at.
    ///
    /// # Errors
    ///
    /// It cannot be told.
    fn of(&mut self, asked: &[Sha256], fault: &mut dyn FnMut(Warning)) -> Result<Vec<Sha256>>;
}

/// A directory of receipts.
#[derive(Debug)]
pub(super) struct Receipts {
    from: ReceiptsFrom,
    /// What was read, and of which state of the file.
    known: BTreeMap<String, (Seen, BTreeSet<Sha256>)>,
}

/// A file that was read is not read again while this is the same.
type Seen = (u64, i64, i64, u64);

fn seen(of: &Stat) -> Seen {
    let size = u64::try_from(of.st_size).unwrap_or(0);
    (of.st_ino, of.st_mtime, of.st_mtime_nsec as i64, size)
}

impl Receipts {
    /// Those of a directory.
    ///
    /// # Errors
    ///
    /// [`archive::Error::NoReceipts`] if there is none.
    pub(super) fn new(from: &ReceiptsFrom) -> Result<Self> {
        let receipts = Self {
            from: from.clone(),
            known: BTreeMap::new(),
        };
        receipts.open()?;
        Ok(receipts)
    }

    fn open(&self) -> Result<Directory> {
        let folder = &self.from.folder;
        Directory::named(folder).map_err(|_| {
            let folder = folder.clone();
            archive::Error::NoReceipts { folder }.into()
        })
    }

    /// Reads what is new in the directory.
    fn look(&mut self, fault: &mut dyn FnMut(Warning)) -> Result<()> {
        let directory = self.open()?;
        let mut names = BTreeSet::new();
        let mut more = false;
        directory.each_name(|name| {
            if !name.starts_with('.') {
                more |= names.len() == MAX && !names.contains(&name);
                if names.len() < MAX {
                    names.insert(name);
                }
            }
            Ok(())
        })?;
        if more {
            let folder = self.from.folder.clone();
            fault(Warning::ManyReceipts { folder, max: MAX });
        }
        self.known.retain(|name, _| names.contains(name));
        for name in names {
            if let Err(error) = self.read(&directory, &name) {
                let path = directory.path_of(&name);
                fault(Warning::NoReceipt { path, fault: error });
            }
        }
        Ok(())
    }

    /// Reads a file, unless it is known.
    fn read(&mut self, directory: &Directory, name: &str) -> Result<()> {
        let file = directory.open(name)?;
        let failed = |error| Error::io("read", directory.path_of(name), error);
        let now = seen(&fstat(&file).map_err(|error| failed(error.into()))?);
        if self.known.get(name).is_some_and(|(then, _)| *then == now) {
            return Ok(());
        }
        // of one that does not count nothing is learned, and that once
        self.known.insert(name.to_owned(), (now, BTreeSet::new()));
        let mut bytes = Vec::new();
        file.take(MAX_SIZE)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        let endorsement = self.from.endorsers.open(&bytes)?.endorsement;
        let segments = endorsement.segments.values().map(sha256);
        self.known
            .insert(name.to_owned(), (now, segments.collect()));
        Ok(())
    }
}

impl Acknowledge for Receipts {
    fn of(&mut self, asked: &[Sha256], fault: &mut dyn FnMut(Warning)) -> Result<Vec<Sha256>> {
        self.look(fault)?;
        let has = |digest: &&Sha256| self.known.values().any(|(_, has)| has.contains(*digest));
        Ok(asked.iter().filter(has).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bank::Digest;
    use ima_log::endorsement::{Endorsement, SigningKey, Verifier};
    use openssl::pkey::PKey;
    use std::{fs, time::UNIX_EPOCH};

    type Tested = std::result::Result<(), Box<dyn std::error::Error>>;

    const DIGESTS: [Sha256; 3] = [[0xab; 32], [0xcd; 32], [0xef; 32]];

    /// The endorsement of a log's segments that have these digests, and what is believed.
    fn endorse(
        segments: &[Sha256],
    ) -> std::result::Result<(String, Endorsers), Box<dyn std::error::Error>> {
        let private = PKey::generate_ed25519()?;
        let mut endorsers = Endorsers::new();
        endorsers.add(&private.public_key_to_pem()?)?;
        let segments = (0..).zip(segments.iter().map(|digest| Digest::new(digest)));
        let endorsement = Endorsement {
            host: None,
            log_id: Digest::new(&[1; 16]),
            checkpoint: 1000,
            digest: Digest::new(&[2; 32]),
            records: 5000,
            segments: segments.collect(),
            values: BTreeMap::new(),
            quote: None,
            verifier: Verifier {
                id: "test:receipts".to_owned(),
                version: String::new(),
            },
            time: UNIX_EPOCH,
            inputs: Vec::new(),
        };
        let key = SigningKey::parse(&private.private_key_to_pem_pkcs8()?)?;
        Ok((key.sign(&endorsement)?.0, endorsers))
    }

    fn acknowledged(receipts: &mut Receipts) -> (Vec<Sha256>, Vec<String>) {
        let mut said = Vec::new();
        let found = receipts.of(&DIGESTS, &mut |warning| said.push(warning.to_string()));
        (found.expect("there is a directory"), said)
    }

    #[test]
    fn only_what_the_endorser_names() -> Tested {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("receipt");
        let (text, endorsers) = endorse(&DIGESTS[1..])?;
        let mut receipts = Receipts::new(&ReceiptsFrom {
            folder: folder.path().to_owned(),
            endorsers,
        })?;
        assert_eq!(acknowledged(&mut receipts), (vec![], vec![]));
        // by somebody else, in the place of what follows
        fs::write(&path, endorse(&DIGESTS)?.0)?;
        let (found, said) = acknowledged(&mut receipts);
        assert_eq!(found, [[0; 32]; 0]);
        assert!(
            said[0].contains("receipt") && said[0].contains("none of the keys"),
            "{said:?}"
        );
        fs::write(&path, &text)?;
        assert_eq!(acknowledged(&mut receipts), (DIGESTS[1..].to_vec(), vec![]));
        assert_eq!(acknowledged(&mut receipts), (DIGESTS[1..].to_vec(), vec![]));
        fs::rename(&path, folder.path().join(".hidden"))?;
        assert_eq!(acknowledged(&mut receipts), (vec![], vec![]));
        std::os::unix::fs::symlink(".hidden", &path)?;
        let (found, said) = acknowledged(&mut receipts);
        assert_eq!((found.len(), said.len()), (0, 1), "{said:?}");
        fs::remove_dir_all(folder.path())?;
        assert!(receipts.of(&DIGESTS, &mut |_| ()).is_err());
        Ok(())
    }

    #[test]
    fn there_are_not_too_many() -> Tested {
        let folder = tempfile::tempdir()?;
        let (text, endorsers) = endorse(&DIGESTS)?;
        for number in 0..=MAX {
            fs::write(folder.path().join(number.to_string()), "{}")?;
        }
        let from = ReceiptsFrom {
            folder: folder.path().to_owned(),
            endorsers,
        };
        let (_, said) = acknowledged(&mut Receipts::new(&from)?);
        assert!(said[0].contains("more than 1000"), "{}", said[0]);
        fs::remove_dir_all(folder.path())?;
        fs::create_dir(folder.path())?;
        // one that is larger than any endorsement
        let large = " ".repeat(MAX_SIZE as usize) + &text;
        fs::write(folder.path().join("large"), large)?;
        let (found, said) = acknowledged(&mut Receipts::new(&from)?);
        assert_eq!((found.len(), said.len()), (0, 1), "{said:?}");
        Ok(())
    }
}
