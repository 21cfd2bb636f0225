// SPDX-License-Identifier: GPL-2.0

//! From a verdict to what can be endorsed.

use super::{Endorsement, Moment, Verifier, MAX_SEGMENTS};
use crate::{
    bank::Digest,
    quote::Quote,
    verify::verdict::{Outcome, Verdict},
};
use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What a verdict does not say.
#[derive(Clone, Debug)]
pub struct Words {
    /// The host, if it is known.
    pub host: Option<String>,
    /// Who verified it.
    pub verifier: Verifier,
    /// When.
    pub time: SystemTime,
}

/// Why nothing can be endorsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotEndorsable {
    /// The log is not verified.
    NotVerified,
    /// No checkpoint is proven.
    NoCheckpoint,
}

impl fmt::Display for NotEndorsable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotVerified => f.write_str(
                "nothing was endorsed, because the log is not verified: `ima-checkpoint verify` with \
                 the same options says why",
            ),
            Self::NoCheckpoint => f.write_str(
                "nothing was endorsed, because no checkpoint is proven: give a quote, or PCR values, \
                 that were taken after a checkpoint",
            ),
        }
    }
}

impl std::error::Error for NotEndorsable {}

impl Endorsement {
    /// What can be endorsed of a log: its newest checkpoint that is proven.
    ///
    /// # Errors
    ///
    /// [`NotEndorsable`]: the log is not verified, or has no such checkpoint.
    pub fn of(verdict: &Verdict, words: Words) -> Result<Self, NotEndorsable> {
        if !matches!(verdict.outcome(), Outcome::Verified | Outcome::Accepted) {
            return Err(NotEndorsable::NotVerified);
        }
        let proven = verdict.checkpoint.as_ref();
        let proven = proven.ok_or(NotEndorsable::NoCheckpoint)?;
        let since = words.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            host: words.host,
            log_id: proven.log_id,
            checkpoint: proven.seq,
            digest: proven.digest,
            records: proven.records,
            segments: segments(verdict, proven.seq),
            values: proven.values.clone(),
            quote: proof(verdict).map(Moment::from),
            verifier: words.verifier,
            time: UNIX_EPOCH + Duration::from_secs(since.as_secs()),
            inputs: inputs(verdict),
        })
    }
}

/// The newest whole segments before a checkpoint that are here.
fn segments(verdict: &Verdict, checkpoint: u64) -> BTreeMap<u64, Digest> {
    let here = verdict.log.shown.iter().rev();
    let here = here.filter_map(|segment| Some((segment.seq?, segment.sealed?)));
    let before = here.filter(|(seq, _)| *seq < checkpoint);
    before.take(MAX_SEGMENTS).collect()
}

/// The quote that proves most.
fn proof(verdict: &Verdict) -> Option<&Quote> {
    let logged = verdict.quotes.newest();
    let logged = logged
        .into_iter()
        .filter_map(|one| Some((one.proven?.1, one)));
    let logged = logged.max_by_key(|(end, _)| *end);
    let logged = logged.map(|(_, one)| &one.quote);
    verdict.quote.as_ref().or(logged)
}

fn inputs(verdict: &Verdict) -> Vec<Digest> {
    verdict.endorsements.iter().map(|one| one.id).collect()
}

impl From<&Quote> for Moment {
    fn from(quote: &Quote) -> Self {
        Self {
            key_name: quote.key_name.clone(),
            reset_count: quote.attest.reset_count,
            restart_count: quote.attest.restart_count,
            clock: quote.attest.clock,
            safe: quote.attest.safe,
        }
    }
}
