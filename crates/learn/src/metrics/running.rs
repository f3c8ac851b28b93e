//! Metrics of a training loop, which sees one batch after the other: `update` takes a batch, `compute` says what all so far come to, and nothing
//! (`None`) before the first.

use super::{Confusion, argmax, rank};
use crate::{Error, Result};

/// The mean of losses, each a mean over some rows itself.
///
/// ```
/// # use percept_learn::metrics::MeanLoss;
/// let mut loss = MeanLoss::default();
/// loss.update(1.0, 30);
/// loss.update(4.0, 10);
/// assert_eq!(loss.compute(), Some(1.75));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MeanLoss {
    sum: f64,
    rows: usize,
}

impl MeanLoss {
    /// Takes the mean loss of a batch of so many rows that count.
    pub fn update(&mut self, loss: f32, rows: usize) {
        if rows > 0 {
            self.sum += f64::from(loss) * rows as f64;
            self.rows += rows;
        }
    }

    /// The mean over all rows.
    pub fn compute(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.sum / self.rows as f64)
    }
}

/// How many tokens a language model is torn between: e to the power of its mean cross-entropy (Jelinek et al., 1977).
///
/// ```
/// # use percept_learn::metrics::Perplexity;
/// let mut perplexity = Perplexity::default();
/// perplexity.update(8f32.ln(), 100);
/// assert!((perplexity.compute().unwrap() - 8.0).abs() < 1e-5);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Perplexity(MeanLoss);

impl Perplexity {
    /// Takes the mean cross-entropy of a batch of so many tokens that count.
    pub fn update(&mut self, cross_entropy: f32, tokens: usize) {
        self.0.update(cross_entropy, tokens);
    }

    /// The perplexity over all tokens.
    pub fn compute(&self) -> Option<f64> {
        self.0.compute().map(f64::exp)
    }
}

/// The share of rows whose label is among the `k` greatest scores; ties go to the lower class.
///
/// ```
/// # use percept_learn::metrics::TopK;
/// let (mut accuracy, mut top2) = (TopK::accuracy(), TopK::new(2));
/// for metric in [&mut accuracy, &mut top2] {
///     metric.update(&[0.1, 0.7, 0.2, 0.6, 0.1, 0.3], 3, &[1, 2])?;
/// }
/// assert_eq!((accuracy.compute(), top2.compute()), (Some(0.5), Some(1.0)));
/// # Ok::<(), percept_learn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopK {
    k: usize,
    right: usize,
    rows: usize,
}

impl TopK {
    /// Counts labels among the `k` greatest scores.
    pub fn new(k: usize) -> Self {
        Self { k, right: 0, rows: 0 }
    }

    /// Counts labels that have the greatest score.
    pub fn accuracy() -> Self {
        Self::new(1)
    }

    /// Takes scores (n × `classes`, row-major) of a batch and its n labels.
    ///
    /// # Errors
    /// As many scores as that are needed, none of them NaN, and labels that are classes; the batch is then left out.
    pub fn update(&mut self, scores: &[f32], classes: usize, labels: &[usize]) -> Result<()> {
        self.right += rows(scores, classes, labels)?.filter(|&(row, label)| rank(row, label) < self.k).count();
        self.rows += labels.len();
        Ok(())
    }

    /// The share over all rows.
    pub fn compute(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.right as f64 / self.rows as f64)
    }
}

/// How often each class was taken for which.
///
/// ```
/// # use percept_learn::metrics::{Confusion, ConfusionMatrix};
/// let mut matrix = ConfusionMatrix::new(2);
/// matrix.update(&[0.9, 0.1], &[1])?;
/// matrix.update(&[0.8, 0.2, 0.3, 0.7], &[1, 1])?;
/// assert_eq!(matrix.compute()[0], Confusion { label: 1, predicted: 0, count: 2 });
/// # Ok::<(), percept_learn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    /// By true class, then predicted class.
    counts: Vec<usize>,
}

impl ConfusionMatrix {
    /// An empty matrix.
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }

    /// Takes scores (n × classes, row-major) of a batch and its n labels.
    ///
    /// # Errors
    /// As for [`TopK::update`].
    pub fn update(&mut self, scores: &[f32], labels: &[usize]) -> Result<()> {
        for (row, label) in rows(scores, self.classes, labels)? {
            self.counts[label * self.classes + argmax(row)] += 1;
        }
        Ok(())
    }

    /// The cells that are not zero, by true class, then predicted class.
    pub fn compute(&self) -> Vec<Confusion> {
        let cell = |(i, &count)| Confusion { label: i / self.classes, predicted: i % self.classes, count };
        self.counts.iter().enumerate().map(cell).filter(|cell| cell.count > 0).collect()
    }
}

fn rows<'a>(
    scores: &'a [f32],
    classes: usize,
    labels: &'a [usize],
) -> Result<impl Iterator<Item = (&'a [f32], usize)>> {
    Error::check_size("scores", scores.len(), classes.saturating_mul(labels.len()))?;
    Error::check_labels(labels, classes)?;
    if let Some(i) = scores.iter().position(|score| score.is_nan()) {
        return Err(Error::NotFinite { row: i / classes, column: i % classes, value: f32::NAN });
    }
    Ok(scores.chunks_exact(classes.max(1)).zip(labels.iter().copied()))
}
