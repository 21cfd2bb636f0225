// SPDX-License-Identifier: GPL-2.0

//! A TPM, asked through the programs of tpm2-tools.
//!
//! The crate tss-esapi would ask it directly. But it links to the C libraries of the TPM software
//! stack, which an archiver or a verifier would then need on each machine, while administrators who
//! made an attestation key have tpm2-tools already, and their documentation names keys as these
//! programs do. The programs are run a few times an hour; what they cost does not matter. They find
//! the TPM by the variable `TPM2TOOLS_TCTI`, or by themselves.
//!
//! Nothing that they write is believed: the key is parsed, the quote is verified with it, and what
//! the kernel gets is put together here.

use super::{Error, Signed, Signer};
use crate::{
    bank::{Bank, Digest},
    error::{self, Result},
    escape,
    evidence::files,
    quote::{self, Algorithm, AttestationKey, KeyName, Nonce, Quote},
    replay::Register,
};
use ima_checkpoint_format::quote::Evidence;
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a program may take. The kernel gives up on a TPM after two minutes.
const LIMIT: Duration = Duration::from_secs(150);
/// How often is looked whether it ended.
const PAUSE: Duration = Duration::from_millis(10);
/// Bytes that are read of what it says.
const SAID: u64 = 2048;

/// A key in a TPM: a persistent handle, such as `0x81010002`, or a file with its context.
#[derive(Clone, Debug)]
pub struct Tools {
    quote: PathBuf,
    key: OsString,
    public: AttestationKey,
}

impl Tools {
    /// Reads the public part of the key.
    ///
    /// # Errors
    ///
    /// tpm2-tools are not installed, the TPM has no such key, or it is none for quotes.
    pub fn open(key: &OsStr) -> Result<Self> {
        Self::with(Path::new(""), key)
    }

    /// The same with programs of this folder; of the path, if that is empty.
    pub(super) fn with(folder: &Path, key: &OsStr) -> Result<Self> {
        let work = Work::new()?;
        work.run(&folder.join("tpm2_readpublic"), |command| {
            command.arg("-c").arg(key).args(["-f", "tss", "-o"]);
            command.arg(work.path("key"))
        })?;
        let public = AttestationKey::parse(&work.read("key")?).map_err(Error::Key)?;
        Ok(Self {
            quote: folder.join("tpm2_quote"),
            key: key.to_owned(),
            public,
        })
    }
}

impl Signer for Tools {
    fn name(&self) -> &[u8] {
        self.public.name().map_or(&[], KeyName::as_bytes)
    }

    fn quote(&self, pcrs: &[Register], over: &Digest) -> Result<Signed> {
        let work = Work::new()?;
        work.run(&self.quote, |command| {
            command.arg("-c").arg(&self.key);
            command.args(["-l", &selection(pcrs), "-q", &over.to_string()]);
            if let Some(scheme) = self.public.scheme() {
                let name = match scheme.algorithm {
                    Algorithm::RsaSsa => "rsassa",
                    Algorithm::RsaPss => "rsapss",
                    Algorithm::EcDsa => "ecdsa",
                };
                command.args(["-g", bank_name(scheme.hash), "--scheme", name]);
            }
            command.args(["-f", "tss", "-m"]).arg(work.path("message"));
            command.arg("-s").arg(work.path("signature"))
        })?;
        let (message, signature) = (work.read("message")?, work.read("signature")?);
        checked(&self.public, message, signature, over)
    }
}

/// As tpm2-tools name a bank.
fn bank_name(bank: Bank) -> &'static str {
    match bank {
        Bank::Sm3 => "sm3_256",
        Bank::Sha3_256 => "sha3_256",
        Bank::Sha3_384 => "sha3_384",
        Bank::Sha3_512 => "sha3_512",
        other => other.name(),
    }
}

/// As `tpm2_quote -l` takes it: `sha1:10+sha256:10,11`.
fn selection(pcrs: &[Register]) -> String {
    let mut banks: BTreeMap<Bank, Vec<String>> = BTreeMap::new();
    for register in pcrs {
        let of_bank = banks.entry(register.bank).or_default();
        of_bank.push(register.pcr.to_string());
    }
    let banks = banks.iter();
    let banks = banks.map(|(bank, pcrs)| format!("{}:{}", bank_name(*bank), pcrs.join(",")));
    banks.collect::<Vec<_>>().join("+")
}

/// Verifies what a TPM gave, and puts it together for the kernel.
///
/// # Errors
///
/// It is no quote over that digest by this key, or too large.
pub(super) fn checked(
    key: &AttestationKey,
    message: Vec<u8>,
    signature: Vec<u8>,
    over: &Digest,
) -> Result<Signed> {
    let name = key.name().cloned();
    let name = name.ok_or_else(|| Error::Key(quote::Error::NotAKey("it has no name".into())))?;
    let nonce = Nonce::try_from(over.as_bytes()).ok();
    // that a key signs SHA-1 is for a verifier to judge
    let quote = Quote::verify(&message, &signature, key, nonce.as_ref(), true);
    let quote = quote.map_err(Error::NotAQuote)?;
    let sized = |bytes: &[u8]| {
        let size = u16::try_from(bytes.len()).map_err(|_| Error::TooLarge)?;
        Ok::<_, Error>([&size.to_be_bytes(), bytes].concat())
    };
    let mut evidence = sized(name.as_bytes())?;
    evidence.extend(sized(&message)?);
    evidence.extend(signature);
    Evidence::parse(&evidence).map_err(|_| Error::TooLarge)?;
    Ok(Signed {
        key: name,
        quote,
        evidence,
    })
}

/// A folder in which a program leaves its files, gone when this is dropped.
struct Work {
    folder: tempfile::TempDir,
    limit: Duration,
}

impl Work {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir();
        let failed = |cause| error::Error::io("create", "a temporary directory", cause);
        Ok(Self {
            folder: folder.map_err(failed)?,
            limit: LIMIT,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        files::read(&self.path(name))
    }

    /// Runs a program where we are, so that it finds the file of a key, and waits until it ends.
    fn run(&self, tool: &Path, with: impl FnOnce(&mut Command) -> &mut Command) -> Result<()> {
        let path = self.path("said");
        let failed = |cause| error::Error::io("create", &path, cause);
        let said = File::create(&path).map_err(failed)?;
        let mut command = Command::new(tool);
        with(&mut command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said);
        let tool = tool.to_owned();
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Err(Error::NoTool { tool, error }.into()),
        };
        match wait(&mut child, self.limit) {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(_)) => {
                let said = said_in(&path);
                Err(Error::Failed { tool, said }.into())
            }
            Ok(None) => {
                let seconds = self.limit.as_secs();
                Err(Error::Slow { tool, seconds }.into())
            }
            Err(error) => Err(error::Error::io("wait for", &tool, error)),
        }
    }
}

/// Waits until a program ends; stops it, and gives nothing, if it takes too long.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(None) if start.elapsed() < limit => thread::sleep(PAUSE),
            Ok(None) => {
                // what cannot be stopped is left behind: a TPM's driver may hold it
                child.kill()?;
                return Ok(None);
            }
            ended => return ended,
        }
    }
}

/// The last line of what a program said, which names the cause with tpm2-tools.
fn said_in(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(SAID).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    // the very last one only says that it was not able to run
    let mut errors = lines.filter(|line| !line.contains("Unable to run"));
    match (read, errors.next_back()) {
        (Ok(_), Some(line)) => escape::line(line),
        _ => "it said nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::signer::{Held, Key, Moment};
    use std::{fs, os::unix::fs::PermissionsExt};

    type Tested = std::result::Result<(), Box<dyn std::error::Error>>;

    /// A folder with programs that are none of tpm2-tools, and what they give.
    struct Fake {
        folder: tempfile::TempDir,
        key: Key,
    }

    /// Copies the file of this name to where the option tells.
    const COPY: &str = r#"
give() {
    from=$1 option=$2
    shift 2
    while [ "$1" != "$option" ]; do shift; done
    cp "$(dirname "$0")/$from" "$2"
}
"#;

    fn pcrs() -> Vec<Register> {
        let at = |pcr, bank| Register { pcr, bank };
        vec![
            at(10, Bank::Sha1),
            at(10, Bank::Sha256),
            at(11, Bank::Sha256),
            at(10, Bank::Sm3),
        ]
    }

    fn over() -> Digest {
        Bank::Sha256.hash(&[b"a checkpoint"])
    }

    impl Fake {
        fn new() -> std::io::Result<Self> {
            let (folder, key) = (tempfile::tempdir()?, Key::new(7));
            let new = Self { folder, key };
            let held: Held = pcrs().into_iter().map(|at| (at, at.bank.zeros())).collect();
            let (message, signature) = new.key.sign(over().as_bytes(), &held, Moment::default());
            fs::write(new.path("public"), &new.key.public)?;
            fs::write(new.path("made-message"), message)?;
            fs::write(new.path("made-signature"), signature)?;
            new.program("tpm2_readpublic", r#"give public -o "$@""#)?;
            let quote = r#"echo "$@" >"$(dirname "$0")/asked"
                give made-message -m "$@" && give made-signature -s "$@""#;
            new.program("tpm2_quote", quote)?;
            Ok(new)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn program(&self, name: &str, script: &str) -> std::io::Result<()> {
            // renamed into place: what is open for writing cannot be run
            let new = self.path("new");
            fs::write(&new, format!("#!/bin/sh\n{COPY}\n{script}\n"))?;
            fs::set_permissions(&new, fs::Permissions::from_mode(0o700))?;
            fs::rename(new, self.path(name))
        }

        fn open(&self) -> Result<Tools> {
            Tools::with(self.folder.path(), OsStr::new("0x81010002"))
        }

        fn error(&self) -> String {
            let made = self.open().and_then(|key| key.quote(&pcrs(), &over()));
            made.err()
                .map_or_else(String::new, |error| error.to_string())
        }
    }

    #[test]
    fn what_is_asked_and_given() -> Tested {
        let fake = Fake::new()?;
        let signed = fake.open()?.quote(&pcrs(), &over())?;
        let asked = fs::read_to_string(fake.path("asked"))?;
        let wanted = format!(
            "-c 0x81010002 -l sha1:10+sha256:10,11+sm3_256:10 -q {} -g sha256 --scheme ecdsa -f tss -m",
            over()
        );
        assert!(asked.starts_with(&wanted), "{asked}");
        assert_eq!(signed.key.as_bytes(), fake.key.name);
        let sized = |bytes: &[u8]| [&[0, bytes.len() as u8], bytes].concat();
        let message = fs::read(fake.path("made-message"))?;
        let signature = fs::read(fake.path("made-signature"))?;
        let evidence = [sized(&fake.key.name), sized(&message), signature].concat();
        assert_eq!(signed.evidence, evidence);
        Ok(())
    }

    #[test]
    fn what_is_wrong_is_said() -> Tested {
        let fake = Fake::new()?;
        let other = Bank::Sha256.hash(&[b"another"]);
        let error = fake.open()?.quote(&pcrs(), &other).err();
        assert!(error.is_some_and(|error| error.to_string().contains("not a quote over")));

        let failing = r#"echo "WARNING: x" >&2
            echo "ERROR: the key $(printf '\033')[m is not there" >&2
            echo "ERROR: Unable to run tpm2_quote" >&2
            exit 1"#;
        fake.program("tpm2_quote", failing)?;
        let error = fake.error();
        assert!(
            error.contains("tpm2_quote failed: ERROR: the key \\x1b[m is not there:"),
            "{error}"
        );

        fs::write(fake.path("public"), Key::new(8).public)?;
        fake.program(
            "tpm2_quote",
            r#"give made-message -m "$@"; give made-signature -s "$@""#,
        )?;
        assert!(fake.error().contains("was not made with this key"));
        fs::write(fake.path("public"), "rubbish")?;
        assert!(fake.error().starts_with("--key: not a public key"));
        fs::write(fake.path("public"), &fake.key.pem)?;
        assert!(fake.error().contains("it has no name"));
        fs::remove_file(fake.path("tpm2_readpublic"))?;
        assert!(fake.error().contains("install tpm2-tools"));
        Ok(())
    }

    #[test]
    fn nothing_is_waited_for_forever() -> Tested {
        let fake = Fake::new()?;
        fake.program("tpm2_quote", "exec sleep 60")?;
        let work = Work {
            limit: Duration::from_millis(200),
            ..Work::new()?
        };
        let start = Instant::now();
        let error = work.run(&fake.path("tpm2_quote"), |command| command);
        assert!(error.is_err_and(|error| error.to_string().contains("was stopped")));
        assert!(start.elapsed() < Duration::from_secs(30));
        Ok(())
    }
}
