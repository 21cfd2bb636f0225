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

/// A setting. The order is that of the file `config`.
#[derive(Clone, Copy)]
pub(crate) enum Setting {
    /// Make a checkpoint after so many new records; 0: never.
    CheckpointRecords,
    /// Make a checkpoint after so many new bytes; 0: never.
    CheckpointBytes,
    /// Make a checkpoint once a record was new for so many seconds; 0: never.
    CheckpointSeconds,
    /// Make a checkpoint when a kexec image is loaded, if there is a new record.
    CheckpointKexecLoad,
    /// Which records the duplicate check knows.
    DuplicateScope,
    /// `truncate` takes a number only together with its digest.
    TruncateNeedsDigest,
    /// Free sealed segments beyond so many; 0: never.
    #[cfg(CONFIG_IMA_CHECKPOINT_RETENTION)]
    RetainSegments,
    /// Free sealed segments beyond so many bytes; 0: never.
    #[cfg(CONFIG_IMA_CHECKPOINT_RETENTION)]
    RetainBytes,
}

/// The values that a setting takes. Words stand for 0, 1 and so on.
enum Values {
    AtMost(u64),
    OneOf(&'static [&'static str]),
}

struct Rule {
    setting: Setting,
    name: &'static str,
    values: Values,
    default: u64,
}

/// Most records, bytes and segments: more than any machine has.
const MANY: Values = Values::AtMost(1_000_000_000_000);
/// Most seconds: 30 years.
const LONG: Values = Values::AtMost(1_000_000_000);
const SWITCH: Values = Values::AtMost(1);

const fn rule(setting: Setting, name: &'static str, values: Values, default: u64) -> Rule {
    Rule {
        setting,
        name,
        values,
        default,
    }
}

/// One for each setting, in the same order.
const RULES: &[Rule] = &[
    rule(Setting::CheckpointRecords, "checkpoint_records", MANY, 0),
    rule(Setting::CheckpointBytes, "checkpoint_bytes", MANY, 0),
    rule(Setting::CheckpointSeconds, "checkpoint_seconds", LONG, 0),
    rule(
        Setting::CheckpointKexecLoad,
        "checkpoint_kexec_load",
        SWITCH,
        0,
    ),
    rule(
        Setting::DuplicateScope,
        "duplicate_scope",
        Values::OneOf(&["log", "live"]),
        0,
    ),
    rule(
        Setting::TruncateNeedsDigest,
        "truncate_needs_digest",
        SWITCH,
        1,
    ),
    #[cfg(CONFIG_IMA_CHECKPOINT_RETENTION)]
    rule(Setting::RetainSegments, "retain_segments", MANY, 0),
    #[cfg(CONFIG_IMA_CHECKPOINT_RETENTION)]
    rule(Setting::RetainBytes, "retain_bytes", MANY, 0),
];

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

    fn write(&self, value: u64, text: &mut impl Write) -> fmt::Result {
        match self.values {
            Values::AtMost(_) => write!(text, "{value}"),
            Values::OneOf(words) => {
                text.write_str(words.get(value as usize).copied().unwrap_or_default())
            }
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

    /// Sets one. EINVAL if there is no such setting or value; the kernel log says what is wrong.
    pub(crate) fn set(&self, name: &[u8], value: &[u8]) -> Result {
        let (rule, value) = judge(name, value)?;
        if let Some(setting) = self.0.get(rule.setting as usize) {
            setting.store(value, Relaxed);
        }
        Ok(())
    }

    /// Carries out lines of `setting=value`, all or none: EINVAL as of [`Config::set`].
    pub(crate) fn set_lines(&self, text: &[u8]) -> Result {
        let lines = || {
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            text.split(|&byte| byte == b'\n').map(split)
        };
        for (name, value) in lines() {
            judge(name, value)?;
        }
        lines().try_for_each(|(name, value)| self.set(name, value))
    }

    /// Writes them all, a line each, as they can be set.
    pub(crate) fn write(&self, text: &mut impl Write) -> fmt::Result {
        RULES.iter().try_for_each(|rule| {
            write!(text, "{}=", rule.name)?;
            rule.write(self.get(rule.setting), text)?;
            text.write_char('\n')
        })
    }

    /// Writes the value of one. EINVAL if there is none of this name, or `text` fails.
    pub(crate) fn write_value(&self, name: &[u8], text: &mut impl Write) -> Result {
        let rule = rule_of(name).ok_or(EINVAL)?;
        rule.write(self.get(rule.setting), text).map_err(|_| EINVAL)
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

fn rule_of(name: &[u8]) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name.as_bytes() == name)
}

/// The rule and the number that a name and a value stand for.
fn judge(name: &[u8], value: &[u8]) -> Result<(&'static Rule, u64)> {
    let Some(rule) = rule_of(name) else {
        pr_err!(
            "there is no setting \"{}\"\n",
            core::str::from_utf8(name)
                .ok()
                .filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()))
                .unwrap_or("?")
        );
        return Err(EINVAL);
    };
    match rule.parse(value) {
        Some(value) => Ok((rule, value)),
        None => {
            rule.complain();
            Err(EINVAL)
        }
    }
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
    fn rules_are_in_the_order_of_the_settings() {
        for (at, rule) in RULES.iter().enumerate() {
            assert_eq!(rule.setting as usize, at);
        }
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
        let bad: [&[u8]; 14] = [
            b"",
            b"\n",
            b"checkpoint_records",
            b"checkpoint_records=",
            b"checkpoint_records=-1",
            b"checkpoint_records=1 ",
            b" checkpoint_records=1",
            b"checkpoint_records=1000000000001",
            b"checkpoint_seconds=1000000001",
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
}
