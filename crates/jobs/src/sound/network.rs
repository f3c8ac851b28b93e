//! The network: three convolutions over bands and time, and the mean over time of what they find.
//!
//! The mean leaves the bands apart, since it matters at which frequency a thing is heard: a mean over both named 76 % of spoken digits.

use crate::Result;
use percept_graph::ops::{AveragePool, Padding};
use percept_graph::{Builder, DType, Graph, Var};
use percept_learn::loss::{CrossEntropy, cross_entropy};

/// Channels after each convolution.
const CHANNELS: [usize; 3] = [16, 32, 64];
/// Share of the features that is dropped while training.
const DROPOUT: f32 = 0.1;

/// What the network takes.
pub(super) const INPUT: &str = "spectrogram";
/// What it gives.
pub(super) const OUTPUT: &str = "probabilities";

/// `f32[N, 1, bands, frames]` to what is pooled, `f32[N, 64 · bands / 8]`. Each map is half as high and wide as the one before.
fn features<'b>(net: &'b Builder, bands: usize, frames: usize) -> Var<'b> {
    let mut x = net.input(INPUT, DType::F32, ["N".into(), 1.into(), bands.into(), frames.into()]);
    for (i, channels) in (1..).zip(CHANNELS) {
        x = x.conv_without_bias(&format!("conv{i}"), channels, 3, |conv| conv.padding(1));
        x = x.batch_norm(&format!("bn{i}"), 1e-5).relu().max_pool(2, 2);
    }
    let over_time = AveragePool {
        kernel_shape: vec![1, (frames >> CHANNELS.len()).max(1)],
        strides: vec![1, 1],
        dilations: vec![1, 1],
        padding: Padding::Explicit(vec![0; 4]),
        ceil_mode: false,
        count_include_pad: false,
    };
    x.apply(over_time, &[]).flatten()
}

/// The loss of spectrograms and their labels, `i64[N]`.
pub(super) fn training(bands: usize, frames: usize, classes: usize) -> Result<Graph> {
    let net = Builder::new("sound");
    let labels = || net.input("labels", DType::I64, ["N".into()]);
    let scores = features(&net, bands, frames).dropout(DROPOUT).linear("fc", classes);
    let loss = cross_entropy(scores, labels(), CrossEntropy { label_smoothing: 0.1, ..CrossEntropy::default() });
    Ok(net.finish(&[("loss", loss)])?)
}

/// Spectrograms to probabilities, `f32[N, classes]`.
pub(super) fn inference(bands: usize, frames: usize, classes: usize) -> Result<Graph> {
    let net = Builder::new("percept");
    let scores = features(&net, bands, frames).linear("fc", classes);
    Ok(net.finish(&[(OUTPUT, scores.softmax())])?)
}
