// SPDX-License-Identifier: GPL-2.0

//! Limits of what one address can take of the monitor: connections at once, and requests a minute.
//!
//! They hold before anything is known of who it is. What a host can take that has a session is limited by
//! [`crate::session`].

use axum_server::accept::Accept;
use std::{
    collections::HashMap,
    future::{ready, Ready},
    io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::net::TcpStream;
use tower_service::Service;

/// Addresses that requests are counted of. More at a time are refused: whoever has that many would
/// otherwise take as much memory as he likes.
const ADDRESSES: usize = 100_000;

const MINUTE: Duration = Duration::from_secs(60);

/// What was counted in a minute.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    since: Instant,
    count: u32,
}

impl Window {
    /// Nothing yet.
    pub fn new(now: Instant) -> Self {
        Self {
            since: now,
            count: 0,
        }
    }

    /// Counts one more of `most` in a minute.
    ///
    /// # Errors
    ///
    /// It is one too many; in how many seconds it is not.
    pub fn count(&mut self, most: u32, now: Instant) -> Result<(), u64> {
        let passed = now.saturating_duration_since(self.since);
        if passed >= MINUTE {
            *self = Self::new(now);
        } else if self.count >= most {
            return Err((MINUTE - passed).as_secs() + 1);
        }
        self.count += 1;
        Ok(())
    }

    /// When it began.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Is it over?
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= MINUTE
    }
}

/// Who is counted together: an address of IPv4, or a network of IPv6, of whose addresses a host may take
/// as many as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(IpAddr);

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                Self(IpAddr::V6(network.into()))
            }
            address @ IpAddr::V4(_) => Self(address),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // nothing is left half done by a thread that panics
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Requests of each origin in this minute.
#[derive(Debug)]
pub struct Requests {
    a_minute: u32,
    counted: Mutex<HashMap<Origin, Window>>,
}

impl Requests {
    /// So many requests a minute.
    pub fn new(a_minute: u32) -> Self {
        Self {
            a_minute,
            counted: Mutex::default(),
        }
    }

    /// Counts a request.
    ///
    /// # Errors
    ///
    /// It is one too many; in how many seconds it is not.
    pub fn count(&self, origin: Origin, now: Instant) -> Result<(), u64> {
        let mut counted = lock(&self.counted);
        if counted.len() >= ADDRESSES && !counted.contains_key(&origin) {
            counted.retain(|_, window| !window.is_over(now));
            if counted.len() >= ADDRESSES {
                return Err(MINUTE.as_secs());
            }
        }
        let window = counted.entry(origin).or_insert_with(|| Window::new(now));
        window.count(self.a_minute, now)
    }

    /// Forgets who has not asked for a minute.
    pub fn tidy(&self, now: Instant) {
        lock(&self.counted).retain(|_, window| !window.is_over(now));
    }
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// Of all.
    pub in_all: usize,
    /// Of one origin.
    pub of_one: usize,
}

/// The connections that there are.
#[derive(Clone, Debug)]
pub struct Connections {
    most: Most,
    places: Arc<Mutex<Places>>,
}

#[derive(Debug, Default)]
struct Places {
    taken: usize,
    by: HashMap<Origin, usize>,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Mutex<Places>>,
    origin: Origin,
}

impl Connections {
    /// None yet.
    pub fn new(most: Most) -> Self {
        Self {
            most,
            places: Arc::default(),
        }
    }

    fn take(&self, origin: Origin) -> Option<Place> {
        let mut places = lock(&self.places);
        let by = places.by.get(&origin).copied().unwrap_or(0);
        if places.taken >= self.most.in_all || by >= self.most.of_one {
            return None;
        }
        places.taken += 1;
        places.by.insert(origin, by + 1);
        Some(Place {
            places: Arc::clone(&self.places),
            origin,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = lock(&self.places);
        places.taken = places.taken.saturating_sub(1);
        if let Some(by) = places.by.get_mut(&self.origin) {
            *by = by.saturating_sub(1);
            if *by == 0 {
                places.by.remove(&self.origin);
            }
        }
    }
}

impl<S> Accept<TcpStream, S> for Connections {
    type Stream = TcpStream;
    type Service = Placed<S>;
    type Future = Ready<io::Result<(TcpStream, Placed<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let origin = stream.peer_addr().map(|peer| Origin::from(peer.ip()));
        ready(origin.and_then(|origin| {
            let place = self.take(origin);
            let place = place.ok_or_else(|| io::Error::other("too many connections"))?;
            let place = Arc::new(place);
            Ok((stream, Placed { service, place }))
        }))
    }
}

/// A service that keeps the place of its connection.
#[derive(Clone, Debug)]
pub struct Placed<S> {
    service: S,
    #[allow(dead_code, reason = "it is kept until it is dropped")]
    place: Arc<Place>,
}

impl<S: Service<R>, R> Service<R> for Placed<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.service.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(address: &str) -> Origin {
        Origin::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn origins() {
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:1:2:3"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
        assert_eq!(origin("192.0.2.1"), origin("::ffff:192.0.2.1"));
    }

    #[test]
    fn requests_a_minute() {
        let requests = Requests::new(3);
        let now = Instant::now();
        for _ in 0..3 {
            requests.count(origin("192.0.2.1"), now).unwrap();
        }
        let later = now + Duration::from_secs(50);
        assert_eq!(requests.count(origin("192.0.2.1"), later), Err(11));
        requests.count(origin("192.0.2.2"), later).unwrap();
        requests.count(origin("192.0.2.1"), now + MINUTE).unwrap();
        requests.tidy(now + 3 * MINUTE);
        assert!(lock(&requests.counted).is_empty());
    }

    #[test]
    fn addresses_take_no_more_memory_than_that() {
        let requests = Requests::new(1);
        let now = Instant::now();
        for number in 0..ADDRESSES as u32 {
            let address = IpAddr::V4(number.into());
            requests.count(address.into(), now).unwrap();
        }
        let one_more = origin("2001:db8::1");
        assert!(requests.count(one_more, now).is_err());
        assert_eq!(lock(&requests.counted).len(), ADDRESSES);
        requests.count(one_more, now + MINUTE).unwrap();
        assert_eq!(lock(&requests.counted).len(), 1);
    }

    #[test]
    fn places() {
        let connections = Connections::new(Most {
            in_all: 3,
            of_one: 2,
        });
        let [first, second] = ["192.0.2.1", "192.0.2.2"].map(origin);
        let taken: Vec<_> = (0..2).map(|_| connections.take(first).unwrap()).collect();
        assert!(connections.take(first).is_none());
        let third = connections.take(second).unwrap();
        assert!(connections.take(second).is_none());
        drop(taken);
        let again = connections.take(second).unwrap();
        drop((third, again));
        let places = lock(&connections.places);
        assert!(places.taken == 0 && places.by.is_empty());
    }
}
