// SPDX-License-Identifier: GPL-2.0

//! Whose word counts: keys that are in TPMs, as their owner says, and those of endorsers.

use super::{files, Error as Unfit};
use crate::{
    error::{Error, Result},
    escape::Escaped,
    quote::{self, AttestationKey, TrustedKeys},
};
use ima_log::endorsement::Endorsers;
use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Files that are read, each of which is small: more than any fleet has that is verified at once.
const MAX: usize = 100_000;

/// All keys of a directory, but for those in hidden files. Whoever puts a key there vouches for it, so
/// its name needs no other comparison.
///
/// # Errors
///
/// A file cannot be read or is no TPM2B_PUBLIC of a key that signs quotes; or there is none at all.
pub fn keys(folder: &Path) -> Result<TrustedKeys> {
    let failed = |error| Error::io("read", folder, error);
    let owned = || folder.to_owned();
    let mut keys = TrustedKeys::default();
    let mut count = 0;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        if entry.file_name().as_bytes().starts_with(b".") || path.is_dir() {
            continue;
        }
        count += 1;
        if count > MAX {
            let (folder, max) = (owned(), MAX);
            return Err(Unfit::ManyKeys { folder, max }.into());
        }
        let bytes = files::read(&path)?;
        let key = trusted(&bytes);
        keys.add(key.map_err(|error| Error::from(error).during(Escaped::path(&path)))?);
    }
    match keys.is_empty() {
        true => Err(Unfit::NoKeys { folder: owned() }.into()),
        false => Ok(keys),
    }
}

/// The public keys of those whose endorsements are believed.
///
/// # Errors
///
/// A file cannot be read, or is no key that endorsements are signed with.
pub fn endorsers(paths: &[PathBuf]) -> Result<Endorsers> {
    let mut endorsers = Endorsers::new();
    for path in paths {
        let added = endorsers.add(&files::read(path)?);
        added.map_err(|error| Error::from(error).during(Escaped::path(path)))?;
    }
    Ok(endorsers)
}

fn trusted(bytes: &[u8]) -> Result<AttestationKey, quote::Error> {
    let key = AttestationKey::parse(bytes)?;
    match key.name().cloned() {
        Some(name) => key.expect_name(&name),
        None => Err(quote::Error::NotAKey(
            "a key in PEM or DER has no name to look it up by: give its TPM2B_PUBLIC, as \
             `tpm2_readpublic -o` writes it"
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{common::signer::Key, quote::Checked};

    type Tested = std::result::Result<(), Box<dyn std::error::Error>>;

    fn refusal(folder: &Path) -> String {
        let error = keys(folder).err();
        error.map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn keys_are_found_by_name() -> Tested {
        let folder = tempfile::tempdir()?;
        assert!(refusal(folder.path()).contains("no key in it"));
        let (first, second, third) = (Key::new(1), Key::new(2), Key::new(3));
        fs::write(folder.path().join("web1"), &first.public)?;
        fs::write(folder.path().join("anything"), &second.public)?;
        fs::write(folder.path().join(".hidden"), "rubbish")?;
        fs::create_dir(folder.path().join("old"))?;
        let keys = keys(folder.path())?;
        let check = |name: &Key, signer: &Key| {
            let (message, signature) = signer.sign(b"x", &Default::default(), Default::default());
            keys.check(&name.name, &message, &signature, false)
        };
        let genuine = check(&first, &first);
        let Checked::Genuine(quote) = genuine else {
            panic!("{genuine:?}");
        };
        assert!(quote.key_name_checked);
        assert!(matches!(check(&second, &second), Checked::Genuine(_)));
        assert!(matches!(check(&second, &first), Checked::Refused(_)));
        assert!(matches!(check(&third, &third), Checked::Unknown));
        assert!(matches!(check(&third, &first), Checked::Unknown));
        Ok(())
    }

    #[test]
    fn what_is_no_key_is_named() -> Tested {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("web1");
        for (bytes, says) in [
            (b"rubbish".to_vec(), "not a public key"),
            (Key::new(1).pem, "has no name"),
            (vec![0; 100_000], "more than 64 KiB"),
        ] {
            fs::write(&path, bytes)?;
            let refusal = refusal(folder.path());
            assert!(
                refusal.contains("web1") && refusal.contains(says),
                "{refusal}"
            );
        }
        assert!(refusal(&folder.path().join("none")).contains("cannot read"));
        Ok(())
    }
}
