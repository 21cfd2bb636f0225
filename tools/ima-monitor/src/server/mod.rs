// SPDX-License-Identifier: GPL-2.0

//! Answers hosts.
//!
//! Everything that a host sends is bounded: connections and requests by [`crate::limits`], each request
//! in bytes and in time, all requests with evidence together in memory, verifications by the number of
//! processors. A body with evidence is read only after its token was checked, and once for each
//! attestation that was begun.

mod answer;
mod attestations;
mod registrar;
mod sessions;

use self::answer::Refusal;
use crate::{
    config::{Action, Config},
    finding::{Finding, Kind},
    host::judge::Asked,
    limits::{Connections, Origin, Requests},
    metrics::{self, Counters},
    outbox,
    policy::Policy,
    session::Sessions,
    store::{self, Host, State, Store},
    time,
};
use axum::{
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, Request, State as Shared},
    http::{header, HeaderMap},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, patch, post},
    Router,
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, Semaphore};

/// Largest request without evidence.
const SMALL: usize = 256 << 10;

/// How long a small request may take to arrive.
const SMALL_TIME: Duration = Duration::from_secs(10);

/// A host is silent if it was not heard of for so many intervals.
const SILENT: u32 = 3;

/// An attestation that was begun.
#[derive(Debug)]
struct Begun {
    asked: Asked,
    before: Host,
    /// Was the list asked for as bytes?
    binary: bool,
    until: Instant,
}

/// The secret of a registration, as the key of the answer's HMAC.
#[derive(Debug)]
struct Secret {
    key: String,
    until: Instant,
}

/// What all requests share.
pub struct App {
    config: Config,
    policy: Policy,
    actions: Arc<[Action]>,
    store: Store,
    sessions: Sessions<Begun>,
    secrets: Mutex<HashMap<String, Secret>>,
    /// Of each address.
    requests: Requests,
    counters: Counters,
    /// MiB that requests with evidence may still take.
    memory: Semaphore,
    /// Verifications that may still start.
    processors: Semaphore,
    /// There is something to be done.
    wake: Arc<Notify>,
}

impl App {
    /// The monitor with an empty memory.
    pub fn new(config: Config, policy: Policy, store: Store) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let memory = usize::try_from(config.memory).unwrap_or(usize::MAX);
        Self {
            actions: config.action.clone().into(),
            memory: Semaphore::new(memory.min(Semaphore::MAX_PERMITS)),
            processors: Semaphore::new(processors),
            requests: Requests::new(config.max_requests_of_one),
            counters: Counters::default(),
            config,
            policy,
            store,
            sessions: Sessions::default(),
            secrets: Mutex::default(),
            wake: Arc::new(Notify::new()),
        }
    }

    /// What is answered to whom.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/version", get(registrar::version))
            .route(
                "/v2.6/agents/{id}",
                post(registrar::register).put(registrar::activate),
            )
            .route("/v3.0/sessions", post(sessions::create))
            .route("/v3.0/sessions/{session}", patch(sessions::update))
            .route("/v3.0/agents/{id}/attestations", post(attestations::create))
            .route(
                "/v3.0/agents/{id}/attestations/{number}",
                patch(attestations::update),
            )
            .fallback(answer::nothing_here)
            // each handler bounds what it reads
            .layer(DefaultBodyLimit::disable())
            .layer(middleware::from_fn_with_state(Arc::clone(&self), counted))
            .with_state(self)
    }

    /// Does what is not asked for by a host, for ever: actions, and looking for silent hosts.
    pub async fn background(self: Arc<Self>) {
        let (store, actions) = (self.store.clone(), Arc::clone(&self.actions));
        let acting = outbox::run(store, actions, Arc::clone(&self.wake));
        let looking = async {
            let pause = self.config.interval.min(Duration::from_secs(10));
            loop {
                tokio::time::sleep(pause).await;
                let now = Instant::now();
                self.sessions.tidy(now);
                self.requests.tidy(now);
                self.secrets().retain(|_, secret| now < secret.until);
                if let Err(error) = self.look_for_silent().await {
                    eprintln!("<3>cannot look for silent hosts: {error}");
                }
            }
        };
        tokio::join!(acting, looking);
    }

    fn secrets(&self) -> std::sync::MutexGuard<'_, HashMap<String, Secret>> {
        self.secrets
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    async fn look_for_silent(&self) -> Result<(), store::Error> {
        let longest = i64::try_from((self.config.interval * SILENT).as_secs()).unwrap_or(i64::MAX);
        for host in self.store.hosts().await? {
            let silent = time::now().saturating_sub(host.seen_at);
            if host.state == State::Approved && silent > longest {
                let at = time::rfc3339(host.seen_at);
                let text = format!("nothing was heard of the host since {at}");
                self.tell(&host.id, Kind::Silent, text).await?;
            }
        }
        Ok(())
    }

    /// Keeps a finding that no round gave.
    async fn tell(&self, host: &str, kind: Kind, text: String) -> Result<(), store::Error> {
        let finding = Finding::of_host(kind, text);
        self.store.find(host, &finding, &self.actions).await?;
        self.wake.notify_one();
        Ok(())
    }

    /// A host that may attest, and has this token.
    async fn authorised(&self, id: &str, headers: &HeaderMap) -> Result<Host, Refusal> {
        let token = headers.get("authorization");
        let token = token.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let now = Instant::now();
        let open = token.is_some_and(|token| self.sessions.is_open(id, token, now));
        if !open {
            return Err(Refusal::unauthorised());
        }
        let host = self.store.host(id).await?;
        let host = host.filter(|host| host.state == State::Approved);
        host.ok_or_else(Refusal::unauthorised)
    }

    /// After how many seconds a host is to attest again.
    fn interval(&self) -> u64 {
        self.config.interval.as_secs()
    }
}

/// Answers a request if there were not too many from there.
async fn counted(
    Shared(app): Shared<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let counted = app.requests.count(Origin::from(peer.ip()), Instant::now());
    counted.map_err(|seconds| {
        app.counters.refused();
        Refusal::too_often(seconds)
    })?;
    Ok(next.run(request).await)
}

/// Reads a request without evidence.
async fn small(request: Request) -> Result<Bytes, Refusal> {
    body(request, SMALL, SMALL_TIME).await
}

/// Reads a request of so many bytes at most, in so much time.
async fn body(request: Request, limit: usize, time: Duration) -> Result<Bytes, Refusal> {
    let body = axum::body::to_bytes(request.into_body(), limit);
    match tokio::time::timeout(time, body).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(Refusal::too_large(limit)),
        Err(_) => Err(Refusal::too_slow()),
    }
}

/// `GET /metrics`
async fn metrics(Shared(app): Shared<Arc<App>>) -> Result<impl IntoResponse, Refusal> {
    let stock = app.store.stock().await?;
    let kind = [(header::CONTENT_TYPE, metrics::MEDIA_TYPE)];
    Ok((kind, metrics::text(&app.counters, &stock)))
}

/// Answers Prometheus until the program ends.
///
/// # Errors
///
/// The listener fails.
pub async fn tell(app: Arc<App>, listener: tokio::net::TcpListener) -> std::io::Result<()> {
    let router = Router::new().route("/metrics", get(metrics));
    axum::serve(listener, router.with_state(app)).await
}

/// Is this a name that a host may have? It is shown and logged.
fn is_name(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=80).contains(&id.len()) && id.bytes().all(plain)
}

/// Serves hosts until the program ends.
///
/// # Errors
///
/// The address cannot be used.
pub async fn serve(
    app: Arc<App>,
    listener: std::net::TcpListener,
    tls: Arc<rustls::ServerConfig>,
) -> std::io::Result<()> {
    let tls = axum_server::tls_rustls::RustlsConfig::from_config(tls);
    let connections = Connections::new(app.config.connections());
    let server = axum_server::from_tcp_rustls(listener, tls)?;
    // the streams of a connection of HTTP/2 would be counted by nobody
    let mut server = server
        .map(|acceptor| acceptor.acceptor(connections))
        .http1_only();
    let builder = server.http_builder();
    builder
        .http1()
        .timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(SMALL_TIME);
    let service = app
        .router()
        .into_make_service_with_connect_info::<SocketAddr>();
    server.serve(service).await
}
