//! 1×1 convolutions while training, and their gradients.

use super::super::lazy::Lazy;
use super::super::step::{GRAIN, Memory, Place, part, tasks};
use super::blocks::{self, ForwardSums, InputGrad, Part, WeightGrad, block, blocks, operand, part_of};
use crate::Pool;
use crate::kernels::gradient::{Outer, SLACK, add_outer, load};
use crate::kernels::{self, Epilogue, Gemm, Out, PackedB};
use crate::simd::Isa;

/// A 1×1 convolution: `y[m × n] = x[m × k] · w`.
pub(in super::super) struct Pointwise {
    pub(in super::super) m: usize,
    pub(in super::super) x: Lazy,
    pub(in super::super) weight: Place,
    pub(in super::super) packed: PackedB,
    pub(in super::super) sums: Option<ForwardSums>,
}

impl Pointwise {
    pub(in super::super) fn parts(&self) -> usize {
        tasks(2 * self.m * self.packed.k() * self.packed.n(), GRAIN)
    }

    /// Pixels of each task.
    pub(in super::super) fn counts(&self) -> Vec<usize> {
        (0..self.parts()).map(|task| part(self.m, 56, self.parts(), task).len()).collect()
    }

    pub(in super::super) fn reads(&self) -> Vec<Option<Place>> {
        [&self.x.reads()[..], &[Some(self.weight)]].concat()
    }

    pub(in super::super) fn scratch(&self) -> usize {
        block(self.packed.k()) * self.packed.k()
    }

    pub(in super::super) fn run(&mut self, memory: &Memory<'_>, out: Out<'_>, pool: &Pool, isa: Isa) {
        let (k, n, parts) = (self.packed.k(), self.packed.n(), self.parts());
        self.packed.repack(memory.read(self.weight), [1, k]);
        let x = self.x.of(memory, k);
        pool.run(parts, &|task, thread| {
            let scratch = memory.scratch(thread);
            let all = part(self.m, 56, parts, task);
            for pixels in blocks(all.clone(), block(k)) {
                let a = operand(isa, &x, &pixels, scratch);
                let gemm = Gemm { m: pixels.len(), a, lda: k, b: &self.packed, ldc: n, epilogue: Epilogue::default() };
                let to = out.slice(pixels.start * n..pixels.end * n);
                // SAFETY: blocks of pixels are disjoint.
                unsafe { kernels::gemm(&gemm, to, 0..pixels.len(), 0..self.packed.panels()) };
                if let Some(sums) = self.sums {
                    // SAFETY: this task has just written these pixels, and nobody else does.
                    unsafe {
                        let y = out.slice_mut(all.start * n..pixels.end * n);
                        sums.add(isa, memory, task, n, y, pixels.start - all.start);
                    }
                }
            }
        });
    }
}

/// The gradients of a 1×1 convolution.
pub(in super::super) struct PointwiseGrad {
    pub(in super::super) m: usize,
    pub(in super::super) k: usize,
    pub(in super::super) n: usize,
    pub(in super::super) dy: Lazy,
    /// The input, and where partial gradients of the weight go.
    pub(in super::super) weight: Option<WeightGrad>,
    pub(in super::super) input: Option<InputGrad<PackedB>>,
}

impl PointwiseGrad {
    /// Tasks, each with a gradient of the weight of its own.
    pub(in super::super) fn parts(&self) -> usize {
        let most = ((4 << 20) / (self.k * self.n).max(1)).clamp(4, 32);
        tasks(2 * self.m * self.k * self.n, GRAIN).min(most)
    }

    pub(in super::super) fn reads(&self) -> Vec<Option<Place>> {
        blocks::reads(&self.dy, self.weight.as_ref(), self.input.as_ref())
    }

    pub(in super::super) fn writes(&self) -> Vec<usize> {
        blocks::writes(self.weight.as_ref(), self.input.as_ref())
    }

    fn block(&self) -> usize {
        block(self.n + 2 * self.k)
    }

    pub(in super::super) fn scratch(&self) -> usize {
        self.block() * (self.n + 2 * self.k) + 2 * SLACK
    }

    pub(in super::super) fn run(&mut self, memory: &Memory<'_>, pool: &Pool, isa: Isa) {
        if let Some(input) = &mut self.input {
            input.packed.repack(memory.read(input.weight), [self.k, 1]);
        }
        let parts = self.parts();
        pool.run(parts, &|task, thread| {
            let scratch = memory.scratch(thread);
            let (for_dy, scratch) = scratch.split_at_mut(self.block() * self.n + SLACK);
            let (for_x, for_sums) = scratch.split_at_mut(self.block() * self.k + SLACK);
            for (i, pixels) in blocks(part(self.m, 56, parts, task), self.block()).enumerate() {
                load(isa, &self.dy.of(memory, self.n), pixels.clone(), 0..self.n, for_dy, self.n);
                if let Some(input) = &self.input {
                    let block = Part { task, first: i == 0, pixels: pixels.clone(), columns: 0..self.k };
                    input.run(memory, isa, block, for_dy, for_sums);
                }
                if let Some((x, slot)) = &self.weight {
                    load(isa, &x.of(memory, self.k), pixels.clone(), 0..self.k, for_x, self.k);
                    // SAFETY: the partial gradients of different tasks are disjoint.
                    let sums = unsafe { part_of(memory.write(*slot), task, self.k * self.n) };
                    if i == 0 {
                        sums.fill(0.0);
                    }
                    add_outer(isa, &self.outer(pixels.len(), for_x, for_dy), sums);
                }
            }
        });
    }

    /// The wider side gives the columns, which are cut into vectors.
    fn outer<'a>(&self, samples: usize, x: &'a [f32], dy: &'a [f32]) -> Outer<'a> {
        let (k, n) = (self.k, self.n);
        match self.by_inputs() {
            true => Outer::dense(samples, x, k, dy, n),
            false => Outer::dense(samples, dy, n, x, k),
        }
    }

    /// Whether the rows of the weight's gradient are inputs.
    pub(in super::super) fn by_inputs(&self) -> bool {
        self.k < self.n
    }
}

impl InputGrad<PackedB> {
    /// Computes the gradient in a block of pixels.
    fn run(&self, memory: &Memory<'_>, isa: Isa, block: Part, dy: &[f32], scratch: &mut [f32]) {
        let (m, k, b) = (block.pixels.len(), self.packed.n(), &self.packed);
        let gemm = Gemm { m, a: dy, lda: b.k(), b, ldc: k, epilogue: Epilogue::default() };
        let out = memory.write(self.slot).slice(block.pixels.start * k..block.pixels.end * k);
        // SAFETY: blocks of pixels are disjoint.
        unsafe { kernels::gemm(&gemm, out, 0..m, 0..b.panels()) };
        if let Some(sums) = &self.sums {
            sums.add(isa, memory, k, block, scratch, k);
        }
    }
}
