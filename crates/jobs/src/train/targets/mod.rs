//! `percept train PHOTOS --targets TABLE`: one network that answers all questions of a table.
//!
//! The way is that of classes: heads on frozen features first, then, time allowing, the top blocks and the whole network with the sum of the
//! questions' losses, each kept if that sum on the photos held out is less. What is special: a question may turn on something small, so views
//! show most of a photo and cover none of it; and who must stay on one side of the split only the table knows (its column `group`).

mod figures;
mod fit;
mod network;
mod results;

use super::Run;
use super::network::Stages;
use super::sides::fingerprint;
use crate::event::{Event, Events, Phase};
use crate::finetune::Epoch;
use crate::folder::RunFolder;
use crate::targets::{Evaluation, Question, Questions};
use crate::{Config, Error, Result, format, near};
use percept_engine::Settings;
use percept_graph::{Graph, Params};
use percept_models::cache;
use percept_photos::augment::Augment;
use percept_photos::scan::Part;
use percept_photos::table::{self, Kind};
use std::path::{Path, PathBuf};

/// The least part of a photo that a view shows.
const LEAST_AREA: f32 = 0.7;

/// What a run made.
#[derive(Debug)]
pub struct Trained {
    /// The folder with the model and the report.
    pub out: PathBuf,
    /// The settings as decided.
    pub config: Config,
    /// Figures on photos that the model was not fitted on.
    pub evaluation: Evaluation,
}

/// What was learned: a network with raw outputs, folded for inference.
struct Fitted {
    graph: Graph,
    params: Params,
    /// What it says to the photos held out, also if it learned from them since they were measured on.
    said: Vec<f32>,
    /// What it said to them before.
    raw: Vec<f32>,
}

/// A training of the network.
struct Stage {
    name: &'static str,
    /// The sum of losses on the photos held out.
    loss: f64,
    before: Option<f64>,
    kept: bool,
    seconds: f64,
    epochs: Vec<Epoch>,
}

/// Trains a model on the photos and the table of `config` and makes the folder `out`, as [`train`](super::train) does.
///
/// # Errors
/// A table or photos that cannot be learned from, weights that cannot be had, an output that exists or cannot be written.
pub fn train(config: Config, out: &Path, command: &str, settings: &Settings, events: Events<'_>) -> Result<Trained> {
    config.augment.check()?;
    run(config, RunFolder::create(out, "train")?, out, command, settings, events)
}

pub(super) fn run(
    config: Config,
    folder: RunFolder,
    out: &Path,
    command: &str,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Trained> {
    let mixup =
        |config: &Config| config.stages.iter().flatten().any(|recipe| recipe.mixup > 0.0 || recipe.cutmix > 0.0);
    if mixup(&config) {
        return Err(Error::Setting(
            "a stage's mixup or cutmix blends photos, which missing answers do not allow: set it to 0".into(),
        ));
    }
    let table = config.targets.clone().unwrap_or_default();
    let phase = Phase::start(&mut *events, "Reading photos", None, "photos");
    let table = table::read(&table, &config.photos)?;
    let (data, skipped) = (&table.data, table.data.skipped.len());
    let left = if skipped > 0 { format!(", {} left out", format::count(skipped as u64)) } else { String::new() };
    let timing = phase.finish(format!("{}{left}", format::count(data.pictures.len() as u64)));
    let questions = questions(&table, &mut *events)?;
    let answers = questions.0.iter().map(|q| format!("{:?}\n", q.answers)).collect::<String>();
    let photos = fingerprint(&[data], &settings.pool)?;
    folder.check_data("the photos have", &cache::sha256((photos + &answers).as_bytes()))?;

    let (mut run, frozen) = Run::begin(config, table.data, Some(questions), vec![timing], settings, &mut *events)?;
    let looked = near::group(&mut run.data, settings, &mut *events);
    run.timings.push(looked);
    if run.config.stages.is_none() {
        run.config.augment = whole(&run.config.augment);
    }
    let photos = run.learned();
    let features = match &frozen {
        Some(frozen) => Some(run.look(frozen, &photos, &folder, command, &mut *events)?),
        None => None,
    };
    let [training, held_out] = run.sides(&photos, features.as_ref(), &mut *events)?;
    let mut best = match frozen.as_ref().zip(features.as_ref()) {
        Some((frozen, features)) => Some(fit::fit(&run, frozen, features, [&training, &held_out], &mut *events)?),
        None => None,
    };
    let mut trained = Vec::new();
    if let Some(stages) = Stages::new(&run, &training, &held_out)? {
        run.decide(&stages, &folder, command, &mut *events)?;
        (best, trained) = network::run(stages, &mut run, best, &folder, &mut *events)?;
    } else {
        folder.record(&run.config, command)?;
    }
    let best = best.ok_or_else(|| Error::Setting("the configuration has no stage: add a [[stages]]".into()))?;
    let evaluation = results::write_all(&mut run, best, &held_out, &trained, &folder, command, events)?;
    folder.finish()?;
    Ok(Trained { out: out.to_path_buf(), config: run.config, evaluation })
}

/// The questions that can be learned; the others are named.
fn questions(table: &table::Table, events: Events<'_>) -> Result<Questions> {
    let (answers, mut left_out) = table.answers()?;
    let pictures = &table.data.pictures;
    let learned: Vec<usize> = (0..pictures.len()).filter(|&i| pictures[i].part != Some(Part::Test)).collect();
    let mut questions = Vec::new();
    for answers in answers {
        let name = answers.name.clone();
        let text = described(&name, &answers.kind, &answers.values);
        match Question::new(answers, &learned) {
            Some(question) => {
                events(Event::Note { text });
                questions.push(question);
            }
            None => left_out.push((name, "has one answer alone among the photos to learn from".into())),
        }
    }
    for (name, reason) in &left_out {
        events(Event::Warning { text: format!("the column \"{name}\" is left out: it {reason}") });
    }
    if questions.is_empty() {
        let reasons: Vec<String> = left_out.iter().map(|(name, reason)| format!("\"{name}\" {reason}")).collect();
        return Err(Error::Setting(format!("the table asks nothing that can be learned: {}", reasons.join("; "))));
    }
    Ok(Questions(questions))
}

/// What a column was taken for, in a sentence.
fn described(name: &str, kind: &Kind, values: &[f64]) -> String {
    let known: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    let missing = match values.len() - known.len() {
        0 => String::new(),
        n => format!(", {} missing", format::count(n as u64)),
    };
    let what = match kind {
        Kind::Number => {
            let [low, high] = [known.iter().copied().reduce(f64::min), known.iter().copied().reduce(f64::max)];
            format!("a number, {} to {}", low.unwrap_or(f64::NAN), high.unwrap_or(f64::NAN))
        }
        Kind::YesNo { labels: [no, yes] } => {
            let count = known.iter().filter(|value| **value == 1.0).count();
            format!("yes/no, {} of {} \"{yes}\" and not \"{no}\"", format::count(count as u64), known.len())
        }
        Kind::Class { labels } => format!("one of {} classes", labels.len()),
    };
    format!("{name}: {what}{missing}")
}

/// Views that show most of a photo.
fn whole(augment: &Augment) -> Augment {
    let mut whole = Augment { area: (augment.area.0.max(LEAST_AREA), augment.area.1), ..augment.clone() };
    whole.occlusion.probability = 0.0;
    whole
}
