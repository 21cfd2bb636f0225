// SPDX-License-Identifier: GPL-2.0

//! The command line.

use crate::{
    config::{self, Config},
    server::{self, App},
    store::{self, Host, State, Store},
    time, tls,
};
use clap::{Parser, Subcommand};
use std::{
    fmt, fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Verify the IMA measurement lists of hosts as they grow, and act on what they break.
#[derive(Clone, Debug, Parser)]
#[command(name = "ima-monitor", version, max_term_width = 100)]
pub struct Cli {
    /// The configuration file; without one, everything has its default
    #[arg(long, short, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Wait for hosts, verify what they send, and act on it
    Serve,
    /// List hosts, and how far each is proven
    Hosts,
    /// Let a host attest that has registered
    Approve {
        /// What the host calls itself
        host: String,
        /// The Name of its attestation key, as `ima-attest init` on the host prints it
        key_name: String,
    },
    /// Forget a host and what was found on it; it can register anew
    Forget {
        /// What the host calls itself
        host: String,
    },
    /// List findings that nobody has acknowledged; ends with 1 if there are any
    Findings {
        /// As JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Acknowledge a finding: if it is found again, it is a new one
    Ack {
        /// Its number
        #[arg(required = true)]
        findings: Vec<i64>,
    },
}

/// Why a command did not do what it should.
#[derive(Debug)]
pub enum Error {
    /// The configuration.
    Config(config::Error),
    /// The database.
    Store(store::Error),
    /// TLS.
    Tls(tls::Error),
    /// Something of the system.
    System(String, io::Error),
    /// There is nothing of that name.
    None(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::System(what, error) => write!(f, "{what}: {error}"),
            Self::None(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}

impl From<config::Error> for Error {
    fn from(error: config::Error) -> Self {
        Self::Config(error)
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<tls::Error> for Error {
    fn from(error: tls::Error) -> Self {
        Self::Tls(error)
    }
}

/// How a command ended that did what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Well.
    Well,
    /// There are findings.
    Findings,
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub fn run(self) -> Result<Done, Error> {
        let config = Config::read(self.config.as_deref())?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| Error::System("no threads".into(), error))?;
        runtime.block_on(run(self.command, config))
    }
}

async fn run(command: Command, config: Config) -> Result<Done, Error> {
    match command {
        Command::Serve => serve(config).await.map(|()| Done::Well),
        Command::Hosts => {
            for host in open(&config.state).await?.hosts().await? {
                println!("{}", line(&host));
            }
            Ok(Done::Well)
        }
        Command::Approve { host, key_name } => {
            let store = open(&config.state).await?;
            match store.approve(&host, &key_name.to_lowercase()).await {
                Err(store::Error::Changed) => Err(Error::None(format!(
                    "no host '{host}' has registered a key of this Name: see `ima-monitor hosts`, and \
                     compare with what `ima-attest init` printed on the host"
                ))),
                done => Ok(done.map(|()| Done::Well)?),
            }
        }
        Command::Forget { host } => match open(&config.state).await?.forget(&host).await? {
            true => Ok(Done::Well),
            false => Err(Error::None(format!("there is no host '{host}'"))),
        },
        Command::Findings { json } => findings(&open(&config.state).await?, json).await,
        Command::Ack { findings } => {
            let store = open(&config.state).await?;
            for id in findings {
                if !store.acknowledge(id).await? {
                    return Err(Error::None(format!("there is no open finding {id}")));
                }
            }
            Ok(Done::Well)
        }
    }
}

async fn open(state: &Path) -> Result<Store, Error> {
    let mut builder = fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(state);
    made.map_err(|error| Error::System(state.display().to_string(), error))?;
    Ok(Store::open(&state.join("monitor.db")).await?)
}

fn line(host: &Host) -> String {
    let proven = match (&host.proven, host.proven_at) {
        (Some(proven), Some(at)) => {
            let at = time::rfc3339(at);
            format!("{} records proven at {at}", proven.records)
        }
        _ => "nothing proven".to_owned(),
    };
    let state = match (host.state, host.activated) {
        (State::Pending, true) => "pending",
        (State::Pending, false) => "pending, its TPM has not answered",
        (State::Approved, _) if host.doubt => "approved, the last round failed",
        (State::Approved, _) => "approved",
    };
    let seen = time::rfc3339(host.seen_at);
    format!(
        "{} {} {state}; {proven}; seen {seen}",
        host.id, host.key_name
    )
}

async fn findings(store: &Store, json: bool) -> Result<Done, Error> {
    let findings = store.findings().await?;
    for kept in &findings {
        let finding = &kept.finding;
        if json {
            let object = serde_json::json!({
                "id": kept.id, "host": kept.host, "kind": finding.kind, "text": finding.text,
                "record": finding.record, "times": kept.times,
                "first_at": time::rfc3339(kept.first_at), "last_at": time::rfc3339(kept.last_at),
            });
            println!("{object}");
        } else {
            let at = time::rfc3339(kept.last_at);
            println!(
                "{} {} {}: {} ({at}, {} times)",
                kept.id, kept.host, finding.kind, finding.text, kept.times
            );
        }
    }
    Ok(match findings.is_empty() {
        true => Done::Well,
        false => Done::Findings,
    })
}

async fn serve(config: Config) -> Result<(), Error> {
    let policy = config.policy()?;
    let store = open(&config.state).await?;
    let (tls, certificate) = tls::server(&config)?;
    let at = config.listen;
    let failed = |error| Error::System(format!("cannot listen at {at}"), error);
    let listener = std::net::TcpListener::bind(at).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let at = listener.local_addr().map_err(failed)?;
    let metrics = match config.metrics {
        Some(at) => {
            let failed = |error| Error::System(format!("cannot listen at {at}"), error);
            Some(tokio::net::TcpListener::bind(at).await.map_err(failed)?)
        }
        None => None,
    };
    let hosts = store.hosts().await?.len();
    eprintln!("<5>listening at https://{at}, with {hosts} hosts");
    if policy.is_given() {
        eprintln!("<6>the policy allows {} files and buffers", policy.len());
    } else {
        eprintln!("<4>there is no policy: lists are verified, but nothing in them is judged");
    }
    if hosts == 0 {
        let path = certificate.display();
        eprintln!(
            "<5>to add a host, copy {path} there and run \
             `ima-attest init --server https://{at} --ca cert.pem`, then here \
             `ima-monitor approve HOST KEY-NAME` with what it prints"
        );
    }
    let app = Arc::new(App::new(config, policy, store));
    let background = tokio::spawn(Arc::clone(&app).background());
    let told = Arc::clone(&app);
    let telling = async {
        match metrics {
            Some(listener) => server::tell(told, listener).await,
            None => std::future::pending().await,
        }
    };
    let serving = server::serve(app, listener, tls);
    let ended = tokio::select! {
        ended = serving => ended.map_err(failed),
        ended = telling => ended.map_err(|error| Error::System("metrics".into(), error)),
        // all that matters is on disk already
        () = terminated() => Ok(()),
        _ = background => Ok(()),
    };
    ended
}

/// Waits until somebody wants the program to end.
async fn terminated() {
    use tokio::signal::unix::{signal, SignalKind};
    let mut signals = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    let [Ok(terminate), Ok(interrupt)] = &mut signals else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
}
