// SPDX-License-Identifier: GPL-2.0

//! Quotes in the list: what a TPM signed over the newest checkpoint.
//!
//! The kernel does not check the signature. It sees to it that the record is of the right form and
//! says of which checkpoint it is; a verifier, who knows the key, decides whether it is true.

use super::{
    invalid,
    seal::Sealed,
    shadow::require_answer,
    Log, //
};
use crate::{
    abstractions::ima::{
        self,
        Extend, //
    },
    format::quote::{
        Evidence,
        Quote,
        MAX_BUFFER, //
    },
    memory::KVVec,
};
use kernel::prelude::*;

const EVENT_NAME: &CStr = c".ima/quote";

impl Log {
    /// The newest checkpoint, which a quote must be over: ENOENT before the first.
    pub(crate) fn newest(&self) -> Result<Sealed> {
        let mut held = ima::lock();
        let identity = &self.state.get(&mut held).identity;
        match identity.sequence {
            0 => Err(ENOENT),
            seq => Ok(Sealed {
                seq,
                digest: identity.digest,
            }),
        }
    }

    /// Appends a quote over the newest checkpoint.
    ///
    /// EINVAL: it is malformed. ESTALE: it is over something else, as when another checkpoint was
    /// made in between. EBUSY: measuring is suspended. EIO: the TPM refused the record. ENOMEM.
    pub(crate) fn quote(&self, evidence: &[u8]) -> Result {
        let evidence = Evidence::parse(evidence).map_err(invalid)?;
        let mut buffer = KVVec::zeroed(MAX_BUFFER, GFP_KERNEL)?;
        let mut held = ima::lock();
        let result = self.try_quote(&mut held, evidence, &mut buffer);
        self.note(&mut held, result)
    }

    fn try_quote(&self, held: &mut Extend, evidence: Evidence<'_>, buffer: &mut [u8]) -> Result {
        if self.machine.is_suspended(held) {
            return Err(EBUSY);
        }
        let identity = &self.state.get(held).identity;
        if identity.sequence == 0 || evidence.extra_data() != identity.digest {
            return Err(ESTALE);
        }
        let quote = Quote {
            log_id: identity.log_id,
            sequence: identity.sequence,
            digest: identity.digest,
            evidence,
        };
        let buffer = quote.encode(buffer).map_err(invalid)?;
        // A record that the TPM does not take stays in the list, and replays to another value.
        require_answer(&*self.machine, held, &self.platform)?;
        self.append_own(held, EVENT_NAME, buffer)
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kunit_tests(ima_checkpoint_quotes)]
mod tests {
    use super::{
        super::testing::{
            Fault,
            Rig,
            When, //
        },
        *, //
    };
    use crate::{
        format::{
            quote::example::evidence,
            record::Record, //
        },
        memory::failing::failing_at,
        platform::SHA1_SIZE,
    };

    /// A log with a file in it.
    fn started() -> Result<Rig> {
        let rig = Rig::new(true)?;
        rig.measure_file(&mut ima::lock(), 1)?;
        Ok(rig)
    }

    /// The number of the checkpoint that the newest record is a quote over.
    fn newest_is_over(rig: &Rig) -> Result<u64> {
        let order = rig.log.platform().order();
        let newest = rig.log.store().end().records.saturating_sub(1);
        rig.machine.with_list(|list| {
            let parsed = Record::parse(list.from(newest), SHA1_SIZE, order);
            let (record, _) = parsed.map_err(invalid)?;
            if record.event_name() != Some(EVENT_NAME.to_bytes()) {
                return Err(ENOENT);
            }
            let quote = Quote::parse(record.buffer().unwrap_or_default());
            Ok(quote.map_err(invalid)?.sequence)
        })
    }

    #[test]
    fn a_quote_is_over_the_newest_checkpoint() -> Result {
        let rig = started()?;
        assert!(rig.log.newest().err() == Some(ENOENT));
        assert!(rig.log.quote(&evidence(&[0; 32]).map_err(invalid)?) == Err(ESTALE));
        let first = rig.seal(&mut ima::lock())?;
        let over_first = evidence(&first.digest).map_err(invalid)?;
        // Records may follow the checkpoint.
        rig.measure_file(&mut ima::lock(), 2)?;
        rig.log.quote(&over_first)?;
        assert_eq!(newest_is_over(&rig)?, 1);
        let second = rig.seal(&mut ima::lock())?;
        assert!(rig.log.quote(&over_first) == Err(ESTALE));
        assert_eq!(rig.log.newest()?.seq, 2);
        // A checkpoint may have quotes of several keys.
        let over_second = evidence(&second.digest).map_err(invalid)?;
        rig.log.quote(&over_second)?;
        rig.log.quote(&over_second)?;
        assert_eq!(newest_is_over(&rig)?, 2);
        assert_eq!(rig.log.store().end().records, 7);
        Ok(())
    }

    #[test]
    fn what_is_malformed_is_not_appended() -> Result {
        let rig = started()?;
        let sealed = rig.seal(&mut ima::lock())?;
        let whole = evidence(&sealed.digest).map_err(invalid)?;
        let end = rig.log.store().end();
        let cut = whole.split_last().map(|(_, cut)| cut);
        assert!(rig.log.quote(cut.unwrap_or_default()) == Err(EINVAL));
        assert!(rig.log.quote(&[]) == Err(EINVAL));
        assert!(rig.log.store().end() == end);
        Ok(())
    }

    #[test]
    fn a_tpm_that_fails_takes_no_quote() -> Result {
        for call in 0.. {
            let rig = started()?;
            let sealed = rig.seal(&mut ima::lock())?;
            rig.machine.fail(Fault::Fails, When::At(call));
            let result = rig.log.quote(&evidence(&sealed.digest).map_err(invalid)?);
            assert!(result == Ok(()) || result == Err(EIO));
            if call >= rig.machine.calls() {
                assert!(call > 0 && result.is_ok());
                break;
            }
        }
        Ok(())
    }

    #[test]
    fn without_memory_nothing_is_appended() -> Result {
        for victim in 0..1000 {
            let rig = started()?;
            let sealed = rig.seal(&mut ima::lock())?;
            let whole = evidence(&sealed.digest).map_err(invalid)?;
            let end = rig.log.store().end();
            let (result, reached) = failing_at(victim, || rig.log.quote(&whole));
            if result.is_err() {
                assert!(result == Err(ENOMEM));
                assert!(rig.log.store().end() == end);
            }
            if !reached {
                assert!(victim > 0 && result.is_ok());
                break;
            }
        }
        Ok(())
    }
}
