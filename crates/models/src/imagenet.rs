//! What the networks made for ImageNet share: how their pictures are normalised, and from which size on a picture is small.

use percept_graph::{Builder, DType, Error, Tensor, Var};

/// Mean of the channels red, green and blue over ImageNet, for levels from 0 to 1, as torchvision's weights expect it.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of the channels.
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// Pictures up to this size lose less at the beginning of a network: see [`is_small`].
const SMALL: usize = 64;

/// Whether a network made for 224 pixels should keep the resolution of its first layers.
///
/// These networks halve the picture five times, twice before the first residual block. Of 32 pixels a single position would be left.
pub(crate) fn is_small(size: usize) -> bool {
    size <= SMALL
}

/// Byte pictures `[N, size, size, 3]` in RGB as normalised `[N, 3, size, size]`.
pub(crate) fn normalized_pictures(net: &Builder, size: usize) -> Result<Var<'_>, Error> {
    let levels = |share: [f32; 3]| Tensor::f32([1, 3, 1, 1], share.map(|value| value * 255.0).to_vec());
    let (mean, deviation) = (levels(MEAN)?, levels(DEVIATION)?);
    let pictures = net.input("image", DType::U8, ["N".into(), size.into(), size.into(), 3.into()]);
    let x = pictures.cast(DType::F32).transpose(&[0, 3, 1, 2]);
    Ok((x - net.constant(mean)) / net.constant(deviation))
}

/// A byte of a channel as these networks see it.
pub(crate) fn normalized(byte: u8, channel: usize) -> f32 {
    (f32::from(byte) / 255.0 - MEAN[channel]) / DEVIATION[channel]
}
