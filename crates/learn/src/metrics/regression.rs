//! How near predicted numbers are.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Resamples of an interval.
const RESAMPLES: usize = 2000;

/// How near predictions of a number are, in its unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Regression {
    /// Number of pictures.
    pub images: usize,
    /// Share of the variance that is explained: 1 less the squared errors by those of always saying the mean of these pictures. Below 0 it is
    /// worse than that; NaN, which JSON calls null, if all are equal.
    pub r2: f64,
    /// Its 95 % interval.
    pub r2_ci95: [f64; 2],
    /// Mean absolute error.
    pub mae: f64,
    /// Its 95 % interval.
    pub mae_ci95: [f64; 2],
    /// Root of the mean squared error.
    pub rmse: f64,
    /// Mean error: above 0 if predictions are too large.
    pub bias: f64,
    /// Pearson's correlation; NaN if one side does not vary.
    pub correlation: f64,
}

impl Regression {
    /// Measures predictions. The intervals are percentiles of 2,000 bootstrap resamples of the pictures (Efron and Tibshirani, *An
    /// Introduction to the Bootstrap*, 1993, ch. 13), drawn with a fixed seed.
    ///
    /// # Errors
    /// No pictures; numbers that are not finite, or not as many.
    ///
    /// ```
    /// let found = percept_learn::metrics::Regression::new(&[1.0, 2.0, 3.5], &[1.0, 2.0, 3.0])?;
    /// assert_eq!((found.r2, found.mae), (0.875, 0.5 / 3.0));
    /// # Ok::<(), percept_learn::Error>(())
    /// ```
    pub fn new(predicted: &[f64], truth: &[f64]) -> Result<Regression> {
        Error::check_size("true numbers for the predictions", truth.len(), predicted.len())?;
        if truth.is_empty() {
            return Err(Error::Empty("pictures to measure on"));
        }
        let pairs: Vec<(f64, f64)> = predicted.iter().copied().zip(truth.iter().copied()).collect();
        if let Some(row) = pairs.iter().position(|(a, b)| !(a.is_finite() && b.is_finite())) {
            return Err(Error::NotFinite { row, column: 0, value: (pairs[row].0 + pairs[row].1) as f32 });
        }
        let n = pairs.len() as f64;
        let [r2, mae] = figures(pairs.iter().copied());
        let mut resamples: [Vec<f64>; 2] = Default::default();
        let mut random = Random(0);
        let mut drawn = Vec::with_capacity(pairs.len());
        for _ in 0..RESAMPLES {
            drawn.clear();
            drawn.extend((0..pairs.len()).map(|_| pairs[random.below(pairs.len())]));
            for (list, figure) in resamples.iter_mut().zip(figures(drawn.iter().copied())) {
                // A resample of one picture alone has no variance to explain.
                list.extend(Some(figure).filter(|figure| figure.is_finite()));
            }
        }
        let [r2_ci95, mae_ci95] = resamples.map(middle);
        let mean = |f: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>() / n;
        let (a, b) = (mean(&|p| p.0), mean(&|p| p.1));
        let covariance = mean(&|p| (p.0 - a) * (p.1 - b));
        let deviations = (mean(&|p| (p.0 - a).powi(2)) * mean(&|p| (p.1 - b).powi(2))).sqrt();
        Ok(Regression {
            images: pairs.len(),
            r2,
            r2_ci95,
            mae,
            mae_ci95,
            rmse: mean(&|p| (p.0 - p.1).powi(2)).sqrt(),
            bias: a - b,
            correlation: covariance / deviations,
        })
    }
}

/// R² and mean absolute error.
fn figures(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> [f64; 2] {
    let n = pairs.clone().count() as f64;
    let mean = pairs.clone().map(|(_, truth)| truth).sum::<f64>() / n;
    let (mut errors, mut total, mut absolute) = (0.0, 0.0, 0.0);
    for (predicted, truth) in pairs {
        errors += (predicted - truth).powi(2);
        total += (truth - mean).powi(2);
        absolute += (predicted - truth).abs();
    }
    [if total > 0.0 { 1.0 - errors / total } else { f64::NAN }, absolute / n]
}

/// What 95 % of the values lie between; NaN of none.
fn middle(mut values: Vec<f64>) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    let cut = (0.025 * values.len() as f64) as usize;
    let at = |i: Option<usize>| i.and_then(|i| values.get(i)).copied().unwrap_or(f64::NAN);
    [at(Some(cut)), at(values.len().checked_sub(1 + cut))]
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * n as u128) >> 64) as usize
    }
}
