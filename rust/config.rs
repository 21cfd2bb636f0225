// SPDX-License-Identifier: GPL-2.0

//! What the administrator decides: settings, in the file `config` and as boot parameters.

use crate::store::known::Scope;
use core::fmt::{
    self,
    Write, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// Declares the settings, in the order of the file `config`: each with its name, the values that it
/// takes, its default, and whether a change of it is measured.
macro_rules! settings {
    ($(
        $(#[doc = $doc:literal])*
        $(#[cfg($cfg:meta)])?
        $setting:ident: $name:literal, $values:expr, $default:literal, $trace:ident;
    )*) => {
        /// A setting.
        #[derive(Clone, Copy)]
        pub(crate) enum Setting {$(
            $(#[doc = $doc])*
            $(#[cfg($cfg)])?
            $setting,
        )*}

        /// One for each setting, in the same order.
        const RULES: &[Rule] = &[$(
            $(#[cfg($cfg)])?
            Rule {
                name: $name,
                values: $values,
                default: $default,
                trace: Trace::$trace,
            },
        )*];
    };
}

settings! {
    /// Make a checkpoint after so many new records; 0: never.
    CheckpointRecords: "checkpoint_records", MANY, 0, Silent;
    /// Make a checkpoint after so many new bytes; 0: never.
    CheckpointBytes: "checkpoint_bytes", MANY, 0, Silent;
    /// Make a checkpoint once a record was new for so many seconds; 0: never.
    CheckpointSeconds: "checkpoint_seconds", LONG, 0, Silent;
    /// Make a checkpoint when a kexec image is loaded, if there is a new record.
    CheckpointKexecLoad: "checkpoint_kexec_load", SWITCH, 1, Measured;
    /// Reserve so many percent of the list in a kexec image, for what is measured after the load.
    KexecReservePercent: "kexec_reserve_percent", Values::AtMost(1000), 25, Measured;
    /// Which records the duplicate check knows.
    DuplicateScope: "duplicate_scope", Values::OneOf(&["log", "live"]), 0, Measured;
    /// `truncate` takes a number only together with its digest.
    TruncateNeedsDigest: "truncate_needs_digest", SWITCH, 1, Measured;
    /// `truncate` takes a number only together with its digest and a signature.
    TruncateNeedsSignature: "truncate_needs_signature", SWITCH, 0, Fixed;
    /// Free sealed segments beyond so many; 0: never.
    #[cfg(CONFIG_IMA_CHECKPOINT_RETENTION)]
    RetainSegments: "retain_segments", MANY, 0, Measured;
    /// Free sealed segments beyond so many bytes; 0: never.
    #[cfg(CONFIG_IMA_CHECKPOINT_RETENTION)]
    RetainBytes: "retain_bytes", MANY, 0, Measured;
}

/// The values that a setting takes. Words stand for 0, 1 and so on.
enum Values {
    AtMost(u64),
    OneOf(&'static [&'static str]),
}

/// Most records, bytes and segments: more than any machine has.
const MANY: Values = Values::AtMost(1_000_000_000_000);
/// Most seconds: 30 years.
const LONG: Values = Values::AtMost(1_000_000_000);
const SWITCH: Values = Values::AtMost(1);

/// What a change of a setting leaves behind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trace {
    /// A record in the list: it decides what the log can lose, or what it says of what was
    /// measured.
    Measured,
    /// Nothing: it only makes checkpoints more or less often.
    Silent,
    /// A record, too. It is set on the command line and nowhere else, and holds even if it cannot
    /// be measured: it only makes the log stricter.
    Fixed,
}

/// The settings by which the kernel frees on its own.
#[cfg(CONFIG_IMA_CHECKPOINT_RETENTION)]
const RETENTION: &[Setting] = &[Setting::RetainSegments, Setting::RetainBytes];
#[cfg(not(CONFIG_IMA_CHECKPOINT_RETENTION))]
const RETENTION: &[Setting] = &[];

/// What is declared of a setting.
struct Rule {
    name: &'static str,
    values: Values,
    default: u64,
    trace: Trace,
}

/// How many settings there are.
pub(crate) const COUNT: usize = RULES.len();

/// The name of setting number `at`, below [`COUNT`].
pub(crate) const fn name(at: usize) -> &'static str {
    RULES[at].name
}

impl Rule {
    fn parse(&self, word: &[u8]) -> Option<u64> {
        match self.values {
            Values::AtMost(most) => decimal(word).filter(|number| *number <= most),
            Values::OneOf(words) => words
                .iter()
                .position(|known| known.as_bytes() == word)
                .map(|at| at as u64),
        }
    }

    /// Says in the kernel log what would have been right.
    fn complain(&self) {
        let name = self.name;
        match self.values {
            Values::AtMost(most) => pr_err!("{name} must be a number from 0 to {most}\n"),
            Values::OneOf(words) => {
                let mut words = words.iter().copied();
                let (first, second) = (words.next(), words.next());
                pr_err!(
                    "{name} must be {} or {}\n",
                    first.unwrap_or_default(),
                    second.unwrap_or_default()
                );
            }
        }
    }
}

/// The value of a setting, as it is written.
#[derive(Clone, Copy)]
pub(crate) struct Value {
    rule: &'static Rule,
    number: u64,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule.values {
            Values::AtMost(_) => write!(f, "{}", self.number),
            Values::OneOf(words) => {
                f.write_str(words.get(self.number as usize).copied().unwrap_or_default())
            }
        }
    }
}

/// A setting that has another value than before.
#[derive(Clone, Copy)]
pub(crate) struct Change {
    pub(crate) name: &'static str,
    pub(crate) old: Value,
    pub(crate) new: Value,
}

/// Values of all settings at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Snapshot([u64; COUNT]);

impl Snapshot {
    /// What a kernel starts with that is not told otherwise.
    pub(crate) const DEFAULT: Self = {
        let mut values = [0; COUNT];
        let mut at = 0;
        while at < COUNT {
            values[at] = RULES[at].default;
            at += 1;
        }
        Self(values)
    };

    /// With one of another value. EINVAL if there is no such setting or value; the kernel log says
    /// what is wrong.
    fn with(mut self, name: &[u8], value: &[u8]) -> Result<Self> {
        let (at, rule) = find(name).ok_or_else(|| unknown(name))?;
        let value = rule.parse(value).ok_or_else(|| {
            rule.complain();
            EINVAL
        })?;
        *self.0.get_mut(at).ok_or(EINVAL)? = value;
        Ok(self)
    }

    /// With those that lines of `setting=value` name: EINVAL if one of them cannot be. EPERM if it
    /// may not be while the system runs, or not beside another.
    pub(crate) fn with_lines(self, text: &[u8]) -> Result<Self> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let new = text
            .split(|&byte| byte == b'\n')
            .map(split)
            .try_fold(self, |values, (name, value)| values.with(name, value))?;
        let mut pairs = RULES.iter().zip(self.0.iter().zip(&new.0));
        let fixed = pairs.find(|(rule, (old, new))| rule.trace == Trace::Fixed && old != new);
        if let Some((rule, _)) = fixed {
            pr_err!("{} can only be set on the command line\n", rule.name);
            return Err(EPERM);
        }
        if new.without_contradiction() != new {
            pr_err!("retain_segments and retain_bytes must be 0 with truncate_needs_signature=1\n");
            return Err(EPERM);
        }
        Ok(new)
    }

    fn get(&self, setting: Setting) -> u64 {
        self.0.get(setting as usize).copied().unwrap_or_default()
    }

    /// The same without retention, if there must be a signature for what is freed: nobody makes one
    /// for the kernel.
    pub(crate) fn without_contradiction(mut self) -> Self {
        if self.needs_signature() {
            for setting in RETENTION {
                if let Some(value) = self.0.get_mut(*setting as usize) {
                    *value = 0;
                }
            }
        }
        self
    }

    /// Does it demand a signature for what is freed?
    pub(crate) fn needs_signature(&self) -> bool {
        self.get(Setting::TruncateNeedsSignature) != 0
    }

    /// The same, but for what is measured: that has its default, unless it is fixed.
    pub(crate) fn with_defaults_where_measured(mut self) -> Self {
        for (rule, value) in RULES.iter().zip(&mut self.0) {
            if rule.trace == Trace::Measured {
                *value = rule.default;
            }
        }
        self
    }

    /// Settings whose change to `new` is to be measured.
    pub(crate) fn measured_changes(self, new: Self) -> impl Iterator<Item = Change> {
        let pairs = RULES.iter().zip(self.0).zip(new.0);
        pairs.filter_map(|((rule, old), new)| {
            let value = |number| Value { rule, number };
            (rule.trace != Trace::Silent && old != new).then_some(Change {
                name: rule.name,
                old: value(old),
                new: value(new),
            })
        })
    }
}

/// The settings. Each can be read without a lock.
pub(crate) struct Config([Atomic<u64>; COUNT]);

/// The settings of this kernel. Boot parameters come before the log is made.
pub(crate) static CONFIG: Config = Config::new();

impl Config {
    pub(crate) const fn new() -> Self {
        let mut values = [const { Atomic::new(0) }; COUNT];
        let mut at = 0;
        while at < COUNT {
            values[at] = Atomic::new(RULES[at].default);
            at += 1;
        }
        Self(values)
    }

    /// The value of a setting.
    pub(crate) fn get(&self, setting: Setting) -> u64 {
        self.0
            .get(setting as usize)
            .map_or(0, |value| value.load(Relaxed))
    }

    pub(crate) fn duplicate_scope(&self) -> Scope {
        match self.get(Setting::DuplicateScope) {
            0 => Scope::Log,
            _ => Scope::Live,
        }
    }

    /// The values of all.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot(core::array::from_fn(|at| {
            self.0.get(at).map_or(0, |value| value.load(Relaxed))
        }))
    }

    /// Sets all.
    pub(crate) fn store(&self, values: Snapshot) {
        for (to, value) in self.0.iter().zip(values.0) {
            to.store(value, Relaxed);
        }
    }

    /// Sets one, before the log is made, which measures it later. EINVAL if there is no such
    /// setting or value; the kernel log says what is wrong.
    ///
    /// A switch that makes the log stricter is on then: somebody meant to have it.
    pub(crate) fn set(&self, name: &[u8], value: &[u8]) -> Result {
        let values = self.snapshot();
        let set = values.with(name, value);
        let strictest = match find(name) {
            Some((_, rule)) if rule.trace == Trace::Fixed => values.with(name, b"1"),
            _ => Ok(values),
        };
        self.store(set.or(strictest)?);
        set.map(|_| ())
    }

    /// Carries out lines of `setting=value`, all or none, and measures nothing.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn set_lines(&self, text: &[u8]) -> Result {
        self.store(self.snapshot().with_lines(text)?);
        Ok(())
    }

    /// Writes them all, a line each, as they can be set.
    pub(crate) fn write(&self, text: &mut impl Write) -> fmt::Result {
        let mut values = RULES.iter().zip(self.snapshot().0);
        values.try_for_each(|(rule, number)| {
            writeln!(text, "{}={}", rule.name, Value { rule, number })
        })
    }

    /// Writes the value of one. EINVAL if there is none of this name, or `text` fails.
    pub(crate) fn write_value(&self, name: &[u8], text: &mut impl Write) -> Result {
        let (at, rule) = find(name).ok_or(EINVAL)?;
        let number = *self.snapshot().0.get(at).ok_or(EINVAL)?;
        write!(text, "{}", Value { rule, number }).map_err(|_| EINVAL)
    }
}

/// Name and value of a line.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let at = line.iter().position(|&byte| byte == b'=');
    let (name, rest) = line
        .split_at_checked(at.unwrap_or(line.len()))
        .unwrap_or_default();
    (name, rest.get(1..).unwrap_or_default())
}

/// The setting of that name: its place and what is declared of it.
fn find(name: &[u8]) -> Option<(usize, &'static Rule)> {
    let mut rules = RULES.iter().enumerate();
    rules.find(|(_, rule)| rule.name.as_bytes() == name)
}

/// Says in the kernel log that there is no such setting.
fn unknown(name: &[u8]) -> Error {
    pr_err!(
        "there is no setting \"{}\"\n",
        core::str::from_utf8(name)
            .ok()
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()))
            .unwrap_or("?")
    );
    EINVAL
}

/// A number of decimal digits and nothing else. `None` also if it is too large.
pub(crate) fn decimal(word: &[u8]) -> Option<u64> {
    // `parse` would take a sign.
    if !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(word).ok()?.parse().ok()
}

#[kunit_tests(ima_checkpoint_config)]
mod tests {
    use super::*;

    /// A text of limited length.
    struct Page([u8; 256], usize);

    impl Write for Page {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let end = self.1 + text.len();
            let room = self.0.get_mut(self.1..end).ok_or(fmt::Error)?;
            room.copy_from_slice(text.as_bytes());
            self.1 = end;
            Ok(())
        }
    }

    impl Page {
        fn of(config: &Config) -> Result<Self> {
            let mut page = Self([0; 256], 0);
            config.write(&mut page).map_err(|_| ENOSPC)?;
            Ok(page)
        }

        fn bytes(&self) -> &[u8] {
            &self.0[..self.1]
        }
    }

    #[test]
    fn defaults() {
        let config = Config::new();
        assert!(config.snapshot() == Snapshot::DEFAULT);
        assert_eq!(config.get(Setting::CheckpointSeconds), 0);
        assert_eq!(config.get(Setting::CheckpointKexecLoad), 1);
        assert_eq!(config.get(Setting::KexecReservePercent), 25);
        assert!(config.duplicate_scope() == Scope::Log);
        assert_eq!(config.get(Setting::TruncateNeedsDigest), 1);
        assert_eq!(config.get(Setting::TruncateNeedsSignature), 0);
    }

    #[test]
    fn what_is_read_can_be_written() -> Result {
        let config = Config::new();
        config.set_lines(b"checkpoint_records=1000\nduplicate_scope=live\n")?;
        config.set_lines(b"checkpoint_bytes=1000000000000")?;
        let text = Page::of(&config)?;
        let copy = Config::new();
        copy.set_lines(text.bytes())?;
        assert!(Page::of(&copy)?.bytes() == text.bytes());
        assert_eq!(copy.get(Setting::CheckpointRecords), 1000);
        assert_eq!(copy.get(Setting::CheckpointBytes), 1_000_000_000_000);
        assert!(copy.duplicate_scope() == Scope::Live);
        assert_eq!(copy.get(Setting::TruncateNeedsDigest), 1);
        Ok(())
    }

    #[test]
    fn a_bad_line_changes_nothing() -> Result {
        let config = Config::new();
        let before = Page::of(&config)?;
        let bad: [&[u8]; 15] = [
            b"",
            b"\n",
            b"checkpoint_records",
            b"checkpoint_records=",
            b"checkpoint_records=-1",
            b"checkpoint_records=1 ",
            b" checkpoint_records=1",
            b"checkpoint_records=1000000000001",
            b"checkpoint_seconds=1000000001",
            b"kexec_reserve_percent=1001",
            b"duplicate_scope=all",
            b"duplicate_scope=1",
            b"truncate_needs_digest=2",
            b"no_such=1",
            b"checkpoint_records=5\n\nduplicate_scope=live",
        ];
        for line in bad {
            assert!(config.set_lines(line) == Err(EINVAL));
        }
        assert!(config.set_lines(b"checkpoint_records=5\nno_such=1\n") == Err(EINVAL));
        assert!(Page::of(&config)?.bytes() == before.bytes());
        Ok(())
    }

    /// Lines `NAME=OLD->NEW` of what is to be measured.
    fn measured(old: Snapshot, new: Snapshot) -> Result<Page> {
        let mut page = Page([0; 256], 0);
        for change in old.measured_changes(new) {
            writeln!(page, "{}={}->{}", change.name, change.old, change.new).map_err(|_| ENOSPC)?;
        }
        Ok(page)
    }

    #[test]
    fn what_weakens_the_log_is_measured() -> Result {
        let all = b"checkpoint_records=7\ncheckpoint_bytes=7\ncheckpoint_seconds=7\n\
            checkpoint_kexec_load=0\nkexec_reserve_percent=1000\nduplicate_scope=live\n\
            truncate_needs_digest=0";
        let before = Snapshot::DEFAULT;
        let after = before.with_lines(all)?;
        let expected = b"checkpoint_kexec_load=1->0\nkexec_reserve_percent=25->1000\n\
            duplicate_scope=log->live\ntruncate_needs_digest=1->0\n";
        assert!(measured(before, after)?.bytes() == expected);
        assert!(measured(after, after)?.bytes().is_empty());
        // ... and so is the way back, but not what has its value already.
        let back = after.with_lines(b"duplicate_scope=live\ntruncate_needs_digest=1")?;
        assert!(measured(after, back)?.bytes() == b"truncate_needs_digest=0->1\n");
        let kept =
            before.with_lines(b"checkpoint_records=7\ncheckpoint_bytes=7\ncheckpoint_seconds=7")?;
        assert!(after.with_defaults_where_measured() == kept);
        // The last line of a setting counts.
        let twice = before.with_lines(b"duplicate_scope=live\nduplicate_scope=log")?;
        assert!(measured(before, twice)?.bytes().is_empty());
        Ok(())
    }

    #[test]
    fn what_makes_the_log_strict_is_set_at_boot_and_stays() -> Result {
        let config = Config::new();
        assert!(config.set_lines(b"truncate_needs_signature=1") == Err(EPERM));
        config.set(b"truncate_needs_signature", b"1")?;
        assert!(config.snapshot().needs_signature());
        let expected = b"truncate_needs_signature=0->1\n";
        assert!(measured(Snapshot::DEFAULT, config.snapshot())?.bytes() == expected);
        for lines in [
            b"truncate_needs_signature=0".as_slice(),
            b"truncate_needs_digest=0\ntruncate_needs_signature=0",
            b"truncate_needs_signature=0\ntruncate_needs_digest=0",
        ] {
            assert!(config.set_lines(lines) == Err(EPERM));
        }
        assert!(config.set_lines(b"truncate_needs_signature=2") == Err(EINVAL));
        assert_eq!(config.get(Setting::TruncateNeedsDigest), 1);
        // What is read can be written.
        let text = Page::of(&config)?;
        config.set_lines(text.bytes())?;
        config.set_lines(b"truncate_needs_signature=0\ntruncate_needs_signature=1")?;
        assert!(config
            .snapshot()
            .with_defaults_where_measured()
            .needs_signature());
        Ok(())
    }

    #[test]
    fn a_strict_switch_that_is_mistyped_is_on() -> Result {
        for value in [b"yes".as_slice(), b"", b"2", b"-1", b"1 "] {
            let config = Config::new();
            assert!(config.set(b"truncate_needs_signature", value) == Err(EINVAL));
            assert!(config.snapshot().needs_signature());
            config.set(b"truncate_needs_signature", b"0")?;
            assert!(config.snapshot() == Snapshot::DEFAULT);
        }
        let config = Config::new();
        assert!(config.set(b"truncate_needs_digest", b"no") == Err(EINVAL));
        assert!(config.set(b"no_such", b"1") == Err(EINVAL));
        assert!(config.snapshot() == Snapshot::DEFAULT);
        Ok(())
    }

    #[test]
    #[cfg(CONFIG_IMA_CHECKPOINT_RETENTION)]
    fn nothing_is_freed_unsigned_by_retention() -> Result {
        let config = Config::new();
        config.set(b"truncate_needs_signature", b"1")?;
        let strict = config.snapshot();
        assert!(config.set_lines(b"retain_segments=1") == Err(EPERM));
        assert!(config.set_lines(b"checkpoint_records=1\nretain_bytes=1") == Err(EPERM));
        assert!(config.snapshot() == strict);
        config.set_lines(b"retain_segments=1\nretain_segments=0")?;
        // On the command line one comes after the other.
        config.set(b"retain_segments", b"1")?;
        config.set(b"retain_bytes", b"1")?;
        assert!(config.snapshot() != strict);
        assert!(config.snapshot().without_contradiction() == strict);
        let loose = Snapshot::DEFAULT.with_lines(b"retain_segments=1")?;
        assert!(loose.without_contradiction() == loose);
        Ok(())
    }

    #[test]
    #[cfg(CONFIG_IMA_CHECKPOINT_RETENTION)]
    fn retention_is_measured() -> Result {
        let before = Snapshot::DEFAULT;
        let after = before.with_lines(b"retain_segments=4\nretain_bytes=1000000000000")?;
        let expected = b"retain_segments=0->4\nretain_bytes=0->1000000000000\n";
        assert!(measured(before, after)?.bytes() == expected);
        Ok(())
    }
}
