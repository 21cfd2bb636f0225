// SPDX-License-Identifier: GPL-2.0

//! Which programs have the kernel's own list files open, as /proc tells.

use crate::kernel::Kernel;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What to do about programs that have the kernel's list open when it is to be truncated. They would
/// lose their place in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Readers {
    /// Free nothing until they closed it.
    #[default]
    Wait,
    /// Free all the same.
    Ignore,
}

/// What to tell who waits for these programs.
pub fn in_the_way(programs: &[String]) -> String {
    let (has, its, it) = match programs {
        [_] => ("has", "its", "it"),
        _ => ("have", "their", "them"),
    };
    format!(
        "{} {has} the kernel's measurement list open and would lose {its} place in it. Let {it} read \
         the files of `ima-checkpoint mount`, stop {it}, or use --force",
        programs.join(", ")
    )
}

/// `name (pid)` of each program that has a list file of this kernel open, this one excepted.
/// Programs that this user may not look into are not seen.
pub fn of_list_files(kernel: &Kernel) -> Vec<String> {
    let mut found: Vec<String> = entries(Path::new("/proc"))
        .filter(|process| another(process))
        .filter(|process| entries(&process.join("fd")).any(|fd| is_list(&fd, kernel)))
        .map(|process| describe(&process))
        .collect();
    found.sort();
    found
}

/// Is it the folder of a process, and not of this one?
fn another(process: &Path) -> bool {
    let name = process.file_name().unwrap_or_default().to_string_lossy();
    name.parse().is_ok_and(|pid: u32| pid != std::process::id())
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}

fn is_list(fd: &Path, kernel: &Kernel) -> bool {
    let Ok(target) = fs::read_link(fd) else {
        return false;
    };
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    // a file system mounted by `mount` has the same names elsewhere
    let ima = kernel.ima().canonicalize().unwrap_or_default();
    target.parent() == Some(&ima)
        && (name.starts_with("binary_runtime_measurements")
            || name.starts_with("ascii_runtime_measurements"))
}

fn describe(process: &Path) -> String {
    let pid = process.file_name().unwrap_or_default().to_string_lossy();
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    format!("{} ({pid})", name.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn another_program_is_named_and_this_one_is_not() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let ima = folder.path().canonicalize()?;
        fs::create_dir(ima.join("checkpoint"))?;
        let list = ima.join("ascii_runtime_measurements_sha1");
        fs::write(&list, "")?;
        let kernel = Kernel::open(&ima).map_err(io::Error::other)?;
        let _ours = fs::File::open(&list)?;
        assert_eq!(of_list_files(&kernel), Vec::<String>::new());

        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .stdin(fs::File::open(&list)?)
            .spawn()?;
        let expected = format!(" ({})", child.id());
        let seen = of_list_files(&kernel);
        child.kill()?;
        child.wait()?;
        assert!(seen.len() == 1 && seen[0].ends_with(&expected), "{seen:?}");
        Ok(())
    }
}
