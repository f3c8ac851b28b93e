//! The trainings of a whole network, each kept only if the photos held out say that it helps.

use super::folder::RunFolder;
use super::head::{Fitted, Learned};
use super::{Run, plan};
use crate::classifier::cooled_softmax;
use crate::event::{Event, Events};
use crate::finetune::{Epoch, Finetuned, Recipe, Task};
use crate::format::percent;
use crate::frozen::{Frozen, Origin};
use crate::{Error, Result};
use percept_graph::rewrite::fold_for_inference;
use percept_graph::{Graph, Params};
use percept_learn::calibrate::temperature;
use percept_learn::metrics::Metrics;
use percept_models::{Network, initialize};
use percept_photos::augment::Augment;
use percept_photos::resize::{Filter, Preprocess};
use serde::Serialize;
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

/// The views that suit small pictures: moved and turned a little.
pub(super) fn gentle(augment: &Augment, size: u32) -> Augment {
    if size >= SMALL {
        return augment.clone();
    }
    let mut gentle = Augment { area: (0.75, 1.0), rotation: 10.0, perspective: 0.03, ..augment.clone() };
    let effects = [&mut gentle.defocus, &mut gentle.motion, &mut gentle.noise, &mut gentle.jpeg, &mut gentle.occlusion];
    effects.into_iter().for_each(|effect| effect.probability = 0.0);
    gentle
}

/// How a stage went: a line of `curves.json`.
#[derive(Serialize)]
struct Curve {
    kept: bool,
    epochs: Vec<Epoch>,
}

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
                let graph = Network::find(name)?.build(run.origin.preprocess.crop() as usize, classes)?;
                let params = initialize(&graph, run.config.seed)?;
                (graph, params)
            }
            None if percept_models::Backbone::find(&run.config.backbone).is_err() => return Ok(None),
            None => Frozen::trainable(&run.config.backbone, classes)?,
        };
        Ok(Some(Self { graph, params, photos, held_out }))
    }

    pub(super) fn task<'t>(&'t self, run: &'t Run<'_>) -> Task<'t> {
        Task {
            graph: &self.graph,
            params: &self.params,
            data: &run.data,
            photos: self.photos,
            check: self.held_out,
            preprocess: &run.origin.preprocess,
            augment: &run.config.augment,
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
        let mut curves = Vec::new();
        for (i, recipe) in recipes.iter().enumerate() {
            let start = Instant::now();
            let path = folder.path().join(format!("stage-{}.safetensors", i + 1));
            let task = Task { checkpoint: Some(&path), ..self.task(run) };
            let Finetuned { params, curve } = task.run(recipe, &mut *events)?;
            let (mut probabilities, classes) = task.logits(&params)?;
            let truth: Vec<usize> = self.held_out.iter().map(|&i| run.data.pictures[i].class).collect();
            let temperature = temperature(&probabilities, classes, &truth)?;
            cooled_softmax(&mut probabilities, classes, temperature);
            let (graph, folded) = fold_for_inference(&self.graph, &params)?;
            let held_out = self.held_out.to_vec();
            let learned = Learned::Network(graph, folded);
            let found = Fitted { learned, temperature, held_out, truth, probabilities };
            let (kept, text) = judge(best.as_ref(), &found, classes)?;
            events(Event::Note { text });
            run.timings
                .push(crate::event::Timing { phase: "Training the network", seconds: start.elapsed().as_secs_f64() });
            curves.push(Curve { kept, epochs: curve });
            if kept {
                (run.retrained, self.params, best) = (true, params, Some(found));
            }
        }
        if !curves.is_empty() {
            let json = |e: serde_json::Error| Error::Setting(format!("learning curves cannot be written: {e}"));
            folder.write("curves.json", &serde_json::to_vec_pretty(&curves).map_err(json)?)?;
        }
        best.ok_or_else(|| Error::Setting("the configuration has neither a head nor a stage: add a [[stages]]".into()))
    }
}

/// Whether the photos held out say that a stage helped, and that in a sentence.
fn judge(before: Option<&Fitted>, after: &Fitted, classes: usize) -> Result<(bool, String)> {
    let metrics = |fitted: &Fitted| Metrics::new(&fitted.probabilities, classes, &fitted.truth);
    let after = metrics(after)?;
    let names = percent(after.accuracy);
    let Some(before) = before.map(metrics).transpose()? else {
        return Ok((true, format!("The network names {names} of the photos held out")));
    };
    let kept = (after.accuracy, -after.nll) > (before.accuracy, -before.nll);
    let verdict = if kept { "kept" } else { "not kept" };
    Ok((
        kept,
        format!("The network names {names} of the photos held out, {} before: {verdict}", percent(before.accuracy)),
    ))
}

/// Decides which trainings there is time for, and says so.
pub(super) fn plan(run: &Run<'_>, stages: &Stages<'_>, events: Events<'_>) -> Result<Vec<Recipe>> {
    let scratch = run.config.network.is_some();
    let recipe = match scratch {
        true => Recipe { epochs: 20, batch: 64, learning_rate: 2e-3, ..Recipe::default() },
        false => Recipe::default(),
    };
    let step = stages.task(run).measure(&recipe)?;
    let batch = recipe.batch.min(stages.photos.len()).max(1);
    // Photos held out pass once an epoch, forwards only, which is about a third of a step.
    let epoch = step * (stages.photos.len() as f64 + stages.held_out.len() as f64 / 3.0) / batch as f64;
    let least = if scratch { 1 } else { plan::LEAST_EPOCHS };
    let (recipes, text) = plan::epochs(recipe, epoch, run.left(), least);
    events(Event::Note { text });
    Ok(recipes)
}
