//! ResNets of blocks with two 3x3 convolutions: 18 and 34 layers for ImageNet; 20, 32, 44 and 56 for pictures of 32 pixels.
//!
//! He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016; those for CIFAR-10 are in section 4.2. Where the shape
//! changes, the shortcut is a 1x1 convolution (the paper's option B). Parameters carry the names of torchvision, so its files of weights
//! fit, and epsilon and padding are its as well.
//!
//! On CIFAR-10 the paper took option A, which leaves out pixels and appends channels of zeros. Both are common there. Option B is the block
//! of the larger networks, and what published weights with torchvision's names have (`chenyaofo/pytorch-cifar-models`). It adds 2,752
//! parameters to the 269,722 of ResNet-20, and as many to the deeper ones.

use crate::imagenet::{is_small, normalized_pictures};
use percept_graph::{Builder, Error, Graph, Var};

const EPSILON: f32 = 1e-5;

/// How many blocks each stage has, and the channels of the first; each further stage halves the picture and doubles the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    channels: usize,
    blocks: &'static [usize],
    stem: Stem,
}

/// What the first layers make of a large picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stem {
    /// A quarter of the resolution.
    Quarter,
    /// All of it, whatever its size.
    Whole,
}

const fn for_imagenet(blocks: &'static [usize; 4]) -> Depth {
    Depth { channels: 64, blocks, stem: Stem::Quarter }
}

const fn for_cifar(blocks: &'static [usize; 3]) -> Depth {
    Depth { channels: 16, blocks, stem: Stem::Whole }
}

impl Depth {
    /// ResNet-18.
    pub const RESNET18: Self = for_imagenet(&[2, 2, 2, 2]);
    /// ResNet-34.
    pub const RESNET34: Self = for_imagenet(&[3, 4, 6, 3]);
    /// ResNet-20 for CIFAR.
    pub const RESNET20: Self = for_cifar(&[3, 3, 3]);
    /// ResNet-32 for CIFAR.
    pub const RESNET32: Self = for_cifar(&[5, 5, 5]);
    /// ResNet-44 for CIFAR.
    pub const RESNET44: Self = for_cifar(&[7, 7, 7]);
    /// ResNet-56 for CIFAR.
    pub const RESNET56: Self = for_cifar(&[9, 9, 9]);
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

/// The network from normalised pictures `[N, 3, H, W]` to the pooled features, `[N, 512]`, or `[N, 64]` of those for CIFAR.
///
/// With `small`, or if the network is one for CIFAR, the first convolution is 3x3 with stride 1 and no pooling follows. Otherwise the stem
/// leaves a quarter of the resolution.
pub fn features<'b>(x: Var<'b>, depth: Depth, small: bool) -> Var<'b> {
    let Depth { channels, blocks, stem } = depth;
    let names = ("conv1", "bn1");
    let mut x = match stem {
        Stem::Quarter if !small => conv_norm(x, names, channels, 7, 2).relu().max_pool_padded(3, 2, 1),
        _ => conv_norm(x, names, channels, 3, 1).relu(),
    };
    let mut from = channels;
    for (stage, &blocks) in blocks.iter().enumerate() {
        let to = channels << stage;
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
/// Up to 64 pixels the stem keeps the resolution: see [`features`]. Above, torchvision's weights of the networks for ImageNet fit.
///
/// ```
/// use percept_models::resnet::{Depth, classifier};
///
/// let learned = |depth, size, classes| {
///     let graph = classifier("resnet", depth, size, classes)?;
///     let learned = graph.parameters().filter(|value| !value.name.contains("running"));
///     learned.map(|value| Ok(value.ty.concrete()?.iter().product::<usize>())).sum::<Result<usize, percept_graph::Error>>()
/// };
/// assert_eq!(learned(Depth::RESNET18, 224, 1000)?, 11_689_512);
/// assert_eq!(learned(Depth::RESNET34, 224, 1000)?, 21_797_672);
/// // Table 6 of the paper says 0.27, 0.46, 0.66 and 0.85 million, with option A; 2,752 are those of the projections.
/// assert_eq!(learned(Depth::RESNET20, 32, 10)?, 269_722 + 2_752);
/// assert_eq!(learned(Depth::RESNET32, 32, 10)?, 464_154 + 2_752);
/// assert_eq!(learned(Depth::RESNET44, 32, 10)?, 658_586 + 2_752);
/// assert_eq!(learned(Depth::RESNET56, 32, 10)?, 853_018 + 2_752);
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
