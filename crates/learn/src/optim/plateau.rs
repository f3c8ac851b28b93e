//! A learning rate that falls when what is measured gets no better.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Lowers the learning rate when a loss has stopped falling, as PyTorch's `ReduceLROnPlateau` does.
///
/// It is settings and state in one, and serialises, so a checkpoint that holds it goes on where it was.
///
/// ```
/// use percept_learn::optim::Plateau;
///
/// let mut plateau = Plateau { patience: 1, ..Plateau::default() };
/// let shares = [0.9, 0.8, 0.8, 0.8, 0.7].map(|loss| plateau.observe(loss));
/// assert_eq!(shares, [1.0, 1.0, 1.0, 0.1, 0.1]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plateau {
    /// What the learning rate is multiplied with.
    pub factor: f64,
    /// Observations in a row that may be no better.
    pub patience: u32,
    /// A loss is better if it is lower than the best by more than this share of the best.
    pub threshold: f64,
    /// Observations after a change that do not count as no better.
    pub cooldown: u32,
    /// The least share of the learning rate.
    pub least: f64,
    /// State: the share of the highest learning rate that is now taken.
    pub share: f64,
    /// State: the lowest loss so far.
    pub best: Option<f64>,
    /// State: observations in a row that were no better.
    pub worse: u32,
    /// State: observations that do not count yet.
    pub cooling: u32,
}

impl Default for Plateau {
    /// PyTorch's settings.
    fn default() -> Self {
        Self {
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            cooldown: 0,
            least: 0.0,
            share: 1.0,
            best: None,
            worse: 0,
            cooling: 0,
        }
    }
}

impl Plateau {
    /// Takes note of a loss, after an epoch for instance; gives back the share of the highest learning rate that the next steps take.
    ///
    /// A loss that is not a number is no better than any.
    pub fn observe(&mut self, loss: f64) -> f64 {
        if !loss.is_nan() && self.best.is_none_or(|best| loss < best * (1.0 - self.threshold)) {
            (self.best, self.worse) = (Some(loss), 0);
        } else {
            self.worse = self.worse.saturating_add(1);
        }
        if self.cooling > 0 {
            (self.cooling, self.worse) = (self.cooling - 1, 0);
        }
        if self.worse > self.patience {
            self.share = (self.share * self.factor).max(self.least);
            (self.cooling, self.worse) = (self.cooldown, 0);
        }
        self.share
    }

    /// Fails if a setting makes no sense; the error names it.
    ///
    /// # Errors
    /// A factor that is not between 0 and 1, a threshold or least share outside of 0 to 1.
    pub fn check(&self) -> Result<()> {
        let share = |x: f64| (0.0..=1.0).contains(&x);
        Error::check_setting("factor", self.factor, self.factor > 0.0 && self.factor < 1.0, "above 0 and below 1")?;
        Error::check_setting("threshold", self.threshold, share(self.threshold), "at least 0 and at most 1")?;
        Error::check_setting("least", self.least, share(self.least), "at least 0 and at most 1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        settings: Plateau,
        losses: Vec<f64>,
        shares: Vec<f64>,
    }

    #[derive(Deserialize)]
    struct File {
        plateaus: Vec<Golden>,
    }

    #[test]
    fn it_is_that_of_pytorch_also_if_it_is_written_down_between_all_steps() {
        let file: File = serde_json::from_str(include_str!("../../tests/golden/optim.json")).unwrap();
        assert_eq!(file.plateaus.len(), 3);
        for Golden { settings: mut plateau, losses, shares } in file.plateaus {
            plateau.check().unwrap();
            for (i, (&loss, expected)) in losses.iter().zip(shares).enumerate() {
                let found = plateau.observe(loss);
                assert!((found - expected).abs() < 1e-12, "{plateau:?}, {i}: {found}, not {expected}");
                plateau = serde_json::from_str(&serde_json::to_string(&plateau).unwrap()).unwrap();
            }
        }
    }

    #[test]
    fn settings_without_sense_are_refused_and_nan_is_no_better() {
        assert!(Plateau { factor: 1.0, ..Plateau::default() }.check().is_err());
        assert!(Plateau { threshold: f64::NAN, ..Plateau::default() }.check().is_err());
        let mut plateau = Plateau { patience: 0, ..Plateau::default() };
        assert_eq!([f64::NAN, f64::NAN].map(|loss| plateau.observe(loss)), [0.1, 0.1 * 0.1]);
    }
}
