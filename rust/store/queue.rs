// SPDX-License-Identifier: GPL-2.0

//! A queue in one piece of memory: what is taken from its front moves nothing.

use crate::memory::KVVec;
use kernel::prelude::*;

/// A queue.
///
/// # Invariants
///
/// The first `taken` places are empty, all others are full; there is a full one, or no place at
/// all.
pub(crate) struct Queue<T> {
    places: KVVec<Option<T>>,
    taken: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        // INVARIANT: There is no place.
        Self {
            places: KVVec::new(),
            taken: 0,
        }
    }
}

impl<T> Queue<T> {
    /// An empty queue with room for `count`. ENOMEM.
    pub(super) fn with_capacity(count: usize) -> Result<Self> {
        // INVARIANT: There is no place.
        Ok(Self {
            places: KVVec::with_capacity(count, GFP_KERNEL)?,
            taken: 0,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.taken
    }

    /// Number `at`, counted from the front.
    pub(super) fn get(&self, at: usize) -> Option<&T> {
        self.places.get(self.taken.checked_add(at)?)?.as_ref()
    }

    pub(super) fn first(&self) -> Option<&T> {
        self.get(0)
    }

    /// From number `skipped` on.
    pub(super) fn iter_from(&self, skipped: usize) -> impl Iterator<Item = &T> {
        let places = self.places.get(self.taken.saturating_add(skipped)..);
        places.unwrap_or_default().iter().flatten()
    }

    /// The last one that `is_before` what is looked for, as all before it are.
    pub(super) fn last_where(&self, is_before: impl Fn(&T) -> bool) -> Option<&T> {
        let full = self.places.get(self.taken..)?;
        let after = full.partition_point(|place| place.as_ref().is_some_and(&is_before));
        full.get(after.checked_sub(1)?)?.as_ref()
    }

    /// Tells whether there is room for another one. Allocates nothing.
    pub(super) fn has_room(&mut self) -> bool {
        if self.places.len() == self.places.capacity() {
            self.reuse();
        }
        self.places.len() < self.places.capacity()
    }

    /// Makes room for `count` more. ENOMEM.
    pub(super) fn reserve(&mut self, count: usize) -> Result {
        self.reuse();
        Ok(self.places.reserve(count, GFP_KERNEL)?)
    }

    /// Closes up if no more is moved than was taken, so that in the long run it costs no more than
    /// that did.
    fn reuse(&mut self) {
        if self.taken >= self.len() {
            self.places.retain(|place| place.is_some());
            // INVARIANT: Only the full places are left.
            self.taken = 0;
        }
    }

    /// Adds one after the others. ENOMEM if there is no room.
    pub(super) fn push(&mut self, item: T) -> Result {
        // INVARIANT: The new place is full, and the last.
        let pushed = self.places.push_within_capacity(Some(item));
        pushed.map_err(|_| ENOMEM)
    }

    /// Takes the first one.
    pub(super) fn pop(&mut self) -> Option<T> {
        let item = self.places.get_mut(self.taken)?.take();
        // INVARIANT: The place is empty now; if it was the last, there is none any more.
        self.taken += 1;
        if self.taken == self.places.len() {
            self.places.clear();
            self.taken = 0;
        }
        item
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kunit_tests(ima_checkpoint_queue)]
mod tests {
    use super::*;

    /// A queue of the numbers below `end`.
    fn numbers(end: u32) -> Result<Queue<u32>> {
        let mut queue = Queue::with_capacity(end as usize)?;
        for number in 0..end {
            queue.push(number)?;
        }
        Ok(queue)
    }

    /// Is `queue` the numbers from `first` up to `end`?
    fn holds(queue: &Queue<u32>, first: u32, end: u32) -> bool {
        let len = (end - first) as usize;
        queue.len() == len
            && queue.is_empty() == (len == 0)
            && queue.iter_from(0).copied().eq(first..end)
            && queue.iter_from(1).copied().eq((first..end).skip(1))
            && queue.first().copied() == (first..end).next()
            && (0..len).all(|at| queue.get(at).is_some_and(|n| *n == first + at as u32))
            && queue.get(len).is_none()
            && queue.get(usize::MAX).is_none()
            && queue.iter_from(usize::MAX).next().is_none()
            && (first..end).all(|n| queue.last_where(|other| *other <= n) == Some(&n))
            && queue.last_where(|_| false).is_none()
    }

    #[test]
    fn what_came_first_goes_first() -> Result {
        let mut queue = Queue::default();
        let (mut first, mut end) = (0, 0);
        assert!(queue.push(0).is_err() && queue.pop().is_none());
        for round in 0..100 {
            let more = round * 7 % 11;
            queue.reserve(more as usize)?;
            for _ in 0..more {
                queue.push(end)?;
                end += 1;
            }
            for _ in 0..round * 5 % 13 {
                let expected = (first < end).then_some(first);
                assert!(queue.pop() == expected);
                first += u32::from(expected.is_some());
            }
            assert!(holds(&queue, first, end));
        }
        assert!(end > 400);
        while first < end {
            assert!(queue.pop() == Some(first));
            first += 1;
        }
        assert!(holds(&queue, first, end) && queue.pop().is_none());
        Ok(())
    }

    #[test]
    fn taking_moves_nothing() -> Result {
        let mut queue = numbers(1000)?;
        let address = |queue: &Queue<u32>| queue.iter_from(0).last().map(core::ptr::from_ref);
        let last = address(&queue);
        for _ in 0..999 {
            queue.pop();
            assert!(address(&queue) == last);
        }
        Ok(())
    }

    #[test]
    fn places_are_used_again() -> Result {
        let mut queue = numbers(100)?;
        let capacity = queue.places.capacity();
        assert!(!queue.has_room() || capacity > 100);
        for number in 100..10_000 {
            queue.pop();
            if number >= 150 {
                // Half of the places are free, which is enough to do without memory.
                assert!(queue.has_room());
                queue.push(number - 50)?;
            }
        }
        assert!(holds(&queue, 9_900, 9_950));
        assert_eq!(queue.places.capacity(), capacity);
        Ok(())
    }
}
