// SPDX-License-Identifier: GPL-2.0

//! Gets lists from archives and from the running kernel, and PCR values from its TPM.

use super::source::Source;
use crate::{
    archive::Log,
    bank::{
        Bank,
        Digest, //
    },
    kernel::Kernel,
    outcome::{
        Code,
        Error,
        Result, //
    },
    replay::{
        Register,
        Values, //
    },
    whole::Whole,
};
use rustix::io::Errno;
use std::{
    fs::{
        self,
        File, //
    },
    io,
    path::Path, //
};

/// Where Linux shows the PCRs of the first TPM.
pub const TPM: &str = "/sys/class/tpm/tpm0";

/// How often the live list is read again because it was truncated meanwhile.
const ATTEMPTS: usize = 10;

/// A list, and what else there is of it.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The list.
    pub sources: Vec<Source>,
    /// Files with other bytes for a segment that is in the list.
    pub forks: Vec<(u64, String)>,
}

impl Evidence {
    /// The segments of an archive, and those that the kernel has behind them. A gap between them is
    /// for the chain to find.
    ///
    /// # Errors
    ///
    /// It cannot be read. [`Code::Stale`] if the kernel has another log.
    pub fn archived(log: &Log, kernel: Option<&Kernel>) -> Result<Self> {
        let fork = |meta| (log.path(meta), meta.seq);
        let forks = log.forks()?;
        let forks = forks.iter().map(fork);
        let forks = forks.map(|(path, seq)| (seq, path.display().to_string()));
        let mut new = Self {
            sources: Vec::new(),
            forks: forks.collect(),
        };
        let Some(kernel) = kernel else {
            let segments = log.segments()?.into_iter();
            new.sources = segments.map(|meta| Source::archived(log, meta)).collect();
            return Ok(new);
        };
        let whole = match Whole::assemble(Some(log), Some(kernel)) {
            Err(error) if error.code() == Code::Missing => {
                let first = kernel.segments()?.first().map_or(0, |segment| segment.seq);
                let before = log.segments()?.into_iter().filter(|meta| meta.seq < first);
                new.sources = before.map(|meta| Source::archived(log, meta)).collect();
                new.sources.extend(Self::live(kernel.ima())?.sources);
                return Ok(new);
            }
            whole => whole?,
        };
        for part in whole.parts() {
            new.sources.push(match part.archived() {
                Some(meta) => Source::archived(log, meta.clone()),
                None => Source::spool(format!("live segment {}", part.seq), whole.bytes(part)?)?,
            });
        }
        Ok(new)
    }

    /// The list of any kernel with IMA.
    ///
    /// # Errors
    ///
    /// It cannot be read. [`Code::Busy`] if it was truncated again and again meanwhile.
    pub fn live(ima: &Path) -> Result<Self> {
        let path = ima.join("binary_runtime_measurements");
        for _ in 0..ATTEMPTS {
            let file = File::open(&path).map_err(|error| refused(&path, &error))?;
            match Source::spool(path.display().to_string(), file) {
                Ok(source) => {
                    return Ok(Self {
                        sources: vec![source],
                        forks: Vec::new(),
                    });
                }
                Err(error) if error.code() != Code::Stale => return Err(error),
                Err(_) => (),
            }
        }
        let path = path.display();
        let text = format!("{path} is truncated faster than it can be read: try again");
        Err(Error::new(Code::Busy, text))
    }
}

fn refused(path: &Path, error: &io::Error) -> Error {
    let hint = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::PERM | Errno::ACCESS) => "run this as root",
        Some(Errno::NOENT) => "mount securityfs there, or boot a kernel with CONFIG_IMA=y",
        _ => return Error::io("open", path, error),
    };
    Error::new(Code::Kernel, format!("{}: {error}: {hint}", path.display()))
}

/// All PCRs of a TPM.
///
/// # Errors
///
/// [`Code::Kernel`] if there is no TPM 2.0, or the kernel does not show its PCRs.
pub fn tpm(folder: &Path) -> Result<Values> {
    let mut values = Values::new();
    for bank in Bank::ALL {
        let names = [
            format!("pcr-{bank}"),
            format!("pcr-{}", bank.name().replace('-', "_")),
        ];
        let folders = names.iter().map(|name| folder.join(name));
        let Some(folder) = folders.into_iter().find(|folder| folder.is_dir()) else {
            continue;
        };
        for pcr in 0..24 {
            let path = folder.join(pcr.to_string());
            let text = match fs::read_to_string(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                text => text.map_err(|error| Error::io("read", &path, &error))?,
            };
            let value = Digest::from_hex(text.trim_end());
            let value = value.filter(|value| value.as_bytes().len() == bank.size());
            let wrong = || {
                let text = format!("{}: not a value of {bank}", path.display());
                Error::new(Code::Kernel, text)
            };
            values.insert(Register { pcr, bank }, value.ok_or_else(wrong)?);
        }
    }
    if values.is_empty() {
        let folder = folder.display();
        let text = format!("{folder} shows no PCRs: is there a TPM 2.0, and Linux 5.12 or later?");
        return Err(Error::new(Code::Kernel, text));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tpm_in_sysfs() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        assert_eq!(
            tpm(folder.path()).err().map(|error| error.code()),
            Some(Code::Kernel)
        );
        let bank = folder.path().join("pcr-sha256");
        fs::create_dir(&bank)?;
        fs::write(bank.join("10"), "AB".repeat(32) + "\n")?;
        let values = tpm(folder.path()).unwrap_or_default();
        let register = Register {
            pcr: 10,
            bank: Bank::Sha256,
        };
        assert_eq!(values, Values::from([(register, Digest::new(&[0xab; 32]))]));
        fs::write(bank.join("11"), "AB".repeat(20) + "\n")?;
        assert_eq!(
            tpm(folder.path()).err().map(|error| error.code()),
            Some(Code::Kernel)
        );
        Ok(())
    }
}
