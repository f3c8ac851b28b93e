//! How good a classifier is, and the answers to yes/no questions and for numbers: scikit-learn's definitions (`zero_division=0`), and
//! intervals that say how sure that is.

mod auc;
mod binary;
mod interval;
mod regression;
mod running;

use crate::Result;
use crate::calibrate::{ReliabilityBin, check, ece, reliability};
pub use auc::{Auc, auc, roc};
pub use binary::Binary;
pub use interval::wilson;
pub use regression::Regression;
pub use running::{ConfusionMatrix, MeanLoss, Perplexity, TopK};
use serde::{Deserialize, Serialize};

/// How good one class is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// Of the pictures given this label, the share that has it.
    pub precision: f64,
    /// Of the pictures that have this label, the share that was given it.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Pictures of the class.
    pub support: usize,
}

/// A cell of the confusion matrix that is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// The true class.
    pub label: usize,
    /// The class it was given.
    pub predicted: usize,
    /// Number of pictures.
    pub count: usize,
}

/// How good a classifier is on some pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Number of pictures.
    pub images: usize,
    /// Number of classes the classifier knows.
    pub classes: usize,
    /// Share of pictures whose most probable class is right.
    pub accuracy: f64,
    /// Its 95 % interval, [`wilson`].
    pub accuracy_ci95: [f64; 2],
    /// Share of pictures whose class is among the five most probable.
    pub top5: f64,
    /// Mean F1 over the classes that occur among labels or predictions.
    pub f1_macro: f64,
    /// Mean negative log-likelihood; probabilities below f32's epsilon count as that, as in scikit-learn's `log_loss`.
    pub nll: f64,
    /// Expected calibration error.
    pub ece: f64,
    /// The reliability diagram behind it.
    pub reliability: Vec<ReliabilityBin>,
    /// For each class.
    pub per_class: Vec<ClassMetrics>,
    /// The confusion matrix without its zeros, by true class, then predicted class.
    pub confusion: Vec<Confusion>,
}

impl Metrics {
    /// Measures probabilities (n × `classes`, row-major) against n labels. Ties go to the lower class.
    ///
    /// # Errors
    /// No pictures; labels out of range; probabilities that are not finite.
    ///
    /// ```
    /// # use percept_learn::metrics::Metrics;
    /// let metrics = Metrics::new(&[0.9, 0.1, 0.8, 0.2], 2, &[0, 1])?;
    /// assert_eq!((metrics.accuracy, metrics.top5), (0.5, 1.0));
    /// # Ok::<(), percept_learn::Error>(())
    /// ```
    pub fn new(probabilities: &[f32], classes: usize, labels: &[usize]) -> Result<Metrics> {
        check(probabilities, classes, labels)?;
        let rows = || probabilities.chunks_exact(classes).zip(labels.iter().copied());
        let n = labels.len();
        let predictions: Vec<usize> = rows().map(|(row, _)| argmax(row)).collect();
        let right = predictions.iter().zip(labels).filter(|(a, b)| a == b).count();
        let in_top5 = rows().filter(|(row, label)| rank(row, *label) < 5).count();
        let loss = |(row, label): (&[f32], usize)| -f64::from(row[label].clamp(f32::EPSILON, 1.0)).ln();
        let bins = reliability(rows().zip(&predictions).map(|((row, label), &p)| (f64::from(row[p]), p == label)));
        let confusion = confusion(labels, &predictions);
        let (per_class, f1_macro) = per_class(&confusion, classes);
        Ok(Metrics {
            images: n,
            classes,
            accuracy: right as f64 / n as f64,
            accuracy_ci95: wilson(right, n)?,
            top5: in_top5 as f64 / n as f64,
            f1_macro,
            nll: rows().map(loss).sum::<f64>() / n as f64,
            ece: ece(&bins),
            reliability: bins,
            per_class,
            confusion,
        })
    }
}

/// The largest value's index; the first of equals.
pub(crate) fn argmax(row: &[f32]) -> usize {
    (0..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best })
}

/// How many classes come before `label` in descending order; the lower class first among equals.
fn rank(row: &[f32], label: usize) -> usize {
    let before = |&(k, x): &(usize, &f32)| *x > row[label] || (*x == row[label] && k < label);
    row.iter().enumerate().filter(before).count()
}

/// The cells of the confusion matrix that are not zero.
fn confusion(labels: &[usize], predictions: &[usize]) -> Vec<Confusion> {
    let mut pairs: Vec<(usize, usize)> = labels.iter().copied().zip(predictions.iter().copied()).collect();
    pairs.sort_unstable();
    let cell = |same: &[(usize, usize)]| Confusion { label: same[0].0, predicted: same[0].1, count: same.len() };
    pairs.chunk_by(|a, b| a == b).map(cell).collect()
}

/// Precision, recall and F1 of each class, and their macro F1.
fn per_class(confusion: &[Confusion], classes: usize) -> (Vec<ClassMetrics>, f64) {
    let mut counts = vec![[0usize; 3]; classes];
    for cell in confusion {
        counts[cell.label][0] += cell.count;
        counts[cell.predicted][1] += cell.count;
        if cell.label == cell.predicted {
            counts[cell.label][2] += cell.count;
        }
    }
    let ratio = |a: usize, b: usize| if b == 0 { 0.0 } else { a as f64 / b as f64 };
    let metrics = counts.iter().map(|&[support, predicted, right]| ClassMetrics {
        precision: ratio(right, predicted),
        recall: ratio(right, support),
        f1: ratio(2 * right, support + predicted),
        support,
    });
    let metrics: Vec<ClassMetrics> = metrics.collect();
    let occurring = counts.iter().filter(|count| count[0] + count[1] > 0).count();
    let sum: f64 = metrics.iter().map(|class| class.f1).sum();
    (metrics, sum / occurring.max(1) as f64)
}
