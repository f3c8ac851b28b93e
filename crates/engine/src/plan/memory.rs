//! The memory that the steps of a plan work on, and what is given for the inputs.

use super::step::{Place, Tail};
use crate::kernels::{Epilogue, Out};
use crate::simd::AlignedBuf;
use percept_graph::DType;
use std::ops::Range;
use std::sync::Arc;

/// What is given for an input of the graph.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Input<'a> {
    F32(&'a [f32]),
    U8(&'a [u8]),
    I32(&'a [i32]),
    I64(&'a [i64]),
}

impl Input<'_> {
    /// The type of its elements, and how many there are.
    pub(super) fn spec(&self) -> (DType, usize) {
        match self {
            Self::F32(data) => (DType::F32, data.len()),
            Self::U8(data) => (DType::U8, data.len()),
            Self::I32(data) => (DType::I32, data.len()),
            Self::I64(data) => (DType::I64, data.len()),
        }
    }

    /// Some of its elements.
    pub(super) fn slice(&self, range: Range<usize>) -> Self {
        match self {
            Self::F32(data) => Self::F32(&data[range]),
            Self::U8(data) => Self::U8(&data[range]),
            Self::I32(data) => Self::I32(&data[range]),
            Self::I64(data) => Self::I64(&data[range]),
        }
    }

    /// An element of integers.
    pub(super) fn integer(&self, i: usize) -> i64 {
        match self {
            Self::F32(_) => 0,
            Self::U8(data) => data[i].into(),
            Self::I32(data) => data[i].into(),
            Self::I64(data) => data[i],
        }
    }

    /// An element as an entry of so many, of which negative ones count from the end.
    pub(super) fn entry(&self, i: usize, size: usize) -> Option<usize> {
        entry(self.integer(i), size)
    }
}

/// The entry of so many that an integer names.
pub(super) fn entry(id: i64, size: usize) -> Option<usize> {
    let entry = if id < 0 { usize::try_from(id.checked_add_unsigned(size as u64)?) } else { usize::try_from(id) };
    entry.ok().filter(|&entry| entry < size)
}

/// The memory that steps work on.
pub(super) struct Memory<'a> {
    /// All activations.
    pub(super) arena: (*mut f32, usize),
    /// Offset and length of each slot.
    pub(super) slots: &'a [(usize, usize)],
    pub(super) constants: &'a [Arc<AlignedBuf>],
    pub(super) inputs: &'a [Input<'a>],
    /// Scratch memory, `scratch_len` floats for each thread.
    pub(super) scratch: (*mut f32, usize),
    pub(super) scratch_len: usize,
}

// SAFETY: the pointers are used as the arena's plan says: no two tasks of a step write the same element, and no slot is written
// while another that overlaps it is read; scratch memory is divided by thread.
unsafe impl Sync for Memory<'_> {}

impl Memory<'_> {
    pub(super) fn read(&self, place: Place) -> &[f32] {
        match place {
            Place::Slot(slot) => {
                let (offset, len) = self.slots[slot];
                // SAFETY: the slot lies inside the arena, which is zeroed, so initialised. `Lower::note` lets it live from the step that
                // writes it to the last that reads it, and `arena::place` puts nothing else there meanwhile: nobody writes it now.
                unsafe { std::slice::from_raw_parts(self.arena.0.add(offset), len) }
            }
            Place::Constant(i) => &self.constants[i],
            Place::Input(i) => match self.inputs[i] {
                Input::F32(data) => data,
                _ => &[],
            },
        }
    }

    /// An input as it was given, or a constant of integers.
    pub(super) fn input(&self, place: Place) -> Input<'_> {
        match place {
            Place::Input(i) => self.inputs[i],
            Place::Constant(i) => {
                let bits = &self.constants[i];
                // SAFETY: both types have 32 bits, and any bits are an i32.
                Input::I32(unsafe { std::slice::from_raw_parts(bits.as_ptr().cast(), bits.len()) })
            }
            Place::Slot(_) => Input::U8(&[]),
        }
    }

    /// An input of bytes.
    pub(super) fn bytes(&self, place: Place) -> &[u8] {
        if let Input::U8(data) = self.input(place) { data } else { &[] }
    }

    pub(super) fn write(&self, slot: usize) -> Out<'_> {
        let (offset, len) = self.slots[slot];
        // SAFETY: the slot lies inside the arena, and lives in this step: what else does lies elsewhere (`arena::place`). `Out` is
        // written through in `unsafe` blocks only, which say why their parts are disjoint.
        unsafe { Out::from_raw(self.arena.0.add(offset), len) }
    }

    pub(super) fn epilogue(&self, tail: &Tail) -> Epilogue<'_> {
        Epilogue {
            bias: tail.bias.map(|place| self.read(place)),
            residual: tail.residual.map(|place| self.read(place)),
            activation: tail.activation,
        }
    }

    /// The scratch memory of a thread.
    ///
    /// # Safety
    /// `thread` runs the task that asks, which asks once.
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn scratch(&self, thread: usize) -> &mut [f32] {
        // SAFETY: the plan that runs is borrowed exclusively; a thread runs one task of it at a time.
        unsafe { std::slice::from_raw_parts_mut(self.scratch.0.add(thread * self.scratch_len), self.scratch_len) }
    }
}
