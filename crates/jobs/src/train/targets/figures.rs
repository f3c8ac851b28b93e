//! What the report says of each question: figures, charts, and photos with what the answers lean on.

use super::super::Run;
use super::Stage;
use crate::explain::{Heat, overlay};
use crate::format::{count, percent, percent_range};
use crate::report::Picture;
use crate::report::targets::{Example, Report, Section, number, roc, scatter};
use crate::report::{confusion, reliability};
use crate::targets::{Answered, ByKind, COVERED, Evaluation, Figures, Model, Target, occlusion};
use crate::{Result, parallel};
use image::RgbImage;
use percept_learn::metrics::roc as corners;
use percept_photos::decode;
use percept_photos::resize::Window;
use percept_photos::table::Kind;
use std::collections::BTreeMap;

/// Photos that are shown of all questions together, as far as there are; each costs some two hundred passes through the network.
const SHOWN: usize = 18;
/// Side in pixels of a photo in the report.
const SIDE: u32 = 224;

pub(super) fn report(
    run: &Run<'_>,
    model: &mut Model,
    evaluation: &Evaluation,
    stages: &[Stage],
    bytes: u64,
    command: &str,
) -> Result<Report> {
    let title = run.config.targets.as_deref().and_then(|table| table.file_stem()).unwrap_or_default();
    let (shown, maps) = shown(run, model, &evaluation.answered)?;
    let mut questions = Vec::new();
    for figures in &evaluation.targets {
        let Some(i) = model.targets.iter().position(|target| target.name == figures.name) else { continue };
        let examples =
            shown[i].iter().filter_map(|&k| example(&evaluation.answered, &model.targets, i, k, maps.get(&k)?));
        questions.push(section(&model.targets, i, figures, &evaluation.answered, examples.collect()));
    }
    Ok(Report {
        title: title.to_string_lossy().into_owned(),
        command: command.into(),
        config: run.config.to_toml()?,
        network: run.origin.name.clone(),
        licence: run.origin.licence.clone(),
        resize: run.origin.preprocess.shorter_side(),
        input: run.origin.preprocess.crop(),
        bytes,
        photos: run.learned().len(),
        measured: evaluation.pictures,
        tested: run.tested(),
        divided: run.divided(),
        refitted: run.refitted || !run.retrained && !run.divided(),
        stages: told(stages),
        questions,
        skipped: evaluation.skipped.clone(),
        timings: run.timings.clone(),
    })
}

/// The stages as the report tells them.
fn told(stages: &[Stage]) -> Vec<(String, f64, &'static str, usize, f64)> {
    let model = stages.iter().rposition(|stage| stage.kept);
    let fate = |i, kept| match kept {
        true if i == model => "kept: this is the model",
        true => "kept, then improved on",
        false => "not kept",
    };
    let first = stages.first().and_then(|stage| stage.before);
    let heads = first.map(|loss| ("Heads on frozen features".into(), loss, fate(None, true), 0, 0.0));
    let rest = stages.iter().enumerate().map(|(i, stage)| {
        (stage.name.into(), stage.loss, fate(Some(i), stage.kept), stage.epochs.len(), stage.seconds)
    });
    heads.into_iter().chain(rest).collect()
}

fn section(targets: &[Target], i: usize, figures: &Figures, answered: &Answered, examples: Vec<Example>) -> Section {
    let (said, truth) = answered.of(targets, i);
    let first: Vec<f64> = said.iter().map(|row| f64::from(row[0])).collect();
    let range = |[low, high]: [f64; 2]| format!("{} to {}", number(low), number(high));
    let missing = match figures.missing {
        0 => String::new(),
        n => format!(" Of {} photos the answer is not known; they are not counted.", count(n as u64)),
    };
    let (tiles, text, charts, meaning) = match &figures.of {
        ByKind::Class { labels, metrics } => (
            vec![
                (percent(metrics.accuracy), format!("accuracy, {}", percent_range(metrics.accuracy_ci95))),
                (percent(metrics.f1_macro), "F1, mean of the classes".into()),
                (percent(metrics.ece), "calibration error".into()),
            ],
            format!("One of {} classes, on {} photos.{missing}", labels.len(), count(metrics.images as u64)),
            vec![
                (confusion(&metrics.confusion, labels), "A row for each true class, a column for each answer."),
                (
                    reliability(&metrics.reliability, "photos"),
                    "How often it is right for each stated probability. Grey: number of photos.",
                ),
            ],
            format!("N × {} probabilities: {}", labels.len(), labels.join(", ")),
        ),
        ByKind::YesNo { labels: [no, yes], metrics } => {
            let auc = metrics.auc.map(|auc| (number(auc.auc), format!("AUC, {}", range(auc.auc_ci95))));
            let found =
                format!("of \"{yes}\" found (sensitivity), {} of \"{no}\" (specificity)", percent(metrics.specificity));
            let mut tiles: Vec<_> = auc.into_iter().collect();
            tiles.extend([
                (percent(metrics.accuracy), format!("accuracy, {}", percent_range(metrics.accuracy_ci95))),
                (percent(metrics.sensitivity), found),
                (percent(metrics.ece), format!("calibration error; Brier score {}", number(metrics.brier))),
            ]);
            let text = format!(
                "\"{yes}\" or \"{no}\", on {} photos, of which {} are \"{yes}\". The AUC is the probability that a photo of the one gets a \
                 higher probability than a photo of the other; its interval is DeLong's, on the logit scale.{missing}",
                count(metrics.images as u64),
                count(metrics.positives as u64)
            );
            let positive: Vec<bool> = truth.iter().map(|&label| label == 1.0).collect();
            let charts = vec![
                (roc(&corners(&first, &positive)), "The share found, above the share of false alarms."),
                (
                    reliability(&metrics.reliability, "photos"),
                    "How often it is so (bars) for each stated probability. Grey: number of photos.",
                ),
            ];
            (tiles, text, charts, format!("N × 1: the probability of \"{yes}\""))
        }
        ByKind::Number(metrics) => {
            let mut tiles = vec![
                (number(metrics.r2), format!("R², {}", range(metrics.r2_ci95))),
                (number(metrics.mae), format!("mean absolute error, {}", range(metrics.mae_ci95))),
                (number(metrics.correlation), "correlation".into()),
            ];
            if let Some(within) = targets[i].within90 {
                tiles.push((format!("± {}", number(within)), "holds nine of ten photos held out".into()));
            }
            let text = format!(
                "A number, on {} photos. R² is the share of its variance that is explained; the intervals are from 2,000 bootstrap resamples. \
                 The mean error is {}.{missing}",
                count(metrics.images as u64),
                number(metrics.bias)
            );
            let charts = vec![(
                scatter(&first, &truth),
                "Predicted (upwards) and true number of each photo; on the dashed line both agree.",
            )];
            (tiles, text, charts, "N × 1: the number, in the table's unit".into())
        }
    };
    let output = (targets[i].output.clone(), meaning);
    Section { name: figures.name.clone(), output, tiles, text, charts, examples }
}

/// Photos as the network takes them and their maps, by position.
type Maps = BTreeMap<usize, (RgbImage, Vec<Heat>)>;

/// For each question the positions of photos to show.
fn shown(run: &Run<'_>, model: &mut Model, answered: &Answered) -> Result<(Vec<Vec<usize>>, Maps)> {
    let shown: Vec<Vec<usize>> = (0..model.targets.len()).map(|i| chosen(&model.targets, answered, i)).collect();
    let mut positions = shown.concat();
    positions.sort_unstable();
    positions.dedup();
    let prepared = parallel::map(&run.settings.pool, &positions, |&k, _| {
        decode::open(&answered.pictures[k]).ok().map(|picture| (k, model.prepare(&picture)))
    });
    let mut maps = BTreeMap::new();
    for (k, picture) in prepared.into_iter().flatten() {
        let heat = occlusion(model, &picture, COVERED)?;
        maps.insert(k, (picture, heat));
    }
    Ok((shown, maps))
}

/// Photos whose answers are good (of yes, or of one class each, or of a number), then the worst.
fn chosen(targets: &[Target], answered: &Answered, question: usize) -> Vec<usize> {
    let (said, truth) = answered.of(targets, question);
    let known = (0..answered.pictures.len()).filter(|&k| !answered.truth[question][k].is_nan());
    let kind = &targets[question].kind;
    // Two of three for a good answer, and one of each at least.
    let shown_of = (SHOWN / targets.len().max(1)).clamp(2, 6);
    let wrong = shown_of / 3 + usize::from(shown_of < 3);
    let goodness = |row: &[f32], truth: f64| match kind {
        Kind::Class { .. } => row[truth as usize],
        Kind::YesNo { .. } => 1.0 - (f64::from(row[0]) - truth).abs() as f32,
        Kind::Number => -(f64::from(row[0]) - truth).abs() as f32,
    };
    let mut order: Vec<(f32, f64, usize)> =
        said.iter().zip(truth).zip(known).map(|((row, truth), k)| (goodness(row, truth), truth, k)).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut seen, mut shown) = (Vec::new(), Vec::new());
    for &(_, truth, k) in &order {
        let wanted = match kind {
            Kind::Class { .. } => !seen.contains(&truth),
            Kind::YesNo { .. } => truth == 1.0,
            Kind::Number => true,
        };
        if wanted && shown.len() < shown_of - wrong {
            seen.push(truth);
            shown.push(k);
        }
    }
    let worst: Vec<usize> = order.iter().rev().map(|&(.., k)| k).filter(|k| !shown.contains(k)).take(wrong).collect();
    shown.into_iter().chain(worst).collect()
}

fn example(
    answered: &Answered,
    targets: &[Target],
    question: usize,
    k: usize,
    (picture, heat): &(RgbImage, Vec<Heat>),
) -> Option<Example> {
    let begin: usize = targets[..question].iter().map(Target::width).sum();
    let all: usize = targets.iter().map(Target::width).sum();
    let target = &targets[question];
    let row = answered.rows.get(k * all + begin..k * all + begin + target.width())?;
    let truth = answered.truth[question][k];
    let label = |i: usize| target.kind.labels().get(i).cloned().unwrap_or_default();
    let text = match &target.kind {
        Kind::Class { .. } => {
            let best = (0..row.len()).fold(0, |best, c| if row[c] > row[best] { c } else { best });
            format!("{}; said: {}, {} sure", label(truth as usize), label(best), percent(row[best].into()))
        }
        Kind::YesNo { .. } => format!("{}; said: {}, {} sure", label(truth as usize), label(1), percent(row[0].into())),
        Kind::Number => format!("{}; said: {}", number(truth), number(row[0].into())),
    };
    let path = answered.pictures[k].file_name().unwrap_or_default().to_string_lossy().into_owned();
    let seen = Window { x: 0.0, y: 0.0, width: picture.width().into(), height: picture.height().into() };
    let [picture, heat] =
        [picture.clone(), overlay(picture, seen, &heat[question])].map(|picture| Picture::small(&picture, SIDE));
    Some(Example { picture, heat, path, text })
}
