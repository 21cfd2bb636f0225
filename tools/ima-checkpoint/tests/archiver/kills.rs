// SPDX-License-Identifier: GPL-2.0

//! The archiver is killed at every system call that it makes. Each time no record is lost, and the next
//! run completes what was begun.
//!
//! This program runs itself as the archiver, and traces it by ptrace(2) up to the call at which it is
//! to die.

#[path = "../../../ima-log/tests/common/mod.rs"]
mod common;
mod kernel;
mod machine;

use ima_checkpoint::{
    archive::{check::Check, remark::Remark},
    commands::exit::Code,
};
use kernel::host;
use machine::{Asked, Machine};
use nix::{
    sys::{
        ptrace,
        signal::{kill, raise, Signal},
        wait::{waitpid, WaitStatus},
    },
    unistd::Pid,
};
use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    path::Path,
    process::{exit, Command},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Says to this program that it is the archiver, in which directory.
const CHILD: &str = "IMA_CHECKPOINT_TEST_ARCHIVER";

/// More calls than any run makes.
const TOO_MANY: u64 = 20_000;

/// Something that an archiver does.
struct Scene {
    name: &'static str,
    asked: fn() -> Asked,
    /// What was there before.
    prepare: fn(&Machine) -> Result,
    /// What is there when all is done: files, and the kernel's first segment.
    files: &'static [&'static str],
    first: u64,
    /// What the run that completes it ends with.
    code: Code,
}

const SCENES: [Scene; 6] = [
    Scene {
        name: "an archive from nothing",
        asked: Asked::default,
        prepare: |_| Ok(()),
        files: &["0000000000.zst", "0000000001.zst", "0000000002.zst"],
        first: 0,
        code: Code::Verified,
    },
    Scene {
        name: "what is archived is freed",
        asked: Asked::freeing,
        prepare: |machine| {
            machine.kernel.host.replace(host("a", 1));
            machine.run(&Asked::default())?;
            machine.kernel.host.replace(host("a", 3));
            Ok(())
        },
        files: &["0000000000.zst", "0000000001.zst", "0000000002.zst"],
        first: 3,
        code: Code::Verified,
    },
    Scene {
        name: "what is freed is removed",
        asked: || Asked::removing(0),
        prepare: |machine| {
            machine.kernel.host.replace(host("a", 2));
            machine.run(&Asked::default())?;
            machine.kernel.host.replace(host("a", 3));
            Ok(())
        },
        files: &[],
        first: 3,
        code: Code::Verified,
    },
    Scene {
        name: "a tail is replaced, and another kept",
        asked: || Asked {
            keep_tail: true,
            ..Asked::freeing()
        },
        prepare: |machine| {
            machine.kernel.host.replace(host("a", 2));
            let asked = Asked {
                keep_tail: true,
                ..Asked::default()
            };
            machine.run(&asked)?;
            machine.kernel.host.replace(host("a", 3));
            Ok(())
        },
        files: &[
            "0000000000.zst",
            "0000000001.zst",
            "0000000002.zst",
            "0000000003.tail.zst",
        ],
        first: 3,
        code: Code::Verified,
    },
    Scene {
        name: "what is copied is freed and removed",
        asked: || Asked {
            copies: true,
            ..Asked::removing(0)
        },
        prepare: |machine| {
            fs::create_dir(machine.store())?;
            machine.kernel.host.replace(host("a", 1));
            machine.run(&Asked::default())?;
            machine.kernel.host.replace(host("a", 3));
            Ok(())
        },
        files: &[],
        first: 3,
        code: Code::Verified,
    },
    Scene {
        name: "another history is kept beside the first",
        asked: || Asked::removing(0),
        prepare: |machine| {
            let mut other = host("a", 0);
            other.file(b"/other", b"other");
            other.checkpoint("")?;
            machine.kernel.host.replace(other);
            machine.run(&Asked::default())?;
            machine.kernel.host.replace(host("a", 3));
            Ok(())
        },
        files: &[
            "0000000000.fork",
            "0000000000.zst",
            "0000000001.zst",
            "0000000002.zst",
        ],
        first: 0,
        code: Code::Tampered,
    },
];

fn main() -> Result {
    if let Some(folder) = env::var_os(CHILD) {
        return child(Path::new(&folder));
    }
    println!("running {} tests", SCENES.len());
    let failed = AtomicBool::new(false);
    // Most of the time, a scene waits for the disk.
    thread::scope(|threads| {
        for scene in &SCENES {
            threads.spawn(|| {
                let name = scene.name.replace([' ', ','], "_");
                match play(scene) {
                    Ok(kills) => println!("test {name} ... ok\n# killed at {kills} calls"),
                    Err(error) => {
                        failed.store(true, Ordering::Relaxed);
                        println!("test {name} ... FAILED\n# {error}");
                    }
                }
            });
        }
    });
    exit(i32::from(failed.into_inner()))
}

/// The archiver, up to where it is killed.
fn child(folder: &Path) -> Result {
    let name = env::var("SCENE")?;
    let scene = SCENES.iter().find(|scene| scene.name == name);
    let scene = scene.ok_or("no such scene")?;
    let machine = Machine::new(folder, "a", 3);
    ptrace::traceme()?;
    raise(Signal::SIGSTOP)?;
    let run = machine.run(&(scene.asked)())?;
    exit(run.code as i32)
}

/// Plays a scene to its end again and again, each time a call longer. Gives how many there are.
fn play(scene: &Scene) -> Result<u64> {
    for calls in 0..TOO_MANY {
        let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let machine = Machine::new(disk.path(), "a", 3);
        (scene.prepare)(&machine)?;
        let before = machine.files();
        let ended = archive(&machine, scene, calls)?;
        let during = |error: String| format!("after {calls} calls: {error}");
        survived(&machine, scene, &before).map_err(during)?;
        if let Some(code) = ended {
            if code != scene.code as i32 {
                return Err(format!("it ends with {code}").into());
            }
            completed(&machine, scene)?;
            return match calls {
                0 => Err("it made no call".into()),
                calls => Ok(calls),
            };
        }
        let run = machine.run(&(scene.asked)())?;
        if run.code != scene.code {
            return Err(during(format!("the next run: {run:?}")).into());
        }
        completed(&machine, scene).map_err(|error| during(error.to_string()))?;
    }
    Err("it does not end".into())
}

/// Runs the archiver until it has made so many calls, and kills it; what it ends with, if it made fewer.
fn archive(machine: &Machine, scene: &Scene, calls: u64) -> Result<Option<i32>> {
    let child = Command::new(env::current_exe()?)
        .env(CHILD, &machine.folder)
        .env("SCENE", scene.name)
        .spawn()?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    match waitpid(pid, None)? {
        WaitStatus::Stopped(_, Signal::SIGSTOP) => (),
        status => return Err(format!("it does not start: {status:?}").into()),
    }
    let options = ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(pid, options)?;
    let mut stops = 0_u64;
    loop {
        // a call stops twice, when it begins and when it ends
        if stops == 2 * calls {
            // it may have ended by itself
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = ptrace::syscall(pid, None);
        match waitpid(pid, None)? {
            WaitStatus::PtraceSyscall(_) => stops += 1,
            WaitStatus::Exited(_, code) => return Ok(Some(code)),
            WaitStatus::Signaled(..) => return Ok(None),
            status => return Err(format!("{status:?}").into()),
        }
    }
}

type Files = BTreeMap<String, Option<Vec<u8>>>;

/// Each segment is in the kernel or in a file, and what was there before is there still, unless it was
/// to be removed.
fn survived(machine: &Machine, scene: &Scene, before: &Files) -> std::result::Result<(), String> {
    let files = machine.files();
    let removes = (scene.asked)().remove_age.is_some() && scene.code == Code::Verified;
    let first = machine.kernel.first();
    for seq in 0..first {
        let body = files.get(&format!("{seq:010}.zst"));
        let there = body == Some(&Some(machine.kernel.bytes(seq)));
        // removing begins when the kernel has freed all that it is to free
        if !(there || body.is_none() && removes && first == scene.first) {
            return Err(format!("segment {seq} is lost: {:?}", files.keys()));
        }
    }
    let copies = machine.copies();
    if (scene.asked)().copies {
        let has_none = |seq: &u64| !copies.contains_key(&format!("{seq:010}.zst"));
        if let Some(seq) = (0..first).find(has_none) {
            return Err(format!("segment {seq} has no copy: {:?}", copies.keys()));
        }
    }
    for (name, body) in &copies {
        let seq = name.get(..10).and_then(|digits| digits.parse().ok());
        let seq = seq.ok_or("it is no name of a segment")?;
        if *body != Some(machine.kernel.bytes(seq)) {
            return Err(format!("the copy {name} is damaged"));
        }
    }
    for (name, body) in &files {
        if body.is_none() {
            return Err(format!("{name} is damaged"));
        }
    }
    for (name, body) in before {
        let replaced = name.ends_with(".tail.zst");
        if files.get(name) != Some(body) && !removes && !replaced {
            return Err(format!("{name} is gone: {:?}", files.keys()));
        }
    }
    Ok(())
}

/// All is as it should be in the end.
fn completed(machine: &Machine, scene: &Scene) -> Result {
    let names = machine.names();
    let named = names.iter().zip(scene.files);
    let same = |(name, wanted): (&String, &&str)| name.starts_with(*wanted);
    if names.len() != scene.files.len() || !named.into_iter().all(same) {
        return Err(format!("there are {names:?}").into());
    }
    if machine.kernel.first() != scene.first {
        return Err(format!("the kernel starts with {}", machine.kernel.first()).into());
    }
    if fs::exists(machine.log().join(".partial"))? {
        return Err("a partial file is left".into());
    }
    let mut faults = Vec::new();
    let mut say = |remark: Remark| {
        if remark.is_fault() {
            faults.push(remark.to_string());
        }
    };
    Check::new(&mut say).log(&machine.open()?, &Machine::log_name())?;
    // of two histories, the files of one do not follow those of the other
    match faults.is_empty() || scene.code == Code::Tampered {
        true => Ok(()),
        false => Err(format!("fsck: {faults:?}").into()),
    }
}
