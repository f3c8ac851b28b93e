//! Models that answer several questions: what was measured and what was answered, as lines.

use super::{Events, json};
use crate::args::{self, Format};
use anyhow::{Result, bail};
use percept_jobs::Settings;
use percept_jobs::format::{count, percent, percent_range};
use percept_jobs::report::targets::number;
use percept_jobs::targets::{Answer, ByKind, Evaluation, Figures, Model, Prediction};
use percept_jobs::train::targets::Trained;

/// Pictures left out that are named.
const LISTED: usize = 20;

/// The model, if it is one that answers several questions.
pub(super) fn open(model: &args::Model, settings: &Settings) -> Result<Option<Model>> {
    let found = Model::open(&model.model, settings)?;
    if found.is_some() && !(model.labels.is_none() && model.mean.is_empty() && model.std.is_empty()) {
        bail!(
            "{} knows its labels and how it takes pictures: leave --labels, --mean and --std away",
            model.model.display()
        );
    }
    Ok(found)
}

pub(super) fn finish(output: &args::Output, trained: &Trained) -> Result<()> {
    if output.format == Format::Json {
        return json(&trained.evaluation);
    }
    say!("\nOn {} photos that it was not fitted on", count(trained.evaluation.pictures as u64));
    say_figures(&trained.evaluation);
    say!("  model   {}", trained.out.join("model.onnx").display());
    say!("  report  {}", trained.out.join("report.html").display());
    say!("Next: percept predict {} PHOTO", trained.out.join("model.onnx").display());
    Ok(())
}

pub(super) fn evaluate(mut model: Model, args: &args::Evaluate, settings: &Settings, events: Events<'_>) -> Result<()> {
    if args.unknown.is_some() {
        bail!("a model that answers several questions has no \"none of these\": leave --unknown away");
    }
    let (table, photos) = match &args.targets {
        Some(table) => (table, Some(args.photos.as_path())),
        None => (&args.photos, None),
    };
    if table.is_dir() {
        bail!(
            "the model answers several questions: give a CSV file with the answers, not the folder {}",
            table.display()
        );
    }
    let evaluation = percept_jobs::targets::evaluate(&mut model, table, photos, settings, events)?;
    if args.output.format == Format::Json {
        return json(&evaluation);
    }
    for skipped in evaluation.skipped.iter().take(LISTED) {
        say!("left out {}: {}", skipped.path.display(), skipped.reason);
    }
    if evaluation.skipped.len() > LISTED {
        say!("left out {} more", count((evaluation.skipped.len() - LISTED) as u64));
    }
    say!("On {} photos", count(evaluation.pictures as u64));
    say_figures(&evaluation);
    Ok(())
}

fn say_figures(evaluation: &Evaluation) {
    let width = evaluation.targets.iter().map(|figures| figures.name.chars().count()).max().unwrap_or(0);
    for Figures { name, missing, of } in &evaluation.targets {
        let missing = if *missing > 0 { format!(", {} not known", count(*missing as u64)) } else { String::new() };
        say!("  {name:<width$}  {}{missing}", figures(of));
    }
    for name in &evaluation.not_asked {
        say!("  {name:<width$}  no answer is known");
    }
}

fn figures(of: &ByKind) -> String {
    let range = |[low, high]: [f64; 2]| format!("{}–{}", number(low), number(high));
    match of {
        ByKind::Class { metrics, .. } => {
            let (accuracy, interval) = (percent(metrics.accuracy), percent_range(metrics.accuracy_ci95));
            format!("{accuracy} right (95 % interval: {interval}) of {}", metrics.images)
        }
        ByKind::YesNo { labels: [_, yes], metrics } => {
            let auc = metrics.auc.map(|auc| format!("AUC {} ({}), ", number(auc.auc), range(auc.auc_ci95)));
            let (right, ece) = (percent(metrics.accuracy), percent(metrics.ece));
            let counts = format!("{} of {} \"{yes}\"", metrics.positives, metrics.images);
            format!("{}{right} right, calibration error {ece}, {counts}", auc.unwrap_or_default())
        }
        ByKind::Number(metrics) => {
            let [r2, mae] = [range(metrics.r2_ci95), range(metrics.mae_ci95)];
            let figures = [metrics.r2, metrics.mae].map(number);
            format!("R² {} ({r2}), off by {} on average ({mae}), of {}", figures[0], figures[1], metrics.images)
        }
    }
}

pub(super) fn predict(mut model: Model, args: &args::Predict, settings: &Settings) -> Result<()> {
    let list = args.output.format == Format::Json;
    let mut predictions = Vec::new();
    let mut found = |prediction: Prediction| {
        if list {
            predictions.push(prediction);
            return;
        }
        say!("{}", prediction.picture);
        let width = prediction.targets.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, answer) in &prediction.targets {
            say!("  {name:<width$}  {}", said(answer));
        }
    };
    let skipped = percept_jobs::targets::predict(&mut model, &args.pictures, args.top, settings, &mut found)?;
    for skipped in &skipped {
        say!("error: {}: {}", skipped.path.display(), skipped.reason);
    }
    if list {
        json(&predictions)?;
    }
    if !skipped.is_empty() {
        bail!("{} of the pictures could not be read", count(skipped.len() as u64));
    }
    Ok(())
}

fn said(answer: &Answer) -> String {
    match answer {
        Answer::Class { classes, .. } => {
            let class = |class: &percept_jobs::predict::Answer| {
                format!("{} {}", class.label, percent(class.probability.into()))
            };
            classes.iter().map(class).collect::<Vec<_>>().join(", ")
        }
        Answer::YesNo { yes, probability, .. } => format!("{yes} {}", percent((*probability).into())),
        Answer::Number { value, within90: None } => number((*value).into()),
        Answer::Number { value, within90: Some(within) } => {
            format!("{} ± {} (nine of ten)", number((*value).into()), number(*within))
        }
    }
}
