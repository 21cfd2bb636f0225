// SPDX-License-Identifier: GPL-2.0

use super::*;
use crate::host::Clock;

async fn store(folder: &Path) -> Store {
    Store::open(&folder.join("db")).await.unwrap()
}

async fn with_host(store: &Store) -> Host {
    let new = NewHost {
        id: "a",
        key: b"key",
        key_name: "000b",
        endorsement: "ek",
    };
    store.register(new).await.unwrap()
}

fn actions() -> Vec<Action> {
    let action = |name: &str, kinds: &[Kind]| Action {
        name: name.into(),
        program: vec!["/bin/true".into()],
        kinds: (!kinds.is_empty()).then(|| kinds.to_vec()),
        ..Action::default()
    };
    vec![action("all", &[]), action("files", &[Kind::File])]
}

fn file(key: &str) -> Finding {
    Finding {
        kind: Kind::File,
        key: key.into(),
        text: "not in the policy".into(),
        record: Some(Record {
            index: 7,
            pcr: 10,
            template: "ima-ng".into(),
            path: "/bin/x".into(),
            digest: Some("sha256:ab".into()),
        }),
    }
}

fn proven(records: u64) -> Proven {
    Proven {
        records,
        base: Default::default(),
        clock: Clock {
            clock: 1,
            reset: 1,
            restart: 0,
            safe: true,
        },
        boot_time: "then".into(),
        checkpoint: None,
    }
}

#[tokio::test]
async fn a_round_is_kept_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let host = with_host(&store).await;
    let findings = [file("record:1:7"), Finding::of_host(Kind::Log, "x")];
    store
        .keep(&host, Some(&proven(8)), &findings, &actions())
        .await
        .unwrap();
    let now = store.host("a").await.unwrap().unwrap();
    assert_eq!(now.proven, Some(proven(8)));
    assert!(!now.doubt && now.proven_at.is_some());
    let due = store.due(10).await.unwrap();
    let names: Vec<_> = due
        .iter()
        .map(|task| (task.action.as_str(), task.about.finding.kind))
        .collect();
    assert_eq!(
        names,
        [
            ("all", Kind::File),
            ("files", Kind::File),
            ("all", Kind::Log)
        ]
    );
    assert_eq!(due[0].about.finding, file("record:1:7"));

    // a second round that began before the first was kept
    let late = store
        .keep(&host, Some(&proven(3)), &[file("record:1:2")], &actions())
        .await;
    assert!(matches!(late, Err(Error::Changed)));
    assert_eq!(
        store.host("a").await.unwrap().unwrap().proven,
        Some(proven(8))
    );
    assert_eq!(store.findings().await.unwrap().len(), 2);

    // a round that fails leaves what is proven
    store.keep(&now, None, &[], &[]).await.unwrap();
    let now = store.host("a").await.unwrap().unwrap();
    assert!(now.doubt && now.proven == Some(proven(8)));
}

#[tokio::test]
async fn a_finding_is_open_until_it_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    with_host(&store).await;
    let gap = Finding::of_host(Kind::Gap, "gap");
    for _ in 0..3 {
        store.find("a", &gap, &actions()).await.unwrap();
    }
    let open = store.findings().await.unwrap();
    assert_eq!((open.len(), open[0].times), (1, 3));
    assert_eq!(store.due(10).await.unwrap().len(), 1);
    assert!(store.acknowledge(open[0].id).await.unwrap());
    assert!(!store.acknowledge(open[0].id).await.unwrap());
    assert!(store.findings().await.unwrap().is_empty());
    // what was not done yet is done all the same
    assert_eq!(store.due(10).await.unwrap().len(), 1);
    store.find("a", &gap, &actions()).await.unwrap();
    assert_eq!(store.findings().await.unwrap().len(), 1);
    assert_eq!(store.due(10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn tasks_are_there_until_they_are_done() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = store(folder.path()).await;
        with_host(&store).await;
        store
            .find("a", &file("record:1:7"), &actions())
            .await
            .unwrap();
        let due = store.due(10).await.unwrap();
        store.done(due[0].id).await.unwrap();
        store.postpone(due[1].id, 3600).await.unwrap();
        assert!(store.due(10).await.unwrap().is_empty());
        store.postpone(due[1].id, -1).await.unwrap();
    }
    // as after a restart
    let store = store(folder.path()).await;
    let due = store.due(10).await.unwrap();
    assert_eq!((due.len(), due[0].attempts), (1, 2));
    assert!(store.forget("a").await.unwrap());
    assert!(store.due(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_name_belongs_to_who_came_first() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    with_host(&store).await;
    let other = NewHost {
        id: "a",
        key: b"other",
        key_name: "000c",
        endorsement: "ek",
    };
    assert_eq!(store.register(other).await.unwrap().key, b"key");
    assert!(matches!(
        store.approve("a", "000c").await,
        Err(Error::Changed)
    ));
    assert_eq!(
        store.host("a").await.unwrap().unwrap().state,
        State::Pending
    );
    assert_eq!(store.pending().await.unwrap(), 1);
    store.approve("a", "000b").await.unwrap();
    assert_eq!(
        store.host("a").await.unwrap().unwrap().state,
        State::Approved
    );
    assert_eq!(store.pending().await.unwrap(), 0);
}

#[tokio::test]
async fn a_newer_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = Store::open(&path).await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 99")
        .execute(&store.pool)
        .await
        .unwrap();
    let opened = Store::open(&path).await;
    assert!(opened.is_err_and(|error| error.to_string().contains("99")));
}
