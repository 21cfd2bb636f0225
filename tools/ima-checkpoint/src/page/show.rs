// SPDX-License-Identifier: GPL-2.0

//! Numbers, sizes and times for a person.

use ima_log::{
    report::{
        audit::{Bin, Stretch},
        Number,
    },
    verify::verdict::Standing,
};
use std::time::{Duration, UNIX_EPOCH};

/// A number with a comma between each three digits.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes with a decimal prefix.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"];
    let bytes = u128::from(bytes);
    let (mut scale, mut unit) = (1, 0);
    // what would be shown as 1000 is one of the next unit
    while 2 * bytes >= 1999 * scale && unit + 1 < UNITS.len() {
        scale *= 1000;
        unit += 1;
    }
    let rounded = |bytes: u128| (bytes + scale / 2) / scale;
    let name = UNITS.get(unit).copied().unwrap_or_default();
    match (unit, rounded(10 * bytes)) {
        (0, _) => format!("{bytes} {name}"),
        (_, tenths) if tenths >= 100 => format!("{} {name}", rounded(bytes)),
        (_, tenths) => format!("{}.{} {name}", tenths / 10, tenths % 10),
    }
}

/// Nanoseconds since 1970-01-01 00:00 UTC, to the minute.
pub(super) fn time(ns: Number) -> String {
    // 2^64 ns are in the year 2554, which both can show
    let time = UNIX_EPOCH + Duration::from_nanos(ns.0);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    let text = text.get(..16).unwrap_or_default().replace('T', " ");
    format!("{text} UTC")
}

/// The day of a time.
pub(super) fn day(ns: Number) -> String {
    time(ns).get(..10).unwrap_or_default().to_owned()
}

/// The hour and minute of a time.
pub(super) fn hour(ns: Number) -> String {
    time(ns).get(11..16).unwrap_or_default().to_owned()
}

/// Milliseconds as days and hours, hours and minutes, and so on.
pub(super) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, hours) = (seconds / 86400, seconds / 3600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {seconds} s"),
        (0, ..) => format!("{hours} h {minutes} min"),
        (days, ..) => format!("{} d {hours} h", count(days)),
    }
}

/// Numbers from the first to the last.
pub(super) fn range(first: u64, last: u64) -> String {
    match first == last {
        true => count(first),
        false => format!("{} to {}", count(first), count(last)),
    }
}

/// The end of a word of which there are so many.
pub(super) fn plural(number: u64) -> &'static str {
    match number {
        1 => "",
        _ => "s",
    }
}

/// What is proven of the records of a bin.
pub(super) fn proof(bin: &Bin) -> String {
    let of = |number: Number, text: &str| match number.0 {
        0 => None,
        all if all == bin.records.0 => Some(text.to_owned()),
        some => Some(format!("{} record{} {text}", count(some), plural(some))),
    };
    let proven = of(bin.proven, "proven");
    let partial = of(bin.partial, "proven from a start that nobody vouches for");
    let texts: Vec<String> = proven.into_iter().chain(partial).collect();
    match texts.is_empty() {
        true => "only claimed".to_owned(),
        false => texts.join(", "),
    }
}

/// What is proven of a log.
pub(super) fn stretches(proven: &[Stretch]) -> String {
    let texts: Vec<String> = proven
        .iter()
        .map(|one| {
            let records = range(one.first.0, one.last.0);
            let how = match one.standing {
                Standing::Accepted => ", from a checkpoint that was accepted",
                Standing::Partial => ", from a start that nobody vouches for",
                _ => "",
            };
            format!("record{} {records}{how}", plural(one.records.0))
        })
        .collect();
    match texts.is_empty() {
        true => "nothing".to_owned(),
        false => texts.join("; "),
    }
}

/// What happened in the segments of a bin.
pub(super) fn events(bin: &Bin) -> String {
    let some = |number: Number, word: &str| {
        let text = format!("{} {word}{}", count(number.0), plural(number.0));
        (number.0 > 0).then_some(text)
    };
    let kernel = bin.kernel.map(|generation| match generation {
        0 => "first kernel".to_owned(),
        kexecs => format!("kernel after kexec {kexecs}"),
    });
    let events = [
        some(bin.missing, "missing segment").map(|text| format!("{text} before")),
        kernel,
        some(bin.quotes, "quote"),
        some(bin.truncations, "truncation"),
        some(bin.violations, "violation"),
        some(bin.broken, "broken segment"),
    ];
    let events: Vec<String> = events.into_iter().flatten().collect();
    match events.is_empty() {
        true => "–".to_owned(),
        false => events.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (number, shown) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), shown);
        }
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(range(7, 7), "7");
        assert_eq!(range(0, 1000), "0 to 1,000");
    }

    #[test]
    fn sizes() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (1949, "1.9 kB"),
            (12_345, "12 kB"),
            (999_499, "999 kB"),
            (999_999, "1.0 MB"),
            (2_149_000_000, "2.1 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(size(bytes), shown, "{bytes}");
        }
    }

    #[test]
    fn times() {
        let ns = Number(1_800_000_000_000_000_000);
        assert_eq!(time(ns), "2027-01-15 08:00 UTC");
        assert_eq!(
            (day(ns), hour(ns)),
            ("2027-01-15".to_owned(), "08:00".to_owned())
        );
        assert_eq!(time(Number(0)), "1970-01-01 00:00 UTC");
        assert_eq!(time(Number(u64::MAX)), "2554-07-21 23:34 UTC");
        for (ms, shown) in [
            (999, "0 s"),
            (61_000, "1 min 1 s"),
            (7_260_000, "2 h 1 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(ms), shown);
        }
    }
}
