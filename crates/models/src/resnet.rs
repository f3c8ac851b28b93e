//! ResNet-18 and ResNet-34: residual networks of blocks with two 3x3 convolutions.
//!
//! He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016. Where the shape changes, the shortcut is a 1x1
//! convolution (the paper's option B). Parameters carry the names of torchvision, so its files of weights fit, and epsilon and padding are
//! its as well.

use crate::imagenet::{is_small, normalized_pictures};
use percept_graph::{Builder, Error, Graph, Var};

/// Channels of the four stages.
const CHANNELS: [usize; 4] = [64, 128, 256, 512];
const EPSILON: f32 = 1e-5;

/// How many blocks each of the four stages has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth([usize; 4]);

impl Depth {
    /// ResNet-18.
    pub const RESNET18: Self = Self([2, 2, 2, 2]);
    /// ResNet-34.
    pub const RESNET34: Self = Self([3, 4, 6, 3]);
}

fn conv_norm<'b>(x: Var<'b>, (conv, norm): (&str, &str), channels: usize, kernel: usize, stride: usize) -> Var<'b> {
    x.conv_without_bias(conv, channels, kernel, |c| c.stride(stride).padding(kernel / 2)).batch_norm(norm, EPSILON)
}

fn block<'b>(x: Var<'b>, name: &str, from: usize, to: usize, stride: usize) -> Var<'b> {
    let part = |suffix: &str| format!("{name}.{suffix}");
    let inner = conv_norm(x, (&part("conv1"), &part("bn1")), to, 3, stride).relu();
    let residual = conv_norm(inner, (&part("conv2"), &part("bn2")), to, 3, 1);
    let shortcut = match (from == to, stride) {
        (true, 1) => x,
        _ => conv_norm(x, (&part("downsample.0"), &part("downsample.1")), to, 1, stride),
    };
    (residual + shortcut).relu()
}

/// The stem: a quarter of the resolution, or all of it for a small picture.
fn stem(x: Var<'_>, small: bool) -> Var<'_> {
    let names = ("conv1", "bn1");
    match small {
        true => conv_norm(x, names, CHANNELS[0], 3, 1).relu(),
        false => conv_norm(x, names, CHANNELS[0], 7, 2).relu().max_pool_padded(3, 2, 1),
    }
}

/// The network from normalised pictures `[N, 3, H, W]` to the pooled features `[N, 512]`.
///
/// With `small` the first convolution is 3x3 with stride 1 and no pooling follows, as in the paper's networks for CIFAR-10 (section 4.2).
pub fn features<'b>(x: Var<'b>, depth: Depth, small: bool) -> Var<'b> {
    let mut x = stem(x, small);
    let mut from = CHANNELS[0];
    for (stage, (&to, blocks)) in CHANNELS.iter().zip(depth.0).enumerate() {
        for index in 0..blocks {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            x = block(x, &format!("layer{}.{index}", stage + 1), from, to, stride);
            from = to;
        }
    }
    x.global_average_pool().flatten()
}

/// The classifier from byte pictures `[N, size, size, 3]` in RGB to `classes` logits; ImageNet's normalisation is part of it.
///
/// Up to 64 pixels the stem keeps the resolution: see [`features`]. Above, torchvision's weights fit.
///
/// ```
/// use percept_models::resnet::{Depth, classifier};
///
/// for (depth, expected) in [(Depth::RESNET18, 11_689_512), (Depth::RESNET34, 21_797_672)] {
///     let graph = classifier("resnet", depth, 224, 1000)?;
///     let learned = graph.parameters().filter(|value| !value.name.contains("running"));
///     let sizes = learned.map(|value| value.ty.concrete().map(|shape| shape.iter().product::<usize>()));
///     assert_eq!(sizes.sum::<Result<usize, _>>()?, expected);
/// }
/// # Ok::<(), percept_graph::Error>(())
/// ```
///
/// # Errors
///
/// If the picture has no pixels.
pub fn classifier(name: &str, depth: Depth, size: usize, classes: usize) -> Result<Graph, Error> {
    let net = Builder::new(name);
    let x = normalized_pictures(&net, size)?;
    let logits = features(x, depth, is_small(size)).linear("fc", classes);
    net.finish(&[("logits", logits)])
}
