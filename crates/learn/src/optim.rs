//! Optimisers on flat arenas: parameters, gradients and state are lists of numbers of one length.
//!
//! The arithmetic is PyTorch's, operation by operation, so that published settings mean the same here. What an optimiser remembers is a
//! value of its own ([`State`]), which a checkpoint writes and reads back to the bit.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// How gradients move parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Optimizer {
    /// Adam with decoupled weight decay (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019).
    AdamW {
        /// Decay of the mean of gradients (0.9 usually).
        beta1: f32,
        /// Decay of the mean of their squares (0.999 usually).
        beta2: f32,
        /// Added to the root of the latter (1e-8 usually).
        epsilon: f32,
    },
    /// Gradient descent with momentum; weight decay is part of the gradient.
    Sgd {
        /// Share of the last step that is repeated (0.9 usually).
        momentum: f32,
        /// Whether the gradient is looked at one step ahead (Nesterov).
        nesterov: bool,
    },
}

impl Optimizer {
    /// AdamW with the usual settings.
    pub const ADAMW: Self = Self::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
}

/// Parameters that are treated alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Where they lie in the arena.
    pub range: Range<usize>,
    /// Factor of the learning rate.
    pub rate: f32,
    /// Share of a parameter that a step takes away, times the learning rate.
    pub weight_decay: f32,
}

/// What an optimiser remembers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Steps taken.
    pub step: u64,
    /// One number a parameter in each: means of gradients, then of squares (AdamW), or the last step (SGD).
    pub moments: [Vec<f32>; 2],
}

impl State {
    /// The state before the first step for so many parameters.
    pub fn new(optimizer: &Optimizer, parameters: usize) -> Self {
        let second = if let Optimizer::AdamW { .. } = optimizer { parameters } else { 0 };
        Self { step: 0, moments: [vec![0.0; parameters], vec![0.0; second]] }
    }
}

impl Optimizer {
    /// Takes a step at this learning rate.
    ///
    /// ```
    /// use percept_learn::optim::{Group, Optimizer, State};
    ///
    /// let sgd = Optimizer::Sgd { momentum: 0.0, nesterov: false };
    /// let (mut state, mut parameters) = (State::new(&sgd, 2), [1.0, 2.0]);
    /// let groups = [Group { range: 0..2, rate: 1.0, weight_decay: 0.0 }];
    /// sgd.step(&mut state, &groups, 0.1, &mut parameters, &[10.0, -10.0])?;
    /// assert_eq!(parameters, [0.0, 3.0]);
    /// # Ok::<(), percept_learn::Error>(())
    /// ```
    ///
    /// # Errors
    /// Lists of different lengths, or a group outside of them.
    pub fn step(
        &self,
        state: &mut State,
        groups: &[Group],
        learning_rate: f32,
        parameters: &mut [f32],
        gradients: &[f32],
    ) -> Result<()> {
        let len = parameters.len();
        let [first, second] = &mut state.moments;
        let second_len = if let Self::AdamW { .. } = self { len } else { 0 };
        let fit = gradients.len() == len && first.len() == len && second.len() == second_len;
        if !fit || groups.iter().any(|group| group.range.end > len || group.range.start > group.range.end) {
            return Err(Error::Network(format!(
                "{len} parameters, {} gradients and the optimiser's state do not match",
                gradients.len()
            )));
        }
        state.step += 1;
        for group in groups {
            let range = group.range.clone();
            let (p, g, m) = (&mut parameters[range.clone()], &gradients[range.clone()], &mut first[range.clone()]);
            let rate = learning_rate * group.rate;
            match *self {
                Self::AdamW { beta1, beta2, epsilon } => {
                    let settings = AdamW { beta1, beta2, epsilon, rate, decay: group.weight_decay };
                    settings.step(state.step, p, g, m, &mut second[range]);
                }
                Self::Sgd { momentum, nesterov } => {
                    let first_step = state.step == 1;
                    for ((p, g), m) in p.iter_mut().zip(g).zip(m) {
                        let g = g + group.weight_decay * *p;
                        *m = if first_step { g } else { momentum * *m + g };
                        *p -= rate * if nesterov { g + momentum * *m } else { *m };
                    }
                }
            }
        }
        Ok(())
    }
}

struct AdamW {
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    rate: f32,
    decay: f32,
}

impl AdamW {
    fn step(&self, step: u64, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
        let correction = |beta: f32| 1.0 - f64::from(beta).powi(i32::try_from(step).unwrap_or(i32::MAX));
        let size = (f64::from(self.rate) / correction(self.beta1)) as f32;
        let root = correction(self.beta2).sqrt() as f32;
        let (keep, b1, b2) = (1.0 - self.rate * self.decay, self.beta1, self.beta2);
        for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
            *m += (g - *m) * (1.0 - b1);
            *v = *v * b2 + g * g * (1.0 - b2);
            *p = *p * keep - size * *m / (v.sqrt() / root + self.epsilon);
        }
    }
}

/// How the learning rate changes over a run of `total` steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Up in a straight line over so large a share of the steps, then down to nothing along half a cosine (Loshchilov and Hutter, "SGDR",
    /// ICLR 2017).
    Cosine {
        /// The share that goes up.
        warm_up: f64,
    },
    /// Up from 1/25 over 30 % of the steps, down to 1/250,000, both along half a cosine, as PyTorch's `OneCycleLR` does (Smith and
    /// Topin, "Super-Convergence", 2018).
    OneCycle,
}

impl Schedule {
    /// The share of the highest learning rate that step `step` of `total` (from 0) takes.
    ///
    /// ```
    /// use percept_learn::optim::Schedule;
    ///
    /// assert!((Schedule::OneCycle.factor(0, 100) - 0.04).abs() < 1e-12);
    /// assert_eq!(Schedule::Cosine { warm_up: 0.1 }.factor(10, 100), 1.0);
    /// ```
    pub fn factor(&self, step: u64, total: u64) -> f64 {
        // From `a` to `b` along half a cosine.
        let along = |a: f64, b: f64, t: f64| b + (a - b) * (1.0 + (std::f64::consts::PI * t).cos()) / 2.0;
        let (step, total) = (step as f64, total as f64);
        match self {
            Self::Cosine { warm_up } => match warm_up * total {
                end if step < end => (step + 1.0) / (end + 1.0),
                end => along(1.0, 0.0, ((step - end) / (total - end).max(1.0)).min(1.0)),
            },
            Self::OneCycle => {
                let (peak, last) = ((0.3 * total - 1.0).max(1.0), total - 1.0);
                match step <= peak {
                    true => along(1.0 / 25.0, 1.0, step / peak),
                    false => along(1.0, 1.0 / 250_000.0, ((step - peak) / (last - peak).max(1.0)).min(1.0)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        name: String,
        optimizer: Optimizer,
        weight_decay: f32,
        rates: Vec<f32>,
        start: Vec<f32>,
        gradients: Vec<Vec<f32>>,
        parameters: Vec<Vec<f32>>,
    }

    #[derive(Deserialize)]
    struct File {
        optimizers: Vec<Golden>,
        one_cycle: Vec<f64>,
    }

    fn golden() -> File {
        serde_json::from_str(include_str!("../tests/golden/optim.json")).unwrap()
    }

    #[test]
    fn steps_are_those_of_pytorch() {
        for case in golden().optimizers {
            let mut parameters = case.start.clone();
            let mut state = State::new(&case.optimizer, parameters.len());
            let groups = [Group { range: 0..parameters.len(), rate: 1.0, weight_decay: case.weight_decay }];
            for (i, expected) in case.parameters.iter().enumerate() {
                case.optimizer.step(&mut state, &groups, case.rates[i], &mut parameters, &case.gradients[i]).unwrap();
                for (x, y) in parameters.iter().zip(expected) {
                    assert!((x - y).abs() <= 2e-6 * y.abs().max(0.1), "{} step {i}: {x}, not {y}", case.name);
                }
            }
        }
    }

    #[test]
    fn one_cycle_is_that_of_pytorch() {
        let expected = golden().one_cycle;
        for (step, expected) in expected.iter().enumerate() {
            let found = Schedule::OneCycle.factor(step as u64, expected_len(&golden()));
            assert!((found - expected).abs() < 1e-9, "step {step}: {found}, not {expected}");
        }
    }

    fn expected_len(file: &File) -> u64 {
        file.one_cycle.len() as u64
    }

    #[test]
    fn lists_that_do_not_match_are_refused() {
        let mut state = State::new(&Optimizer::ADAMW, 2);
        assert!(Optimizer::ADAMW.step(&mut state, &[], 0.1, &mut [0.0; 3], &[0.0; 3]).is_err());
    }
}
