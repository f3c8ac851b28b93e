//! What a run leaves behind: the model with all answers, its figures, report and card.

use super::super::Run;
use super::{Fitted, Stage, figures};
use crate::event::{Events, Phase};
use crate::folder::RunFolder;
use crate::targets::{Answered, Evaluation, Model, Questions, Target, answered, body, measured, output_names, package};
use crate::{Error, Result, parallel};
use percept_photos::decode;
use percept_photos::scan::{Part, Skipped};
use percept_photos::table::{Answers, Kind};
use std::path::Path;

/// Photos on which the model file is compared with what was fitted.
const COMPARED: usize = 32;
/// The largest difference of a probability, or of a number in standard deviations, that half-precision features may make.
const TOLERANCE: f32 = 0.02;
/// A temperature as low as this says that there was no mistake to learn it from.
const LEAST: f64 = 0.011;
/// The share of predicted numbers that are as near as the model says.
const WITHIN: f64 = 0.9;

/// Writes the run's files and measures the model.
pub(super) fn write_all(
    run: &mut Run<'_>,
    fitted: Fitted,
    held_out: &[usize],
    stages: &[Stage],
    folder: &RunFolder,
    command: &str,
    events: Events<'_>,
) -> Result<Evaluation> {
    let questions = run.questions.clone().unwrap_or(Questions(Vec::new()));
    let names = output_names(&questions, &body(&fitted.graph)?);
    let targets = questions.0.iter().zip(names).enumerate();
    let targets = targets.map(|(i, (question, output))| {
        let raw = questions.raw(i, &fitted.raw);
        let number = question.is_number();
        Ok(Target {
            name: question.answers.name.clone(),
            output,
            kind: question.answers.kind.clone(),
            scale: number.then_some(question.scale),
            temperature: question.check(&raw, held_out)?.map(|(_, best)| supported(best)).filter(|_| !number),
            within90: within(&raw, held_out.iter().map(|&i| question.answer(i)))
                .map(|x| x * question.scale[1])
                .filter(|_| number),
        })
    });
    let targets = targets.collect::<Result<Vec<Target>>>()?;
    let said = rows(&questions, &targets, &fitted.said);
    let bytes = package(&run.origin, &fitted.graph, fitted.params, &targets)?.to_bytes()?;
    folder.write("model.onnx", &bytes)?;
    folder.write("config.toml", run.config.to_toml()?.as_bytes())?;
    let path = folder.path().join("model.onnx");
    let lost = || Error::model(&path, "lost its questions: please report this as a bug");
    let mut model = Model::open(&path, run.settings)?.ok_or_else(lost)?;
    compare(run, &mut model, held_out, &said)?;

    let answers: Vec<Answers> = questions.0.iter().map(|question| question.answers.clone()).collect();
    let test: Vec<usize> =
        (0..run.data.pictures.len()).filter(|&i| run.data.pictures[i].part == Some(Part::Test)).collect();
    let mut skipped: Vec<Skipped> = [&run.data.skipped[..], &run.unreadable].concat();
    let answered = if test.is_empty() {
        let truth = answers.iter().map(|answers| held_out.iter().map(|&i| answers.values[i]).collect()).collect();
        let pictures = held_out.iter().map(|&i| run.data.pictures[i].path.clone()).collect();
        Answered { pictures, rows: rows(&questions, &targets, &fitted.raw), truth }
    } else {
        answered(&mut model, &run.data, &test, &answers, run.settings, &mut skipped, &mut *events)?
    };
    let evaluation = measured(&targets, answered, skipped)?;
    let phase = Phase::start(events, "Writing the report", None, "files");
    let json = serde_json::to_vec_pretty(&evaluation)
        .map_err(|e| Error::Setting(format!("metrics cannot be written: {e}")))?;
    folder.write("metrics.json", &json)?;
    let report = figures::report(run, &mut model, &evaluation, stages, bytes.len() as u64, command)?;
    folder.write("report.html", report.html()?.as_bytes())?;
    folder.write("MODEL_CARD.md", report.model_card()?.as_bytes())?;
    phase.finish("");
    Ok(evaluation)
}

/// Answers of raw outputs, as the model file gives them.
fn rows(questions: &Questions, targets: &[Target], raw: &[f32]) -> Vec<f32> {
    let widths: Vec<usize> = questions.0.iter().map(|question| question.width()).collect();
    let mut rows = Vec::new();
    for mut row in raw.chunks_exact(widths.iter().sum::<usize>().max(1)) {
        for (target, &width) in targets.iter().zip(&widths) {
            let (own, rest) = row.split_at(width);
            rows.extend(target.of_raw(own));
            row = rest;
        }
    }
    rows
}

/// A temperature that answers support. If all on photos held out are right, the least that is looked at suits them best, and would make every
/// answer certain; the network's own certainty stays then.
fn supported(temperature: f64) -> f64 {
    if temperature > LEAST { temperature } else { 1.0 }
}

/// How far nine of ten standardised predictions are from the truth at most: with the finite-sample rank of split conformal prediction (Lei et
/// al., JASA 2018), so that it holds for new photos like these. Nothing for so few that no rank does.
fn within(raw: &[f32], answers: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let errors = raw.iter().zip(answers).filter_map(|(&said, truth)| Some((f64::from(said) - truth?).abs()));
    let mut errors: Vec<f64> = errors.collect();
    errors.sort_by(f64::total_cmp);
    let rank = (WITHIN * (errors.len() + 1) as f64).ceil() as usize;
    errors.get(rank.checked_sub(1)?).copied()
}

/// Checks that the model file says what was fitted.
fn compare(run: &Run<'_>, model: &mut Model, held_out: &[usize], said: &[f32]) -> Result<()> {
    let step = held_out.len().div_ceil(COMPARED).max(1);
    let sample: Vec<usize> = (0..held_out.len()).step_by(step).collect();
    let pictures = parallel::map(&run.settings.pool, &sample, |&i, _| {
        decode::open(&run.data.pictures[held_out[i]].path).map(|picture| model.prepare(&picture))
    });
    let pictures = pictures.into_iter().collect::<std::result::Result<Vec<_>, _>>()?;
    let found = model.answers(&pictures)?;
    let width = model.width();
    let units = model.targets.iter().flat_map(|target| {
        let unit = match target.kind {
            Kind::Number => target.scale.map_or(1.0, |scale| scale[1]),
            Kind::Class { .. } | Kind::YesNo { .. } => 1.0,
        };
        std::iter::repeat_n(unit as f32, target.width())
    });
    let units: Vec<f32> = units.collect();
    let expected = sample.iter().flat_map(|&i| &said[i * width..(i + 1) * width]);
    let differences = found.iter().zip(expected).zip(units.iter().cycle()).map(|((a, b), unit)| (a - b).abs() / unit);
    let difference = differences.fold(0.0, f32::max);
    if difference > TOLERANCE {
        let reason =
            format!("gives answers that differ by {difference} from those of the fit: please report this as a bug");
        return Err(Error::model(Path::new("model.onnx"), reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_of_ten_are_within_what_the_rank_says() {
        let raw: Vec<f32> = (1..=19).map(|i| i as f32).collect();
        assert_eq!(within(&raw, raw.iter().map(|_| Some(0.0))), Some(18.0));
        assert_eq!(within(&raw[..8], raw.iter().map(|_| Some(0.0))), None);
        assert_eq!(within(&raw, raw.iter().map(|_| None)), None);
    }
}
