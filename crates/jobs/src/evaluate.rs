//! `percept evaluate`: how good a model is on labelled pictures.

use crate::classifier::{BATCH, Classifier};
use crate::event::{Events, Phase};
use crate::{Error, Result, parallel, photos};
use image::RgbImage;
use percept_engine::Settings;
use percept_learn::metrics::Metrics;
use percept_photos::decode;
use percept_photos::scan::{DataSet, Skipped};
use serde::Serialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Figures of a model on labelled pictures.
#[derive(Debug, Serialize)]
pub struct Evaluation {
    /// Accuracy and the rest; its fields stand beside the others in JSON.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Median time in milliseconds that the network takes for one picture.
    pub latency_ms_p50: f64,
    /// 99th percentile of that time in milliseconds.
    pub latency_ms_p99: f64,
    /// The model's labels.
    pub labels: Vec<String>,
    /// Pictures that were left out, and why.
    #[serde(serialize_with = "skipped_as_text")]
    pub skipped: Vec<Skipped>,
    /// Each picture's answers, for reports.
    #[serde(skip)]
    pub answers: Answers,
}

/// What a model said to labelled pictures.
#[derive(Debug, Default)]
pub struct Answers {
    /// The pictures.
    pub pictures: Vec<PathBuf>,
    /// The index of the true class of each.
    pub truth: Vec<usize>,
    /// Pictures × classes, row-major.
    pub probabilities: Vec<f32>,
}

pub(crate) fn skipped_as_text<S: serde::Serializer>(
    skipped: &[Skipped],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Text<'a> {
        picture: String,
        reason: &'a str,
    }
    serializer.collect_seq(skipped.iter().map(|s| Text { picture: s.path.display().to_string(), reason: &s.reason }))
}

/// Single pictures whose time is taken.
const TIMED: usize = 100;

/// Runs a model on a labelled folder, table or archive; classes are matched to the model's labels by name, and names that are all numbers are
/// indices.
pub fn evaluate(
    classifier: &mut Classifier,
    root: &Path,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Evaluation> {
    let (data, _) = photos::scan(root, &mut *events)?;
    let classes = match_classes(root, &data, &classifier.labels)?;
    evaluate_data(classifier, &data, &classes, settings, events)
}

/// The index in the model's labels of each class of the data; `None` for one that the model does not know.
fn match_classes(root: &Path, data: &DataSet, labels: &[String]) -> Result<Vec<Option<usize>>> {
    let by_name: HashMap<&str, usize> = labels.iter().enumerate().rev().map(|(i, label)| (label.as_str(), i)).collect();
    let find = |class: &String| {
        let index = || class.parse().ok().filter(|&i: &usize| i < labels.len());
        by_name.get(class.as_str()).copied().or_else(index)
    };
    let found: Vec<_> = data.classes.iter().map(find).collect();
    if found.iter().all(Option::is_none) {
        let (theirs, ours) = (data.classes.first(), labels.first());
        let name = |name: Option<&String>| name.cloned().unwrap_or_default();
        let text = format!(
            "none of the classes in {} (such as \"{}\") is a label of the model (such as \"{}\"): give --labels, or name the folders like labels",
            root.display(),
            name(theirs),
            name(ours)
        );
        return Err(Error::Setting(text));
    }
    Ok(found)
}

pub(crate) fn evaluate_data(
    classifier: &mut Classifier,
    data: &DataSet,
    classes: &[Option<usize>],
    settings: &Settings,
    events: Events<'_>,
) -> Result<Evaluation> {
    let mut skipped = data.skipped.clone();
    let mut todo = Vec::with_capacity(data.pictures.len());
    for picture in &data.pictures {
        match classes[picture.class] {
            Some(class) => todo.push((&picture.path, class)),
            None => {
                let reason = format!("the model does not know the class \"{}\"", data.classes[picture.class]);
                skipped.push(Skipped { path: picture.path.clone(), reason });
            }
        }
    }
    let mut answers = Answers::default();
    let mut single = Vec::new();
    let mut phase = Phase::start(events, "Evaluating", Some(todo.len() as u64), "photos");
    for chunk in todo.chunks(4 * BATCH) {
        let prepared = parallel::map(&settings.pool, chunk, |(path, _), _| {
            decode::open(path).map(|picture| classifier.prepare(&picture))
        });
        let mut pictures: Vec<RgbImage> = Vec::with_capacity(chunk.len());
        for ((path, class), result) in chunk.iter().zip(prepared) {
            match result {
                Ok(picture) => {
                    pictures.push(picture);
                    answers.pictures.push(path.to_path_buf());
                    answers.truth.push(*class);
                }
                Err(e) => skipped.push(Skipped { path: path.to_path_buf(), reason: e.to_string() }),
            }
        }
        answers.probabilities.extend(classifier.probabilities(&pictures)?);
        single.extend(pictures.into_iter().take(TIMED - single.len()));
        phase.progress((answers.pictures.len() + skipped.len()) as u64);
    }
    if answers.pictures.is_empty() {
        let reason = skipped.first().map_or("there is none".into(), |s| s.reason.clone());
        return Err(Error::Setting(format!("{} has no picture to evaluate on: {reason}", data.root.display())));
    }
    let metrics = Metrics::new(&answers.probabilities, classifier.labels.len(), &answers.truth)?;
    let [latency_ms_p50, latency_ms_p99] = latency(classifier, &single)?;
    phase.finish(format!("{} of {} right", crate::format::percent(metrics.accuracy), metrics.images));
    Ok(Evaluation { metrics, latency_ms_p50, latency_ms_p99, labels: classifier.labels.clone(), skipped, answers })
}

/// Median and 99th percentile of the milliseconds that single pictures take.
pub(crate) fn latency(classifier: &mut Classifier, pictures: &[RgbImage]) -> Result<[f64; 2]> {
    let Some(first) = pictures.first() else { return Ok([f64::NAN; 2]) };
    classifier.probabilities(std::slice::from_ref(first))?;
    let mut times = Vec::with_capacity(TIMED);
    for picture in pictures.iter().cycle().take(TIMED) {
        let start = Instant::now();
        classifier.probabilities(std::slice::from_ref(picture))?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok([0.5, 0.99].map(|q| quantile(&mut times, q)))
}

/// The smallest value that a share `q` of the values does not exceed; NaN of nothing.
pub(crate) fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (q * values.len() as f64).ceil() as usize;
    values.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}
