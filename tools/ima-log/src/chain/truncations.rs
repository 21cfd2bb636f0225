// SPDX-License-Identifier: GPL-2.0

//! What a truncation record says, as far as the list shows what it is about.

use super::Chain;
use crate::{replay::Place, verify::finding::Kind};
use ima_checkpoint_format::truncate::Truncation;

impl Chain<'_> {
    pub(super) fn truncation(&mut self, at: Place, truncation: &Truncation) {
        let seq = truncation.sequence;
        let wrong = self.wrong(truncation);
        let after_ns = self.head.as_deref().map(|head| head.header.wall_ns);
        self.outline
            .truncation(truncation, at.record, wrong.is_some(), after_ns);
        if let Some(wrong) = wrong {
            let text = format!("the truncation to checkpoint {seq} is not true: {wrong}");
            self.note(Kind::Truncation, at, text);
        }
        self.freed = Some(seq);
    }

    fn wrong(&self, truncation: &Truncation) -> Option<String> {
        let seq = truncation.sequence;
        if self.log_id.is_none() && self.is_tail() {
            // it is about what is not here
            return None;
        }
        if self.log_id.is_some_and(|id| id != truncation.log_id) {
            return Some("it belongs to another log".to_owned());
        }
        if seq > self.heads.newest() {
            return Some(format!("there is no checkpoint {seq} before it"));
        }
        let target = self.heads.get(seq);
        if target.is_some_and(|head| head.digest != truncation.digest) {
            return Some(format!("checkpoint {seq} has another digest"));
        }
        if self.freed.is_some_and(|freed| seq <= freed) {
            return Some(format!(
                "the list already started with a later checkpoint than {seq}"
            ));
        }
        let start = match self.freed {
            None => self.is_whole().then_some((0, 0)),
            Some(freed) => self.heads.get(freed).map(|head| (head.record, head.offset)),
        };
        let ((first, offset), target) = start.zip(target)?;
        let freed = (
            target.record.saturating_sub(first),
            target.offset.saturating_sub(offset),
        );
        let said = (truncation.records, truncation.bytes);
        (said != freed).then(|| {
            format!(
                "it says {} records, {} bytes, but there were {} records, {} bytes",
                said.0, said.1, freed.0, freed.1
            )
        })
    }
}
