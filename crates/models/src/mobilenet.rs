//! MobileNetV2: blocks that widen, filter each channel on its own, and narrow again without an activation.
//!
//! Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2. Parameters
//! carry the names of torchvision, so its files of weights fit, and epsilon, padding and dropout are its as well.

use crate::imagenet::{is_small, normalized_pictures};
use percept_graph::{Builder, Error, Graph, Var};

/// A stage: the same block several times, the first with the stride.
struct Stage {
    expand: usize,
    channels: usize,
    repeats: usize,
    stride: usize,
}

const fn stage(expand: usize, channels: usize, repeats: usize, stride: usize) -> Stage {
    Stage { expand, channels, repeats, stride }
}

/// The paper's table 2, its columns t, c, n and s.
const STAGES: [Stage; 7] = [
    stage(1, 16, 1, 1),
    stage(6, 24, 2, 2),
    stage(6, 32, 3, 2),
    stage(6, 64, 4, 2),
    stage(6, 96, 3, 1),
    stage(6, 160, 3, 2),
    stage(6, 320, 1, 1),
];
/// The first stage with a stride, which small pictures do without.
const FIRST_STRIDED: usize = 1;
const STEM: usize = 32;
const HEAD: usize = 1280;
const DROPOUT: f32 = 0.2;
const EPSILON: f32 = 1e-5;

/// How a convolution moves: kernel, stride and groups.
type Window = [usize; 3];

fn conv_norm<'b>(x: Var<'b>, (conv, norm): (&str, &str), channels: usize, window: Window) -> Var<'b> {
    let [kernel, stride, group] = window;
    x.conv_without_bias(conv, channels, kernel, |c| c.stride(stride).padding(kernel / 2).group(group))
        .batch_norm(norm, EPSILON)
}

fn conv_norm_relu<'b>(x: Var<'b>, name: &str, channels: usize, window: Window) -> Var<'b> {
    conv_norm(x, (&format!("{name}.0"), &format!("{name}.1")), channels, window).relu6()
}

fn block<'b>(x: Var<'b>, name: &str, [from, to]: [usize; 2], expand: usize, stride: usize) -> Var<'b> {
    let wide = from * expand;
    let (expanded, next) = match expand {
        1 => (x, 0),
        _ => (conv_norm_relu(x, &format!("{name}.0"), wide, [1, 1, 1]), 1),
    };
    let filtered = conv_norm_relu(expanded, &format!("{name}.{next}"), wide, [3, stride, wide]);
    let names = [next + 1, next + 2].map(|index| format!("{name}.{index}"));
    let projected = conv_norm(filtered, (&names[0], &names[1]), to, [1, 1, 1]);
    if stride == 1 && from == to { projected + x } else { projected }
}

/// The network from normalised pictures `[N, 3, H, W]` to the pooled features `[N, 1280]`.
///
/// With `small` the stem and the first stage with a stride keep the resolution, so that 32 pixels end as 4x4 positions, not one.
pub fn features<'b>(x: Var<'b>, small: bool) -> Var<'b> {
    let mut x = conv_norm_relu(x, "features.0", STEM, [3, if small { 1 } else { 2 }, 1]);
    let (mut from, mut index) = (STEM, 1);
    for (i, stage) in STAGES.iter().enumerate() {
        for repeat in 0..stage.repeats {
            let keeps = repeat > 0 || (small && i == FIRST_STRIDED);
            let stride = if keeps { 1 } else { stage.stride };
            x = block(x, &format!("features.{index}.conv"), [from, stage.channels], stage.expand, stride);
            (from, index) = (stage.channels, index + 1);
        }
    }
    conv_norm_relu(x, &format!("features.{index}"), HEAD, [1, 1, 1]).global_average_pool().flatten()
}

/// The classifier from byte pictures `[N, size, size, 3]` in RGB to `classes` logits; ImageNet's normalisation is part of it.
///
/// Up to 64 pixels the first layers keep the resolution: see [`features`]. The parameters are the same for every size.
///
/// ```
/// use percept_models::mobilenet::classifier;
///
/// let graph = classifier("mobilenetv2", 224, 1000)?;
/// let learned = graph.parameters().filter(|value| !value.name.contains("running"));
/// let sizes = learned.map(|value| value.ty.concrete().map(|shape| shape.iter().product::<usize>()));
/// assert_eq!(sizes.sum::<Result<usize, _>>()?, 3_504_872);
/// # Ok::<(), percept_graph::Error>(())
/// ```
///
/// # Errors
///
/// If the picture has no pixels.
pub fn classifier(name: &str, size: usize, classes: usize) -> Result<Graph, Error> {
    let net = Builder::new(name);
    let x = normalized_pictures(&net, size)?;
    let logits = features(x, is_small(size)).dropout(DROPOUT).linear("classifier.1", classes);
    net.finish(&[("logits", logits)])
}
