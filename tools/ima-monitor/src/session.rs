// SPDX-License-Identifier: GPL-2.0

//! Sessions and challenges, in memory: after a restart hosts authenticate again.
//!
//! Only hosts that are known get an entry, so that nobody else can use up memory; each has one challenge,
//! one token and one attestation at most.

use crate::limits::Window;
use ima_push::Base64;
use openssl::{memcmp, rand::rand_bytes, sha::sha256};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// How long a challenge is valid.
pub const CHALLENGE: Duration = Duration::from_secs(60);

/// How long a token is valid; each attestation that proves something extends it.
pub const TOKEN: Duration = Duration::from_secs(180);

/// Sessions that a host may open in a minute.
const SESSIONS: u32 = 15;

/// Attestations that a host may begin in a minute: somewhat more than the shortest interval allows.
const ATTESTATIONS: u32 = 150;

/// Bytes of challenges and of the secret part of tokens.
const RANDOM: usize = 32;

/// What a host is to prove, and until when.
#[derive(Clone, Debug)]
struct Challenge {
    id: String,
    nonce: Vec<u8>,
    until: Instant,
}

#[derive(Debug)]
struct Token {
    /// SHA-256 of it, so that a core dump does not have it.
    hash: [u8; 32],
    until: Instant,
}

#[derive(Debug)]
struct Entry<A> {
    opened: Window,
    begun: Window,
    challenge: Option<Challenge>,
    token: Option<Token>,
    attestation: Option<(u64, A)>,
    next: u64,
    /// When the next attestation is welcome.
    welcome: Instant,
}

/// All sessions. `A` is what is remembered of an attestation that was begun.
#[derive(Debug)]
pub struct Sessions<A> {
    hosts: Mutex<HashMap<String, Entry<A>>>,
}

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The host asked too often; seconds until it may ask again.
    Often(u64),
    /// The random number generator failed.
    Random,
}

impl<A> Default for Sessions<A> {
    fn default() -> Self {
        Self {
            hosts: Mutex::default(),
        }
    }
}

/// Bytes that nobody can foresee.
///
/// # Errors
///
/// [`Refused::Random`].
pub fn random() -> Result<Vec<u8>, Refused> {
    let mut bytes = vec![0; RANDOM];
    rand_bytes(&mut bytes).map_err(|_| Refused::Random)?;
    Ok(bytes)
}

/// Bytes in hexadecimal digits.
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + 1
}

impl<A> Sessions<A> {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry<A>>> {
        // nothing is left half done by a thread that panics
        self.hosts
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Makes a challenge for a known host. Gives its identifier and the nonce.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub fn challenge(&self, host: &str, now: Instant) -> Result<(String, Vec<u8>), Refused> {
        let (id, nonce) = (text(&random()?), random()?);
        let mut hosts = self.lock();
        let entry = hosts.entry(host.to_owned()).or_insert_with(|| Entry {
            opened: Window::new(now),
            begun: Window::new(now),
            challenge: None,
            token: None,
            attestation: None,
            next: 0,
            welcome: now,
        });
        entry.opened.count(SESSIONS, now).map_err(Refused::Often)?;
        let until = now + CHALLENGE;
        entry.challenge = Some(Challenge {
            id: id.clone(),
            nonce: nonce.clone(),
            until,
        });
        Ok((id, nonce))
    }

    /// Takes the nonce of a challenge: there is one answer to each.
    pub fn answer(&self, host: &str, id: &str, now: Instant) -> Option<Vec<u8>> {
        let mut hosts = self.lock();
        let entry = hosts.get_mut(host)?;
        let challenge = entry.challenge.take_if(|challenge| challenge.id == id)?;
        (now < challenge.until).then_some(challenge.nonce)
    }

    /// The proof held: makes a token, and the one before is void.
    ///
    /// # Errors
    ///
    /// [`Refused::Random`].
    pub fn open(&self, host: &str, now: Instant) -> Result<String, Refused> {
        let secret = random()?;
        let token = Base64(secret).encode();
        if let Some(entry) = self.lock().get_mut(host) {
            entry.token = Some(Token {
                hash: sha256(token.as_bytes()),
                until: now + TOKEN,
            });
        }
        Ok(token)
    }

    /// Is this the host's token?
    pub fn is_open(&self, host: &str, token: &str, now: Instant) -> bool {
        let hash = sha256(token.as_bytes());
        let hosts = self.lock();
        let token = hosts.get(host).and_then(|entry| entry.token.as_ref());
        token.is_some_and(|token| now < token.until && memcmp::eq(&token.hash, &hash))
    }

    /// The host proved something: its token is valid for longer.
    pub fn extend(&self, host: &str, now: Instant) {
        let mut hosts = self.lock();
        if let Some(token) = hosts.get_mut(host).and_then(|entry| entry.token.as_mut()) {
            token.until = now + TOKEN;
        }
    }

    /// Begins an attestation, and forgets one that was begun before. Gives its number.
    ///
    /// # Errors
    ///
    /// [`Refused::Often`] before the interval has passed, or if too many were begun.
    pub fn begin(&self, host: &str, attestation: A, now: Instant) -> Result<u64, Refused> {
        let mut hosts = self.lock();
        let Some(entry) = hosts.get_mut(host) else {
            return Err(Refused::Often(1));
        };
        if let Some(early) = entry.welcome.checked_duration_since(now) {
            if !early.is_zero() {
                return Err(Refused::Often(seconds(early)));
            }
        }
        entry
            .begun
            .count(ATTESTATIONS, now)
            .map_err(Refused::Often)?;
        let number = entry.next;
        entry.next += 1;
        entry.attestation = Some((number, attestation));
        Ok(number)
    }

    /// Takes what was remembered of an attestation: evidence is taken once.
    pub fn take(&self, host: &str, number: u64) -> Option<A> {
        let mut hosts = self.lock();
        let entry = hosts.get_mut(host)?;
        let taken = entry.attestation.take_if(|(known, _)| *known == number)?;
        Some(taken.1)
    }

    /// The next attestation of this host is welcome then.
    pub fn welcome(&self, host: &str, at: Instant) {
        if let Some(entry) = self.lock().get_mut(host) {
            entry.welcome = at;
        }
    }

    /// Forgets hosts with nothing that is still valid.
    pub fn tidy(&self, now: Instant) {
        self.lock().retain(|_, entry| {
            let token = entry.token.as_ref().is_some_and(|token| now < token.until);
            let challenge = entry.challenge.as_ref();
            let recent = now.saturating_duration_since(entry.opened.since()) < 2 * CHALLENGE;
            token || recent || entry.welcome > now || challenge.is_some_and(|one| now < one.until)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_has_one_answer() {
        let sessions = Sessions::<()>::default();
        let now = Instant::now();
        let (id, nonce) = sessions.challenge("a", now).unwrap();
        assert_eq!(sessions.answer("b", &id, now), None);
        assert_eq!(sessions.answer("a", "x", now), None);
        assert_eq!(sessions.answer("a", &id, now), Some(nonce));
        assert_eq!(sessions.answer("a", &id, now), None);
        let (id, _) = sessions.challenge("a", now).unwrap();
        assert_eq!(sessions.answer("a", &id, now + CHALLENGE), None);
    }

    #[test]
    fn tokens_are_of_one_host_and_end() {
        let sessions = Sessions::<()>::default();
        let now = Instant::now();
        for host in ["a", "b"] {
            sessions.challenge(host, now).unwrap();
        }
        let token = sessions.open("a", now).unwrap();
        assert!(sessions.is_open("a", &token, now));
        assert!(!sessions.is_open("b", &token, now));
        assert!(!sessions.is_open("a", "", now));
        assert!(!sessions.is_open("a", &token, now + TOKEN));
        sessions.extend("a", now + TOKEN / 2);
        assert!(sessions.is_open("a", &token, now + TOKEN));
        let second = sessions.open("a", now).unwrap();
        assert!(!sessions.is_open("a", &token, now) && sessions.is_open("a", &second, now));
        sessions.tidy(now);
        assert!(sessions.is_open("a", &second, now));
        sessions.tidy(now + 10 * TOKEN);
        assert!(sessions.lock().is_empty());
    }

    #[test]
    fn not_too_often() {
        let sessions = Sessions::<()>::default();
        let now = Instant::now();
        for _ in 0..SESSIONS {
            sessions.challenge("a", now).unwrap();
        }
        let refused = sessions.challenge("a", now + Duration::from_secs(50));
        assert_eq!(refused.unwrap_err(), Refused::Often(11));
        sessions.challenge("b", now).unwrap();
        sessions
            .challenge("a", now + Duration::from_secs(60))
            .unwrap();
    }

    #[test]
    fn not_too_many_attestations() {
        let sessions = Sessions::<()>::default();
        let now = Instant::now();
        sessions.challenge("a", now).unwrap();
        for _ in 0..ATTESTATIONS {
            sessions.begin("a", (), now).unwrap();
        }
        assert_eq!(sessions.begin("a", (), now), Err(Refused::Often(61)));
        let later = now + Duration::from_secs(60);
        sessions.begin("a", (), later).unwrap();
    }

    #[test]
    fn one_attestation_at_a_time() {
        let sessions = Sessions::default();
        let now = Instant::now();
        sessions.challenge("a", now).unwrap();
        let first = sessions.begin("a", 'x', now).unwrap();
        let second = sessions.begin("a", 'y', now).unwrap();
        assert_eq!(sessions.take("a", first), None);
        assert_eq!(sessions.take("a", second), Some('y'));
        assert_eq!(sessions.take("a", second), None);
        sessions.welcome("a", now + Duration::from_secs(9));
        assert_eq!(sessions.begin("a", 'z', now), Err(Refused::Often(10)));
        sessions
            .begin("a", 'z', now + Duration::from_secs(9))
            .unwrap();
    }
}
