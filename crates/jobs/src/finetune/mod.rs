//! Training all of a network on a user's photos.
//!
//! Every photo is decoded, drawn as a new view and learned from once an epoch; a view depends on seed, photo and epoch alone, and the
//! order of the photos on seed and epoch, so a run repeats to the bit at any number of threads. The first layers see what they saw in
//! pretraining, so batch normalisation goes on with the statistics of the batch and moves the running ones, as the published recipe does.
//!
//! How far it is lies in a checkpoint, which is written so often that writing takes about a fiftieth of the time; whoever goes on from
//! there takes the same steps. When it is written decides nothing.

mod state;
mod views;

use crate::event::{Events, Phase};
use crate::frozen::Frozen;
use crate::{Error, Result, format, package, parallel};
use percept_engine::{Input, Network, Settings};
use percept_graph::onnx::Model;
use percept_graph::rewrite::fold_for_inference;
use percept_graph::{Graph, Params};
use percept_learn::calibrate::temperature;
use percept_learn::metrics::Metrics;
use percept_learn::optim::{Group, Optimizer, Schedule};
use percept_learn::trainer::{BatchNorm, Trainer};
use percept_photos::augment::Augment;
use percept_photos::decode;
use percept_photos::resize::Preprocess;
use percept_photos::scan::{self, DataSet, Part};
use serde::{Deserialize, Serialize};
use state::State;
use std::path::Path;
use std::time::Instant;
use views::{Views, shuffled, targets};

/// Photos that are decoded and looked at together when a network is checked.
const GROUP: usize = 32;

/// The settings of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// How often every photo is learned from.
    pub epochs: u32,
    /// Photos in a step.
    pub batch: usize,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// The share of it that the first layer gets; layers between get shares between, in equal ratios.
    pub lowest_rate: f64,
    /// How it rises and falls.
    pub schedule: Schedule,
    /// Weight decay of weights; biases and normalisations have none.
    pub weight_decay: f32,
    /// Share of the target that is spread evenly over all classes.
    pub label_smoothing: f32,
    /// How much of itself the running mean of the weights keeps in a step; 0 for no mean. With one, the mean is what is checked and kept.
    pub averaging: f32,
    /// Epochs without a better answer to the photos held out after which to stop, and to go back to the best; 0 for never.
    pub patience: u32,
    /// Whether batch normalisations learn new statistics.
    pub batch_norm: BatchNorm,
    /// How gradients move parameters.
    pub optimizer: Optimizer,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            epochs: 8,
            batch: 32,
            learning_rate: 1e-3,
            lowest_rate: 1.0,
            schedule: Schedule::OneCycle,
            weight_decay: 1e-2,
            label_smoothing: 0.1,
            averaging: 0.0,
            patience: 0,
            batch_norm: BatchNorm::Batch { momentum: 0.9 },
            optimizer: Optimizer::ADAMW,
        }
    }
}

impl Recipe {
    /// Fails if a setting makes no sense; the error names it.
    pub fn check(&self) -> Result<()> {
        let share = |x: f32| (0.0..1.0).contains(&x);
        let wrong = [
            (self.epochs == 0, "epochs must be at least 1"),
            (self.batch == 0, "batch must be at least 1"),
            (!(self.learning_rate > 0.0 && self.learning_rate.is_finite()), "learning_rate must be positive"),
            (!(self.lowest_rate > 0.0 && self.lowest_rate <= 1.0), "lowest_rate must be above 0 and at most 1"),
            (!(self.weight_decay >= 0.0 && self.weight_decay.is_finite()), "weight_decay must not be negative"),
            (!share(self.label_smoothing), "label_smoothing must be at least 0 and below 1"),
            (!share(self.averaging), "averaging must be at least 0 and below 1"),
        ];
        match wrong.iter().find(|(wrong, _)| *wrong) {
            Some((_, reason)) => Err(Error::Setting(format!("a stage's {reason}"))),
            None => Ok(()),
        }
    }
}

/// What an epoch came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Mean loss of its steps.
    pub loss: f64,
    /// Accuracy on the photos held out; absent if there are none.
    pub accuracy: Option<f64>,
    /// Negative log-likelihood on them, at the temperature that suits them best.
    pub nll: Option<f64>,
}

/// What is trained on what.
pub(crate) struct Task<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) params: &'a Params,
    pub(crate) data: &'a DataSet,
    /// Positions of the photos to learn from.
    pub(crate) photos: &'a [usize],
    /// Positions of the photos to check with.
    pub(crate) check: &'a [usize],
    pub(crate) preprocess: &'a Preprocess,
    pub(crate) augment: &'a Augment,
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

/// Retrains the pretrained network `backbone` on all photos that are to be learned from, and gives the model file.
///
/// # Errors
/// Photos that cannot be learned from, weights that cannot be had, and a training that fails.
pub fn retrain(
    backbone: &str,
    photos: &Path,
    recipe: &Recipe,
    augment: &Augment,
    seed: u64,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Model> {
    let data = scan::scan(photos)?;
    data.check_trainable()?;
    let frozen = Frozen::open(backbone)?;
    let (graph, params) = Frozen::trainable(backbone, data.classes.len())?;
    let augment = Augment { size: frozen.origin.preprocess.crop(), ..augment.clone() };
    let learned = |&i: &usize| matches!(data.pictures[i].part, None | Some(Part::Train));
    let learned: Vec<usize> = (0..data.pictures.len()).filter(learned).collect();
    let task = Task {
        graph: &graph,
        params: &params,
        data: &data,
        photos: &learned,
        check: &[],
        preprocess: &frozen.origin.preprocess,
        augment: &augment,
        seed,
        settings,
        checkpoint: None,
    };
    let Finetuned { params, .. } = task.run(recipe, events)?;
    let (graph, params) = fold_for_inference(&graph, &params)?;
    package::classifier(&frozen.origin, graph, params, 1.0, &data.classes)
}

impl Task<'_> {
    /// Trains from where the checkpoint ends, if there is one.
    ///
    /// # Errors
    /// A photo that cannot be read, a network that cannot be trained, a loss that is no longer a number.
    pub(crate) fn run(&self, recipe: &Recipe, events: Events<'_>) -> Result<Finetuned> {
        recipe.check()?;
        let batch = recipe.batch.min(self.photos.len()).max(1);
        let in_epoch = (self.photos.len() / batch) as u64;
        let steps = u64::from(recipe.epochs) * in_epoch;
        let mut trainer = Trainer::new(self.graph, self.params, recipe.batch_norm, |_| true, self.settings.clone())?;
        let groups = groups(&trainer, recipe);
        let mut state = State::open(self.checkpoint, recipe, &mut trainer)?;
        let views = Views::new(self.data, self.augment, self.seed, self.settings);
        let mut phase = Phase::start(events, "Training the network", Some(steps), "steps");
        phase.progress(state.optim.step);
        let mut saved = Saved { at: Instant::now(), took: 0.0 };
        while !state.is_over(recipe) {
            let epoch = state.about.curve.len() as u32;
            let order = shuffled(self.data, self.photos, self.seed, epoch);
            let done = state.optim.step - u64::from(epoch) * in_epoch;
            for chosen in order.chunks_exact(batch).skip(done as usize) {
                let pictures = views.draw(chosen, epoch + 1)?;
                let targets = targets(self.data, chosen, trainer.classes(), recipe.label_smoothing);
                let size = self.augment.size as usize;
                let loss = trainer.gradients_of(&[batch, size, size, 3], Input::U8(&pictures), &targets)?;
                if !loss.is_finite() {
                    return Err(Error::Setting("the loss is no longer a number: use a lower learning rate".into()));
                }
                state.about.losses += f64::from(loss);
                let rate = recipe.learning_rate * recipe.schedule.factor(state.optim.step, steps);
                let Trainer { parameters, gradients, .. } = &mut trainer;
                recipe.optimizer.step(&mut state.optim, &groups, rate as f32, parameters, gradients)?;
                state.average(recipe, &trainer);
                phase.progress(state.optim.step);
                saved.tick(|| state.save(self.checkpoint, &trainer))?;
            }
            let loss = std::mem::take(&mut state.about.losses) / in_epoch as f64;
            let (accuracy, nll) = self.checked(&state.params(&trainer)?)?;
            state.finish_epoch(Epoch { loss, accuracy, nll }, &trainer);
            phase.note(state.about.line(recipe));
            state.save(self.checkpoint, &trainer)?;
        }
        phase.finish(format!("{} steps", format::count(state.optim.step)));
        Ok(Finetuned { params: state.best(&trainer)?, curve: state.about.curve })
    }

    /// Accuracy and negative log-likelihood on the photos held out.
    fn checked(&self, params: &Params) -> Result<(Option<f64>, Option<f64>)> {
        if self.check.is_empty() {
            return Ok((None, None));
        }
        let (mut logits, classes) = self.logits(params)?;
        let truth: Vec<usize> = self.check.iter().map(|&i| self.data.pictures[i].class).collect();
        let temperature = temperature(&logits, classes, &truth)?;
        crate::classifier::cooled_softmax(&mut logits, classes, temperature);
        let metrics = Metrics::new(&logits, classes, &truth)?;
        Ok((Some(metrics.accuracy), Some(metrics.nll)))
    }

    /// What the network says to the photos held out, as the model file will: photos × classes; and the number of classes.
    pub(crate) fn logits(&self, params: &Params) -> Result<(Vec<f32>, usize)> {
        let (graph, params) = fold_for_inference(self.graph, params)?;
        let mut network = Network::new(&graph, &params, self.settings.clone())?;
        let size = self.preprocess.crop() as usize;
        let classes = self.data.classes.len();
        let mut logits = Vec::with_capacity(self.check.len() * classes);
        for group in self.check.chunks(GROUP) {
            let open = |&i: &usize, _| decode::open(&self.data.pictures[i].path).map(|p| self.preprocess.apply(&p));
            let mut bytes = Vec::with_capacity(GROUP * size * size * 3);
            for picture in parallel::map(&self.settings.pool, group, open) {
                bytes.extend_from_slice(picture?.as_raw());
            }
            // One size of batch, so that one plan does.
            bytes.resize(GROUP * size * size * 3, 0);
            let plan = network.run(&[(&[GROUP, size, size, 3], Input::U8(&bytes))])?;
            logits.extend_from_slice(&plan.output(0).1[..group.len() * classes]);
        }
        Ok((logits, classes))
    }

    /// Seconds that a step takes, measured.
    pub(crate) fn measure(&self, recipe: &Recipe) -> Result<f64> {
        let batch = recipe.batch.min(self.photos.len()).max(1);
        let mut trainer = Trainer::new(self.graph, self.params, recipe.batch_norm, |_| true, self.settings.clone())?;
        let views = Views::new(self.data, self.augment, self.seed, self.settings);
        let chosen: Vec<usize> = shuffled(self.data, self.photos, self.seed, 0).into_iter().take(batch).collect();
        let targets = targets(self.data, &chosen, trainer.classes(), 0.0);
        let size = self.augment.size as usize;
        let mut times = [0.0; 3];
        for time in &mut times {
            let start = Instant::now();
            let pictures = views.draw(&chosen, 0)?;
            trainer.gradients_of(&[batch, size, size, 3], Input::U8(&pictures), &targets)?;
            *time = start.elapsed().as_secs_f64();
        }
        // The first makes the plan.
        Ok((times[1] + times[2]) / 2.0)
    }
}

/// How the parameters are treated: by their depth, and whether they are weights.
fn groups(trainer: &Trainer, recipe: &Recipe) -> Vec<Group> {
    let last = trainer.slices().len().saturating_sub(1).max(1) as f64;
    let group = |(i, slice): (usize, &percept_learn::trainer::Slice)| Group {
        range: slice.range.clone(),
        rate: recipe.lowest_rate.powf(1.0 - i as f64 / last) as f32,
        weight_decay: if slice.shape.len() > 1 { recipe.weight_decay } else { 0.0 },
    };
    trainer.slices().iter().enumerate().map(group).collect()
}

/// When the last checkpoint was written, and how many seconds that took.
struct Saved {
    at: Instant,
    took: f64,
}

impl Saved {
    /// Writes a checkpoint if it is time.
    fn tick(&mut self, save: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.at.elapsed().as_secs_f64() < (50.0 * self.took).max(0.5) {
            return Ok(());
        }
        let start = Instant::now();
        save()?;
        *self = Self { at: Instant::now(), took: start.elapsed().as_secs_f64() };
        Ok(())
    }
}
