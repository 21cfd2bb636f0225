// SPDX-License-Identifier: GPL-2.0

//! Verifies a log: from bytes to a verdict for each PCR and bank.
//!
//! The rule is in `Documentation/security-model.rst`: a PCR in a bank is verified up to a record only
//! if the records up to there, replayed from a [start] that the verifier knows, give
//! what a trusted source says that the PCR held. The list is read once, from front to back. Two
//! observers of its replay find out what is needed: [`search`] where it reaches the values, and the
//! [chain](crate::chain) what checkpoints claim and whether it is true. [`judge`] makes a verdict of it.
//!
//! # Examples
//!
//! A record of PCR 10, which starts from zeros because it is the first that IMA makes after a boot:
//!
//! ```
//! use ima_log::{
//!     bank::Bank,
//!     replay::Register,
//!     verify::{policy::Policy, verdict::Outcome, verify, Input, Layouts},
//! };
//!
//! let mut data = b"\x28\0\0\0sha256:\0".to_vec();
//! data.extend([7; 32]);
//! data.extend(b"\x0f\0\0\0boot_aggregate\0");
//! let mut list = 10_u32.to_le_bytes().to_vec();
//! list.extend(Bank::Sha1.hash(&[&data]).as_bytes());
//! list.extend(b"\x06\0\0\0ima-ng");
//! list.extend((data.len() as u32).to_le_bytes());
//! list.extend(&data);
//!
//! let bank = Bank::Sha256;
//! let held = bank.extend(&bank.zeros(), &bank.hash(&[&data]));
//! let mut policy = Policy::default();
//! policy.anchor.values.insert(Register { pcr: 10, bank }, held);
//! let input = Input::new("a list", &*list);
//! let verdict = verify([Ok(input)], &policy, Layouts::default())?;
//! assert_eq!(verdict.outcome(), Outcome::Verified);
//! # Ok::<(), ima_log::verify::Error>(())
//! ```

mod aggregate;
mod boots;
pub mod contents;
mod endorsed;
mod explain;
pub mod finding;
mod history;
mod judge;
pub mod log_quotes;
mod log_search;
pub mod policy;
mod search;
pub(crate) mod start;
mod surroundings;
pub mod verdict;

use self::{
    judge::Judge,
    log_search::LogSearch,
    policy::Policy,
    search::Search,
    verdict::{ProvenCheckpoint, Verdict},
};
use crate::{
    bank::Bank,
    chain::{Chain, Unsealed},
    escape::Escaped,
    list::{
        detect::{self, Layout},
        own::Remark,
        records::{Fault, Position},
    },
    quote::Pcr,
    replay::{
        self, Introduction, Observer, Place, Plan, Register, Replay, Sealed, Seen, Source, Start,
    },
};
use ima_checkpoint_format::ByteOrder;
use std::{
    collections::BTreeSet,
    fmt,
    io::{self, Read},
};

/// Whatever a source of lists says.
pub type Foreign = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no verdict. All that is wrong with the list itself is in the verdict.
#[derive(Debug)]
pub enum Error {
    /// A source cannot be had.
    Source(Foreign),
    /// A source cannot be read.
    Read {
        /// Which one.
        source: String,
        /// Why.
        error: io::Error,
    },
    /// A source has a checkpoint, though it was given as one without any: see [`Input::seals`].
    Unsealed {
        /// Which one.
        source: String,
    },
    /// There is no record, and no base that it could go on from.
    Empty,
    /// The quote is over PCRs whose values nobody gave, and that the list does not use.
    ValuesNeeded(Vec<Pcr>),
    /// The quote is over banks that cannot be computed here.
    ForeignBanks(Vec<Pcr>),
    /// A quote in the list is over banks that were not replayed: verify it again, with these in
    /// [`Policy::banks`].
    BanksNeeded(BTreeSet<Bank>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = |pcrs: &[Pcr]| {
            let names: Vec<_> = pcrs.iter().map(ToString::to_string).collect();
            names.join(", ")
        };
        match self {
            Self::Source(error) => error.fmt(f),
            Self::Read { source, error } => write!(f, "cannot read {source}: {error}"),
            Self::Unsealed { source } => write!(
                f,
                "{source} has checkpoints, though it was said that it has none: verify it again"
            ),
            Self::Empty => f.write_str("the list is empty: there is nothing to verify"),
            Self::ValuesNeeded(pcrs) => write!(
                f,
                "the quote also covers {}, which this list does not use: give their values with \
                 --pcrs or --pcr, or give --event-log",
                all(pcrs)
            ),
            Self::ForeignBanks(pcrs) => write!(
                f,
                "the quote covers {}, in a bank whose hash this program does not know: quote \
                 other banks",
                all(pcrs)
            ),
            Self::BanksNeeded(banks) => {
                let names: Vec<_> = banks.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "a quote in the list also covers {}, so the list must be read again, and what \
                     came through the pipe could not be kept: give the list as a file",
                    names.join(", ")
                )
            }
        }
    }
}

impl std::error::Error for Error {}

/// Bytes of a list, as they come.
pub struct Input<'a> {
    /// What messages call it: any bytes, which are escaped where they are shown.
    pub name: Vec<u8>,
    /// The bytes, which are read once.
    pub bytes: Box<dyn Read + 'a>,
    /// The segment that it is, if it is a file of an archive.
    pub segment: Option<u64>,
    /// Hash segments, so that checkpoints can be checked? Without, a checkpoint in it is an
    /// [error](Error::Unsealed), and a list that has none takes less time.
    pub seals: bool,
}

impl<'a> Input<'a> {
    /// Bytes of which nothing is known.
    pub fn new(name: impl AsRef<[u8]>, bytes: impl Read + 'a) -> Self {
        Self {
            name: name.as_ref().to_owned(),
            bytes: Box::new(bytes),
            segment: None,
            seals: true,
        }
    }
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Escaped::new(&self.name).to_string();
        f.debug_struct("Input").field("name", &name).finish()
    }
}

/// What the user says of how lists are written. The rest is detected.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layouts {
    /// The bank of their template digests.
    pub view: Option<Bank>,
    /// The order of the bytes in their numbers.
    pub order: Option<ByteOrder>,
}

/// Verifies inputs that are one list.
///
/// # Errors
///
/// [`Error`]: there is nothing to judge.
pub fn verify<'a>(
    inputs: impl IntoIterator<Item = Result<Input<'a>, Foreign>>,
    policy: &Policy,
    layouts: Layouts,
) -> Result<Verdict, Error> {
    let mut sources = inputs
        .into_iter()
        .map(|input| open(input, layouts))
        .peekable();
    let mut banks = policy.all_banks();
    if let Some(Ok(source)) = sources.peek() {
        banks.insert(source.layout.bank);
    }
    let banks: Vec<Bank> = banks.into_iter().collect();
    let plan = Plan {
        banks: banks
            .iter()
            .map(|bank| (*bank, policy.content(*bank)))
            .collect(),
        jobs: policy.jobs.max(1),
        checks: true,
    };
    let mut verifier = Verifier {
        chain: Chain::new(policy),
        search: Search::new(policy, &banks)?,
        quotes: LogSearch::new(policy, &banks),
        proven: None,
        end: Position::default(),
        begun: false,
    };
    let replay = replay::run(sources, &plan, &mut verifier)?;
    verifier.finish(policy, replay)
}

fn open<'a>(input: Result<Input<'a>, Foreign>, layouts: Layouts) -> Result<Source<'a>, Error> {
    let Input {
        name,
        bytes,
        segment,
        seals,
    } = input.map_err(Error::Source)?;
    let name = Escaped::new(&name).to_string();
    let (layout, bytes): (Layout, Box<dyn Read + 'a>) =
        match detect::detect(bytes, layouts.view, layouts.order) {
            Ok((layout, bytes)) => (layout, Box::new(bytes)),
            Err(error) if error.raw_os_error().is_some() => {
                return Err(Error::Read {
                    source: name,
                    error,
                });
            }
            // not the system but the content is at fault: told where the records would be
            Err(error) => {
                let layout = detect::layout(&[], layouts.view, layouts.order);
                (layout, Box::new(Failing(Some(error))))
            }
        };
    Ok(Source {
        name,
        bytes,
        layout,
        segment,
        seals,
    })
}

/// Gives an error, once.
struct Failing(Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// Observes the replay.
struct Verifier<'p> {
    chain: Chain<'p>,
    search: Search,
    quotes: LogSearch<'p>,
    /// The newest checkpoint before the place that the default PCR proves.
    proven: Option<ProvenCheckpoint>,
    /// Where the list ends so far.
    end: Position,
    /// Is there anything at all?
    begun: bool,
}

impl Verifier<'_> {
    fn finish(mut self, policy: &Policy, replay: Replay) -> Result<Verdict, Error> {
        if self.end.record == 0 && policy.base.is_empty() && !self.begun {
            return Err(Error::Empty);
        }
        if self.end.record == 0 {
            let chain = &self.chain;
            self.search.begin(|register| chain.start(register));
        }
        self.chain.close();
        if let Some(quote) = &self.search.quote {
            let unused = quote.outside.iter().filter(|(register, _, told)| {
                let used = replay.pcr(register.pcr).is_some_and(|pcr| pcr.records > 0);
                !told && !used && register.pcr != policy.default_pcr
            });
            let needed: Vec<Pcr> = unused.map(|(register, ..)| Pcr::from(*register)).collect();
            if quote.reached.is_none() && !needed.is_empty() {
                return Err(Error::ValuesNeeded(needed));
            }
        }
        let Self {
            chain,
            search,
            quotes,
            proven,
            end,
            ..
        } = self;
        Ok(Judge::new(policy, chain, search, quotes, replay, end).judge(proven))
    }
}

impl Observer for Verifier<'_> {
    type Error = Error;

    fn source(&mut self, source: &Introduction, record: u64) -> Result<(), Error> {
        self.chain.source(source, record);
        Ok(())
    }

    fn start(&self, register: Register) -> Start {
        self.chain.start(register)
    }

    fn remark(
        &mut self,
        at: Place,
        remark: &Remark,
        sealed: &Sealed,
        replay: &mut Replay,
    ) -> Result<(), Error> {
        let remarked = self.chain.remark(at, remark, sealed, replay);
        remarked.map_err(|Unsealed { source }| Error::Unsealed { source })?;
        match remark {
            Remark::Checkpoint(claim) => {
                self.search.restarted(at.record, replay);
                self.quotes.checkpoint(claim);
            }
            Remark::Quote(signed) => {
                let (chain, search) = (&mut self.chain, &mut self.search);
                let proven = |search: &Search| search.snapshot.as_ref().map(|at| at.record);
                let before = proven(search);
                self.quotes.quote(at, signed, replay, chain, search)?;
                if proven(search) != before {
                    self.proven = self.chain.newest.clone();
                }
            }
            _ => (),
        }
        Ok(())
    }

    #[inline]
    fn record(&mut self, seen: &Seen<'_>, replay: &Replay) -> Result<(), Error> {
        if seen.at.record == 0 {
            let chain = &self.chain;
            self.search.begin(|register| chain.start(register));
        }
        self.chain.record(seen);
        self.end.record += 1;
        self.end.offset += seen.length();
        if self.search.after(seen.pcr(), self.end.record, replay) {
            self.proven = self.chain.newest.clone();
        }
        self.quotes.record(seen.pcr(), replay);
        Ok(())
    }

    fn fault(&mut self, at: Place, fault: Fault) -> Result<(), Error> {
        self.begun = true;
        match fault {
            Fault::Io(error) if error.raw_os_error().is_some() => Err(Error::Read {
                source: self.chain.name().to_owned(),
                error,
            }),
            fault => {
                self.chain.fault(at, &fault);
                Ok(())
            }
        }
    }
}
