//! `percept evaluate`: how good a model is on labelled pictures.

use crate::calibration::Calibration;
use crate::classifier::{BATCH, Classifier, Said, key};
use crate::event::{Events, Phase};
use crate::known::{LeftOut, Separation};
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
    /// How calibrated it is with its temperature and without; absent if it states none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// How well it knows when a picture shows none of its classes; absent if it cannot tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<KnownMeasured>,
    /// The model's labels.
    pub labels: Vec<String>,
    /// Pictures that were left out, and why.
    #[serde(serialize_with = "skipped_as_text")]
    pub skipped: Vec<Skipped>,
    /// Each picture's answers, for reports.
    #[serde(skip)]
    pub answers: Answers,
}

/// How a score of known did.
#[derive(Clone, Debug, Serialize)]
pub struct KnownMeasured {
    /// Under this score the answer is "none of these".
    pub threshold: f64,
    /// What was measured on these pictures. Unknown are those of classes that the model does not have.
    #[serde(flatten)]
    pub separation: Separation,
    /// What the training measured by leaving out classes.
    pub left_out: Option<LeftOut>,
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
    /// How known each is; empty if the model cannot tell.
    pub known_scores: Vec<f32>,
    /// How known pictures are that show none of the classes.
    pub unknown_scores: Vec<f32>,
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
/// indices. Pictures of other classes, and those in `unknown`, show how well it knows what it does not know.
pub fn evaluate(
    classifier: &mut Classifier,
    root: &Path,
    unknown: Option<&Path>,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Evaluation> {
    let (mut data, _) = photos::scan(root, &mut *events)?;
    let mut classes = match_classes(root, &data, &classifier.labels)?;
    if let Some(unknown) = unknown {
        if classifier.known().is_none() {
            return Err(Error::Setting(
                "the model cannot tell unknown pictures: train it anew, or leave out --unknown".into(),
            ));
        }
        photos::add_unknown(&mut data, unknown)?;
        classes.resize(data.classes.len(), None);
    }
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
        let name = &data.classes[picture.class];
        match classes[picture.class] {
            None if classifier.known().is_none() => {
                let reason = format!("the model does not know the class \"{name}\"");
                skipped.push(Skipped { path: picture.path.clone(), reason });
            }
            class => todo.push((&picture.path, class)),
        }
    }
    let mut answers = Answers::default();
    let mut single = Vec::new();
    let mut phase = Phase::start(events, "Evaluating", Some(todo.len() as u64), "photos");
    for (chunk, done) in todo.chunks(4 * BATCH).zip(1..) {
        let prepared = parallel::map(&settings.pool, chunk, |(path, _), _| {
            decode::open(path).map(|picture| classifier.prepare(&picture))
        });
        let mut pictures: Vec<RgbImage> = Vec::with_capacity(chunk.len());
        let mut shown = Vec::with_capacity(chunk.len());
        for (photo, result) in chunk.iter().zip(prepared) {
            match result {
                Ok(picture) => {
                    pictures.push(picture);
                    shown.push(*photo);
                }
                Err(e) => skipped.push(Skipped { path: photo.0.clone(), reason: e.reason() }),
            }
        }
        answers.add(&shown, classifier.say(&pictures)?, classifier.labels.len());
        single.extend(pictures.into_iter().take(TIMED - single.len()));
        phase.progress((done * 4 * BATCH).min(todo.len()) as u64);
    }
    if answers.pictures.is_empty() {
        let reason = skipped.first().map_or("there is none".into(), |s| format!("{}: {}", s.path.display(), s.reason));
        return Err(Error::Setting(format!("{} has no picture to evaluate on: {reason}", data.root.display())));
    }
    let metrics = Metrics::new(&answers.probabilities, classifier.labels.len(), &answers.truth)?;
    let [latency_ms_p50, latency_ms_p99] = latency(classifier, &single)?;
    phase.finish(format!("{} of {} right", crate::format::percent(metrics.accuracy), metrics.images));
    let temperature = classifier.metadata.get(key::TEMPERATURE).and_then(|text| text.parse().ok());
    let calibration = temperature.map(|t| Calibration::new(&answers.probabilities, &answers.truth, t, false));
    let known = classifier.known().map(|known| KnownMeasured {
        threshold: known.threshold,
        separation: Separation::new(&answers.known_scores, &answers.unknown_scores, known.threshold),
        left_out: known.left_out.clone(),
    });
    Ok(Evaluation {
        metrics,
        latency_ms_p50,
        latency_ms_p99,
        calibration: calibration.transpose()?,
        known,
        labels: classifier.labels.clone(),
        skipped,
        answers,
    })
}

impl Answers {
    /// Adds what a model with so many classes said to some pictures, each with its class if it is one of the model's.
    fn add(&mut self, pictures: &[(&PathBuf, Option<usize>)], said: Said, classes: usize) {
        let Said { probabilities, known_scores } = said;
        for (i, (path, class)) in pictures.iter().enumerate() {
            let score = known_scores.get(i).copied();
            match class {
                Some(class) => {
                    self.pictures.push(path.to_path_buf());
                    self.truth.push(*class);
                    self.probabilities.extend_from_slice(&probabilities[i * classes..][..classes]);
                    self.known_scores.extend(score);
                }
                None => self.unknown_scores.extend(score),
            }
        }
    }
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
