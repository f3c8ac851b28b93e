//! The trainings of the network for all questions at once, each kept only if the photos held out say that it helps.

use super::super::Run;
use super::super::network::{Stages, name_of};
use super::{Fitted, Stage};
use crate::event::{Event, Events, Timing};
use crate::finetune::{Finetuned, Recipe};
use crate::folder::RunFolder;
use crate::{Error, Result};
use percept_graph::Params;
use percept_graph::rewrite::fold_for_inference;
use std::time::Instant;

/// Trains by all recipes of the plan; gives back the best of what they and the heads on frozen features came to, and how it went.
pub(super) fn run(
    mut stages: Stages<'_>,
    run: &mut Run<'_>,
    mut best: Option<Fitted>,
    folder: &RunFolder,
    events: Events<'_>,
) -> Result<(Option<Fitted>, Vec<Stage>)> {
    let recipes = run.config.stages.clone().unwrap_or_default();
    let (mut trained, mut last) = (Vec::new(), None);
    for (i, recipe) in recipes.iter().enumerate() {
        let start = Instant::now();
        let path = folder.path().join(format!("stage-{}.safetensors", i + 1));
        let Finetuned { params, curve } = stages.train(run, recipe, &path, &mut *events)?;
        let found = fitted(&stages, run, &params)?;
        let loss = |fitted: &Fitted| -> Result<Option<f64>> {
            Ok(run
                .questions
                .as_ref()
                .map(|questions| questions.check(&fitted.raw, stages.held_out))
                .transpose()?
                .flatten())
        };
        let (before, after) = (best.as_ref().map(loss).transpose()?.flatten(), loss(&found)?.unwrap_or(f64::NAN));
        let kept = best.is_none() || before.is_some_and(|before| after < before);
        let mut text = format!("The loss of all questions on the photos held out is {after:.3}");
        if let Some(before) = before {
            text += &format!(", {before:.3} before: {}", if kept { "kept" } else { "not kept" });
        }
        events(Event::Note { text });
        let seconds = start.elapsed().as_secs_f64();
        run.timings.push(Timing { phase: "Training the network", seconds });
        trained.push(Stage { name: name_of(recipe), loss: after, before, kept, seconds, epochs: curve });
        if kept {
            last = Some((recipe, std::mem::replace(&mut stages.params, params)));
            (run.retrained, best) = (true, Some(found));
        }
    }
    if let (true, Some((recipe, params)), Some(best)) = (run.config.refit, last, &mut best) {
        let start = Instant::now();
        stages.params = params;
        let on_all = refit(&stages, run, recipe, folder, &mut *events)?;
        *best = Fitted { raw: std::mem::take(&mut best.raw), ..on_all };
        run.refitted = true;
        run.timings.push(Timing { phase: "Training on all photos", seconds: start.elapsed().as_secs_f64() });
    }
    if !trained.is_empty() {
        let curves: Vec<_> = trained.iter().map(|stage| (stage.name, &stage.epochs)).collect();
        let json = |e: serde_json::Error| Error::Setting(format!("learning curves cannot be written: {e}"));
        folder.write("curves.json", &serde_json::to_vec_pretty(&curves).map_err(json)?)?;
    }
    Ok((best, trained))
}

/// The network with these parameters, and what it says to the photos held out.
fn fitted(stages: &Stages<'_>, run: &Run<'_>, params: &Params) -> Result<Fitted> {
    let (raw, _) = stages.task(run).logits(params)?;
    let (graph, params) = fold_for_inference(&stages.graph, params)?;
    Ok(Fitted { graph, params, said: raw.clone(), raw })
}

/// The same training on all photos, where none is left to stop by.
fn refit(
    stages: &Stages<'_>,
    run: &Run<'_>,
    recipe: &Recipe,
    folder: &RunFolder,
    events: Events<'_>,
) -> Result<Fitted> {
    events(Event::Note { text: "Once more, on all photos".into() });
    let mut photos = [stages.photos, stages.held_out].concat();
    photos.sort_unstable();
    let (graph, params) = (stages.graph.clone(), stages.params.clone());
    let all = Stages { graph, params, photos: &photos, held_out: &[] };
    let recipe = Recipe { patience: 0, ..recipe.clone() };
    let checkpoint = folder.path().join("refit.safetensors");
    let Finetuned { params, .. } = all.train(run, &recipe, &checkpoint, events)?;
    fitted(stages, run, &params)
}
