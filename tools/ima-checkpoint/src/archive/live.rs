// SPDX-License-Identifier: GPL-2.0

//! What the archiver needs of a kernel.

use super::survey::{self, DIGEST_SIZE};
use crate::{
    archive,
    bank::Digest,
    claim::Claim,
    error::Result,
    kernel::{Format, Kernel, Segment, Status},
    open_files,
    own::{own_record, OwnRecord},
    quoting::Quotable,
    records::{Position, Records},
};
use ima_checkpoint_format::ByteOrder;
use std::{collections::BTreeMap, io::Read};

/// A log that still grows.
pub trait Live: Quotable {
    /// As [`Kernel::status`].
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn status(&self) -> Result<Status>;

    /// As [`Kernel::segments`].
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn segments(&self) -> Result<Vec<Segment>>;

    /// The bytes of a segment in the sha1 view.
    ///
    /// # Errors
    ///
    /// [`crate::kernel::Refusal::Freed`] if it was freed.
    fn export(&self, seq: u64) -> Result<Box<dyn Read>>;

    /// As [`Kernel::truncate`].
    ///
    /// # Errors
    ///
    /// Nothing was freed.
    fn truncate(&self, seq: u64, digest: &Digest) -> Result<()>;

    /// Programs that have the list open and would lose their place in it.
    fn readers(&self) -> Vec<String>;
}

impl Live for Kernel {
    fn status(&self) -> Result<Status> {
        self.status()
    }

    fn segments(&self) -> Result<Vec<Segment>> {
        self.segments()
    }

    fn export(&self, seq: u64) -> Result<Box<dyn Read>> {
        Ok(Box::new(self.export(seq, Format::Binary, "sha1")?))
    }

    fn truncate(&self, seq: u64, digest: &Digest) -> Result<()> {
        self.truncate(seq, digest)
    }

    fn readers(&self) -> Vec<String> {
        open_files::of_list_files(self)
    }
}

/// The checkpoint that a segment starts with.
fn head(live: &impl Live, seq: u64, order: ByteOrder) -> Result<Option<Claim>> {
    let mut records = Records::new(live.export(seq)?, DIGEST_SIZE, order, Position::default());
    let first = records.next()?;
    Ok(first.and_then(|entry| survey::checkpoint(&entry.record)))
}

/// Checkpoints of the kernel, each of which is read once.
#[derive(Debug)]
pub(super) struct Claims {
    order: ByteOrder,
    known: BTreeMap<u64, Claim>,
}

impl Claims {
    pub(super) fn new(order: ByteOrder) -> Self {
        let known = BTreeMap::new();
        Self { order, known }
    }

    /// The checkpoint that a segment starts with.
    ///
    /// # Errors
    ///
    /// [`archive::Error::NoCheckpoint`] if it does not start with the one that the kernel names.
    pub(super) fn of(&mut self, live: &impl Live, segment: &Segment) -> Result<Claim> {
        let seq = segment.seq;
        let is_it = |claim: &Claim| claim.digest.as_slice() == segment.digest.as_bytes();
        // a kernel whose log went back has another one of that number
        if let Some(known) = self.known.get(&seq).filter(|claim| is_it(claim)) {
            return Ok(known.clone());
        }
        let claim = head(live, seq, self.order)?.filter(is_it);
        let claim = claim.ok_or(archive::Error::NoCheckpoint { seq })?;
        self.known.insert(seq, claim.clone());
        Ok(claim)
    }

    /// Forgets those of segments that were freed.
    pub(super) fn forget_before(&mut self, seq: u64) {
        self.known = self.known.split_off(&seq);
    }
}

/// Has a segment a quote over its checkpoint by the key of this name?
pub(super) fn is_quoted(
    live: &impl Live,
    segment: &Segment,
    key: &[u8],
    order: ByteOrder,
) -> Result<bool> {
    let view = live.export(segment.seq)?;
    let mut records = Records::new(view, DIGEST_SIZE, order, Position::default());
    while let Some(entry) = records.next()? {
        if let Ok(Some(OwnRecord::Quote(quote))) = own_record(&entry.record) {
            let over = quote.digest == segment.digest.as_bytes();
            if over && quote.evidence.name() == key {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Has an active segment anything but its own checkpoint and truncations?
pub(super) fn has_news(live: &impl Live, seq: u64, order: ByteOrder) -> Result<bool> {
    let mut records = Records::new(live.export(seq)?, DIGEST_SIZE, order, Position::default());
    while let Some(entry) = records.next()? {
        if !matches!(own_record(&entry.record), Ok(Some(_))) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        archive::fixture::{host, Work},
        kernel::byte_order,
    };

    #[test]
    fn a_checkpoint_is_the_one_that_the_kernel_names() {
        let work = Work::new(2);
        let segments = work.kernel.segments().unwrap();
        let mut claims = Claims::new(byte_order());
        let claim = claims.of(&work.kernel, &segments[1]).unwrap();
        assert_eq!(claim.header.sequence, 1);
        // segment 0 starts with none
        assert!(claims.of(&work.kernel, &segments[0]).is_err());
        // another history: what is remembered is not taken for it
        work.kernel.host.replace(host("b", 2));
        assert!(claims.of(&work.kernel, &segments[1]).is_ok());
        let other = work.kernel.segments().unwrap();
        let others = claims.of(&work.kernel, &other[1]).unwrap();
        assert_ne!(others.digest, claim.digest);
        assert!(claims.of(&work.kernel, &segments[1]).is_err());
    }

    #[test]
    fn a_checkpoint_is_no_news() {
        let work = Work::new(1);
        assert!(has_news(&work.kernel, 1, byte_order()).unwrap());
        work.kernel.checkpoint("").unwrap();
        assert!(!has_news(&work.kernel, 2, byte_order()).unwrap());
        work.kernel.host.borrow_mut().file(b"/new", b"new");
        assert!(has_news(&work.kernel, 2, byte_order()).unwrap());
    }
}
