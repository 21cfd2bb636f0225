// SPDX-License-Identifier: GPL-2.0

//! Runtime policies of Keylime, version 1 (`keylime/ima/ima.py`, `RUNTIME_POLICY_SCHEMA`).

use super::{Compiler, Error};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Digests by name.
type Digests = BTreeMap<String, Vec<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Runtime {
    meta: Meta,
    #[serde(default, rename = "release")]
    _release: Value,
    #[serde(default)]
    digests: Digests,
    #[serde(default)]
    excludes: Option<Vec<String>>,
    #[serde(default)]
    keyrings: Option<Digests>,
    #[serde(default, rename = "ima-buf")]
    buffers: Option<Digests>,
    #[serde(default, rename = "verification-keys")]
    keys: Option<String>,
    #[serde(default)]
    ima: Ima,
}

#[derive(Deserialize)]
struct Meta {
    version: u64,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ima {
    #[serde(default)]
    ignored_keyrings: Vec<String>,
    /// Of the template digests in the list, which the verification finds out.
    #[serde(default, rename = "log_hash_alg")]
    _log_hash_alg: Value,
    #[serde(default)]
    dm_policy: Value,
}

pub(super) fn read(json: &[u8], compiler: &mut Compiler) -> Result<(), Error> {
    let policy: Runtime = serde_json::from_slice(json).map_err(Error::Json)?;
    if policy.meta.version != 1 {
        return Err(Error::Unsupported("another version than 1"));
    }
    if policy.keys.is_some_and(|keys| !keys.is_empty()) {
        return Err(Error::Unsupported("verification-keys"));
    }
    if !policy.ima.dm_policy.is_null() {
        return Err(Error::Unsupported("dm_policy"));
    }
    for (path, digests) in &policy.digests {
        for digest in digests {
            compiler.file(path.as_bytes(), digest)?;
        }
    }
    for buffers in [policy.keyrings, policy.buffers].into_iter().flatten() {
        for (name, digests) in &buffers {
            for digest in digests {
                compiler.buffer(name.as_bytes(), digest)?;
            }
        }
    }
    for pattern in policy.excludes.iter().flatten() {
        compiler.exclude(pattern)?;
    }
    compiler.ignored.extend(policy.ima.ignored_keyrings);
    Ok(())
}
