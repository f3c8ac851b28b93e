//! ResNet-9: a shallow and wide residual network, made to learn CIFAR-10 in little time.
//!
//! Page, "How to Train Your ResNet", 2018 (<https://myrtle.ai/learn/how-to-train-your-resnet/>), made for the contest
//! DAWNBench. Eight convolutions of 3x3 with batch normalisation, behind three of which a maximum pooling halves the map; the first and the
//! last of these have a residual block behind that. Different from his: half the channels, so that a training fits a processor, the maximum
//! over the whole last map whatever its size, and no scaling of the logits.

use crate::imagenet::normalized_pictures;
use percept_graph::{Builder, Error, Graph, Var, ops};

/// Channels of the first convolution and of the three stages.
const CHANNELS: [usize; 4] = [32, 64, 128, 256];
const EPSILON: f32 = 1e-5;

fn conv_norm<'b>(x: Var<'b>, name: &str, channels: usize) -> Var<'b> {
    let x = x.conv_without_bias(&format!("{name}.conv"), channels, 3, |c| c.padding(1));
    x.batch_norm(&format!("{name}.norm"), EPSILON)
}

fn stage<'b>(x: Var<'b>, name: &str, channels: usize, residual: bool) -> Var<'b> {
    let x = conv_norm(x, name, channels).relu().max_pool(2, 2);
    match residual {
        false => x,
        true => {
            let inner = conv_norm(x, &format!("{name}.res1"), channels).relu();
            conv_norm(inner, &format!("{name}.res2"), channels).relu() + x
        }
    }
}

/// The classifier from byte pictures `[N, size, size, 3]` in RGB to `classes` logits; ImageNet's normalisation is part of it.
///
/// ```
/// let graph = percept_models::resnet9::classifier("resnet9", 32, 10)?;
/// let learned = graph.parameters().filter(|value| !value.name.contains("running"));
/// let sizes = learned.map(|value| value.ty.concrete().map(|shape| shape.iter().product::<usize>()));
/// assert_eq!(sizes.sum::<Result<usize, _>>()?, 1_646_122);
/// # Ok::<(), percept_graph::Error>(())
/// ```
///
/// # Errors
///
/// If the picture has fewer than 8 pixels a side.
pub fn classifier(name: &str, size: usize, classes: usize) -> Result<Graph, Error> {
    let net = Builder::new(name);
    let mut x = conv_norm(normalized_pictures(&net, size)?, "stem", CHANNELS[0]).relu();
    for (i, residual) in [true, false, true].into_iter().enumerate() {
        x = stage(x, &format!("stage{}", i + 1), CHANNELS[i + 1], residual);
    }
    let features = x.apply(ops::ReduceMax { axes: Some(vec![2, 3]), keepdims: false }, &[]);
    net.finish(&[("logits", features.linear("fc", classes))])
}

#[cfg(test)]
mod tests {
    use super::classifier;

    #[test]
    fn pictures_too_small_for_three_halvings_are_an_error() {
        assert!(classifier("resnet9", 8, 10).is_ok());
        assert!(classifier("resnet9", 7, 10).is_err());
    }
}
