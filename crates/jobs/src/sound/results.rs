//! How good a model is on recordings that it did not learn from.

use super::model::Model;
use super::scan::Found;
use super::{Clip, Config};
use crate::event::{Events, Phase};
use crate::{Result, format, parallel};
use percept_engine::Settings;
use percept_learn::metrics::{ClassMetrics, Metrics, wilson};
use serde::Serialize;
use std::collections::BTreeMap;

/// Recordings whose spectrograms are in memory together.
const CHUNK: usize = 256;

/// What `metrics.json` says.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Share of the test recordings whose most probable class is right, with its 95 % interval (Wilson's).
    #[serde(flatten)]
    pub all: Share,
    /// The speaker who was left out; the test recordings are theirs, and nobody else's.
    pub left_out: Option<String>,
    /// Recordings that were learned from.
    pub learned: usize,
    /// Steps of the optimiser.
    pub steps: u64,
    /// The names of the classes, in the order of all that follows.
    pub labels: Vec<String>,
    /// For each true class how often each class was named.
    pub confusion_matrix: Vec<Vec<usize>>,
    /// Precision, recall and F1 of each class.
    pub per_class: Vec<ClassMetrics>,
    /// Mean F1 of the classes.
    pub f1_macro: f64,
    /// Mean negative log-likelihood.
    pub nll: f64,
    /// Expected calibration error.
    pub ece: f64,
    /// The same share for each speaker, where names of files say who it is.
    pub speakers: BTreeMap<String, Share>,
    /// Test recordings that were taken for another class.
    pub mistakes: Vec<Mistake>,
    /// What could not be used, and why.
    pub left_out_files: Vec<LeftOut>,
}

/// A share of recordings that were named rightly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// How many there are.
    pub recordings: usize,
    /// The share that is right.
    pub accuracy: f64,
    /// Its 95 % interval.
    pub accuracy_ci95: [f64; 2],
}

/// A recording that was taken for another class.
#[derive(Clone, Debug, Serialize)]
pub struct Mistake {
    /// The file.
    pub recording: String,
    /// Its class.
    pub label: String,
    /// What it was taken for.
    pub predicted: String,
    /// How probable that seemed.
    pub probability: f32,
}

/// A file that could not be used.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOut {
    /// The file.
    pub file: String,
    /// Why.
    pub reason: String,
}

impl Share {
    fn of(right: usize, recordings: usize) -> Result<Self> {
        let accuracy_ci95 = wilson(right, recordings)?;
        Ok(Self { recordings, accuracy: right as f64 / recordings as f64, accuracy_ci95 })
    }
}

/// Measures a model on the recordings held apart.
pub(super) fn measure(
    model: &mut Model,
    found: &Found,
    clips: &[Clip],
    [learned, apart]: [&[usize]; 2],
    config: &Config,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Evaluation> {
    let mut phase = Phase::start(events, "Measuring", Some(apart.len() as u64), "recordings");
    let mut rows = Vec::new();
    for chunk in apart.chunks(CHUNK) {
        let spectrograms = parallel::map(&settings.pool, chunk, |&i, _| model.spectrogram(clips[i].clone()));
        rows.extend(model.probabilities(&spectrograms)?);
        phase.progress((rows.len() / found.classes.len()) as u64);
    }
    let truth: Vec<usize> = apart.iter().map(|&i| found.recordings[i].class).collect();
    let metrics = Metrics::new(&rows, found.classes.len(), &truth)?;
    let mut confusion_matrix = vec![vec![0; found.classes.len()]; found.classes.len()];
    metrics.confusion.iter().for_each(|cell| confusion_matrix[cell.label][cell.predicted] = cell.count);
    let mut speakers = BTreeMap::new();
    let mut mistakes = Vec::new();
    for (&i, row) in apart.iter().zip(rows.chunks_exact(found.classes.len())) {
        let recording = &found.recordings[i];
        // Of equals the first, as in the metrics.
        let (said, _) =
            row.iter().enumerate().fold((0, f32::MIN), |best, (k, &p)| if p > best.1 { (k, p) } else { best });
        let (right, count) = speakers.entry(recording.speaker.clone()).or_insert((0, 0));
        *right += usize::from(said == recording.class);
        *count += 1;
        if said != recording.class {
            let [label, predicted] = [recording.class, said].map(|class| found.classes[class].clone());
            let recording = recording.path.display().to_string();
            mistakes.push(Mistake { recording, label, predicted, probability: row[said] });
        }
    }
    speakers.remove("");
    let shares = speakers.into_iter().map(|(name, (right, count))| Ok((name, Share::of(right, count)?)));
    let left_out = |skipped: &percept_photos::scan::Skipped| LeftOut {
        file: skipped.path.display().to_string(),
        reason: skipped.reason.clone(),
    };
    phase.finish(format!("{} right", format::percent(metrics.accuracy)));
    Ok(Evaluation {
        all: Share { recordings: metrics.images, accuracy: metrics.accuracy, accuracy_ci95: metrics.accuracy_ci95 },
        left_out: config.leave_out.clone(),
        learned: learned.len(),
        steps: config.steps.unwrap_or(0),
        labels: found.classes.clone(),
        confusion_matrix,
        per_class: metrics.per_class,
        f1_macro: metrics.f1_macro,
        nll: metrics.nll,
        ece: metrics.ece,
        speakers: shares.collect::<Result<_>>()?,
        mistakes,
        left_out_files: found.skipped.iter().map(left_out).collect(),
    })
}
