//! The two players of a GAN: weights in one arena, a step for each.

use super::pictures::Pictures;
use crate::classifier::key;
use crate::{Error, Result};
use percept_engine::{Input, Settings};
use percept_graph::Params;
use percept_graph::onnx::Model;
use percept_learn::checkpoint;
use percept_learn::optim::{Group, Optimizer, State, average};
use percept_learn::random::mixed;
use percept_learn::spectral::Spectral;
use percept_learn::trainer::{BatchNorm, Step, Weights};
use percept_models::gan::{DISCRIMINATOR, GENERATOR, Gan, first_value};
use percept_models::init::{Init, initialize_with};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;

/// As in the paper of DCGAN: little memory of gradients, whose target moves.
const ADAM: Optimizer = Optimizer::Adam { beta1: 0.5, beta2: 0.999, epsilon: 1e-8 };
/// The learning rate of DCGAN, for both players.
const RATE: f32 = 2e-4;
/// That of a discriminator of classes, which, held back by its normalisation, learns faster (Heusel et al., "GANs Trained by a Two Time-Scale Update Rule
/// Converge to a Local Nash Equilibrium", NIPS 2017).
const FASTER: f32 = 6e-4;
/// The share of themselves that running statistics keep in a step.
const MOMENTUM: f32 = 0.9;
/// The share of themselves that means of weights keep in a step.
const KEEP: f32 = 0.999;

pub(super) struct Players {
    gan: Gan,
    weights: Weights,
    /// Discriminator, then generator; so are the groups.
    steps: [Step; 2],
    groups: [Vec<Group>; 2],
    state: State,
    spectral: Spectral,
    /// Running means of parameters and of running statistics.
    means: [Vec<f32>; 2],
    batch: usize,
    seed: u64,
}

impl Players {
    pub(super) fn new(gan: Gan, batch: usize, seed: u64, settings: &Settings) -> Result<Self> {
        let losses = [gan.discriminator_loss()?, gan.generator_loss()?];
        let params = initialize_with(&losses[1], seed, first_value)?;
        let statistics = BatchNorm::Batch { momentum: MOMENTUM };
        let weights = Weights::new(&[&losses[0], &losses[1]], &params, statistics, |_| true)?;
        let step = |loss, player: &str| Step::new(loss, &weights, |name| name.starts_with(player), settings.clone());
        let steps = [step(&losses[0], DISCRIMINATOR)?, step(&losses[1], GENERATOR)?];
        let groups = [DISCRIMINATOR, GENERATOR].map(|player| {
            let of_player: Vec<_> =
                weights.slices().iter().filter(|slice| slice.name.starts_with(player)).cloned().collect();
            Group::of_slices(&of_player, 1.0, 0.0, |_| false)
        });
        let state = State::new(&ADAM, weights.parameters.len());
        let spectral = Spectral::new(&losses[0], &weights, seed)?;
        let means = [weights.parameters.clone(), weights.running.clone()];
        Ok(Self { gan, weights, steps, groups, state, spectral, means, batch, seed })
    }

    /// Steps taken so far.
    pub(super) fn taken(&self) -> u64 {
        self.state.step
    }

    /// A step of the discriminator, then one of the generator, for which pictures are drawn once: the losses of both. What is drawn depends on the seed
    /// and the number of the step alone.
    pub(super) fn step(&mut self, pictures: &Pictures) -> Result<[f32; 2]> {
        let step = self.taken();
        let place = mixed(self.seed, step);
        let (classes, real) = pictures.batch((0..self.batch as u64).map(|i| mixed(place, i)));
        let (noise_shape, classes_shape) = ([self.batch, self.gan.noise, 1, 1], [self.batch]);
        let noise = noise(self.seed, &format!("noise.{step}"), [self.batch, self.gan.noise]);
        let class = (self.gan.classes > 0).then_some((&classes_shape[..], Input::I64(&classes)));
        self.spectral.advance(&self.weights.parameters);
        let given = [(&noise_shape[..], Input::F32(&noise))].into_iter().chain(class);
        let asked: Vec<_> = given.chain(self.spectral.inputs()).collect();
        let Self { steps: [discriminator, generator], weights, state, groups, .. } = self;
        generator.run_until(1, weights, &asked)?;
        let (shape, drawn) = generator.output(1)?;
        let pictures = [(shape, Input::U8(&real)), (shape, Input::F32(drawn))];
        let shown: Vec<_> = class.into_iter().chain(pictures).chain(self.spectral.inputs()).collect();
        let judged = discriminator.run(weights, &shown)?;
        let rate = if class.is_some() { FASTER } else { RATE };
        discriminator.update(weights, &ADAM, state, &groups[0], rate)?;
        let drew = generator.run_rest(weights, &asked)?;
        // Both have taken as many steps, and each moves its own part of the state.
        state.step = step;
        generator.update(weights, &ADAM, state, &groups[1], RATE)?;
        let losses = [judged, drew];
        if losses.iter().all(|loss| loss.is_finite()) {
            let [parameters, running] = &mut self.means;
            average(parameters, &self.weights.parameters, KEEP, step + 1)?;
            average(running, &self.weights.running, KEEP, step + 1)?;
            return Ok(losses);
        }
        let text = format!("the losses were no numbers any more at step {step}: begin a new run with another --seed");
        Err(Error::Setting(text))
    }

    /// The generator as a model file says it, with the means of its weights.
    pub(super) fn generator(&self, classes: &[String]) -> Result<Model> {
        let graph = self.gan.generator()?;
        let mut all = self.weights.params_from(&self.means[0], &self.means[1])?;
        let params: Params =
            graph.parameters().filter_map(|value| Some((value.name.clone(), all.remove(&value.name)?))).collect();
        let mut metadata = BTreeMap::new();
        if !classes.is_empty() {
            let labels = serde_json::to_string(classes);
            let labels = labels.map_err(|e| Error::Setting(format!("metadata cannot be written: {e}")))?;
            metadata.insert(key::LABELS.to_string(), labels);
        }
        Ok(Model { graph, params, metadata })
    }

    /// Numbers that a picture is drawn from.
    pub(super) fn noise(&self) -> usize {
        self.gan.noise
    }

    /// Numbers that are trained: of the discriminator, of the generator.
    pub(super) fn parameters(&self) -> [usize; 2] {
        [0, 1].map(|player| self.groups[player].iter().map(|group| group.range.len()).sum())
    }

    /// Writes all that the next step depends on, beside what else the run has to know.
    pub(super) fn save(&self, path: &Path, about: &impl Serialize, film: &[f32]) -> Result<()> {
        let mut lists = self.state.lists();
        let arenas = [
            ("parameters", &self.weights.parameters),
            ("running", &self.weights.running),
            ("spectral", &self.spectral.vectors),
            ("means.parameters", &self.means[0]),
            ("means.running", &self.means[1]),
        ];
        lists.extend(arenas.map(|(name, list)| (name, &list[..])));
        lists.push(("film", film));
        Ok(checkpoint::save(path, &(self.state.step, about), &lists)?)
    }

    /// Goes on from what was saved, if anything was: what the run has to know, and the film.
    pub(super) fn load<T: DeserializeOwned>(&mut self, path: &Path) -> Result<Option<(T, Vec<f32>)>> {
        let Some(((step, about), mut lists)) = checkpoint::load::<(u64, T)>(path)? else { return Ok(None) };
        let state = State::from_lists(&ADAM, self.weights.parameters.len(), step, &mut lists);
        let [means, running_means] = &mut self.means;
        let arenas = [
            ("parameters", &mut self.weights.parameters),
            ("running", &mut self.weights.running),
            ("spectral", &mut self.spectral.vectors),
            ("means.parameters", means),
            ("means.running", running_means),
        ];
        let mut fit = true;
        for (name, arena) in arenas {
            match lists.remove(name) {
                Some(list) if list.len() == arena.len() => *arena = list,
                _ => fit = false,
            }
        }
        match (state, lists.remove("film")) {
            (Some(state), Some(film)) if fit => {
                self.state = state;
                Ok(Some((about, film)))
            }
            _ => Err(Error::Setting(format!("{} is of another network: begin a new run", path.display()))),
        }
    }
}

/// Normal numbers with variance 1.
pub(super) fn noise(seed: u64, name: &str, [count, width]: [usize; 2]) -> Vec<f32> {
    Init::Normal(1.0).draw(seed, name, &[count, width])
}
