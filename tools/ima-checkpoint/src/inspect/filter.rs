// SPDX-License-Identifier: GPL-2.0

//! Which records are shown.

use crate::{own::own_record, records::Entry};
use clap::Args;
use globset::{GlobBuilder, GlobMatcher};
use std::{
    ffi::{OsStr, OsString},
    ops::Range,
    os::unix::ffi::OsStrExt,
};

/// What a record must be to be shown. All options must hold, of one that is repeated any value.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which records")]
pub struct Filter {
    /// Of this event name
    #[arg(long, value_name = "NAME")]
    event_name: Vec<OsString>,

    /// Of an event name like this: * and ? match all but /, ** matches directories
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    path: Vec<GlobMatcher>,

    /// Of this template
    #[arg(long, value_name = "NAME")]
    template: Vec<OsString>,

    /// Extended into this PCR
    #[arg(long, value_name = "N")]
    pcr: Vec<u32>,

    /// Violations
    #[arg(long)]
    violations: bool,

    /// Checkpoints, truncations and changes of settings
    #[arg(long)]
    checkpoints: bool,

    /// From record A, and before record B; either may be left out [counted from 0]
    #[arg(long, value_name = "A..B", value_parser = range)]
    records: Option<Range<u64>>,
}

impl Filter {
    /// Is this record shown?
    pub fn admits(&self, entry: &Entry<'_>) -> bool {
        let record = &entry.record;
        let name = record.event_name().unwrap_or_default();
        let is = |bytes: &[u8], wanted: &OsString| wanted.as_bytes() == bytes;
        any(&self.event_name, |wanted| is(name, wanted))
            && any(&self.path, |glob| glob.is_match(OsStr::from_bytes(name)))
            && any(&self.template, |wanted| is(record.template_name(), wanted))
            && any(&self.pcr, |pcr| *pcr == record.pcr())
            && (!self.violations || record.is_violation())
            && any(self.records.as_slice(), |range| {
                range.contains(&entry.at.record)
            })
            && (!self.checkpoints || !matches!(own_record(record), Ok(None)))
    }

    /// Will no record from this one on be shown?
    pub fn ends_before(&self, record: u64) -> bool {
        self.records
            .as_ref()
            .is_some_and(|range| range.end <= record)
    }
}

fn any<T>(wanted: &[T], matches: impl FnMut(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(matches)
}

fn glob(pattern: &str) -> Result<GlobMatcher, globset::Error> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build()?;
    Ok(glob.compile_matcher())
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str, default| match text {
        "" => Ok(default),
        text => text
            .parse()
            .map_err(|_| format!("{text:?} is not the number of a record")),
    };
    let Some((first, end)) = text.split_once("..") else {
        return Err("expected two numbers with .. between them, as in 100..200".into());
    };
    let range = number(first, 0)?..number(end, u64::MAX)?;
    if range.is_empty() {
        return Err("the range is empty".into());
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Position;
    use clap::Parser;
    use ima_checkpoint_format::{
        record::{NewRecord, Record},
        ByteOrder, Error,
    };

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        filter: Filter,
    }

    /// Do these options admit record 7 of PCR 10 with this name?
    fn admits(options: &[&str], name: &[u8], digest: &[u8]) -> Result<bool, Error> {
        let line = ["test"].iter().chain(options);
        let filter = Line::try_parse_from(line)
            .map_err(|_| Error::BadLabel)?
            .filter;
        let new = NewRecord {
            pcr: 10,
            digest,
            template_name: b"ima-ng",
            fields: [b"sha1:\0D".as_slice(), name].into_iter(),
            order: ByteOrder::Little,
        };
        let mut raw = vec![0; new.encoded_len()?];
        new.encode(&mut raw)?;
        let (record, _) = Record::parse(&raw, 20, ByteOrder::Little)?;
        let at = Position {
            record: 7,
            offset: 700,
        };
        let raw = raw.as_slice();
        Ok(filter.admits(&Entry { at, record, raw }))
    }

    #[test]
    fn each_option() -> Result<(), Error> {
        let name = b"/usr/bin/\xff\0".as_slice();
        for (options, admitted) in [
            (&[][..], true),
            (&["--path", "/usr/**"], true),
            (&["--path", "/usr/*"], false),
            (&["--path", "/usr/bin/?"], true),
            (&["--path", "/etc/*", "--path", "/usr/*/*"], true),
            (&["--event-name", "/usr/bin/"], false),
            (&["--template", "ima-ng"], true),
            (&["--template", "ima-sig"], false),
            (&["--pcr", "10", "--pcr", "11"], true),
            (&["--pcr", "11"], false),
            (&["--violations"], false),
            (&["--records", "7..8"], true),
            (&["--records", "8.."], false),
            (&["--records", "..7"], false),
            (&["--checkpoints"], false),
            (&["--pcr", "10", "--template", "ima-sig"], false),
        ] {
            assert_eq!(admits(options, name, &[1; 20])?, admitted, "{options:?}");
        }
        assert!(admits(&["--violations"], name, &[0; 20])?);
        assert!(admits(&["--event-name", "a b"], b"a b\0", &[1; 20])?);
        // what has the name of a checkpoint and is none is the more interesting
        assert!(admits(&["--checkpoints"], b".ima/checkpoint\0", &[1; 20])?);
        Ok(())
    }

    #[test]
    fn refused() {
        for text in ["", "1", "a..b", "2..1", "1..1", "-1..2"] {
            assert!(range(text).is_err(), "{text}");
        }
        assert!(glob("[").is_err());
        assert_eq!(range(".."), Ok(0..u64::MAX));
    }
}
