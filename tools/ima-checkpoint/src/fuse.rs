// SPDX-License-Identifier: GPL-2.0

//! The whole log as a file system with the names of IMA's own files.
//!
//! Nothing that grows is cached: each read at the end of the list asks the kernel, and so does
//! each stat. Files tell their true size, other than in securityfs, since sendfile(2) reads up to it.

use crate::{
    bank::Bank,
    error::{Error, Result},
    full_list::Seekable,
    kernel::{Format, Kernel},
    notify::{complain, Level},
    view::View,
};
use fuser::{
    consts::FOPEN_DIRECT_IO, FileAttr, FileType, Filesystem, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyEntry, ReplyOpen, Request, FUSE_ROOT_ID,
};
use rustix::io::Errno;
use std::{
    ffi::OsStr,
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

/// How long the kernel may believe a name and its size.
const NEVER: Duration = Duration::ZERO;

/// Mode of a list file, as in securityfs.
const FILE_MODE: u16 = 0o440;

/// Mode of the directory and of links.
const OPEN_MODE: u16 = 0o555;

/// What a file shows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    List(View),
    Link(String),
    Count,
    Violations,
}

#[derive(Clone, Debug)]
struct Node {
    name: String,
    content: Content,
}

/// The file system. Its directory is inode 1, the files follow.
pub struct Files {
    whole: Seekable,
    kernel: Kernel,
    nodes: Vec<Node>,
    group: u32,
    mounted: SystemTime,
    /// What was last said of a read that failed.
    said: String,
}

impl Files {
    /// Shows a log with the files that the kernel has for its banks. They belong to root and to
    /// `group`.
    ///
    /// # Errors
    ///
    /// The kernel's files cannot be listed.
    pub fn new(whole: Seekable, kernel: Kernel, group: u32) -> Result<Self> {
        Ok(Self {
            nodes: nodes(kernel.ima())?,
            whole,
            kernel,
            group,
            mounted: SystemTime::now(),
            said: String::new(),
        })
    }

    fn node(&self, inode: u64) -> Option<&Node> {
        let index = inode.checked_sub(FUSE_ROOT_ID + 1)?;
        self.nodes.get(usize::try_from(index).ok()?)
    }

    fn attributes(&mut self, inode: u64) -> Option<FileAttr> {
        let content = self.node(inode).map(|node| node.content.clone());
        let (kind, perm, size) = match content {
            Some(Content::Link(target)) => (FileType::Symlink, 0o777, target.len() as u64),
            Some(content) => (FileType::RegularFile, FILE_MODE, self.size(&content)),
            None if inode == FUSE_ROOT_ID => (FileType::Directory, OPEN_MODE, 0),
            None => return None,
        };
        let time = self.mounted;
        Some(FileAttr {
            ino: inode,
            size,
            blocks: 0,
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: self.group,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    /// Bytes of a file. If that cannot be told it is one: reading it then says why, and nobody
    /// takes the file for an empty one.
    fn size(&mut self, content: &Content) -> u64 {
        let size = match content {
            Content::List(view) => self.said(|files| files.whole.size(*view)),
            _ => self.number(content).map(|text| text.len() as u64),
        };
        size.unwrap_or(1)
    }

    fn contents(&mut self, inode: u64, offset: u64, size: usize) -> Result<Vec<u8>, Errno> {
        let content = self.node(inode).map(|node| node.content.clone());
        let all = match content {
            Some(Content::List(view)) => {
                return self.said(|files| files.whole.read(view, offset, size))
            }
            Some(content) => self.number(&content)?,
            None => return Err(Errno::INVAL),
        };
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| all.get(offset..));
        let rest = rest.unwrap_or_default();
        Ok(rest.get(..size).unwrap_or(rest).to_vec())
    }

    /// What a file with a number shows.
    fn number(&mut self, content: &Content) -> Result<Vec<u8>, Errno> {
        match content {
            Content::Count => {
                self.said(|files| Ok(format!("{}\n", files.whole.records()?).into_bytes()))
            }
            Content::Violations => self.said(|files| {
                let path = files.kernel.ima().join("violations");
                fs::read(&path).map_err(|error| Error::io("read", &path, error))
            }),
            Content::List(_) | Content::Link(_) => Err(Errno::INVAL),
        }
    }

    /// Says why something failed, once, and gives EIO.
    fn said<T>(&mut self, read: impl Fn(&mut Self) -> Result<T>) -> Result<T, Errno> {
        read(self).inspect(|_| self.said.clear()).map_err(|error| {
            let text = error.to_string();
            if text != self.said {
                complain(Level::Warning, format!("reading fails with EIO: {text}"));
                self.said = text;
            }
            Errno::IO
        })
    }
}

/// The list files in this folder, the count and the violations.
fn nodes(ima: &Path) -> Result<Vec<Node>> {
    let io = |error| Error::io("list", ima, error);
    let mut nodes = Vec::new();
    for entry in fs::read_dir(ima).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let node = name.to_str().and_then(|name| node(ima, name));
        nodes.extend(node);
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(nodes)
}

fn node(ima: &Path, name: &str) -> Option<Node> {
    let list = |format: Format| {
        let bank = name
            .strip_prefix(format.name())?
            .strip_prefix("_runtime_measurements")?;
        if let Ok(target) = fs::read_link(ima.join(name)) {
            let target = target.file_name()?.to_str()?.to_owned();
            return Some(Content::Link(target));
        }
        let bank = match bank.strip_prefix('_') {
            Some(bank) => Bank::from_name(bank)?,
            None if bank.is_empty() => Bank::Sha1,
            None => return None,
        };
        Some(Content::List(View { format, bank }))
    };
    let content = match name {
        "runtime_measurements_count" => Content::Count,
        "violations" => Content::Violations,
        _ => list(Format::Binary).or_else(|| list(Format::Ascii))?,
    };
    let name = name.to_owned();
    Some(Node { name, content })
}

impl Filesystem for Files {
    fn lookup(&mut self, _: &Request<'_>, parent: u64, name: &OsStr, reply: ReplyEntry) {
        let known = self
            .nodes
            .iter()
            .position(|node| node.name.as_str() == name);
        let known = known.filter(|_| parent == FUSE_ROOT_ID);
        match known.and_then(|index| self.attributes(FUSE_ROOT_ID + 1 + index as u64)) {
            Some(attributes) => reply.entry(&NEVER, &attributes, 0),
            None => reply.error(Errno::NOENT.raw_os_error()),
        }
    }

    fn getattr(&mut self, _: &Request<'_>, inode: u64, _: Option<u64>, reply: ReplyAttr) {
        match self.attributes(inode) {
            Some(attributes) => reply.attr(&NEVER, &attributes),
            None => reply.error(Errno::NOENT.raw_os_error()),
        }
    }

    fn readlink(&mut self, _: &Request<'_>, inode: u64, reply: ReplyData) {
        match self.node(inode).map(|node| &node.content) {
            Some(Content::Link(target)) => reply.data(target.as_bytes()),
            _ => reply.error(Errno::INVAL.raw_os_error()),
        }
    }

    fn open(&mut self, _: &Request<'_>, _: u64, _: i32, reply: ReplyOpen) {
        reply.opened(0, FOPEN_DIRECT_IO);
    }

    fn read(
        &mut self,
        _: &Request<'_>,
        inode: u64,
        _: u64,
        offset: i64,
        size: u32,
        _: i32,
        _: Option<u64>,
        reply: ReplyData,
    ) {
        let offset = u64::try_from(offset).unwrap_or(u64::MAX);
        match self.contents(inode, offset, size as usize) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error.raw_os_error()),
        }
    }

    fn readdir(&mut self, _: &Request<'_>, _: u64, _: u64, offset: i64, mut reply: ReplyDirectory) {
        let files = self
            .nodes
            .iter()
            .zip(FUSE_ROOT_ID + 1..)
            .map(|(node, inode)| {
                let kind = match node.content {
                    Content::Link(_) => FileType::Symlink,
                    _ => FileType::RegularFile,
                };
                (inode, kind, node.name.as_str())
            });
        let folder = [".", ".."].map(|name| (FUSE_ROOT_ID, FileType::Directory, name));
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        for ((inode, kind, name), next) in folder.into_iter().chain(files).zip(1..).skip(skip) {
            if reply.add(inode, next, kind, name) {
                break;
            }
        }
        reply.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io, os::unix::fs::symlink};

    #[test]
    fn files_of_the_kernel() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let ima = folder.path();
        for name in [
            "ascii_runtime_measurements_sha256",
            "binary_runtime_measurements_tpm_alg_27",
            "binary_runtime_measurements_sha1",
            "binary_runtime_measurements_what",
            "runtime_measurements_count",
            "violations",
            "policy",
        ] {
            fs::write(ima.join(name), "")?;
        }
        symlink(
            "binary_runtime_measurements_sha1",
            ima.join("binary_runtime_measurements"),
        )?;
        let nodes = nodes(ima).map_err(io::Error::other)?;
        let view = |format, bank| Content::List(View { format, bank });
        let found: Vec<_> = nodes
            .into_iter()
            .map(|node| (node.name, node.content))
            .collect();
        let wanted = [
            (
                "ascii_runtime_measurements_sha256",
                view(Format::Ascii, Bank::Sha256),
            ),
            (
                "binary_runtime_measurements",
                Content::Link("binary_runtime_measurements_sha1".into()),
            ),
            (
                "binary_runtime_measurements_sha1",
                view(Format::Binary, Bank::Sha1),
            ),
            (
                "binary_runtime_measurements_tpm_alg_27",
                view(Format::Binary, Bank::Sha3_256),
            ),
            ("runtime_measurements_count", Content::Count),
            ("violations", Content::Violations),
        ];
        assert_eq!(
            found,
            wanted.map(|(name, content)| (name.to_owned(), content))
        );
        Ok(())
    }
}
