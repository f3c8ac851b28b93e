//! Depthwise convolutions while training, and their gradients.

use super::super::conv::Way;
use super::super::memory::Memory;
use super::blocks::{Part, blocks, forward_sums, operand, part_of};
use super::conv::{FusedConv, FusedConvGrad, Packed};
use crate::Pool;
use crate::kernels::gradient::{ConvShape, DepthwiseBlock, depthwise_input_grad, depthwise_weight_grad, load, seen_by};
use crate::kernels::{self, DepthwiseWeights, Epilogue, Out, Window};
use crate::simd::Isa;
use std::ops::Range;

/// Floats of scratch memory that a block of rows aims at, whose borders are computed twice: 384 KB.
const ROWS: usize = 96 << 10;
/// Channels of a block of rows on the way back: two vectors of the widest instruction set.
const SLICE: usize = 32;

/// `0..total` in blocks of almost equal size, `most` at the most.
fn even(total: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = total.div_ceil(most.max(1)).max(1);
    blocks(0..total, total.div_ceil(count).max(1))
}

/// The picture and the output rows of each task.
fn bands(conv: &ConvShape) -> Vec<(usize, Range<usize>)> {
    let w = &conv.window;
    let lines = ROWS / (w.input[1] * conv.inputs).max(1);
    let most = lines.saturating_sub((w.kernel[0].max(1) - 1) * w.dilation[0]) / w.stride[0];
    (0..w.batch).flat_map(|picture| even(w.output[0], most).map(move |rows| (picture, rows))).collect()
}

/// The blocks of input rows of a picture on the way back.
fn grad_rows(w: &Window) -> impl Iterator<Item = Range<usize>> {
    even(w.input[0], ROWS / (2 * w.input[1] * SLICE).max(1))
}

/// Floats of the block of the output's gradient that input rows see, at most.
fn gradient_len(w: &Window) -> usize {
    grad_rows(w).map(|rows| seen_by(w, &rows).len()).max().unwrap_or(0) * w.output[1] * SLICE
}

/// The pixels of some rows of a picture of so many rows and columns.
fn pixels(picture: usize, [height, width]: [usize; 2], rows: &Range<usize>) -> Range<usize> {
    (picture * height + rows.start) * width..(picture * height + rows.end) * width
}

impl Packed for DepthwiseWeights {
    fn pack(&mut self, weight: &[f32], _: Way, _: &Pool) {
        self.repack(weight);
    }

    fn counts(&self, conv: &ConvShape) -> Vec<usize> {
        bands(conv).iter().map(|(_, rows)| rows.len() * conv.window.output[1]).collect()
    }

    fn scratch(&self, conv: &ConvShape) -> usize {
        let lines = bands(conv).iter().map(|(_, rows)| conv.window.seen(rows).len()).max();
        lines.unwrap_or(0) * conv.window.input[1] * conv.inputs
    }

    fn run(&self, step: &FusedConv, memory: &Memory<'_>, out: Out<'_>, pool: &Pool, isa: Isa) {
        let (w, c, bands) = (step.conv.window, step.conv.inputs, bands(&step.conv));
        let x = step.x.of(memory);
        pool.run(bands.len(), &|task, thread| {
            let (picture, rows) = &bands[task];
            let read = w.seen(rows);
            // SAFETY: of the thread that runs this task, and asked for once.
            let scratch = unsafe { memory.scratch(thread) };
            let x = operand(isa, &x, &pixels(*picture, w.input, &read), scratch);
            // The block as a picture of its own, whose upper padding is what is left of it.
            let pad = (w.pad[0] + read.start).saturating_sub(rows.start * w.stride[0]);
            let (input, output) = ([read.len(), w.input[1]], [rows.len(), w.output[1]]);
            let window = Window { batch: 1, input, output, pad: [pad, w.pad[1]], ..w };
            let depthwise = kernels::Depthwise { window, x, weights: self, epilogue: Epilogue::default() };
            let to = pixels(*picture, w.output, rows);
            let range = to.start * c..to.end * c;
            // SAFETY: blocks of rows are disjoint.
            unsafe { kernels::depthwise(&depthwise, out.slice(range.clone()), 0..rows.len(), 0..c) };
            if let Some(slot) = step.sums {
                // SAFETY: this task has just written these pixels, and nobody else does, nor to its list.
                unsafe { forward_sums(isa, memory.write(slot), task, c, out.slice_mut(range), 0) };
            }
        });
    }

    /// One a picture.
    fn grad_parts(&self, conv: &ConvShape) -> usize {
        conv.window.batch
    }

    fn grad_order(&self, _: &ConvShape) -> Vec<usize> {
        vec![2, 3, 0, 1]
    }

    fn grad_scratch(&self, conv: &ConvShape) -> usize {
        let rows = grad_rows(&conv.window).map(|rows| rows.len()).max();
        gradient_len(&conv.window) + rows.unwrap_or(0) * conv.window.input[1] * SLICE
    }

    fn run_grad(&self, step: &FusedConvGrad, memory: &Memory<'_>, pool: &Pool, isa: Isa) {
        let (w, c) = (step.conv.window, step.conv.inputs);
        let (dy, dy_len) = (step.dy.of(memory), gradient_len(&w));
        pool.run(w.batch, &|picture, thread| {
            // SAFETY: of the thread that runs this task, and asked for once.
            let (for_dy, for_x) = unsafe { memory.scratch(thread) }.split_at_mut(dy_len);
            let mut weight = step.weight.map(|(x, slot)| {
                // SAFETY: the partial gradients of different pictures are disjoint.
                (x.of(memory), unsafe { part_of(memory.write(slot), picture, w.taps() * c) })
            });
            weight.iter_mut().for_each(|(_, sums)| sums.fill(0.0));
            for (rows, columns) in grad_rows(&w).flat_map(|rows| blocks(0..c, SLICE).map(move |c| (rows.clone(), c))) {
                let (from, seen) = (pixels(picture, w.input, &rows), pixels(picture, w.output, &seen_by(&w, &rows)));
                load(isa, &dy, seen, columns.clone(), for_dy, SLICE);
                let (channels, gradient) = (columns.clone(), &*for_dy);
                let block = DepthwiseBlock { window: w, channels: c, picture, rows, columns, gradient, stride: SLICE };
                if let Some((x, sums)) = &mut weight {
                    load(isa, x, from.clone(), channels.clone(), for_x, SLICE);
                    depthwise_weight_grad(isa, &block, for_x, sums);
                }
                let Some(input) = &step.input else { continue };
                // SAFETY: pictures are disjoint.
                unsafe { depthwise_input_grad(isa, &block, self.taps(), memory.write(input.slot)) };
                if let Some(sums) = &input.sums {
                    let part = Part { task: picture, first: block.rows.start == 0, pixels: from, columns: channels };
                    sums.add(isa, memory, part, for_x, SLICE);
                }
            }
        });
    }
}
