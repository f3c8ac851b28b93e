//! AlexNet: five convolutions and three fully connected layers.
//!
//! Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NeurIPS 2012. Kept from the paper:
//! the layers and their channels, ReLU, pooling windows that overlap, and dropout of a half in front of both hidden layers. Different:
//!
//! - No local response normalisation: it does not help (Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
//!   Recognition", ICLR 2015, section 2.1).
//! - All channels of a convolution see all before it; the paper cut layers 2, 4 and 5 in two because a GPU could not hold them whole.
//! - Up to 64 pixels the first convolution is 5x5 with stride 1 instead of 11x11 with stride 4, and hidden layers have 1,024 units instead of
//!   4,096. So 3x3 positions of 32 pixels are left, where the paper's layers would leave none.
//!
//! The paper also has a network of four layers for CIFAR-10, which is another one.

use crate::imagenet::{is_small, normalized_pictures};
use percept_graph::{Builder, Error, Graph, Var};

/// Channels of the first two convolutions and of the three behind them.
const CHANNELS: [usize; 5] = [96, 256, 384, 384, 256];
/// Share of what the hidden layers read that is dropped while training.
const DROPOUT: f32 = 0.5;

fn features(x: Var<'_>, small: bool) -> Var<'_> {
    let (kernel, stride) = if small { (5, 1) } else { (11, 4) };
    let mut x = x.conv("conv1", CHANNELS[0], kernel, |c| c.stride(stride).padding(2)).relu().max_pool(3, 2);
    x = x.conv("conv2", CHANNELS[1], 5, |c| c.padding(2)).relu().max_pool(3, 2);
    for (name, channels) in ["conv3", "conv4", "conv5"].iter().zip(&CHANNELS[2..]) {
        x = x.conv(name, *channels, 3, |c| c.padding(1)).relu();
    }
    x.max_pool(3, 2).flatten()
}

/// The network from byte pictures `[N, size, size, 3]` in RGB to `classes` logits; ImageNet's normalisation is part of it.
///
/// ```
/// use percept_models::alexnet::classifier;
///
/// let count = |size, classes| {
///     let graph = classifier("alexnet", size, classes)?;
///     graph.parameters().map(|value| Ok(value.ty.concrete()?.iter().product::<usize>())).sum::<Result<usize, percept_graph::Error>>()
/// };
/// // The paper says 60 million: 60,965,224, and 1,413,120 more for the halves of the channels that its convolutions did not see.
/// assert_eq!(count(224, 1000)?, 60_965_224 + 1_413_120);
/// assert_eq!(count(32, 10)?, 7_139_722);
/// # Ok::<(), percept_graph::Error>(())
/// ```
///
/// # Errors
///
/// If a window does not fit: pictures have at least 15 pixels a side.
pub fn classifier(name: &str, size: usize, classes: usize) -> Result<Graph, Error> {
    let net = Builder::new(name);
    let small = is_small(size);
    let units = if small { 1024 } else { 4096 };
    let mut x = features(normalized_pictures(&net, size)?, small);
    for layer in ["fc6", "fc7"] {
        x = x.dropout(DROPOUT).linear(layer, units).relu();
    }
    net.finish(&[("logits", x.linear("fc8", classes))])
}

#[cfg(test)]
mod tests {
    use super::classifier;

    #[test]
    fn pictures_too_small_for_the_windows_are_an_error() {
        assert!(classifier("alexnet", 15, 10).is_ok());
        let message = classifier("alexnet", 14, 10).unwrap_err().to_string();
        assert!(message.contains("does not fit"), "{message}");
    }
}
