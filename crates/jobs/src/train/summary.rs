//! What the report says about a run: figures, pictures to look at, and what would make the model better.

use super::Run;
use super::looks::Looker;
use super::sides::in_short;
use crate::augment::Views;
use crate::evaluate::Evaluation;
use crate::report::{Mistake, Picture, Report, labels};
use crate::{Result, format, parallel};
use percept_learn::confident;
use percept_models::Backbone;
use percept_photos::decode;
use percept_photos::scan::Part;
use std::path::{Path, PathBuf};

/// Mistakes, photos with views, and views of each that the report shows.
const SHOWN: (usize, usize, u32) = (24, 5, 8);
/// Sides in pixels of the report's pictures: mistakes, views, and examples of classes.
const SIDES: (u32, u32, u32) = (200, 112, 48);
/// Sides in pixels of photos under heat maps: mistakes, and examples of classes.
const HEAT_SIDES: (u32, u32) = (96, 112);
/// More classes than these have no pictures in the report.
const EXAMPLES: usize = 300;
/// Fewer photos of a class than these are few.
const FEW: usize = 15;

pub(super) fn report(
    run: &Run<'_>,
    evaluation: &Evaluation,
    looker: &mut Looker<'_>,
    bytes: u64,
    command: &str,
) -> Result<Report> {
    let title = run.config.photos.canonicalize().unwrap_or_else(|_| run.config.photos.clone());
    let learned = run.data.pictures.iter().filter(|picture| picture.part != Some(Part::Test)).count();
    let few = run.data.classes.len() <= EXAMPLES;
    let firsts = firsts(run);
    let examples = if few { smalls(run, &firsts, SIDES.2) } else { Vec::new() };
    let looks = if few { looker.examples(evaluation, &firsts, HEAT_SIDES.1)? } else { Vec::new() };
    Ok(Report {
        title: title.file_stem().unwrap_or(title.as_os_str()).to_string_lossy().into_owned(),
        command: command.into(),
        config: run.config.to_toml()?,
        network: run.origin.name.clone(),
        licence: run.origin.licence.clone(),
        from_scratch: run.config.network.is_some(),
        retrained: run.retrained,
        stages: run.stages.clone(),
        best_epoch: run.config.stages.iter().flatten().any(|recipe| recipe.patience > 0),
        divided: run.divided(),
        labels: run.data.classes.clone(),
        resize: run.origin.preprocess.shorter_side(),
        input: run.origin.preprocess.crop(),
        bytes,
        machine: format!("{} threads, {}", run.settings.pool.threads(), run.settings.isa.name()),
        photos: learned,
        scenes: run.scenes,
        views: run.config.views.unwrap_or(0),
        tested: run.tested(),
        refitted: run.refitted || !run.retrained && run.config.head.as_ref().is_some_and(|head| head.last.is_some()),
        metrics: evaluation.metrics.clone(),
        calibration: evaluation.calibration.clone(),
        known: evaluation.known.clone(),
        latency_ms_p50: evaluation.latency_ms_p50,
        latency_ms_p99: evaluation.latency_ms_p99,
        examples,
        sheet: sheet(run),
        mistakes: mistakes(run, evaluation, looker)?,
        looks,
        skipped: evaluation.skipped.clone(),
        timings: run.timings.clone(),
        hints: hints(run, evaluation, learned),
    })
}

fn smalls(run: &Run<'_>, paths: &[PathBuf], side: u32) -> Vec<Picture> {
    let one = |path: &PathBuf, _| {
        decode::open(path).map_or_else(|_| Picture::default(), |picture| Picture::small(&picture, side))
    };
    parallel::map(&run.settings.pool, paths, one)
}

/// A photo of each class.
fn firsts(run: &Run<'_>) -> Vec<PathBuf> {
    let first =
        |class| run.data.pictures.iter().find(|picture| picture.class == class).map(|picture| picture.path.clone());
    (0..run.data.classes.len()).map(|class| first(class).unwrap_or_default()).collect()
}

/// Some photos, each before its views.
fn sheet(run: &Run<'_>) -> Vec<Picture> {
    let count = if run.retrained { SHOWN.2 } else { run.config.views.unwrap_or(0).min(SHOWN.2) };
    if count == 0 {
        return Vec::new();
    }
    let views = Views { augment: run.config.augment.clone(), count, seed: run.config.seed };
    let step = run.data.pictures.len().div_ceil(SHOWN.1).max(1);
    let mut tiles = Vec::new();
    for picture in run.data.pictures.iter().step_by(step) {
        if let Ok(decoded) = decode::open(&picture.path) {
            tiles.push(Picture::small(&decoded, SIDES.1));
            tiles.extend(views.of(&run.data, picture, &decoded).map(|(_, view)| Picture::small(&view, SIDES.1)));
        }
    }
    tiles
}

fn mistakes(run: &Run<'_>, evaluation: &Evaluation, looker: &mut Looker<'_>) -> Result<Vec<Mistake>> {
    let answers = &evaluation.answers;
    let mut wrong = labels::mistakes(&answers.probabilities, run.data.classes.len(), answers.truth.iter().copied());
    wrong.truncate(SHOWN.0);
    let paths: Vec<PathBuf> = wrong.iter().map(|&(i, ..)| answers.pictures[i].clone()).collect();
    let asked: Vec<_> =
        wrong.iter().map(|&(i, best, _)| (&*answers.pictures[i], vec![best, answers.truth[i]])).collect();
    let heats = looker.look(&asked, HEAT_SIDES.0)?;
    let pictures = smalls(run, &paths, SIDES.0);
    let mut mistakes = Vec::with_capacity(wrong.len());
    for ((&(i, best, probability), picture), heats) in wrong.iter().zip(pictures).zip(heats) {
        mistakes.push(Mistake {
            picture,
            heats: heats.try_into().ok(),
            path: within(&run.data.root, &answers.pictures[i]),
            truth: run.data.classes[answers.truth[i]].clone(),
            predicted: run.data.classes[best].clone(),
            probability,
        });
    }
    Ok(mistakes)
}

fn within(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

fn hints(run: &Run<'_>, evaluation: &Evaluation, learned: usize) -> Vec<String> {
    let mut hints = Vec::new();
    let metrics = &evaluation.metrics;
    let mut counts = vec![0usize; run.data.classes.len()];
    run.data.pictures.iter().filter(|p| p.part != Some(Part::Test)).for_each(|p| counts[p.class] += 1);
    let few: Vec<String> = counts
        .iter()
        .zip(&run.data.classes)
        .filter(|&(&count, _)| count < FEW)
        .map(|(_, class)| class.clone())
        .collect();
    if !few.is_empty() {
        hints.push(format!("Take more photos of {}: there are fewer than {FEW} of each.", in_short(&few)));
    }
    if run.scenes > 0 && run.scenes * 3 < learned * 2 {
        let (photos, scenes) = (format::count(learned as u64), format::count(run.scenes as u64));
        hints.push(format!(
            "Take photos in more places: the {photos} photos show about {scenes} scenes. A photo from somewhere else, at \
             another time, teaches more than another one of the same scene."
        ));
    }
    let worst = metrics.confusion.iter().filter(|c| c.label != c.predicted).max_by_key(|c| c.count);
    if let Some(cell) = worst.filter(|cell| cell.count > 1) {
        let (truth, predicted) = (&run.data.classes[cell.label], &run.data.classes[cell.predicted]);
        hints.push(format!(
            "\"{truth}\" is often named \"{predicted}\" ({} photos): add photos that show what tells them apart.",
            cell.count
        ));
    }
    hints.extend(wrong_labels(run, evaluation));
    hints.extend(more_time(run));
    hints
}

/// How many of the photos measured on are probably filed wrongly.
fn wrong_labels(run: &Run<'_>, evaluation: &Evaluation) -> Option<String> {
    let answers = &evaluation.answers;
    let suspects = confident::suspects(&answers.probabilities, run.data.classes.len(), &answers.truth).ok()?;
    let improbable = suspects.iter().filter(|suspect| suspect.improbable).count();
    (improbable > 0).then(|| {
        format!(
            "{} of the {} photos that it was measured on may be filed under a wrong class: `percept check` finds such photos among all.",
            format::count(improbable as u64),
            format::count(answers.truth.len() as u64)
        )
    })
}

/// What more time would be good for, if it was time that decided.
fn more_time(run: &Run<'_>) -> Option<String> {
    let built_in = run.config.network.is_none() && Backbone::find(&run.config.backbone).is_ok();
    let whole = run.config.stages.iter().flatten().any(|recipe| recipe.frozen.is_none());
    let few = run.planned && run.config.views.is_some_and(|views| views < super::plan::MOST);
    let limit = run.config.time_limit.filter(|_| run.deadline.is_some())?;
    if built_in && !whole {
        let example = if limit <= 600 { "30m".into() } else { format!("{}h", limit.div_ceil(1200)) };
        let more = match run.stages.is_empty() {
            true => "the network itself is trained, its top blocks first",
            false => "the whole network is trained too, and the best stage once more on all photos",
        };
        return Some(format!("Give it more time: with a longer --time-limit, such as {example}, {more}."));
    }
    (few && run.stages.is_empty()).then(|| {
        format!("Give it more time: a longer --time-limit allows up to {} views of each photo.", super::plan::MOST)
    })
}
