//! Convolution and pooling over any number of spatial axes.

use super::{Array, from_fn, index, position};
use percept_graph::TensorType;
use percept_graph::ops::{AveragePool, Conv, MaxPool, Steps};

/// Where a window's taps fall.
pub(super) struct Window<'a> {
    input: &'a [usize],
    kernel: &'a [usize],
    strides: &'a [usize],
    dilations: &'a [usize],
    pads: Vec<usize>,
}

impl<'a> Window<'a> {
    pub(super) fn new(input: &'a [usize], kernel: &'a [usize], steps: Steps<'a>) -> Self {
        let (strides, dilations, padding) = steps;
        Self { input, kernel, strides, dilations, pads: padding.resolve(input, kernel, strides, dilations) }
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

/// Calls `f(output's index, weight's index, input's index)` for every product of a convolution.
pub(super) fn products([x, weight, output]: [&[usize]; 3], op: &Conv, mut f: impl FnMut(usize, usize, usize)) {
    let window = Window::new(&x[2..], &weight[2..], op.steps());
    let (per_group, outputs_per_group) = (weight[1], weight[0] / op.group);
    let [pixels, taps] = [x, weight].map(|shape| shape[2..].iter().product::<usize>());
    for i in 0..output.iter().product() {
        let at = position(output, i);
        let first = at[0] * x[1] + at[1] / outputs_per_group.max(1) * per_group;
        for (tap, place) in window.taps(&at[2..]) {
            let Some(place) = window.inside(&place) else { continue };
            let (tap, pixel) = (index(&weight[2..], &tap), index(&x[2..], &place));
            for c in 0..per_group {
                f(i, (at[1] * per_group + c) * taps + tap, (first + c) * pixels + pixel);
            }
        }
    }
}

pub(super) fn conv(ty: &TensorType, given: &[&Array], op: &Conv) -> Result<Array, String> {
    let [x, weight, ..] = given[..] else { return Err("takes 2 to 3 inputs".into()) };
    let mut y = from_fn(ty, |at| given.get(2).map_or(0.0, |bias| bias.data[at[1]]))?;
    let shapes = [&x.shape[..], &weight.shape, &y.shape];
    products(shapes, op, |to, w, at| y.data[to] += weight.data[w] * x.data[at]);
    Ok(y)
}

pub(super) fn max_pool(ty: &TensorType, x: &Array, op: &MaxPool) -> Result<Array, String> {
    let window = Window::new(&x.shape[2..], &op.kernel_shape, op.steps());
    from_fn(ty, |at| {
        let seen = window.taps(&at[2..]).filter_map(|(_, place)| window.inside(&place));
        seen.map(|place| entry(x, at[0], at[1], &place)).fold(f64::NEG_INFINITY, f64::max)
    })
}

pub(super) fn average_pool(ty: &TensorType, x: &Array, op: &AveragePool) -> Result<Array, String> {
    let window = Window::new(&x.shape[2..], &op.kernel_shape, op.steps());
    from_fn(ty, |at| {
        let (places, count) = averaged(&window, op, &at[2..]);
        places.iter().map(|place| entry(x, at[0], at[1], place)).sum::<f64>() / count
    })
}

/// The places inside the input that an average sees, and by how many it divides.
pub(super) fn averaged(window: &Window<'_>, op: &AveragePool, output: &[usize]) -> (Vec<Vec<usize>>, f64) {
    let places: Vec<_> = window.taps(output).map(|(_, place)| place).collect();
    let inside: Vec<_> = places.iter().filter_map(|place| window.inside(place)).collect();
    let padded = places.iter().filter(|place| window.in_padding(place)).count();
    let count = if op.count_include_pad { padded } else { inside.len() };
    (inside, count as f64)
}
