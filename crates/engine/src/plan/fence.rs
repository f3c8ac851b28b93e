//! What a step may not touch, for AddressSanitizer (`--cfg percept_asan`, see `.ci/safety`); nothing otherwise.
//!
//! One allocation holds all activations of a plan, so the sanitizer by itself does not see a kernel that runs over the end of an operand.
//! Here everything but the operands, the output and the scratch memory of the step that runs is forbidden, and slots lie apart.

use super::step::{Place, Step};
use crate::simd::forbid;

/// Floats between slots, and between the scratch memories of threads.
pub(super) const GAP: usize = if cfg!(percept_asan) { 64 } else { 0 };

/// The memory of a plan.
pub(super) struct Fence<'a> {
    pub(super) arena: (*const f32, usize),
    /// Offset and length of each slot.
    pub(super) slots: &'a [(usize, usize)],
    pub(super) scratch: (*const f32, usize),
    /// Distance of the scratch memories of threads.
    pub(super) scratch_len: usize,
}

impl Fence<'_> {
    /// Leaves to a step what it names.
    pub(super) fn around(&self, step: &Step) {
        if !cfg!(percept_asan) {
            return;
        }
        [self.arena, self.scratch].into_iter().for_each(|(start, len)| forbid(start, len, true));
        let read = step.kernel.reads().into_iter().filter_map(|place| match place {
            Place::Slot(slot) => Some(slot),
            _ => None,
        });
        for slot in read.chain(step.kernel.writes()).chain([step.output]) {
            let (offset, len) = self.slots[slot];
            forbid(self.arena.0.wrapping_add(offset), len, false);
        }
        let (start, len) = self.scratch;
        for first in (0..len).step_by(self.scratch_len.max(1)) {
            forbid(start.wrapping_add(first), step.kernel.scratch(), false);
        }
    }

    /// Leaves everything to everyone.
    pub(super) fn open(&self) {
        [self.arena, self.scratch].into_iter().for_each(|(start, len)| forbid(start, len, false));
    }
}
