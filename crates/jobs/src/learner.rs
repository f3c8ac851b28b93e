//! A network that learns by one optimiser: what text and sound have in common. The feeds are theirs.

mod course;
mod rate;

pub use course::Point;
pub(crate) use course::{Checked, Course, Lesson};
pub(crate) use rate::{RATES, decide_rate};

use crate::Result;
use percept_engine::{Input, Settings};
use percept_graph::{Graph, Params};
use percept_learn::optim::{Group, Optimizer, State, clip_by_norm, is_weight};
use percept_learn::trainer::{BatchNorm, Step, Weights};

/// Weights, the step that gives their gradients, and AdamW, which moves them.
pub(crate) struct Learner {
    pub(crate) weights: Weights,
    step: Step,
    state: State,
    groups: Vec<Group>,
    /// The longest gradient, as a Euclidean norm.
    clip: Option<f64>,
}

impl Learner {
    /// For a graph whose first output is the loss.
    pub(crate) fn new(
        graph: &Graph,
        params: &Params,
        batch_norm: BatchNorm,
        weight_decay: f32,
        clip: Option<f64>,
        settings: &Settings,
    ) -> Result<Self> {
        let weights = Weights::new(&[graph], params, batch_norm, |_| true)?;
        let step = Step::new(graph, &weights, |_| true, settings.clone())?;
        let groups = Group::of_slices(weights.slices(), 1.0, weight_decay, is_weight);
        let state = State::new(&Optimizer::ADAMW, weights.parameters.len());
        Ok(Self { weights, step, state, groups, clip })
    }

    /// Steps taken.
    pub(crate) fn taken(&self) -> u64 {
        self.state.step
    }

    /// Takes a step at this learning rate; gives back its loss, or NaN, and then takes none, if it or the gradient is no number. What dropout
    /// drops depends on `seed` alone.
    pub(crate) fn learn(&mut self, inputs: &[(&[usize], Input<'_>)], seed: u64, rate: f64) -> Result<f32> {
        self.step.seed = seed.cast_signed();
        let loss = self.step.run(&mut self.weights, inputs)?;
        let length = match self.clip {
            Some(longest) => clip_by_norm(&mut self.weights.gradients, longest),
            None => 0.0,
        };
        if !loss.is_finite() || !length.is_finite() {
            return Ok(f32::NAN);
        }
        self.step.update(&mut self.weights, &Optimizer::ADAMW, &mut self.state, &self.groups, rate as f32)?;
        Ok(loss)
    }

    /// A further output of the graph in the last step.
    pub(crate) fn output(&self, i: usize) -> Result<&[f32]> {
        Ok(self.step.output(i)?.1)
    }
}
