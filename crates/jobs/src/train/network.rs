//! The trainings of a network, each kept only if the photos held out say that it helps.
//!
//! The new last layer begins with zeros. Begun with the classifier that was fitted on top, which suits its photos all too well, four
//! epochs over shop photos named 63.5 % of photos from other shops, where three begun with zeros named 76.0 %.

use super::Run;
use super::head::{Fitted, Learned, Whole};
use super::known;
use super::plan::{self, Epochs};
use super::top::{self, Top};
use crate::classifier::cooled_softmax;
use crate::event::{Event, Events, Timing};
use crate::finetune::{Feed, Finetuned, Recipe, Task, Views, plain};
use crate::folder::RunFolder;
use crate::format::percent;
use crate::frozen::{Frozen, Origin};
use crate::report::Stage;
use crate::{Error, Result};
use percept_graph::rewrite::fold_for_inference;
use percept_graph::{Graph, Params};
use percept_learn::calibrate::temperature;
use percept_learn::metrics::Metrics;
use percept_learn::whiten::whitening;
use percept_models::{Network, airbench};
use percept_photos::augment::{Augment, Effect};
use percept_photos::resize::{Filter, Preprocess};
use std::path::Path;
use std::time::Instant;

/// Pictures of a smaller side are small: what blurs or covers a photo leaves nothing of them.
const SMALL: u32 = 64;

/// A network of that name to be trained from zero, as what a model began as.
pub(super) fn origin(name: &str) -> Result<Origin> {
    let size = Network::find(name)?.size as u32;
    let resize = if size < SMALL { size } else { (f64::from(size) / 0.875).round() as u32 };
    let preprocess = Preprocess::new(resize, size, Filter::Bicubic)?;
    Ok(Origin { name: name.into(), preprocess, licence: "none: trained from zero".into() })
}

/// The views that suit small pictures: moved by whole pixels, and half of them with something in front. Turned or stretched, they would be blurred
/// as those to be named are not: of CIFAR-10, four epochs named 81.2 % of pictures held out so, and 83.9 % with views moved only.
pub(super) fn of_small(augment: &Augment, size: u32) -> Augment {
    if size >= SMALL {
        return augment.clone();
    }
    let never = |effect: Effect| Effect { probability: 0.0, ..effect };
    Augment {
        area: (1.0, 1.0),
        aspect: 1.0,
        shift: 0.1,
        rotation: 0.0,
        perspective: 0.0,
        defocus: never(augment.defocus),
        motion: never(augment.motion),
        noise: never(augment.noise),
        jpeg: never(augment.jpeg),
        occlusion: Effect { probability: 0.5, range: (0.05, 0.15) },
        ..augment.clone()
    }
}

/// The most epochs of a network from zero, if there is a time limit.
const MOST_FROM_ZERO: u32 = 40;
/// Photos whose patches are whitened.
const WHITENED: usize = 500;
/// What is added to variances when patches are whitened, as in the code of Airbench.
const LEAST_VARIANCE: f64 = 5e-4;
/// How classes are blended. On shop photos of 81 products, four choices of 20 of them left out, things of no class are told apart with a mean
/// AUROC of 0.902, without of 0.890; 89.5 % of 296 photos from other shops are named right, without 89.9 %.
const MIXUP: f32 = 0.2;

/// What all stages share.
pub(super) struct Stages<'a> {
    pub(super) graph: Graph,
    pub(super) params: Params,
    pub(super) photos: &'a [usize],
    pub(super) held_out: &'a [usize],
}

impl<'a> Stages<'a> {
    /// The network before the first stage; nothing if it cannot be trained as a whole.
    pub(super) fn new(run: &Run<'_>, photos: &'a [usize], held_out: &'a [usize]) -> Result<Option<Self>> {
        let classes = run.data.classes.len();
        let (graph, params) = match &run.config.network {
            Some(name) => {
                let network = Network::find(name)?;
                let graph = network.build(run.origin.preprocess.crop() as usize, classes)?;
                let mut params = network.initialize(&graph, run.config.seed)?;
                if network.whitens() {
                    whiten(run, photos, &mut params)?;
                }
                (graph, params)
            }
            None if percept_models::Backbone::find(&run.config.backbone).is_err() => return Ok(None),
            None => Frozen::trainable(&run.config.backbone, classes)?,
        };
        let (graph, params) = match &run.questions {
            Some(questions) => questions.attach(&graph, params)?,
            None => (graph, params),
        };
        Ok(Some(Self { graph, params, photos, held_out }))
    }

    /// The training of all layers on photos.
    pub(super) fn task<'t>(&'t self, run: &'t Run<'_>) -> Task<'t> {
        let views = Views::new(&run.data, &run.config.augment, run.config.seed, run.settings.pool.threads());
        Task {
            name: "Training the network",
            curves: "network",
            graph: &self.graph,
            params: &self.params,
            feed: Feed::Photos { data: &run.data, views, preprocess: &run.origin.preprocess },
            data: &run.data,
            answers: run.answers(),
            photos: self.photos,
            check: self.held_out,
            seed: run.config.seed,
            settings: run.settings,
            checkpoint: None,
        }
    }

    /// Trains by all recipes of the plan; gives back the best of what they and the classifier on top came to.
    pub(super) fn run(
        mut self,
        run: &mut Run<'_>,
        mut best: Option<Fitted>,
        folder: &RunFolder,
        events: Events<'_>,
    ) -> Result<Fitted> {
        let recipes = run.config.stages.clone().unwrap_or_default();
        let mut last = None;
        for (i, recipe) in recipes.iter().enumerate() {
            let start = Instant::now();
            let path = folder.path().join(format!("stage-{}.safetensors", i + 1));
            let Finetuned { params, curve } = self.train(run, recipe, &path, &mut *events)?;
            let found = self.fitted(run, &params)?;
            let (mut stage, text) = judge(best.as_ref(), &found, run.data.classes.len())?;
            events(Event::Note { text });
            stage.name = name_of(recipe).into();
            (stage.epochs, stage.seconds) = (curve, start.elapsed().as_secs_f64());
            run.timings.push(Timing { phase: "Training the network", seconds: stage.seconds });
            if stage.kept {
                last = Some((recipe, std::mem::replace(&mut self.params, params)));
                (run.retrained, best) = (true, Some(found));
            }
            run.stages.push(stage);
        }
        if let (true, Some((recipe, params)), Some(best)) = (run.config.refit, last, &mut best) {
            let start = Instant::now();
            self.params = params;
            if let Learned::Network(whole) = &best.learned {
                best.known = known::before_refit(run, whole, &best.held_out, &mut *events)?;
            }
            best.learned = Learned::Network(self.refit(run, recipe, folder, best.temperature, &mut *events)?);
            run.refitted = true;
            run.timings.push(Timing { phase: "Training on all photos", seconds: start.elapsed().as_secs_f64() });
        }
        if !run.stages.is_empty() {
            let json = |e: serde_json::Error| Error::Setting(format!("learning curves cannot be written: {e}"));
            folder.write("curves.json", &serde_json::to_vec_pretty(&run.stages).map_err(json)?)?;
        }
        best.ok_or_else(|| Error::Setting("the configuration has neither a head nor a stage: add a [[stages]]".into()))
    }

    /// Trains by one recipe; gives back all parameters of the network.
    pub(super) fn train(
        &self,
        run: &Run<'_>,
        recipe: &Recipe,
        checkpoint: &Path,
        events: Events<'_>,
    ) -> Result<Finetuned> {
        match &recipe.frozen {
            None => Task { checkpoint: Some(checkpoint), ..self.task(run) }.run(recipe, events),
            Some(lower) => {
                let top = Top::new(self, run, &lower.up_to)?;
                // In an order that does not depend on which are held out, so that a repetition on all photos finds what was kept.
                let mut photos = [self.photos, self.held_out].concat();
                photos.sort_unstable();
                let kept = top.look(run, &photos, lower.views, &mut *events)?;
                let task = Task { checkpoint: Some(checkpoint), ..top.task(self, run, &kept, lower.views) };
                let Finetuned { params, curve } = task.run(recipe, events)?;
                Ok(Finetuned { params: self.params.clone().into_iter().chain(params).collect(), curve })
            }
        }
    }

    /// The network with these parameters, and what it says to the photos held out.
    fn fitted(&self, run: &Run<'_>, params: &Params) -> Result<Fitted> {
        let (mut probabilities, classes) = self.task(run).logits(params)?;
        let truth: Vec<usize> = self.held_out.iter().map(|&i| run.data.pictures[i].class).collect();
        let temperature = temperature(&probabilities, classes, &truth)?;
        cooled_softmax(&mut probabilities, classes, temperature);
        let (graph, params) = fold_for_inference(&self.graph, params)?;
        let learned = Learned::Network(Whole { graph, params, answers: probabilities.clone() });
        let held_out = self.held_out.to_vec();
        Ok(Fitted { learned, known: None, temperature, held_out, truth, probabilities })
    }

    /// The same training on all photos, where none is left to stop by.
    fn refit(
        &self,
        run: &mut Run<'_>,
        recipe: &Recipe,
        folder: &RunFolder,
        temperature: f64,
        events: Events<'_>,
    ) -> Result<Whole> {
        events(Event::Note { text: "Once more, on all photos".into() });
        let checkpoint = folder.path().join("refit.safetensors");
        let mut photos = [self.photos, self.held_out].concat();
        photos.sort_unstable();
        let all = Stages { graph: self.graph.clone(), params: self.params.clone(), photos: &photos, held_out: &[] };
        let recipe = Recipe { patience: 0, ..recipe.clone() };
        let Finetuned { params, .. } = all.train(run, &recipe, &checkpoint, events)?;
        let (mut answers, classes) = self.task(run).logits(&params)?;
        cooled_softmax(&mut answers, classes, temperature);
        let (graph, params) = fold_for_inference(&self.graph, &params)?;
        Ok(Whole { graph, params, answers })
    }
}

/// Lets the first convolution of Airbench begin with what whitens the patches of some photos.
fn whiten(run: &Run<'_>, photos: &[usize], params: &mut Params) -> Result<()> {
    let some: Vec<usize> = photos.iter().copied().step_by((photos.len() / WHITENED).max(1)).take(WHITENED).collect();
    let pictures = plain(&run.data, &run.origin.preprocess, &run.settings.pool, &some)?;
    let patches = airbench::patches(&pictures, run.origin.preprocess.crop() as usize);
    Ok(airbench::begin_with(params, &whitening(&patches, airbench::PATCH, LEAST_VARIANCE)?)?)
}

/// What a stage is called.
pub(super) fn name_of(recipe: &Recipe) -> &'static str {
    if recipe.frozen.is_some() { "Top blocks" } else { "Whole network" }
}

/// Whether the photos held out say that a stage helped, and that in a sentence.
fn judge(before: Option<&Fitted>, after: &Fitted, classes: usize) -> Result<(Stage, String)> {
    let metrics = |fitted: &Fitted| Metrics::new(&fitted.probabilities, classes, &fitted.truth);
    let (before, after) = (before.map(metrics).transpose()?, metrics(after)?);
    let kept = before.as_ref().is_none_or(|before| (after.accuracy, -after.nll) > (before.accuracy, -before.nll));
    let mut text = format!("The network names {} of the photos held out", percent(after.accuracy));
    if let Some(before) = &before {
        text += &format!(", {} before: {}", percent(before.accuracy), if kept { "kept" } else { "not kept" });
    }
    let before = before.map(|before| before.accuracy);
    let stage = Stage { name: String::new(), accuracy: after.accuracy, before, kept, seconds: 0.0, epochs: Vec::new() };
    Ok((stage, text))
}

/// The training of a network from zero.
fn from_zero(network: &Network) -> Recipe {
    let learning_rate = network.learning_rate;
    Recipe { epochs: MOST_FROM_ZERO, batch: 128, learning_rate, weight_decay: 0.1, ..Recipe::default() }
}

/// Decides which trainings there is time for, and says so; the second part is whether the last is repeated on all photos.
pub(super) fn plan(run: &Run<'_>, stages: &Stages<'_>, events: Events<'_>) -> Result<(Vec<Recipe>, bool)> {
    let scratch = run.config.network.is_some();
    let recipe = match (&run.config.network, &run.questions) {
        (Some(name), _) => from_zero(Network::find(name)?),
        (None, None) => Recipe { mixup: MIXUP, ..Recipe::default() },
        (None, Some(_)) => Recipe::default(),
    };
    let photo = stages.task(run).measure(&recipe)? / stages.task(run).batch(&recipe) as f64;
    let (learned, checked) = (stages.photos.len() as f64, stages.held_out.len() as f64);
    // Photos held out pass once an epoch, forwards only, which is about a third of a step.
    let epoch = |photo: f64| Epochs {
        seconds: photo * (learned + checked / 3.0),
        on_all: (!run.divided()).then_some(photo * (learned + checked)),
    };
    let top = if scratch { None } else { top::costs(run, stages)? };
    let top = top.map(|costs| plan::Top { epoch: epoch(costs.photo), costs });
    let (recipes, refit, texts) = plan::stages(recipe, scratch, epoch(photo), top, run.left());
    texts.into_iter().for_each(|text| events(Event::Note { text }));
    Ok((recipes, refit))
}
