//! How the learning rate changes over a run.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How the learning rate changes over a run of `total` steps, as shares of the highest one.
///
/// A schedule that turns on what is measured is a [`Plateau`](super::Plateau).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Always the highest.
    Constant,
    /// Times `gamma` after every so many steps (PyTorch's `StepLR`).
    Step {
        /// Steps of one learning rate.
        every: u64,
        /// What it is multiplied with.
        gamma: f64,
    },
    /// Times `gamma` at each of these steps (`MultiStepLR`).
    MultiStep {
        /// The steps, from 0.
        at: Vec<u64>,
        /// What it is multiplied with.
        gamma: f64,
    },
    /// Times `gamma` after each step (`ExponentialLR`).
    Exponential {
        /// What it is multiplied with.
        gamma: f64,
    },
    /// Down to nothing along half a cosine (`CosineAnnealingLR`; Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm
    /// Restarts", ICLR 2017, whose one cycle it is).
    Cosine,
    /// The same in cycles, each of which begins with the highest (`CosineAnnealingWarmRestarts`; the same paper).
    CosineRestarts {
        /// Steps of the first cycle.
        first: u64,
        /// How many times as long as the one before a cycle is.
        factor: u64,
    },
    /// Up from 1/25 over 30 % of the steps, down to 1/250,000, both along half a cosine, as PyTorch's `OneCycleLR` does (Smith and
    /// Topin, "Super-Convergence", 2018).
    OneCycle,
    /// Up in a straight line over so large a share of the steps, then another schedule over those that are left.
    WarmUp {
        /// The share that goes up.
        share: f64,
        /// What comes after it, and counts steps from there.
        then: Box<Schedule>,
    },
}

impl Schedule {
    /// The share of the highest learning rate that step `step` of `total` (from 0) takes.
    ///
    /// ```
    /// use percept_learn::optim::Schedule;
    ///
    /// assert!((Schedule::OneCycle.factor(0, 100) - 0.04).abs() < 1e-12);
    /// let schedule = Schedule::WarmUp { share: 0.1, then: Box::new(Schedule::Cosine) };
    /// assert!((schedule.factor(0, 100) - 1.0 / 11.0).abs() < 1e-12);
    /// assert_eq!(schedule.factor(10, 100), 1.0);
    /// assert!((schedule.factor(55, 100) - 0.5).abs() < 1e-12);
    /// ```
    pub fn factor(&self, step: u64, total: u64) -> f64 {
        self.at(step as f64, total as f64)
    }

    fn at(&self, step: f64, total: f64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Step { every, gamma } => gamma.powf((step / (*every).max(1) as f64).floor()),
            Self::MultiStep { at, gamma } => gamma.powf(at.iter().filter(|&&at| at as f64 <= step).count() as f64),
            Self::Exponential { gamma } => gamma.powf(step),
            Self::Cosine => along(1.0, 0.0, (step / total.max(1.0)).min(1.0)),
            Self::CosineRestarts { first, factor } => {
                let (mut step, mut cycle, factor) = (step, (*first).max(1) as f64, (*factor).max(1) as f64);
                if factor == 1.0 {
                    step %= cycle;
                }
                while step >= cycle {
                    (step, cycle) = (step - cycle, cycle * factor);
                }
                along(1.0, 0.0, step / cycle)
            }
            Self::OneCycle => {
                let (peak, last) = ((0.3 * total - 1.0).max(1.0), total - 1.0);
                match step <= peak {
                    true => along(1.0 / 25.0, 1.0, step / peak),
                    false => along(1.0, 1.0 / 250_000.0, ((step - peak) / (last - peak).max(1.0)).min(1.0)),
                }
            }
            Self::WarmUp { share, then } => match share * total {
                end if step < end => (step + 1.0) / (end + 1.0) * then.at(0.0, total - end),
                end => then.at(step - end, total - end),
            },
        }
    }

    /// Fails if a setting makes no sense; the error names it.
    ///
    /// # Errors
    /// A warm-up that is not a share below 1, a `gamma` outside of 0 to 1, a cycle or interval of no steps.
    pub fn check(&self) -> Result<()> {
        let gamma =
            |&gamma: &f64| Error::check_setting("gamma", gamma, gamma > 0.0 && gamma <= 1.0, "above 0 and at most 1");
        let count = |name, steps: u64| Error::check_setting(name, steps as f64, steps > 0, "at least 1");
        match self {
            Self::Constant | Self::Cosine | Self::OneCycle => Ok(()),
            Self::Step { every, gamma: g } => count("every", *every).and_then(|()| gamma(g)),
            Self::MultiStep { gamma: g, .. } | Self::Exponential { gamma: g } => gamma(g),
            Self::CosineRestarts { first, factor } => count("first", *first).and_then(|()| count("factor", *factor)),
            Self::WarmUp { share, then } => {
                Error::check_setting("share", *share, (0.0..1.0).contains(share), "at least 0 and below 1")?;
                then.check()
            }
        }
    }
}

/// From `a` to `b` along half a cosine.
fn along(a: f64, b: f64, t: f64) -> f64 {
    b + (a - b) * (1.0 + (std::f64::consts::PI * t).cos()) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        schedule: Schedule,
        factors: Vec<f64>,
    }

    #[derive(Deserialize)]
    struct File {
        schedules: Vec<Golden>,
    }

    #[test]
    fn all_are_those_of_pytorch() {
        let file: File = serde_json::from_str(include_str!("../../tests/golden/optim.json")).unwrap();
        assert_eq!(file.schedules.len(), 10);
        for Golden { schedule, factors } in file.schedules {
            schedule.check().unwrap();
            for (step, expected) in (0..).zip(&factors) {
                let found = schedule.factor(step, factors.len() as u64);
                assert!((found - expected).abs() < 1e-9, "{schedule:?}, step {step}: {found}, not {expected}");
            }
        }
    }

    #[test]
    fn settings_without_sense_are_refused_and_do_no_harm() {
        let warm_up = |share| Schedule::WarmUp { share, then: Box::new(Schedule::OneCycle) };
        let wrong = [
            Schedule::Step { every: 0, gamma: 0.5 },
            Schedule::MultiStep { at: vec![3], gamma: 1.5 },
            Schedule::Exponential { gamma: f64::NAN },
            Schedule::CosineRestarts { first: 0, factor: 1 },
            Schedule::CosineRestarts { first: 1, factor: 0 },
            warm_up(1.0),
            Schedule::WarmUp { share: 0.5, then: Box::new(warm_up(-0.1)) },
        ];
        for schedule in wrong {
            assert!(schedule.check().is_err(), "{schedule:?}");
            schedule.factor(u64::MAX, 0);
        }
        let message = warm_up(1.0).check().unwrap_err().to_string();
        assert_eq!(message, "share is 1: it must be at least 0 and below 1");
    }
}
