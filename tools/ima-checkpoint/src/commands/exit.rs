// SPDX-License-Identifier: GPL-2.0

//! How the program ends. This is the only place where what failed becomes an exit code.

use super::failure::Failure;
use crate::{
    archive::{
        self,
        notice::Warning,
        plan::{Alarm, Wait},
        remark::{Finding, Remark},
    },
    error::Error,
    evidence, full_list,
    kernel::{self, Refusal},
    quoting,
    records::Fault,
    remote,
};
use ima_log::{
    quote,
    verify::{self, verdict::Outcome},
};
use rustix::io::Errno;
use std::io;

/// Exit codes. When several hold, [`worst`] decides which one the program ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Code {
    /// Verified: complete from a trusted start, anchored. Or the command did what it should.
    Verified = 0,
    /// Tampered, mismatching or forked.
    Tampered = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Consistent, but anchored to nothing.
    Unanchored = 3,
    /// Against a policy: the permissions of an archive are wider than they should be, say.
    Policy = 4,
    /// History is missing: a gap, or a start that nobody vouches for.
    Missing = 5,
    /// Busy, try again.
    Busy = 6,
    /// The kernel lacks what is needed, or the privilege is missing.
    Kernel = 7,
    /// Input, output or internal error.
    Internal = 8,
    /// Stale: not of the state or the question that it should answer.
    Stale = 9,
}

/// All codes, the one that decides first, and what the manual pages say of each.
pub const CODES: [(Code, &str); 10] = [
    (Code::Usage, "The command line is wrong."),
    (
        Code::Kernel,
        "The kernel has no checkpoints, or the privilege is missing.",
    ),
    (Code::Internal, "Input, output or internal error."),
    (Code::Busy, "Busy. Try again."),
    (Code::Tampered, "Tampered, mismatching, or forked."),
    (
        Code::Stale,
        "Stale: the quote, the log or the checkpoint is not the one that was asked for.",
    ),
    (
        Code::Missing,
        "History is missing: a gap, or a start that nobody vouches for.",
    ),
    (
        Code::Policy,
        "Against a policy. For fsck: everybody can read the archive. For truncate: the kernel \
         demands a signature, and none is valid.",
    ),
    (
        Code::Unanchored,
        "Consistent, but a PCR in use was not compared with a trusted value in a strong bank.",
    ),
    (
        Code::Verified,
        "The command succeeded. For verify: every PCR in use is proven from a trusted start, or \
         from what was accepted.",
    ),
];

/// The code that decides, [`Code::Verified`] if there is none.
pub fn worst(codes: impl IntoIterator<Item = Code> + Clone) -> Code {
    let holds = |code: &Code| codes.clone().into_iter().any(|held| held == *code);
    let mut all = CODES.into_iter().map(|(code, _)| code);
    all.find(holds).unwrap_or(Code::Verified)
}

impl From<Code> for std::process::ExitCode {
    fn from(code: Code) -> Self {
        (code as u8).into()
    }
}

impl From<Outcome> for Code {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Verified | Outcome::Accepted => Self::Verified,
            Outcome::Unanchored => Self::Unanchored,
            Outcome::Missing => Self::Missing,
            Outcome::Stale => Self::Stale,
            Outcome::Tampered => Self::Tampered,
        }
    }
}

impl From<&Failure> for Code {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Usage(_) => Self::Usage,
            Failure::Freed { .. } => Self::Stale,
            Failure::Unproven(_) => Self::Unanchored,
            Failure::Held { .. } | Failure::Restless(_) => Self::Busy,
            Failure::MountDenied { .. } => Self::Kernel,
            Failure::LeftMounted { .. } | Failure::Crashed => Self::Internal,
            Failure::Program(error) => error.into(),
        }
    }
}

impl From<&Error> for Code {
    fn from(error: &Error) -> Self {
        match error {
            Error::Io { .. } => Self::Internal,
            Error::Kernel(error) => error.into(),
            Error::Archive(error) => error.into(),
            Error::Store(error) => error.into(),
            Error::FullList(error) => error.into(),
            Error::Evidence(error) => error.into(),
            Error::Verify(error) => error.into(),
            Error::Record(fault) => fault.into(),
            Error::Untold(_) => Self::Internal,
            Error::Quote(error) => error.into(),
            Error::Endorsement(_) => Self::Internal,
            Error::Quoting(error) => error.into(),
            Error::During { error, .. } => error.as_ref().into(),
        }
    }
}

impl From<&kernel::Error> for Code {
    fn from(error: &kernel::Error) -> Self {
        use kernel::Error::{NoQuotes, NotUnderstood, Refused, Unsupported};
        match error {
            Unsupported { .. } | NotUnderstood { .. } | NoQuotes { .. } => Self::Kernel,
            Refused { refusal, .. } => match refusal {
                Refusal::Privilege => Self::Kernel,
                Refusal::NotYet | Refusal::Invalid => Self::Usage,
                Refusal::Freed => Self::Stale,
                Refusal::Suspended => Self::Busy,
                Refusal::Unsigned => Self::Policy,
                Refusal::Tpm | Refusal::Memory => Self::Internal,
            },
        }
    }
}

impl From<&archive::Error> for Code {
    fn from(error: &archive::Error) -> Self {
        use archive::Error;
        match error {
            Error::SeveralLogs { .. }
            | Error::NotAHost { .. }
            | Error::NoReceipts { .. }
            | Error::NoGroup { .. }
            | Error::Writable { .. }
            | Error::Volatile { .. } => Self::Usage,
            Error::NotFlushed { .. } | Error::NotKept { .. } => Self::Internal,
            Error::Locked { .. } | Error::Exchanged { .. } => Self::Busy,
            Error::WrongKind { .. }
            | Error::Damaged { .. }
            | Error::Misplaced { .. }
            | Error::Disagrees(_)
            | Error::NoCheckpoint { .. }
            | Error::Short { .. } => Self::Tampered,
            Error::NoArchive { .. }
            | Error::NoLog { .. }
            | Error::Absent { .. }
            | Error::BeginningOnly => Self::Missing,
        }
    }
}

impl From<&remote::Error> for Code {
    fn from(error: &remote::Error) -> Self {
        use remote::Error;
        match error {
            Error::Url(_)
            | Error::NotADirectory { .. }
            | Error::Setup { .. }
            | Error::Overwrites { .. } => Self::Usage,
            Error::Failed { .. }
            | Error::Slow { .. }
            | Error::NotKept { .. }
            | Error::TooLarge { .. } => Self::Internal,
            Error::Changed { .. } => Self::Busy,
            Error::Absurd { .. } | Error::Differs { .. } => Self::Tampered,
        }
    }
}

impl From<&full_list::Error> for Code {
    fn from(error: &full_list::Error) -> Self {
        use full_list::Error;
        match error {
            Error::Foreign { .. } => Self::Internal,
            // what the archive has does not follow its format
            Error::Unreadable {
                file: Some(_),
                error,
                ..
            } if matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
            {
                Self::Tampered
            }
            Error::Unreadable { .. } => Self::Internal,
            Error::Contradiction { .. }
            | Error::Overlap { .. }
            | Error::Ends { .. }
            | Error::Malformed { .. }
            | Error::Told { .. } => Self::Tampered,
            Error::Changed | Error::OtherLog { .. } => Self::Stale,
            Error::Missing { .. } | Error::Empty => Self::Missing,
        }
    }
}

impl From<&evidence::Error> for Code {
    fn from(error: &evidence::Error) -> Self {
        use evidence::Error;
        match error {
            Error::NoIma { .. } | Error::NoPcrs { .. } | Error::NotAValue { .. } => Self::Kernel,
            Error::NoKeys { .. } | Error::ManyKeys { .. } => Self::Usage,
            Error::NotRegular { .. }
            | Error::TooLarge { .. }
            | Error::NotAList { .. }
            | Error::NotMeasured { .. }
            | Error::EventLog { .. } => Self::Internal,
        }
    }
}

impl From<&verify::Error> for Code {
    fn from(error: &verify::Error) -> Self {
        use verify::Error;
        match error {
            Error::ValuesNeeded(_) | Error::ForeignBanks(_) => Self::Usage,
            Error::BanksNeeded(_) => Self::Internal,
            Error::Empty | Error::Source(_) | Error::Unsealed { .. } => Self::Internal,
            // the kernel freed what a reader had not read yet
            Error::Read { error, .. } => match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::STALE) => Self::Stale,
                _ => Self::Internal,
            },
        }
    }
}

impl From<&Fault> for Code {
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::Io(_) => Self::Internal,
            Fault::Malformed(..) | Fault::Cut(_) | Fault::Ascii(_) => Self::Tampered,
        }
    }
}

impl From<&quote::Error> for Code {
    fn from(error: &quote::Error) -> Self {
        use quote::Error;
        match error {
            Error::NoKeyName { .. } => Self::Usage,
            Error::NotAKey(_) | Error::NotPcrValues(_) => Self::Internal,
            Error::Malformed { .. }
            | Error::Forged(_)
            | Error::UnfitKey { .. }
            | Error::WeakKey
            | Error::WrongKeyName { .. } => Self::Tampered,
            Error::Stale { .. } => Self::Stale,
            Error::Weak { .. } => Self::Unanchored,
        }
    }
}

impl From<&quoting::Error> for Code {
    fn from(error: &quoting::Error) -> Self {
        use quoting::Error;
        match error {
            Error::Key(_) | Error::TooLarge => Self::Usage,
            Error::NoTool { .. } | Error::NothingNamed => Self::Kernel,
            Error::Failed { .. } | Error::Slow { .. } | Error::NotAQuote(_) => Self::Internal,
            Error::Overtaken { .. } => Self::Busy,
        }
    }
}

impl From<&Warning> for Code {
    fn from(warning: &Warning) -> Self {
        match warning {
            Warning::Unusable(error) => error.into(),
            Warning::Fork { .. } | Warning::ForkedTail { .. } | Warning::Kept { .. } => {
                Self::Tampered
            }
            Warning::Alarm(alarm) => alarm.into(),
            Warning::NotCopied { fault, .. } | Warning::NotQuoted { fault, .. } => fault.into(),
            Warning::NoReceipt { .. } | Warning::ManyReceipts { .. } => Self::Policy,
            // it may work at the end: what is still waited for then decides
            Warning::NoStore(fault) => match fault.into() {
                Self::Internal | Self::Busy => Self::Verified,
                code => code,
            },
            Warning::Gap { .. } => Self::Missing,
            // they may be gone at the end: what is still waited for then decides
            Warning::Readers { .. } => Self::Verified,
            // as with a receipt: it is for somebody else to act
            Warning::Unsigned => Self::Verified,
        }
    }
}

impl From<&Alarm> for Code {
    fn from(alarm: &Alarm) -> Self {
        match alarm {
            Alarm::WentBack { .. } | Alarm::ForkThere { .. } => Self::Tampered,
            Alarm::Lost { .. } => Self::Missing,
        }
    }
}

impl From<Wait> for Code {
    fn from(wait: Wait) -> Self {
        match (wait.store, wait.readers) {
            (true, _) => Self::Internal,
            (false, true) => Self::Busy,
            (false, false) => Self::Verified,
        }
    }
}

impl From<&Remark> for Code {
    fn from(remark: &Remark) -> Self {
        match remark {
            Remark::Unchecked(error) => error.into(),
            Remark::Of { finding, .. } => finding.into(),
        }
    }
}

impl From<&Finding> for Code {
    fn from(finding: &Finding) -> Self {
        match finding {
            Finding::Fault(error) => error.into(),
            Finding::NoIndex | Finding::DamagedIndex => Self::Internal,
            Finding::Writable | Finding::NoPartial | Finding::Fork | Finding::Exchanged => {
                Self::Tampered
            }
            Finding::Missing | Finding::Hole { .. } | Finding::FreedFrom { .. } => Self::Missing,
            Finding::Readable => Self::Policy,
            Finding::Stray
            | Finding::LeftTail
            | Finding::LeftPartial
            | Finding::ForkMoved
            | Finding::Removed { .. }
            | Finding::NotRemoved { .. } => Self::Verified,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn the_gravest_decides() {
        assert_eq!(worst([]), Code::Verified);
        assert_eq!(worst([Code::Unanchored, Code::Missing]), Code::Missing);
        assert_eq!(
            worst([Code::Missing, Code::Tampered, Code::Stale]),
            Code::Tampered
        );
        assert_eq!(worst([Code::Tampered, Code::Usage]), Code::Usage);
    }

    #[test]
    fn what_is_no_fault_has_no_code() {
        for (finding, fault) in [
            (Finding::Stray, false),
            (Finding::LeftTail, false),
            (Finding::LeftPartial, false),
            (Finding::ForkMoved, false),
            (Finding::Removed { before: 1 }, false),
            (Finding::NotRemoved { before: 1 }, false),
            (Finding::Writable, true),
            (Finding::Readable, true),
            (Finding::NoIndex, true),
            (Finding::FreedFrom { from: 1 }, true),
        ] {
            assert_eq!(finding.is_fault(), fault, "{finding:?}");
            assert_eq!(Code::from(&finding) != Code::Verified, fault, "{finding:?}");
        }
    }

    /// The codes of `archive` in its documentation.
    fn documented() -> Vec<u8> {
        let text = include_str!("../../../../Documentation/archive.rst");
        let (_, table) = text.split_once("What each fault gives\n").unwrap();
        let table = table.split("\n\n").nth(1).unwrap();
        let first = table.lines().filter_map(|line| line.split(' ').next());
        first.filter_map(|word| word.parse().ok()).collect()
    }

    #[test]
    fn what_archive_ends_with_is_documented() {
        let path = || std::path::PathBuf::from("a");
        let flush = archive::Error::NotFlushed {
            path: path(),
            error: io::ErrorKind::Other.into(),
        };
        let locked = archive::Error::Locked {
            path: path(),
            holder: None,
        };
        let folder = path();
        let has_ima = true;
        let receipts = archive::Error::NoReceipts { folder: path() };
        let max = 1000;
        let many = Warning::ManyReceipts {
            folder: path(),
            max,
        };
        let codes = [
            Code::Verified,
            Code::from(&Warning::Alarm(Alarm::ForkThere { seq: 1 })),
            Code::from(&receipts),
            Code::from(&many),
            Code::from(&Warning::Alarm(Alarm::Lost { from: 1, to: 1 })),
            Code::from(&locked),
            Code::from(&kernel::Error::Unsupported { folder, has_ima }),
            Code::from(&flush),
        ];
        assert_eq!(documented(), codes.map(|code| code as u8));
    }

    /// What the archiver warns of.
    #[test]
    fn codes_of_warnings() {
        let fault = || Error::from(archive::Error::BeginningOnly);
        let file = String::new;
        let (seq, from, to) = (1, 1, 2);
        for (warning, code) in [
            (Warning::Unusable(fault()), Code::Missing),
            (
                Warning::Fork {
                    seq,
                    file: file(),
                    beside: true,
                },
                Code::Tampered,
            ),
            (Warning::ForkedTail { seq, file: file() }, Code::Tampered),
            (
                Warning::Kept {
                    seq,
                    fault: fault(),
                },
                Code::Tampered,
            ),
            (
                Warning::Gap {
                    from,
                    to,
                    first: 3,
                    record: 4,
                },
                Code::Missing,
            ),
            (
                Warning::NotCopied {
                    path: PathBuf::new(),
                    fault: remote::Error::Differs {
                        path: PathBuf::new(),
                    }
                    .into(),
                },
                Code::Tampered,
            ),
            (
                Warning::NoStore(
                    remote::Error::Overwrites {
                        path: PathBuf::new(),
                    }
                    .into(),
                ),
                Code::Usage,
            ),
            (Warning::Alarm(Alarm::ForkThere { seq }), Code::Tampered),
            (Warning::Alarm(Alarm::Lost { from, to }), Code::Missing),
            (
                Warning::Readers {
                    programs: Vec::new(),
                },
                Code::Verified,
            ),
        ] {
            assert_eq!(Code::from(&warning), code, "{warning:?}");
            assert!(documented().contains(&(code as u8)), "{warning:?}");
        }
        let waits = |store, readers| Wait {
            store,
            readers,
            ..Wait::default()
        };
        assert_eq!(Code::from(waits(false, true)), Code::Busy);
        assert_eq!(Code::from(waits(false, false)), Code::Verified);
        assert_eq!(Code::from(waits(true, false)), Code::Internal);
        assert_eq!(Code::from(waits(true, true)), Code::Internal);
        let down = Warning::NoStore(Error::io("reach", "it", io::ErrorKind::TimedOut));
        assert_eq!(Code::from(&down), Code::Verified);
    }

    #[test]
    fn during_changes_no_code() {
        let error = Error::from(archive::Error::BeginningOnly).during("segment 7");
        assert_eq!(Code::from(&error), Code::Missing);
    }

    #[test]
    fn codes_of_quotes() -> Result<(), Box<dyn std::error::Error>> {
        use quote::{Forgery, Hex, Part};
        let hash = crate::bank::Bank::Sha1;
        let name = |digit: &str| format!("000b{}", digit.repeat(64)).parse();
        for (error, code) in [
            (
                quote::Error::Malformed {
                    what: Part::Message,
                    why: "cut".into(),
                },
                Code::Tampered,
            ),
            (quote::Error::Forged(Forgery::Signature), Code::Tampered),
            (
                quote::Error::Stale {
                    expected: "01".parse()?,
                    found: Hex(vec![2]),
                },
                Code::Stale,
            ),
            (quote::Error::Weak { hash }, Code::Unanchored),
            (
                quote::Error::UnfitKey {
                    attributes: Vec::new(),
                },
                Code::Tampered,
            ),
            (quote::Error::WeakKey, Code::Tampered),
            (
                quote::Error::WrongKeyName {
                    expected: name("0")?,
                    found: name("f")?,
                },
                Code::Tampered,
            ),
            (
                quote::Error::NoKeyName {
                    expected: name("0")?,
                },
                Code::Usage,
            ),
            (quote::Error::NotAKey("text".into()), Code::Internal),
            (quote::Error::NotPcrValues("text".into()), Code::Internal),
        ] {
            let text = error.to_string();
            let error = Error::from(error);
            assert_eq!((Code::from(&error), error.to_string()), (code, text));
        }
        Ok(())
    }
}
