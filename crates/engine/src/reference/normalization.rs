//! Means, batch normalisation and softmax.

use super::{Array, from_fn, index, position, reduced, sum_to};
use crate::plan::from_front;
use percept_graph::TensorType;
use percept_graph::ops::{BatchNormalization, LayerNormalization};

/// The mean over `axes`, whether the result keeps them or not.
pub(super) fn mean(ty: &TensorType, x: &Array, axes: &[usize]) -> Result<Array, String> {
    let sums = sum_to(&reduced(&x.shape, axes), x);
    let count: usize = axes.iter().map(|&axis| x.shape[axis]).product();
    Array::like(ty, sums.into_iter().map(|sum| sum / count as f64).collect())
}

/// The mean and the variance that a normalisation uses: those of the batch in training, otherwise those given.
fn statistics(x: &Array, mean: &Array, variance: &Array, op: &BatchNormalization) -> [Vec<f64>; 2] {
    if !op.training_mode {
        return [mean.data.clone(), variance.data.clone()];
    }
    let count = x.data.len() as f64 / x.shape[1] as f64;
    let [mut mean, mut variance] = [0, 1].map(|_| vec![0.0; x.shape[1]]);
    let values = || x.data.iter().enumerate().map(|(i, value)| (position(&x.shape, i)[1], value));
    values().for_each(|(channel, value)| mean[channel] += value / count);
    values().for_each(|(channel, value)| variance[channel] += (value - mean[channel]).powi(2) / count);
    [mean, variance]
}

pub(super) fn batch_norm(given: &[&Array], op: &BatchNormalization) -> Result<Vec<Array>, String> {
    let [x, scale, bias, mean, variance] = given[..] else { return Err("takes 5 inputs".into()) };
    let channel = |i: usize| position(&x.shape, i)[1];
    let [used_mean, used_variance] = statistics(x, mean, variance, op);
    let mut outputs = Vec::new();
    if op.training_mode {
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

pub(super) fn softmax(x: &Array, axis: i64) -> Result<Array, String> {
    let axis = from_front(axis, x.shape.len());
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
    let [mean, variance] = statistics(x, mean, variance, op);
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

/// A row less its mean, over its deviation; and one over that.
fn normal(row: &[f64], epsilon: f32) -> (Vec<f64>, f64) {
    let n = row.len() as f64;
    let mean = row.iter().sum::<f64>() / n;
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let inverse = 1.0 / (variance + f64::from(epsilon)).sqrt();
    (row.iter().map(|x| (x - mean) * inverse).collect(), inverse)
}

pub(super) fn layer_norm(given: &[&Array], op: &LayerNormalization) -> Array {
    let (x, scale, bias) = (given[0], given[1], given.get(2));
    let rows = x.data.chunks(scale.data.len().max(1)).flat_map(|row| normal(row, op.epsilon).0);
    let place = |i: usize| i % scale.data.len();
    let scaled = |(i, x): (usize, f64)| x * scale.data[place(i)] + bias.map_or(0.0, |bias| bias.data[place(i)]);
    Array { data: rows.enumerate().map(scaled).collect(), ..x.clone() }
}

/// Gradients with respect to x, scale and bias.
pub(super) fn layer_norm_grad(given: &[&Array], op: &LayerNormalization) -> Result<Vec<Array>, String> {
    let [x, scale, gradient] = given[..] else { return Err("takes 3 inputs".into()) };
    let n = scale.data.len();
    let (mut dx, mut dscale, mut dbias) = (Vec::with_capacity(x.data.len()), vec![0.0; n], vec![0.0; n]);
    for (row, dy) in x.data.chunks(n.max(1)).zip(gradient.data.chunks(n.max(1))) {
        let (normal, inverse) = normal(row, op.epsilon);
        let slopes: Vec<_> = dy.iter().zip(&scale.data).map(|(dy, scale)| dy * scale).collect();
        let mean = slopes.iter().sum::<f64>() / n as f64;
        let along = slopes.iter().zip(&normal).map(|(slope, x)| slope * x).sum::<f64>() / n as f64;
        for i in 0..n {
            dx.push(inverse * (slopes[i] - mean - normal[i] * along));
            dscale[i] += dy[i] * normal[i];
            dbias[i] += dy[i];
        }
    }
    let like_scale = |data| Array { data, ..scale.clone() };
    Ok(vec![Array { data: dx, ..x.clone() }, like_scale(dscale), like_scale(dbias)])
}
