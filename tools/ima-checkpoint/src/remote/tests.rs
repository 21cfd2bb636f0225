// SPDX-License-Identifier: GPL-2.0

//! Stores that fail, stall and lie, spoken to over HTTP.

use super::{
    meter::{Meter, Metered},
    store::Store,
    Error, Folder,
};
use crate::{archive, error};
use object_store::{
    aws::AmazonS3Builder, path::Path as Key, BackoffConfig, ClientOptions, RetryConfig,
};
use s3::{reply, Fault, Server};
use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

#[path = "../../tests/s3/mod.rs"]
mod s3;

/// A server, and a folder `a/b` in it.
fn folder() -> (Server, Folder) {
    let server = Server::start().unwrap();
    let meter = Meter::default();
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(1),
            max_backoff: Duration::from_millis(2),
            base: 2.0,
        },
        max_retries: 2,
        retry_timeout: Duration::from_secs(5),
    };
    let options = ClientOptions::new().with_allow_http(true);
    let options = options.with_timeout(Duration::from_secs(1));
    let objects = AmazonS3Builder::new()
        .with_endpoint(server.endpoint())
        .with_client_options(options)
        .with_access_key_id("key")
        .with_secret_access_key("secret")
        .with_bucket_name(s3::BUCKET)
        .with_retry(retry)
        .with_http_connector(Metered::new(&meter))
        .build()
        .unwrap();
    let path = format!("s3://{}/a", s3::BUCKET).into();
    let store = Store::behind_network(path, Key::from("a"), Arc::new(objects), meter).unwrap();
    (server, store.root().below("b"))
}

fn read(folder: &Folder, name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let object = folder.open(name).map_err(io::Error::other)?;
    { object }.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The error of a store after one of reading.
fn cause(error: io::Error) -> Error {
    match error.downcast::<error::Error>().expect("one of ours") {
        error::Error::Store(error) => error,
        other => panic!("{other:?}"),
    }
}

fn names(folder: &Folder) -> error::Result<Vec<String>> {
    let mut names = Vec::new();
    folder.each_name(|name| {
        names.push(name);
        Ok(())
    })?;
    Ok(names)
}

#[test]
fn what_is_written_is_read_and_listed() {
    let (server, folder) = folder();
    // more than one stretch, and not a multiple of any
    let long: Vec<u8> = (0..6_000_001_u32).map(|at| (at % 251) as u8).collect();
    for (name, bytes) in [
        ("long", &long),
        ("empty", &Vec::new()),
        ("short", &b"x".to_vec()),
    ] {
        assert!(folder.create(name, bytes.clone()).unwrap());
        assert_eq!(
            server.state().objects.get(&format!("a/b/{name}")),
            Some(bytes)
        );
        assert_eq!(&read(&folder, name).unwrap(), bytes);
    }
    for name in ["b/c/deeper", "bb", "b1/x", "other"] {
        server
            .state()
            .objects
            .insert(format!("a/{name}"), Vec::new());
    }
    assert_eq!(names(&folder).unwrap(), ["empty", "long", "short"]);
    assert_eq!(folder.folders().unwrap(), ["c"]);
    let absent = folder.open("none").unwrap_err();
    assert!(absent.is_absent(), "{absent:?}");
}

#[test]
fn what_is_there_is_not_replaced() {
    let (server, folder) = folder();
    assert!(folder.create("x", b"first".to_vec()).unwrap());
    assert!(!folder.create("x", b"second".to_vec()).unwrap());
    assert_eq!(read(&folder, "x").unwrap(), b"first");
    // each request was signed with the digest of the body, which the server compares
    let state = server.state();
    let puts = state
        .requests
        .iter()
        .filter(|request| request.method == "PUT");
    let conditions = puts.map(|request| request.headers.get("if-none-match").cloned());
    assert_eq!(
        conditions.collect::<Vec<_>>(),
        vec![Some("*".to_owned()); 2]
    );
}

#[test]
fn a_store_that_replaces_is_found_out() {
    let (server, folder) = folder();
    let store = folder.store();
    store.refuse_overwriting().unwrap();
    assert_eq!(server.count("PUT"), 2);
    store.refuse_overwriting().unwrap();
    assert_eq!(server.count("PUT"), 3);
    server.state().ignores_conditions = true;
    let error = store.refuse_overwriting().unwrap_err();
    assert!(
        matches!(error, error::Error::Store(Error::Overwrites { .. })),
        "{error:?}"
    );
    assert_eq!(server.count("PUT"), 5);
}

#[test]
fn failures_pass_or_are_told() {
    let (server, folder) = folder();
    let mut left = 2;
    server.misbehave(move |_, _| {
        left -= 1;
        (left >= 0).then_some(Fault::Status(503))
    });
    assert!(folder.create("x", b"bytes".to_vec()).unwrap());
    server.misbehave(|_, _| Some(Fault::Status(503)));
    let failed = folder.create("y", b"bytes".to_vec()).unwrap_err();
    assert!(
        matches!(
            &failed,
            error::Error::Store(Error::Failed { what: "write", .. })
        ),
        "{failed:?}"
    );
    server.misbehave(|_, _| Some(Fault::Status(403)));
    assert!(folder.open("x").is_err());
    assert!(names(&folder).is_err());
    server.behave();
    assert_eq!(read(&folder, "x").unwrap(), b"bytes");
}

#[test]
fn an_answer_that_is_lost_is_no_other_object() {
    let (server, folder) = folder();
    let mut first = true;
    server.misbehave(move |request, _| {
        let lost = request.method == "PUT" && std::mem::take(&mut first);
        lost.then_some(Fault::DoAndDrop)
    });
    // it is there: whether from this attempt or an earlier one cannot be told
    let _ = folder.create("x", b"bytes".to_vec());
    assert_eq!(read(&folder, "x").unwrap(), b"bytes");
    assert!(!folder.create("x", b"others".to_vec()).unwrap());
}

#[test]
fn silence_ends() {
    let (server, folder) = folder();
    folder.create("x", vec![1; 200_000]).unwrap();
    server.misbehave(|_, _| Some(Fault::Silence(Duration::from_secs(2))));
    let path = folder.path_of("x");
    let limits = super::store::Limits {
        answers: 32,
        patience: Duration::from_millis(300),
    };
    let get = folder.store().objects();
    let key = Key::from("a/b/x");
    let answer = get.get_opts(&key, Default::default());
    let slow = folder.store().wait("read", &path, limits, answer);
    assert!(matches!(slow, Err(Error::Slow { what: "read", .. })));
}

#[test]
fn an_object_that_changes_is_noticed() {
    let (server, folder) = folder();
    folder.create("x", vec![1; 200_000]).unwrap();
    for other in [vec![2; 200_000], vec![1; 100_000], vec![1; 300_000]] {
        server
            .state()
            .objects
            .insert("a/b/x".into(), vec![1; 200_000]);
        let mut object = folder.open("x").unwrap();
        server.state().objects.insert("a/b/x".into(), other);
        let error = object.read_to_end(&mut Vec::new()).unwrap_err();
        assert!(matches!(cause(error), Error::Changed { .. }));
    }
}

#[test]
fn lies_about_ranges() {
    let head = |range: &str, body: &[u8]| {
        let headers = format!("ETag: \"x\"\r\nContent-Range: bytes {range}\r\n");
        Fault::Raw(reply(206, &headers, body))
    };
    type Lie = Box<dyn Fn() -> Fault + Send>;
    let lies: Vec<Lie> = vec![
        // another range, more bytes than it says, fewer
        Box::new(move || head("1-10/11", &[0; 10])),
        Box::new(move || head("0-9/10", &[0; 11])),
        Box::new(move || head("0-9/100", &[0; 10])),
        Box::new(move || head("0-9/5", &[0; 10])),
        Box::new(move || head("5-2/10", &[0; 3])),
        Box::new(|| Fault::Raw(reply(206, "ETag: \"x\"\r\n", &[0; 10]))),
        Box::new(|| Fault::Raw(reply(200, "ETag: \"x\"\r\n", &[0; 10]))),
        Box::new(|| Fault::Raw(b"nonsense\r\n\r\n".to_vec())),
        Box::new(|| Fault::Raw(Vec::new())),
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let (server, folder) = folder();
        server.misbehave(move |_, _| Some(lie()));
        let opened = folder.open("x");
        assert!(
            matches!(opened, Err(error::Error::Store(_))),
            "{number}: {opened:?}"
        );
    }
}

#[test]
fn answers_without_end_are_cut() {
    let (server, folder) = folder();
    folder.create("x", vec![1; 10]).unwrap();
    let head = "HTTP/1.1 206 -\r\nTransfer-Encoding: chunked\r\nETag: \"x\"\r\n\
        Content-Range: bytes 0-9/10\r\n\r\n";
    let chunk = || {
        [
            b"100000\r\n".to_vec(),
            vec![b' '; 1 << 20],
            b"\r\n".to_vec(),
        ]
        .concat()
    };
    server.misbehave(move |_, _| Some(Fault::Endless(head.into(), chunk())));
    assert!(folder.open("x").is_err());
    let head = "HTTP/1.1 200 -\r\nTransfer-Encoding: chunked\r\n\r\n";
    server.misbehave(move |_, _| Some(Fault::Endless(head.into(), chunk())));
    assert!(names(&folder).is_err());
    assert!(folder.folders().is_err());
    let head = "HTTP/1.1 403 -\r\nTransfer-Encoding: chunked\r\n\r\n";
    server.misbehave(move |_, _| Some(Fault::Endless(head.into(), chunk())));
    let error = folder.open("x").unwrap_err().to_string();
    assert!(error.len() < 2000, "{}", error.len());
}

#[test]
fn lists_without_end_are_cut() {
    let (server, folder) = folder();
    let page = "<ListBucketResult><IsTruncated>true</IsTruncated>\
        <NextContinuationToken>x</NextContinuationToken></ListBucketResult>";
    server.misbehave(move |_, _| Some(Fault::Raw(reply(200, "", page.as_bytes()))));
    assert!(folder.folders().is_err());
    assert!(server.count("GET") < 40);
}

#[test]
fn hostile_names() {
    let (server, folder) = folder();
    for name in ["a/b//x", "a/b/../x", "a/b/\u{1b}[2J", "a/b/%2e%2e"] {
        server.state().objects.clear();
        server.state().objects.insert(name.to_owned(), Vec::new());
        // refused, or names that nobody asks for
        if let Ok(names) = names(&folder) {
            assert!(
                names
                    .iter()
                    .all(|name| !name.contains(['/', '\u{1b}']) && name != ".."),
                "{names:?}"
            );
        }
    }
}

#[test]
fn texts_of_the_server_are_short_and_harmless() {
    let (server, folder) = folder();
    let body = [b"\x1b[2J\n".as_slice(), &[b'x'; 100_000]].concat();
    server.misbehave(move |_, _| Some(Fault::Raw(reply(400, "", &body))));
    let error = folder.open("x").unwrap_err();
    let text = error.to_string();
    assert!(
        text.len() < 2000 && !text.contains(['\u{1b}', '\n']),
        "{text}"
    );
    assert!(!matches!(
        error,
        error::Error::Archive(archive::Error::Absent { .. })
    ));
}
