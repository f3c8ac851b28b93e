//! What a step may not touch, for AddressSanitizer (`--cfg percept_asan`, see `.ci/safety`), and may not leave as it is, in tests.
//!
//! Where a step's results go and in its scratch memory there is NaN before, so that a result that it forgets, or a sum that it does not begin
//! with zero, is seen. A release build does neither.
//!
//! One allocation holds all activations of a plan, so the sanitizer by itself does not see a kernel that runs over the end of an operand.
//! Here everything but the operands, the output and the scratch memory of the step that runs is forbidden, and slots lie apart.

use super::memory::Memory;
use super::step::{Place, Step};
use crate::simd::forbid;
use std::collections::BTreeSet;

/// Floats between slots, and between the scratch memories of threads.
pub(super) const GAP: usize = if cfg!(percept_asan) { 64 } else { 0 };

/// The slots that steps write.
pub(super) fn written(steps: &[Step]) -> BTreeSet<usize> {
    steps.iter().flat_map(slots).collect()
}

fn slots(step: &Step) -> impl Iterator<Item = usize> {
    step.kernel.writes().into_iter().chain([step.output])
}

/// Leaves to a step what it names, without what was in it.
pub(super) fn around(memory: &Memory<'_>, step: &Step, written: &mut BTreeSet<usize>) {
    if cfg!(debug_assertions) {
        open(memory);
        forget(memory, step, written);
    }
    if !cfg!(percept_asan) {
        return;
    }
    all(memory, true);
    let read = step.kernel.reads().into_iter().filter_map(|place| match place {
        Place::Slot(slot) => Some(slot),
        _ => None,
    });
    for slot in read.chain(slots(step)) {
        let (offset, len) = memory.slots[slot];
        forbid(memory.arena.0.wrapping_add(offset), len, false);
    }
    let (start, len) = memory.scratch;
    for first in (0..len).step_by(memory.scratch_len.max(1)) {
        forbid(start.wrapping_add(first), step.kernel.scratch(), false);
    }
}

/// Several steps may write parts of one slot, so `written` says which slots hold something already.
fn forget(memory: &Memory<'_>, step: &Step, written: &mut BTreeSet<usize>) {
    for out in slots(step).filter(|&slot| written.insert(slot)).map(|slot| memory.write(slot)) {
        // SAFETY: no task of the step runs yet.
        unsafe { out.slice_mut(0..out.len()) }.fill(f32::NAN);
    }
    let (scratch, len) = memory.scratch;
    // SAFETY: likewise; it is one allocation of that length.
    unsafe { std::slice::from_raw_parts_mut(scratch, len) }.fill(f32::NAN);
}

/// Leaves everything to everyone.
pub(super) fn open(memory: &Memory<'_>) {
    all(memory, false);
}

fn all(memory: &Memory<'_>, forbidden: bool) {
    [memory.arena, memory.scratch].into_iter().for_each(|(start, len)| forbid(start, len, forbidden));
}

#[cfg(all(test, percept_asan))]
mod tests {
    use super::super::step::Kernel;
    use super::*;
    use crate::kernels::Activation;
    use crate::simd::AlignedBuf;

    unsafe extern "C" {
        fn __asan_address_is_poisoned(address: *const f32) -> i32;
    }

    #[test]
    fn a_step_is_left_what_it_names() {
        let slots = [(0, 5), (16, 5), (32, 5)];
        let (mut arena, mut scratch) = (AlignedBuf::zeroed(48), AlignedBuf::zeroed(32));
        let memory = Memory {
            arena: (arena.as_mut_ptr(), 48),
            slots: &slots,
            constants: &[],
            inputs: &[],
            scratch: (scratch.as_mut_ptr(), 32),
            scratch_len: 16,
        };
        // SAFETY: nothing is dereferenced.
        let forbidden = |start: *const f32, i: usize| unsafe { __asan_address_is_poisoned(start.wrapping_add(i)) != 0 };
        let kernel = Kernel::Activate { activation: Activation::Relu, x: Place::Slot(0) };
        let step = Step { node: String::new(), op: "Relu", kernel, output: 2, columns: None };
        around(&memory, &step, &mut BTreeSet::new());
        let free: Vec<_> = (0..48).filter(|&i| !forbidden(arena.as_ptr(), i)).collect();
        assert_eq!(free, [0, 1, 2, 3, 4, 32, 33, 34, 35, 36]);
        assert!((0..32).all(|i| forbidden(scratch.as_ptr(), i)));
        open(&memory);
        assert!((0..48).all(|i| !forbidden(arena.as_ptr(), i)));
        assert!(forbidden(AlignedBuf::zeroed(3).as_ptr(), 3), "the rest of a cache line");
    }
}
