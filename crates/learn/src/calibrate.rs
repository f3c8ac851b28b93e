//! Probabilities that mean what they say: temperature scaling, and the calibration error that it lowers.
//!
//! One number that divides all logits is fitted on validation data (Guo et al. 2017, *On Calibration of Modern Neural Networks*); it
//! changes no prediction, cannot overfit, and fits into the model as one `Div`.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Temperatures looked at: beyond, the logits say nothing, or the validation data have no mistake to learn from.
const RANGE: [f64; 2] = [0.01, 100.0];
/// Number of equal-width bins of confidence, as in the paper.
pub const BINS: usize = 15;

/// The temperature in 0.01..=100 that minimises the loss of `softmax(logits / temperature)`, for logits n × `classes`.
///
/// The loss is convex in the inverse temperature, so Newton's method, bracketed, finds its minimum.
///
/// # Errors
/// No rows; labels out of range; logits that are not finite.
///
/// ```
/// // Two answers of certainty e⁴ : 1, of which one is wrong: better not be certain at all.
/// let t = percept_learn::calibrate::temperature(&[4.0, 0.0, 4.0, 0.0], 2, &[0, 1])?;
/// assert_eq!(t, 100.0);
/// # Ok::<(), percept_learn::Error>(())
/// ```
pub fn temperature(logits: &[f32], classes: usize, labels: &[usize]) -> Result<f64> {
    check(logits, classes, labels)?;
    let (mut low, mut high) = (1.0 / RANGE[1], 1.0 / RANGE[0]);
    if slope(logits, classes, labels, low).0 >= 0.0 {
        return Ok(RANGE[1]);
    }
    if slope(logits, classes, labels, high).0 <= 0.0 {
        return Ok(RANGE[0]);
    }
    let mut inverse = 1.0;
    for _ in 0..100 {
        let (first, second) = slope(logits, classes, labels, inverse);
        *(if first > 0.0 { &mut high } else { &mut low }) = inverse;
        let newton = inverse - first / second;
        let next = if newton > low && newton < high { newton } else { (low * high).sqrt() };
        if (next - inverse).abs() <= 1e-9 * inverse {
            break;
        }
        inverse = next;
    }
    Ok(1.0 / inverse)
}

/// Mean negative log-likelihood of `softmax(logits / temperature)`, for logits n × `classes`.
///
/// ```
/// let nll = percept_learn::calibrate::nll(&[0.0, 0.0], 2, &[1], 1.0)?;
/// assert!((nll - 2f64.ln()).abs() < 1e-12);
/// # Ok::<(), percept_learn::Error>(())
/// ```
pub fn nll(logits: &[f32], classes: usize, labels: &[usize], temperature: f64) -> Result<f64> {
    check(logits, classes, labels)?;
    let losses = logits.chunks_exact(classes).zip(labels).map(|(row, &label)| {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let z = |x: f32| (f64::from(x) - f64::from(max)) / temperature;
        row.iter().map(|&x| z(x).exp()).sum::<f64>().ln() - z(row[label])
    });
    Ok(losses.sum::<f64>() / labels.len() as f64)
}

/// First and second derivative of the mean loss by the inverse temperature: the mean of `E[z] − z_label` and of `Var[z]`.
fn slope(logits: &[f32], classes: usize, labels: &[usize], inverse: f64) -> (f64, f64) {
    let (mut first, mut second) = (0.0, 0.0);
    for (row, &label) in logits.chunks_exact(classes).zip(labels) {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (mut sum, mut mean, mut square) = (0.0, 0.0, 0.0);
        for &x in row {
            let z = f64::from(x) - f64::from(max);
            let p = (z * inverse).exp();
            (sum, mean, square) = (sum + p, mean + p * z, square + p * z * z);
        }
        (mean, square) = (mean / sum, square / sum);
        first += mean - (f64::from(row[label]) - f64::from(max));
        second += square - mean * mean;
    }
    (first / labels.len() as f64, second / labels.len() as f64)
}

/// Checks n × `classes` finite values and n labels, at least one.
pub(crate) fn check(values: &[f32], classes: usize, labels: &[usize]) -> Result<()> {
    if labels.is_empty() || classes == 0 {
        return Err(Error::Empty("rows to measure on"));
    }
    Error::check_size("values for the labels", values.len(), labels.len().saturating_mul(classes))?;
    Error::check_labels(labels, classes)?;
    match values.iter().position(|x| !x.is_finite()) {
        Some(i) => Err(Error::NotFinite { row: i / classes, column: i % classes, value: values[i] }),
        None => Ok(()),
    }
}

/// Predictions of similar confidence, one bar of a reliability diagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Number of predictions whose confidence is in the bin: above `i/15`, up to and including `(i+1)/15`.
    pub count: usize,
    /// Share of them that is right; 0 if there are none.
    pub accuracy: f64,
    /// Their mean confidence; 0 if there are none.
    pub confidence: f64,
}

/// The reliability diagram of predictions, given as (confidence, whether it was right): [`BINS`] bins of equal width.
///
/// ```
/// let bins = percept_learn::calibrate::reliability([(0.9, true), (0.92, false)]);
/// assert_eq!((bins[13].count, bins[13].accuracy), (2, 0.5));
/// ```
pub fn reliability(predictions: impl IntoIterator<Item = (f64, bool)>) -> Vec<ReliabilityBin> {
    let mut bins = vec![ReliabilityBin::default(); BINS];
    for (confidence, right) in predictions {
        let bin = &mut bins[((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1];
        bin.count += 1;
        bin.accuracy += f64::from(u8::from(right));
        bin.confidence += confidence;
    }
    for bin in bins.iter_mut().filter(|bin| bin.count > 0) {
        bin.accuracy /= bin.count as f64;
        bin.confidence /= bin.count as f64;
    }
    bins
}

/// Expected calibration error: the mean distance of accuracy and confidence over the bins, weighted by their counts.
pub fn ece(bins: &[ReliabilityBin]) -> f64 {
    let total: usize = bins.iter().map(|bin| bin.count).sum();
    let distance = |bin: &ReliabilityBin| bin.count as f64 * (bin.accuracy - bin.confidence).abs();
    bins.iter().map(distance).sum::<f64>() / total.max(1) as f64
}

/// A root-mean-square calibration error without the upward bias that small bins give: 0 for a calibrated model, on average.
///
/// Predictions, given as (confidence, whether it was right), are put into [`BINS`] bins of equal count; from the squared distance of each
/// the variance of its accuracy is taken away: the debiased estimator of Kumar, Liang and Ma 2019, *Verified Uncertainty Calibration*,
/// section 5. What is below zero is reported as 0; NaN of fewer than two predictions a bin.
///
/// ```
/// // Right in three of four cases and 75 % sure: what distance the bins have is chance.
/// let predictions: Vec<(f64, bool)> = (0..60).map(|i| (0.75, i % 4 != 0)).collect();
/// assert_eq!(percept_learn::calibrate::debiased(&predictions), 0.0);
/// ```
pub fn debiased(predictions: &[(f64, bool)]) -> f64 {
    let n = predictions.len();
    if n < 2 * BINS {
        return f64::NAN;
    }
    let mut sorted = predictions.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let square = |bin: usize| {
        let rows = &sorted[bin * n / BINS..(bin + 1) * n / BINS];
        let count = rows.len() as f64;
        let confidence = rows.iter().map(|row| row.0).sum::<f64>() / count;
        let accuracy = rows.iter().filter(|row| row.1).count() as f64 / count;
        count / n as f64 * ((confidence - accuracy).powi(2) - accuracy * (1.0 - accuracy) / (count - 1.0))
    };
    (0..BINS).map(square).sum::<f64>().max(0.0).sqrt()
}
