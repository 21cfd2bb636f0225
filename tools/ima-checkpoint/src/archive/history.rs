// SPDX-License-Identifier: GPL-2.0

//! What an archive says of a log beside its segments: since when they are there, and which are not.
//! Nothing proves any of it.

use super::{
    index::{Event, Index},
    Log,
};
use crate::error::Result;

/// Gaps that are told of.
const MAX_GAPS: usize = 100;

/// What happened to a log. Times are nanoseconds since 1970-01-01 00:00 UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Files of segments, without forks.
    pub files: u64,
    /// When the first of them was archived, and the last.
    pub archived_ns: Option<(u64, u64)>,
    /// All segments before this one were removed, and when.
    pub removed: Option<(u64, u64)>,
    /// Segments that were gone before they were archived: the first, the last, and when the
    /// archiver noticed. At most 100.
    pub gaps: Vec<(u64, u64, u64)>,
}

impl Log {
    /// What the archive says of it. A store has no index, so that less is known of a log in one.
    /// What cannot be read of single files is left out: whoever reads their contents is told.
    ///
    /// # Errors
    ///
    /// As for [`Log::segments`], or the index cannot be read.
    pub fn history(&self) -> Result<History> {
        let names = self.segments()?;
        let archived = |name| Some(self.meta(name).ok()?.archived_ns);
        let first = names.iter().next().and_then(archived);
        let last = names.iter().last().and_then(archived);
        let mut history = History {
            files: names.len() as u64,
            archived_ns: first.zip(last),
            ..History::default()
        };
        let Some(directory) = self.directory() else {
            return Ok(history);
        };
        Index::events(directory, |event| match event {
            Event::Removed { before, at_ns } => {
                let newer = history.removed.is_none_or(|(known, _)| *before > known);
                if newer {
                    history.removed = Some((*before, *at_ns));
                }
            }
            Event::Gap { from, to, at_ns } if history.gaps.len() < MAX_GAPS => {
                history.gaps.push((*from, *to, *at_ns));
            }
            Event::Gap { .. } | Event::Archived { .. } => (),
        })?;
        Ok(history)
    }
}
