//! Blocks of pixels while training: their operands, and the sums that the next normalisation needs.
//!
//! A task works block by block: operands are computed into scratch memory (see [`Lazy`]), multiplied there, and sums are taken while
//! the result is still in cache. So every large tensor is read as rarely as can be.

use super::super::lazy::Lazy;
use super::super::memory::Memory;
use super::super::step::Place;
use crate::kernels::Out;
use crate::kernels::gradient::{ChannelSums, Load, channel_sums, load};
use crate::simd::Isa;
use std::ops::Range;

/// Floats of scratch memory that a block of pixels aims at: 128 KB, a part of the L2 cache.
const BLOCK: usize = 32 << 10;

/// Pixels in a block, so that an operand of so many floats a pixel fits.
pub(super) fn block(floats: usize) -> usize {
    (BLOCK / floats.max(1) / 56 * 56).clamp(56, 448)
}

/// The blocks of a task.
pub(super) fn blocks(all: Range<usize>, block: usize) -> impl Iterator<Item = Range<usize>> {
    let end = all.end;
    all.step_by(block).map(move |first| first..end.min(first + block))
}

/// The pixels of an operand: where they are stored, or computed into scratch.
pub(super) fn operand<'a>(isa: Isa, x: &Load<'a>, pixels: &Range<usize>, scratch: &'a mut [f32]) -> &'a [f32] {
    let c = x.channels;
    if x.is_stored() {
        return &x.x[pixels.start * c..pixels.end * c];
    }
    load(isa, x, pixels.clone(), 0..c, scratch, c);
    &scratch[..pixels.len() * c]
}

/// Adds what came to `y`, the pixels of a task so far, from pixel `first` on, to partial sums for the normalisation of `y`: in `out` a list
/// for each task, of shift, sum and sum of squares of each of `c` channels.
///
/// # Safety
/// Nobody else reads or writes the list of that task.
pub(super) unsafe fn forward_sums(isa: Isa, out: Out<'_>, task: usize, c: usize, y: &[f32], first: usize) {
    // SAFETY: passed on from the caller.
    let (shift, sums) = unsafe { part_of(out, task, 3 * c) }.split_at_mut(c);
    if y.is_empty() {
        return;
    }
    if first == 0 {
        shift.copy_from_slice(&y[..c]);
        sums.fill(0.0);
    }
    let pixels = first..y.len() / c.max(1);
    channel_sums(isa, &ChannelSums { channels: c, x: y, pixels, columns: 0..c, gradient: None, shift }, sums);
}

/// Partial sums of a gradient for the normalisation that it goes to next, a list for each task: sums of the gradient, and of the gradient
/// times what was normalised less its mean.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct BackwardSums {
    /// Where they go.
    pub(in super::super) slot: usize,
    /// The normalisation's gradient, from what is stored on.
    pub(in super::super) gradient: Lazy,
    /// What was normalised.
    pub(in super::super) x: Place,
    pub(in super::super) mean: Place,
}

/// A part of a gradient that was just computed.
pub(super) struct Part {
    pub(super) task: usize,
    /// Whether it is the task's first in these channels.
    pub(super) first: bool,
    pub(super) pixels: Range<usize>,
    pub(super) columns: Range<usize>,
}

impl BackwardSums {
    pub(super) fn reads(&self) -> impl Iterator<Item = Place> {
        self.gradient.operands().chain([self.x, self.mean])
    }

    /// Adds a part to the list of its task; in `scratch`, pixels are `stride` apart.
    pub(super) fn add(&self, isa: Isa, memory: &Memory<'_>, part: Part, scratch: &mut [f32], stride: usize) {
        let (Part { task, first, pixels, columns }, c) = (part, self.gradient.channels);
        // SAFETY: lists of different tasks are disjoint.
        let sums = unsafe { part_of(memory.write(self.slot), task, 2 * c) };
        if first {
            [0, c].iter().for_each(|half| sums[half + columns.start..half + columns.end].fill(0.0));
        }
        load(isa, &self.gradient.of(memory), pixels.clone(), columns.clone(), scratch, stride);
        let (x, shift, gradient) = (memory.read(self.x), memory.read(self.mean), Some((&*scratch, stride)));
        channel_sums(isa, &ChannelSums { channels: c, x, pixels, columns, gradient, shift }, sums);
    }
}

/// A part of a buffer that is made of equal ones.
///
/// # Safety
/// As long as the slice lives, nobody else reads or writes that part.
pub(super) unsafe fn part_of<'a>(out: Out<'a>, part: usize, len: usize) -> &'a mut [f32] {
    // SAFETY: passed on from the caller.
    unsafe { out.slice_mut(part * len..(part + 1) * len) }
}
