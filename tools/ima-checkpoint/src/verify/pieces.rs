// SPDX-License-Identifier: GPL-2.0

//! Cuts a list into segments: finds its checkpoints, without replaying anything.

use super::source::Source;
use crate::{
    bank::Bank,
    claim::Claim,
    detect::{
        self,
        Layout, //
    },
    outcome::{
        Error,
        Result, //
    },
    records::{
        Fault,
        Position,
        Records, //
    },
    segment::{
        recognise,
        Mark, //
    },
};
use ima_checkpoint_format::ByteOrder;
use std::io::{
    self,
    Read, //
};

/// What the user says of the layout of lists.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// The bank of their template digests.
    pub view: Option<Bank>,
    /// The order of the bytes in their numbers.
    pub order: Option<ByteOrder>,
}

/// A source, and where its records are in the list that all sources make up.
#[derive(Debug)]
pub struct Placed {
    /// The source.
    pub source: Source,
    /// The list before it.
    pub start: Position,
}

/// A segment, or the rest of one behind what could not be read.
#[derive(Debug)]
pub struct Piece {
    /// How its records are written.
    pub layout: Layout,
    /// Where it starts in the list.
    pub start: Position,
    /// The checkpoint that it starts with.
    pub head: Option<Claim>,
    /// Number of a source, the first byte in it, and how many; to its end if that is not known.
    spans: Vec<(usize, u64, Option<u64>)>,
}

/// What was found in a source, with positions in it.
struct Found {
    layout: Layout,
    heads: Vec<(Position, Claim)>,
    end: Position,
    /// Something behind the end is no record.
    faulty: bool,
}

impl Found {
    /// Of a source that has not one record.
    fn damaged(told: Told) -> Self {
        Self {
            layout: Layout {
                bank: told.view.unwrap_or(Bank::Sha1),
                order: told.order.unwrap_or(ByteOrder::Little),
            },
            heads: Vec::new(),
            end: Position::default(),
            faulty: true,
        }
    }
}

/// The list that sources make up.
#[derive(Debug)]
pub struct List {
    /// The sources in order.
    pub sources: Vec<Placed>,
    /// The pieces in order.
    pub pieces: Vec<Piece>,
    /// Where it ends.
    pub end: Position,
}

impl List {
    /// Puts sources one behind the other and cuts them into pieces.
    ///
    /// # Errors
    ///
    /// A source cannot be read; there is no record at all; a segment goes on in a source of another
    /// layout.
    pub fn cut(sources: Vec<Source>, told: Told, jobs: usize) -> Result<Self> {
        let found = super::parallel(jobs, &sources, |source| scan(source, told))?;
        let mut list = Self {
            sources: Vec::new(),
            pieces: Vec::new(),
            end: Position::default(),
        };
        let mut torn = true;
        for (source, found) in sources.into_iter().zip(found) {
            torn = list.add(source, found, torn)?;
        }
        if list.pieces.is_empty() {
            return Err(Error::usage(
                "the list is empty: there is nothing to verify",
            ));
        }
        Ok(list)
    }

    /// Adds a source. `torn`: what it starts with does not belong to the piece before. Returns
    /// whether that is so for the next one.
    fn add(&mut self, source: Source, found: Found, torn: bool) -> Result<bool> {
        let start = self.end;
        let place = |inner: Position| Position {
            record: start.record + inner.record,
            offset: start.offset + inner.offset,
        };
        let Found {
            layout,
            heads,
            end,
            faulty,
        } = found;
        if end == Position::default() && !faulty {
            return Ok(torn);
        }
        let number = self.sources.len();
        let mut from = Position::default();
        let mut head = None;
        let mut ends: Vec<_> = heads
            .into_iter()
            .map(|(at, head)| (at, Some(head)))
            .collect();
        ends.push((end, None));
        let last = ends.len() - 1;
        for (index, (to, next)) in ends.into_iter().enumerate() {
            let open = index == last && faulty;
            let length = (!open).then_some(to.offset - from.offset);
            let span = (number, from.offset, length);
            let before = self.pieces.last_mut().filter(|_| head.is_none() && !torn);
            if length == Some(0) {
                // the source starts with a checkpoint
            } else if let Some(piece) = before {
                if piece.layout != layout && end != Position::default() {
                    let text = format!(
                        "{} goes on with a segment of the file before, but in the view of another \
                         bank or byte order: give all of it in one",
                        source.name
                    );
                    return Err(Error::usage(text));
                }
                piece.spans.push(span);
            } else {
                self.pieces.push(Piece {
                    layout,
                    start: place(from),
                    head,
                    spans: vec![span],
                });
            }
            (from, head) = (to, next);
        }
        self.end = place(end);
        self.sources.push(Placed { source, start });
        Ok(faulty)
    }

    /// The source of a record, and where it is there.
    pub fn locate(&self, at: Position) -> (&str, Position) {
        let before = |placed: &&Placed| placed.start.record <= at.record;
        let holding = self.sources.iter().rfind(before);
        holding.map_or(("", at), |placed| {
            let inner = Position {
                record: at.record - placed.start.record,
                offset: at.offset.saturating_sub(placed.start.offset),
            };
            (&placed.source.name, inner)
        })
    }

    /// The bytes of a piece.
    ///
    /// # Errors
    ///
    /// A source cannot be opened.
    pub fn read(&self, piece: &Piece) -> Result<Box<dyn Read + Send + '_>> {
        let mut bytes: Box<dyn Read + Send> = Box::new(io::empty());
        for (number, offset, length) in &piece.spans {
            if let Some(placed) = self.sources.get(*number) {
                let more = placed.source.read_from(*offset)?;
                bytes = Box::new(bytes.chain(more.take(length.unwrap_or(u64::MAX))));
            }
        }
        Ok(bytes)
    }
}

/// Finds the checkpoints of a source.
fn scan(source: &Source, told: Told) -> Result<Found> {
    let bytes = source.read_from(0)?;
    let read_error = |error: io::Error| Error::io("read", &source.name, &error);
    let (layout, bytes) = match detect::detect(bytes, told.view, told.order) {
        // not the system but the content is at fault: said when it is examined
        Err(error) if error.raw_os_error().is_none() => return Ok(Found::damaged(told)),
        detected => detected.map_err(read_error)?,
    };
    let mut records = Records::new(bytes, layout.bank.size(), layout.order, Position::default());
    let mut heads = Vec::new();
    let faulty = loop {
        match records.next() {
            Ok(Some(entry)) => {
                // most are of another template, which need no closer look
                if entry.record.template_name() != b"ima-buf" {
                    continue;
                }
                if let Ok(Some(Mark::Checkpoint(claim))) = recognise(&entry.record) {
                    heads.push((entry.at, *claim));
                }
            }
            Ok(None) => break false,
            Err(Fault::Io(error)) if error.raw_os_error().is_some() => {
                return Err(read_error(error));
            }
            Err(_) => break true,
        }
    };
    Ok(Found {
        layout,
        heads,
        end: records.position(),
        faulty,
    })
}
