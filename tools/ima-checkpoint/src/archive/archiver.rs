// SPDX-License-Identifier: GPL-2.0

//! The archiver: takes over what the kernel has sealed, and frees it there when it is safe.

use super::{
    durable::{Access, Folder},
    is_host,
    live::{byte_order, has_news, head, Live},
    lock::lock,
    meta::{Meta, State},
    notice::{Notice, Notices, Warning},
    now_ns,
    removal::Remove,
    retention::{Keep, Sealed},
    survey::{survey, Plan},
    writer::{Safe, Writer},
    LogName,
};
use crate::{archive, claim::Claim, error::Result, kernel::Segment};
use ima_checkpoint_format::ByteOrder;
use indicatif::{BinaryBytes, HumanCount};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// What the archiver is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The archive.
    pub dir: PathBuf,
    /// The name of this host in it.
    pub host: String,
    /// Who may read it.
    pub access: Access,
    /// What stays in the kernel.
    pub keep: Keep,
    /// What is removed from the archive.
    pub remove: Remove,
}

/// What may change without an event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wait {
    /// A receipt would let the kernel free something.
    pub receipt: bool,
    /// By then, age alone would.
    pub age: Option<Duration>,
}

/// The archiver of a host. While it exists no other can.
pub struct Archiver<L> {
    live: L,
    order: ByteOrder,
    options: Options,
    host: Folder,
    writer: Option<Writer>,
    /// Checkpoints of the kernel, by number.
    claims: BTreeMap<u64, Claim>,
    pub(super) notices: Notices,
}

impl<L: Live> Archiver<L> {
    /// Opens the archive, which is made if there is none. `say` gets each event.
    ///
    /// # Errors
    ///
    /// [`archive::Error::Locked`] if another archiver works on this host; or it is no place for an
    /// archive.
    pub fn new(live: L, options: Options, say: Box<dyn FnMut(&Notice)>) -> Result<Self> {
        if !is_host(&options.host) {
            let name = options.host;
            return Err(archive::Error::NotAHost { name }.into());
        }
        if let Some(folder) = options
            .keep
            .unacknowledged
            .as_deref()
            .filter(|dir| !dir.is_dir())
        {
            let folder = folder.to_owned();
            return Err(archive::Error::NoReceipts { folder }.into());
        }
        let host = Folder::open(&options.dir, options.access)?.folder(&options.host)?;
        lock(&host)?;
        Ok(Self {
            live,
            order: byte_order(),
            options,
            host,
            writer: None,
            claims: BTreeMap::new(),
            notices: Notices::new(say),
        })
    }

    /// What the archiver reads from.
    pub fn live(&self) -> &L {
        &self.live
    }

    /// Archives all that is sealed and not in the archive, then frees in the kernel and removes
    /// from the archive as the options say.
    ///
    /// # Errors
    ///
    /// The segment at which it failed is not in the archive, and nothing was freed since.
    pub fn pass(&mut self) -> Result<Wait> {
        let mut writer = self.open()?;
        // after a failure, what the directory holds is looked up anew
        let wait = self.pass_over(&mut writer)?;
        self.writer = Some(writer);
        Ok(wait)
    }

    fn open(&mut self) -> Result<Writer> {
        if let Some(writer) = self.writer.take() {
            return Ok(writer);
        }
        let log_id = self.live.status()?.log_id().to_owned();
        let host = self.options.host.clone();
        let (writer, faults) = Writer::open(&self.host, LogName { host, log_id })?;
        for fault in faults {
            self.notices.warn(Warning::Unusable(fault));
        }
        for (seq, _) in writer.forks.iter().filter(|(_, forks)| !forks.is_empty()) {
            self.notices.warn(Warning::ForkThere { seq: *seq });
        }
        Ok(writer)
    }

    fn pass_over(&mut self, writer: &mut Writer) -> Result<Wait> {
        let segments = self.live.segments()?;
        let first_live = segments.first().map_or(0, |segment| segment.seq);
        self.report_gaps(writer, first_live, segments.first())?;
        self.claims = self.claims.split_off(&first_live);
        let mut sealed = Vec::new();
        for segment in segments.iter().filter(|segment| !segment.active) {
            let next = match self.claim(segment.seq.saturating_add(1)) {
                // freed by somebody else meanwhile: the next pass finds the gap
                Err(error) if error.is_freed() => return Ok(Wait::default()),
                next => next?,
            };
            match self.archive(writer, segment, &next) {
                Err(error) if error.is_freed() => return Ok(Wait::default()),
                done => done?,
            }
            sealed.push(Sealed {
                seq: segment.seq,
                bytes: segment.bytes,
                sealed_ns: next.header.wall_ns,
            });
        }
        let wait = self.truncate(writer, &segments, &sealed)?;
        self.remove(writer)?;
        Ok(wait)
    }

    fn report_gaps(
        &mut self,
        writer: &mut Writer,
        first_live: u64,
        first: Option<&Segment>,
    ) -> Result<()> {
        let record = first.map_or(0, |first| first.first);
        for (from, to) in writer.find_gaps(first_live)? {
            self.notices.warn(Warning::Gap {
                from,
                to,
                first: first_live,
                record,
            });
        }
        Ok(())
    }

    /// The checkpoint of that number.
    fn claim(&mut self, seq: u64) -> Result<Claim> {
        if let Some(claim) = self.claims.get(&seq) {
            return Ok(claim.clone());
        }
        let claim = head(&self.live, seq, self.order)?;
        let claim = claim.ok_or(archive::Error::NoCheckpoint { seq })?;
        self.claims.insert(seq, claim.clone());
        Ok(claim)
    }

    /// Makes sure that the archive has this segment.
    fn archive(&mut self, writer: &mut Writer, segment: &Segment, next: &Claim) -> Result<()> {
        let seq = segment.seq;
        let mut meta = self.meta(writer, segment, State::Sealed)?;
        if let Some((held_digest, safe)) = writer.held(seq) {
            if held_digest.as_bytes() == next.header.segment_digest {
                return self.settle_tail(writer, seq, next);
            }
            if safe == Safe::No || writer.is_forked(seq) {
                return Ok(());
            }
            meta.fork =
                survey(self.live.export(seq)?, Plan::of(&meta), |_| Ok(()))?.sha256 != held_digest;
        }
        meta.fork |= writer.is_forked(seq) && writer.held(seq).is_none();
        let known = writer.forks.get(&seq);
        if known.is_some_and(|known| {
            known
                .iter()
                .any(|fork| fork.as_bytes() == next.header.segment_digest)
        }) {
            return Ok(());
        }
        if !meta.fork && writer.held(seq).is_some() {
            // the same bytes, but not those that the kernel's next checkpoint claims
            return self.settle_tail(writer, seq, next);
        }
        let source = self.live.export(seq)?;
        let added = writer.add(source, meta, next)?;
        self.notices.archived(added);
        Ok(())
    }

    fn settle_tail(&mut self, writer: &mut Writer, seq: u64, next: &Claim) -> Result<()> {
        if writer.has_leftover_tail(seq) {
            self.check(writer, seq, next)?;
        }
        Ok(())
    }

    /// Reads a segment of the archive, unless that was done. What does not verify is not freed.
    fn check(&mut self, writer: &mut Writer, seq: u64, next: &Claim) -> Result<bool> {
        match writer.check(seq, next) {
            Ok(fork) => self.notices.forked_tail(fork),
            Err(fault) if fault.is_of_contents() => self.notices.warn(Warning::Kept { seq, fault }),
            Err(error) => return Err(error),
        }
        Ok(writer.held(seq).is_some_and(|(_, safe)| safe == Safe::Yes))
    }

    /// What is known of a segment before it was exported.
    fn meta(&mut self, writer: &Writer, segment: &Segment, state: State) -> Result<Meta> {
        let offset = match segment.seq {
            0 => 0,
            seq => self.claim(seq)?.header.offset,
        };
        let LogName { host, log_id } = &writer.name;
        let mut meta = Meta::new(host, log_id, segment.seq, state, self.order);
        meta.first = segment.first;
        meta.offset = offset;
        meta.records = segment.records;
        meta.bytes = segment.bytes;
        meta.checkpoint = segment.digest;
        meta.broken = segment.broken;
        meta.archived_ns = now_ns();
        Ok(meta)
    }

    /// Frees in the kernel what may go.
    fn truncate(
        &mut self,
        writer: &mut Writer,
        segments: &[Segment],
        sealed: &[Sealed],
    ) -> Result<Wait> {
        let keep = self.options.keep.clone();
        let mut wait = Wait {
            age: keep.next_expiry(sealed, now_ns()),
            receipt: false,
        };
        let mut failed = None;
        let first_kept = keep.first_kept(sealed, now_ns(), |seq| {
            let Some((sha256, _)) = writer.held(seq).filter(|_| !writer.is_forked(seq)) else {
                return false;
            };
            if !keep.acknowledged(&sha256) {
                wait.receipt = true;
                return false;
            }
            let next = self.claims.get(&seq.saturating_add(1)).cloned();
            let checked = next.map_or(Ok(false), |next| self.check(writer, seq, &next));
            checked.unwrap_or_else(|error| {
                failed = Some(error);
                false
            })
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let target = segments
            .iter()
            .find(|segment| Some(segment.seq) == first_kept);
        let Some(target) = target else {
            return Ok(wait);
        };
        let freed = || segments.iter().filter(|segment| segment.seq < target.seq);
        let records: u64 = freed().map(|segment| segment.records).sum();
        let bytes: u64 = freed().map(|segment| segment.bytes).sum();
        match self.live.truncate(target.seq, &target.digest) {
            // somebody else was faster
            Err(error) if error.is_freed() => return Ok(wait),
            done => done?,
        }
        self.notices.event(format!(
            "truncated to checkpoint {}: {} records, {} freed",
            target.seq,
            HumanCount(records),
            BinaryBytes(bytes)
        ));
        Ok(wait)
    }

    fn remove(&mut self, writer: &mut Writer) -> Result<()> {
        let first_live = self.live.segments()?.first().map_or(0, |first| first.seq);
        let Options { remove, keep, .. } = self.options.clone();
        for removed in remove.run(&self.host, &writer.name, first_live, &keep)? {
            if removed.log_id == writer.name.log_id {
                writer.removed_before(removed.before);
            }
            self.notices.event(format!(
                "removed the segments before {} of log {}: {} files, {}",
                removed.before,
                removed.log_id,
                removed.files,
                BinaryBytes(removed.file_bytes)
            ));
        }
        Ok(())
    }

    /// Seals the active segment if it holds anything new.
    ///
    /// # Errors
    ///
    /// No checkpoint was made.
    pub fn seal(&mut self, label: &str) -> Result<()> {
        let segments = self.live.segments()?;
        if let Some(active) = segments.last() {
            if has_news(&self.live, active.seq, self.order)? {
                self.live.checkpoint(label)?;
            }
        }
        Ok(())
    }

    /// Keeps what is not sealed, as a tail.
    ///
    /// # Errors
    ///
    /// It is not in the archive; the kernel still has it.
    pub fn keep_tail(&mut self) -> Result<()> {
        let mut writer = self.open()?;
        self.keep_tail_in(&mut writer)
    }

    fn keep_tail_in(&mut self, writer: &mut Writer) -> Result<()> {
        let segments = self.live.segments()?;
        let Some(active) = segments.last().filter(|active| active.records > 0) else {
            return Ok(());
        };
        let meta = self.meta(writer, active, State::Tail)?;
        let forked = writer.keep_tail(meta, || self.live.export(active.seq))?;
        self.notices.forked_tail(forked);
        let records = HumanCount(active.records);
        self.notices.event(format!(
            "kept the tail: {records} records of segment {}",
            active.seq
        ));
        Ok(())
    }

    /// Records that are not sealed.
    ///
    /// # Errors
    ///
    /// The kernel does not tell.
    pub fn unsealed(&self) -> Result<u64> {
        let segments = self.live.segments()?;
        Ok(segments.last().map_or(0, |active| active.records))
    }
}
