// SPDX-License-Identifier: GPL-2.0

//! Runs the program of an action.

use crate::{config::Action, finding::Record, store::Task, time};
use rustix::process::{kill_process_group, Pid, Signal};
use serde::Serialize;
use std::{fmt, io, process::ExitStatus, process::Stdio};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
    time::timeout,
};

/// What the program reads from its standard input. Members are added, never changed.
#[derive(Serialize)]
struct Message<'a> {
    /// The version of this format.
    version: u32,
    /// The same whenever this finding is told to this action, so that doing it twice can be avoided.
    id: String,
    host: &'a str,
    kind: &'a str,
    text: &'a str,
    found_at: String,
    record: Option<&'a Record>,
}

/// Why an action was not done.
#[derive(Debug)]
pub enum Error {
    /// The program could not be started, or fed.
    Io(io::Error),
    /// It failed.
    Status(ExitStatus),
    /// It took too long, and was killed with all that it started.
    Timeout,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot be run: {error}"),
            Self::Status(status) => write!(f, "failed: {status}"),
            Self::Timeout => f.write_str("took too long and was killed: raise its timeout"),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Does what is to be done.
///
/// # Errors
///
/// It was not done, or nobody knows.
pub async fn run(action: &Action, task: &Task) -> Result<(), Error> {
    let about = &task.about;
    let message = Message {
        version: 1,
        id: format!("{}:{}", action.name, about.id),
        host: &about.host,
        kind: about.finding.kind.name(),
        text: &about.finding.text,
        found_at: time::rfc3339(about.first_at),
        record: about.finding.record.as_ref(),
    };
    let mut message = serde_json::to_vec(&message).map_err(io::Error::from)?;
    message.push(b'\n');
    let mut child = start(action)?;
    match timeout(action.timeout, feed(&mut child, &message)).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(Error::Status(status)),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => {
            // as long as it was not waited for, nobody else can have its number
            let id = child.id().and_then(|id| i32::try_from(id).ok());
            if let Some(group) = id.and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.kill().await;
            Err(Error::Timeout)
        }
    }
}

fn start(action: &Action) -> io::Result<Child> {
    let (program, arguments) = match action.program.split_first() {
        Some(all) => all,
        None => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(gid) = action.gid {
        command.gid(gid);
    }
    if let Some(uid) = action.uid {
        command.uid(uid);
    }
    command.spawn()
}

async fn feed(child: &mut Child, message: &[u8]) -> io::Result<ExitStatus> {
    if let Some(mut input) = child.stdin.take() {
        match input.write_all(message).await {
            // one that does not want to know is not wrong
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => (),
            written => written?,
        }
    }
    child.wait().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        finding::{Finding, Kind},
        store::Kept,
    };
    use std::{fs, path::Path, time::Duration, time::Instant};

    fn task() -> Task {
        Task {
            id: 1,
            action: "a".into(),
            attempts: 0,
            about: Kept {
                id: 42,
                host: "h".into(),
                finding: Finding {
                    kind: Kind::File,
                    key: "k".into(),
                    text: "t".into(),
                    record: Some(Record {
                        index: 7,
                        pcr: 10,
                        template: "ima-ng".into(),
                        path: "/bin/x".into(),
                        digest: None,
                    }),
                },
                first_at: 0,
                last_at: 0,
                times: 1,
            },
        }
    }

    fn shell(script: &str, seconds: u64) -> Action {
        Action {
            name: "a".into(),
            program: vec!["/bin/sh".into(), "-c".into(), script.into()],
            timeout: Duration::from_secs(seconds),
            ..Action::default()
        }
    }

    fn script(folder: &Path, what: &str) -> String {
        format!("{what} >'{}/out'", folder.display())
    }

    #[tokio::test]
    async fn it_is_told_on_standard_input() {
        let folder = tempfile::tempdir().unwrap();
        let action = shell(&script(folder.path(), "(cat; env)"), 20);
        run(&action, &task()).await.unwrap();
        let told = fs::read_to_string(folder.path().join("out")).unwrap();
        let (message, environment) = told.split_once('\n').unwrap();
        let message: serde_json::Value = serde_json::from_str(message).unwrap();
        assert_eq!(message["id"], "a:42");
        assert_eq!(message["host"], "h");
        assert_eq!(message["kind"], "file");
        assert_eq!(message["found_at"], "1970-01-01T00:00:00Z");
        assert_eq!(message["record"]["path"], "/bin/x");
        assert!(!environment.contains("HOME="), "{environment}");
    }

    #[tokio::test]
    async fn how_it_fails() {
        let failed = run(&shell("exit 3", 20), &task()).await;
        assert!(matches!(failed, Err(Error::Status(status)) if status.code() == Some(3)));
        let mut action = shell("", 20);
        action.program = vec!["/none".into()];
        assert!(matches!(run(&action, &task()).await, Err(Error::Io(_))));
        // it need not read
        run(&shell("exec <&-; exit 0", 20), &task()).await.unwrap();
    }

    #[tokio::test]
    async fn it_ends_in_time_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let script = format!("(sleep 3; echo >'{}') & sleep 60", path.display());
        let started = Instant::now();
        assert!(matches!(
            run(&shell(&script, 1), &task()).await,
            Err(Error::Timeout)
        ));
        assert!(started.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!path.exists());
    }
}
