//! Airbench: stacks of convolutions made to learn CIFAR-10 in the least time, each named by the accuracy that its authors reached.
//!
//! Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024 (<https://arxiv.org/abs/2404.00498>): a convolution of 2x2 without padding,
//! then three blocks of two convolutions of 3x3 with batch normalisation and GELU, the first with a maximum pooling, and a maximum over what is
//! left. The first convolution begins with filters that whiten the patches of the pictures to be learned, and with their negatives (section 3.2);
//! those of the blocks begin with passing on what they see (section 3.3). Different: the first convolution goes on learning, batch
//! normalisations have a factor, the maximum is taken over the whole last map whatever its size, and logits are not scaled.
//!
//! Of CIFAR-10 as JPEGs of quality 75, four epochs named 85.4 % of pictures held out, with these first values 86.4 %.

use crate::imagenet::{normalized, normalized_pictures};
use crate::init::Init;
use percept_graph::{Builder, Error, Graph, Params, Tensor, Var, ops};

/// Channels of the three blocks of the smaller network.
pub(crate) const AIRBENCH94: [usize; 3] = [64, 256, 256];
/// Of the larger (section 4 of the paper).
pub(crate) const AIRBENCH95: [usize; 3] = [128, 384, 384];
/// Filters of the first convolution: twice as many as a patch has numbers.
const STEM: usize = 2 * PATCH;
/// Numbers of a patch of 2x2 pixels.
pub const PATCH: usize = 12;
const EPSILON: f32 = 1e-5;

fn block<'b>(x: Var<'b>, name: &str, channels: usize) -> Var<'b> {
    let conv = |x: Var<'b>, i: usize| x.conv_without_bias(&format!("{name}.conv{i}"), channels, 3, |c| c.padding(1));
    let x = conv(x, 1).max_pool(2, 2).batch_norm(&format!("{name}.norm1"), EPSILON).apply(ops::Gelu, &[]);
    conv(x, 2).batch_norm(&format!("{name}.norm2"), EPSILON).apply(ops::Gelu, &[])
}

/// The classifier from byte pictures `[N, size, size, 3]` in RGB to `classes` logits, of so many channels in its three blocks; ImageNet's normalisation
/// is part of it.
///
/// ```
/// let graph = percept_models::airbench::classifier("airbench94", [64, 256, 256], 32, 10)?;
/// let learned = graph.parameters().filter(|value| !value.name.contains("running"));
/// let sizes = learned.map(|value| value.ty.concrete().map(|shape| shape.iter().product::<usize>()));
/// assert_eq!(sizes.sum::<Result<usize, _>>()?, 1_972_802);
/// # Ok::<(), percept_graph::Error>(())
/// ```
///
/// # Errors
///
/// If the picture has fewer than 9 pixels a side.
pub fn classifier(name: &str, channels: [usize; 3], size: usize, classes: usize) -> Result<Graph, Error> {
    let net = Builder::new(name);
    let mut x = normalized_pictures(&net, size)?.conv("stem", STEM, 2, |c| c).apply(ops::Gelu, &[]);
    for (i, channels) in channels.into_iter().enumerate() {
        x = block(x, &format!("block{}", i + 1), channels);
    }
    let features = x.apply(ops::ReduceMax { axes: Some(vec![2, 3]), keepdims: false }, &[]);
    net.finish(&[("logits", features.linear("fc", classes))])
}

/// How parameters begin that do not begin as usual: filters of 3x3 with passing on what they see, as far as there are channels.
pub(crate) fn first_value(name: &str, _: &[usize]) -> Option<Init> {
    match name {
        "stem.bias" => Some(Init::Constant(0.0)),
        _ => name.contains(".conv").then_some(Init::Dirac),
    }
}

/// All patches of 2x2 pixels of pictures as the first convolution sees them, [`PATCH`] numbers each.
///
/// `pictures` are bytes, `size` × `size` × RGB, one picture after the other.
pub fn patches(pictures: &[u8], size: usize) -> Vec<f32> {
    let mut all = Vec::new();
    for picture in pictures.chunks_exact((size * size * 3).max(1)) {
        for (y, x) in (1..size).flat_map(|y| (1..size).map(move |x| (y - 1, x - 1))) {
            let value = |channel: usize, tap: usize| {
                let pixel = (y + tap / 2) * size + x + tap % 2;
                normalized(picture[pixel * 3 + channel], channel)
            };
            all.extend((0..PATCH).map(|i| value(i / 4, i % 4)));
        }
    }
    all
}

/// Lets the first convolution begin with these filters, [`PATCH`] of as many numbers, and with their negatives.
///
/// # Errors
/// Another number of filters.
pub fn begin_with(params: &mut Params, filters: &[f32]) -> Result<(), Error> {
    let both = filters.iter().copied().chain(filters.iter().map(|x| -x)).collect();
    params.insert("stem.weight".into(), Tensor::f32([STEM, 3, 2, 2], both)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use percept_engine::{Input, Network, Settings};
    use percept_learn::whiten::whitening;

    #[test]
    fn pictures_too_small_for_three_halvings_are_an_error() {
        assert!(classifier("airbench94", AIRBENCH94, 9, 10).is_ok());
        assert!(classifier("airbench94", AIRBENCH94, 8, 10).is_err());
    }

    /// By the engine: what the first convolution says varies by 1, and by nothing together; then come the opposites.
    #[test]
    fn the_first_convolution_whitens_what_its_filters_were_made_of() {
        let (pictures, size) = (6, 17);
        // Neighbours are alike, and so are channels.
        let byte =
            |i: usize| 60 + i / 51 % 7 * 11 + i % 51 / 3 * 5 + i % 3 * 4 + i.wrapping_mul(2_654_435_761) / 7 % 29;
        let bytes: Vec<u8> = (0..pictures * size * size * 3).map(|i| byte(i) as u8).collect();
        let filters = whitening(&patches(&bytes, size), PATCH, 0.0).unwrap();
        let mut params = Params::from([("stem.bias".into(), Tensor::f32([STEM], vec![0.0; STEM]).unwrap())]);
        begin_with(&mut params, &filters).unwrap();

        let net = Builder::new("stem");
        let stem = normalized_pictures(&net, size).unwrap().conv("stem", STEM, 2, |c| c);
        let graph = net.finish(&[("stem", stem)]).unwrap();
        let mut network = Network::new(&graph, &params, Settings::detect().unwrap()).unwrap();
        let plan = network.run(&[(&[pictures, size, size, 3], Input::U8(&bytes))]).unwrap();
        let (shape, values) = plan.output(0);
        assert_eq!(shape, [pictures, STEM, size - 1, size - 1]);

        let map = (size - 1) * (size - 1);
        let channel = |c: usize| {
            (0..pictures).flat_map(move |p| values[(p * STEM + c) * map..][..map].iter().map(|&x| f64::from(x)))
        };
        let count = (pictures * map) as f64;
        let mean = |c: usize| channel(c).sum::<f64>() / count;
        for (a, b) in (0..PATCH).flat_map(|a| (0..PATCH).map(move |b| (a, b))) {
            let (x, y) = (mean(a), mean(b));
            let covariance = channel(a).zip(channel(b)).map(|(a, b)| (a - x) * (b - y)).sum::<f64>() / count;
            assert!((covariance - f64::from(a == b)).abs() < 1e-3, "{covariance} of {a} and {b}");
        }
        assert!((0..PATCH).all(|c| channel(c).zip(channel(c + PATCH)).all(|(x, y)| (x + y).abs() < 1e-3)));
    }
}
