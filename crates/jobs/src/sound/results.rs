//! How good a model is on recordings that it did not learn from.

use super::model::Model;
use super::scan::Found;
use super::{Clip, Config};
use crate::report::labels;
use crate::{Result, parallel};
use percept_engine::Settings;
use percept_learn::metrics::{ClassMetrics, Metrics, wilson};
use percept_photos::scan::Skipped;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};

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
    /// Test recordings that were taken for another class, the most confident first.
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

/// The probabilities that a model gives to some recordings, a row each; says how many are done.
pub(super) fn said(
    model: &mut Model,
    clips: &[Clip],
    places: &[usize],
    settings: &Settings,
    done: &mut dyn FnMut(u64),
) -> Result<Vec<f32>> {
    let mut rows = Vec::new();
    for chunk in places.chunks(CHUNK) {
        let spectrograms = parallel::map(&settings.pool, chunk, |&i, _| model.spectrogram(clips[i].clone()));
        rows.extend(model.probabilities(&spectrograms)?);
        done((rows.len() / model.labels.len()) as u64);
    }
    Ok(rows)
}

/// The figures of probabilities that were given to the recordings held apart.
pub(super) fn evaluate(
    rows: &[f32],
    metrics: &Metrics,
    found: &Found,
    [learned, apart]: &[Vec<usize>; 2],
    config: &Config,
) -> Result<Evaluation> {
    let class = |&i: &usize| found.recordings[i].class;
    let mistake = |(i, predicted, probability): (usize, usize, f32)| {
        let recording = &found.recordings[apart[i]];
        let [label, predicted] = [recording.class, predicted].map(|class| found.classes[class].clone());
        Mistake { recording: recording.path.display().to_string(), label, predicted, probability }
    };
    let wrong = labels::mistakes(rows, found.classes.len(), apart.iter().map(class));
    let wrongs: HashSet<usize> = wrong.iter().map(|&(i, ..)| i).collect();
    let mut speakers = BTreeMap::new();
    for (i, &place) in apart.iter().enumerate() {
        let (right, count) = speakers.entry(found.recordings[place].speaker.clone()).or_insert((0, 0));
        *right += usize::from(!wrongs.contains(&i));
        *count += 1;
    }
    speakers.remove("");
    let shares = speakers.into_iter().map(|(name, (right, count))| Ok((name, Share::of(right, count)?)));
    let left_out =
        |skipped: &Skipped| LeftOut { file: skipped.path.display().to_string(), reason: skipped.reason.clone() };
    Ok(Evaluation {
        all: Share { recordings: metrics.images, accuracy: metrics.accuracy, accuracy_ci95: metrics.accuracy_ci95 },
        left_out: config.leave_out.clone(),
        learned: learned.len(),
        steps: config.steps.unwrap_or(0),
        labels: found.classes.clone(),
        confusion_matrix: labels::confusion_matrix(metrics),
        per_class: metrics.per_class.clone(),
        f1_macro: metrics.f1_macro,
        nll: metrics.nll,
        ece: metrics.ece,
        speakers: shares.collect::<Result<_>>()?,
        mistakes: wrong.into_iter().map(mistake).collect(),
        left_out_files: found.skipped.iter().map(left_out).collect(),
    })
}
