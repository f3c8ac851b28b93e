//! A further class beside those of a classifier, whose logits stay as they are.
//!
//! In a softmax over the old logits and a new one `u` the new class has the probability `σ(u − log Σ exp old)`. With the old logits fixed
//! that is a logistic regression with an offset for each row, of one row of weights: seconds of work, and an old answer can only change to
//! the new class.

use super::scale::Scale;
use super::{Options, Samples};
use crate::kernels::fold_chunks;
use crate::lbfgs::minimize;
use crate::{Error, Result};
use percept_engine::Settings;
use std::ops::ControlFlow;

/// A class beside others: its logit is `features · coefficients + intercept`.
#[derive(Clone, Debug, PartialEq)]
pub struct Further {
    /// One for each feature.
    pub coefficients: Vec<f32>,
    /// What is added to the product.
    pub intercept: f32,
}

impl Further {
    /// The logit of every row.
    pub fn logits(&self, settings: &Settings, features: &dyn super::Features) -> Result<Vec<f32>> {
        Error::check_size("features that the weights are for", self.coefficients.len(), features.width())?;
        let parts = fold_chunks(settings, features, Vec::new, |logits, _, values| {
            let rows = values.chunks_exact(self.coefficients.len());
            logits.extend(rows.map(|row| self.intercept + dot(row, &self.coefficients)));
            Ok(())
        })?;
        Ok(parts.concat())
    }
}

/// Fits a class whose rows have the label 1, against rows of the others with the label 0. `offsets` has for each row the logarithm of the
/// sum of the exponentials of the old logits.
///
/// It minimises `Σ wᵢ·lossᵢ + ‖w‖²/(2C)` on standardised features, as [`fit`](super::fit) does.
///
/// # Errors
/// Labels, weights, offsets or features out of range.
pub fn further(settings: &Settings, samples: &Samples<'_>, offsets: &[f64], options: &Options) -> Result<Further> {
    let (rows, width) = (samples.features.rows(), samples.features.width());
    Error::check_size("labels", samples.labels.len(), rows)?;
    Error::check_size("offsets", offsets.len(), rows)?;
    Error::check_labels(samples.labels, 2)?;
    if let Some(weights) = samples.weights {
        Error::check_size("row weights", weights.len(), rows)?;
    }
    let weight = |row: usize| samples.weights.map_or(1.0, |weights| weights[row]);
    let total: f64 = (0..rows).map(|row| f64::from(weight(row))).sum();
    if total.is_nan() || total <= 0.0 {
        return Err(Error::Empty("samples to learn from"));
    }
    let scale = Scale::of(settings, samples.features, weight)?;
    let penalty = 1.0 / (options.c * total);
    let evaluate = |x: &[f64]| {
        let narrow: Vec<f32> = x[..width].iter().map(|&x| x as f32).collect();
        let start = || (0.0, vec![0.0f32; width], 0.0);
        let parts = fold_chunks(settings, samples.features, start, |(loss, gradient, intercept), range, values| {
            scale.apply(values);
            for (row, values) in range.zip(values.chunks_exact(width)) {
                let margin = f64::from(dot(values, &narrow)) + x[width] - offsets[row];
                let (label, weight) = (samples.labels[row] as f64, f64::from(weight(row)));
                // log(1 + exp(margin)) − label · margin, without overflow.
                *loss += weight * (margin.max(0.0) + (-margin.abs()).exp().ln_1p() - label * margin);
                let residual = weight * (1.0 / (1.0 + (-margin).exp()) - label);
                *intercept += residual;
                let residual = residual as f32;
                gradient.iter_mut().zip(values).for_each(|(sum, x)| *sum += residual * x);
            }
            Ok(())
        })?;
        let (mut value, mut gradient) = (0.0, vec![0.0; width + 1]);
        for (loss, weights, intercept) in parts {
            value += loss / total;
            gradient.iter_mut().zip(weights).for_each(|(sum, x)| *sum += f64::from(x) / total);
            gradient[width] += intercept / total;
        }
        gradient.iter_mut().zip(&x[..width]).for_each(|(sum, w)| *sum += penalty * w);
        Ok((value + penalty * x[..width].iter().map(|w| w * w).sum::<f64>() / 2.0, gradient))
    };
    let start = vec![0.0; width + 1];
    let go_on = |_, _, _| ControlFlow::Continue(());
    let found = minimize::<crate::Error>(start, options.max_iterations, options.tolerance, evaluate, go_on)?.x;
    let (mut intercept, mut coefficients) = (found[width], Vec::with_capacity(width));
    for (i, w) in found[..width].iter().enumerate() {
        let w = if scale.deviation[i] > 0.0 { w / scale.deviation[i] } else { 0.0 };
        coefficients.push(w as f32);
        intercept -= w * scale.mean[i];
    }
    Ok(Further { coefficients, intercept: intercept as f32 })
}

/// The product of two rows, in eight sums, so that the compiler may use vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    a.zip(b).for_each(|(a, b)| sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b));
    sums.iter().sum::<f32>() + rest
}
