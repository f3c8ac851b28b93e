//! Depthwise convolutions while training, and their gradients.

use super::super::lazy::Lazy;
use super::super::step::{Memory, Place};
use super::blocks::{self, ForwardSums, InputGrad, Part, WeightGrad, blocks, operand, part_of};
use crate::Pool;
use crate::kernels::gradient::{DepthwiseBlock, depthwise_input_grad, depthwise_weight_grad, load, seen_by};
use crate::kernels::{self, DepthwiseWeights, Epilogue, Out, Window};
use crate::simd::Isa;
use std::ops::Range;

/// Floats of scratch memory that a block of rows aims at, whose borders are computed twice: 384 KB.
const ROWS: usize = 96 << 10;
/// Channels of a block of rows on the way back: two vectors of the widest instruction set.
const SLICE: usize = 32;

/// A depthwise convolution.
pub(in super::super) struct Depthwise {
    pub(in super::super) window: Window,
    pub(in super::super) x: Lazy,
    pub(in super::super) weight: Place,
    pub(in super::super) packed: DepthwiseWeights,
    pub(in super::super) sums: Option<ForwardSums>,
}

/// The input rows that output `rows` of a picture see.
fn seen(w: &Window, rows: &Range<usize>) -> Range<usize> {
    let reach = (w.kernel[0].max(1) - 1) * w.dilation[0];
    let first = (rows.start * w.stride[0]).saturating_sub(w.pad[0]).min(w.input[0]);
    let end = ((rows.end.max(1) - 1) * w.stride[0] + reach + 1).saturating_sub(w.pad[0]).min(w.input[0]);
    first..end.max(first)
}

impl Depthwise {
    /// Output rows of a block.
    fn block(&self) -> usize {
        let w = &self.window;
        let line = w.input[1] * self.packed.channels();
        let rows = (ROWS / line.max(1)).saturating_sub((w.kernel[0].max(1) - 1) * w.dilation[0]) / w.stride[0];
        // Of almost equal size, a picture a block at the most.
        let blocks = w.output[0].div_ceil(rows.max(1)).max(1);
        w.output[0].div_ceil(blocks).max(1)
    }

    fn blocks(&self) -> usize {
        self.window.output[0].div_ceil(self.block())
    }

    fn rows(&self, task: usize) -> Range<usize> {
        let first = task % self.blocks() * self.block();
        first..self.window.output[0].min(first + self.block())
    }

    pub(in super::super) fn parts(&self) -> usize {
        self.window.batch * self.blocks()
    }

    /// Pixels of each task.
    pub(in super::super) fn counts(&self) -> Vec<usize> {
        (0..self.parts()).map(|task| self.rows(task).len() * self.window.output[1]).collect()
    }

    pub(in super::super) fn reads(&self) -> Vec<Option<Place>> {
        [&self.x.reads()[..], &[Some(self.weight)]].concat()
    }

    pub(in super::super) fn scratch(&self) -> usize {
        let w = &self.window;
        let rows = (self.block() - 1) * w.stride[0] + (w.kernel[0].max(1) - 1) * w.dilation[0] + 1;
        rows.min(w.input[0]) * w.input[1] * self.packed.channels()
    }

    pub(in super::super) fn run(&mut self, memory: &Memory<'_>, out: Out<'_>, pool: &Pool, isa: Isa) {
        self.packed.repack(memory.read(self.weight));
        let (w, c) = (self.window, self.packed.channels());
        let x = self.x.of(memory, c);
        pool.run(self.parts(), &|task, thread| {
            let (picture, rows) = (task / self.blocks(), self.rows(task));
            let read = seen(&w, &rows);
            let line = |row: usize| (picture * w.input[0] + row) * w.input[1];
            let x = operand(isa, &x, &(line(read.start)..line(read.end)), memory.scratch(thread));
            // The block as a picture of its own, whose upper padding is what is left of it.
            let pad = (w.pad[0] + read.start).saturating_sub(rows.start * w.stride[0]);
            let window = Window {
                batch: 1,
                input: [read.len(), w.input[1]],
                output: [rows.len(), w.output[1]],
                pad: [pad, w.pad[1]],
                ..w
            };
            let depthwise = kernels::Depthwise { window, x, weights: &self.packed, epilogue: Epilogue::default() };
            let pixel = |row: usize| (picture * w.output[0] + row) * w.output[1];
            let range = pixel(rows.start) * c..pixel(rows.end) * c;
            // SAFETY: blocks of rows are disjoint.
            unsafe { kernels::depthwise(&depthwise, out.slice(range.clone()), 0..rows.len(), 0..c) };
            if let Some(sums) = self.sums {
                // SAFETY: this task has just written these pixels, and nobody else does.
                unsafe { sums.add(isa, memory, task, c, out.slice_mut(range), 0) };
            }
        });
    }
}

/// The gradients of a depthwise convolution.
pub(in super::super) struct DepthwiseGrad {
    pub(in super::super) window: Window,
    pub(in super::super) channels: usize,
    pub(in super::super) dy: Lazy,
    /// The input, and where partial gradients of the taps go.
    pub(in super::super) weight: Option<WeightGrad>,
    pub(in super::super) input: Option<InputGrad<DepthwiseWeights>>,
}

impl DepthwiseGrad {
    /// Tasks: pictures.
    pub(in super::super) fn parts(&self) -> usize {
        self.window.batch
    }

    pub(in super::super) fn reads(&self) -> Vec<Option<Place>> {
        blocks::reads(&self.dy, self.weight.as_ref(), self.input.as_ref())
    }

    pub(in super::super) fn writes(&self) -> Vec<usize> {
        blocks::writes(self.weight.as_ref(), self.input.as_ref())
    }

    /// Input rows of a block.
    fn block(&self) -> usize {
        let w = &self.window;
        let rows = (ROWS / (2 * w.input[1] * SLICE).max(1)).max(1);
        w.input[0].div_ceil(w.input[0].div_ceil(rows).max(1)).max(1)
    }

    /// Floats of the blocks of dy and of x.
    fn sizes(&self) -> [usize; 2] {
        let w = &self.window;
        let rows = (self.block() + (w.kernel[0].max(1) - 1) * w.dilation[0]).div_ceil(w.stride[0]) + 1;
        [rows * w.output[1] * SLICE, self.block() * w.input[1] * SLICE]
    }

    pub(in super::super) fn scratch(&self) -> usize {
        self.sizes().iter().sum()
    }

    pub(in super::super) fn run(&mut self, memory: &Memory<'_>, pool: &Pool, isa: Isa) {
        if let Some(input) = &mut self.input {
            input.packed.repack(memory.read(input.weight));
        }
        let (w, c) = (self.window, self.channels);
        pool.run(w.batch, &|picture, thread| {
            let (for_dy, for_x) = memory.scratch(thread).split_at_mut(self.sizes()[0]);
            if let Some((_, slot)) = self.weight {
                let taps = w.kernel[0] * w.kernel[1] * c;
                // SAFETY: the partial gradients of different pictures are disjoint.
                unsafe { part_of(memory.write(slot), picture, taps) }.fill(0.0);
            }
            for rows in blocks(0..w.input[0], self.block()) {
                for first in (0..c).step_by(SLICE) {
                    let columns = first..c.min(first + SLICE);
                    let grad = DepthwiseBlock {
                        window: w,
                        channels: c,
                        picture,
                        columns: columns.clone(),
                        gradient: self.gradient(memory, isa, picture, &rows, &columns, for_dy),
                        stride: SLICE,
                        rows: rows.clone(),
                    };
                    self.block_grads(memory, isa, &grad, for_x);
                }
            }
        });
    }

    /// The gradient of the output where these input rows are seen.
    fn gradient<'a>(
        &self,
        memory: &Memory<'_>,
        isa: Isa,
        picture: usize,
        rows: &Range<usize>,
        columns: &Range<usize>,
        scratch: &'a mut [f32],
    ) -> &'a [f32] {
        let (w, seen) = (&self.window, seen_by(&self.window, rows));
        let pixel = |row: usize| (picture * w.output[0] + row) * w.output[1];
        let pixels = pixel(seen.start)..pixel(seen.end);
        load(isa, &self.dy.of(memory, self.channels), pixels, columns.clone(), scratch, SLICE);
        scratch
    }

    fn block_grads(&self, memory: &Memory<'_>, isa: Isa, grad: &DepthwiseBlock<'_>, for_x: &mut [f32]) {
        let (w, c, picture) = (&self.window, self.channels, grad.picture);
        let pixel = |row: usize| (picture * w.input[0] + row) * w.input[1];
        let (pixels, columns) = (pixel(grad.rows.start)..pixel(grad.rows.end), grad.columns.clone());
        if let Some((x, slot)) = &self.weight {
            load(isa, &x.of(memory, c), pixels.clone(), columns.clone(), for_x, SLICE);
            // SAFETY: the partial gradients of different pictures are disjoint.
            let sums = unsafe { part_of(memory.write(*slot), picture, w.kernel[0] * w.kernel[1] * c) };
            depthwise_weight_grad(isa, grad, for_x, sums);
        }
        if let Some(input) = &self.input {
            // SAFETY: pictures are disjoint.
            unsafe { depthwise_input_grad(isa, grad, input.packed.taps(), memory.write(input.slot)) };
            if let Some(sums) = &input.sums {
                let block = Part { task: picture, first: grad.rows.start == 0, pixels, columns };
                sums.add(isa, memory, c, block, for_x, SLICE);
            }
        }
    }
}
