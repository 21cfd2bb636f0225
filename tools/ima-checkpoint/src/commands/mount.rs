// SPDX-License-Identifier: GPL-2.0

//! `mount`: the full list as files, for programs that know nothing of checkpoints.

use super::{cat::find, exit::Code, failure::Failure, Result};
use crate::{
    cli::{ArchiveOption, KernelOption},
    error::Error,
    escape::Escaped,
    full_list::Seekable,
    fuse::Files,
    notify,
};
use clap::Args;
use fuser::{Session, SessionACL};
use rustix::{
    fs::{statfs, FsWord, Mode, OFlags},
    io::Errno,
    mount::{mount, unmount, MountFlags, UnmountFlags},
};
use signal_hook::{consts::TERM_SIGNALS, low_level::pipe};
use std::{
    ffi::CString,
    fs,
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{fs::MetadataExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    thread,
};

/// What statfs(2) says of a FUSE file system.
const FUSE_MAGIC: FsWord = 0x6573_5546;

/// What wakes the program when the file system was unmounted by somebody else; a signal gives
/// another byte.
const UNMOUNTED: u8 = 0;

/// Show the full measurement list as files with IMA's names, until stopped
///
/// The files belong to root and the group of DIR.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// An empty directory
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Let users other than root open the files, as far as their modes allow
    #[arg(long)]
    allow_other: bool,

    #[command(flatten)]
    archive: ArchiveOption,

    #[command(flatten)]
    kernel: KernelOption,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<Code> {
    let folder = checked(&arguments.folder)?;
    let kernel = arguments.kernel.open()?;
    let live = kernel.status()?.log_id().to_owned();
    let archive = arguments.archive.clone();
    if archive
        .log_id
        .as_ref()
        .is_some_and(|wanted| *wanted != live)
    {
        return Err(Failure::usage(
            "--log-id: only the log of the running kernel can be mounted; `ima-checkpoint cat` shows others",
        ));
    }
    let whole = Seekable::new(kernel.clone(), move || find(&archive, &live))?;
    let group = fs::metadata(&folder).map_or(0, |metadata| metadata.gid());
    let files = Files::new(whole, kernel, group)?;

    let (mut stopped, stop) =
        UnixStream::pair().map_err(|error| Error::io("wait for", "signals", error))?;
    for signal in TERM_SIGNALS {
        let registered = stop
            .try_clone()
            .and_then(|stop| pipe::register(*signal, stop));
        registered.map_err(|error| Error::io("wait for", "signals", error))?;
    }
    let device = attach(&folder, arguments.allow_other)?;
    let session = thread::spawn(move || {
        let result = Session::from_fd(files, device, SessionACL::All).run();
        let _ = (&stop).write(&[UNMOUNTED]);
        result
    });
    notify::ready();
    let mut woken = [0];
    stopped
        .read_exact(&mut woken)
        .map_err(|error| Error::io("wait for", "signals", error))?;
    if woken != [UNMOUNTED] {
        // who has a file open keeps it until this program ends
        let detached = unmount(&folder, UnmountFlags::DETACH);
        detached.map_err(|error| Error::io("unmount", &folder, error))?;
        return Ok(Code::Verified);
    }
    match session.join() {
        Ok(Err(error)) => Err(Error::io("serve", &folder, error).into()),
        Ok(Ok(())) => Ok(Code::Verified),
        Err(_) => Err(Failure::Crashed),
    }
}

/// The folder, if it can be mounted on.
fn checked(folder: &Path) -> Result<PathBuf> {
    let shown = Escaped::path(folder);
    let failed = |error: io::Error| match error.raw_os_error() {
        Some(code) if code == Errno::NOTCONN.raw_os_error() => Failure::LeftMounted {
            folder: folder.to_owned(),
        },
        _ => Error::io("mount on", folder, error).into(),
    };
    let folder = folder.canonicalize().map_err(failed)?;
    let found = statfs(&folder).map_err(|error| failed(error.into()))?;
    if found.f_type == FUSE_MAGIC {
        return Err(Failure::usage(format!(
            "something is already mounted on {shown}: run `umount {shown}` first"
        )));
    }
    match fs::read_dir(&folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(folder),
        Ok(false) => Err(Failure::usage(format!(
            "{shown} is not empty: name an empty directory"
        ))),
        Err(error) => Err(failed(error)),
    }
}

/// Mounts a FUSE file system, and gives the device by which it is served.
fn attach(folder: &Path, allow_other: bool) -> Result<OwnedFd> {
    let open = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let device = open.map_err(|error| {
        let error = Error::io("open", "/dev/fuse", error);
        error.during("FUSE is not available: run `modprobe fuse` (CONFIG_FUSE_FS)")
    })?;
    let allow_other = if allow_other { ",allow_other" } else { "" };
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0,default_permissions{allow_other}",
        device.as_raw_fd()
    );
    let options = CString::new(options).unwrap_or_default();
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    match mount("ima-checkpoint", folder, "fuse", flags, options.as_c_str()) {
        Ok(()) => Ok(device),
        Err(error @ (Errno::PERM | Errno::ACCESS)) => {
            let folder = folder.to_owned();
            Err(Failure::MountDenied { folder, error })
        }
        Err(error) => Err(Error::io("mount on", folder, error).into()),
    }
}
