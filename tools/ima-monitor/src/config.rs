// SPDX-License-Identifier: GPL-2.0

//! The configuration file. Everything in it has a default.

use crate::{
    finding::Kind,
    limits::Most,
    policy::{self, Compiler, Policy},
};
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// All of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where hosts find the monitor.
    pub listen: SocketAddr,
    /// Names and addresses in the certificate that the monitor makes for itself.
    pub names: Vec<String>,
    /// The database, and the certificate unless one is given.
    pub state: PathBuf,
    /// Certificate and key, in PEM.
    pub tls: Option<Tls>,
    /// How often a host is to attest.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// Largest request with evidence, in MiB.
    pub max_upload: u64,
    /// Memory for requests that are being received and verified, in MiB.
    pub memory: u64,
    /// Hosts that may wait for approval.
    pub max_pending: u64,
    /// Where Prometheus finds its metrics, by plain http.
    pub metrics: Option<SocketAddr>,
    /// Connections at once.
    pub max_connections: usize,
    /// Of these, those of one address.
    pub max_connections_of_one: usize,
    /// Requests of one address in a minute.
    pub max_requests_of_one: u32,
    /// What records may be.
    pub policy: Vec<Source>,
    /// What to do about findings.
    pub action: Vec<Action>,
}

/// How often evidence is in memory at most: as it was received, as text that was parsed, and decoded.
pub const COPIES: u64 = 3;

/// Files of TLS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate, and those between it and the root.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// A policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Source {
    /// A runtime policy of Keylime.
    Keylime(PathBuf),
    /// What `sha256sum` wrote.
    Sha256sums(PathBuf),
}

/// What to do about findings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Action {
    /// Its name, which must stay: tasks are kept under it.
    pub name: String,
    /// The program, as an absolute path, and its arguments. There is no shell.
    pub program: Vec<String>,
    /// Only for these kinds; for all if nothing is given.
    pub kinds: Option<Vec<Kind>>,
    /// How long it may take.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// The user that it runs as.
    pub uid: Option<u32>,
    /// The group that it runs as.
    pub gid: Option<u32>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8881)),
            names: vec!["localhost".into(), "127.0.0.1".into()],
            state: "/var/lib/ima-monitor".into(),
            tls: None,
            interval: Duration::from_secs(60),
            max_upload: 100,
            memory: 512,
            max_pending: 1000,
            metrics: None,
            max_connections: 4096,
            max_connections_of_one: 256,
            max_requests_of_one: 6000,
            policy: Vec::new(),
            action: Vec::new(),
        }
    }
}

impl Default for Action {
    fn default() -> Self {
        Self {
            name: String::new(),
            program: Vec::new(),
            kinds: None,
            timeout: Duration::from_secs(60),
            uid: None,
            gid: None,
        }
    }
}

impl Action {
    /// Is it for findings of this kind?
    pub fn wants(&self, kind: Kind) -> bool {
        self.kinds
            .as_ref()
            .is_none_or(|kinds| kinds.contains(&kind))
    }
}

/// Why the configuration cannot be used.
#[derive(Debug)]
pub enum Error {
    /// A file cannot be read.
    Read(PathBuf, io::Error),
    /// It is not TOML, or has a setting that is not known.
    Toml(PathBuf, Box<toml::de::Error>),
    /// A setting makes no sense.
    Setting(String),
    /// A policy cannot be used.
    Policy(PathBuf, policy::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::Toml(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Setting(what) => f.write_str(what),
            Self::Policy(path, error) => write!(f, "policy {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for Error {}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::Read(path.to_owned(), error))
}

impl Config {
    /// Reads the file. Without one, everything has its default.
    ///
    /// # Errors
    ///
    /// It cannot be read, or makes no sense.
    pub fn read(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let bytes = read(path)?;
        let config = toml::from_slice(&bytes);
        let config: Self = config.map_err(|error| Error::Toml(path.to_owned(), Box::new(error)))?;
        config.check()
    }

    fn check(self) -> Result<Self, Error> {
        let mut names = BTreeSet::new();
        for action in &self.action {
            let wrong = |what: &str| {
                let name = &action.name;
                Err(Error::Setting(format!("action '{name}': {what}")))
            };
            if action.name.is_empty() || !names.insert(&action.name) {
                return wrong("each action needs a name of its own");
            }
            if !action
                .program
                .first()
                .is_some_and(|program| Path::new(program).is_absolute())
            {
                return wrong("program is a list that starts with an absolute path");
            }
        }
        if self.interval < Duration::from_secs(1) {
            return Err(Error::Setting("interval: at least 1s".into()));
        }
        let most = self.max_upload.saturating_mul(COPIES);
        if self.max_upload == 0 || self.memory < most {
            let what = "memory: at least three times max_upload, which is at least 1";
            return Err(Error::Setting(what.into()));
        }
        let places = [self.max_connections, self.max_connections_of_one];
        if places.contains(&0) || self.max_requests_of_one == 0 {
            let what = "max_connections, max_connections_of_one, max_requests_of_one: at least 1";
            return Err(Error::Setting(what.into()));
        }
        Ok(self)
    }

    /// How many connections there may be.
    pub fn connections(&self) -> Most {
        Most {
            in_all: self.max_connections,
            of_one: self.max_connections_of_one,
        }
    }

    /// Compiles the policies.
    ///
    /// # Errors
    ///
    /// One cannot be used.
    pub fn policy(&self) -> Result<Policy, Error> {
        let mut compiler = Compiler::default();
        for source in &self.policy {
            let (path, done) = match source {
                Source::Keylime(path) => (path, compiler.keylime(&read(path)?)),
                Source::Sha256sums(path) => (path, compiler.sums(&read(path)?)),
            };
            done.map_err(|error| Error::Policy(path.clone(), error))?;
        }
        Ok(compiler.finish())
    }

    /// Bytes of a request with evidence.
    pub fn max_request(&self) -> usize {
        usize::try_from(self.max_upload << 20).unwrap_or(usize::MAX)
    }
}

/// Durations as people write them: `30s`, `5min`.
mod duration {
    use serde::{de::Error, Deserialize, Deserializer};
    use std::time::Duration;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_duration(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        fs::write(&path, text).unwrap();
        Config::read(Some(&path))
    }

    #[test]
    fn everything_has_a_default() {
        let config = config("").unwrap();
        assert_eq!(config.interval, Duration::from_secs(60));
        assert!(!config.policy().unwrap().is_given());
    }

    #[test]
    fn settings() {
        let text = "listen = '[::1]:1'\ninterval = '5min'\n[[policy]]\nsha256sums = '/none'\n\
                    [[action]]\nname = 'kill'\nprogram = ['/bin/kill', 'x']\nkinds = ['file']\n";
        let config = config(text).unwrap();
        assert_eq!(config.interval, Duration::from_secs(300));
        assert!(config.action[0].wants(Kind::File) && !config.action[0].wants(Kind::Gap));
        assert!(matches!(config.policy(), Err(Error::Read(..))));
    }

    #[test]
    fn mistakes() {
        for wrong in [
            "interval = 5",
            "interval = '0s'",
            "intervall = '5s'",
            "memory = 1",
            "max_connections = 0",
            "max_requests_of_one = 0",
            "[[action]]\nname = 'a'\nprogram = ['kill']",
            "[[action]]\nprogram = ['/bin/kill']",
            "[[action]]\nname = 'a'\nprogram = []",
            "[[action]]\nname = 'a'\nprogram = ['/b']\nkinds = ['fil']",
            "[[action]]\nname = 'a'\nprogram = ['/b']\n[[action]]\nname = 'a'\nprogram = ['/b']",
        ] {
            assert!(config(wrong).is_err(), "{wrong}");
        }
    }
}
