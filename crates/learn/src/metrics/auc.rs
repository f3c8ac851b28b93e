//! The area under the ROC curve, and how sure it is.

use super::wilson;
use crate::metrics::interval::Z;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The probability that a positive picture gets a higher score than a negative one, ties counting half.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Auc {
    /// The area.
    pub auc: f64,
    /// Its 95 % interval.
    pub auc_ci95: [f64; 2],
    /// Its standard error: the root of DeLong's variance.
    pub auc_se: f64,
}

/// The area under the ROC curve with DeLong's variance (DeLong, DeLong and Clarke-Pearson, Biometrics 1988), from mid-ranks in n log n
/// (Sun and Xu, IEEE Signal Processing Letters 2014).
///
/// The interval is normal on the logit scale, so that it stays within 0 and 1. Where the variance is zero or unknown (all positives above
/// all negatives, one picture of a kind), it is [`wilson`]'s for as many trials as there are pictures of the rarer kind.
///
/// # Errors
/// Scores that are not finite; no positive or no negative picture.
///
/// ```
/// let found = percept_learn::metrics::auc(&[0.9, 0.8, 0.3, 0.1], &[true, false, true, false])?;
/// assert_eq!(found.auc, 0.75);
/// # Ok::<(), percept_learn::Error>(())
/// ```
pub fn auc(scores: &[f64], positive: &[bool]) -> Result<Auc> {
    Error::check_size("answers for the scores", positive.len(), scores.len())?;
    if let Some(row) = scores.iter().position(|score| !score.is_finite()) {
        return Err(Error::NotFinite { row, column: 0, value: scores[row] as f32 });
    }
    let of = |kind: bool| -> Vec<f64> {
        scores.iter().zip(positive).filter(|(_, p)| **p == kind).map(|(s, _)| *s).collect()
    };
    let (above, below) = (of(true), of(false));
    let (m, n) = (above.len(), below.len());
    if m == 0 || n == 0 {
        return Err(Error::Empty(if m == 0 { "positive pictures" } else { "negative pictures" }));
    }
    let all = mid_ranks(&[&above[..], &below].concat());
    let [above, below] = [above, below].map(|scores| mid_ranks(&scores));
    // The share of the other kind that each picture is on the right side of.
    let of_positive: Vec<f64> = all[..m].iter().zip(&above).map(|(all, own)| (all - own) / n as f64).collect();
    let of_negative: Vec<f64> = all[m..].iter().zip(&below).map(|(all, own)| 1.0 - (all - own) / m as f64).collect();
    let auc = of_positive.iter().sum::<f64>() / m as f64;
    let variance = variance(&of_positive, auc) / m as f64 + variance(&of_negative, auc) / n as f64;
    let auc_se = variance.max(0.0).sqrt();
    let auc_ci95 = if auc_se > 0.0 && auc_se.is_finite() && auc > 0.0 && auc < 1.0 {
        let (logit, half) = ((auc / (1.0 - auc)).ln(), Z * auc_se / (auc * (1.0 - auc)));
        [logit - half, logit + half].map(|x| 1.0 / (1.0 + (-x).exp()))
    } else {
        let trials = m.min(n);
        wilson((auc * trials as f64).round() as usize, trials)?
    };
    Ok(Auc { auc, auc_ci95, auc_se })
}

/// The sample variance; NaN of one value.
fn variance(values: &[f64], mean: f64) -> f64 {
    values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
}

/// The rank of each value counted from 1; equals share the mean of theirs.
fn mid_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let (mut ranks, mut before) = (vec![0.0; values.len()], 0);
    for equals in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = before as f64 + (equals.len() as f64 + 1.0) / 2.0;
        equals.iter().for_each(|&i| ranks[i] = rank);
        before += equals.len();
    }
    ranks
}

/// The corners of the ROC curve, from [0, 0] to [1, 1]: shares of the negative and of the positive pictures at or above each score.
///
/// ```
/// let curve = percept_learn::metrics::roc(&[0.9, 0.8, 0.3], &[true, false, true]);
/// assert_eq!(curve, [[0.0, 0.0], [0.0, 0.5], [1.0, 0.5], [1.0, 1.0]]);
/// ```
pub fn roc(scores: &[f64], positive: &[bool]) -> Vec<[f64; 2]> {
    let mut order: Vec<usize> = (0..scores.len().min(positive.len())).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let (mut counts, mut curve) = ([0usize; 2], vec![[0.0; 2]]);
    let total = |kind| order.iter().filter(|&&i| positive[i] == kind).count().max(1) as f64;
    let totals = [total(false), total(true)];
    for equals in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        equals.iter().for_each(|&i| counts[usize::from(positive[i])] += 1);
        curve.push([counts[0] as f64 / totals[0], counts[1] as f64 / totals[1]]);
    }
    curve
}
