//! Optimisers on flat arenas: parameters, gradients and state are lists of numbers of one length.
//!
//! The arithmetic is PyTorch's, operation by operation, so that published settings mean the same here. What an optimiser remembers is a
//! value of its own ([`State`]), which a checkpoint writes and reads back to the bit.

mod clip;
mod finder;
mod group;
mod plateau;
mod rules;
mod schedule;

pub use clip::{average, clip_by_norm, clip_by_value};
pub use finder::{RateCurve, find_rate};
pub use group::{Group, is_weight};
pub use plateau::Plateau;
pub use schedule::Schedule;

use crate::checkpoint::Lists;
use crate::{Error, Result};
use percept_engine::Pool;
use rules::{Adagrad, Adam, RmsProp, Sgd};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};

/// What the lists of a state are called.
const NAMES: [&str; 3] = ["moments.0", "moments.1", "moments.2"];

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
    /// Adam (Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015); weight decay is part of the gradient.
    Adam {
        /// As of AdamW.
        beta1: f32,
        /// As of AdamW.
        beta2: f32,
        /// As of AdamW.
        epsilon: f32,
    },
    /// Gradients divided by the root of their mean square (Tieleman and Hinton, "Lecture 6.5: RMSProp", Coursera 2012); weight decay is part
    /// of the gradient.
    RmsProp {
        /// Decay of the mean of squares (0.99 usually).
        alpha: f32,
        /// Added to its root (1e-8 usually).
        epsilon: f32,
        /// Share of the last step that is repeated (0 usually).
        momentum: f32,
        /// Whether the square of the mean is taken off, which leaves the variance (Graves, "Generating Sequences With Recurrent Neural
        /// Networks", 2013).
        centered: bool,
    },
    /// Gradients divided by the root of the sum of all their squares (Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online
    /// Learning and Stochastic Optimization", JMLR 2011);
    /// weight decay is part of the gradient.
    Adagrad {
        /// Added to the root (1e-10 usually).
        epsilon: f32,
    },
}

impl Optimizer {
    /// AdamW with the usual settings.
    pub const ADAMW: Self = Self::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    /// Adam with the usual settings.
    pub const ADAM: Self = Self::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    /// RMSprop with the usual settings.
    pub const RMSPROP: Self = Self::RmsProp { alpha: 0.99, epsilon: 1e-8, momentum: 0.0, centered: false };
    /// Adagrad with the usual settings.
    pub const ADAGRAD: Self = Self::Adagrad { epsilon: 1e-10 };

    /// Fails if a setting makes no sense; the error names it.
    ///
    /// # Errors
    /// A decay or momentum that is not a share below 1, or an epsilon that is negative.
    pub fn check(&self) -> Result<()> {
        let (shares, epsilon): (&[_], _) = match *self {
            Self::AdamW { beta1, beta2, epsilon } | Self::Adam { beta1, beta2, epsilon } => {
                (&[("beta1", beta1), ("beta2", beta2)], epsilon)
            }
            Self::Sgd { momentum, .. } => (&[("momentum", momentum)], 0.0),
            Self::RmsProp { alpha, epsilon, momentum, .. } => (&[("alpha", alpha), ("momentum", momentum)], epsilon),
            Self::Adagrad { epsilon } => (&[], epsilon),
        };
        for &(name, value) in shares {
            Error::check_setting(name, value.into(), (0.0..1.0).contains(&value), "at least 0 and below 1")?;
        }
        Error::check_setting("epsilon", epsilon.into(), epsilon >= 0.0 && epsilon.is_finite(), "at least 0")
    }

    /// How many numbers it remembers for each parameter.
    fn lists(&self) -> usize {
        match *self {
            Self::AdamW { .. } | Self::Adam { .. } => 2,
            Self::Sgd { .. } | Self::Adagrad { .. } => 1,
            Self::RmsProp { momentum, centered, .. } => 1 + usize::from(centered) + usize::from(momentum != 0.0),
        }
    }
}

/// Parameters that are worth a task.
const PART: usize = 1 << 15;

/// Some parameters, their gradients, and what is remembered of them.
type Part<'a> = (&'a mut [f32], &'a [f32], Vec<&'a mut [f32]>);

/// What an optimiser remembers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Steps taken.
    pub step: u64,
    /// Lists with a number for each parameter: means of gradients, then of squares (AdamW, Adam); the last step (SGD); means of squares,
    /// then of gradients if centred, then the last step if there is momentum (RMSprop); sums of squares (Adagrad).
    pub moments: Vec<Vec<f32>>,
}

impl State {
    /// The state before the first step for so many parameters.
    pub fn new(optimizer: &Optimizer, parameters: usize) -> Self {
        Self { step: 0, moments: vec![vec![0.0; parameters]; optimizer.lists()] }
    }

    /// Its lists by name, for a [`checkpoint`](crate::checkpoint), which has to hold the step too.
    pub fn lists(&self) -> Vec<(&'static str, &[f32])> {
        NAMES.into_iter().zip(self.moments.iter().map(|list| &list[..])).collect()
    }

    /// The state after so many steps from a checkpoint's lists, which it takes out; nothing if they are not those of this optimiser with so
    /// many parameters.
    pub fn from_lists(optimizer: &Optimizer, parameters: usize, step: u64, lists: &mut Lists) -> Option<Self> {
        let names = NAMES.into_iter().take(optimizer.lists());
        let moments = names.map(|name| lists.remove(name).filter(|list| list.len() == parameters));
        Some(Self { step, moments: moments.collect::<Option<_>>()? })
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
        self.step_on(None, state, groups, learning_rate, parameters, gradients)
    }

    /// The same, by the threads of a pool: what each parameter goes through is the same.
    pub(crate) fn step_on(
        &self,
        pool: Option<&Pool>,
        state: &mut State,
        groups: &[Group],
        learning_rate: f32,
        parameters: &mut [f32],
        gradients: &[f32],
    ) -> Result<()> {
        let len = parameters.len();
        let moments = &mut state.moments;
        let fit = gradients.len() == len && moments.len() == self.lists() && moments.iter().all(|m| m.len() == len);
        if !fit || groups.iter().any(|group| group.range.end > len || group.range.start > group.range.end) {
            return Err(Error::Network(format!(
                "{len} parameters, {} gradients and the optimiser's state do not match",
                gradients.len()
            )));
        }
        state.step += 1;
        for group in groups {
            let range = group.range.clone();
            let mut moments: Vec<_> = moments.iter_mut().map(|list| list[range.clone()].chunks_mut(PART)).collect();
            let mut next = || moments.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>();
            let lists = parameters[range.clone()].chunks_mut(PART).zip(gradients[range].chunks(PART));
            let mut parts: Vec<_> = lists.map(|(p, g)| Mutex::new((p, g, next()))).collect();
            let (step, rate, decay) = (state.step, learning_rate * group.rate, group.weight_decay);
            let run = |(p, g, moments): &mut Part<'_>| self.step_of_part(step, rate, decay, p, g, moments);
            match pool.filter(|_| parts.len() > 1) {
                None => parts.iter_mut().for_each(|part| run(part.get_mut().unwrap_or_else(PoisonError::into_inner))),
                Some(pool) => pool.run(parts.len(), &|task, _| {
                    run(&mut parts[task].lock().unwrap_or_else(PoisonError::into_inner));
                }),
            }
        }
        Ok(())
    }

    fn step_of_part(&self, step: u64, rate: f32, decay: f32, p: &mut [f32], g: &[f32], moments: &mut [&mut [f32]]) {
        let mut moments = moments.iter_mut();
        let mut next = || moments.next().map(|list| &mut **list).unwrap_or_default();
        match *self {
            Self::AdamW { beta1, beta2, epsilon } => {
                Adam { beta1, beta2, epsilon, rate, decay }.step::<true>(step, p, g, next(), next());
            }
            Self::Adam { beta1, beta2, epsilon } => {
                Adam { beta1, beta2, epsilon, rate, decay }.step::<false>(step, p, g, next(), next());
            }
            Self::Sgd { momentum, nesterov } => Sgd { momentum, nesterov, rate, decay }.step(step == 1, p, g, next()),
            Self::RmsProp { alpha, epsilon, momentum, centered } => {
                let rule = RmsProp { alpha, epsilon, momentum, rate, decay };
                match (centered, momentum != 0.0) {
                    (false, false) => rule.step::<false, false>(p, g, next(), &mut [], &mut []),
                    (false, true) => rule.step::<false, true>(p, g, next(), &mut [], next()),
                    (true, false) => rule.step::<true, false>(p, g, next(), next(), &mut []),
                    (true, true) => rule.step::<true, true>(p, g, next(), next(), next()),
                }
            }
            Self::Adagrad { epsilon } => Adagrad { epsilon, rate, decay }.step(p, g, next()),
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
    }

    fn golden() -> File {
        serde_json::from_str(include_str!("../../tests/golden/optim.json")).unwrap()
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
    fn lists_that_do_not_match_are_refused() {
        let mut state = State::new(&Optimizer::ADAMW, 2);
        assert!(Optimizer::ADAMW.step(&mut state, &[], 0.1, &mut [0.0; 3], &[0.0; 3]).is_err());
    }
}
