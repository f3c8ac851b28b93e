//! The steps that only learning needs, and how their work is cut into tasks.

mod blocks;
mod conv;
mod depthwise;
mod input;
mod loss;
mod lower;
mod lower_conv;
mod planar;
mod pointwise;

use super::lazy::Lazy;
use super::memory::Memory;
use super::step::Place;
use super::tasks::{ELEMENTS, grid, in_parts, part, tasks};
use crate::Pool;
use crate::kernels::gradient::{self, ConvGrad, ConvShape, PoolGrad, conv_weight_grad};
use crate::kernels::{Activation, LayerNorm, Out, PoolKind, Window, layer_norm_grad};
use crate::simd::Isa;
use blocks::{BackwardSums, Part, forward_sums, part_of};
use conv::{FusedConv, FusedConvGrad};
use input::ConvInput;
pub(super) use input::Filters;
use loss::Loss;
use planar::{PlanarConv, PlanarWeight};

/// Pixels whose gradient is computed at once for its sums.
const BLOCK: usize = 64;

/// What a step computes; of several operands `from` says where they lie.
pub(super) enum Training {
    /// Stores what is computed on reading.
    Store(Lazy),
    /// Partial sums over pixels, a part after the other (see [`forward_sums`]).
    ForwardSums { channels: usize, x: Place, parts: usize },
    /// Partial sums of a gradient over pixels, a part after the other.
    BackwardSums { sums: BackwardSums, parts: usize },
    /// Mean and variance of each channel from partial sums over so many pixels each.
    Statistics { partial: Place, counts: Vec<usize> },
    /// `factor, 1, summand` of a batch normalisation by scale, bias, mean and variance: a summand of the whole tensor has the slope 1.
    Fold { from: [Place; 4], epsilon: f32 },
    /// The gradients of bias and scale from partial sums and the variance.
    ParameterGradients { from: [Place; 2], epsilon: f32 },
    /// `factor, slope, summand` of the gradient of a batch normalisation over so many pixels, 0 for fixed statistics, from the gradients of
    /// bias and scale, scale, mean and variance.
    FoldGradient { from: [Place; 4], epsilon: f32, pixels: usize },
    /// Gradient of a function of one number from x and the result's gradient.
    Activation { activation: Activation, from: [Place; 2] },
    /// Drops a share, from a seed that is an input and the dropout's key.
    Dropout { x: Place, seed: Place, ratio: f32, key: u64 },
    /// Gradient of softmax over runs of `n` from the result and its gradient.
    Softmax { n: usize, from: [Place; 2] },
    /// Sums of a loss over parts of its rows, and its gradient.
    Loss(Loss),
    /// Gradient of a convolution with respect to its input, or a transposed convolution; `fresh` weights, known only at run time, are packed anew.
    ConvInput(ConvInput),
    /// Partial gradients of a convolution with respect to its weight, from x and the result's gradient: over `parts` of the pixels, each in
    /// so many `slices` of the output channels.
    ConvWeight { conv: ConvShape, from: [Place; 2], parts: usize, slices: usize },
    /// A convolution of a few channels.
    PlanarConv(PlanarConv),
    /// Partial gradients of its filters.
    PlanarWeight(PlanarWeight),
    /// A 1×1 or depthwise convolution.
    FusedConv(FusedConv),
    /// Its gradients.
    FusedConvGrad(Box<FusedConvGrad>),
    /// The sums of each column of a matrix over so many parts of its rows, a part after the other, times a factor.
    ColumnSums { x: Place, columns: usize, parts: usize, factor: f32 },
    /// The sum of each row of `n`.
    RowSums { x: Place, n: usize },
    /// Gradients of a layer normalisation of rows of `n` from x, scale and the result's gradient: that of x goes to a slot, those of scale and bias are
    /// partial sums over so many parts of the rows, one after the other.
    LayerNorm { n: usize, from: [Place; 3], epsilon: f32, parts: usize, dx: usize },
    /// Gradient of a lookup: each row is added to that which its integer names, of `outer` tables of `size` rows of `inner`.
    Scatter { gradient: Place, ids: Place, outer: usize, size: usize, inner: usize },
    /// Gradient of a pooling.
    Pool { window: Window, kind: PoolKind, channels: usize, x: Option<Place>, gradient: Place },
}

/// Columns below which several rows are added as one.
const NARROW: usize = 32;

/// Adds the rows of `x`, of few columns, to `sums`.
fn narrow_sums(x: &[f32], sums: &mut [f32]) {
    let n = sums.len();
    let mut several = [0.0f32; 2 * NARROW];
    let several = &mut several[..2 * NARROW / n * n];
    for rows in x.chunks(several.len()) {
        several.iter_mut().zip(rows).for_each(|(sum, x)| *sum += x);
    }
    several.chunks_exact(n).for_each(|row| sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
}

impl Training {
    pub(super) fn reads(&self) -> Vec<Place> {
        match self {
            Self::Store(x) => x.operands().collect(),
            Self::BackwardSums { sums, .. } => sums.reads().collect(),
            Self::PlanarConv(step) => step.reads(),
            Self::PlanarWeight(step) => step.reads(),
            Self::FusedConv(step) => step.reads(),
            Self::FusedConvGrad(step) => step.reads(),
            Self::Loss(step) => step.reads(),
            Self::ForwardSums { x: from, .. }
            | Self::Statistics { partial: from, .. }
            | Self::Dropout { x: from, .. }
            | Self::RowSums { x: from, .. }
            | Self::ColumnSums { x: from, .. } => vec![*from],
            Self::ParameterGradients { from, .. }
            | Self::Activation { from, .. }
            | Self::Softmax { from, .. }
            | Self::ConvWeight { from, .. } => from.to_vec(),
            Self::LayerNorm { from, .. } => from.to_vec(),
            Self::Fold { from, .. } | Self::FoldGradient { from, .. } => from.to_vec(),
            Self::ConvInput(step) => step.reads(),
            Self::Scatter { gradient, ids, .. } => vec![*gradient, *ids],
            Self::Pool { x, gradient, .. } => x.iter().chain([gradient]).copied().collect(),
        }
    }

    /// The slots written, except for one that is the step's output.
    pub(super) fn writes(&self) -> Vec<usize> {
        match self {
            Self::FusedConv(step) => step.sums.into_iter().collect(),
            Self::FusedConvGrad(step) => step.writes(),
            Self::Loss(step) => step.writes(),
            Self::LayerNorm { dx, .. } => vec![*dx],
            _ => Vec::new(),
        }
    }

    /// Floats of scratch memory that each thread needs.
    pub(super) fn scratch(&self) -> usize {
        match self {
            Self::BackwardSums { sums, .. } => BLOCK * sums.gradient.channels,
            Self::FusedConv(step) => step.packed.scratch(&step.conv),
            Self::FusedConvGrad(step) => step.packed.grad_scratch(&step.conv),
            Self::Loss(step) => step.scratch(),
            Self::ConvInput(step) => step.scratch(),
            Self::PlanarConv(step) => step.scratch,
            Self::PlanarWeight(step) => step.scratch,
            Self::ConvWeight { conv, .. } => conv.scratch_len(),
            _ => 0,
        }
    }

    /// An error says which of the integers given as inputs makes no sense.
    pub(super) fn run(&mut self, memory: &Memory<'_>, out: Out<'_>, pool: &Pool, isa: Isa) -> Result<(), String> {
        let read = |place: Place| memory.read(place);
        // SAFETY: small results are written by this thread alone.
        let whole = || unsafe { out.slice_mut(0..out.len()) };
        match self {
            Self::Store(x) => {
                let (x, c) = (x.of(memory), x.channels);
                in_parts(pool, out, tasks(out.len(), ELEMENTS), c, &|range, to| {
                    gradient::load(isa, &x, range.start / c..range.end / c, 0..c, to, c);
                });
            }
            Self::ForwardSums { channels, x, parts } => {
                let (x, c, parts) = (read(*x), *channels, *parts);
                pool.run(parts, &|task, _| {
                    let pixels = part(x.len() / c, 1, parts, task);
                    // SAFETY: the parts are disjoint.
                    unsafe { forward_sums(isa, out, task, c, &x[pixels.start * c..pixels.end * c], 0) };
                });
            }
            Self::BackwardSums { sums, parts } => {
                whole().fill(0.0);
                let (c, parts) = (sums.gradient.channels, *parts);
                let all = read(sums.x).len() / c;
                pool.run(parts, &|task, thread| {
                    // SAFETY: of the thread that runs this task, and asked for once.
                    let scratch = unsafe { memory.scratch(thread) };
                    for pixels in blocks::blocks(part(all, 1, parts, task), BLOCK) {
                        sums.add(isa, memory, Part { task, first: false, pixels, columns: 0..c }, scratch, c);
                    }
                });
            }
            Self::FusedConv(step) => step.run(memory, out, pool, isa),
            Self::FusedConvGrad(step) => step.run(memory, pool, isa),
            Self::Loss(step) => return step.run(memory, out, pool, isa),
            Self::Statistics { partial, counts } => statistics(read(*partial), counts, whole()),
            Self::Fold { from, epsilon } => {
                let [scale, bias, mean, variance] = from.map(read);
                let (to, c) = (whole(), scale.len());
                for i in 0..c {
                    let factor = f64::from(scale[i]) / (f64::from(variance[i]) + f64::from(*epsilon)).sqrt();
                    to[i] = factor as f32;
                    to[c + i] = 1.0;
                    to[2 * c + i] = (f64::from(bias[i]) - f64::from(mean[i]) * factor) as f32;
                }
            }
            Self::ParameterGradients { from, epsilon } => {
                let ([partial, variance], to) = (from.map(read), whole());
                add_parts(partial, to);
                let (_, scale) = to.split_at_mut(to.len() / 2);
                for (slope, v) in scale.iter_mut().zip(variance) {
                    *slope = (f64::from(*slope) / (f64::from(*v) + f64::from(*epsilon)).sqrt()) as f32;
                }
            }
            Self::FoldGradient { from, epsilon, pixels } => {
                let [sums, scale, mean, variance] = from.map(read);
                let (to, c) = (whole(), scale.len());
                for i in 0..c {
                    let inverse = 1.0 / (f64::from(variance[i]) + f64::from(*epsilon)).sqrt();
                    let factor = f64::from(scale[i]) * inverse;
                    to[i] = factor as f32;
                    // Fixed statistics do not move with x, and leave the slope to a summand.
                    let share = if *pixels > 0 { 1.0 / *pixels as f64 } else { 0.0 };
                    let slope = -factor * inverse * f64::from(sums[c + i]) * share;
                    to[c + i] = if *pixels > 0 { slope as f32 } else { 1.0 };
                    to[2 * c + i] = (-factor * f64::from(sums[i]) * share - slope * f64::from(mean[i])) as f32;
                }
            }
            Self::Activation { activation, from } => {
                let [x, dy] = from.map(read);
                in_parts(pool, out, tasks(out.len(), ELEMENTS), 64, &|range, to| {
                    gradient::activation_grad(isa, *activation, &x[range.clone()], &dy[range], to);
                });
            }
            Self::Dropout { x, seed, ratio, key } => {
                let (x, seed) = (read(*x), gradient::dropout_seed(memory.input(*seed).integer(0), *key));
                in_parts(pool, out, tasks(out.len(), ELEMENTS), 64, &|range, to| {
                    gradient::dropout(seed, *ratio, range.start, &x[range], to);
                });
            }
            Self::Softmax { n, from } => {
                let [y, gradient] = from.map(read);
                gradient::softmax_grad(*n, y, gradient, whole());
            }
            Self::ConvInput(step) => step.run(memory, out, pool, isa),
            Self::PlanarConv(step) => step.run(memory, out, pool, isa),
            Self::PlanarWeight(step) => step.run(memory, out, pool, isa),
            Self::RowSums { x, n } => {
                let (x, n) = (read(*x), *n);
                in_parts(pool, out, tasks(x.len(), ELEMENTS), 1, &|range, to| {
                    to.iter_mut().zip(x[range.start * n..].chunks_exact(n)).for_each(|(to, row)| *to = row_sum(row));
                });
            }
            Self::ConvWeight { conv, from, parts, slices } => {
                let ([x, gradient], parts, slices) = (from.map(read), *parts, *slices);
                let (grad, len) = (ConvGrad { conv: *conv, gradient }, out.len() / parts.max(1));
                pool.run(parts * slices, &|task, thread| {
                    let rows = part(conv.window.rows(), 1, parts, task / slices);
                    let outputs = part(conv.outputs / conv.groups, 8, slices, task % slices);
                    let (size, first) = (conv.groups * conv.patch(), task / slices * len);
                    // SAFETY: the parts are disjoint, and so are the slices, of which a grouped convolution has one; the scratch memory is of this
                    // thread, and asked for once.
                    let (scratch, to) = unsafe {
                        let to = out.slice_mut(first + outputs.start * size..first + outputs.end * size);
                        (memory.scratch(thread), to)
                    };
                    conv_weight_grad(isa, &grad, x, rows, outputs, scratch, to);
                });
            }
            Self::ColumnSums { x, columns, parts, factor } => {
                let (x, n, parts) = (read(*x), *columns, *parts);
                let (across, down) = grid(parts, 1, n, 64, tasks(x.len(), 2 * ELEMENTS));
                pool.run(across * down, &|task, _| {
                    let columns = part(n, 64, down, task % down);
                    for i in part(parts, 1, across, task / down) {
                        // SAFETY: the parts of the grid are disjoint.
                        let to = unsafe { out.slice_mut(i * n + columns.start..i * n + columns.end) };
                        to.fill(0.0);
                        let rows = part(x.len() / n, 1, parts, i);
                        if n < NARROW {
                            narrow_sums(&x[rows.start * n..rows.end * n], to);
                        } else {
                            for row in rows {
                                to.iter_mut().zip(&x[row * n..][columns.clone()]).for_each(|(to, x)| *to += x);
                            }
                        }
                        to.iter_mut().for_each(|sum| *sum *= *factor);
                    }
                });
            }
            Self::LayerNorm { n, from, epsilon, parts, dx } => {
                let ([x, scale, dy], n, epsilon, dx) = (from.map(read), *n, *epsilon, memory.write(*dx));
                pool.run(*parts, &|task, _| {
                    let range = part(x.len(), n, *parts, task);
                    // SAFETY: the parts are disjoint.
                    let (dx, sums) = unsafe { (dx.slice_mut(range.clone()), part_of(out, task, 2 * n)) };
                    sums.fill(0.0);
                    let rows = LayerNorm { n, x: &x[range.clone()], scale, epsilon };
                    layer_norm_grad(isa, &rows, &dy[range], dx, sums);
                });
            }
            Self::Scatter { gradient, ids, outer, size, inner } => {
                let (dy, ids, size, inner) = (read(*gradient), memory.input(*ids), *size, *inner);
                let count = dy.len() / inner / *outer;
                let (across, down) = grid(inner, 64, *outer * size, 1, tasks(out.len() + dy.len(), ELEMENTS));
                pool.run(across * down, &|task, _| {
                    let (columns, rows) =
                        (part(inner, 64, across, task / down), part(*outer * size, 1, down, task % down));
                    // SAFETY: the parts of the grid are disjoint.
                    let to =
                        |row: usize| unsafe { out.slice_mut(row * inner + columns.start..row * inner + columns.end) };
                    rows.clone().for_each(|row| to(row).fill(0.0));
                    for i in rows.start / size * count..rows.end.div_ceil(size) * count {
                        // Plans look at all integers before they run.
                        let row = i / count * size + ids.entry(i % count, size).unwrap_or(0);
                        if rows.contains(&row) {
                            let dy = &dy[i * inner..][columns.clone()];
                            to(row).iter_mut().zip(dy).for_each(|(to, dy)| *to += dy);
                        }
                    }
                });
            }
            Self::Pool { window, kind, channels, x, gradient } => {
                let (x, gradient) = (x.map(read), read(*gradient));
                let grad = PoolGrad { window: *window, kind: *kind, channels: *channels, x, gradient };
                let parts = tasks(out.len() * window.taps(), 4 * ELEMENTS).min(window.batch);
                pool.run(parts, &|task, _| {
                    // SAFETY: the parts are disjoint.
                    unsafe { gradient::pool_grad(isa, &grad, out, part(window.batch, 1, parts, task)) }
                });
            }
        }
        Ok(())
    }
}

/// The sum of a row, by as many sums as fill vectors.
fn row_sum(row: &[f32]) -> f32 {
    let mut several = [0.0f32; NARROW];
    let (chunks, rest) = row.as_chunks::<NARROW>();
    chunks.iter().for_each(|chunk| several.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += x));
    several.iter().chain(rest).sum()
}

/// Sums of parts, in order and in f64.
fn add_parts(partial: &[f32], to: &mut [f32]) {
    let mut sums = vec![0.0; to.len()];
    for part in partial.chunks_exact(to.len().max(1)) {
        sums.iter_mut().zip(part).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    to.iter_mut().zip(&sums).for_each(|(to, &sum)| *to = sum as f32);
}

/// Mean and variance from those of the parts (Chan et al., "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances",
/// 1979).
fn statistics(partial: &[f32], counts: &[usize], to: &mut [f32]) {
    let (mean, variance) = to.split_at_mut(to.len() / 2);
    let c = mean.len();
    let (mut n, mut middles, mut squares) = (0.0, vec![0.0; c], vec![0.0; c]);
    for (list, &count) in partial.chunks_exact((3 * c).max(1)).zip(counts).filter(|(_, count)| **count > 0) {
        let count = count as f64;
        let (both, own) = (n + count, 1.0 / count);
        let (shift, sums) = list.split_at(c);
        let (sum, square) = sums.split_at(c);
        for i in 0..c {
            let [shift, sum, square] = [shift[i], sum[i], square[i]].map(f64::from);
            let away = shift + sum * own - middles[i];
            squares[i] += (square - sum * sum * own).max(0.0) + away * away * (n * count / both);
            middles[i] += away * (count / both);
        }
        n = both;
    }
    for i in 0..c {
        (mean[i], variance[i]) = (middles[i] as f32, (squares[i] / n) as f32);
    }
}
