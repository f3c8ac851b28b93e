//! What a run leaves behind: the model, and what is to be known about it.

use super::head::{Fitted, Learned, probabilities_of};
use super::looks::Looker;
use super::sides::of_part;
use super::{Run, known, summary};
use crate::calibration::Calibration;
use crate::classifier::{self, Classifier, Said};
use crate::evaluate::{Answers, Evaluation, KnownMeasured, evaluate_data, latency};
use crate::event::{Events, Phase};
use crate::features::Extracted;
use crate::folder::RunFolder;
use crate::frozen::Frozen;
use crate::{Error, Result, package, parallel};
use image::RgbImage;
use percept_learn::features::Subset;
use percept_learn::metrics::Metrics;
use percept_photos::decode;
use percept_photos::scan::Part;
use std::path::Path;

/// Photos on which the model file is compared with what was fitted.
const COMPARED: usize = 32;
/// The largest difference of a probability, or of a score of known, that half-precision features may make.
const TOLERANCE: f32 = 0.02;

/// Writes the run's files and measures the model.
pub(super) fn write_all(
    run: &mut Run<'_>,
    frozen: Option<(&Frozen, &Extracted)>,
    mut fitted: Fitted,
    folder: &RunFolder,
    command: &str,
    events: Events<'_>,
) -> Result<Evaluation> {
    let known = known::of_model(run, frozen, &mut fitted, &mut *events)?;
    let score = known.as_ref().map(|known| (&known.score, &known.fitted.known));
    let (labels, temperature) = (&run.data.classes, fitted.temperature);
    let model = match (&fitted.learned, frozen) {
        (Learned::Network(whole), _) => {
            package::classifier(&run.origin, whole.graph.clone(), whole.params.clone(), temperature, labels, score)?
        }
        (Learned::Head(weights), Some((frozen, _))) => package::model(frozen, weights, temperature, labels, score)?,
        (Learned::Head(_), None) => return Err(Error::Setting("a network from zero has no frozen part".into())),
    };
    let path = folder.path().join("model.onnx");
    let bytes = model.to_bytes()?;
    let model_bytes = bytes.len() as u64;
    folder.write("model.onnx", &bytes)?;
    drop(bytes);
    folder.write("labels.txt", (run.data.classes.join("\n") + "\n").as_bytes())?;
    folder.write("config.toml", run.config.to_toml()?.as_bytes())?;

    let mut classifier = Classifier::open(&path, &classifier::Options::default(), run.settings)?;
    let pictures = compare(run, frozen.map(|(_, features)| features), &fitted, known.as_ref(), &mut classifier)?;
    let test = of_part(&run.data, Part::Test);
    let mut skipped = [&run.data.skipped[..], &run.unreadable].concat();
    let evaluation = if test.pictures.is_empty() {
        let metrics = Metrics::new(&fitted.probabilities, run.data.classes.len(), &fitted.truth)?;
        let [latency_ms_p50, latency_ms_p99] = latency(&mut classifier, &pictures)?;
        let calibration = Calibration::new(&fitted.probabilities, &fitted.truth, temperature, true)?;
        let known = known.map(|known| KnownMeasured {
            threshold: known.fitted.known.threshold,
            separation: known.fitted.measured,
            left_out: known.fitted.known.left_out,
        });
        let pictures = fitted.held_out.iter().map(|&i| run.data.pictures[i].path.clone()).collect();
        let Fitted { truth, probabilities, .. } = fitted;
        let answers = Answers { pictures, truth, probabilities, ..Answers::default() };
        let (calibration, labels) = (Some(calibration), run.data.classes.clone());
        Evaluation { metrics, latency_ms_p50, latency_ms_p99, calibration, known, labels, skipped, answers }
    } else {
        let classes: Vec<_> = (0..run.data.classes.len()).map(Some).collect();
        let mut evaluation = evaluate_data(&mut classifier, &test, &classes, run.settings, &mut *events)?;
        skipped.append(&mut evaluation.skipped);
        Evaluation { skipped, ..evaluation }
    };
    let mut phase = Phase::start(events, "Writing the report", None, "files");
    let json = serde_json::to_vec_pretty(&evaluation)
        .map_err(|e| Error::Setting(format!("metrics cannot be written: {e}")))?;
    folder.write("metrics.json", &json)?;
    let mut looker = Looker::new(&classifier, run.settings, &mut phase);
    let report = summary::report(run, &evaluation, &mut looker, model_bytes, command)?;
    folder.write("report.html", report.html()?.as_bytes())?;
    folder.write("MODEL_CARD.md", report.model_card()?.as_bytes())?;
    phase.finish("");
    Ok(evaluation)
}

/// Checks that the model file says what was fitted; gives back the prepared photos that it was asked about.
fn compare(
    run: &Run<'_>,
    features: Option<&Extracted>,
    fitted: &Fitted,
    score: Option<&known::OfModel>,
    classifier: &mut Classifier,
) -> Result<Vec<RgbImage>> {
    let known = match (&fitted.learned, features) {
        (Learned::Head(_), Some(features)) => &features.photos,
        _ => &fitted.held_out,
    };
    let sample: Vec<usize> = (0..known.len()).step_by(known.len().div_ceil(COMPARED).max(1)).collect();
    let pictures = parallel::map(&run.settings.pool, &sample, |&i, _| {
        decode::open(&run.data.pictures[known[i]].path).map(|picture| classifier.prepare(&picture))
    });
    let pictures = pictures.into_iter().collect::<std::result::Result<Vec<_>, _>>()?;
    let Said { probabilities: found, known_scores } = classifier.say(&pictures)?;
    let expected = match (&fitted.learned, features) {
        (Learned::Head(weights), Some(features)) => {
            let per_photo = 1 + run.config.views.unwrap_or(0) as usize;
            let rows = Subset::new(&features.file, sample.iter().map(|i| i * per_photo).collect())?;
            probabilities_of(weights, fitted.temperature, run.settings, &rows)?
        }
        (Learned::Network(whole), _) => {
            let rows: Vec<_> = whole.answers.chunks_exact(run.data.classes.len()).collect();
            sample.iter().flat_map(|&i| rows[i]).copied().collect()
        }
        (Learned::Head(_), None) => Vec::new(),
    };
    let scores: Vec<f32> =
        score.iter().flat_map(|score| sample.iter().filter_map(|&i| score.said.get(&known[i]).copied())).collect();
    for (what, found, expected) in [("probabilities", &found, &expected), ("scores of known", &known_scores, &scores)] {
        let difference = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        if difference > TOLERANCE || found.len() != expected.len() {
            let reason =
                format!("gives {what} that differ by {difference} from those of the fit: please report this as a bug");
            return Err(Error::model(Path::new("model.onnx"), reason));
        }
    }
    Ok(pictures)
}
