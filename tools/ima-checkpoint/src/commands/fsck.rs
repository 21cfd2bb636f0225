// SPDX-License-Identifier: GPL-2.0

//! `fsck`: check an archive by itself.

use super::{
    exit::{worst, Code},
    print, Result,
};
use crate::{
    archive::{check::Check, remark::Remark, Archive, LogName},
    error,
    notify::{complain, Level},
};
use clap::Args;
use indicatif::{BinaryBytes, HumanCount};
use std::path::PathBuf;

/// Read an archive back and check names, metadata, checksums, digests, order and permissions
///
/// Nothing is changed. An archive without faults is consistent with itself, but whoever can write to
/// it could have invented all of it. To find out whether the TPM vouches for the segments, use
/// `verify`.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The archive: a directory, or a store such as s3://BUCKET/PREFIX
    #[arg(
        long,
        value_name = "DIR|URL",
        default_value = "/var/lib/ima-checkpoint"
    )]
    archive: PathBuf,

    /// Only this host
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// Only this log
    #[arg(long, value_name = "ID")]
    log_id: Option<String>,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<Code> {
    let archive = Archive::open(&arguments.archive)?;
    let mut code = Code::Verified;
    let mut say = |remark: Remark| {
        code = worst([code, (&remark).into()]);
        match remark.is_fault() {
            false => drop(print(&format!("note: {remark}\n"))),
            true => complain(Level::Warning, remark),
        }
    };
    let mut check = Check::new(&mut say);
    check.archive(&archive)?;
    let logs = choose(
        &archive,
        arguments.host.as_deref(),
        arguments.log_id.as_deref(),
    );
    // whatever is wrong with one, the others are checked
    match logs {
        Ok(logs) => logs.iter().for_each(|name| {
            if let Err(error) = check.log(&archive, name) {
                check.fault(error);
            }
        }),
        Err(error) => check.fault(error),
    }
    let total = check.total();
    print(&format!(
        "{} logs, {} segments, {} records, {}: {}\n",
        total.logs,
        HumanCount(total.segments),
        HumanCount(total.records),
        BinaryBytes(total.bytes),
        if code == Code::Verified {
            "good, which means consistent with itself. Whether it is what a TPM vouches for, `verify \
             --archive` tells"
        } else {
            "FAULTS"
        },
    ))?;
    Ok(code)
}

/// The logs that are asked for.
pub(super) fn choose(
    archive: &Archive,
    host: Option<&str>,
    log_id: Option<&str>,
) -> error::Result<Vec<LogName>> {
    let mut logs = archive.logs()?;
    logs.retain(|log| host.is_none_or(|host| host == log.host));
    logs.retain(|log| log_id.is_none_or(|log_id| log_id == log.log_id));
    if logs.is_empty() {
        return Err(archive.no_log(host, log_id));
    }
    Ok(logs)
}
