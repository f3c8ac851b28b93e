//! Gradients of convolution and pooling: every output position hands its gradient back to what it saw.

use super::window::{Window, entry};
use super::{Array, index, position};
use percept_graph::TensorType;
use percept_graph::ops::{AveragePool, Conv, MaxPool};

fn zeros(ty: &TensorType) -> Result<Array, String> {
    let shape = ty.concrete().map_err(|e| e.to_string())?;
    Array::like(ty, vec![0.0; shape.iter().product()])
}

/// Calls `f(gradient, weight's index, input's index)` for every product of a convolution.
fn products(
    x: &[usize],
    weight: &[usize],
    gradient: &Array,
    op: &Conv,
    mut f: impl FnMut(f64, usize, usize),
) -> Result<(), String> {
    let window = Window::new(&x[2..], &weight[2..], &op.strides, &op.dilations, &op.padding);
    let (per_group, outputs_per_group) = (weight[1], weight[0] / op.group);
    for (i, &dy) in gradient.data.iter().enumerate() {
        let at = position(&gradient.shape, i);
        let first = at[1] / outputs_per_group.max(1) * per_group;
        for (tap, place) in window.taps(&at[2..]) {
            let Some(place) = window.inside(&place) else { continue };
            for c in 0..per_group {
                let w = index(weight, &[&[at[1], c], &tap[..]].concat());
                f(dy, w, index(x, &[&[at[0], first + c], &place[..]].concat()));
            }
        }
    }
    Ok(())
}

pub(super) fn conv_input(ty: &TensorType, given: &[&Array], op: &Conv) -> Result<Array, String> {
    let [gradient, weight, like] = given[..] else { return Err("takes 3 inputs".into()) };
    let mut dx = zeros(ty)?;
    products(&like.shape, &weight.shape, gradient, op, |dy, w, x| dx.data[x] += dy * weight.data[w])?;
    Ok(dx)
}

pub(super) fn conv_weight(ty: &TensorType, given: &[&Array], op: &Conv) -> Result<Array, String> {
    let [x, gradient, like] = given[..] else { return Err("takes 3 inputs".into()) };
    let mut dw = zeros(ty)?;
    products(&x.shape, &like.shape, gradient, op, |dy, w, at| dw.data[w] += dy * x.data[at])?;
    Ok(dw)
}

pub(super) fn max_pool(ty: &TensorType, given: &[&Array], op: &MaxPool) -> Result<Array, String> {
    let [x, gradient] = given[..] else { return Err("takes 2 inputs".into()) };
    let window = Window::new(&x.shape[2..], &op.kernel_shape, &op.strides, &op.dilations, &op.padding);
    let mut dx = zeros(ty)?;
    for (i, &dy) in gradient.data.iter().enumerate() {
        let at = position(&gradient.shape, i);
        let mut best: Option<(f64, Vec<usize>)> = None;
        for (_, place) in window.taps(&at[2..]) {
            let Some(place) = window.inside(&place) else { continue };
            let value = entry(x, at[0], at[1], &place);
            if best.as_ref().is_none_or(|(most, _)| value > *most) {
                best = Some((value, place));
            }
        }
        if let Some((_, place)) = best {
            dx.data[index(&x.shape, &[&at[..2], &place[..]].concat())] += dy;
        }
    }
    Ok(dx)
}

pub(super) fn average_pool(ty: &TensorType, gradient: &Array, op: &AveragePool) -> Result<Array, String> {
    let mut dx = zeros(ty)?;
    let input = dx.shape[2..].to_vec();
    let window = Window::new(&input, &op.kernel_shape, &op.strides, &op.dilations, &op.padding);
    for (i, &dy) in gradient.data.iter().enumerate() {
        let at = position(&gradient.shape, i);
        let places: Vec<_> = window.taps(&at[2..]).map(|(_, place)| place).collect();
        let inside: Vec<_> = places.iter().filter_map(|place| window.inside(place)).collect();
        let count = match op.count_include_pad {
            true => places.iter().filter(|place| window.in_padding(place)).count(),
            false => inside.len(),
        };
        for place in inside {
            dx.data[index(&dx.shape, &[&at[..2], &place[..]].concat())] += dy / count as f64;
        }
    }
    Ok(dx)
}
