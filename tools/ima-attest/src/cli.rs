// SPDX-License-Identifier: GPL-2.0

//! The command line.

use crate::{
    client::{Plain, Server},
    error::{Error, Result},
    log::Log,
    rounds,
    state::Folder,
    tpm::{Attester, Device, Scheme},
};
use clap::{Args, Parser, Subcommand};
use ima_log::quote::AttestationKey;
use openssl::{rand::rand_bytes, sha::sha256};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// Attest the IMA measurement list of this host to Keylime or to ima-monitor.
#[derive(Clone, Debug, Parser)]
#[command(name = "ima-attest", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Make an attestation key in the TPM, and register the host
    Init {
        #[command(flatten)]
        host: HostOptions,
        #[command(flatten)]
        server: ServerOptions,
        /// Keylime's registrar, where it is not at the same address
        #[arg(long, value_name = "URL")]
        registrar: Option<String>,
        /// How the attestation key signs
        #[arg(long, value_enum, default_value_t = Scheme::Rsassa)]
        scheme: Scheme,
    },
    /// Attest, again and again
    Run {
        #[command(flatten)]
        host: HostOptions,
        #[command(flatten)]
        server: ServerOptions,
        #[command(flatten)]
        list: ListOptions,
        /// Attest once, and end
        #[arg(long)]
        once: bool,
        /// Seconds from one attestation to the next, where the server does not say
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        interval: u64,
    },
}

#[derive(Args, Clone, Debug)]
struct HostOptions {
    /// The TPM, as tpm2-tools name it
    #[arg(long, value_name = "NAME", default_value = "device:/dev/tpmrm0")]
    tcti: String,
    /// The directory of the attestation key
    #[arg(long, value_name = "DIR", default_value = "/var/lib/ima-attest")]
    state: PathBuf,
    /// What the server calls this host [default: made of the endorsement key]
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
}

#[derive(Args, Clone, Debug)]
struct ServerOptions {
    /// The monitor, or Keylime's verifier
    #[arg(long, value_name = "URL")]
    server: String,
    /// Accept only servers whose certificate leads to one in this file
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Connect to this Unix socket, which leads to the server: for a host without a network
    #[arg(long, value_name = "SOCKET")]
    socket: Option<PathBuf>,
}

impl ServerOptions {
    /// The server at this address.
    fn at(&self, url: &str, id: &str, plain: Plain) -> Result<Server> {
        Server::new(url, self.ca.as_deref(), self.socket.as_deref(), id, plain)
    }
}

#[derive(Args, Clone, Debug)]
struct ListOptions {
    /// The directory with IMA's files
    #[arg(long, value_name = "DIR", default_value = ima_checkpoint::kernel::IMA)]
    ima: PathBuf,
    /// The archive of what was freed in the kernel
    #[arg(long, value_name = "DIR", default_value = "/var/lib/ima-checkpoint")]
    archive: PathBuf,
    /// A file that has the whole list, in place of the kernel and the archive
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub fn run(self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| Error::File(PathBuf::from("epoll"), error))?;
        runtime.block_on(async {
            match self.command {
                Command::Init {
                    host,
                    server,
                    registrar,
                    scheme,
                } => init(&host, &server, registrar.as_deref(), scheme).await,
                Command::Run {
                    host,
                    server,
                    list,
                    once,
                    interval,
                } => run(&host, &server, &list, once, interval).await,
            }
        })
    }
}

/// A name that stays, and tells nobody which TPM it is who does not know already.
fn name(endorsement: &[u8]) -> String {
    let hash = sha256(&[b"ima-attest\0".as_slice(), endorsement].concat());
    let digits: String = hash
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let part = |from, to| digits.get(from..to).unwrap_or_default();
    [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ]
    .join("-")
}

async fn init(
    host: &HostOptions,
    server: &ServerOptions,
    registrar: Option<&str>,
    scheme: Scheme,
) -> Result<()> {
    let state = Folder::new(&host.state)?;
    let mut device = Device::open(&host.tcti)?;
    let parts = match state.key()? {
        Some(parts) => parts,
        None => {
            let parts = device.make_key(scheme)?;
            state.keep_key(&parts)?;
            parts
        }
    };
    let mut tpm = device.load(&parts)?;
    let id = id(host, &mut tpm)?;
    let url = registrar.unwrap_or(&server.server);
    let plain = match registrar {
        Some(_) => Plain::Allowed,
        None => Plain::No,
    };
    let server = server.at(url, &id, plain)?;
    server.register(&mut tpm).await?;
    let key = AttestationKey::parse(&tpm.public()?);
    let key = key.map_err(|error| Error::Option(error.to_string()))?;
    let name = key.name().map(ToString::to_string).unwrap_or_default();
    println!("{id} {name}");
    eprintln!("<5>registered: let the host attest with `ima-monitor approve {id} {name}`");
    Ok(())
}

fn id(host: &HostOptions, tpm: &mut Attester) -> Result<String> {
    match &host.id {
        Some(id) => Ok(id.clone()),
        None => Ok(name(&tpm.endorsement()?)),
    }
}

async fn run(
    host: &HostOptions,
    server: &ServerOptions,
    list: &ListOptions,
    once: bool,
    interval: u64,
) -> Result<()> {
    let state = Folder::new(&host.state)?;
    let parts = state.key()?.ok_or_else(|| {
        let folder = host.state.display();
        Error::Option(format!(
            "{folder} has no attestation key: run `ima-attest init` first"
        ))
    })?;
    let mut tpm = Device::open(&host.tcti)?.load(&parts)?;
    let id = id(host, &mut tpm)?;
    let server = server.at(&server.server, &id, Plain::No)?;
    let mut log = Log::open(list.list.as_deref(), &list.ima, &list.archive)?;
    let mut token = None;
    let mut failures = 0;
    loop {
        let began = Instant::now();
        let open = match token.take() {
            Some(token) => Ok(token),
            None => server.open(&mut tpm).await,
        };
        let attested = match open {
            Ok(open) => {
                let attested = server.attest(&open, &mut tpm, &mut log, &state).await;
                if !attested.as_ref().is_err_and(rounds::is_of_session) {
                    token = Some(open);
                }
                attested
            }
            Err(error) => Err(error),
        };
        let pause = match attested {
            Ok(_) if once => return Ok(()),
            Err(error) if once => return Err(error),
            Ok(meta) => {
                failures = 0;
                let seconds = meta.seconds_to_next_attestation.unwrap_or(interval);
                Duration::from_secs(seconds.clamp(1, 86_400)).saturating_sub(began.elapsed())
            }
            Err(error) => {
                let mut random = [0];
                rand_bytes(&mut random)?;
                let pause = rounds::pause_after(failures, &error, random[0]);
                failures = failures.saturating_add(1);
                let seconds = pause.as_secs();
                eprintln!("<4>ima-attest: {error}; it is tried again in {seconds} s");
                pause
            }
        };
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    /// `printf 'ima-attest\0ek' | sha256sum`
    #[test]
    fn a_name_of_the_endorsement_key() {
        assert_eq!(super::name(b"ek"), "1c3d108d-8262-307b-fe60-9b0feae9ba29");
    }
}
