//! Retraining a whole pretrained network on a user's photos.
//!
//! Every photo is decoded, drawn as a new view and learned from once an epoch; a view depends on seed, photo and epoch alone, and the
//! order of the photos on seed and epoch, so a run repeats to the bit at any number of threads. The first layers see what they saw in
//! pretraining, so batch normalisation goes on with the statistics of the batch and moves the running ones, as the published recipe does.

use crate::event::{Events, Phase};
use crate::features::identity;
use crate::frozen::Frozen;
use crate::{Error, Result, format, package, parallel};
use percept_engine::{Input, Settings};
use percept_graph::onnx::Model;
use percept_graph::rewrite::fold_for_inference;
use percept_graph::{Graph, Params};
use percept_learn::optim::{Group, Optimizer, Schedule, State};
use percept_learn::trainer::{BatchNorm, Trainer};
use percept_photos::augment::{Augment, Scratch, Source};
use percept_photos::decode;
use percept_photos::scan::{self, DataSet, Part};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The settings of a retraining.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// How often every photo is learned from.
    pub epochs: u32,
    /// Photos in a step.
    pub batch: usize,
    /// How gradients move parameters.
    pub optimizer: Optimizer,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// How it rises and falls.
    pub schedule: Schedule,
    /// Weight decay of weights; biases and normalisations have none.
    pub weight_decay: f32,
    /// Share of the target that is spread evenly over all classes.
    pub label_smoothing: f32,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            epochs: 8,
            batch: 32,
            optimizer: Optimizer::ADAMW,
            learning_rate: 1e-3,
            schedule: Schedule::OneCycle,
            weight_decay: 1e-2,
            label_smoothing: 0.1,
        }
    }
}

/// Retrains the pretrained network `backbone` on all photos that are to be learned from, and gives the model file.
///
/// # Errors
/// Photos that cannot be learned from, weights that cannot be had, and as [`finetune`].
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
    let augment = Augment { size: frozen.preprocess.crop(), ..augment.clone() };
    let learned = |&i: &usize| matches!(data.pictures[i].part, None | Some(Part::Train));
    let learned: Vec<usize> = (0..data.pictures.len()).filter(learned).collect();
    let params = finetune((&graph, &params), &data, &learned, recipe, &augment, seed, settings, events)?;
    let (graph, params) = fold_for_inference(&graph, &params)?;
    package::classifier(&frozen, graph, params, 1.0, &data.classes)
}

/// Trains all of `graph`, from byte pictures to logits, on some photos of a data set; gives back its parameters.
///
/// # Errors
/// A photo that cannot be read, a network that cannot be trained, a loss that is no longer a number.
#[allow(clippy::too_many_arguments)]
pub fn finetune(
    (graph, params): (&Graph, &Params),
    data: &DataSet,
    photos: &[usize],
    recipe: &Recipe,
    augment: &Augment,
    seed: u64,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Params> {
    let batch = recipe.batch.min(photos.len()).max(1);
    let steps = u64::from(recipe.epochs) * (photos.len() / batch) as u64;
    let momentum = BatchNorm::Batch { momentum: 0.9 };
    let mut trainer = Trainer::new(graph, params, momentum, |_| true, settings.clone())?;
    let groups: Vec<_> = trainer
        .slices()
        .iter()
        .map(|slice| {
            let weight_decay = if slice.shape.len() > 1 { recipe.weight_decay } else { 0.0 };
            Group { range: slice.range.clone(), rate: 1.0, weight_decay }
        })
        .collect();
    let mut state = State::new(&recipe.optimizer, trainer.parameters.len());
    let views = Views::new(data, augment, seed, settings);
    let mut phase = Phase::start(events, "Retraining the network", Some(steps), "steps");
    for epoch in 0..recipe.epochs {
        let mut losses = 0.0;
        let order = shuffled(data, photos, seed, epoch);
        for chosen in order.chunks_exact(batch) {
            let pictures = views.draw(chosen, epoch + 1)?;
            let targets = targets(data, chosen, trainer.classes(), recipe.label_smoothing);
            let size = augment.size as usize;
            let loss = trainer.gradients_of(&[batch, size, size, 3], Input::U8(&pictures), &targets)?;
            if !loss.is_finite() {
                return Err(Error::Setting("the loss is no longer a number: use a lower learning rate".into()));
            }
            losses += f64::from(loss);
            let rate = recipe.learning_rate * recipe.schedule.factor(state.step, steps);
            let Trainer { parameters, gradients, .. } = &mut trainer;
            recipe.optimizer.step(&mut state, &groups, rate as f32, parameters, gradients)?;
            phase.progress(state.step);
        }
        let mean = losses / (photos.len() / batch) as f64;
        phase.note(format!("Epoch {} of {}: loss {mean:.3}", epoch + 1, recipe.epochs));
    }
    phase.finish(format!("{} steps", format::count(steps)));
    Ok(trainer.params()?)
}

/// The photos in the order of an epoch.
fn shuffled(data: &DataSet, photos: &[usize], seed: u64, epoch: u32) -> Vec<usize> {
    let mut order = photos.to_vec();
    order.sort_by_cached_key(|&i| (mixed(mixed(seed, epoch.into()), identity(data, &data.pictures[i])), i));
    order
}

/// Two numbers as one that looks random: the finaliser of SplitMix64 (Steele et al., OOPSLA 2014).
fn mixed(a: u64, b: u64) -> u64 {
    let z = a.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ b;
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The probabilities that photos are learned with.
fn targets(data: &DataSet, photos: &[usize], classes: usize, smoothing: f32) -> Vec<f32> {
    let mut targets = vec![smoothing / classes as f32; photos.len() * classes];
    for (row, &i) in targets.chunks_exact_mut(classes).zip(photos) {
        row[data.pictures[i].class] += 1.0 - smoothing;
    }
    targets
}

/// Draws views of photos on all threads.
struct Views<'a> {
    data: &'a DataSet,
    augment: &'a Augment,
    seed: u64,
    settings: &'a Settings,
    scratch: Vec<Mutex<Scratch>>,
}

impl<'a> Views<'a> {
    fn new(data: &'a DataSet, augment: &'a Augment, seed: u64, settings: &'a Settings) -> Self {
        let scratch = (0..settings.pool.threads()).map(|_| Mutex::default()).collect();
        Self { data, augment, seed, settings, scratch }
    }

    /// The bytes of the view of this number of each photo.
    fn draw(&self, photos: &[usize], view: u32) -> Result<Vec<u8>> {
        let bytes = (self.augment.size * self.augment.size * 3) as usize;
        let pictures = parallel::map(&self.settings.pool, photos, |&i, thread| {
            let photo = &self.data.pictures[i];
            let source = Source::new(&decode::open(&photo.path)?, self.augment.size);
            let mut out = vec![0; bytes];
            let drawn = self.augment.draw(self.seed, identity(self.data, photo), view);
            let mut scratch = self.scratch[thread].lock().unwrap_or_else(PoisonError::into_inner);
            self.augment.apply_into(&source, &drawn, &mut scratch, &mut out);
            Ok(out)
        });
        Ok(pictures.into_iter().collect::<Result<Vec<_>>>()?.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percept_photos::scan::Picture;

    fn data() -> DataSet {
        let picture = |i: usize| Picture { path: format!("{i}.png").into(), class: i % 3, group: i, part: None };
        let classes = ["a", "b", "c"].map(String::from).to_vec();
        DataSet { root: "".into(), classes, pictures: (0..40).map(picture).collect(), skipped: Vec::new() }
    }

    #[test]
    fn an_epoch_has_every_photo_once_in_an_order_of_its_own() {
        let (data, photos) = (data(), (3..40).collect::<Vec<_>>());
        let [first, second] = [0, 1].map(|epoch| shuffled(&data, &photos, 7, epoch));
        assert_ne!(first, second);
        assert_eq!(first, shuffled(&data, &photos, 7, 0));
        let mut sorted = first;
        sorted.sort_unstable();
        assert_eq!(sorted, photos);
    }

    #[test]
    fn smoothed_targets_add_up_to_one() {
        let targets = targets(&data(), &[4, 2], 3, 0.3);
        let expected = [0.1, 0.8, 0.1, 0.1, 0.1, 0.8];
        assert!(targets.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{targets:?}");
    }
}
