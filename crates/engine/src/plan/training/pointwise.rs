//! 1×1 convolutions `y[m × n] = x[m × k] · w` while training, and their gradients.

use super::super::conv::Way;
use super::super::edge::plain;
use super::super::memory::Memory;
use super::super::tasks::{GRAIN, fill, part, tasks};
use super::blocks::{Part, block, blocks, forward_sums, operand, part_of};
use super::conv::{FusedConv, FusedConvGrad, Packed};
use crate::Pool;
use crate::kernels::gradient::{ConvShape, Outer, SLACK, add_outer, load};
use crate::kernels::{self, Epilogue, Gemm, Layout, Out, PackedB};
use crate::simd::Isa;

fn product(conv: &ConvShape) -> [usize; 3] {
    [conv.window.pixels(), conv.inputs, conv.outputs]
}

/// Pixels that are not divided further.
const UNIT: usize = 56;

/// Tasks, each with some of the pixels, because each leaves sums.
fn parts(conv: &ConvShape) -> usize {
    let units = conv.window.pixels().div_ceil(UNIT);
    tasks(2 * product(conv).iter().product::<usize>(), GRAIN).min(units.max(1))
}

/// Pixels of a block of both gradients.
fn grad_block(conv: &ConvShape) -> usize {
    block(conv.outputs + 2 * conv.inputs)
}

impl Packed for PackedB {
    fn pack(&mut self, weight: &[f32], way: Way, pool: &Pool) {
        let strides = if way == Way::Forward { [1, self.k()] } else { [self.n(), 1] };
        fill(pool, weight.len(), self.panels_mut(Layout::strided(strides)), |panel| panel.fill(weight));
    }

    fn counts(&self, conv: &ConvShape) -> Vec<usize> {
        let parts = parts(conv);
        (0..parts).map(|task| part(conv.window.pixels(), UNIT, parts, task).len()).collect()
    }

    fn scratch(&self, conv: &ConvShape) -> usize {
        block(conv.inputs) * conv.inputs
    }

    fn run(&self, step: &FusedConv, memory: &Memory<'_>, out: Out<'_>, pool: &Pool, isa: Isa) {
        let ([m, k, n], parts) = (product(&step.conv), parts(&step.conv));
        let x = step.x.of(memory);
        pool.run(parts, &|task, thread| {
            // SAFETY: of the thread that runs this task, and asked for once.
            let scratch = unsafe { memory.scratch(thread) };
            let all = part(m, UNIT, parts, task);
            for pixels in blocks(all.clone(), block(k)) {
                let a = operand(isa, &x, &pixels, scratch);
                let gemm = Gemm { m: pixels.len(), a, lda: k, b: self, ldc: n, epilogue: Epilogue::default() };
                let to = out.slice(pixels.start * n..pixels.end * n);
                // SAFETY: blocks of pixels are disjoint.
                unsafe { kernels::gemm(&gemm, to, 0..pixels.len(), 0..self.panels()) };
                if let Some(slot) = step.sums {
                    // SAFETY: this task has just written these pixels, and nobody else does, nor to its list.
                    unsafe {
                        let y = out.slice_mut(all.start * n..pixels.end * n);
                        forward_sums(isa, memory.write(slot), task, n, y, pixels.start - all.start);
                    }
                }
            }
        });
    }

    fn grad_parts(&self, conv: &ConvShape) -> usize {
        let most = ((4 << 20) / (conv.inputs * conv.outputs).max(1)).clamp(4, 32);
        parts(conv).min(most)
    }

    /// The wider side gives the columns, which are cut into vectors.
    fn grad_order(&self, conv: &ConvShape) -> Vec<usize> {
        if conv.inputs < conv.outputs { vec![1, 0, 2, 3] } else { plain(4) }
    }

    fn grad_scratch(&self, conv: &ConvShape) -> usize {
        grad_block(conv) * (conv.outputs + 2 * conv.inputs) + 2 * SLACK
    }

    fn run_grad(&self, step: &FusedConvGrad, memory: &Memory<'_>, pool: &Pool, isa: Isa) {
        let ([m, k, n], block, parts) = (product(&step.conv), grad_block(&step.conv), self.grad_parts(&step.conv));
        let dy = step.dy.of(memory);
        pool.run(parts, &|task, thread| {
            // SAFETY: of the thread that runs this task, and asked for once.
            let (for_dy, scratch) = unsafe { memory.scratch(thread) }.split_at_mut(block * n + SLACK);
            let (for_x, for_sums) = scratch.split_at_mut(block * k + SLACK);
            for (i, pixels) in blocks(part(m, UNIT, parts, task), block).enumerate() {
                load(isa, &dy, pixels.clone(), 0..n, for_dy, n);
                if let Some(input) = &step.input {
                    let epilogue = Epilogue::default();
                    let gemm = Gemm { m: pixels.len(), a: for_dy, lda: n, b: self, ldc: k, epilogue };
                    let out = memory.write(input.slot).slice(pixels.start * k..pixels.end * k);
                    // SAFETY: blocks of pixels are disjoint.
                    unsafe { kernels::gemm(&gemm, out, 0..pixels.len(), 0..self.panels()) };
                    if let Some(sums) = &input.sums {
                        let block = Part { task, first: i == 0, pixels: pixels.clone(), columns: 0..k };
                        sums.add(isa, memory, block, for_sums, k);
                    }
                }
                if let Some((x, slot)) = &step.weight {
                    load(isa, &x.of(memory), pixels.clone(), 0..k, for_x, k);
                    // SAFETY: the partial gradients of different tasks are disjoint.
                    let sums = unsafe { part_of(memory.write(*slot), task, k * n) };
                    if i == 0 {
                        sums.fill(0.0);
                    }
                    let outer = match k < n {
                        true => Outer::dense(pixels.len(), for_x, k, for_dy, n),
                        false => Outer::dense(pixels.len(), for_dy, n, for_x, k),
                    };
                    add_outer(isa, &outer, sums);
                }
            }
        });
    }
}
