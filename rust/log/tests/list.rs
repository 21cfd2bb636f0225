// SPDX-License-Identifier: GPL-2.0

//! Appending, checkpoints, truncation.

use super::*;
use crate::{
    abstractions::ima,
    log::testing::TestRecord,
    store::Span, //
};

#[kunit_tests(ima_checkpoint_log)]
mod cases {
    use super::*;

    #[test]
    fn segments_count_their_records_and_bytes() -> Result {
        let mut held = ima::lock();
        let log = example(false, &mut held)?.log;
        let segments = log.segments()?;
        let records: [u64; 3] = [3, 3, 2];
        ensure!(segments.iter().map(|s| s.len().records).eq(records));
        ensure!(segments.iter().map(|s| s.seq()).eq(0..3));
        ensure!(segments
            .iter()
            .map(|s| s.is_sealed())
            .eq([true, true, false]));
        let bytes: u64 = segments.iter().map(|s| s.len().bytes).sum();
        ensure_eq!(bytes, log.store().live().bytes);
        ensure_eq!(log.store().live().records, 8);
        Ok(())
    }

    #[test]
    fn a_record_that_cannot_be_encoded_is_refused_whole() -> Result {
        let mut held = ima::lock();
        let rig = example(true, &mut held)?;
        let before = rig.log.store().end();
        let pcr = rig.log.platform().pcr();
        let record = TestRecord {
            pcr,
            violation: false,
            template: b"no-such",
            fields: &[b"x"],
        };
        ensure!(rig.measure(&mut held, &record).is_err());
        ensure!(rig.log.store().end() == before);
        Ok(())
    }

    #[test]
    fn a_checkpoint_counts_the_violations_that_precede_it() -> Result {
        use crate::format::{
            checkpoint::Checkpoint,
            record::Record, //
        };
        let mut held = ima::lock();
        let rig = example(true, &mut held)?;
        rig.violate(&mut held)?;
        rig.violate(&mut held)?;
        rig.seal(&mut held)?;
        // IMA's own count is ahead while a violation is on its way: it must not matter.
        let mut counted = 0;
        let order = rig.log.platform().order();
        for segment in &rig.log.segments()? {
            segment.for_each_chunk(|mut bytes| {
                while !bytes.is_empty() {
                    let (record, len) = Record::parse(bytes, 20, order).map_err(|_| EINVAL)?;
                    bytes = bytes.get(len..).ok_or(EINVAL)?;
                    counted += u64::from(record.is_violation());
                    if let Some(buffer) = record.buffer() {
                        let checkpoint = Checkpoint::parse(buffer).map_err(|_| EINVAL)?;
                        ensure_eq!(checkpoint.header().violations, counted);
                    }
                }
                Ok(())
            })?;
        }
        ensure_eq!(counted, 3);
        Ok(())
    }

    #[test]
    fn a_foreign_extend_breaks_the_segment_that_it_fell_in() -> Result {
        let mut held = ima::lock();
        let rig = example(true, &mut held)?;
        rig.machine
            .meddle(rig.log.platform(), rig.log.platform().pcr())?;
        rig.seal(&mut held)?;
        rig.measure_file(&mut held, 5)?;
        rig.seal(&mut held)?;
        let broken = [false, false, true, false, false];
        ensure!(rig.log.segments()?.iter().map(|s| s.is_broken()).eq(broken));
        let copy = after_kexec(&rig, &mut held)?.log;
        ensure!(copy.segments()?.iter().map(|s| s.is_broken()).eq(broken));
        Ok(())
    }

    #[test]
    fn truncation_frees_the_oldest_segments() -> Result {
        let mut held = ima::lock();
        let rig = example(true, &mut held)?;
        cut(&rig.log, &mut held, 2)?;
        ensure!(rig.log.segment(1).err() == Some(ESTALE));
        ensure!(rig.log.segment(3).err() == Some(ENOENT));
        ensure_eq!(rig.log.segment(2)?.first_record(), 6);
        ensure_eq!(rig.log.store().start().records, 6);
        // The checkpoint, a file, and the record of the truncation.
        ensure_eq!(rig.log.store().live().records, 3);
        ensure!(shadows_match(&rig, &mut held)?);
        Ok(())
    }

    #[test]
    fn many_records_fill_many_chunks() -> Result {
        let mut held = ima::lock();
        let rig = Rig::new(false)?;
        let mut bytes = 0u64;
        for n in 0..2000 {
            rig.measure_file(&mut held, n)?;
        }
        rig.log.segment(0)?.for_each_chunk(|records| {
            bytes += records.len() as u64;
            Ok(())
        })?;
        ensure_eq!(bytes, rig.log.store().end().bytes);
        ensure!(rig.log.store().start() == Span::default());
        Ok(())
    }
}
