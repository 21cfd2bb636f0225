// SPDX-License-Identifier: GPL-2.0

//! `reindex`: write the index of logs anew.

use super::{
    exit::{worst, Code},
    fsck::choose,
    print, Result,
};
use crate::{
    archive::{reindex::reindex, Archive},
    notify::{complain, Level},
};
use clap::Args;
use std::path::PathBuf;

/// Rebuild the indexes of an archive from its files
///
/// Files that an index names, but that do not exist, are forgotten: run `fsck` first.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The archive
    #[arg(long, value_name = "DIR", default_value = "/var/lib/ima-checkpoint")]
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
    for name in choose(
        &archive,
        arguments.host.as_deref(),
        arguments.log_id.as_deref(),
    )? {
        let files = reindex(&archive, &name, |fault| {
            complain(Level::Warning, &fault);
            code = worst([code, (&fault).into()]);
        })?;
        print(&format!("{name}: {files} files\n"))?;
    }
    Ok(code)
}
