// SPDX-License-Identifier: GPL-2.0

//! Does what is to be done: acts first, and only then notes that it is done. A monitor that is killed in
//! between does it again.

use crate::{
    action,
    config::Action,
    store::{Error, Store, Task},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Notify, task::JoinSet};

/// Tasks that are done at the same time.
const AT_ONCE: usize = 4;

/// How long nothing is looked for, unless somebody says that there is something.
const PAUSE: Duration = Duration::from_secs(5);

/// Seconds until a task that failed so many times is tried again.
pub fn pause_after(attempts: i64) -> i64 {
    const FIRST: i64 = 5;
    const LONGEST: i64 = 3600;
    let doublings = u32::try_from(attempts.clamp(0, 20)).unwrap_or(20);
    FIRST.saturating_mul(1 << doublings).min(LONGEST)
}

/// Does tasks for ever.
pub async fn run(store: Store, actions: Arc<[Action]>, wake: Arc<Notify>) {
    loop {
        match round(&store, &actions).await {
            Ok(0) => {
                let _ = tokio::time::timeout(PAUSE, wake.notified()).await;
            }
            Ok(_) => (),
            Err(error) => {
                eprintln!("<3>cannot look for what is to be done: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Does those tasks that are due, and gives how many there were.
///
/// # Errors
///
/// The database fails.
pub async fn round(store: &Store, actions: &Arc<[Action]>) -> Result<usize, Error> {
    let due = store.due(64).await?;
    let count = due.len();
    let mut running = JoinSet::new();
    for task in due {
        if running.len() >= AT_ONCE {
            running.join_next().await;
        }
        let (store, actions) = (store.clone(), Arc::clone(actions));
        running.spawn(async move { act(&store, &actions, &task).await });
    }
    while running.join_next().await.is_some() {}
    Ok(count)
}

async fn act(store: &Store, actions: &[Action], task: &Task) {
    let action = actions.iter().find(|action| action.name == task.action);
    let done = match action {
        Some(action) => action::run(action, task)
            .await
            .map_err(|why| why.to_string()),
        None => Err("is not in the configuration any more: add it again".to_owned()),
    };
    let kept = match done {
        Ok(()) => store.done(task.id).await,
        Err(why) => {
            let pause = pause_after(task.attempts);
            let (name, finding) = (&task.action, task.about.id);
            eprintln!("<4>action {name} for finding {finding} {why}; will retry in {pause} s");
            store.postpone(task.id, pause).await
        }
    };
    if let Err(error) = kept {
        eprintln!(
            "<3>cannot note what was done about finding {}: {error}",
            task.about.id
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        finding::{Finding, Kind},
        store::NewHost,
    };
    use std::fs;

    #[test]
    fn pauses_grow() {
        let pauses: Vec<_> = [0, 1, 2, 9, 10, i64::MAX, -1].map(pause_after).into();
        assert_eq!(pauses, [5, 10, 20, 2560, 3600, 3600, 5]);
    }

    #[tokio::test]
    async fn what_fails_is_done_later_and_what_is_done_not_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("db")).await.unwrap();
        let new = NewHost {
            id: "a",
            key: b"",
            key_name: "",
            endorsement: "",
        };
        store.register(new).await.unwrap();
        let out = folder.path().join("out");
        let action = |name: &str, script: String| Action {
            name: name.into(),
            program: vec!["/bin/sh".into(), "-c".into(), script],
            ..Action::default()
        };
        let actions: Arc<[Action]> = Arc::new([
            action("good", format!("cat >>'{}'", out.display())),
            action("bad", "exit 1".into()),
        ]);
        let finding = Finding::of_host(Kind::Gap, "gap");
        store.find("a", &finding, &actions).await.unwrap();
        assert_eq!(round(&store, &actions).await.unwrap(), 2);
        assert_eq!(round(&store, &actions).await.unwrap(), 0);
        assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), 1);
    }
}
