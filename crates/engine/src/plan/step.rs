//! One step of a plan: a kernel, and where its operands lie.
//!
//! All kinds of steps that are no
//! more than a call of a kernel stand here side by side, which makes the file long; those with a plan of their own have files.

use super::bottleneck::Bottleneck;
use super::conv::Conv;
use super::memory::Memory;
use super::recurrent::{Recurrent, RecurrentGrad};
use super::tasks::{ELEMENTS, GRAIN, TILE, each, fill, grid, in_parts, part, product_grid, product_tasks, tasks};
use super::training::Training;
use super::winograd::Winograd;
use crate::Pool;
use crate::kernels::{
    self, Activation, BinaryOp, DepthwiseWeights, Epilogue, Layout, Out, PackedB, Panel, PoolKind, Window,
};
use crate::simd::Isa;
use std::sync::Arc;

/// Where an operand lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// A slot of the arena.
    Slot(usize),
    /// A constant of the plan.
    Constant(usize),
    /// An input of the graph.
    Input(usize),
}

/// Bias, residual and activation of a product.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    pub(super) bias: Option<Place>,
    pub(super) residual: Option<Place>,
    pub(super) activation: Activation,
}

impl Tail {
    /// The operands of a product of `x`, with another one if it has that.
    pub(super) fn reads(&self, x: Place, other: Option<Place>) -> Vec<Place> {
        [Some(x), other, self.bias, self.residual].into_iter().flatten().collect()
    }
}

/// Elements of A that stay in a cache while panels of B that move are packed and multiplied one after the other.
const MULTIPLIED_AT_ONCE: usize = 64 << 10;

/// What a step computes, and from what.
pub(super) enum Kernel {
    /// A convolution, and the maximum of its result where only that is wanted.
    Conv(Conv),
    /// A convolution with one filter a channel; `fresh` weights, known only at run time, are packed anew.
    Depthwise { window: Window, x: Place, weights: Arc<DepthwiseWeights>, fresh: Option<Place>, tail: Tail },
    /// A product with a constant matrix.
    Gemm { m: usize, x: Place, weights: Arc<PackedB>, tail: Tail },
    /// Products whose right side is known only at run time: offsets into a, b and the output for each.
    MatMul {
        m: usize,
        a: Place,
        lda: usize,
        b: Place,
        b_strides: [usize; 2],
        offsets: Vec<[usize; 3]>,
        packed: PackedB,
    },
    /// A maximum or an average.
    Pool { window: Window, kind: PoolKind, channels: usize, x: Place },
    /// Arithmetic with broadcasting, as [`kernels::Binary`] does it.
    Binary { op: BinaryOp, a: Place, b: Place, dims: Vec<usize>, a_strides: Vec<usize>, b_strides: Vec<usize> },
    /// A function of one number.
    Activate { activation: Activation, x: Place },
    /// Softmax over runs of `n`.
    Softmax { n: usize, x: Place },
    /// Layer normalisation of rows of `n`.
    LayerNorm { n: usize, x: Place, scale: Place, bias: Option<Place>, epsilon: f32 },
    /// Bytes to floats: a factor and a summand for each channel.
    Normalize { x: Place, scale: Vec<f32>, shift: Vec<f32> },
    /// Moves elements: for each axis of the output, in memory order, the offsets into `x`, or `OUTSIDE` for the filling.
    Gather { x: Place, tables: Vec<Vec<usize>>, fill: f32, strides: Vec<usize>, offset: usize },
    /// Of each of `outer` tables of `size` rows of `inner`, the rows that the integers name.
    Lookup { x: Place, ids: Place, outer: usize, size: usize, inner: usize },
    /// Of each of the blocks of `size` rows of `inner` that follow each other, weighted sums of some rows.
    Mix { x: Place, size: usize, inner: usize, terms: Vec<Vec<(usize, f32)>> },
    /// The transposes of `batch` matrices m × n, whose rows are `row` apart: pictures from channels-first to channels-last, or back.
    Transpose { x: Place, batch: usize, m: usize, n: usize, row: usize },
    /// A 3×3 convolution of stride 1 with fewer multiplications.
    Winograd(Winograd),
    /// Expand → depthwise → project.
    Bottleneck(Bottleneck),
    /// A recurrent layer.
    Recurrent(Box<Recurrent>),
    /// Its way back.
    RecurrentGrad(Box<RecurrentGrad>),
    /// What only learning needs.
    Training(Training),
}

/// An entry of a gather's table that stands for an element outside of the input.
pub(super) const OUTSIDE: usize = usize::MAX;

/// A kernel and where its result goes.
pub(super) struct Step {
    /// The graph's node that it stands for.
    pub(super) node: String,
    /// That node's operator.
    pub(super) op: &'static str,
    pub(super) kernel: Kernel,
    /// The slot written.
    pub(super) output: usize,
    /// Of a convolution or activation that writes some columns of the slot only: the first, and how many the slot has.
    pub(super) columns: Option<[usize; 2]>,
}

impl Kernel {
    /// The operands.
    pub(super) fn reads(&self) -> Vec<Place> {
        match self {
            Self::Conv(Conv { x, fresh, tail, .. }) | Self::Depthwise { x, fresh, tail, .. } => tail.reads(*x, *fresh),
            Self::Gemm { x, tail, .. } => tail.reads(*x, None),
            Self::MatMul { a, b, .. } | Self::Binary { a, b, .. } | Self::Lookup { x: a, ids: b, .. } => vec![*a, *b],
            Self::LayerNorm { x, scale, bias, .. } => [Some(*x), Some(*scale), *bias].into_iter().flatten().collect(),
            Self::Pool { x, .. }
            | Self::Mix { x, .. }
            | Self::Activate { x, .. }
            | Self::Softmax { x, .. }
            | Self::Normalize { x, .. }
            | Self::Gather { x, .. }
            | Self::Transpose { x, .. } => vec![*x],
            Self::Winograd(winograd) => winograd.reads(),
            Self::Bottleneck(bottleneck) => bottleneck.reads(),
            Self::Recurrent(step) => step.reads(),
            Self::RecurrentGrad(step) => step.reads(),
            Self::Training(training) => training.reads(),
        }
    }

    /// The slots written beside the step's output.
    pub(super) fn writes(&self) -> Vec<usize> {
        match self {
            Self::Recurrent(step) => step.writes(),
            Self::RecurrentGrad(step) => step.writes(),
            Self::Training(training) => training.writes(),
            _ => Vec::new(),
        }
    }

    /// Floats of scratch memory that each thread needs.
    pub(super) fn scratch(&self) -> usize {
        match self {
            Self::Conv(conv) => conv.scratch(),
            Self::Winograd(winograd) => winograd.scratch(),
            Self::Bottleneck(bottleneck) => bottleneck.scratch(),
            Self::Recurrent(step) => step.scratch(),
            Self::RecurrentGrad(step) => step.scratch(),
            Self::Training(training) => training.scratch(),
            _ => 0,
        }
    }
}

/// What a convolution with so many `outputs` writes of a slot, and the distance of the pixels there.
pub(super) fn part_of(out: Out<'_>, columns: Option<[usize; 2]>, outputs: usize) -> (Out<'_>, usize) {
    let [first, ldc] = columns.unwrap_or([0, outputs]);
    (out.slice(first..out.len()), ldc)
}

impl Step {
    /// An error says what the step cannot work with.
    pub(super) fn run(&mut self, memory: &Memory<'_>, pool: &Pool, isa: Isa) -> Result<(), String> {
        let out = memory.write(self.output);
        if out.is_empty() {
            return Ok(());
        }
        match &mut self.kernel {
            Kernel::Conv(conv) => conv.run(memory, out, self.columns, pool),
            Kernel::Depthwise { window, x, weights, fresh, tail } => {
                if let Some(place) = *fresh {
                    Arc::make_mut(weights).repack(memory.read(place));
                }
                let (rows, channels) = (window.rows(), weights.channels());
                let (across, down) = grid(rows, 4, channels, 64, tasks(out.len(), ELEMENTS));
                let (epilogue, x) = (memory.epilogue(tail), memory.read(*x));
                let depthwise = kernels::Depthwise { window: *window, x, weights, epilogue };
                pool.run(across * down, &|task, _| {
                    let (rows, channels) = (part(rows, 4, across, task / down), part(channels, 64, down, task % down));
                    // SAFETY: the parts of the grid are disjoint.
                    unsafe { kernels::depthwise(&depthwise, out, rows, channels) }
                });
            }
            Kernel::Gemm { m, x, weights, tail } => {
                let (a, epilogue) = (memory.read(*x), memory.epilogue(tail));
                let gemm = kernels::Gemm { m: *m, a, lda: weights.k(), b: weights, ldc: weights.n(), epilogue };
                run_gemm(&gemm, out, pool);
            }
            Kernel::MatMul { m, a, lda, b, b_strides, offsets, packed } => {
                let (a, b) = (memory.read(*a), memory.read(*b));
                let (k, n) = (packed.k(), packed.n());
                for &[a_offset, b_offset, offset] in offsets.iter() {
                    let len = m.checked_sub(1).map_or(0, |last| last * *lda + k);
                    let (a, b) = (&a[a_offset..a_offset + len], &b[b_offset..]);
                    let panels = packed.panels_mut(Layout::strided(*b_strides));
                    if *lda == k && (1..=MULTIPLIED_AT_ONCE).contains(&(*m * k)) {
                        let out = out.slice(offset..offset + *m * n);
                        // SAFETY: panels have columns of their own.
                        let multiply = |panel: &Panel<'_>| unsafe { panel.multiply(*m, a, out, n) };
                        each(pool, product_tasks(2 * a.len() * n), panels, |panel| {
                            panel.fill(b);
                            multiply(panel);
                        });
                        continue;
                    }
                    fill(pool, k * n, panels, |panel| panel.fill(b));
                    let gemm = kernels::Gemm { m: *m, a, lda: *lda, b: packed, ldc: n, epilogue: Epilogue::default() };
                    run_gemm(&gemm, out.slice(offset..offset + *m * n), pool);
                }
            }
            Kernel::Pool { window, kind, channels, x } => {
                let pool_args = kernels::Pool { window: *window, kind: *kind, channels: *channels, x: memory.read(*x) };
                let (pixels, taps) = (window.pixels(), window.kernel[0] * window.kernel[1]);
                let parts = tasks(out.len() * taps, 4 * ELEMENTS).min(pixels);
                pool.run(parts, &|task, _| {
                    // SAFETY: the parts are disjoint.
                    unsafe { kernels::pool(isa, &pool_args, out, part(pixels, 1, parts, task)) }
                });
            }
            Kernel::Binary { op, a, b, dims, a_strides, b_strides } => {
                let (a, b) = (memory.read(*a), memory.read(*b));
                let binary = kernels::Binary { op: *op, a, b, dims, a_strides, b_strides };
                let parts = tasks(out.len(), ELEMENTS);
                pool.run(parts, &|task, _| {
                    // SAFETY: the parts are disjoint.
                    unsafe { kernels::binary(isa, &binary, out, part(out.len(), 64, parts, task)) }
                });
            }
            Kernel::Activate { activation, x } => {
                let (x, parts) = (memory.read(*x), tasks(out.len(), ELEMENTS));
                let [first, wide] = self.columns.unwrap_or([0, 4096]);
                let n = self.columns.map_or(wide, |_| x.len() / (out.len() / wide));
                in_parts(pool, out, parts, wide, &|range, y| {
                    let rows = y.chunks_mut(wide).zip(x[range.start / wide * n..].chunks(n.max(1)));
                    rows.for_each(|(y, x)| kernels::activate(isa, *activation, x, &mut y[first..][..x.len()]));
                });
            }
            Kernel::Softmax { n, x } => {
                let (x, parts) = (memory.read(*x), tasks(out.len(), ELEMENTS).min(out.len() / *n));
                in_parts(pool, out, parts, *n, &|range, y| kernels::softmax(isa, *n, &x[range], y));
            }
            Kernel::LayerNorm { n, x, scale, bias, epsilon } => {
                let (n, x, scale, epsilon) = (*n, memory.read(*x), memory.read(*scale), *epsilon);
                let bias = bias.map(|bias| memory.read(bias));
                in_parts(pool, out, tasks(out.len(), ELEMENTS), n, &|range, y| {
                    kernels::layer_norm(isa, &kernels::LayerNorm { n, x: &x[range], scale, epsilon }, bias, y);
                });
            }
            Kernel::Normalize { x, scale, shift } => {
                let x = memory.bytes(*x);
                let normalize = |range, y: &mut [f32]| kernels::normalize_u8(isa, &x[range], scale, shift, y);
                in_parts(pool, out, tasks(out.len(), 4 * ELEMENTS), scale.len(), &normalize);
            }
            Kernel::Gather { x, tables, fill, strides, offset } => {
                let (x, out) = (memory.read(*x), out.slice(*offset..out.len()));
                let rows: usize = tables[..tables.len() - 1].iter().map(Vec::len).product();
                let parts = tasks(rows * tables[tables.len() - 1].len(), ELEMENTS).min(rows.max(1));
                pool.run(parts, &|task, _| {
                    for row in part(rows, 1, parts, task) {
                        gather_row(x, tables, *fill, strides, row, out);
                    }
                });
            }
            Kernel::Lookup { x, ids, outer, size, inner } => {
                let (x, ids, size, inner) = (memory.read(*x), memory.input(*ids), *size, *inner);
                let count = out.len() / inner / *outer;
                in_parts(pool, out, tasks(out.len(), ELEMENTS), inner, &|range, y| {
                    for (row, y) in (range.start / inner..).zip(y.chunks_exact_mut(inner)) {
                        // Plans look at all integers before they run.
                        let entry = ids.entry(row % count, size).unwrap_or(0);
                        y.copy_from_slice(&x[(row / count * size + entry) * inner..][..inner]);
                    }
                });
            }
            Kernel::Mix { x, size, inner, terms } => {
                let (x, size, inner) = (memory.read(*x), *size, *inner);
                in_parts(pool, out, tasks(out.len(), ELEMENTS), inner, &|range, y| {
                    for (row, y) in (range.start / inner..).zip(y.chunks_exact_mut(inner)) {
                        let block = &x[row / terms.len() * size * inner..][..size * inner];
                        y.fill(0.0);
                        for &(i, weight) in &terms[row % terms.len()] {
                            y.iter_mut().zip(&block[i * inner..]).for_each(|(y, x)| *y += weight * x);
                        }
                    }
                });
            }
            Kernel::Transpose { x, batch, m, n, row } => {
                let (x, batch, m, n, row) = (memory.read(*x), *batch, *m, *n, *row);
                let parts = tasks(m * n, ELEMENTS).min(n);
                pool.run(batch * parts, &|task, _| {
                    let (i, rows) = (task / parts, part(n, 16, parts, task % parts));
                    // SAFETY: the parts are disjoint.
                    let y = unsafe { out.slice_mut((i * n + rows.start) * row..(i * n + rows.end) * row) };
                    kernels::transpose(isa, [m, n], &x[i * m * n..(i + 1) * m * n], rows, y, row);
                });
            }
            Kernel::Winograd(winograd) => {
                let (out, ldc) = part_of(out, self.columns, winograd.weights.outputs());
                winograd.run(memory, out, ldc, pool);
            }
            Kernel::Bottleneck(bottleneck) => bottleneck.run(memory, out, pool),
            Kernel::Recurrent(step) => step.run(memory, out, pool, isa),
            Kernel::RecurrentGrad(step) => step.run(memory, out, pool, isa),
            Kernel::Training(training) => training.run(memory, out, pool, isa)?,
        }
        Ok(())
    }
}

pub(super) fn run_gemm(gemm: &kernels::Gemm<'_>, out: Out<'_>, pool: &Pool) {
    let (m, panels) = (gemm.m, gemm.b.panels());
    // Of few rows, reading the weights is the work.
    let work = (2 * out.len() * gemm.b.k()).max(GRAIN / ELEMENTS / 4 * gemm.b.k() * gemm.b.n());
    let (across, down) = product_grid(m, panels, product_tasks(work), false);
    pool.run(across * down, &|task, _| {
        let (rows, columns) = (part(m, TILE, across, task / down), part(panels, 1, down, task % down));
        // SAFETY: the parts of the grid are disjoint.
        unsafe { kernels::gemm(gemm, out, rows, columns) }
    });
}

/// The offset of the `i`th entry of a grid of axes with (size, stride), counted in row-major order.
pub(super) fn offset_of(axes: &[[usize; 2]], mut i: usize) -> usize {
    let mut offset = 0;
    for &[size, stride] in axes.iter().rev() {
        offset += i % size * stride;
        i /= size;
    }
    offset
}

/// Writes one run along the last axis of a gather's output.
fn gather_row(x: &[f32], tables: &[Vec<usize>], fill: f32, strides: &[usize], mut row: usize, out: Out<'_>) {
    let (mut from, mut to) = (Some(0), 0);
    let last = tables.len() - 1;
    for axis in (0..last).rev() {
        let i = row % tables[axis].len();
        row /= tables[axis].len();
        to += i * strides[axis];
        from = from.filter(|_| tables[axis][i] != OUTSIDE).map(|sum| sum + tables[axis][i]);
    }
    let table = &tables[last];
    // SAFETY: rows of different index lie apart in the output.
    let y = unsafe { out.slice_mut(to..to + table.len()) };
    let (Some(from), Some(&first)) = (from, table.first()) else { return y.fill(fill) };
    if first != OUTSIDE && table.iter().zip(first..).all(|(&t, expected)| t == expected) {
        y.copy_from_slice(&x[from + first..][..table.len()]);
    } else {
        y.iter_mut().zip(table).for_each(|(y, &t)| *y = if t == OUTSIDE { fill } else { x[from + t] });
    }
}
