// SPDX-License-Identifier: GPL-2.0

//! What to do so that the archive has the beginning of the active segment.

use super::{
    facts::{Facts, Relation},
    Step,
};

/// The next step, if there is one.
pub(in crate::archive) fn plan_tail(facts: &Facts) -> Option<Step> {
    let active = facts.active().filter(|active| active.records > 0)?;
    let seq = active.seq;
    match facts.archive.tails.get(&seq) {
        Some((_, Relation::Unread)) => Some(Step::CompareTail { seq }),
        Some((_, Relation::Other)) => Some(Step::ForkTail { seq }),
        Some((tail, Relation::All)) if tail.bytes == active.bytes => None,
        Some((_, Relation::All | Relation::Beginning)) | None => Some(Step::KeepTail { seq }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::plan::fixture::{facts, live, with_tail};

    #[test]
    fn each_relation() {
        let seq = 2;
        for (relation, step) in [
            (Relation::Unread, Some(Step::CompareTail { seq })),
            (Relation::Other, Some(Step::ForkTail { seq })),
            (Relation::Beginning, Some(Step::KeepTail { seq })),
            // the kernel has 100 bytes by now, the tail 50
            (Relation::All, Some(Step::KeepTail { seq })),
        ] {
            let mut facts = facts(live(2, 2), []);
            with_tail(&mut facts, 2, relation);
            assert_eq!(plan_tail(&facts), step);
        }
        let mut facts = facts(live(2, 2), []);
        assert_eq!(plan_tail(&facts), Some(Step::KeepTail { seq }));
        with_tail(&mut facts, 2, Relation::All);
        facts.kernel[0].segment.bytes = 50;
        assert_eq!(plan_tail(&facts), None);
    }

    #[test]
    fn nothing_to_keep() {
        let mut facts = facts(live(2, 2), []);
        facts.kernel[0].segment.records = 0;
        assert_eq!(plan_tail(&facts), None);
        facts.kernel.clear();
        assert_eq!(plan_tail(&facts), None);
    }
}
