//! Convolution and pooling over any number of spatial axes.

use super::{Array, from_fn, index, position};
use percept_graph::TensorType;
use percept_graph::ops::{AveragePool, Conv, MaxPool, Padding};

/// Where a window's taps fall.
pub(super) struct Window<'a> {
    input: &'a [usize],
    kernel: &'a [usize],
    strides: &'a [usize],
    dilations: &'a [usize],
    pads: Vec<usize>,
}

impl<'a> Window<'a> {
    pub(super) fn new(
        input: &'a [usize],
        kernel: &'a [usize],
        strides: &'a [usize],
        dilations: &'a [usize],
        pads: &Padding,
    ) -> Self {
        Self { input, kernel, strides, dilations, pads: pads.resolve(input, kernel, strides, dilations) }
    }

    /// The positions, in the padded input's coordinates minus the begin pads, that the window sees for an output position.
    pub(super) fn taps(&self, output: &[usize]) -> impl Iterator<Item = (Vec<usize>, Vec<i64>)> {
        let taps = self.kernel.iter().product();
        (0..taps).map(move |i| {
            let tap = position(self.kernel, i);
            let place = |axis: usize| {
                let at = output[axis] * self.strides[axis] + tap[axis] * self.dilations[axis];
                at as i64 - self.pads[axis] as i64
            };
            let at = (0..tap.len()).map(place).collect();
            (tap, at)
        })
    }

    /// The position inside the input, or `None` in the padding.
    pub(super) fn inside(&self, at: &[i64]) -> Option<Vec<usize>> {
        let fits = |(&i, &size): (&i64, &usize)| usize::try_from(i).ok().filter(|&i| i < size);
        at.iter().zip(self.input).map(fits).collect()
    }

    /// Whether a position lies in the input or its padding, not beyond.
    pub(super) fn in_padding(&self, at: &[i64]) -> bool {
        let rank = self.input.len();
        (0..rank).all(|axis| at[axis] < (self.input[axis] + self.pads[axis + rank]) as i64)
    }
}

pub(super) fn entry(x: &Array, picture: usize, channel: usize, place: &[usize]) -> f64 {
    x.data[index(&x.shape, &[&[picture, channel], place].concat())]
}

pub(super) fn conv(ty: &TensorType, given: &[&Array], op: &Conv) -> Result<Array, String> {
    let [x, weight, ..] = given[..] else { return Err("takes 2 to 3 inputs".into()) };
    let window = Window::new(&x.shape[2..], &weight.shape[2..], &op.strides, &op.dilations, &op.padding);
    let (per_group, outputs_per_group) = (weight.shape[1], weight.shape[0] / op.group);
    let (kernel, picture_size) = (&weight.shape[2..], &x.shape[2..]);
    let (taps, pixels): (usize, usize) = (kernel.iter().product(), picture_size.iter().product());
    from_fn(ty, |at| {
        let (picture, output, place) = (at[0], at[1], &at[2..]);
        let first = picture * x.shape[1] + output / outputs_per_group.max(1) * per_group;
        let mut sum = given.get(2).map_or(0.0, |bias| bias.data[output]);
        for (tap, place) in window.taps(place) {
            if let Some(place) = window.inside(&place) {
                let (tap, pixel) = (index(kernel, &tap), index(picture_size, &place));
                for c in 0..per_group {
                    sum += weight.data[(output * per_group + c) * taps + tap] * x.data[(first + c) * pixels + pixel];
                }
            }
        }
        sum
    })
}

pub(super) fn max_pool(ty: &TensorType, x: &Array, op: &MaxPool) -> Result<Array, String> {
    let window = Window::new(&x.shape[2..], &op.kernel_shape, &op.strides, &op.dilations, &op.padding);
    from_fn(ty, |at| {
        let seen = window.taps(&at[2..]).filter_map(|(_, place)| window.inside(&place));
        seen.map(|place| entry(x, at[0], at[1], &place)).fold(f64::NEG_INFINITY, f64::max)
    })
}

pub(super) fn average_pool(ty: &TensorType, x: &Array, op: &AveragePool) -> Result<Array, String> {
    let window = Window::new(&x.shape[2..], &op.kernel_shape, &op.strides, &op.dilations, &op.padding);
    from_fn(ty, |at| {
        let (mut sum, mut count) = (0.0, 0);
        for (_, place) in window.taps(&at[2..]) {
            match window.inside(&place) {
                Some(place) => {
                    sum += entry(x, at[0], at[1], &place);
                    count += 1;
                }
                None => count += usize::from(op.count_include_pad && window.in_padding(&place)),
            }
        }
        sum / f64::from(count as u32)
    })
}
