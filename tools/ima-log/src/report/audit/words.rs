// SPDX-License-Identifier: GPL-2.0

//! What an outcome is called, and what it means to somebody who is no engineer.

use crate::verify::verdict::Outcome;

/// Characters of a text from outside that are told.
const MAX_TEXT: usize = 400;

/// How an outcome is shown. Each has a word and a sign of its own, so that no colour is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// It is as it should be.
    Good,
    /// It is, as far as something was accepted, or nothing contradicts it.
    Open,
    /// It is not.
    Bad,
}

impl Level {
    pub(super) fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Verified => Self::Good,
            Outcome::Accepted | Outcome::Unanchored | Outcome::Missing => Self::Open,
            Outcome::Stale | Outcome::Tampered => Self::Bad,
        }
    }
}

/// The outcome in a word or two.
pub(super) fn headline(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Verified => "Verified",
        Outcome::Accepted => "Verified in part",
        Outcome::Unanchored => "Not proven",
        Outcome::Missing => "Incomplete",
        Outcome::Stale => "Out of date",
        Outcome::Tampered => "Not verified",
    }
}

/// What it means: of `alike` logs among `all` that a report is about.
pub(super) fn sentence(outcome: Outcome, host: Option<&str>, alike: usize, all: usize) -> String {
    let host = host.map_or("this list".to_owned(), str::to_owned);
    let whose = match (alike, all) {
        (_, 0 | 1) => format!("the records of {host}"),
        (2, 2) => format!("the records of both boots of {host}"),
        (alike, all) if alike == all => format!("the records of all {all} boots of {host}"),
        (alike, all) => format!("the records of {alike} of the {all} boots of {host}"),
    };
    match outcome {
        Outcome::Verified => {
            format!("{whose} are complete and unchanged, from a known start up to where a trusted value \
             proves them.")
        }
        Outcome::Accepted => format!(
            "{whose} are complete and unchanged from a checkpoint on that somebody decided to \
             accept; nothing that came before it is proven."
        ),
        Outcome::Unanchored => format!(
            "nothing contradicts {whose}, but nothing trusted proves all of what should be proven."
        ),
        Outcome::Missing => format!(
            "{whose} are consistent as far as they are here, but a part of them is missing, or \
             nobody vouches for where they start."
        ),
        Outcome::Stale => format!(
            "the proof of {whose} answers another question than the one that was asked; it may be \
             an old one."
        ),
        Outcome::Tampered => format!(
            "{whose} are not what the kernel measured, or not all of it. Something was changed, \
             left out or added."
        ),
    }
}

/// What to do about it.
pub(super) fn advice(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Verified => {
            "Nothing has to be done. Look at what is only claimed before you rely on times and \
             names."
        }
        Outcome::Accepted => {
            "Make sure that whoever accepted the checkpoint had a reason to trust it."
        }
        Outcome::Unanchored => {
            "Ask for the public key of the TPM, or for a quote over every register in use, and \
             make this report again."
        }
        Outcome::Missing => {
            "Find the segments that are named below, or what the registers held where the records \
             start."
        }
        Outcome::Stale => "Ask the host for a new quote.",
        Outcome::Tampered => {
            "Keep all files as they are, and find out who could write to the records that are \
             named below."
        }
    }
}

/// A text from outside, cut if it is long. What could harm a terminal must be escaped in it.
pub fn clip(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Outcome; 6] = [
        Outcome::Verified,
        Outcome::Accepted,
        Outcome::Unanchored,
        Outcome::Missing,
        Outcome::Stale,
        Outcome::Tampered,
    ];

    #[test]
    fn each_outcome_has_words_of_its_own() {
        for (at, one) in ALL.iter().enumerate() {
            for other in ALL.iter().skip(at + 1) {
                assert_ne!(headline(*one), headline(*other));
                assert_ne!(advice(*one), advice(*other));
            }
        }
    }

    #[test]
    fn the_sentence_says_how_many() {
        let said = |alike, all| sentence(Outcome::Tampered, Some("web1"), alike, all);
        assert!(said(1, 1).starts_with("the records of web1 are not"));
        assert!(said(3, 3).starts_with("the records of all 3 boots of web1 are not"));
        assert!(said(1, 3).starts_with("the records of 1 of the 3 boots of web1 are not"));
        assert!(sentence(Outcome::Missing, None, 1, 1).starts_with("the records of this list are"));
    }

    #[test]
    fn texts_are_bounded() {
        assert_eq!(clip("ü"), "ü");
        assert_eq!(clip(&"ü".repeat(10_000)).chars().count(), MAX_TEXT + 1);
    }
}
