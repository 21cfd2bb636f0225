// SPDX-License-Identifier: GPL-2.0

//! The picture of a log: its segments from left to right, a lane for each kind of event.
//!
//! It is made of numbers and of words that are written here; nothing of a list or an archive gets
//! into it as text. All that is told by a colour is told by a form too, and the table that follows
//! it says the same.

use super::show;
use ima_log::{
    report::audit::{Bin, Timeline},
    verify::verdict::Standing,
};
use svg::{
    node,
    node::element::{
        Circle, Definitions, Description, Group, Line, Path, Pattern, Rectangle, Text, Title,
    },
    Document, Node,
};

/// Sizes, in units of the picture: about a pixel of a wide screen.
const WIDTH: f64 = 960.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = 8.0;
const MAX_SLOT: f64 = 220.0;
const KERNELS: f64 = 6.0;
const BARS: f64 = 34.0;
const BASE: f64 = 154.0;
const QUOTES: f64 = 176.0;
const FREED: f64 = 200.0;
const PROOF: f64 = 216.0;
const BAND: f64 = 14.0;
const AXIS: f64 = 250.0;
const HEIGHT: f64 = 282.0;

/// Units of a label of the axis.
const LABEL: f64 = 84.0;

/// The picture of a log, the `number`th of the page.
pub(super) fn picture(timeline: &Timeline, number: usize) -> String {
    let slot = (WIDTH - LEFT - RIGHT) / timeline.bins.len().max(1) as f64;
    let drawing = Drawing {
        timeline,
        slot: slot.min(MAX_SLOT),
        number,
    };
    drawing.draw().to_string()
}

/// A small picture for the legend of that picture.
pub(super) fn swatch(kind: &str, number: usize) -> String {
    let mut document = Document::new()
        .set("viewBox", "0 0 20 14")
        .set("class", "swatch")
        .set("aria-hidden", "true")
        .set("focusable", "false");
    let area = |class: &str| area(1.0, 1.0, 18.0, 12.0, class);
    match kind {
        "proven" => document.append(area("proven")),
        "partial" => document.append(self::area(1.0, 7.0, 18.0, 6.0, "partial")),
        "violation" => {
            let dot = Circle::new().set("cx", 10).set("cy", 7).set("r", 3);
            document.append(dot.set("class", "violation"));
        }
        "claimed" => {
            // that of the picture
            let hatch = format!("url(#timeline-{number}-claimed)");
            document.append(area("claimed").set("fill", hatch));
        }
        "missing" => {
            document.append(area("missing"));
            document.append(cross(10.0, 7.0));
        }
        "broken" => {
            document.append(bolt(10.0, 7.0).set("transform", "scale(0.82) translate(2 1.5)"))
        }
        "quote" => document.append(quote(10.0, 7.0)),
        "freed" => document.append(freed(10.0, 7.0)),
        _ => document.append(area("bar")),
    }
    document.to_string()
}

struct Drawing<'a> {
    timeline: &'a Timeline,
    slot: f64,
    number: usize,
}

impl Drawing<'_> {
    /// Where a bin starts.
    fn x(&self, index: usize) -> f64 {
        LEFT + self.slot * index as f64
    }

    fn end(&self) -> f64 {
        self.x(self.timeline.bins.len())
    }

    /// Where a record is, by its place in the list.
    fn place(&self, place: u64) -> f64 {
        let bins = self.timeline.bins.iter().enumerate();
        let holding = bins.take_while(|(_, bin)| bin.place.0 <= place).last();
        let Some((index, bin)) = holding else {
            return LEFT;
        };
        let part = (place - bin.place.0) as f64 / bin.records.0.max(1) as f64;
        self.x(index) + self.slot * part.min(1.0)
    }

    fn id(&self, what: &str) -> String {
        format!("timeline-{}-{what}", self.number)
    }

    fn draw(&self) -> Document {
        let label = format!("{} {}", self.id("title"), self.id("desc"));
        let mut document = Document::new()
            .set("viewBox", format!("0 0 {WIDTH} {HEIGHT}"))
            .set("role", "img")
            .set("aria-labelledby", label)
            .set("class", "timeline");
        document.append(
            Title::new("The log from its first record to its last").set("id", self.id("title")),
        );
        let mut description = Description::new().set("id", self.id("desc"));
        description.append(node::Text::new(self.description()));
        document.append(description);
        let mut definitions = Definitions::new();
        definitions.append(pattern(&self.id("claimed"), "hatch"));
        document.append(definitions);
        for (y, name) in [
            (KERNELS + 11.0, "Kernel"),
            ((BARS + BASE) / 2.0, "Records"),
            (QUOTES + 4.0, "Quotes"),
            (FREED + 4.0, "Freed"),
            (PROOF + 11.0, "Proof"),
            (AXIS, "Segment"),
            (AXIS + 16.0, "Claimed time"),
        ] {
            document.append(Text::new(name).set("x", 0).set("y", y).set("class", "lane"));
        }
        document.append(line(LEFT, BASE, self.end(), BASE, "axis"));
        document.append(self.kernels());
        document.append(self.bars());
        document.append(self.proof());
        document.append(self.axis());
        document
    }

    /// What is seen, in words.
    fn description(&self) -> String {
        let bins = &self.timeline.bins;
        let sum = |of: fn(&Bin) -> u64| bins.iter().map(of).fold(0, u64::saturating_add);
        let (records, proven) = (sum(|bin| bin.records.0), sum(|bin| bin.proven.0));
        let partial = sum(|bin| bin.partial.0);
        let (missing, broken) = (sum(|bin| bin.missing.0), sum(|bin| bin.broken.0));
        format!(
            "{} segments with {} records, of which {} are proven, and {} from a start that \
             nobody vouches for. Missing segments: {}. Broken segments: {}. Truncations: {}. \
             The table that follows says the same.",
            show::count(sum(|bin| bin.segments.0)),
            show::count(records),
            show::count(proven),
            show::count(partial),
            show::count(missing),
            show::count(broken),
            show::count(sum(|bin| bin.truncations.0)),
        )
    }

    /// A bracket for each kernel.
    fn kernels(&self) -> Group {
        let bins = self.timeline.bins.iter().enumerate();
        let mut starts: Vec<(usize, u32)> = bins
            .filter_map(|(index, bin)| Some((index, bin.kernel?)))
            .collect();
        // the first checkpoint of a log is made by the kernel that began it
        match starts.first_mut() {
            Some((index, 0)) => *index = 0,
            Some((0, _)) => (),
            _ => starts.insert(0, (0, 0)),
        }
        let mut group = Group::new().set("class", "kernels");
        for (at, (index, generation)) in starts.iter().enumerate() {
            let next = starts.get(at + 1).map(|(index, _)| *index);
            let (from, to) = (self.x(*index), next.map_or(self.end(), |next| self.x(next)));
            let width = (to - from - 2.0).max(1.0);
            let class = if at % 2 == 0 {
                "kernel"
            } else {
                "kernel other"
            };
            group.append(area(from + 1.0, KERNELS, width, 16.0, class));
            let texts = match generation {
                0 => ["cold boot".to_owned(), "boot".to_owned(), String::new()],
                kexecs => [
                    format!("after kexec {kexecs}"),
                    format!("kexec {kexecs}"),
                    format!("k{kexecs}"),
                ],
            };
            let fitting = texts
                .into_iter()
                .find(|text| text.len() as f64 * 6.6 + 8.0 < width);
            if let Some(text) = fitting.filter(|text| !text.is_empty()) {
                group.append(
                    Text::new(text)
                        .set("x", from + width / 2.0)
                        .set("y", KERNELS + 12.0)
                        .set("class", "inside"),
                );
            }
        }
        group
    }

    fn bars(&self) -> Group {
        let most = self.timeline.bins.iter().map(|bin| bin.records.0).max();
        let most = most.unwrap_or(0).max(1) as f64;
        let mut group = Group::new();
        for (index, bin) in self.timeline.bins.iter().enumerate() {
            let (x, middle) = (self.x(index), self.x(index) + self.slot / 2.0);
            let height = (BASE - BARS) * bin.records.0 as f64 / most;
            let height = if bin.records.0 > 0 {
                height.max(2.0)
            } else {
                0.0
            };
            let pad = (self.slot * 0.12).min(4.0);
            group.append(area(
                x + pad,
                BASE - height,
                self.slot - 2.0 * pad,
                height,
                "bar",
            ));
            if bin.first.is_some_and(|first| first.0 > 0) {
                group.append(line(x, BASE, x, BASE + 6.0, "tick"));
            }
            if bin.missing.0 > 0 {
                let width = self.slot.clamp(6.0, 14.0);
                group.append(area(x - width / 2.0, BARS, width, BASE - BARS, "missing"));
                group.append(cross(x, (BARS + BASE) / 2.0));
            }
            if bin.broken.0 > 0 {
                group.append(bolt(middle, BASE - (height / 2.0).max(14.0)));
            }
            if bin.violations.0 > 0 {
                let dot = Circle::new().set("cx", middle).set("cy", BASE - 6.0);
                group.append(dot.set("r", 3).set("class", "violation"));
            }
            if bin.quotes.0 > 0 {
                group.append(quote(middle, QUOTES));
            }
            if bin.truncations.0 > 0 {
                group.append(freed(middle, FREED));
            }
        }
        group
    }

    /// Which records are proven: to scale within a bin.
    fn proof(&self) -> Group {
        let mut group = Group::new();
        for index in 0..self.timeline.bins.len() {
            let claimed = area(self.x(index), PROOF, self.slot, BAND, "claimed");
            group.append(claimed.set("fill", format!("url(#{})", self.id("claimed"))));
        }
        for one in &self.timeline.proven {
            let from = self.place(one.place.0);
            let width = self.place(one.place.0.saturating_add(one.records.0)) - from;
            // what rests on nothing is lower, and has another colour
            let (y, height, class) = match one.standing {
                Standing::Partial => (PROOF + BAND / 2.0, BAND / 2.0, "partial"),
                _ => (PROOF, BAND, "proven"),
            };
            group.append(area(from, y, width.max(1.0), height, class));
        }
        group
    }

    /// Numbers and times below, as many as there is room for.
    fn axis(&self) -> Group {
        let mut group = Group::new();
        let mut free = 0.0;
        let mut day = String::new();
        for (index, bin) in self.timeline.bins.iter().enumerate() {
            let x = self.x(index);
            if x < free || x + LABEL * 0.6 > WIDTH {
                continue;
            }
            free = x + LABEL.max(self.slot);
            group.append(line(x, PROOF + BAND, x, AXIS - 12.0, "tick"));
            if let Some(first) = bin.first {
                let text = Text::new(show::count(first.0)).set("x", x).set("y", AXIS);
                group.append(text.set("class", "label"));
            }
            if let Some(since) = bin.since_ns {
                // the day where it changes, else the time
                let (today, hour) = (show::day(since), show::hour(since));
                let text = if today == day { hour } else { today.clone() };
                day = today;
                let text = Text::new(text).set("x", x).set("y", AXIS + 16.0);
                group.append(text.set("class", "label"));
            }
        }
        group
    }
}

fn area(x: f64, y: f64, width: f64, height: f64, class: &str) -> Rectangle {
    Rectangle::new()
        .set("x", round(x))
        .set("y", round(y))
        .set("width", round(width.max(0.0)))
        .set("height", round(height))
        .set("class", class)
}

fn line(x1: f64, y1: f64, x2: f64, y2: f64, class: &str) -> Line {
    Line::new()
        .set("x1", round(x1))
        .set("y1", round(y1))
        .set("x2", round(x2))
        .set("y2", round(y2))
        .set("class", class)
}

fn path(data: String, class: &str) -> Path {
    Path::new().set("d", data).set("class", class)
}

/// A triangle: something that a TPM signed.
fn quote(x: f64, y: f64) -> Path {
    let (x, y) = (round(x), round(y));
    path(format!("M{x} {}l5.5 10h-11z", y - 5.0), "quote")
}

/// A diamond that is not filled: records that were freed.
fn freed(x: f64, y: f64) -> Path {
    let (x, y) = (round(x), round(y));
    path(format!("M{x} {}l5 5l-5 5l-5 -5z", y - 5.0), "freed")
}

/// A cross: what is not there.
fn cross(x: f64, y: f64) -> Path {
    let (x, y) = (round(x), round(y));
    path(format!("M{} {}l7 7m0 -7l-7 7", x - 3.5, y - 3.5), "cross")
}

/// A flash in a disc, so that it can be seen on a bar: what is broken.
fn bolt(x: f64, y: f64) -> Group {
    let (x, y) = (round(x), round(y));
    let disc = Circle::new().set("cx", x).set("cy", y).set("r", 8.5);
    let flash = format!("M{} {}l-5 7h4l-3 6l7 -8h-4l3 -5z", x + 1.0, y - 6.5);
    Group::new()
        .add(disc.set("class", "disc"))
        .add(path(flash, "bolt"))
}

fn pattern(id: &str, class: &str) -> Pattern {
    let mut pattern = Pattern::new()
        .set("id", id)
        .set("width", 6)
        .set("height", 6)
        .set("patternUnits", "userSpaceOnUse")
        .set("patternTransform", "rotate(45)");
    pattern.append(line(0.0, 0.0, 0.0, 6.0, class));
    pattern
}

/// To a hundredth, so that the picture is small.
fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
