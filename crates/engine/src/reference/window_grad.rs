//! Gradients of convolution and pooling: every output position hands its gradient back to what it saw.

use super::window::{Window, averaged, entry, products};
use super::{Array, from_fn, index, position};
use percept_graph::ops::{AveragePool, Conv, ConvTranspose, MaxPool};
use percept_graph::{Dim, TensorType};

pub(super) fn conv_input(ty: &TensorType, given: &[&Array], op: &Conv) -> Result<Array, String> {
    let [gradient, weight, like] = given[..] else { return Err("takes 3 inputs".into()) };
    let mut dx = Array::zeros(ty)?;
    let shapes = [&like.shape[..], &weight.shape, &gradient.shape];
    products(shapes, op, |from, w, x| dx.data[x] += gradient.data[from] * weight.data[w]);
    Ok(dx)
}

pub(super) fn conv_transpose(ty: &TensorType, given: &[&Array], op: &ConvTranspose) -> Result<Array, String> {
    let [x, weight, ..] = given[..] else { return Err("takes 2 to 3 inputs".into()) };
    let mut y = from_fn(ty, |at| given.get(2).map_or(0.0, |bias| bias.data[at[1]]))?;
    let spatial: Vec<_> = x.shape[2..].iter().map(|&size| Dim::from(size)).collect();
    let (conv, _) = op.conv(&spatial, &weight.shape[2..])?;
    let shapes = [&y.shape.clone()[..], &weight.shape, &x.shape];
    products(shapes, &conv, |from, w, to| y.data[to] += x.data[from] * weight.data[w]);
    Ok(y)
}

pub(super) fn conv_weight(ty: &TensorType, given: &[&Array], op: &Conv) -> Result<Array, String> {
    let [x, gradient, like] = given[..] else { return Err("takes 3 inputs".into()) };
    let mut dw = Array::zeros(ty)?;
    let shapes = [&x.shape[..], &like.shape, &gradient.shape];
    products(shapes, op, |from, w, at| dw.data[w] += gradient.data[from] * x.data[at]);
    Ok(dw)
}

pub(super) fn max_pool(ty: &TensorType, given: &[&Array], op: &MaxPool) -> Result<Array, String> {
    let [x, gradient] = given[..] else { return Err("takes 2 inputs".into()) };
    let window = Window::new(&x.shape[2..], &op.kernel_shape, op.steps());
    let mut dx = Array::zeros(ty)?;
    for (i, &dy) in gradient.data.iter().enumerate() {
        let at = position(&gradient.shape, i);
        let seen = window.taps(&at[2..]).filter_map(|(_, place)| window.inside(&place));
        let seen = seen.map(|place| (entry(x, at[0], at[1], &place), place));
        if let Some((_, place)) = seen.reduce(|best, next| if next.0 > best.0 { next } else { best }) {
            dx.data[index(&x.shape, &[&at[..2], &place[..]].concat())] += dy;
        }
    }
    Ok(dx)
}

pub(super) fn average_pool(ty: &TensorType, gradient: &Array, op: &AveragePool) -> Result<Array, String> {
    let mut dx = Array::zeros(ty)?;
    let input = dx.shape[2..].to_vec();
    let window = Window::new(&input, &op.kernel_shape, op.steps());
    for (i, &dy) in gradient.data.iter().enumerate() {
        let at = position(&gradient.shape, i);
        let (places, count) = averaged(&window, op, &at[2..]);
        for place in places {
            dx.data[index(&dx.shape, &[&at[..2], &place[..]].concat())] += dy / count;
        }
    }
    Ok(dx)
}
