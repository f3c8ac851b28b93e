//! One step of a plan: a kernel, where its operands lie, and how its work is cut into tasks.
//!
//! Tasks are cut by the size of the work alone, so a plan computes the same bits at any number of threads. All kinds of steps that are no
//! more than a call of a kernel stand here side by side, which makes the file long; those with a plan of their own have files.

use super::bottleneck::Bottleneck;
use super::conv::Conv;
use super::recurrent::{Recurrent, RecurrentGrad};
use super::training::Training;
use super::winograd::Winograd;
use crate::Pool;
use crate::kernels::{self, Activation, BinaryOp, DepthwiseWeights, Epilogue, Layout, Out, PackedB, PoolKind, Window};
use crate::simd::{AlignedBuf, Isa};
use percept_graph::DType;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

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

/// What a step computes, and from what.
pub(super) enum Kernel {
    /// A convolution, and the maximum of its result where only that is wanted.
    Conv(Conv),
    /// A convolution with one filter a channel; `fresh` weights, known only at run time, are packed anew.
    Depthwise { window: Window, x: Place, weights: Arc<DepthwiseWeights>, fresh: Option<Place>, tail: Tail },
    /// A product with a constant matrix.
    Gemm { m: usize, x: Place, weights: Arc<PackedB>, tail: Tail },
    /// Products whose right side is known only at run time: offsets into a, b and the output for each.
    MatMul { m: usize, a: Place, b: Place, b_strides: [usize; 2], offsets: Vec<[usize; 3]>, packed: PackedB },
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
    /// The transposes of `batch` matrices m × n: pictures from channels-first to channels-last, or back.
    Transpose { x: Place, batch: usize, m: usize, n: usize },
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
    fn bytes(&self, place: Place) -> &[u8] {
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

/// The `i`th of `parts` almost equal parts of `0..total`, cut at multiples of `unit`.
pub(super) fn part(total: usize, unit: usize, parts: usize, i: usize) -> Range<usize> {
    let units = total.div_ceil(unit);
    let at = |i: usize| (units * i / parts * unit).min(total);
    at(i)..at(i + 1)
}

/// How many tasks `work` is worth, `grain` being enough for one.
pub(super) fn tasks(work: usize, grain: usize) -> usize {
    (work / grain).clamp(1, 96)
}

/// How many tasks a product of so many floating-point operations is worth: a small one few, so that a small network keeps some threads busy.
pub(super) fn product_tasks(flops: usize) -> usize {
    tasks(flops, GRAIN).max((flops / FINE).min(FEW))
}

/// Floating-point operations that are worth a task: some tens of microseconds.
pub(super) const GRAIN: usize = 4_000_000;
/// Floating-point operations that are worth one of a few tasks: more than it costs to hand it to another thread.
const FINE: usize = 400_000;
/// Tasks that keep a few threads busy.
const FEW: usize = 4;
/// Rows of the register tile of products.
pub(super) const TILE: usize = 14;
/// Elements of memory traffic that are worth a task.
pub(super) const ELEMENTS: usize = 16_384;

/// Cuts a grid of `rows` (at multiples of `row_unit`) and `columns` into about `wish` parts, along the rows first.
///
/// More than two parts along the rows are a multiple of four, and many parts along the columns as many as there are units, so that a few
/// threads get equally many.
pub(super) fn grid(rows: usize, row_unit: usize, columns: usize, column_unit: usize, wish: usize) -> (usize, usize) {
    let even = if wish > 2 { wish.next_multiple_of(4) } else { wish };
    let row_parts = even.min(rows.div_ceil(row_unit)).max(1);
    let units = columns.div_ceil(column_unit).max(1);
    let column_parts = (wish / row_parts).clamp(1, units);
    (row_parts, if column_parts > 1 && 2 * column_parts > units { units } else { column_parts })
}

/// Cuts a product of `rows` and `panels` into about `wish` parts: how many along the rows, of [`TILE`] rows, and along the panels.
///
/// Panels of weights pass by for each part along the rows, so these are some tiles unless the product is small; with `copies`, input is copied for each
/// part along the panels, so these are few.
pub(super) fn product_grid(rows: usize, panels: usize, wish: usize, copies: bool) -> (usize, usize) {
    let unit = if wish > FEW { 4 * TILE } else { TILE };
    let (across, down) = grid(rows, unit, panels, 1, wish);
    (across, if copies { down.min(FEW.div_ceil(across)) } else { down })
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
            Kernel::MatMul { m, a, b, b_strides, offsets, packed } => {
                let (a, b) = (memory.read(*a), memory.read(*b));
                let (k, n) = (packed.k(), packed.n());
                for &[a_offset, b_offset, offset] in offsets.iter() {
                    let panels = packed.panels_mut(Layout::strided(*b_strides));
                    fill(pool, k * n, panels, |panel| panel.fill(&b[b_offset..]));
                    let a = &a[a_offset..a_offset + *m * k];
                    let gemm = kernels::Gemm { m: *m, a, lda: k, b: packed, ldc: n, epilogue: Epilogue::default() };
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
            Kernel::Transpose { x, batch, m, n } => {
                let (x, batch, m, n) = (memory.read(*x), *batch, *m, *n);
                let parts = tasks(m * n, ELEMENTS).min(n);
                pool.run(batch * parts, &|task, _| {
                    let (begin, rows) = (task / parts * m * n, part(n, 16, parts, task % parts));
                    // SAFETY: the parts are disjoint.
                    let y = unsafe { out.slice_mut(begin + rows.start * m..begin + rows.end * m) };
                    kernels::transpose([m, n], &x[begin..begin + m * n], rows, y);
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

/// Has the panels of packed weights of `len` floats filled anew.
pub(super) fn fill<P: Send>(pool: &Pool, len: usize, panels: impl Iterator<Item = P>, fill: impl Fn(&mut P) + Sync) {
    let panels: Vec<_> = panels.map(Mutex::new).collect();
    let parts = tasks(len, ELEMENTS).min(panels.len());
    pool.run(parts, &|task, _| {
        let part = &panels[part(panels.len(), 1, parts, task)];
        part.iter().for_each(|panel| fill(&mut panel.lock().unwrap_or_else(PoisonError::into_inner)));
    });
}

type Write<'a> = &'a (dyn Fn(Range<usize>, &mut [f32]) + Sync);

/// Has the elements of `out` written in so many parts, cut at multiples of `unit`: `write` gets a range and its elements.
pub(super) fn in_parts(pool: &Pool, out: Out<'_>, parts: usize, unit: usize, write: Write<'_>) {
    pool.run(parts, &|task, _| {
        let range = part(out.len(), unit, parts, task);
        // SAFETY: the parts are disjoint.
        write(range.clone(), unsafe { out.slice_mut(range) });
    });
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
