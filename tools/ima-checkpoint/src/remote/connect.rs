// SPDX-License-Identifier: GPL-2.0

//! Reaching a store. Credentials come from the environment, the files that are usual for the
//! service, or the machine that the program runs on; never from the command line, which others see.

use super::{
    error::Error,
    location::{Service, StoreUrl},
    meter::{Meter, Metered},
    profile::Profile,
};
use crate::archive;
use object_store::{
    aws::{AmazonS3Builder, AmazonS3ConfigKey as S3Setting, Checksum, S3ConditionalPut},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    client::ClientConfigKey,
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    local::LocalFileSystem,
    BackoffConfig, ObjectStore, RetryConfig,
};
use rustix::fs::Mode;
use std::{error, fs, os::unix::fs::MetadataExt, path::Path, sync::Arc, time::Duration};

/// How the connections behave. How long an answer may take as a whole, the caller decides.
const CLIENT: [(ClientConfigKey, &str); 3] = [
    (ClientConfigKey::ConnectTimeout, "10s"),
    (ClientConfigKey::ReadTimeout, "60s"),
    (ClientConfigKey::Timeout, "1day"),
];

/// What a store can be made of.
type Built = Result<Arc<dyn ObjectStore>, Box<dyn error::Error + Send + Sync>>;

/// The store that a URL names. Nothing is asked of it yet.
pub(super) fn connect(url: &StoreUrl, meter: &Meter) -> crate::error::Result<Arc<dyn ObjectStore>> {
    let built = match url.service {
        Service::Directory => {
            refuse_writable(&url.path())?;
            directory(&url.path())
        }
        Service::S3 => s3(&url.bucket, meter),
        Service::Google => google(&url.bucket, meter),
        Service::Azure => azure(&url.bucket, meter),
    };
    Ok(built.map_err(|error| Error::Setup {
        path: url.path(),
        error,
    })?)
}

/// A few attempts within a minute. A service tries again later.
fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 4,
        retry_timeout: Duration::from_secs(60),
    }
}

fn s3(bucket: &str, meter: &Meter) -> Built {
    let mut builder = AmazonS3Builder::from_env();
    // a variable comes before a file, and a key never goes with the secret of another
    let is_set = |builder: &AmazonS3Builder, key| builder.get_config_value(&key).is_some();
    let has_key = is_set(&builder, S3Setting::AccessKeyId);
    let secrets = [
        S3Setting::AccessKeyId,
        S3Setting::SecretAccessKey,
        S3Setting::Token,
    ];
    if let Some(profile) = Profile::of_environment() {
        for (key, value) in profile.settings()? {
            let known = match secrets.contains(&key) {
                true => has_key || is_set(&builder, key),
                false => is_set(&builder, key),
            };
            if !known {
                builder = builder.with_config(key, value);
            }
        }
    }
    for (key, value) in CLIENT {
        builder = builder.with_config(S3Setting::Client(key), value);
    }
    let store = builder
        .with_bucket_name(bucket)
        .with_retry(retry())
        .with_http_connector(Metered::new(meter))
        .with_unsigned_payload(false)
        .with_checksum_algorithm(Checksum::SHA256)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .build()?;
    Ok(Arc::new(store))
}

fn google(bucket: &str, meter: &Meter) -> Built {
    let mut builder = GoogleCloudStorageBuilder::from_env();
    for (key, value) in CLIENT {
        builder = builder.with_config(GoogleConfigKey::Client(key), value);
    }
    let store = builder
        .with_bucket_name(bucket)
        .with_retry(retry())
        .with_http_connector(Metered::new(meter))
        .build()?;
    Ok(Arc::new(store))
}

fn azure(container: &str, meter: &Meter) -> Built {
    let mut builder = MicrosoftAzureBuilder::from_env();
    for (key, value) in CLIENT {
        builder = builder.with_config(AzureConfigKey::Client(key), value);
    }
    let store = builder
        .with_container_name(container)
        .with_retry(retry())
        .with_http_connector(Metered::new(meter))
        .build()?;
    Ok(Arc::new(store))
}

/// A directory, in which a file is on the disk when writing it succeeds. It is for us alone, as an
/// archive is: the files of that have the modes that they are given, whatever is masked.
fn directory(path: &Path) -> Built {
    rustix::process::umask(Mode::from_raw_mode(0o077));
    let store = LocalFileSystem::new_with_prefix(path)?;
    Ok(Arc::new(store.with_fsync(true)))
}

/// Whoever may write into the directory could lead us elsewhere by a link. It must exist: a disk that
/// is not mounted should not be replaced by a directory.
fn refuse_writable(path: &Path) -> crate::error::Result<()> {
    let seen = fs::metadata(path);
    let seen = seen.map_err(|error| crate::error::Error::io("open", path, error))?;
    let us = rustix::process::geteuid().as_raw();
    if seen.mode() & 0o022 != 0 || ![0, us].contains(&seen.uid()) {
        let path = path.to_owned();
        return Err(archive::Error::Writable { path }.into());
    }
    Ok(())
}
