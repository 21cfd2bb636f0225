// SPDX-License-Identifier: GPL-2.0

//! Joins segments to a log: does each start where the one before ends, and is what its checkpoint
//! claims of that one true?
//!
//! All this is about claims. None of it makes a log verified: it finds claims that are not true, and
//! lets the replay go on from a checkpoint where it cannot go on otherwise, which is remembered as
//! the [origin](crate::replay::Origin) of all that follows. A claim is only used from its
//! record on, so that no claim has any influence on what was proven before it.

mod claims;
mod heads;
pub mod outline;
mod segment;
mod truncations;
mod values;

pub use self::segment::{Claimed, Segment};

use self::{heads::Heads, outline::Outline, segment::Open};
use crate::{
    bank::Digest,
    endorsement::Endorsed,
    escape::Escaped,
    list::{
        claim::Claim,
        detect::Layout,
        own::{Aggregate, Impostor, Remark},
        records::Fault,
    },
    replay::{Introduction, Place, Register, Replay, Sealed, Seen, Start, Weight},
    verify::{
        finding::{Finding, Findings, Kind},
        policy::Policy,
        start::{self, Opening},
        verdict::ProvenCheckpoint,
    },
};
use ima_checkpoint_format::record::Record;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Segments that are kept for the report, the newest ones.
const SHOWN: usize = 1000;

/// Boot aggregates that are kept: there is one for each kernel that ran.
const AGGREGATES: usize = 16;

/// Violations that are kept for the report.
const VIOLATED: usize = 10;

/// Bytes of a name that are kept: as long as a path can be that IMA measures.
const MAX_NAME: usize = 4096;

/// Names of unknown templates that are noted, each once.
const TEMPLATES: usize = 16;

/// A source has a checkpoint, though it was given as one without any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unsealed {
    pub(crate) source: String,
}

/// A log, as far as it was joined.
#[derive(Debug)]
pub(crate) struct Chain<'p> {
    policy: &'p Policy,
    /// What the list starts with.
    pub(crate) opening: Opening,
    source: String,
    /// Is the source in ASCII?
    ascii: bool,
    open: Open,
    /// The checkpoint at the front of the open segment, or the last one before.
    pub(crate) head: Option<Box<Claim>>,
    heads: Heads,
    /// The log id, once a checkpoint told it.
    pub(crate) log_id: Option<[u8; 16]>,
    /// The newest segments, oldest first.
    pub(crate) shown: VecDeque<Segment>,
    /// All segments.
    pub(crate) segments: u64,
    /// What the log looks like as a whole.
    pub(crate) outline: Outline,
    /// Bytes in the sha1 view.
    pub(crate) bytes: u64,
    /// Violations since cold boot.
    pub(crate) violations: u64,
    /// Violations among the records that are here, and the first of them.
    pub(crate) here: u64,
    pub(crate) violated: Vec<(u64, String)>,
    /// The first index since cold boot.
    pub(crate) first: Option<u64>,
    /// The newest truncation.
    freed: Option<u64>,
    /// The newest checkpoint that the replay reaches from what the verifier knows or accepts.
    pub(crate) newest: Option<ProvenCheckpoint>,
    /// The endorsements of checkpoints that are here, by their IDs.
    pub(crate) endorsed: BTreeSet<Digest>,
    /// Where the replay goes on from an endorsed checkpoint that it had reached from the start of the
    /// list: the records before that are those that led there.
    pub(crate) led: BTreeSet<(Register, u64)>,
    /// PCRs that checkpoints name, and the record of the first that does.
    pub(crate) named: BTreeMap<u32, u64>,
    /// The boot aggregates, and what is found if they are wrong.
    pub(crate) aggregates: BTreeMap<Aggregate, Finding>,
    /// Unknown templates that were noted.
    templates: BTreeSet<Box<[u8]>>,
    pub(crate) findings: Findings,
    /// The newest checkpoint that agrees with the replay of a PCR: number, and record since cold boot.
    pub(crate) agreed: BTreeMap<Register, (u64, u64)>,
    /// Does the source start here, and which segment is it said to be?
    expected: Option<u64>,
    /// Whether it starts after something that could not be read.
    resumes: bool,
}

impl<'p> Chain<'p> {
    /// An empty one.
    pub(crate) fn new(policy: &'p Policy) -> Self {
        Self {
            policy,
            opening: Opening::Other,
            source: String::new(),
            ascii: false,
            open: Open::default(),
            head: None,
            heads: Heads::default(),
            log_id: None,
            shown: VecDeque::new(),
            segments: 0,
            outline: Outline::default(),
            bytes: 0,
            violations: 0,
            here: 0,
            violated: Vec::new(),
            first: None,
            freed: None,
            newest: None,
            endorsed: BTreeSet::new(),
            led: BTreeSet::new(),
            named: BTreeMap::new(),
            aggregates: BTreeMap::new(),
            templates: BTreeSet::new(),
            findings: Findings::default(),
            agreed: BTreeMap::new(),
            expected: None,
            resumes: false,
        }
    }

    /// What a PCR starts from.
    pub(crate) fn start(&self, register: Register) -> Start {
        start::of(register, self.policy, self.opening)
    }

    /// Does the verifier know what IMA's default PCR held before the list?
    pub(crate) fn has_base(&self) -> bool {
        let mut given = self.policy.base.keys();
        given.any(|register| register.pcr == self.policy.default_pcr)
    }

    /// The number of the open segment, if it is known.
    pub(crate) fn segment(&self) -> Option<u64> {
        self.open.seq
    }

    /// What messages call the source whose records come.
    pub(crate) fn name(&self) -> &str {
        &self.source
    }

    /// Records of another source come, from this place in the list on.
    pub(crate) fn source(&mut self, source: &Introduction, record: u64) {
        self.source.clone_from(&source.name);
        self.ascii = source.layout.ascii;
        self.expected = source.segment;
        self.resumes = self.open.torn && record > 0;
        if record == 0 && !self.open.headed && !self.has_base() {
            // until a checkpoint says that it is the rest of another one
            (self.open.seq, self.open.first, self.open.offset) = (Some(0), Some(0), Some(0));
        }
    }

    /// Something is found at a record of the source.
    pub(crate) fn note(&mut self, kind: Kind, at: Place, text: impl Into<String>) {
        let (open, source, ascii) = (&self.open, &self.source, self.ascii);
        self.findings
            .add(kind, || finding(kind, at, open, source, ascii, text.into()));
    }

    /// What a record tells by itself. It is not extended yet.
    pub(crate) fn remark(
        &mut self,
        at: Place,
        remark: &Remark,
        sealed: &Sealed,
        replay: &mut Replay,
    ) -> Result<(), Unsealed> {
        match remark {
            Remark::Checkpoint(claim) => self.checkpoint(at, claim, sealed, replay)?,
            Remark::Truncation(truncation) => self.truncation(at, truncation),
            // whose signature it is, others find out
            Remark::Quote(_) => (),
            Remark::BootAggregate(aggregate) => self.boot_aggregate(at, *aggregate),
            Remark::TemplateDigest(bank) => {
                let text = format!("the {bank} template digest is not that of the data");
                self.note(Kind::TemplateDigest, at, text);
            }
            Remark::Unchecked { pcr, layout } => self.unchecked(at, *pcr, *layout, replay),
            Remark::Inexact => self.open.inexact = true,
            Remark::BufferDigest => {
                let text = "the digest in d-ng is not that of the buffer: the record may be of \
                            another template";
                self.note(Kind::BufferDigest, at, text);
            }
            Remark::BufferUnchecked => {
                let text = "the digest in d-ng was not compared with the buffer: this program \
                            does not know its algorithm";
                self.note(Kind::BufferUnchecked, at, text);
            }
            Remark::BadPcr(pcr) => {
                let text = format!("IMA cannot extend PCR {pcr}");
                self.note(Kind::BadPcr, at, text);
            }
            Remark::Impostor(impostor) => self.impostor(at, impostor),
            Remark::UnknownTemplate(name) => {
                if self.templates.len() < TEMPLATES && self.templates.insert(name.clone()) {
                    let name = Escaped::word(name);
                    let text = format!(
                        "IMA has no template {name}: the meaning of the fields in its records is \
                         unknown"
                    );
                    self.note(Kind::UnknownTemplate, at, text);
                }
            }
            Remark::Ambiguous(why) => {
                let text =
                    format!("it may be a record of another template with the same digest: {why}");
                self.note(Kind::Ambiguous, at, text);
            }
        }
        Ok(())
    }

    fn impostor(&mut self, at: Place, why: &Impostor) {
        let text = format!("it has the event name of a checkpoint record, but {why}");
        self.note(Kind::SpoofedName, at, text);
    }

    /// A record in ASCII whose digest is not that of what it says.
    fn unchecked(&mut self, at: Place, pcr: u32, layout: Layout, replay: &mut Replay) {
        self.open.inexact = true;
        for bank in replay.banks().to_vec() {
            if !layout.tells(bank, self.policy.content(bank)) {
                replay.guess(Register { pcr, bank }, at.record);
            }
        }
        let text = "it cannot be checked in ASCII: its template digest is not that of what the \
                    text shows, and the text may not show names as they were. Only the digest \
                    can be proven: give the binary list";
        self.note(Kind::AsciiUnchecked, at, text);
    }

    fn boot_aggregate(&mut self, at: Place, aggregate: Aggregate) {
        if at.record == 0 && aggregate.pcr == self.policy.default_pcr {
            self.opening = Opening::BootAggregate;
        }
        let known = self.aggregates.contains_key(&aggregate);
        if !known && self.aggregates.len() < AGGREGATES {
            let (kind, text) = (Kind::BootAggregate, String::new());
            let finding = finding(kind, at, &self.open, &self.source, self.ascii, text);
            self.aggregates.insert(aggregate, finding);
        }
    }

    fn checkpoint(
        &mut self,
        at: Place,
        claim: &Claim,
        sealed: &Sealed,
        replay: &mut Replay,
    ) -> Result<(), Unsealed> {
        let header = &claim.header;
        if header.default_pcr != self.policy.default_pcr {
            let why = Impostor::Pcr {
                is: self.policy.default_pcr,
                says: header.default_pcr,
            };
            self.impostor(at, &why);
            return Ok(());
        }
        self.endorsed(at, claim);
        let digest = match sealed {
            Sealed::Segment(digest) => Some(*digest),
            Sealed::Nothing => None,
            Sealed::Unknown => {
                let source = self.source.clone();
                return Err(Unsealed { source });
            }
        };
        self.check_expected(at, Some(header.sequence));
        for register in claim.values.keys().chain(claim.before.keys()) {
            self.named.entry(register.pcr).or_insert(at.record);
        }
        if at.record == 0 {
            self.opening = Opening::Checkpoint;
            self.begin(claim, at, replay);
        } else {
            self.join(claim, digest, at, replay);
            self.open.sealed = digest.filter(|_| self.open.is_exact());
            self.close();
        }
        self.outline.checkpoint(claim, at.record);
        self.heads.push(claim);
        self.newest = self.reached(claim, replay).or(self.newest.take());
        self.log_id.get_or_insert(header.log_id);
        self.first.get_or_insert(header.record);
        self.open = Open::at(claim, at.record);
        self.resumes = false;
        self.head = Some(Box::new(claim.clone()));
        Ok(())
    }

    /// Compares a checkpoint with what others say whom the verifier believes.
    fn endorsed(&mut self, at: Place, claim: &Claim) {
        let endorsements = &self.policy.endorsements;
        if let Some(other) = endorsements.contradicting(claim) {
            let text = format!(
                "checkpoint {} is not the one that {other} endorsed, or held something else: one of \
                 two histories of this log was made up",
                claim.header.sequence
            );
            self.note(Kind::TwoHistories, at, text);
        }
        self.endorsed
            .extend(endorsements.of(claim).map(|one| one.id));
    }

    /// A checkpoint, with the values in it that the replay reaches from what the verifier knows or
    /// accepts. Nothing if that of the default PCR is not among them.
    fn reached(&self, claim: &Claim, replay: &Replay) -> Option<ProvenCheckpoint> {
        let values = claim.values.iter().filter_map(|(register, (_, value))| {
            let run = replay.get(*register)?;
            let counts = self.policy.counts(register.bank)
                && run.origin.weight() > Weight::Said
                && run.value.digest() == *value;
            let endorsed = Endorsed {
                value: *value,
                accepted: run.origin.weight() == Weight::Accepted,
            };
            counts.then_some((*register, endorsed))
        });
        let values: BTreeMap<Register, Endorsed> = values.collect();
        let mut registers = values.keys();
        if !registers.any(|register| register.pcr == self.policy.default_pcr) {
            return None;
        }
        let used = replay.pcrs().iter();
        Some(ProvenCheckpoint {
            log_id: claim.log_id(),
            seq: claim.header.sequence,
            digest: Digest::new(&claim.digest),
            records: claim.header.record,
            used: used.map(|pcr| (pcr.index, pcr.records)).collect(),
            values,
        })
    }

    /// A file of an archive starts with the checkpoint of its number, and segment 0 with none.
    fn check_expected(&mut self, at: Place, found: Option<u64>) {
        let Some(wanted) = self.expected.take() else {
            return;
        };
        if found.unwrap_or(0) != wanted {
            let text = match found {
                Some(found) => {
                    format!("the file of segment {wanted} starts with checkpoint {found}")
                }
                None => {
                    format!("the file of segment {wanted} does not start with checkpoint {wanted}")
                }
            };
            self.note(Kind::Damaged, at, format!("{text}: it is damaged"));
        }
    }

    /// A record was extended.
    #[inline]
    pub(crate) fn record(&mut self, seen: &Seen<'_>) {
        if self.expected.is_some() {
            self.check_expected(seen.at, None);
        }
        if std::mem::take(&mut self.resumes) && self.open.records > 0 {
            let text = "the records do not start with a checkpoint";
            self.note(Kind::Order, seen.at, text);
        }
        let bytes = seen.sha1_bytes();
        self.bytes += bytes;
        self.open.count(bytes, seen.is_violation());
        if seen.is_violation() {
            self.violated(seen);
        }
    }

    fn violated(&mut self, seen: &Seen<'_>) {
        self.violations = self.violations.saturating_add(1);
        self.here += 1;
        if self.violated.len() < VIOLATED {
            let record = seen.record();
            let name = record
                .as_ref()
                .and_then(Record::event_name)
                .unwrap_or_default();
            let name = name.get(..MAX_NAME).unwrap_or(name);
            let name = Escaped::new(name).to_string();
            self.violated.push((seen.at.record, name));
        }
    }

    /// Nothing more of a source can be read.
    pub(crate) fn fault(&mut self, at: Place, fault: &Fault) {
        let (kind, text) = match fault {
            Fault::Io(error) => (
                Kind::Malformed,
                format!("nothing that follows can be read: {error}"),
            ),
            Fault::Malformed(_, error) => (Kind::Malformed, error.to_string()),
            Fault::Ascii(error) => (Kind::Malformed, error.to_string()),
            Fault::Cut(_) => (Kind::Cut, "the list ends in the middle of it".to_owned()),
        };
        self.note(kind, at, text);
        self.open.torn = true;
    }

    /// Ends the open segment: it is one, even without records if nothing else is.
    pub(crate) fn close(&mut self) {
        self.segments += 1;
        if self.shown.len() == SHOWN {
            self.shown.pop_front();
        }
        let claimed = self.head.as_deref().filter(|_| self.open.headed);
        let segment = self.open.shown(claimed.map(Claimed::of));
        self.outline.segment(&segment);
        self.shown.push_back(segment);
    }

    /// The log id as text: 32 hexadecimal digits.
    pub(crate) fn log_id(&self) -> Option<Digest> {
        self.log_id.map(|id| Digest::new(&id))
    }
}

/// Something found at a record of the open segment.
fn finding(kind: Kind, at: Place, open: &Open, source: &str, ascii: bool, text: String) -> Finding {
    Finding {
        record: Some(at.record),
        source: source.to_owned(),
        at: Some(at.inner),
        ascii,
        in_log: open.in_log(at.record),
        segment: open.seq,
        ..Finding::new(kind, text)
    }
}
