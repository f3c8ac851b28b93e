//! The objective: mean loss and penalty over standardised features, with its gradient.
//!
//! The parameters are one vector: weights (width × classes, row-major), then the intercept.

use super::scale::Scale;
use super::{Samples, Weights};
use crate::kernels::{Linear, fold_chunks};
use crate::{Error, Result};
use percept_engine::Settings;
use percept_engine::kernels::gradient::SLACK;

/// Checked samples and what is computed from them once.
pub(super) struct Problem<'a> {
    settings: &'a Settings,
    samples: Samples<'a>,
    classes: usize,
    scale: Scale,
    total_weight: f64,
}

/// What a shard of rows contributes, and its working memory.
struct Part {
    loss: f64,
    weights: Vec<f32>,
    intercept: Vec<f64>,
    logits: Vec<f32>,
    residuals: Vec<f32>,
}

impl<'a> Problem<'a> {
    /// Checks the samples and finds their scale.
    pub(super) fn new(settings: &'a Settings, samples: &Samples<'a>, classes: usize) -> Result<Problem<'a>> {
        let rows = samples.features.rows();
        Error::check_size("labels", samples.labels.len(), rows)?;
        Error::check_labels(samples.labels, classes)?;
        let mut total_weight = rows as f64;
        if let Some(weights) = samples.weights {
            Error::check_size("row weights", weights.len(), rows)?;
            if let Some(row) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
                return Err(Error::Weight { row, weight: weights[row] });
            }
            total_weight = weights.iter().map(|&w| f64::from(w)).sum();
        }
        if total_weight == 0.0 {
            return Err(Error::Empty("samples to learn from"));
        }
        let scale = Scale::of(settings, samples.features, |row| samples.weights.map_or(1.0, |weights| weights[row]))?;
        Ok(Problem { settings, samples: *samples, classes, scale, total_weight })
    }

    pub(super) fn total_weight(&self) -> f64 {
        self.total_weight
    }

    /// All parameters zero.
    pub(super) fn zero(&self) -> Vec<f64> {
        vec![0.0; (self.samples.features.width() + 1) * self.classes]
    }

    /// The objective and its gradient.
    pub(super) fn evaluate(&self, parameters: &[f64], penalty: f64) -> Result<(f64, Vec<f64>)> {
        let (width, classes) = (self.samples.features.width(), self.classes);
        let weights = &parameters[..width * classes];
        let narrow: Vec<f32> = parameters.iter().map(|&x| x as f32).collect();
        let (narrow, narrow_intercept) = narrow.split_at(width * classes);
        let linear = Linear::new(self.settings.isa, narrow, narrow_intercept);
        let part = || Part {
            loss: 0.0,
            weights: vec![0.0; width * classes],
            intercept: vec![0.0; classes],
            logits: Vec::new(),
            residuals: Vec::new(),
        };
        let parts = fold_chunks(self.settings, self.samples.features, part, |part, rows, values| {
            self.scale.apply(values);
            part.logits.resize(rows.len() * classes, 0.0);
            part.residuals.resize(rows.len() * classes + SLACK, 0.0);
            linear.logits(values, &mut part.logits);

            linear.probabilities(&part.logits, &mut part.residuals[..rows.len() * classes]);
            self.residuals(part, rows.start);
            linear.add_gradient(values, &part.residuals, &mut part.weights);
            Ok(())
        })?;

        let squares: f64 = weights.iter().map(|w| w * w).sum();
        let mut loss = 0.0;
        let mut gradient = vec![0.0; parameters.len()];
        for part in &parts {
            loss += part.loss;
            let sums = part.weights.iter().map(|&x| f64::from(x)).chain(part.intercept.iter().copied());
            gradient.iter_mut().zip(sums).for_each(|(a, b)| *a += b);
        }
        gradient.iter_mut().for_each(|g| *g /= self.total_weight);
        gradient.iter_mut().zip(weights).for_each(|(g, w)| *g += penalty * w);

        Ok((loss / self.total_weight + penalty * squares / 2.0, gradient))
    }

    /// Turns probabilities into weighted residuals `w·(p − y)` and adds up loss and the intercept's gradient.
    fn residuals(&self, part: &mut Part, first: usize) {
        let classes = self.classes;
        let rows = part.logits.chunks_exact(classes).zip(part.residuals.chunks_exact_mut(classes));
        for (row, (logits, residuals)) in (first..).zip(rows) {
            let label = self.samples.labels[row];
            let weight = self.samples.weights.map_or(1.0, |weights| weights[row]);
            // Through the largest logit, because the label's own probability may be too small for f32.
            let largest = (0..classes).fold(0, |best, k| if logits[k] > logits[best] { k } else { best });
            let margin = f64::from(logits[largest]) - f64::from(logits[label]);
            part.loss += f64::from(weight) * (margin - f64::from(residuals[largest]).ln());
            residuals[label] -= 1.0;
            for (residual, sum) in residuals.iter_mut().zip(&mut part.intercept) {
                *residual *= weight;
                *sum += f64::from(*residual);
            }
        }
    }

    /// The parameters for standardised features as weights for the features as they are.
    pub(super) fn unscaled(&self, parameters: &[f64]) -> Weights {
        let (width, classes) = (self.samples.features.width(), self.classes);
        let (weights, intercept) = parameters.split_at(width * classes);
        let mut intercept = intercept.to_vec();
        let mut coefficients = vec![0.0; width * classes];
        for (i, (row, out)) in weights.chunks_exact(classes).zip(coefficients.chunks_exact_mut(classes)).enumerate() {
            if self.scale.deviation[i] == 0.0 {
                continue;
            }
            for ((w, out), b) in row.iter().zip(out).zip(&mut intercept) {
                let w = w / self.scale.deviation[i];
                *out = w as f32;
                *b -= w * self.scale.mean[i];
            }
        }
        Weights { width, classes, coefficients, intercept: intercept.iter().map(|&b| b as f32).collect() }
    }

    /// The reverse of [`unscaled`](Problem::unscaled).
    pub(super) fn standardised(&self, weights: &Weights) -> Result<Vec<f64>> {
        let (width, classes) = (self.samples.features.width(), self.classes);
        weights.check(width, classes)?;
        let mut parameters = self.zero();
        let (scaled, intercept) = parameters.split_at_mut(width * classes);
        intercept.iter_mut().zip(&weights.intercept).for_each(|(a, &b)| *a = f64::from(b));
        let rows = weights.coefficients.chunks_exact(classes).zip(scaled.chunks_exact_mut(classes));
        for (i, (row, out)) in rows.enumerate() {
            for ((&w, out), b) in row.iter().zip(out).zip(intercept.iter_mut()) {
                *out = f64::from(w) * self.scale.deviation[i];
                *b += f64::from(w) * self.scale.mean[i];
            }
        }
        Ok(parameters)
    }
}
