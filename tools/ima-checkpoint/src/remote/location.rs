// SPDX-License-Identifier: GPL-2.0

//! Where an archive is: in a directory, or in a store that a URL names.

use super::error::{Error, Unfit};
use object_store::path::Path as Key;
use std::{
    path::{Path, PathBuf},
    result,
};
use url::{Host, Url};

/// Where an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In this directory.
    Directory(PathBuf),
    /// In this store.
    Store(StoreUrl),
}

impl Location {
    /// What the user says: a URL if it starts with a scheme and `://`, else the path of a directory.
    /// `file://` names a directory, too.
    ///
    /// # Errors
    ///
    /// [`Error::Url`] if it is a URL that cannot be used.
    pub fn parse(text: &Path) -> Result<Self> {
        let url = text.to_str().filter(|text| is_url(text));
        let Some(url) = url else {
            return Ok(Self::Directory(text.to_owned()));
        };
        let url = StoreUrl::parse(url)?;
        Ok(match url.service {
            Service::Directory => Self::Directory(url.path()),
            _ => Self::Store(url),
        })
    }

    /// The directory.
    ///
    /// # Errors
    ///
    /// [`Error::NotADirectory`] if it is a store.
    pub fn into_directory(self) -> Result<PathBuf> {
        match self {
            Self::Directory(path) => Ok(path),
            Self::Store(url) => Err(Error::NotADirectory { path: url.path() }),
        }
    }
}

/// What functions here return.
type Result<T> = result::Result<T, Error>;

/// A path may have `://` in it as well, but then something stands before it that is no scheme.
fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(rest)
    })
}

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// Amazon S3, or what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
    /// A directory.
    Directory,
}

impl Service {
    fn of(scheme: &str) -> Option<Self> {
        Some(match scheme {
            "s3" => Self::S3,
            "gs" => Self::Google,
            "az" => Self::Azure,
            "file" => Self::Directory,
            _ => return None,
        })
    }

    fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
            Self::Directory => "file",
        }
    }
}

/// The URL of a store, without anything secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreUrl {
    pub(super) service: Service,
    /// The bucket or container, empty for a directory.
    pub(super) bucket: String,
    /// What the names of objects start with; the path of a directory.
    pub(super) prefix: Key,
}

impl StoreUrl {
    /// `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or `file:///DIRECTORY`.
    ///
    /// # Errors
    ///
    /// [`Error::Url`] if it is anything else, or has more in it.
    pub fn parse(text: &str) -> Result<Self> {
        let url = Url::parse(text).map_err(|error| Error::Url(Unfit::Malformed(error)))?;
        // a secret is refused first, so that nobody puts another one in its place
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::Url(Unfit::Credentials));
        }
        if url.query().is_some() || url.fragment().is_some() || url.port().is_some() {
            return Err(Error::Url(Unfit::Extra));
        }
        let service = Service::of(url.scheme()).ok_or(Error::Url(Unfit::Scheme))?;
        let bucket = match url.host() {
            None => "",
            Some(Host::Domain(name)) => name,
            Some(_) => return Err(Error::Url(Unfit::NoBucket)),
        };
        let path = url.path().trim_start_matches('/').trim_end_matches('/');
        let prefix = Key::from_url_path(path).map_err(|_| Error::Url(Unfit::Path))?;
        let named = match service {
            Service::Directory => bucket.is_empty() && !prefix.as_ref().is_empty(),
            _ => !bucket.is_empty() && bucket.bytes().all(is_of_bucket),
        };
        if !named {
            return Err(Error::Url(Unfit::NoBucket));
        }
        Ok(Self {
            service,
            bucket: bucket.to_owned(),
            prefix,
        })
    }

    pub(super) fn is_directory(&self) -> bool {
        self.service == Service::Directory
    }

    /// What messages call it; the path of a directory.
    pub fn path(&self) -> PathBuf {
        let Self {
            service,
            bucket,
            prefix,
        } = self;
        match (service, prefix.as_ref()) {
            (Service::Directory, prefix) => Path::new("/").join(prefix),
            (_, "") => format!("{}://{bucket}", service.scheme()).into(),
            (_, prefix) => format!("{}://{bucket}/{prefix}", service.scheme()).into(),
        }
    }
}

/// Letters, digits, and what else the services allow in names of buckets and containers.
fn is_of_bucket(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._$".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_paths() {
        for (text, wanted) in [
            ("/var/lib/ima-checkpoint", None),
            ("relative/dir", None),
            ("./s3://bucket", None),
            ("3s://bucket", None),
            ("://", None),
            ("s3:bucket", None),
            ("s3://bucket", Some("s3://bucket")),
            ("s3://bucket/", Some("s3://bucket")),
            ("s3://my_Bucket/a/b%20c/", Some("s3://my_Bucket/a/b c")),
            ("gs://bucket/a", Some("gs://bucket/a")),
            ("az://container", Some("az://container")),
        ] {
            let found = Location::parse(Path::new(text)).unwrap();
            let url = match &found {
                Location::Directory(path) => {
                    assert_eq!(path, Path::new(text));
                    None
                }
                Location::Store(url) => Some(url.path()),
            };
            assert_eq!(url.as_deref(), wanted.map(Path::new), "{text}");
            assert_eq!(found.into_directory().is_ok(), wanted.is_none(), "{text}");
        }
        let directory = Location::parse(Path::new("file:///mnt/b%C3%A4r")).unwrap();
        assert_eq!(directory, Location::Directory("/mnt/bär".into()));
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        for text in [
            "s3://key:s3cret@bucket/a",
            "s3://s3cret@bucket",
            "s3://:s3cret@bucket",
            "az://bucket?sig=s3cret",
            "az://bucket/a#s3cret",
            "https://s3cret@example.org/",
        ] {
            let error = Location::parse(Path::new(text)).unwrap_err();
            assert!(matches!(error, Error::Url(_)), "{text}: {error:?}");
            let (shown, debug) = (error.to_string(), format!("{error:?}"));
            assert!(
                !shown.contains("s3cret") && !debug.contains("s3cret"),
                "{shown}"
            );
        }
    }

    #[test]
    fn what_names_no_store() {
        for (text, wanted) in [
            ("http://example.org/bucket", Unfit::Scheme),
            ("https://example.org/bucket", Unfit::Scheme),
            ("memory://bucket", Unfit::Scheme),
            ("S4://bucket", Unfit::Scheme),
            ("s3://bucket:80/a", Unfit::Extra),
            ("s3:///a", Unfit::NoBucket),
            ("s3://", Unfit::NoBucket),
            ("s3://[::1]/a", Unfit::NoBucket),
            ("s3://b%2fc/a", Unfit::NoBucket),
            ("file://host/a", Unfit::NoBucket),
            ("file:///", Unfit::NoBucket),
            ("s3://bucket/a//b", Unfit::Path),
            ("s3://bucket/a/%2e%2e%2fb", Unfit::Path),
        ] {
            match Location::parse(Path::new(text)) {
                Err(Error::Url(unfit)) => assert_eq!(unfit, wanted, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
