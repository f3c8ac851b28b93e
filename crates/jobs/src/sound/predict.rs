//! `percept sound predict`: what is heard in recordings.

use super::{Clip, Model};
use crate::predict::{Answer, best};
use crate::{Result, parallel};
use percept_engine::Settings;
use percept_photos::scan::Skipped;
use serde::Serialize;
use std::path::PathBuf;

/// Recordings that are looked at together.
const CHUNK: usize = 16;

/// The answer to one recording.
#[derive(Debug, Serialize)]
pub struct Prediction {
    /// The recording.
    pub recording: String,
    /// The most probable class.
    pub label: String,
    /// Its probability.
    pub probability: f32,
    /// The most probable classes, most probable first.
    pub classes: Vec<Answer>,
}

/// Names what is heard in recordings, the `top` most probable classes of each; gives back also what could not be read.
///
/// # Errors
/// A network that cannot be run.
pub fn predict(
    model: &mut Model,
    paths: &[PathBuf],
    top: usize,
    settings: &Settings,
) -> Result<(Vec<Prediction>, Vec<Skipped>)> {
    let (mut predictions, mut skipped) = (Vec::new(), Vec::new());
    for chunk in paths.chunks(CHUNK) {
        let heard =
            parallel::map(&settings.pool, chunk, |path, _| Clip::open(path).map(|clip| model.spectrogram(clip)));
        let (mut names, mut spectrograms) = (Vec::new(), Vec::new());
        for (path, result) in chunk.iter().zip(heard) {
            match result {
                Ok(spectrogram) => {
                    names.push(path.display().to_string());
                    spectrograms.push(spectrogram);
                }
                Err(error) => skipped.push(Skipped { path: path.clone(), reason: error.reason() }),
            }
        }
        let rows = model.probabilities(&spectrograms)?;
        for (recording, row) in names.into_iter().zip(rows.chunks_exact(model.labels.len())) {
            let classes = best(row, &model.labels, top.max(1));
            let (label, probability) = (classes[0].label.clone(), classes[0].probability);
            predictions.push(Prediction { recording, label, probability, classes });
        }
    }
    Ok((predictions, skipped))
}
