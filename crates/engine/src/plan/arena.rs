//! Where activations lie in the one buffer that a plan allocates.
//!
//! A slot lives from the step that first writes it to the last step that reads it. Slots are placed in order of size, largest first,
//! each at the lowest place where it overlaps no slot that lives at the same time.

use super::fence::GAP;

/// Floats of a cache line: every slot begins on one.
const LINE: usize = 16;

/// A piece of the arena while it is being planned.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// Floats.
    pub(super) len: usize,
    /// The first step that writes it.
    pub(super) first: usize,
    /// The last step that reads it.
    pub(super) last: usize,
    /// Where it begins in the arena, in floats.
    pub(super) offset: usize,
}

/// Places all slots; gives back the arena's length in floats.
pub(super) fn place(slots: &mut [Slot]) -> usize {
    let mut order: Vec<usize> = (0..slots.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse((slots[i].len, slots[i].last - slots[i].first)));
    let mut placed: Vec<usize> = Vec::with_capacity(slots.len());
    let mut end = 0;
    for i in order {
        let slot = &slots[i];
        let alive = |&&j: &&usize| slots[j].first <= slot.last && slot.first <= slots[j].last;
        let mut offset = 0;
        // `placed` is sorted by offset, so the first gap that is wide enough is the lowest.
        for &j in placed.iter().filter(alive) {
            if slots[j].offset >= offset + slot.len + GAP {
                break;
            }
            offset = offset.max((slots[j].offset + slots[j].len + GAP).next_multiple_of(LINE));
        }
        slots[i].offset = offset;
        end = end.max(offset + slots[i].len);
        let at = placed.partition_point(|&j| slots[j].offset <= offset);
        placed.insert(at, i);
    }
    end
}

/// The most floats that live at one step: no arena can be smaller.
pub(super) fn least(slots: &[Slot]) -> usize {
    let mut changes: Vec<_> = slots.iter().flat_map(|s| [(s.first, false, s.len), (s.last, true, s.len)]).collect();
    // Of a step, what begins comes before what ends: a slot lives from its first step to the end of its last.
    changes.sort_unstable();
    let (mut live, mut most) = (0, 0);
    for (_, ends, len) in changes {
        live = if ends { live - len } else { live + len };
        most = most.max(live);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slots_alive_together_do_not_overlap(raw in prop::collection::vec((0usize..200, 0usize..20, 0usize..6), 0..40)) {
            let slot = |(len, first, steps)| Slot { len, first, last: first + steps, offset: 0 };
            let mut slots: Vec<_> = raw.into_iter().map(slot).collect();
            let end = place(&mut slots);
            let alive = |step| slots.iter().filter(|s| (s.first..=s.last).contains(&step)).map(|s| s.len).sum();
            prop_assert_eq!(least(&slots), (0..26).map(alive).max().unwrap_or(0usize));
            prop_assert!(end >= least(&slots));
            for (i, a) in slots.iter().enumerate() {
                prop_assert!(a.offset.is_multiple_of(LINE) && a.offset + a.len <= end);
                for b in &slots[i + 1..] {
                    let together = a.first <= b.last && b.first <= a.last;
                    let apart = a.offset + a.len <= b.offset || b.offset + b.len <= a.offset;
                    prop_assert!(!together || apart, "{a:?} {b:?}");
                }
            }
        }
    }
}
