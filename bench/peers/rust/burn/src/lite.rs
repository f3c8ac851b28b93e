//! EfficientNet-Lite0; fields carry the names of the published weights.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};

/// Repeats, kernel, stride, expansion, channels.
const STAGES: [(usize, usize, usize, usize, usize); 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];

/// A convolution padded as TensorFlow's "same" for pictures of `size`.
fn conv(channels: [usize; 2], kernel: usize, stride: usize, groups: usize, size: usize, device: &Device) -> Conv2d {
    let total = ((size.div_ceil(stride) - 1) * stride + kernel).saturating_sub(size);
    let (low, high) = (total / 2, total - total / 2);
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_groups(groups)
        .with_padding(PaddingConfig2d::Explicit(low, low, high, high))
        .with_bias(false)
        .init(device)
}

fn norm(channels: usize, device: &Device) -> BatchNorm {
    BatchNormConfig::new(channels).with_epsilon(1e-3).with_momentum(0.01).init(device)
}

#[derive(Module, Debug)]
struct Block {
    _expand_conv: Option<Conv2d>,
    _bn0: Option<BatchNorm>,
    _depthwise_conv: Conv2d,
    _bn1: BatchNorm,
    _project_conv: Conv2d,
    _bn2: BatchNorm,
    adds: bool,
}

impl Block {
    fn new(from: usize, to: usize, kernel: usize, stride: usize, expand: usize, size: usize, device: &Device) -> Self {
        let wide = from * expand;
        Self {
            _expand_conv: (expand > 1).then(|| conv([from, wide], 1, 1, 1, size, device)),
            _bn0: (expand > 1).then(|| norm(wide, device)),
            _depthwise_conv: conv([wide, wide], kernel, stride, wide, size, device),
            _bn1: norm(wide, device),
            _project_conv: conv([wide, to], 1, 1, 1, size, device),
            _bn2: norm(to, device),
            adds: stride == 1 && from == to,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let wide = match (&self._expand_conv, &self._bn0) {
            (Some(conv), Some(norm)) => norm.forward(conv.forward(x.clone())).clamp(0.0, 6.0),
            _ => x.clone(),
        };
        let wide = self._bn1.forward(self._depthwise_conv.forward(wide)).clamp(0.0, 6.0);
        let y = self._bn2.forward(self._project_conv.forward(wide));
        if self.adds { y + x } else { y }
    }
}

#[derive(Module, Debug)]
pub struct Lite {
    _conv_stem: Conv2d,
    _bn0: BatchNorm,
    _blocks: Vec<Block>,
    _conv_head: Conv2d,
    _bn1: BatchNorm,
    pool: AdaptiveAvgPool2d,
    _fc: Linear,
}

impl Lite {
    /// The network for pictures of `size`, with weights that mean nothing yet.
    pub fn new(size: usize, device: &Device) -> Self {
        let (mut blocks, mut from, mut side) = (Vec::new(), 32, size / 2);
        for (repeats, kernel, stride, expand, to) in STAGES {
            for repeat in 0..repeats {
                let stride = if repeat == 0 { stride } else { 1 };
                blocks.push(Block::new(from, to, kernel, stride, expand, side, device));
                (from, side) = (to, side.div_ceil(stride));
            }
        }
        Self {
            _conv_stem: conv([3, 32], 3, 2, 1, size, device),
            _bn0: norm(32, device),
            _blocks: blocks,
            _conv_head: conv([from, 1280], 1, 1, 1, side, device),
            _bn1: norm(1280, device),
            pool: AdaptiveAvgPool2dConfig::new([1, 1]).init(),
            _fc: LinearConfig::new(1280, 1000).init(device),
        }
    }

    /// From normalised pictures `[N, 3, size, size]` to logits.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self._bn0.forward(self._conv_stem.forward(x)).clamp(0.0, 6.0);
        let x = self._blocks.iter().fold(x, |x, block| block.forward(x));
        let x = self._bn1.forward(self._conv_head.forward(x)).clamp(0.0, 6.0);
        self._fc.forward(self.pool.forward(x).flatten(1, 3))
    }
}
