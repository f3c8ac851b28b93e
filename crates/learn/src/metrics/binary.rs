//! How good the answers to a yes/no question are.

use super::{Auc, auc, wilson};
use crate::calibrate::{ReliabilityBin, ece, reliability};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How good the probabilities of yes are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Binary {
    /// Number of pictures.
    pub images: usize,
    /// How many of them are positive.
    pub positives: usize,
    /// The area under the ROC curve; absent if there is no positive or no negative picture.
    #[serde(flatten)]
    pub auc: Option<Auc>,
    /// Share of pictures that are right if a half and more means yes.
    pub accuracy: f64,
    /// Its 95 % interval, [`wilson`].
    pub accuracy_ci95: [f64; 2],
    /// Share of the positive pictures that are found; 0 if there are none.
    pub sensitivity: f64,
    /// Share of the negative pictures that are taken for such; 0 if there are none.
    pub specificity: f64,
    /// Mean squared distance of the probability from the truth (Brier, Monthly Weather Review 1950).
    pub brier: f64,
    /// Expected calibration error of the probability of yes.
    pub ece: f64,
    /// The reliability diagram behind it: how often it is yes (`accuracy`) where the probability of yes is `confidence`.
    pub reliability: Vec<ReliabilityBin>,
}

impl Binary {
    /// Measures probabilities of yes.
    ///
    /// # Errors
    /// No pictures; as many answers as probabilities are needed, which must be finite.
    ///
    /// ```
    /// let found = percept_learn::metrics::Binary::new(&[0.9, 0.2, 0.6], &[true, false, false])?;
    /// assert_eq!((found.sensitivity, found.specificity), (1.0, 0.5));
    /// # Ok::<(), percept_learn::Error>(())
    /// ```
    pub fn new(probabilities: &[f64], positive: &[bool]) -> Result<Binary> {
        Error::check_size("answers for the probabilities", positive.len(), probabilities.len())?;
        let images = positive.len();
        if images == 0 {
            return Err(Error::Empty("pictures to measure on"));
        }
        let positives = positive.iter().filter(|p| **p).count();
        let both = positives > 0 && positives < images;
        let rows = || probabilities.iter().copied().zip(positive.iter().copied());
        let right = |kind| rows().filter(|&(p, truth)| truth == kind && (p >= 0.5) == truth).count();
        let (found, rejected) = (right(true), right(false));
        let share = |part: usize, of: usize| part as f64 / of.max(1) as f64;
        let bins = reliability(rows());
        Ok(Binary {
            images,
            positives,
            auc: if both { Some(auc(probabilities, positive)?) } else { None },
            accuracy: share(found + rejected, images),
            accuracy_ci95: wilson(found + rejected, images)?,
            sensitivity: share(found, positives),
            specificity: share(rejected, images - positives),
            brier: rows().map(|(p, truth)| (p - f64::from(u8::from(truth))).powi(2)).sum::<f64>() / images as f64,
            ece: ece(&bins),
            reliability: bins,
        })
    }
}
