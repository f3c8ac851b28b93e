//! Whether stated probabilities can be believed: before the temperature and after it.
//!
//! A temperature that was fitted on the photos that are measured on would be flattered, so it is fitted on four fifths of them and measured
//! on the other, five times over.

use crate::Result;
use crate::classifier::cooled_softmax;
use percept_learn::calibrate::{debiased, ece, nll, reliability, temperature};
use serde::Serialize;

/// Parts of the photos, each of which is measured with the temperature of the others.
const FOLDS: usize = 5;

/// How calibrated a model is, without its temperature and with it.
#[derive(Clone, Debug, Serialize)]
pub struct Calibration {
    /// The temperature that is in the model.
    pub temperature: f64,
    /// Without a temperature.
    pub before: Errors,
    /// With the temperature.
    pub after: Errors,
    /// Whether `after` is of temperatures that were fitted on other parts of the same photos; otherwise nothing was fitted on them.
    pub cross_fitted: bool,
}

/// Errors of the probability of the most probable class.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Errors {
    /// Expected calibration error, 15 bins of equal width; biased upwards where photos are few.
    pub ece: f64,
    /// Root-mean-square calibration error, debiased; absent where photos are too few.
    pub debiased: Option<f64>,
    /// Mean negative log-likelihood.
    pub nll: f64,
}

impl Calibration {
    /// Measures the probabilities (photos × classes) that a model with this temperature gave; `fitted` says whether the temperature was
    /// fitted on these photos.
    ///
    /// # Errors
    /// No photos, or labels that are no classes.
    pub fn new(probabilities: &[f32], labels: &[usize], temperature: f64, fitted: bool) -> Result<Self> {
        let classes = probabilities.len() / labels.len().max(1);
        // A softmax forgets no more of its logits than a constant.
        let logits: Vec<f32> =
            probabilities.iter().map(|&p| (temperature * f64::from(p.max(f32::MIN_POSITIVE)).ln()) as f32).collect();
        let before = Errors::new(&logits, classes, labels, |_| 1.0)?;
        let temperatures = if fitted { crossed(&logits, classes, labels)? } else { vec![temperature; FOLDS] };
        let after = Errors::new(&logits, classes, labels, |row| temperatures[row % FOLDS])?;
        Ok(Self { temperature, before, after, cross_fitted: fitted })
    }
}

impl Errors {
    fn new(logits: &[f32], classes: usize, labels: &[usize], temperature: impl Fn(usize) -> f64) -> Result<Self> {
        let (mut predictions, mut loss) = (Vec::with_capacity(labels.len()), 0.0);
        for (i, (row, &label)) in logits.chunks_exact(classes.max(1)).zip(labels).enumerate() {
            loss += nll(row, classes, &[label], temperature(i))?;
            let mut row = row.to_vec();
            cooled_softmax(&mut row, classes, temperature(i));
            let best = (0..classes).fold(0, |best, k| if row[k] > row[best] { k } else { best });
            predictions.push((f64::from(row[best]), best == label));
        }
        Ok(Self {
            ece: ece(&reliability(predictions.iter().copied())),
            debiased: Some(debiased(&predictions)).filter(|error| error.is_finite()),
            nll: loss / labels.len().max(1) as f64,
        })
    }
}

/// For each part of the rows, the temperature that suits the others.
fn crossed(logits: &[f32], classes: usize, labels: &[usize]) -> Result<Vec<f64>> {
    let fold = |fold: usize| {
        let rows = || (0..labels.len()).filter(move |row| row % FOLDS != fold || labels.len() <= FOLDS);
        let others: Vec<f32> = rows().flat_map(|row| &logits[row * classes..][..classes]).copied().collect();
        let theirs: Vec<usize> = rows().map(|row| labels[row]).collect();
        Ok(temperature(&others, classes, &theirs)?)
    };
    (0..FOLDS).map(fold).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logits_are_found_again() {
        // Two classes at odds of e⁴, right in three of four cases: too sure without the temperature of about 3.64.
        let labels: Vec<usize> = (0..120).map(|i| usize::from(i % 4 == 0)).collect();
        let mut logits: Vec<f32> = labels.iter().flat_map(|_| [4.0, 0.0]).collect();
        let fitted = temperature(&logits, 2, &labels).unwrap();
        cooled_softmax(&mut logits, 2, fitted);
        let found = Calibration::new(&logits, &labels, fitted, true).unwrap();
        let sure = 1.0 / (1.0 + (-4f64).exp());
        assert!((found.before.ece - (sure - 0.75)).abs() < 1e-6, "{found:?}");
        assert!(found.after.ece < 0.02 && found.after.debiased == Some(0.0), "{found:?}");
        assert!(found.after.nll < found.before.nll);
    }
}
