// SPDX-License-Identifier: GPL-2.0

//! What is sent: quotes, values of PCRs, records.

use crate::{
    error::{Error, Result},
    log::Log,
    tpm::{Attester, Scheme},
};
use ima_checkpoint::kernel::Format;
use ima_log::bank::{Bank, Digest};
use ima_push::{
    attestation::{
        Key, LogData, LogParameters, QuoteCapabilities, QuoteData, QuoteParameters, BINARY,
    },
    session::Signed,
    Base64,
};
use std::collections::BTreeMap;

/// What the TPM can quote, and how.
pub(crate) fn quotable(
    tpm: &Attester,
    banks: &BTreeMap<Bank, Vec<u32>>,
) -> Result<QuoteCapabilities> {
    let (algorithm, scheme, size) = match tpm.scheme() {
        Scheme::Rsassa => ("rsa", "rsassa", 2048),
        Scheme::Ecdsa => ("ecc", "ecdsa", 256),
    };
    let names = || banks.keys().map(|bank| bank.name().to_owned());
    Ok(QuoteCapabilities {
        component_version: Some("2.0".to_owned()),
        hash_algorithms: names().collect(),
        signature_schemes: vec![scheme.to_owned()],
        available_subjects: banks
            .iter()
            .map(|(bank, pcrs)| (bank.name().to_owned(), Some(pcrs.clone())))
            .collect(),
        certification_keys: vec![Key {
            key_class: "asymmetric".to_owned(),
            key_algorithm: Some(algorithm.to_owned()),
            key_size: size,
            server_identifier: Some("ak".to_owned()),
            local_identifier: None,
            allowable_signature_schemes: Some(vec![scheme.to_owned()]),
            // a verifier of Keylime takes no other bank than that of the signature's hash
            allowable_hash_algorithms: Some(vec![Bank::Sha256.name().to_owned()]),
            public: Some(Base64(tpm.public()?)),
        }],
    })
}

/// Quotes what is wanted, if the TPM has it.
pub(crate) fn quote(
    tpm: &mut Attester,
    banks: &BTreeMap<Bank, Vec<u32>>,
    wanted: &QuoteParameters,
) -> Result<QuoteData> {
    let named = wanted.selected_subjects.iter();
    let mut selected = named.filter_map(|(name, pcrs)| {
        let pcrs = pcrs.as_ref().filter(|pcrs| !pcrs.is_empty())?;
        Some((Bank::from_name(name)?, pcrs))
    });
    // several may be named, and one is meant
    let meant = wanted.hash_algorithm.as_deref().and_then(Bank::from_name);
    let selected = match selected.clone().find(|(bank, _)| Some(*bank) == meant) {
        Some(selected) => Some(selected),
        None => selected.next(),
    };
    let (bank, pcrs) = selected.ok_or(Error::NoBank)?;
    let has = banks.get(&bank).ok_or(Error::NoBank)?;
    let mut pcrs: Vec<u32> = pcrs
        .iter()
        .copied()
        .filter(|pcr| has.contains(pcr))
        .collect();
    pcrs.sort_unstable();
    pcrs.dedup();
    let (signed, values) = tpm.quote(&wanted.challenge.0, bank, &pcrs)?;
    Ok(QuoteData {
        signed: Signed {
            message: Base64(signed.message),
            signature: Base64(signed.signature),
        },
        subject_data: Base64(serialized(bank, &pcrs, &values)),
    })
}

/// Values of PCRs as `tpm2_quote -o` writes them: `TPML_PCR_SELECTION`, a number of lists, and so many
/// `TPML_DIGEST`, as they are in the memory of a little-endian machine.
fn serialized(bank: Bank, pcrs: &[u32], values: &[Digest]) -> Vec<u8> {
    const BANKS: usize = 16;
    const DIGESTS: usize = 8;
    let mut out = 1_u32.to_le_bytes().to_vec();
    let mut bitmap = [0_u8; 4];
    for pcr in pcrs {
        if let Some(byte) = bitmap.get_mut(*pcr as usize / 8) {
            *byte |= 1 << (pcr % 8);
        }
    }
    out.extend(bank.tpm_id().to_le_bytes());
    out.push(3);
    out.extend(bitmap);
    out.push(0);
    out.resize(4 + 8 * BANKS, 0);
    let lists = values.chunks(DIGESTS);
    out.extend((lists.len() as u32).to_le_bytes());
    for list in lists {
        let end = out.len() + 4 + DIGESTS * (2 + Digest::MAX);
        out.extend((list.len() as u32).to_le_bytes());
        for value in list {
            let bytes = value.as_bytes();
            out.extend((bytes.len() as u16).to_le_bytes());
            out.extend(bytes);
            out.resize(out.len() + Digest::MAX - bytes.len(), 0);
        }
        out.resize(end, 0);
    }
    out
}

/// The records that are wanted.
pub(crate) fn list(log: &mut Log, wanted: &LogParameters) -> Result<LogData> {
    let from = wanted.starting_offset.unwrap_or(0);
    let binary = wanted.format.as_deref() == Some(BINARY);
    let format = match binary {
        true => Format::Binary,
        false => Format::Ascii,
    };
    let records = log.from(from, format)?;
    let entries = match binary {
        true => Base64(records.bytes).encode(),
        // names may have any bytes, and JSON has text
        false => String::from_utf8_lossy(&records.bytes).into_owned(),
    };
    Ok(LogData {
        entry_count: Some(records.count),
        entries: Some(entries),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ima_log::quote::PcrValues;

    /// `tpm2_quote -o` is read by `ima-log`, which is tested with what that wrote.
    #[test]
    fn values_are_written_as_tpm2_tools_do() {
        for count in [1_u32, 8, 9, 16, 24] {
            let pcrs: Vec<u32> = (0..count).collect();
            let bank = Bank::Sha384;
            let values: Vec<_> = pcrs.iter().map(|pcr| bank.hash(&[&[*pcr as u8]])).collect();
            let bytes = serialized(bank, &pcrs, &values);
            assert_eq!(bytes.len(), 132 + 4 + 532 * (count as usize).div_ceil(8));
            let read = PcrValues::parse(&bytes, None, &[]).unwrap();
            for (pcr, value) in pcrs.iter().zip(&values) {
                assert_eq!(read.get(bank, *pcr), Some(*value));
            }
            assert_eq!(read.iter().count(), count as usize);
        }
    }
}
