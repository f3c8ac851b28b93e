//! Training all of a network on a user's photos.
//!
//! Every photo is decoded, drawn as a new view and learned from once an epoch; a view depends on seed, photo and epoch alone, and the
//! order of the photos on seed and epoch, so a run repeats to the bit at any number of threads. The first layers see what they saw in
//! pretraining, so batch normalisation goes on with the statistics of the batch and moves the running ones, as the published recipe does.
//!
//! How far it is lies in a checkpoint, which is written so often that writing takes about a fiftieth of the time; whoever goes on from
//! there takes the same steps. When it is written decides nothing.

mod ahead;
mod answers;
mod feed;
mod recipe;
mod state;
mod views;

pub(crate) use answers::Answers;
pub(crate) use feed::{Feed, Kept, plain};
pub use recipe::{Epoch, Lower, Recipe};
pub(crate) use views::Views;

use crate::budget::Saved;
use crate::event::{Events, Phase};
use crate::{Error, Result, format};
use percept_engine::{Network, Settings};
use percept_graph::rewrite::fold_for_inference;
use percept_graph::{Graph, Params};
use percept_learn::optim::{Group, is_weight};
use percept_learn::random::mixed;
use percept_learn::trainer::{Step, Weights, with_losses};
use percept_photos::scan::DataSet;
use state::State;
use std::path::Path;
use std::thread;
use std::time::Instant;
use views::shuffled;

/// Photos that are looked at together when a network is checked.
const GROUP: usize = 32;

/// What is trained on what.
pub(crate) struct Task<'a> {
    /// What it is called while it runs.
    pub(crate) name: &'static str,
    /// What the names of its curves begin with.
    pub(crate) curves: &'static str,
    /// From what the feed gives to logits, or to a raw output for each question.
    pub(crate) graph: &'a Graph,
    pub(crate) params: &'a Params,
    pub(crate) feed: Feed<'a>,
    pub(crate) data: &'a DataSet,
    /// What the network is to say.
    pub(crate) answers: Answers<'a>,
    /// Positions of the photos to learn from.
    pub(crate) photos: &'a [usize],
    /// Positions of the photos to check with.
    pub(crate) check: &'a [usize],
    pub(crate) seed: u64,
    pub(crate) settings: &'a Settings,
    /// Where it is written down how far it is.
    pub(crate) checkpoint: Option<&'a Path>,
}

/// What came of it.
pub(crate) struct Finetuned {
    pub(crate) params: Params,
    pub(crate) curve: Vec<Epoch>,
}

impl Task<'_> {
    /// Trains from where the checkpoint ends, if there is one.
    ///
    /// # Errors
    /// A photo that cannot be read, a network that cannot be trained, a loss that is no longer a number.
    pub(crate) fn run(&self, recipe: &Recipe, events: Events<'_>) -> Result<Finetuned> {
        recipe.check()?;
        let in_epoch = self.in_epoch(recipe);
        let steps = u64::from(recipe.epochs) * in_epoch;
        let (mut weights, mut step) = self.trainer(recipe)?;
        let groups = Group::of_slices(weights.slices(), recipe.lowest_rate, recipe.weight_decay, is_weight);
        let mut state = State::open(self.checkpoint, recipe, &mut weights)?;
        let mut phase = Phase::start(events, self.name, Some(steps), "steps");
        phase.progress(state.optim.step);
        let mut saved = Saved::now();
        thread::scope(|scope| {
            let ahead = self.ahead(scope, recipe, state.optim.step)?;
            while !state.is_over(recipe) {
                let end = (state.about.curve.len() as u64 + 1) * in_epoch;
                while state.optim.step < end {
                    let (batch, targets) = ahead.next()?;
                    step.seed = mixed(self.seed, state.optim.step) as i64;
                    let loss = step.run_batch(&mut weights, &batch.shape, batch.input(), &targets)?;
                    if !loss.is_finite() {
                        return Err(Error::Setting("the loss is no longer a number: use a lower learning rate".into()));
                    }
                    state.about.losses += f64::from(loss);
                    let rate = recipe.learning_rate * recipe.schedule.factor(state.optim.step, steps);
                    step.update(&mut weights, &recipe.optimizer, &mut state.optim, &groups, rate as f32)?;
                    state.average(recipe, &weights)?;
                    phase.progress(state.optim.step);
                    phase.metric(format!("{}/loss", self.curves), state.optim.step, loss.into());
                    phase.metric(format!("{}/learning_rate", self.curves), state.optim.step, rate);
                    saved.tick(|| state.save(self.checkpoint, &weights))?;
                }
                let loss = std::mem::take(&mut state.about.losses) / in_epoch as f64;
                let (accuracy, nll) = self.checked(&state.params(&weights)?)?;
                for (name, value) in [("validation_accuracy", accuracy), ("validation_loss", nll)] {
                    if let Some(value) = value {
                        phase.metric(format!("{}/{name}", self.curves), state.optim.step, value);
                    }
                }
                state.finish_epoch(Epoch { loss, accuracy, nll }, &weights);
                phase.note(state.about.line(recipe));
                state.save(self.checkpoint, &weights)?;
            }
            Ok(())
        })?;
        phase.finish(format!("{} steps", format::count(state.optim.step)));
        Ok(Finetuned { params: state.best(&weights)?, curve: state.about.curve })
    }

    fn trainer(&self, recipe: &Recipe) -> Result<(Weights, Step)> {
        let graph = with_losses(self.graph, &self.answers.losses())?;
        let weights = Weights::new(&[&graph], self.params, recipe.batch_norm, |_| true)?;
        let step = Step::new(&graph, &weights, |_| true, self.settings.clone())?;
        Ok((weights, step))
    }

    /// Accuracy and negative log-likelihood on the photos held out.
    fn checked(&self, params: &Params) -> Result<(Option<f64>, Option<f64>)> {
        if self.check.is_empty() {
            return Ok((None, None));
        }
        self.answers.check(self.check, self.logits(params)?.0)
    }

    /// What the network says to the photos held out, as the model file will: a row for each with all outputs one after the other; and how
    /// long a row is.
    pub(crate) fn logits(&self, params: &Params) -> Result<(Vec<f32>, usize)> {
        let (graph, params) = fold_for_inference(self.graph, params)?;
        let mut network = Network::new(&graph, &params, self.settings.clone())?;
        let (mut logits, mut width) = (Vec::new(), 0);
        for group in self.check.chunks(GROUP) {
            let mut batch = self.feed.batch(&self.settings.pool, group, None)?;
            // One size of batch, so that one plan does.
            batch.resize(GROUP);
            let plan = network.run(&[(&batch.shape, batch.input())])?;
            let outputs: Vec<&[f32]> = (0..graph.outputs().len()).map(|i| plan.output(i).1).collect();
            width = outputs.iter().map(|output| output.len() / GROUP).sum();
            for i in 0..group.len() {
                let own = |output: &&[f32]| i * output.len() / GROUP..(i + 1) * output.len() / GROUP;
                outputs.iter().for_each(|output| logits.extend_from_slice(&output[own(output)]));
            }
        }
        Ok((logits, width))
    }

    /// Seconds that a step takes, measured.
    pub(crate) fn measure(&self, recipe: &Recipe) -> Result<f64> {
        let (mut weights, mut step) = self.trainer(recipe)?;
        let batch = self.batch(recipe);
        let chosen: Vec<usize> = shuffled(self.data, self.photos, self.seed, 0).into_iter().take(batch).collect();
        let mut times = [0.0; 3];
        for time in &mut times {
            let start = Instant::now();
            let (batch, targets) = self.step(&self.settings.pool, recipe, 0, 0, &chosen)?;
            step.run_batch(&mut weights, &batch.shape, batch.input(), &targets)?;
            *time = start.elapsed().as_secs_f64();
        }
        // The first makes the plan.
        Ok((times[1] + times[2]) / 2.0)
    }
}
