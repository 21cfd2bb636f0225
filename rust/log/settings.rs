// SPDX-License-Identifier: GPL-2.0

//! Settings: what weakens the log is measured before it takes effect.

use super::{
    automatic::wake,
    error_name,
    invalid,
    shadow::require_answer,
    Log, //
};
use crate::{
    abstractions::ima::{
        self,
        Extend,
        CAN_VERIFY, //
    },
    config::Snapshot,
    format::config::{
        Builder,
        Reason,
        MAX_BUFFER, //
    },
    memory::KVVec,
};
use kernel::{
    prelude::*,
    str::CString, //
};

const EVENT_NAME: &CStr = c".ima/config";

impl Log {
    /// Carries out lines of `setting=value`, all or none.
    ///
    /// EINVAL: there is no such setting or value, as the kernel log says. EBUSY: measuring is
    /// suspended. EIO: the TPM refused the record. ENOMEM. EPERM: it may not be changed, as the
    /// kernel log says. Nothing was changed then.
    pub(crate) fn configure(&self, lines: &[u8]) -> Result {
        let (old, new, result) = {
            let mut held = ima::lock();
            let old = self.config.snapshot();
            let new = old.with_lines(lines)?;
            let result = self.measure_settings(&mut held, Reason::User, old, new);
            if result.is_ok() {
                self.config.store(new);
            }
            (old, new, self.note(&mut held, result))
        };
        wake();
        self.audit_settings(c"user", old, new, result);
        result
    }

    /// Measures what this kernel was told on its command line. A setting that cannot be measured
    /// goes back to its default, unless that is weaker: nothing was freed by it yet.
    pub(super) fn measure_boot_settings(&self) {
        let old = Snapshot::DEFAULT;
        let told = self.config.snapshot();
        let new = told.without_contradiction();
        if new != told {
            pr_err!(
                "truncate_needs_signature=1: nothing is freed by retain_segments, retain_bytes\n"
            );
        }
        if new.needs_signature() && !CAN_VERIFY {
            pr_err!(
                "truncate_needs_signature=1, but this kernel was built without \
                 CONFIG_INTEGRITY_TRUSTED_KEYRING: nothing can be freed\n"
            );
        }
        let result = {
            let mut held = ima::lock();
            let result = self.measure_settings(&mut held, Reason::Boot, old, new);
            self.config.store(match result {
                Ok(()) => new,
                Err(_) => new.with_defaults_where_measured(),
            });
            self.note(&mut held, result)
        };
        if let Err(error) = result {
            pr_err!(
                "boot parameters cannot be measured: {}; those that weaken the log are ignored\n",
                error_name(error)
            );
        }
        self.audit_settings(c"boot", old, new, result);
    }

    /// Appends a record of the changes from `old` to `new`, if there are any to be measured.
    fn measure_settings(
        &self,
        held: &mut Extend,
        reason: Reason,
        old: Snapshot,
        new: Snapshot,
    ) -> Result {
        if old.measured_changes(new).next().is_none() {
            return Ok(());
        }
        let mut buffer = KVVec::zeroed(MAX_BUFFER, GFP_KERNEL)?;
        let log_id = self.state.get(held).identity.log_id;
        let buffer = describe(reason, &log_id, old, new, &mut buffer)?;
        if self.machine.is_suspended(held) {
            return Err(EBUSY);
        }
        // A record that the TPM does not take stays in the list, and is not true.
        require_answer(&*self.machine, held, &self.platform)?;
        self.append_own(held, EVENT_NAME, buffer)
    }

    /// Tells the audit log of each change that was to be measured. The extend mutex must not be
    /// held.
    fn audit_settings(&self, cause: &CStr, old: Snapshot, new: Snapshot, result: Result) {
        for change in old.measured_changes(new) {
            let text = format_args!("{}={}->{}", change.name, change.old, change.new);
            let text = CString::try_from_fmt(text);
            let name = text.as_deref().unwrap_or(EVENT_NAME);
            self.machine.audit(name, c"config", cause, result);
        }
    }
}

/// Writes the buffer of the record to `out`.
fn describe<'b>(
    reason: Reason,
    log_id: &[u8; 16],
    old: Snapshot,
    new: Snapshot,
    out: &'b mut [u8],
) -> Result<&'b [u8]> {
    let mut builder = Builder::new(out, reason, log_id).map_err(invalid)?;
    for change in old.measured_changes(new) {
        builder
            .push(change.name, change.old, change.new)
            .map_err(invalid)?;
    }
    Ok(builder.finish())
}

#[cfg(CONFIG_KUNIT = "y")]
#[kunit_tests(ima_checkpoint_settings)]
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
        config::Config,
        format::{
            config::Changes,
            record::Record, //
        },
        memory::failing::failing_at,
        platform::SHA1_SIZE,
    };

    static CONFIG: Config = Config::new();

    const LINES: &[u8] = b"checkpoint_records=7\nduplicate_scope=live\nkexec_reserve_percent=0";

    /// A log in which a file was measured, with these settings.
    fn started(settings: Snapshot) -> Result<Rig> {
        CONFIG.store(settings);
        let rig = Rig::configured(true, &CONFIG)?;
        rig.measure_file(&mut ima::lock(), 1)?;
        Ok(rig)
    }

    /// Is the newest record that of a change, for this reason?
    fn is_newest(rig: &Rig, reason: Reason) -> Result<bool> {
        let order = rig.log.platform().order();
        let newest = rig.log.store().end().records.saturating_sub(1);
        rig.machine.with_list(|list| {
            let parsed = Record::parse(list.from(newest), SHA1_SIZE, order);
            let (record, _) = parsed.map_err(invalid)?;
            let changes = Changes::parse(record.buffer().unwrap_or_default());
            Ok(record.event_name() == Some(EVENT_NAME.to_bytes())
                && changes.is_ok_and(|changes| changes.reason() == reason))
        })
    }

    #[test]
    fn only_what_weakens_the_log_makes_a_record() -> Result {
        let rig = started(Snapshot::DEFAULT)?;
        rig.log.configure(b"checkpoint_records=9")?;
        assert_eq!(rig.log.store().end().records, 1);
        assert!(rig.machine.audited().is_empty());
        rig.log.configure(LINES)?;
        assert!(is_newest(&rig, Reason::User)?);
        assert_eq!(rig.log.store().end().records, 2);
        assert_eq!(rig.machine.audited().len(), 2);
        // What has its value already is no change.
        rig.log.configure(LINES)?;
        assert_eq!(rig.log.store().end().records, 2);
        assert!(rig.log.configure(b"duplicate_scope=log\nno_such=1") == Err(EINVAL));
        assert_eq!(rig.log.store().end().records, 2);
        Ok(())
    }

    #[test]
    fn what_the_tpm_does_not_take_is_not_set() -> Result {
        let new = Snapshot::DEFAULT.with_lines(LINES)?;
        for call in 0.. {
            let rig = started(Snapshot::DEFAULT)?;
            rig.machine.fail(Fault::Fails, When::At(call));
            let result = rig.log.configure(LINES);
            let expected = if result.is_ok() {
                new
            } else {
                Snapshot::DEFAULT
            };
            assert!(result == Ok(()) || result == Err(EIO));
            assert!(CONFIG.snapshot() == expected);
            assert!(rig.machine.audited().iter().all(|told| *told == result));
            if call >= rig.machine.calls() {
                assert!(call > 0 && result.is_ok());
                break;
            }
        }
        Ok(())
    }

    #[test]
    fn without_memory_nothing_is_set_or_measured() -> Result {
        for victim in 0..1000 {
            let rig = started(Snapshot::DEFAULT)?;
            let (result, reached) = failing_at(victim, || rig.log.configure(LINES));
            if result.is_err() {
                assert!(result == Err(ENOMEM));
                assert!(CONFIG.snapshot() == Snapshot::DEFAULT);
                assert_eq!(rig.log.store().end().records, 1);
            }
            if !reached {
                assert!(victim > 0 && result.is_ok());
                break;
            }
        }
        Ok(())
    }

    #[test]
    fn boot_parameters_are_measured_or_do_not_hold() -> Result {
        let given = Snapshot::DEFAULT.with_lines(LINES)?;
        let rig = started(given)?;
        rig.log.measure_boot_settings();
        assert!(CONFIG.snapshot() == given);
        assert!(is_newest(&rig, Reason::Boot)?);

        let rig = started(given)?;
        rig.machine.fail(Fault::Fails, When::Always);
        rig.log.measure_boot_settings();
        let rest = Snapshot::DEFAULT.with_lines(b"checkpoint_records=7")?;
        assert!(CONFIG.snapshot() == rest);
        assert_eq!(rig.log.store().end().records, 1);

        let rig = started(Snapshot::DEFAULT)?;
        rig.log.measure_boot_settings();
        assert_eq!(rig.log.store().end().records, 1);
        assert!(rig.machine.audited().is_empty());
        Ok(())
    }

    #[test]
    fn what_makes_the_log_strict_holds_even_if_it_cannot_be_measured() -> Result {
        let strict = Config::new();
        strict.set(b"truncate_needs_signature", b"1")?;
        let strict = strict.snapshot();
        for fails in [false, true] {
            let rig = started(strict)?;
            if fails {
                rig.machine.fail(Fault::Fails, When::Always);
            }
            rig.log.measure_boot_settings();
            assert!(CONFIG.snapshot() == strict);
            assert!(fails || is_newest(&rig, Reason::Boot)?);
        }
        CONFIG.store(Snapshot::DEFAULT);
        Ok(())
    }

    #[test]
    fn all_settings_fit_a_record() -> Result {
        let mut out = KVVec::zeroed(MAX_BUFFER, GFP_KERNEL)?;
        let old = Snapshot::DEFAULT;
        let new = old.with_lines(
            b"checkpoint_kexec_load=0\nkexec_reserve_percent=1000\nduplicate_scope=live\n\
            truncate_needs_digest=0",
        )?;
        #[cfg(CONFIG_IMA_CHECKPOINT_RETENTION)]
        let new = new.with_lines(b"retain_segments=1000000000000\nretain_bytes=1000000000000")?;
        // Retention and signatures exclude each other, but both would fit.
        let config = Config::new();
        config.store(new);
        config.set(b"truncate_needs_signature", b"1")?;
        let new = config.snapshot();
        let buffer = describe(Reason::Boot, &[1; 16], old, new, &mut out)?;
        let changes = Changes::parse(buffer).map_err(invalid)?;
        assert!(changes.reason() == Reason::Boot && *changes.log_id() == [1; 16]);
        let expected = old.measured_changes(new).map(|change| change.name);
        assert!(changes.iter().map(|change| change.name).eq(expected));
        assert!(changes.iter().count() >= 4);
        Ok(())
    }
}
