//! The steps that only learning needs, and how their work is cut into tasks.

use super::step::{ELEMENTS, GRAIN, Memory, Place, part, tasks};
use crate::Pool;
use crate::kernels::gradient::{
    self, ChannelSums, ConvGrad, DepthwiseGrad, PoolGrad, conv_input_grad, conv_weight_grad, depthwise_input_grad,
    depthwise_weight_grad,
};
use crate::kernels::{Activation, DepthwiseWeights, Out, PackedB, PoolKind, Window};
use crate::simd::Isa;
use std::sync::{Mutex, PoisonError};

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

    /// Room for the patches of a block of pixels.
    pub(super) fn packed(&self, isa: Isa) -> PackedB {
        let (k, n) = (self.with(&[]).block_pixels(), self.patch());
        PackedB::pack(isa, k, n, &vec![0.0; k * n], [n, 1])
    }
}

/// What a step computes.
pub(super) enum Training {
    /// Partial sums over pixels, a part after the other: see [`ChannelSums`]. Without a gradient the shift is the first pixel.
    ChannelSums { channels: usize, x: Place, gradient: Option<Place>, mean: Option<Place>, parts: usize },
    /// Mean and variance of each channel from partial sums.
    Statistics { x: Place, partial: Place, pixels: usize },
    /// `factor, –, summand` of a batch normalisation.
    Fold { scale: Place, bias: Place, mean: Place, variance: Place, epsilon: f32 },
    /// The gradients of bias and scale from partial sums.
    ParameterGradients { partial: Place, variance: Place, epsilon: f32 },
    /// `factor, slope, summand` of the gradient of a batch normalisation over so many pixels; 0 for fixed statistics.
    FoldGradient { sums: Place, scale: Place, mean: Place, variance: Place, epsilon: f32, pixels: usize },
    /// Factor, slope and summand for each channel.
    Affine { x: Place, z: Option<Place>, coefficients: Place },
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
    /// Partial gradients of a convolution with respect to its weight, one for each right-hand side.
    ConvWeight { conv: ConvShape, x: Place, gradient: Place, packed: Vec<Mutex<PackedB>> },
    /// Gradient of a depthwise convolution with respect to its input.
    DepthwiseInput { window: Window, weight: Place, gradient: Place, packed: DepthwiseWeights },
    /// Partial gradients with respect to its weight.
    DepthwiseWeight { window: Window, channels: usize, x: Place, gradient: Place, parts: usize },
    /// Sum of `parts` partial gradients, taps outermost, as ONNX lays weights out.
    SumParts { partial: Place, parts: usize, outputs: usize, inputs: usize, taps: usize, taps_first: bool },
    /// Gradient of a pooling.
    Pool { window: Window, kind: PoolKind, channels: usize, x: Option<Place>, gradient: Place },
}

impl Training {
    pub(super) fn reads(&self) -> Vec<Place> {
        let all = match self {
            Self::ChannelSums { x, gradient, mean, .. } => vec![Some(*x), *gradient, *mean],
            Self::Statistics { x, partial, .. } => vec![Some(*x), Some(*partial)],
            Self::Fold { scale, bias, mean, variance, .. } => [scale, bias, mean, variance].map(|p| Some(*p)).to_vec(),
            Self::ParameterGradients { partial, variance, .. } => vec![Some(*partial), Some(*variance)],
            Self::FoldGradient { sums, scale, mean, variance, .. } => {
                [sums, scale, mean, variance].map(|p| Some(*p)).to_vec()
            }
            Self::Affine { x, z, coefficients } => vec![Some(*x), *z, Some(*coefficients)],
            Self::Activation { x, gradient, .. } => vec![Some(*x), Some(*gradient)],
            Self::Softmax { y, gradient, .. } => vec![Some(*y), Some(*gradient)],
            Self::CrossEntropy { logits, targets, .. } => vec![Some(*logits), Some(*targets)],
            Self::CrossEntropyGrad { logits, targets, gradient, .. } => {
                [logits, targets, gradient].map(|p| Some(*p)).to_vec()
            }
            Self::ConvInput { weight, gradient, .. } | Self::DepthwiseInput { weight, gradient, .. } => {
                vec![Some(*weight), Some(*gradient)]
            }
            Self::ConvWeight { x, gradient, .. } | Self::DepthwiseWeight { x, gradient, .. } => {
                vec![Some(*x), Some(*gradient)]
            }
            Self::SumParts { partial, .. } => vec![Some(*partial)],
            Self::Pool { x, gradient, .. } => vec![*x, Some(*gradient)],
        };
        all.into_iter().flatten().collect()
    }

    /// Floats of scratch memory that each thread needs.
    pub(super) fn scratch(&self) -> usize {
        match self {
            Self::ConvInput { conv, .. } | Self::ConvWeight { conv, .. } => conv.with(&[]).scratch_len(),
            _ => 0,
        }
    }

    pub(super) fn run(&mut self, memory: &Memory<'_>, out: Out<'_>, pool: &Pool, isa: Isa) {
        let read = |place: Place| memory.read(place);
        // SAFETY: small results are written by this thread alone.
        let whole = || unsafe { out.slice_mut(0..out.len()) };
        match self {
            Self::ChannelSums { channels, x, gradient, mean, parts } => {
                let (x, c, parts) = (read(*x), *channels, *parts);
                let shift = mean.map_or(&x[..c], |mean| &read(mean)[..c]);
                let sums = ChannelSums { channels: c, x, gradient: gradient.map(read), shift };
                pool.run(parts, &|task, _| {
                    // SAFETY: the parts are disjoint.
                    let to = unsafe { out.slice_mut(task * 2 * c..(task + 1) * 2 * c) };
                    gradient::channel_sums(isa, &sums, part(x.len() / c, 1, parts, task), to);
                });
            }
            Self::Statistics { x, partial, pixels } => statistics(read(*x), read(*partial), *pixels, whole()),
            Self::Fold { scale, bias, mean, variance, epsilon } => {
                let (scale, bias, mean, variance) = (read(*scale), read(*bias), read(*mean), read(*variance));
                let (to, c) = (whole(), scale.len());
                for i in 0..c {
                    let factor = f64::from(scale[i]) / (f64::from(variance[i]) + f64::from(*epsilon)).sqrt();
                    to[i] = factor as f32;
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
                    // Fixed statistics do not move with x.
                    let share = if *pixels > 0 { 1.0 / *pixels as f64 } else { 0.0 };
                    let slope = -factor * inverse * f64::from(sums[c + i]) * share;
                    to[c + i] = slope as f32;
                    to[2 * c + i] = (-factor * f64::from(sums[i]) * share - slope * f64::from(mean[i])) as f32;
                }
            }
            Self::Affine { x, z, coefficients } => {
                let (x, z, coefficients) = (read(*x), z.map(read), read(*coefficients));
                let (pixels, parts) = (out.len() / (coefficients.len() / 3).max(1), tasks(out.len(), ELEMENTS));
                pool.run(parts, &|task, _| {
                    // SAFETY: the parts are disjoint.
                    unsafe { gradient::affine(isa, x, z, coefficients, out, part(pixels, 1, parts, task)) }
                });
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
            Self::ConvWeight { conv, x, gradient, packed } => {
                let (x, grad, parts) = (read(*x), conv.with(read(*gradient)), packed.len());
                let len = out.len() / parts.max(1);
                pool.run(parts, &|task, thread| {
                    let pixels = part(conv.window.pixels(), 1, parts, task);
                    let mut packed = packed[task].lock().unwrap_or_else(PoisonError::into_inner);
                    // SAFETY: the parts are disjoint.
                    let to = unsafe { out.slice_mut(task * len..(task + 1) * len) };
                    conv_weight_grad(isa, &grad, x, pixels, &mut packed, memory.scratch(thread), to);
                });
            }
            Self::DepthwiseInput { window, weight, gradient, packed } => {
                packed.repack(read(*weight));
                let grad = DepthwiseGrad { window: *window, channels: packed.channels(), gradient: read(*gradient) };
                let (rows, parts) = (window.batch * window.input[0], tasks(out.len(), ELEMENTS));
                pool.run(parts, &|task, _| {
                    // SAFETY: the parts are disjoint.
                    unsafe { depthwise_input_grad(isa, &grad, packed.taps(), out, part(rows, 1, parts, task)) }
                });
            }
            Self::DepthwiseWeight { window, channels, x, gradient, parts } => {
                let grad = DepthwiseGrad { window: *window, channels: *channels, gradient: read(*gradient) };
                let (x, parts, len) = (read(*x), *parts, out.len() / (*parts).max(1));
                pool.run(parts, &|task, _| {
                    // SAFETY: the parts are disjoint.
                    let to = unsafe { out.slice_mut(task * len..(task + 1) * len) };
                    depthwise_weight_grad(isa, &grad, x, part(window.rows(), 1, parts, task), to);
                });
            }
            Self::SumParts { partial, parts, outputs, inputs, taps, taps_first } => {
                let (partial, to) = (read(*partial), whole());
                let len = partial.len() / (*parts).max(1);
                for (i, to) in to.iter_mut().enumerate() {
                    let (tap, input, output) = (i % *taps, i / *taps % *inputs, i / *taps / *inputs);
                    let from = match *taps_first {
                        true => tap * *outputs + output,
                        false => (output * *taps + tap) * *inputs + input,
                    };
                    *to = (0..*parts).map(|part| partial[part * len + from]).sum();
                }
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
                    unsafe { gradient::pool_grad(&grad, out, task..task + 1) }
                });
            }
        }
    }
}

/// Sums of parts, in order and in f64.
fn add_parts(partial: &[f32], to: &mut [f32]) {
    let len = to.len();
    for (i, to) in to.iter_mut().enumerate() {
        *to = partial[i..].iter().step_by(len).map(|&x| f64::from(x)).sum::<f64>() as f32;
    }
}

fn statistics(x: &[f32], partial: &[f32], pixels: usize, to: &mut [f32]) {
    let (mean, variance) = to.split_at_mut(to.len() / 2);
    let c = mean.len();
    for i in 0..c {
        let sum = |from: usize| partial[from..].iter().step_by(2 * c).map(|&x| f64::from(x)).sum::<f64>();
        let shifted = sum(i) / pixels as f64;
        mean[i] = (f64::from(x[i]) + shifted) as f32;
        variance[i] = (sum(c + i) / pixels as f64 - shifted * shifted).max(0.0) as f32;
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
