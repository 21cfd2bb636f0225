// SPDX-License-Identifier: GPL-2.0

//! Any list in another view.

use super::{beyond, Output, Result, BUFFER};
use crate::{
    cli::ViewOption,
    detect::detect,
    error::Error,
    escape::Escaped,
    evidence::Evidence,
    records::{Position, Records},
    view::View,
};
use ima_log::verify::{self, Input};
use std::io::Write;

/// Writes what a view shows of a list, from record `from` on.
pub(super) fn convert(
    evidence: Evidence<'_>,
    written: ViewOption,
    view: View,
    from: u64,
    out: &mut Output<impl Write>,
) -> Result<()> {
    let mut at = Position::default();
    let mut shown = Vec::with_capacity(BUFFER);
    for input in evidence.inputs {
        let Input { name, bytes, .. } =
            input.map_err(verify::Error::Source).map_err(Error::from)?;
        let name = Escaped::new(&name).to_string();
        let order = written.byte_order.map(Into::into);
        let found = detect(bytes, written.view, order);
        let (layout, source) = found.map_err(|error| Error::io("read", &name, error))?;
        let mut records = Records::new(source, layout.bank.size(), layout.order, at);
        loop {
            let entry = match records.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(fault) => {
                    // what is before it is shown
                    out.write(&shown)?;
                    return Err(Error::from(fault).during(&name).into());
                }
            };
            if entry.at.record >= from {
                let converted = view.convert(&entry.record, entry.raw, layout, &mut shown);
                if let Err(untold) = converted {
                    out.write(&shown)?;
                    let record = format!("{name}: record {}", entry.at.record);
                    return Err(Error::from(untold).during(record).into());
                }
            }
            if shown.len() >= BUFFER / 2 {
                out.write(&shown)?;
                shown.clear();
            }
        }
        at = records.position();
    }
    out.write(&shown)?;
    match from > at.record {
        true => Err(beyond(from, at.record)),
        false => Ok(()),
    }
}
