// SPDX-License-Identifier: GPL-2.0

//! PCR values from the TPM of this host, as the kernel shows them.

use super::Error as Unfit;
use crate::{
    bank::{Bank, Digest},
    error::{Error, Result},
    replay::{Register, Values},
};
use std::{fs, io, path::Path};

/// Where Linux shows the PCRs of the first TPM.
pub const TPM: &str = "/sys/class/tpm/tpm0";

/// All PCRs of a TPM.
///
/// # Errors
///
/// [`Unfit::NoPcrs`] if there is no TPM 2.0, or the kernel does not show its PCRs.
pub fn values(folder: &Path) -> Result<Values> {
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
                text => text.map_err(|error| Error::io("read", &path, error))?,
            };
            let value = Digest::from_hex(text.trim_end());
            let value = value.filter(|value| value.as_bytes().len() == bank.size());
            let wrong = || Unfit::NotAValue { path, bank };
            values.insert(Register { pcr, bank }, value.ok_or_else(wrong)?);
        }
    }
    if values.is_empty() {
        let folder = folder.to_owned();
        return Err(Unfit::NoPcrs { folder }.into());
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tpm_in_sysfs() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        assert!(matches!(
            values(folder.path()),
            Err(Error::Evidence(Unfit::NoPcrs { .. }))
        ));
        let bank = folder.path().join("pcr-sha256");
        fs::create_dir(&bank)?;
        fs::write(bank.join("10"), "AB".repeat(32) + "\n")?;
        let seen = values(folder.path()).unwrap_or_default();
        let register = Register {
            pcr: 10,
            bank: Bank::Sha256,
        };
        assert_eq!(seen, Values::from([(register, Digest::new(&[0xab; 32]))]));
        fs::write(bank.join("11"), "AB".repeat(20) + "\n")?;
        assert!(matches!(
            values(folder.path()),
            Err(Error::Evidence(Unfit::NotAValue { .. }))
        ));
        Ok(())
    }
}
