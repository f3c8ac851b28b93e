//! EfficientNet-Lite: the EfficientNets without squeeze-and-excitation and with ReLU6, for small machines.
//!
//! Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019; the Lite variants are those of
//! the TensorFlow authors (2020): stem and head keep their widths, and first and last stage their depth. Padding is TensorFlow's "same", which is
//! `SAME_UPPER` in ONNX. Parameters carry the names of the published PyTorch weights.

use percept_graph::{Builder, DType, Error, Graph, Tensor, Var};

/// A stage: the same block several times, the first with the stride.
struct Stage {
    repeats: usize,
    kernel: usize,
    stride: usize,
    expand: usize,
    channels: usize,
}

const fn stage(repeats: usize, kernel: usize, stride: usize, expand: usize, channels: usize) -> Stage {
    Stage { repeats, kernel, stride, expand, channels }
}

/// EfficientNet-B0's stages, which the others scale.
const STAGES: [Stage; 7] = [
    stage(1, 3, 1, 1, 16),
    stage(2, 3, 2, 6, 24),
    stage(2, 5, 2, 6, 40),
    stage(3, 3, 2, 6, 80),
    stage(3, 5, 1, 6, 112),
    stage(4, 5, 2, 6, 192),
    stage(1, 3, 1, 6, 320),
];
const STEM: usize = 32;
const HEAD: usize = 1280;
const EPSILON: f32 = 1e-3;

/// How a variant scales the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Factor of the channels, which are rounded to multiples of 8.
    pub width: f64,
    /// Factor of the repeats, rounded up.
    pub depth: f64,
    /// Height and width of the pictures.
    pub size: usize,
    /// Share of the features dropped before the classifier during training.
    pub dropout: f32,
}

impl Scale {
    /// EfficientNet-Lite0.
    pub const LITE0: Self = Self { width: 1.0, depth: 1.0, size: 224, dropout: 0.2 };
    /// EfficientNet-Lite1.
    pub const LITE1: Self = Self { width: 1.0, depth: 1.1, size: 240, dropout: 0.2 };
    /// EfficientNet-Lite2.
    pub const LITE2: Self = Self { width: 1.1, depth: 1.2, size: 260, dropout: 0.3 };

    /// Rounded to a multiple of 8, never down by more than a tenth.
    fn channels(&self, base: usize) -> usize {
        let wanted = base as f64 * self.width;
        let rounded = ((wanted + 4.0) as usize / 8 * 8).max(8);
        if (rounded as f64) < 0.9 * wanted { rounded + 8 } else { rounded }
    }

    fn repeats(&self, index: usize) -> usize {
        let base = STAGES[index].repeats;
        let fixed = index == 0 || index == STAGES.len() - 1;
        if fixed { base } else { (base as f64 * self.depth).ceil() as usize }
    }
}

fn conv_norm<'b>(
    x: Var<'b>,
    (conv, norm): (&str, &str),
    channels: usize,
    kernel: usize,
    stride: usize,
    group: usize,
) -> Var<'b> {
    x.conv_without_bias(conv, channels, kernel, |c| c.stride(stride).same_upper().group(group))
        .batch_norm(norm, EPSILON)
}

fn block<'b>(x: Var<'b>, name: &str, from: usize, to: usize, stage: &Stage, stride: usize) -> Var<'b> {
    let part = |suffix: &str| format!("{name}.{suffix}");
    let wide = from * stage.expand;
    let expanded = match stage.expand {
        1 => x,
        _ => conv_norm(x, (&part("_expand_conv"), &part("_bn0")), wide, 1, 1, 1).relu6(),
    };
    let depthwise = (&*part("_depthwise_conv"), &*part("_bn1"));
    let spatial = conv_norm(expanded, depthwise, wide, stage.kernel, stride, wide).relu6();
    let projected = conv_norm(spatial, (&part("_project_conv"), &part("_bn2")), to, 1, 1, 1);
    if stride == 1 && from == to { projected + x } else { projected }
}

/// The network from normalised pictures `[N, 3, H, W]` to the pooled features `[N, 1280]`.
pub fn features<'b>(x: Var<'b>, scale: &Scale) -> Var<'b> {
    let mut x = conv_norm(x, ("_conv_stem", "_bn0"), STEM, 3, 2, 1).relu6();
    let (mut from, mut index) = (STEM, 0);
    for (i, stage) in STAGES.iter().enumerate() {
        for repeat in 0..scale.repeats(i) {
            let to = scale.channels(stage.channels);
            x = block(x, &format!("_blocks.{index}"), from, to, stage, if repeat == 0 { stage.stride } else { 1 });
            (from, index) = (to, index + 1);
        }
    }
    conv_norm(x, ("_conv_head", "_bn1"), HEAD, 1, 1, 1).relu6().global_average_pool().flatten()
}

/// The classifier from byte pictures `[N, size, size, 3]` in RGB to `classes` logits; `(x − 127) / 128` is part of it.
///
/// ```
/// use percept_models::efficientnet::{Scale, classifier};
///
/// let graph = classifier("efficientnet-lite0", &Scale::LITE0, 1000)?;
/// let parameters = graph.parameters().map(|value| value.ty.concrete().map(|shape| shape.iter().product::<usize>()));
/// // Learned ones and running statistics, as in the published weights.
/// assert_eq!(parameters.sum::<Result<usize, _>>()?, 4_694_024);
/// # Ok::<(), percept_graph::Error>(())
/// ```
pub fn classifier(name: &str, scale: &Scale, classes: usize) -> Result<Graph, Error> {
    let net = Builder::new(name);
    let pictures = net.input("image", DType::U8, ["N".into(), scale.size.into(), scale.size.into(), 3.into()]);
    let x = pictures.cast(DType::F32).transpose(&[0, 3, 1, 2]);
    let x = (x - net.constant(Tensor::scalar(127.0))) / net.constant(Tensor::scalar(128.0));
    let logits = features(x, scale).dropout(scale.dropout).linear("_fc", classes);
    net.finish(&[("logits", logits)])
}
