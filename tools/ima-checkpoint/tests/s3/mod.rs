// SPDX-License-Identifier: GPL-2.0

//! A server that speaks as much of S3 as copying and reading an archive takes, and misbehaves when
//! it is told to. It knows nothing of archives.

#![allow(dead_code, unreachable_pub)] // not every test uses all of it

use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

/// Names in a page of a list: few, so that there are several pages.
const PAGE: usize = 3;

/// What was asked.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// The name of the object, or empty for the bucket.
    pub key: String,
    pub query: BTreeMap<String, String>,
    /// By names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn is_list(&self) -> bool {
        self.query.contains_key("list-type")
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What is done instead of answering as one should.
pub enum Fault {
    /// Say that it failed, with this status.
    Status(u16),
    /// Do it, and close the connection without a word.
    DoAndDrop,
    /// Say nothing for so long, and close the connection.
    Silence(Duration),
    /// Give these bytes as the whole answer.
    Raw(Vec<u8>),
    /// Give this body again and again, after the head.
    Endless(Vec<u8>, Vec<u8>),
}

type Hook = Box<dyn FnMut(&Request, &mut BTreeMap<String, Vec<u8>>) -> Option<Fault> + Send>;

/// What the server has, and how it behaves.
#[derive(Default)]
pub struct State {
    pub objects: BTreeMap<String, Vec<u8>>,
    /// Asked before each answer.
    pub hook: Option<Hook>,
    /// Replace objects whatever the request says, as servers do that do not know the condition.
    pub ignores_conditions: bool,
    /// All requests.
    pub requests: Vec<Request>,
}

/// The server. It ends with the process.
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

pub const BUCKET: &str = "bucket";

impl Server {
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let server = Self {
            address: listener.local_addr()?,
            state: Arc::default(),
        };
        let shared = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = shared.clone();
                // a client that goes away is no matter
                thread::spawn(move || drop(server.serve(&stream)));
            }
        });
        Ok(server)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|error| error.into_inner())
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What a program needs in its environment.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", "key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    }

    /// From now on each request is shown to `hook` first.
    pub fn misbehave(
        &self,
        hook: impl FnMut(&Request, &mut BTreeMap<String, Vec<u8>>) -> Option<Fault> + Send + 'static,
    ) {
        self.state().hook = Some(Box::new(hook));
    }

    pub fn behave(&self) {
        self.state().hook = None;
    }

    /// How many requests of that method there were.
    pub fn count(&self, method: &str) -> usize {
        let state = self.state();
        state
            .requests
            .iter()
            .filter(|request| request.method == method)
            .count()
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut writer = stream;
        while let Some(request) = read_request(&mut reader)? {
            let fault = {
                let state = &mut *self.state();
                state.requests.push(request.clone());
                let hook = state.hook.as_mut();
                hook.and_then(|hook| hook(&request, &mut state.objects))
            };
            let answer = match fault {
                None => self.state().answer(&request),
                Some(Fault::Status(status)) => error(status, "Told"),
                Some(Fault::DoAndDrop) => {
                    self.state().answer(&request);
                    return Ok(());
                }
                Some(Fault::Silence(time)) => {
                    thread::sleep(time);
                    return Ok(());
                }
                Some(Fault::Raw(bytes)) => bytes,
                Some(Fault::Endless(head, body)) => {
                    writer.write_all(&head)?;
                    loop {
                        writer.write_all(&body)?;
                    }
                }
            };
            let head_only = request.method == "HEAD";
            let end = match answer.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(at) if head_only => at + 4,
                _ => answer.len(),
            };
            writer.write_all(&answer[..end])?;
        }
        Ok(())
    }
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let key = decoded(path);
    let key = key.strip_prefix(&format!("/{BUCKET}")).unwrap_or("/?");
    let key = key.trim_start_matches('/').to_owned();
    let query = query.split('&').filter(|pair| !pair.is_empty());
    let query = query.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // a blank is written as in forms
        (decoded(name), decoded(&value.replace('+', " ")))
    });
    let query = query.collect();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|text| text.parse().ok());
    let mut body = Vec::new();
    reader.take(length.unwrap_or(0)).read_to_end(&mut body)?;
    Ok(Some(Request {
        method,
        key,
        query,
        headers,
        body,
    }))
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let value = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        rest = match (first, value) {
            (b'%', Some(value)) => {
                bytes.push(value);
                &after[2..]
            }
            _ => {
                bytes.push(*first);
                after
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What names a version of an object.
pub fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", &hex(&Sha256::digest(bytes))[..32])
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub fn reply(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let date = "Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT";
    let head =
        format!("HTTP/1.1 {status} -\r\nContent-Length: {length}\r\n{date}\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

fn error(status: u16, code: &str) -> Vec<u8> {
    let body = format!("<Error><Code>{code}</Code><Message>{status}</Message></Error>");
    reply(status, "Content-Type: application/xml\r\n", body.as_bytes())
}

impl State {
    fn answer(&mut self, request: &Request) -> Vec<u8> {
        let authorization = request.header("authorization").unwrap_or_default();
        if !authorization.starts_with("AWS4-HMAC-SHA256 Credential=key/") {
            return error(403, "AccessDenied");
        }
        match request.method.as_str() {
            "PUT" => self.put(request),
            "GET" if request.is_list() => self.list(request),
            "GET" | "HEAD" => self.get(request),
            _ => error(405, "MethodNotAllowed"),
        }
    }

    fn put(&mut self, request: &Request) -> Vec<u8> {
        let sum = hex(&Sha256::digest(&request.body));
        if request.header("x-amz-content-sha256") != Some(&sum) {
            return error(400, "XAmzContentSHA256Mismatch");
        }
        let create = request.header("if-none-match") == Some("*");
        if create && !self.ignores_conditions && self.objects.contains_key(&request.key) {
            return error(412, "PreconditionFailed");
        }
        self.objects
            .insert(request.key.clone(), request.body.clone());
        reply(200, &format!("ETag: {}\r\n", tag(&request.body)), b"")
    }

    fn get(&self, request: &Request) -> Vec<u8> {
        let Some(bytes) = self.objects.get(&request.key) else {
            return error(404, "NoSuchKey");
        };
        let tag = tag(bytes);
        if request
            .header("if-match")
            .is_some_and(|wanted| wanted != tag)
        {
            return error(412, "PreconditionFailed");
        }
        let tag = format!("ETag: {tag}\r\n");
        let range = request.header("range").and_then(|range| {
            let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
            Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?))
        });
        let Some((first, last)) = range else {
            return reply(200, &tag, bytes);
        };
        let size = bytes.len();
        if first >= size {
            return error(416, "InvalidRange");
        }
        let last = last.min(size - 1);
        let range = format!("{tag}Content-Range: bytes {first}-{last}/{size}\r\n");
        reply(206, &range, &bytes[first..=last])
    }

    fn list(&self, request: &Request) -> Vec<u8> {
        let get = |name: &str| request.query.get(name).map_or("", String::as_str);
        let (prefix, delimiter) = (get("prefix"), get("delimiter"));
        let mut entries = BTreeMap::new();
        for (key, bytes) in self
            .objects
            .iter()
            .filter(|(key, _)| key.starts_with(prefix))
        {
            let rest = &key[prefix.len()..];
            match rest.find(delimiter).filter(|_| !delimiter.is_empty()) {
                Some(at) => {
                    let folder = format!("{prefix}{}", &rest[..=at]);
                    let text =
                        format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>");
                    entries.insert(folder, text);
                }
                None => {
                    let text = format!(
                        "<Contents><Key>{key}</Key><LastModified>1970-01-01T00:00:00.000Z\
                         </LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
                        tag(bytes),
                        bytes.len()
                    );
                    entries.insert(key.clone(), text);
                }
            }
        }
        let after = get("continuation-token").max(get("start-after"));
        let mut rest = entries.iter().filter(|(key, _)| key.as_str() > after);
        let page: Vec<_> = rest.by_ref().take(PAGE).collect();
        let mut body = String::from("<ListBucketResult>");
        body.extend(page.iter().map(|(_, text)| text.as_str()));
        if let (Some((last, _)), Some(_)) = (page.last(), rest.next()) {
            let _ = write!(
                body,
                "<IsTruncated>true</IsTruncated><NextContinuationToken>{last}\
                 </NextContinuationToken>"
            );
        }
        body.push_str("</ListBucketResult>");
        reply(200, "Content-Type: application/xml\r\n", body.as_bytes())
    }
}
