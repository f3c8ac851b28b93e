//! Blocks of pixels while training: their operands, and the sums that the next normalisation needs.
//!
//! A task works block by block: operands are computed into scratch memory (see [`Lazy`]), multiplied there, and sums are taken while
//! the result is still in cache. So every large tensor is read as rarely as can be.

use super::super::lazy::Lazy;
use super::super::step::{Memory, Place};
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

/// Where a step leaves partial sums of its result for the normalisation that follows it, a list for each task: shift, sum and sum of
/// squares of each channel.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct ForwardSums {
    pub(in super::super) slot: usize,
}

impl ForwardSums {
    /// Adds to the list of a task what came to `y`, its pixels so far, from pixel `first` on.
    ///
    /// # Safety
    /// Nobody else reads or writes that list.
    pub(super) unsafe fn add(self, isa: Isa, memory: &Memory<'_>, task: usize, c: usize, y: &[f32], first: usize) {
        // SAFETY: passed on from the caller.
        unsafe { Self::put(isa, memory.write(self.slot), task, c, y, first) }
    }

    /// The same, with the lists of all tasks in `out`.
    ///
    /// # Safety
    /// As [`add`](Self::add).
    pub(super) unsafe fn put(isa: Isa, out: Out<'_>, task: usize, c: usize, y: &[f32], first: usize) {
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
}

/// Where a step leaves partial sums of its result, a gradient, for the normalisation that it goes to next, a list for each task: sums of
/// the gradient, and of the gradient times what was normalised.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct BackwardSums {
    pub(in super::super) slot: usize,
    /// The normalisation's gradient, from the step's result on.
    pub(in super::super) gradient: Lazy,
    /// What was normalised.
    pub(in super::super) x: Place,
    pub(in super::super) mean: Place,
}

/// The gradient of a convolution with respect to its input, beside or without that of its weight.
pub(in super::super) struct InputGrad<P> {
    pub(super) weight: Place,
    /// The weight, packed for the way back.
    pub(super) packed: P,
    /// Where the gradient goes.
    pub(super) slot: usize,
    pub(super) sums: Option<BackwardSums>,
}

/// The gradient of a convolution's weight: the convolution's input, and where partial gradients go.
pub(in super::super) type WeightGrad = (Lazy, usize);

/// What the gradients of a convolution are computed from.
pub(super) fn reads<P>(dy: &Lazy, weight: Option<&WeightGrad>, input: Option<&InputGrad<P>>) -> Vec<Option<Place>> {
    let mut all = dy.reads();
    all.extend(weight.iter().flat_map(|(x, _)| x.reads()));
    all.extend(input.iter().map(|input| Some(input.weight)));
    all.extend(input.iter().filter_map(|input| input.sums).flat_map(|sums| sums.reads()));
    all
}

/// The slots that they and their sums go to.
pub(super) fn writes<P>(weight: Option<&WeightGrad>, input: Option<&InputGrad<P>>) -> Vec<usize> {
    let sums = input.and_then(|input| input.sums).map(|sums| sums.slot);
    [weight.map(|(_, slot)| *slot), input.map(|input| input.slot), sums].into_iter().flatten().collect()
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
    pub(super) fn reads(&self) -> Vec<Option<Place>> {
        [&self.gradient.reads()[..], &[Some(self.x), Some(self.mean)]].concat()
    }

    /// Adds a part to the list of its task; in `scratch`, pixels are `stride` apart.
    pub(super) fn add(&self, isa: Isa, memory: &Memory<'_>, c: usize, part: Part, scratch: &mut [f32], stride: usize) {
        let Part { task, first, pixels, columns } = part;
        // SAFETY: lists of different tasks are disjoint.
        let sums = unsafe { part_of(memory.write(self.slot), task, 2 * c) };
        if first {
            [0, c].iter().for_each(|half| sums[half + columns.start..half + columns.end].fill(0.0));
        }
        load(isa, &self.gradient.of(memory, c), pixels.clone(), columns.clone(), scratch, stride);
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
