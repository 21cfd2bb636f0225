// SPDX-License-Identifier: GPL-2.0

//! A plan in words.

use super::{Alarm, Step};
use indicatif::{BinaryBytes, HumanCount};
use std::fmt;

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReportGap { from, to } => write!(
                f,
                "report a gap: segments {from} to {to} were freed in the kernel before they were \
                 archived"
            ),
            Self::Check { seq } => write!(
                f,
                "read segment {seq} back, which an earlier run archived, and verify it"
            ),
            Self::Compare { seq } => write!(
                f,
                "compare segment {seq} with the kernel's, which has another digest"
            ),
            Self::Store { seq, fork: false } => {
                write!(f, "archive segment {seq}, read it back and verify it")
            }
            Self::Store { seq, fork: true } => {
                write!(f, "archive segment {seq} as a fork, beside the one in the archive")
            }
            Self::CompareTail { seq } => write!(
                f,
                "compare the archived tail of segment {seq} with what the kernel has"
            ),
            Self::KeepTail { seq } => write!(f, "archive the unsealed tail of segment {seq}"),
            Self::DropTail { seq } => write!(
                f,
                "remove the tail of segment {seq}, which is archived as a whole"
            ),
            Self::ForkTail { seq } => write!(
                f,
                "keep the tail of segment {seq} as a fork: it is not the beginning of what the \
                 kernel has"
            ),
            Self::Copy { log_id, name } => write!(
                f,
                "copy {name} of log {log_id} to the store, unless it is there, and read it back"
            ),
            Self::Truncate {
                seq,
                records,
                bytes,
                ..
            } => write!(
                f,
                "truncate the kernel's list to checkpoint {seq}: {} records, {} freed",
                HumanCount(*records),
                BinaryBytes(*bytes)
            ),
            Self::Remove {
                log_id,
                before,
                files,
                file_bytes,
            } => write!(
                f,
                "remove the segments before {before} of log {log_id} from the archive: {} files, {}",
                files.len(),
                BinaryBytes(*file_bytes)
            ),
        }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WentBack {
                first,
                active,
                seen,
            } => write!(
                f,
                "FORK: the log went back. The kernel has segments {first} to {active}, but the \
                 archive has already had those before {seen}: a snapshot of this machine was \
                 restored, or somebody pretends so. Nothing is freed or removed. Find out which \
                 history is true, move the other one out of the archive, and run `reindex`"
            ),
            Self::ForkThere { seq } => write!(
                f,
                "FORK: there is a fork of segment {seq} in the archive, and the kernel frees \
                 nothing from it on. `ima-checkpoint fsck` names the file"
            ),
            Self::Lost { from, to } => write!(
                f,
                "MISSING: segments {from} to {to} were archived and are not there any more. Get \
                 them back from a copy; `reindex` gives them up"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bank::Digest;

    #[test]
    fn what_frees_and_removes_says_how_much() {
        let truncate = Step::Truncate {
            seq: 4,
            digest: Digest::new(&[0; 32]),
            records: 12_345,
            bytes: 1 << 20,
        };
        assert_eq!(
            truncate.to_string(),
            "truncate the kernel's list to checkpoint 4: 12,345 records, 1.00 MiB freed"
        );
        let remove = Step::Remove {
            log_id: "ab".to_owned(),
            before: 3,
            files: Vec::new(),
            file_bytes: 2048,
        };
        assert_eq!(
            remove.to_string(),
            "remove the segments before 3 of log ab from the archive: 0 files, 2.00 KiB"
        );
    }

    #[test]
    fn an_alarm_says_what_to_do() {
        let back = Alarm::WentBack {
            first: 0,
            active: 2,
            seen: 7,
        };
        for (alarm, says) in [
            (
                back,
                "segments 0 to 2, but the archive has already had those before 7",
            ),
            (Alarm::ForkThere { seq: 3 }, "fsck` names the file"),
            (Alarm::Lost { from: 1, to: 2 }, "Get them back from a copy"),
        ] {
            let text = alarm.to_string();
            assert!(text.contains(says), "{text}");
        }
    }
}
