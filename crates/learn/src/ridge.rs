//! Ridge regression: a number from the features of a frozen network.
//!
//! It minimises `Σ wᵢ·(yᵢ − f(xᵢ))²/2 + ‖W‖²/(2C)` with a free intercept, which is scikit-learn's `Ridge` with α = 1/C, on features that are
//! standardised first, as [`logistic`](crate::logistic) does it. The normal equations are solved by conjugate gradients (Hestenes and
//! Stiefel, 1952) without being written down: a step is one pass over the features, so memory does not grow with their square.

use crate::features::Features;
use crate::kernels::{Linear, fold_chunks};
use crate::logistic::scale::Scale;
use crate::logistic::{Options, Weights};
use crate::{Error, Result};
use percept_engine::Settings;
use percept_engine::kernels::gradient::SLACK;

/// The path ends after this many fits in a row that are worse than the best.
const PATIENCE: usize = 2;

/// Rows to learn from or to check with.
#[derive(Clone, Copy)]
pub struct Samples<'a> {
    /// The features, one row for each sample.
    pub features: &'a dyn Features,
    /// The number that belongs to each row; best of variance 1.
    pub values: &'a [f32],
    /// How much each row counts; all the same if absent.
    pub weights: Option<&'a [f32]>,
}

/// What [`select`] found.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The best fit, made without the validation rows.
    pub weights: Weights,
    /// The options that made it.
    pub options: Options,
    /// Its mean squared error on the validation rows.
    pub mse: f64,
}

/// The path that suits pooled features and numbers of variance 1: `C` from 10⁻⁶ to 1 in half decades.
pub fn path() -> Vec<Options> {
    let options = |i| Options { c: 10f64.powf(f64::from(i) / 2.0), tolerance: 1e-4, ..Options::default() };
    (-12..=0).map(options).collect()
}

/// Fits the weights (of one class: predictions are their logits), starting from zero. A fit ends when the residual of the normal equations
/// has fallen to the share `tolerance` of that of zero, or after so many iterations.
///
/// # Errors
/// Values, weights or features that are not finite or not as many; features that cannot be read.
///
/// ```
/// use percept_learn::{features::Matrix, logistic::Options, ridge::{Samples, fit}};
/// use percept_engine::Settings;
/// let features = Matrix::new(vec![0.0, 1.0, 2.0, 3.0], 1)?;
/// let samples = Samples { features: &features, values: &[1.0, 3.0, 5.0, 7.0], weights: None };
/// let weights = fit(&Settings::detect()?, &samples, &Options { c: 1e6, ..Options::default() })?;
/// assert!((weights.coefficients[0] - 2.0).abs() < 1e-4 && (weights.intercept[0] - 1.0).abs() < 1e-4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn fit(settings: &Settings, samples: &Samples<'_>, options: &Options) -> Result<Weights> {
    let problem = Problem::new(settings, samples)?;
    let found = problem.solve(options, vec![0.0; samples.features.width()])?;
    Ok(problem.unscaled(&found))
}

/// Fits along `path` (in ascending `C`) on `train` and keeps the fit whose error on `validation` is smallest.
///
/// # Errors
/// As [`fit`]; an empty path; no validation rows.
pub fn select(
    settings: &Settings,
    train: &Samples<'_>,
    validation: &Samples<'_>,
    path: &[Options],
) -> Result<Selection> {
    let problem = Problem::new(settings, train)?;
    let mut found = vec![0.0; train.features.width()];
    let (mut best, mut worse): (Option<Selection>, _) = (None, 0);
    for options in path {
        found = problem.solve(options, found)?;
        let weights = problem.unscaled(&found);
        let mse = mean_squared_error(&weights.logits(settings, validation.features)?, validation)?;
        worse += 1;
        if best.as_ref().is_none_or(|best| mse < best.mse) {
            (best, worse) = (Some(Selection { weights, options: *options, mse }), 0);
        }
        if worse == PATIENCE {
            break;
        }
    }
    best.ok_or(Error::Empty("values of C to try"))
}

fn mean_squared_error(predicted: &[f32], samples: &Samples<'_>) -> Result<f64> {
    Error::check_size("values to check with", samples.values.len(), predicted.len())?;
    if predicted.is_empty() {
        return Err(Error::Empty("samples to check with"));
    }
    let square = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
    Ok(predicted.iter().zip(samples.values).map(square).sum::<f64>() / predicted.len() as f64)
}

/// Checked samples and what is computed from them once.
struct Problem<'a> {
    settings: &'a Settings,
    samples: Samples<'a>,
    scale: Scale,
    total_weight: f64,
    /// The weighted mean of the values, which is the intercept for standardised features.
    mean: f64,
    /// The right side of the normal equations.
    right: Vec<f64>,
}

impl<'a> Problem<'a> {
    fn new(settings: &'a Settings, samples: &Samples<'a>) -> Result<Self> {
        let (rows, width) = (samples.features.rows(), samples.features.width());
        Error::check_size("values", samples.values.len(), rows)?;
        if let Some(row) = samples.values.iter().position(|value| !value.is_finite()) {
            return Err(Error::NotFinite { row, column: 0, value: samples.values[row] });
        }
        if let Some(weights) = samples.weights {
            Error::check_size("row weights", weights.len(), rows)?;
            if let Some(row) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
                return Err(Error::Weight { row, weight: weights[row] });
            }
        }
        let weight = |row: usize| samples.weights.map_or(1.0, |weights| weights[row]);
        let total_weight: f64 = (0..rows).map(|row| f64::from(weight(row))).sum();
        if total_weight == 0.0 {
            return Err(Error::Empty("samples to learn from"));
        }
        let sum: f64 = samples.values.iter().enumerate().map(|(row, &y)| f64::from(weight(row)) * f64::from(y)).sum();
        let scale = Scale::of(settings, samples.features, weight)?;
        let mean = sum / total_weight;
        let mut problem = Self { settings, samples: *samples, scale, total_weight, mean, right: Vec::new() };
        let zero = vec![0.0; width];
        problem.right = problem.pass(&zero, |row, _| (f64::from(samples.values[row]) - mean) as f32)?;
        Ok(problem)
    }

    /// `Xᵀ·w·r / Σw`, where `r` is made of the row's number and its product with `direction`.
    fn pass(&self, direction: &[f64], r: impl Fn(usize, f32) -> f32 + Sync) -> Result<Vec<f64>> {
        let narrow: Vec<f32> = direction.iter().map(|&x| x as f32).collect();
        let linear = Linear::new(self.settings.isa, &narrow, &[0.0]);
        let state = || (vec![0.0f32; direction.len()], Vec::new());
        let parts = fold_chunks(self.settings, self.samples.features, state, |(sum, products), rows, values| {
            self.scale.apply(values);
            products.resize(rows.len() + SLACK, 0.0);
            linear.logits(values, &mut products[..rows.len()]);
            for (row, product) in rows.zip(products.iter_mut()) {
                *product = self.samples.weights.map_or(1.0, |weights| weights[row]) * r(row, *product);
            }
            linear.add_gradient(values, products, sum);
            Ok(())
        })?;
        let mut sums = vec![0.0; direction.len()];
        for (part, _) in parts {
            sums.iter_mut().zip(part).for_each(|(a, b)| *a += f64::from(b));
        }
        sums.iter_mut().for_each(|x| *x /= self.total_weight);
        Ok(sums)
    }

    /// Solves the normal equations for standardised features, starting from `x`.
    fn solve(&self, options: &Options, mut x: Vec<f64>) -> Result<Vec<f64>> {
        let Options { c, max_iterations, tolerance } = *options;
        if !(c.is_finite() && c > 0.0) {
            return Err(Error::Setting { name: "C", value: c, must: "a positive number" });
        }
        let penalty = 1.0 / (c * self.total_weight);
        let product = |p: &[f64]| -> Result<Vec<f64>> {
            let mut product = self.pass(p, |_, product| product)?;
            product.iter_mut().zip(p).for_each(|(a, b)| *a += penalty * b);
            Ok(product)
        };
        let mut residual: Vec<f64> = self.right.iter().zip(product(&x)?).map(|(a, b)| a - b).collect();
        let mut direction = residual.clone();
        let mut square = dot(&residual, &residual);
        let enough = tolerance.powi(2) * dot(&self.right, &self.right);
        for _ in 0..max_iterations {
            if square <= enough {
                break;
            }
            let image = product(&direction)?;
            let step = square / dot(&direction, &image);
            x.iter_mut().zip(&direction).for_each(|(x, d)| *x += step * d);
            residual.iter_mut().zip(&image).for_each(|(r, i)| *r -= step * i);
            let next = dot(&residual, &residual);
            direction.iter_mut().zip(&residual).for_each(|(d, r)| *d = r + next / square * *d);
            square = next;
        }
        Ok(x)
    }

    /// The weights for the features as they are.
    fn unscaled(&self, standardised: &[f64]) -> Weights {
        let mut intercept = self.mean;
        let scaled = standardised.iter().zip(&self.scale.deviation).zip(&self.scale.mean);
        let coefficients = scaled.map(|((w, &deviation), mean)| {
            let w = if deviation > 0.0 { w / deviation } else { 0.0 };
            intercept -= w * mean;
            w as f32
        });
        let coefficients = coefficients.collect();
        Weights { width: standardised.len(), classes: 1, coefficients, intercept: vec![intercept as f32] }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
