//! The steps that only learning needs, and how their work is cut into tasks.

mod blocks;
mod depthwise;
mod lower;
mod lower_conv;
mod pointwise;

pub(super) use depthwise::Depthwise;
pub(super) use pointwise::Pointwise;

use super::lazy::Lazy;
use super::step::{ELEMENTS, GRAIN, Memory, Place, part, tasks};
use crate::Pool;
use crate::kernels::gradient::{self, ChannelSums, ConvGrad, PoolGrad, conv_input_grad, conv_weight_grad};
use crate::kernels::{Activation, Out, PackedB, PoolKind, Window};
use crate::simd::Isa;
use blocks::ForwardSums;
use depthwise::DepthwiseGrad;
use pointwise::PointwiseGrad;

/// Pixels whose gradient is computed at once for its sums.
const BLOCK: usize = 64;

/// The shape of a convolution whose gradient is computed.
#[derive(Clone, Copy)]
pub(super) struct ConvShape {
    pub(super) window: Window,
    pub(super) groups: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

impl ConvShape {
    fn with<'a>(&self, gradient: &'a [f32]) -> ConvGrad<'a> {
        let Self { window, groups, inputs, outputs } = *self;
        ConvGrad { window, groups, inputs, outputs, gradient }
    }

    pub(super) fn patch(&self) -> usize {
        self.with(&[]).patch()
    }
}

/// What a step computes.
pub(super) enum Training {
    /// Stores what is computed on reading.
    Store { x: Lazy, channels: usize },
    /// Partial sums over pixels, a part after the other, as of [`ForwardSums`].
    ForwardSums { channels: usize, x: Place, parts: usize },
    /// Partial sums of a gradient, and of it times `x − mean`, a part after the other.
    BackwardSums { channels: usize, x: Place, gradient: Lazy, mean: Place, parts: usize },
    /// Mean and variance of each channel from partial sums over so many pixels each.
    Statistics { partial: Place, counts: Vec<usize> },
    /// `factor, 1, summand` of a batch normalisation: a summand of the whole tensor has the slope 1.
    Fold { scale: Place, bias: Place, mean: Place, variance: Place, epsilon: f32 },
    /// The gradients of bias and scale from partial sums.
    ParameterGradients { partial: Place, variance: Place, epsilon: f32 },
    /// `factor, slope, summand` of the gradient of a batch normalisation over so many pixels; 0 for fixed statistics.
    FoldGradient { sums: Place, scale: Place, mean: Place, variance: Place, epsilon: f32, pixels: usize },
    /// Gradient of a function of one number.
    Activation { activation: Activation, x: Place, gradient: Place },
    /// Gradient of softmax over runs of `n`.
    Softmax { n: usize, y: Place, gradient: Place },
    /// The loss.
    CrossEntropy { classes: usize, logits: Place, targets: Place },
    /// Its gradient.
    CrossEntropyGrad { classes: usize, logits: Place, targets: Place, gradient: Place },
    /// Gradient of a convolution with respect to its input.
    ConvInput { conv: ConvShape, weight: Place, gradient: Place, packed: Vec<PackedB>, rows: Vec<f32> },
    /// Partial gradients of a convolution with respect to its weight.
    ConvWeight { conv: ConvShape, x: Place, gradient: Place, parts: usize },
    /// A 1×1 convolution.
    Pointwise(Pointwise),
    /// Its gradients.
    PointwiseGrad(Box<PointwiseGrad>),
    /// A depthwise convolution.
    Depthwise(Depthwise),
    /// Its gradients.
    DepthwiseGrad(Box<DepthwiseGrad>),
    /// Sum of `parts` partial results.
    SumParts { partial: Place, parts: usize },
    /// Gradient of a pooling.
    Pool { window: Window, kind: PoolKind, channels: usize, x: Option<Place>, gradient: Place },
}

impl Training {
    pub(super) fn reads(&self) -> Vec<Place> {
        let all = match self {
            Self::Store { x, .. } => x.reads(),
            Self::ForwardSums { x, .. } => vec![Some(*x)],
            Self::BackwardSums { x, gradient, mean, .. } => [&gradient.reads()[..], &[Some(*x), Some(*mean)]].concat(),
            Self::Pointwise(step) => step.reads(),
            Self::PointwiseGrad(step) => step.reads(),
            Self::Depthwise(step) => step.reads(),
            Self::DepthwiseGrad(step) => step.reads(),
            Self::Statistics { partial, .. } => vec![Some(*partial)],
            Self::Fold { scale, bias, mean, variance, .. } => [scale, bias, mean, variance].map(|p| Some(*p)).to_vec(),
            Self::ParameterGradients { partial, variance, .. } => vec![Some(*partial), Some(*variance)],
            Self::FoldGradient { sums, scale, mean, variance, .. } => {
                [sums, scale, mean, variance].map(|p| Some(*p)).to_vec()
            }
            Self::Activation { x, gradient, .. } => vec![Some(*x), Some(*gradient)],
            Self::Softmax { y, gradient, .. } => vec![Some(*y), Some(*gradient)],
            Self::CrossEntropy { logits, targets, .. } => vec![Some(*logits), Some(*targets)],
            Self::CrossEntropyGrad { logits, targets, gradient, .. } => {
                [logits, targets, gradient].map(|p| Some(*p)).to_vec()
            }
            Self::ConvInput { weight, gradient, .. } => vec![Some(*weight), Some(*gradient)],
            Self::ConvWeight { x, gradient, .. } => vec![Some(*x), Some(*gradient)],
            Self::SumParts { partial, .. } => vec![Some(*partial)],
            Self::Pool { x, gradient, .. } => vec![*x, Some(*gradient)],
        };
        all.into_iter().flatten().collect()
    }

    /// The slots written, except for one that is the step's output.
    pub(super) fn writes(&self) -> Vec<usize> {
        match self {
            Self::Pointwise(Pointwise { sums, .. }) | Self::Depthwise(Depthwise { sums, .. }) => {
                sums.iter().map(|sums| sums.slot).collect()
            }
            Self::PointwiseGrad(step) => step.writes(),
            Self::DepthwiseGrad(step) => step.writes(),
            _ => Vec::new(),
        }
    }

    /// Floats of scratch memory that each thread needs.
    pub(super) fn scratch(&self) -> usize {
        match self {
            Self::BackwardSums { channels, .. } => BLOCK * channels,
            Self::Pointwise(step) => step.scratch(),
            Self::PointwiseGrad(step) => step.scratch(),
            Self::Depthwise(step) => step.scratch(),
            Self::DepthwiseGrad(step) => step.scratch(),
            Self::ConvInput { conv, .. } | Self::ConvWeight { conv, .. } => conv.with(&[]).scratch_len(),
            _ => 0,
        }
    }

    pub(super) fn run(&mut self, memory: &Memory<'_>, out: Out<'_>, pool: &Pool, isa: Isa) {
        let read = |place: Place| memory.read(place);
        // SAFETY: small results are written by this thread alone.
        let whole = || unsafe { out.slice_mut(0..out.len()) };
        match self {
            Self::Store { x, channels } => {
                let (x, c) = (x.of(memory, *channels), (*channels).max(1));
                let (pixels, parts) = (out.len() / c, tasks(out.len(), ELEMENTS));
                pool.run(parts, &|task, _| {
                    let pixels = part(pixels, 1, parts, task);
                    // SAFETY: the parts are disjoint.
                    let to = unsafe { out.slice_mut(pixels.start * c..pixels.end * c) };
                    gradient::load(isa, &x, pixels, 0..c, to, c);
                });
            }
            Self::ForwardSums { channels, x, parts } => {
                let (x, c, parts) = (read(*x), *channels, *parts);
                pool.run(parts, &|task, _| {
                    let pixels = part(x.len() / c, 1, parts, task);
                    // SAFETY: the parts are disjoint.
                    unsafe { ForwardSums::put(isa, out, task, c, &x[pixels.start * c..pixels.end * c], 0) };
                });
            }
            Self::BackwardSums { channels, x, gradient, mean, parts } => {
                let (x, c, parts) = (read(*x), *channels, *parts);
                let (gradient, shift) = (gradient.of(memory, c), read(*mean));
                pool.run(parts, &|task, thread| {
                    // SAFETY: the parts are disjoint.
                    let sums = unsafe { out.slice_mut(task * 2 * c..(task + 1) * 2 * c) };
                    sums.fill(0.0);
                    let scratch = memory.scratch(thread);
                    for pixels in blocks::blocks(part(x.len() / c, 1, parts, task), BLOCK) {
                        gradient::load(isa, &gradient, pixels.clone(), 0..c, scratch, c);
                        let gradient = Some((&*scratch, c));
                        let all = ChannelSums { channels: c, x, pixels, columns: 0..c, gradient, shift };
                        gradient::channel_sums(isa, &all, sums);
                    }
                });
            }
            Self::Pointwise(step) => step.run(memory, out, pool, isa),
            Self::PointwiseGrad(step) => step.run(memory, pool, isa),
            Self::Depthwise(step) => step.run(memory, out, pool, isa),
            Self::DepthwiseGrad(step) => step.run(memory, pool, isa),
            Self::Statistics { partial, counts } => statistics(read(*partial), counts, whole()),
            Self::Fold { scale, bias, mean, variance, epsilon } => {
                let (scale, bias, mean, variance) = (read(*scale), read(*bias), read(*mean), read(*variance));
                let (to, c) = (whole(), scale.len());
                for i in 0..c {
                    let factor = f64::from(scale[i]) / (f64::from(variance[i]) + f64::from(*epsilon)).sqrt();
                    to[i] = factor as f32;
                    to[c + i] = 1.0;
                    to[2 * c + i] = (f64::from(bias[i]) - f64::from(mean[i]) * factor) as f32;
                }
            }
            Self::ParameterGradients { partial, variance, epsilon } => {
                let (partial, variance, to) = (read(*partial), read(*variance), whole());
                add_parts(partial, to);
                let (_, scale) = to.split_at_mut(to.len() / 2);
                for (slope, v) in scale.iter_mut().zip(variance) {
                    *slope = (f64::from(*slope) / (f64::from(*v) + f64::from(*epsilon)).sqrt()) as f32;
                }
            }
            Self::FoldGradient { sums, scale, mean, variance, epsilon, pixels } => {
                let (sums, scale, mean, variance) = (read(*sums), read(*scale), read(*mean), read(*variance));
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
            Self::Activation { activation, x, gradient } => {
                let (x, dy, parts) = (read(*x), read(*gradient), tasks(out.len(), ELEMENTS));
                pool.run(parts, &|task, _| {
                    let range = part(out.len(), 64, parts, task);
                    // SAFETY: the parts are disjoint.
                    let to = unsafe { out.slice_mut(range.clone()) };
                    gradient::activation_grad(isa, *activation, &x[range.clone()], &dy[range], to);
                });
            }
            Self::Softmax { n, y, gradient } => gradient::softmax_grad(*n, read(*y), read(*gradient), whole()),
            Self::CrossEntropy { classes, logits, targets } => {
                whole()[0] = gradient::cross_entropy(*classes, read(*logits), read(*targets));
            }
            Self::CrossEntropyGrad { classes, logits, targets, gradient } => {
                let (logits, targets, factor) = (read(*logits), read(*targets), read(*gradient)[0]);
                gradient::cross_entropy_grad(isa, *classes, logits, targets, factor, whole());
            }
            Self::ConvInput { conv, weight, gradient, packed, rows } => {
                pack_backward(conv, read(*weight), packed, rows);
                let (grad, packed) = (conv.with(read(*gradient)), &*packed);
                pool.run(conv.window.batch, &|task, thread| {
                    // SAFETY: pictures are disjoint.
                    unsafe { conv_input_grad(isa, &grad, packed, out, task..task + 1, memory.scratch(thread)) }
                });
            }
            Self::ConvWeight { conv, x, gradient, parts } => {
                let (x, grad, parts) = (read(*x), conv.with(read(*gradient)), *parts);
                let len = out.len() / parts.max(1);
                pool.run(parts, &|task, thread| {
                    let rows = part(conv.window.rows(), 1, parts, task);
                    // SAFETY: the parts are disjoint.
                    let to = unsafe { out.slice_mut(task * len..(task + 1) * len) };
                    conv_weight_grad(isa, &grad, x, rows, memory.scratch(thread), to);
                });
            }
            Self::SumParts { partial, parts } => {
                let (partial, len, split) = (read(*partial), out.len(), tasks(out.len() * *parts, 8 * ELEMENTS));
                pool.run(split, &|task, _| {
                    let range = part(len, 64, split, task);
                    // SAFETY: the parts are disjoint.
                    let to = unsafe { out.slice_mut(range.clone()) };
                    to.copy_from_slice(&partial[range.clone()]);
                    for from in partial.chunks_exact(len).skip(1) {
                        to.iter_mut().zip(&from[range.clone()]).for_each(|(to, from)| *to += from);
                    }
                });
            }
            Self::Pool { window, kind, channels, x, gradient } => {
                let grad = PoolGrad {
                    window: *window,
                    kind: *kind,
                    channels: *channels,
                    x: x.map(read),
                    gradient: read(*gradient),
                };
                pool.run(window.batch, &|task, _| {
                    // SAFETY: pictures are disjoint.
                    unsafe { gradient::pool_grad(isa, &grad, out, task..task + 1) }
                });
            }
        }
    }
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

/// Packs filters such that the gradient of the output times them gives patches of the gradient of the input.
fn pack_backward(conv: &ConvShape, weight: &[f32], packed: &mut [PackedB], rows: &mut [f32]) {
    let (channels, patch, n) = (conv.inputs / conv.groups, conv.patch(), conv.outputs / conv.groups);
    let taps = patch / channels.max(1);
    for (group, packed) in packed.iter_mut().enumerate() {
        for (o, row) in rows.chunks_exact_mut(patch.max(1)).enumerate() {
            let filter = &weight[(group * n + o) * patch..][..patch];
            for (i, x) in row.iter_mut().enumerate() {
                *x = filter[i % channels * taps + i / channels];
            }
        }
        packed.repack(rows, [patch, 1]);
    }
}

/// How many parts the sums over so many pixels are cut into.
pub(super) fn pixel_parts(pixels: usize) -> usize {
    pixels.div_ceil(2048).max(1)
}

/// How many partial gradients the weights of a convolution get.
pub(super) fn weight_parts(work: usize) -> usize {
    (work / GRAIN).clamp(1, 4)
}
