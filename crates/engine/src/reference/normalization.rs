//! Means, batch normalisation and softmax.

use super::{Array, from_fn, index, position};
use percept_graph::TensorType;
use percept_graph::ops::{BatchNormalization, ReduceMean, Softmax};

/// The mean over `axes`, whether the result keeps them or not.
pub(super) fn mean(ty: &TensorType, x: &Array, axes: &[usize]) -> Result<Array, String> {
    let mut kept = x.shape.clone();
    axes.iter().for_each(|&axis| kept[axis] = 1);
    let mut sums = vec![0.0; kept.iter().product()];
    for (i, value) in x.data.iter().enumerate() {
        let mut at = position(&x.shape, i);
        axes.iter().for_each(|&axis| at[axis] = 0);
        sums[index(&kept, &at)] += value;
    }
    let count: usize = axes.iter().map(|&axis| x.shape[axis]).product();
    Array::like(ty, sums.into_iter().map(|sum| sum / count as f64).collect())
}

pub(super) fn reduce_mean(ty: &TensorType, x: &Array, op: &ReduceMean) -> Result<Array, String> {
    let rank = x.shape.len();
    let from_front = |&axis: &i64| if axis < 0 { rank.wrapping_add_signed(axis as isize) } else { axis as usize };
    let axes = op.axes.as_ref().map_or((0..rank).collect(), |axes| axes.iter().map(from_front).collect::<Vec<_>>());
    mean(ty, x, &axes)
}

pub(super) fn batch_norm(given: &[&Array], op: &BatchNormalization) -> Result<Vec<Array>, String> {
    let [x, scale, bias, mean, variance] = given[..] else { return Err("takes 5 inputs".into()) };
    let channel = |i: usize| position(&x.shape, i)[1];
    let (mut used_mean, mut used_variance) = (mean.data.clone(), variance.data.clone());
    let mut outputs = Vec::new();
    if op.training_mode {
        let count = x.data.len() as f64 / x.shape[1] as f64;
        used_mean.fill(0.0);
        used_variance.fill(0.0);
        x.data.iter().enumerate().for_each(|(i, value)| used_mean[channel(i)] += value / count);
        for (i, value) in x.data.iter().enumerate() {
            used_variance[channel(i)] += (value - used_mean[channel(i)]).powi(2) / count;
        }
        let momentum = f64::from(op.momentum);
        for (old, batch) in [(mean, &used_mean), (variance, &used_variance)] {
            let data = old.data.iter().zip(batch).map(|(old, new)| old * momentum + new * (1.0 - momentum));
            outputs.push(Array { data: data.collect(), ..old.clone() });
        }
    }
    let normal = |(i, value): (usize, &f64)| {
        let c = channel(i);
        let deviation = (used_variance[c] + f64::from(op.epsilon)).sqrt();
        (value - used_mean[c]) / deviation * scale.data[c] + bias.data[c]
    };
    outputs.insert(0, Array { data: x.data.iter().enumerate().map(normal).collect(), ..x.clone() });
    Ok(outputs)
}

pub(super) fn softmax(x: &Array, op: &Softmax) -> Result<Array, String> {
    let rank = x.shape.len();
    let axis = if op.axis < 0 { rank.wrapping_add_signed(op.axis as isize) } else { op.axis as usize };
    from_fn(&x.ty(), |at| {
        let entry = |i: usize| {
            let mut at = at.to_vec();
            at[axis] = i;
            x.data[index(&x.shape, &at)]
        };
        let largest = (0..x.shape[axis]).map(entry).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = (0..x.shape[axis]).map(|i| (entry(i) - largest).exp()).sum();
        (entry(at[axis]) - largest).exp() / sum
    })
}

/// Gradients with respect to x, scale and bias.
pub(super) fn batch_norm_grad(given: &[&Array], op: &BatchNormalization) -> Result<Vec<Array>, String> {
    let [x, scale, mean, variance, gradient] = given[..] else { return Err("takes 5 inputs".into()) };
    let channel = |i: usize| position(&x.shape, i)[1];
    let count = x.data.len() as f64 / x.shape[1] as f64;
    let (mut mean, mut variance) = (mean.data.clone(), variance.data.clone());
    if op.training_mode {
        mean.fill(0.0);
        variance.fill(0.0);
        x.data.iter().enumerate().for_each(|(i, value)| mean[channel(i)] += value / count);
        x.data
            .iter()
            .enumerate()
            .for_each(|(i, value)| variance[channel(i)] += (value - mean[channel(i)]).powi(2) / count);
    }
    let inverse: Vec<_> = variance.iter().map(|v| 1.0 / (v + f64::from(op.epsilon)).sqrt()).collect();
    let normal = |i: usize| (x.data[i] - mean[channel(i)]) * inverse[channel(i)];
    let (mut dscale, mut dbias) = (vec![0.0; mean.len()], vec![0.0; mean.len()]);
    for (i, dy) in gradient.data.iter().enumerate() {
        dscale[channel(i)] += dy * normal(i);
        dbias[channel(i)] += dy;
    }
    let dx = (0..x.data.len()).map(|i| {
        let c = channel(i);
        let through_statistics = if op.training_mode { (dbias[c] + normal(i) * dscale[c]) / count } else { 0.0 };
        scale.data[c] * inverse[c] * (gradient.data[i] - through_statistics)
    });
    let dx = Array { data: dx.collect(), ..x.clone() };
    Ok(vec![dx, Array { data: dscale, ..scale.clone() }, Array { data: dbias, ..scale.clone() }])
}
